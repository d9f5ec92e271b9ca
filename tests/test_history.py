"""A download asks for what is missing and for nothing twice, never leaves a hole, and sees a split."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from candle_file import CandleFile, Page, Store
from candle_store import origin_of, path_of, read_candles
from history import Found, History, Wanted, files_of
from kite.books import CandleRow
from outcome import DataError, NetworkError
from rulebook.hours import IST
from rulebook.records import Paise
from tests.candles import calendar, candles, sessions

DAYS = sessions(40, date(2026, 2, 2))
MINUTES = {"1m": 1, "5m": 5, "15m": 15}
EVENING = datetime.combine(DAYS[-1], time(18), IST)
PAGE_DAYS = {"1m": 10, "5m": 10, "15m": 20, "1d": 2_000}


@cache
def rows_of(ticker: str, timeframe: str) -> tuple[CandleRow, ...]:
    frame = candles(ticker, DAYS, MINUTES[timeframe])
    stamps = [stamp.to_pydatetime().astimezone(IST) for stamp in frame["timestamp"]]
    paise = [np.rint(frame[name].to_numpy() * 100).astype(int) for name in ("open", "high", "low", "close")]
    columns = zip(stamps, *paise, frame["volume"], strict=True)
    return tuple(
        CandleRow(at, Paise(int(o)), Paise(int(high)), Paise(int(low)), Paise(int(c)), int(volume))
        for at, o, high, low, c, volume in columns
    )


class Broker:
    """Answers by the broker's rules: opening times, both ends included; the running bar is in it."""

    def __init__(self, now: datetime = EVENING, scale: int = 1, listed_on: date = DAYS[0]) -> None:
        self.now, self.scale, self.listed_on = now, scale, listed_on
        self.asked: list[Page] = []
        self.fails_after: int | None = None

    def __call__(self, ticker: str, timeframe: str, first: datetime, last: datetime) -> list[CandleRow]:
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise NetworkError("the line is dead")
        assert (last - first).days < PAGE_DAYS[timeframe]
        self.asked.append(Page(ticker, timeframe, first, last))
        inside = [row for row in rows_of(ticker, timeframe) if first <= row.opened_at <= min(last, self.now)]
        return [self._scaled(row) for row in inside if row.opened_at.date() >= self.listed_on]

    def _scaled(self, row: CandleRow) -> CandleRow:
        n = self.scale
        scaled = (row.open // n, row.high // n, row.low // n, row.close // n)
        o, high, low, c = (Paise(price) for price in scaled)
        return CandleRow(row.opened_at, o, high, low, c, row.volume)


def store(raw: Path) -> Store:
    return Store(raw, calendar(), "test", PAGE_DAYS)


def fetched(raw: Path, broker: Broker, *, tickers=("INFY",), workers: int = 1, **wanted) -> list[Found]:
    asked = {"first_days": {"5m": DAYS[0]}, "last": broker.now, **wanted}
    plan = Wanted(tickers, **asked)
    return History(files_of(store(raw), plan), broker, lambda _: None).fetch(plan, workers)


def stamps(raw: Path, timeframe: str = "5m", ticker: str = "INFY") -> list[datetime]:
    return [
        stamp.to_pydatetime().astimezone(IST) for stamp in read_candles(raw, ticker, timeframe)["timestamp"]
    ]


def every_stamp(timeframe: str = "5m", first: date = DAYS[0]) -> list[datetime]:
    return [row.opened_at for row in rows_of("INFY", timeframe) if row.opened_at.date() >= first]


def test_everything_comes_in_pages_that_join_and_do_not_overlap(tmp_path):
    broker = Broker()
    fetched(tmp_path, broker)

    assert every_stamp() == stamps(tmp_path)
    assert all(a.last + timedelta(seconds=1) == b.first for a, b in pairwise(broker.asked))


def test_again_there_is_nothing_to_ask(tmp_path):
    fetched(tmp_path, Broker())
    again = Broker()
    (found,) = fetched(tmp_path, again)

    assert [] == again.asked
    assert (0, 0) == (found.requests, found.bars_added)


def test_the_next_evening_one_page_is_asked_and_the_last_session_read_again(tmp_path):
    fetched(tmp_path, Broker(EVENING - timedelta(days=1)))
    broker = Broker()
    fetched(tmp_path, broker)

    assert 1 == len(broker.asked)
    assert every_stamp() == stamps(tmp_path)


def test_a_bar_that_is_not_over_is_not_stored(tmp_path):
    noon = datetime.combine(DAYS[-1], time(12, 3), IST)
    fetched(tmp_path, Broker(noon))

    assert datetime.combine(DAYS[-1], time(11, 55), IST) == stamps(tmp_path)[-1]


def test_an_earlier_first_day_is_fetched_backwards_and_once(tmp_path):
    fetched(tmp_path, Broker(), first_days={"5m": DAYS[25]})
    broker = Broker()
    fetched(tmp_path, broker)
    again = Broker()
    fetched(tmp_path, again)

    assert every_stamp() == stamps(tmp_path)
    assert sorted(broker.asked, key=lambda page: page.first, reverse=True) == broker.asked
    assert [] == again.asked


def test_a_listing_day_is_not_asked_for_every_morning(tmp_path):
    fetched(tmp_path, Broker(listed_on=DAYS[20]))
    again = Broker(listed_on=DAYS[20])
    fetched(tmp_path, again)

    assert DAYS[20] == stamps(tmp_path)[0].date()
    assert [] == again.asked


@pytest.mark.parametrize("fails_after", range(8))
def test_an_interrupted_download_has_no_hole_and_goes_on_where_it_was(tmp_path, fails_after):
    fetched(tmp_path, Broker(EVENING - timedelta(days=20)), first_days={"5m": DAYS[15]})
    broker = Broker()
    broker.fails_after = fails_after
    try:
        fetched(tmp_path, broker)
        broken = False
    except NetworkError:
        broken = True
    there = stamps(tmp_path)
    every = every_stamp()
    first, last = every.index(there[0]), every.index(there[-1])

    assert every[first : last + 1] == there

    fetched(tmp_path, Broker())

    assert every == stamps(tmp_path)
    assert broken == (fails_after < 6)


def test_a_split_is_seen_and_the_past_fetched_anew(tmp_path):
    fetched(tmp_path, Broker(EVENING - timedelta(days=7)))
    before = read_candles(tmp_path, "INFY", "5m")["close"].iloc[0]
    (found,) = fetched(tmp_path, Broker(scale=2))
    after = read_candles(tmp_path, "INFY", "5m")["close"].iloc[0]

    assert "adjusted the past" in found.note
    assert before / 2 == pytest.approx(after, abs=0.01)
    assert every_stamp() == stamps(tmp_path)


def test_a_corrected_bar_is_no_split(tmp_path):
    fetched(tmp_path, Broker(EVENING - timedelta(days=1)))

    class Corrected(Broker):
        def _scaled(self, row: CandleRow) -> CandleRow:
            is_one = row.opened_at == stamps(tmp_path)[-1]
            return replace(row, close=Paise(row.low)) if is_one else row

    (found,) = fetched(tmp_path, Corrected())

    assert "" == found.note
    assert every_stamp() == stamps(tmp_path)


def test_while_a_split_is_fetched_the_old_file_stands(tmp_path):
    fetched(tmp_path, Broker(EVENING - timedelta(days=7)))
    before = path_of(tmp_path, "INFY", "5m").read_bytes()
    broker = Broker(scale=2)
    broker.fails_after = 3
    with pytest.raises(NetworkError):
        fetched(tmp_path, broker)

    assert before == path_of(tmp_path, "INFY", "5m").read_bytes()


# --- several timeframes -----------------------------------------------------------------------------------


def test_coarser_bars_are_made_and_not_asked_for(tmp_path):
    both = {"5m": DAYS[0], "15m": DAYS[0]}
    broker = Broker()
    fetched(tmp_path, broker, first_days=both)
    made = read_candles(tmp_path, "INFY", "15m")
    other = tmp_path / "asked"
    fetched(other, Broker(), first_days=both, may_resample=False)

    assert {"5m"} == {page.timeframe for page in broker.asked}
    pd.testing.assert_frame_equal(read_candles(other, "INFY", "15m"), made)


def test_a_split_reaches_the_bars_that_are_made(tmp_path):
    both = {"5m": DAYS[20], "15m": DAYS[0]}
    fetched(tmp_path, Broker(EVENING - timedelta(days=7)), first_days=both)
    fetched(tmp_path, Broker(scale=2), first_days=both)
    fresh = tmp_path / "fresh"
    fetched(fresh, Broker(scale=2), first_days=both)

    pd.testing.assert_frame_equal(read_candles(fresh, "INFY", "15m"), read_candles(tmp_path, "INFY", "15m"))


def test_only_what_lies_before_the_finer_ones_is_asked_for(tmp_path):
    broker = Broker()
    fetched(tmp_path, broker, first_days={"5m": DAYS[30], "15m": DAYS[0]})
    again = Broker()
    fetched(tmp_path, again, first_days={"5m": DAYS[30], "15m": DAYS[0]})

    assert every_stamp("15m") == stamps(tmp_path, "15m")
    assert all(page.last.date() <= DAYS[30] for page in broker.asked if page.timeframe == "15m")
    assert [] == again.asked


# --- several tickers ----------------------------------------------------------------------------------------


def test_one_that_fails_keeps_the_others_from_nothing(tmp_path):
    class Half(Broker):
        def __call__(self, ticker, *where):
            if ticker == "GONE":
                raise DataError("GONE is not in today's list")
            return super().__call__(ticker, *where)

    with pytest.raises(
        DataError, match=r"1 of 3 tickers are not complete: GONE: GONE is not in today's list"
    ):
        fetched(tmp_path, Half(), tickers=("GONE", "INFY", "TCS"), workers=2)

    assert stamps(tmp_path) == stamps(tmp_path, ticker="TCS") == every_stamp()


def test_a_ticker_without_a_candle_is_said_and_keeps_nobody_from_anything(tmp_path):
    found = fetched(tmp_path, Broker(listed_on=date(2030, 1, 1)))

    assert ["the broker has no candle of it: suspended, or not listed that long"] == [
        each.note for each in found
    ]
    assert not path_of(tmp_path, "INFY", "5m").exists()


def doubled(rows: list[CandleRow]) -> list[CandleRow]:
    return [*rows, rows[-1]]


def out_of_order(rows: list[CandleRow]) -> list[CandleRow]:
    return rows[::-1]


def worth_nothing(rows: list[CandleRow]) -> list[CandleRow]:
    return [*rows[:-1], replace(rows[-1], low=Paise(0))]


def absurd(rows: list[CandleRow]) -> list[CandleRow]:
    return [*rows[:-1], replace(rows[-1], high=Paise(1_000_000_100))]


def no_candle(rows: list[CandleRow]) -> list[CandleRow]:
    return [*rows[:-1], replace(rows[-1], high=Paise(rows[-1].low - 1))]


def off_the_minute(rows: list[CandleRow]) -> list[CandleRow]:
    return [*rows[:-1], replace(rows[-1], opened_at=rows[-1].opened_at + timedelta(seconds=7))]


@pytest.mark.parametrize(
    ("spoilt", "what"),
    [
        (doubled, "the stamp does not rise"),
        (out_of_order, "the stamp does not rise"),
        (worth_nothing, "a price is absurd"),
        (absurd, "a price is absurd"),
        (no_candle, "high and low do not enclose open and close"),
        (off_the_minute, "the stamp is no whole minute"),
    ],
)
def test_a_page_that_makes_no_sense_is_refused_with_its_row_and_the_old_file_stands(tmp_path, spoilt, what):
    class Spoiling(Broker):
        def __call__(self, *where):
            return spoilt(super().__call__(*where))

    fetched(tmp_path, Broker(now=EVENING - timedelta(days=7)))
    before = path_of(tmp_path, "INFY", "5m").read_bytes()

    with pytest.raises(DataError, match=rf"5m\.parquet: refused, nothing was written: row \d+ .*: {what}"):
        fetched(tmp_path, Spoiling())

    assert before == path_of(tmp_path, "INFY", "5m").read_bytes()


def test_a_candle_of_the_future_is_not_stored(tmp_path):
    class Ahead(Broker):
        def __call__(self, *where):
            rows = super().__call__(*where)
            return [*rows, replace(rows[-1], opened_at=self.now + timedelta(days=30))] if rows else rows

    fetched(tmp_path, Ahead())

    assert every_stamp() == stamps(tmp_path)


def test_where_it_is_from_stands_in_the_file(tmp_path):
    fetched(tmp_path, Broker())
    origin = origin_of(tmp_path, "INFY", "5m")

    assert origin is not None
    assert ("test", EVENING, DAYS[0]) == (origin.source, origin.fetched_at, origin.asked_from)


def test_a_broken_file_is_said_and_not_written_over(tmp_path):
    path = path_of(tmp_path, "INFY", "5m")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 torn")

    with pytest.raises(DataError, match=r"cannot be read .* fetch it again"):
        fetched(tmp_path, Broker())

    assert b"PAR1 torn" == path.read_bytes()


def test_a_daily_bar_is_whole_when_the_day_s_close_is_official(tmp_path):
    file = CandleFile(store(tmp_path), "INFY", "1d", EVENING)
    opened = datetime.combine(DAYS[-1], time(), IST)

    assert not file._is_whole(opened, datetime.combine(DAYS[-1], time(15, 45), IST))
    assert file._is_whole(opened, EVENING)
