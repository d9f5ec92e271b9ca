"""Do candles become exact tables: paise, one grid of time, sessions, days, and the minutes inside?"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candle_store import RUPEES_LEAST, RUPEES_MOST
from facts import read_tariff
from market import Hours, load
from outcome import ConfigError, DataError
from rulebook.hours import Calendar, Closure
from tests.candles import OPENS, calendar, candles, grouped, minute_candles, sessions, stamps, write
from tests.conftest import ROOT

HOURS = Hours(time(9, 20), time(15, 0), time(15, 8))
TARIFF = read_tariff(ROOT / "config")
DAYS = sessions(3)
PRICES = ("open", "high", "low", "close")


def market_of(raw, names="A B", timeframe="5m", known: Calendar | None = None):
    return load(raw, names.split(), timeframe, HOURS, known or calendar(), TARIFF)


def flat(opened: pd.DatetimeIndex, rupees: float = 100.0, volume: float = 1_000.0) -> pd.DataFrame:
    prices = dict.fromkeys(PRICES, rupees)
    return pd.DataFrame({"timestamp": opened, **prices, "volume": volume})


def without(frame: pd.DataFrame, rows) -> pd.DataFrame:
    kept: pd.DataFrame = frame.drop(index=rows).reset_index(drop=True)
    return kept


def in_rupees(table, s: int) -> pd.DataFrame:
    """One ticker's traded bars, as they would stand on disk."""
    traded = table.close[:, s] != 0
    columns = {name: column[traded, s] / 100 for name, column in zip(PRICES, table[:4], strict=True)}
    opened = pd.to_datetime(table.opened_s[traded], unit="s", utc=True).as_unit("ns")
    return pd.DataFrame({"timestamp": opened, **columns, "volume": table.volume[traded, s] * 1.0})


def early_close(day: date, at: time) -> Calendar:
    year = calendar().years[day.year]
    closures = {**year.closures, day: Closure(day, "Half day", at)}
    return replace(calendar(), years={**calendar().years, day.year: replace(year, closures=closures)})


# --- prices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rupees", "paise"),
    [
        (2855.949951171875, 285_595),  # a float32 of 2855.95, as one vendor writes it
        (0.01, 1),
        (0.125, 12),  # half a paisa goes to the even one
        (0.375, 38),
        (1.005, 100),  # the float below 1.005
        (4.35, 435),
        (9_999_999.99, 999_999_999),
        (np.nextafter(RUPEES_MOST, 0), 1_000_000_000),
    ],
)
def test_rupees_become_the_nearest_paisa(rupees, paise, tmp_path):
    write(tmp_path, "A", flat(stamps(DAYS[:1], 5), rupees))
    table = market_of(tmp_path, "A").table

    assert {paise} == {int(value) for column in table[:4] for value in np.unique(column)}
    assert [np.int32] * 4 == [column.dtype for column in table[:4]]


