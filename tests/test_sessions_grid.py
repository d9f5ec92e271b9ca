"""Gaps have causes, filling invents no price and no night, and coarser bars are the broker's own."""

from datetime import date, datetime, time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candle_store import FILLED, PRICES, complaint_about, read_candles
from facts import read_calendar
from rulebook.hours import IST, SymbolClass
from sessions_grid import Cause, Grid, gaps, imputed, resampled
from tests.candles import candles, sessions
from tests.conftest import ROOT

CALENDAR = read_calendar(ROOT / "config")
DAYS = sessions(3)
REAL = ROOT.parent / "shared" / "market"


def grid(timeframe: str = "5m", symbol_class: SymbolClass = SymbolClass.OTHER) -> Grid:
    return Grid(CALENDAR, timeframe, symbol_class)


def whole() -> pd.DataFrame:
    return candles("INFY", DAYS, 5)


def at(day: date, clock: str) -> pd.Timestamp:
    return pd.Timestamp(datetime.combine(day, time.fromisoformat(clock), IST)).tz_convert("UTC")


def without(frame: pd.DataFrame, *stamps: pd.Timestamp) -> pd.DataFrame:
    return frame[~frame["timestamp"].isin(stamps)].reset_index(drop=True)


# --- the grid -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "timeframe", "symbol_class", "count", "last"),
    [
        (date(2026, 7, 31), "1m", SymbolClass.FNO, 375, "15:29"),
        (date(2026, 8, 4), "1m", SymbolClass.FNO, 360, "15:14"),  # the closing auction has come
        (date(2026, 8, 4), "1m", SymbolClass.OTHER, 375, "15:29"),
        (date(2026, 7, 31), "1h", SymbolClass.OTHER, 7, "15:15"),
        (date(2026, 7, 31), "1d", SymbolClass.OTHER, 1, "00:00"),
    ],
)
def test_a_session_has_so_many_bars(day, timeframe, symbol_class, count, last):
    bars = grid(timeframe, symbol_class).of(day)

    assert count == len(bars)
    assert last == f"{datetime.fromtimestamp(int(bars[-1]), IST):%H:%M}"


@pytest.mark.parametrize("day", [date(2026, 8, 15), date(2026, 8, 16), date(2026, 10, 2), date(2026, 11, 8)])
def test_a_closed_day_and_an_evening_of_muhurat_have_none(day):
    assert 0 == len(grid("1m").of(day))


# --- gaps -----------------------------------------------------------------------------------------------


def test_a_whole_history_has_no_gap():
    assert [] == list(gaps(whole(), grid(), DAYS[0], DAYS[-1]))


def test_each_gap_has_its_cause():
    frame = whole()
    first, second, third = DAYS
    halt = [at(first, clock) for clock in ("10:00", "10:05", "10:10")]
    frame = without(frame, *halt, at(third, "11:00"))
    frame = frame[frame["timestamp"].dt.tz_convert(IST).dt.date != second]
    before = CALENDAR.previous_session(first)

    found = [(gap.day, gap.bars, gap.cause) for gap in gaps(frame, grid(), before, third)]

    assert [
        (before, 75, Cause.NOT_LISTED),
        (first, 3, Cause.HALT),
        (second, 75, Cause.MISSING),
        (third, 1, Cause.LULL),
    ] == found


def test_a_filled_bar_is_still_a_gap():
    holed = without(whole(), at(DAYS[1], "11:00"))

    assert list(gaps(holed, grid(), DAYS[0], DAYS[-1])) == list(
        gaps(imputed(holed, grid()), grid(), DAYS[0], DAYS[-1])
    )


# --- filling --------------------------------------------------------------------------------------------


def test_a_missing_bar_is_the_close_before_it_without_volume_and_marked():
    holed = without(whole(), at(DAYS[1], "11:00"))
    filled = imputed(holed, grid())
    row = filled[filled["timestamp"] == at(DAYS[1], "11:00")].iloc[0]
    before = filled[filled["timestamp"] == at(DAYS[1], "10:55")].iloc[0]

    assert [before["close"]] * 4 == [row[name] for name in PRICES]
    assert (0.0, True) == (row["volume"], row[FILLED])
    assert 1 == filled[FILLED].sum()