@given(
    st.lists(st.integers(round(100 * RUPEES_LEAST), round(100 * RUPEES_MOST) - 1), min_size=4, max_size=40)
)
def test_every_price_of_whole_paise_is_exact_on_both_ways(tmp_path_factory, paise):
    raw = tmp_path_factory.mktemp("raw")
    rows = np.array(paise[: len(paise) // 4 * 4]).reshape(-1, 4)
    high, low = rows.max(1), rows.min(1)
    prices = dict(zip(PRICES, (rows[:, 0], high, low, rows[:, 3]), strict=True))
    columns = {name: column / 100 for name, column in prices.items()}
    write(raw, "A", pd.DataFrame({"timestamp": stamps(DAYS[:1], 5)[: len(rows)], **columns, "volume": 0.0}))
    table = market_of(raw, "A").table

    assert [prices[name].tolist() for name in PRICES] == [column[:, 0].tolist() for column in table[:4]]


def test_what_was_written_stands_in_the_table_bar_by_bar(tmp_path):
    written = [candles(name, DAYS) for name in "AB"]
    for name, frame in zip("AB", written, strict=True):
        write(tmp_path, name, frame)
    table = market_of(tmp_path).table

    for s, frame in enumerate(written):
        pd.testing.assert_frame_equal(frame, in_rupees(table, s))


# --- one grid --------------------------------------------------------------------------------------


def test_bars_that_a_ticker_lacks_are_zeros_on_the_grid_of_all(tmp_path):
    whole, holed = candles("A", DAYS), without(candles("B", DAYS), [3, 4, 80])
    write(tmp_path, "A", without(whole, [10]))
    write(tmp_path, "B", holed)
    table = market_of(tmp_path).table

    assert (225, 2) == table.close.shape
    assert [(3, 1), (4, 1), (10, 0), (80, 1)] == [tuple(at) for at in np.argwhere(table.close == 0).tolist()]
    assert not any(column[3, 1] for column in table[:5])
    pd.testing.assert_frame_equal(holed, in_rupees(table, 1))


def test_a_ticker_may_come_later_and_one_may_stop_for_good(tmp_path):
    write(tmp_path, "A", candles("A", DAYS[:2]))
    write(tmp_path, "B", candles("B", DAYS[1:]))
    market = market_of(tmp_path)

    assert tuple(DAYS) == market.days
    traded = [[bool(market.table.close[market.table.day == n, s].all()) for s in (0, 1)] for n in range(3)]
    assert [[True, False], [True, True], [False, True]] == traded
    assert 150 == np.count_nonzero(market.table.close[:, 0])


def test_rows_know_their_day_their_second_and_their_moment(tmp_path):
    write(tmp_path, "A", candles("A", DAYS))
    market = market_of(tmp_path, "A")
    table = market.table

    assert [0, 1, 2] == np.unique(table.day).tolist()
    assert [9 * 3600 + 15 * 60 + 300 * n for n in range(75)] * 3 == table.second.tolist()
    assert list(stamps(DAYS, 5).astype("int64") // 10**9) == table.opened_s.tolist()
    assert 300 == table.length_s
    assert [0, 75, 150, 225] == [market.row_of(day) for day in [*DAYS, DAYS[-1] + timedelta(days=1)]]


def test_the_weekend_s_first_row_is_monday_s(tmp_path):
    friday, monday = date(2024, 12, 6), date(2024, 12, 9)
    write(tmp_path, "A", candles("A", [friday, monday]))

    assert 75 == market_of(tmp_path, "A").row_of(date(2024, 12, 7))


def test_tickers_are_sorted_and_the_order_or_a_twin_in_the_list_changes_nothing(tmp_path):
    for name in "AB":
        write(tmp_path, name, candles(name, DAYS))
    one, other = market_of(tmp_path, "A B"), market_of(tmp_path, "B A B")

    assert ("A", "B") == one.tickers == other.tickers
    assert all(np.array_equal(a, b) for a, b in zip(one.table, other.table, strict=True))


def test_an_imputed_row_is_no_bar(tmp_path):
    write(tmp_path, "A", candles("A", DAYS).assign(filled=lambda frame: frame.index.isin([5, 6])))
    table = market_of(tmp_path, "A").table

    assert [5, 6] == np.flatnonzero(table.close[:, 0] == 0).tolist()
    assert [0, 0] == table.volume[5:7, 0].tolist()


@pytest.mark.parametrize("bars", [1, 75])
def test_one_bar_or_one_day_in_all_is_a_market(bars, tmp_path):
    write(tmp_path, "A", candles("A", DAYS[:1]).head(bars))
    market = market_of(tmp_path, "A")

    assert (bars, 1) == market.table.close.shape
    assert (DAYS[0],) == market.days


# --- sessions --------------------------------------------------------------------------------------


def test_bars_outside_continuous_trading_are_left_out_and_counted(tmp_path):
    muhurat, holiday = date(2024, 11, 1), date(2024, 11, 15)
    outside = [stamps([muhurat], 5, time(18, 0), 60), stamps([holiday], 5, OPENS, 60)]
    outside.append(stamps(DAYS[:1], 5, time(9, 0), 15))  # the auction before the opening
    inside = candles("A", DAYS)
    for name in "AB":
        frames = [flat(opened) for opened in outside]
        write(tmp_path, name, pd.concat([*frames, inside]).sort_values("timestamp"))
    market = market_of(tmp_path)

    assert f"{2 * (12 + 12 + 3)} bars outside continuous trading were left out" == market.notes[0]
    assert tuple(DAYS) == market.days
    pd.testing.assert_frame_equal(inside, in_rupees(market.table, 0))


def test_a_session_that_is_cut_short_ends_there_and_pulls_the_window_in(tmp_path):
    write(tmp_path, "A", candles("A", DAYS))
    market = market_of(tmp_path, "A", known=early_close(DAYS[1], time(13, 0)))

    assert [75, 45, 75] == np.bincount(market.table.day).tolist()
    assert "30 bars outside continuous trading were left out" == market.notes[0]
    safe_ends = [window.safe_end.time() for window in market.windows]
    assert safe_ends[0] == safe_ends[2] == time(15, 0)
    assert safe_ends[1] < time(13, 0)
    assert [t.hour * 3600 + t.minute * 60 for t in safe_ends] == market.fixed.safe_end_s[:, 0].tolist()


def test_the_user_is_told_what_is_assumed_and_what_was_pulled_in(tmp_path):
    write(tmp_path, "A", candles("A", DAYS))
    notes = market_of(tmp_path, "A", known=early_close(DAYS[1], time(13, 0))).notes

    assert any("Half day: the close at 13:00 is announced, a square-off at" in note for note in notes)
    assert any(note.startswith("safe_trading_end 15:00:00 becomes 12:") for note in notes)
    assert all(note.endswith("(1 sessions)") for note in notes if "becomes" in note)


def test_a_day_without_room_between_the_hours_is_a_day_without_a_window(tmp_path):
    write(tmp_path, "A", candles("A", DAYS))
    market = market_of(tmp_path, "A", known=early_close(DAYS[1], time(9, 30)))

    assert [False, True, False] == [window is None for window in market.windows]
    assert market.fixed.start_s[1, 0] > 86_400 > 0 == market.fixed.safe_end_s[1, 0]


# --- what cannot be a market -----------------------------------------------------------------------


def test_no_ticker_is_no_market(tmp_path):
    with pytest.raises(DataError, match=r"no tickers: fill config.tickers with `python fetch.py index`"):
        market_of(tmp_path, "")


def test_a_bar_of_a_whole_day_cannot_be_walked_through(tmp_path):
    with pytest.raises(ConfigError, match="a bar of 1d spans a whole session; add a finer one"):
        market_of(tmp_path, timeframe="1d")


def test_a_year_without_a_calendar_is_named(tmp_path):
    write(tmp_path, "A", flat(stamps([date(2012, 3, 1)], 5)))

    with pytest.raises(DataError, match=r"a candle of 2012-03-01: no NSE calendar for 2012: add config/hol"):
        market_of(tmp_path, "A")


@pytest.mark.parametrize("made", [candles("A", DAYS, 1), candles("A", DAYS).iloc[::5].assign(shift=1)])
def test_bars_of_another_length_or_off_the_grid_are_refused(made, tmp_path):
    if "shift" in made:
        made["timestamp"] += pd.Timedelta(minutes=1)
    write(tmp_path, "A", made)

    with pytest.raises(DataError, match="A: no candle of 5m opens at 2024-12-02 09:16; fetch it again"):
        market_of(tmp_path, "A")


def test_local_time_that_was_written_as_utc_is_refused_even_if_the_others_are_right(tmp_path):
    local = candles("A", DAYS).assign(timestamp=lambda f: f["timestamp"] + pd.Timedelta("5h30min"))
    write(tmp_path, "A", local)
    write(tmp_path, "B", candles("B", DAYS))

    with pytest.raises(DataError, match=r"A: 27 of 225 5m candles lie inside .*; look at the time zone"):
        market_of(tmp_path)


# --- the minutes inside ----------------------------------------------------------------------------


Change = Callable[[pd.DataFrame], pd.DataFrame]


def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def write_with_minutes(raw: Path, names: str = "AB", bars: Change = same, minutes: Change = same) -> None:
    """Bars and minutes of each ticker; the two functions may take some away."""
    for name in names:
        fine = minute_candles(name, DAYS)
        write(raw, name, bars(grouped(fine, 5)))
        write(raw, name, minutes(fine), "1m")


def test_every_minute_lies_inside_exactly_one_row_and_makes_it_up(tmp_path):
    write_with_minutes(tmp_path)
    market = market_of(tmp_path)
    table, finer, first = market.table, market.finer, market.first_fine

    assert list(range(0, 1130, 5)) == first.tolist()
    assert np.array_equal(np.repeat(table.opened_s, 5), finer.opened_s - finer.opened_s % 300)
    assert np.array_equal(np.repeat(table.day, 5), finer.day)
    assert np.array_equal(table.high, np.maximum.reduceat(finer.high, first[:-1]))
    assert np.array_equal(table.low, np.minimum.reduceat(finer.low, first[:-1]))
    assert np.array_equal(table.volume, np.add.reduceat(finer.volume, first[:-1]))
    assert np.array_equal(table.open, finer.open[first[:-1]])
    assert np.array_equal(table.close, finer.close[first[1:] - 1])


def test_minutes_without_a_row_are_left_out_and_rows_without_minutes_stay(tmp_path):
    gone_bars = [0, 80, 224]
    write_with_minutes(
        tmp_path, bars=lambda f: without(f, gone_bars), minutes=lambda f: without(f, range(50, 62))
    )
    market = market_of(tmp_path)
    inside = np.diff(market.first_fine)

    assert 222 == len(inside) == len(market.table.close)
    assert {9: 0, 10: 0, 11: 3} == {row: int(n) for row, n in enumerate(inside) if n != 5}
    assert 222 * 5 - 12 == len(market.finer.close) == market.first_fine[-1]
    row = np.repeat(np.arange(222), inside)
    since = market.finer.opened_s - market.table.opened_s[row]
    assert since.min() == 0 and since.max() == 240
    assert np.array_equal(market.table.day[row], market.finer.day)


def test_minutes_of_days_that_the_bars_do_not_have_are_left_out(tmp_path):
    write_with_minutes(tmp_path, bars=lambda frame: frame.iloc[75:].reset_index(drop=True))
    market = market_of(tmp_path)

    assert tuple(DAYS[1:]) == market.days
    assert 2 * 375 == len(market.finer.close)
    assert [0, 1] == np.unique(market.finer.day).tolist()


def test_without_the_minutes_of_one_ticker_there_are_none_and_it_is_said(tmp_path):
    write_with_minutes(tmp_path, "A")
    write(tmp_path, "B", candles("B", DAYS))
    market = market_of(tmp_path)

    assert (None, None) == (market.finer, market.first_fine)
    assert "no bar is resolved by the minutes inside: there are no 1m candles of B" == market.notes[-1]


def test_minutes_from_before_a_split_are_no_minutes_of_adjusted_bars(tmp_path):
    write_with_minutes(tmp_path, "A", bars=lambda frame: frame.assign(**{n: frame[n] / 2 for n in PRICES}))

    with pytest.raises(DataError, match="A: the 1m candle of 2024-12-02 09:15 is far from the bar"):
        market_of(tmp_path, "A")


# --- for pictures ----------------------------------------------------------------------------------


def test_a_picture_gets_the_traded_bars_of_its_day(tmp_path):
    write(tmp_path, "A", candles("A", DAYS))
    write(tmp_path, "B", without(candles("B", DAYS[:2]), [75]))
    market = market_of(tmp_path)
    second = candles("B", DAYS[:2]).iloc[76:]
    minute, *prices = market.candles("B", DAYS[1])

    assert list(range(9 * 60 + 20, 15 * 60 + 30, 5)) == minute.tolist()
    for name, column in zip(PRICES, prices, strict=True):
        assert np.rint(second[name].to_numpy() * 100).tolist() == column.tolist()
    assert 0 == market.candles("B", DAYS[2]).size