def test_no_price_is_carried_over_a_night_and_none_past_the_last_bar():
    opening = [at(DAYS[1], clock) for clock in ("09:15", "09:20")]
    closing = [at(DAYS[1], "15:25")]
    today = [at(DAYS[2], "15:25")]
    filled = imputed(without(whole(), *opening, *closing, *today), grid())
    stamps = set(filled["timestamp"])

    assert stamps.isdisjoint(opening)
    assert stamps.isdisjoint(today)
    assert stamps >= set(closing)


@given(st.sets(st.integers(0, 3 * 75 - 1), max_size=220))
def test_filling_again_changes_nothing_and_touches_no_traded_bar(gone):
    holed = whole().drop(index=list(gone)).reset_index(drop=True)
    once = imputed(holed, grid())
    twice = imputed(once, grid())

    pd.testing.assert_frame_equal(once, twice)
    pd.testing.assert_frame_equal(
        holed, once[~once[FILLED]].drop(columns=FILLED).reset_index(drop=True), check_dtype=False
    )
    assert not len(once) or not complaint_about(once)


def test_an_empty_history_stays_empty():
    assert 0 == len(imputed(whole().iloc[:0], grid()))


# --- coarser bars -----------------------------------------------------------------------------------------


def test_a_coarser_bar_is_made_of_its_finer_ones():
    fine = whole()
    coarse = resampled(fine, grid("5m"), "15m")
    inside = fine[(fine["timestamp"] >= at(DAYS[1], "10:15")) & (fine["timestamp"] < at(DAYS[1], "10:30"))]
    row = coarse[coarse["timestamp"] == at(DAYS[1], "10:15")].iloc[0]

    assert 3 * 25 == len(coarse)
    assert inside["open"].iloc[0] == row["open"]
    assert inside["high"].max() == row["high"]
    assert inside["low"].min() == row["low"]
    assert inside["close"].iloc[-1] == row["close"]
    assert inside["volume"].sum() == row["volume"]


def test_a_coarse_bar_that_may_still_grow_is_left_out():
    fine = whole().iloc[:-1]  # the session's last five minutes are not there yet

    assert 3 * 25 - 1 == len(resampled(fine, grid("5m"), "15m"))


def test_the_last_hour_is_whole_with_a_quarter_of_it():
    assert 3 * 7 == len(resampled(whole(), grid("5m"), "1h"))


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real candles that are not part of this repository")
@pytest.mark.parametrize("ticker", ["INFY", "PAGEIND", "BOSCHLTD"])
def test_real_minutes_make_the_vendor_s_own_half_hours_to_the_bit(ticker, monkeypatch):
    monkeypatch.setitem(__import__("rulebook.bars", fromlist=["MINUTES"]).MINUTES, "30m", 30)
    made = resampled(read_candles(REAL, ticker, "1m"), grid("1m"), "30m")
    theirs = read_candles(REAL, ticker, "30m")
    both = made.merge(theirs, on="timestamp", suffixes=("", "_theirs"))

    assert len(made) == len(both) == 14 * 13
    assert not any((both[name] != both[f"{name}_theirs"]).any() for name in (*PRICES, "volume"))


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real candles that are not part of this repository")
def test_real_lulls_are_filled_as_the_vendor_filled_them():
    vendor = read_candles(REAL, "PAGEIND", "1m")
    ours = imputed(vendor[vendor["volume"] > 0], grid("1m"))
    both = ours.merge(vendor, on="timestamp", suffixes=("", "_theirs"))
    filled = both[both[FILLED]]

    assert len(filled) > 1_000
    assert np.array_equal(filled[PRICES].to_numpy(), filled[[f"{name}_theirs" for name in PRICES]].to_numpy())
