"""What does one file of candles lack, and may what has come be stored in it?

The last session on disk is read again. Where its prices now differ by one ratio, the broker has adjusted the
past (a split, a bonus, a demerger), and the whole file is fetched anew; where single bars differ, the newer
ones stand. A bar that is not over is never stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

import candle_store
from outcome import DataError
from rulebook.bars import MINUTES
from rulebook.hours import IST, Calendar, SymbolClass, ist_day
from rulebook.records import Paise
from sessions_grid import NOTHING, Grid, Ints, opened_s, resampled, sorted_union

if TYPE_CHECKING:
    import pandas as pd

SAME_WITHIN: Final = 2e-4  # a ratio that is rounding to the paisa of a cheap share
LEAST_ADJUSTMENT: Final = 5e-3  # a smaller change of all prices by one ratio is no corporate action
AFTER_CLOSE: Final = timedelta(hours=1)  # the day's own candle is there, its official close in it
PAISE: Final = 100


class Candle(Protocol):
    """A row as the broker client gives it, in paise."""

    @property
    def opened_at(self) -> datetime: ...
    @property
    def open(self) -> Paise: ...
    @property
    def high(self) -> Paise: ...
    @property
    def low(self) -> Paise: ...
    @property
    def close(self) -> Paise: ...
    @property
    def volume(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Page:
    """One request."""

    ticker: str
    timeframe: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Store:
    """Where candles lie, and what is known of the sessions they belong to."""

    raw: Path
    calendar: Calendar
    source: str
    days_most: Mapping[str, int]  # of one request, by timeframe


class CandleFile:
    """One file on disk while it is being completed. `last`: what opened later is not asked for."""

    def __init__(self, store: Store, ticker: str, timeframe: str, last: datetime) -> None:
        self._store = store
        self.ticker, self.timeframe = ticker, timeframe
        self._last = last
        self._length = timedelta(minutes=MINUTES[timeframe])
        self._path = candle_store.path_of(store.raw, ticker, timeframe)
        self._known: Ints | None = None
        origin = candle_store.origin_of(store.raw, ticker, timeframe)
        self._asked_from = None if origin is None else origin.asked_from
        self._asked_to = None if origin is None else origin.fetched_at

    # --- what to ask for ---

    def forwards(self, first_day: date) -> Iterator[Page]:
        """From the last session on disk, which is read again, or from the first day on."""
        if self.is_there and self._is_up_to_date():
            return
        start = self._day(-1) if self.is_there else first_day
        yield from self._pages(_midnight(start), self._last)

    def backwards(self, first_day: date) -> Iterator[Page]:
        """What the user wants before the first bar on disk and the broker was not yet asked for."""
        if not self.is_there or self._asked_from is None or self._asked_from <= first_day:
            return
        end = self._stamp(0) - timedelta(seconds=1)
        yield from reversed(list(self._pages(_midnight(first_day), end)))

    def requests(self, first_day: date, made_from: date | None) -> int:
        """How many that will be; `made_from`: from that day on it is made of finer bars."""
        if self.is_there:
            newer = 0 if made_from else sum(1 for _ in self.forwards(first_day))
            return newer + sum(1 for _ in self.backwards(first_day))
        if made_from is None:
            return sum(1 for _ in self.forwards(first_day))
        return sum(1 for _ in self._pages(_midnight(first_day), _midnight(made_from) - timedelta(seconds=1)))

    def anew(self, first_day: date) -> Iterator[Page]:
        """All of it, whatever is on disk."""
        yield from self._pages(_midnight(min(first_day, self._asked_from or first_day)), self._last)

    def _pages(self, first: datetime, last: datetime) -> Iterator[Page]:
        step = timedelta(days=self._store.days_most[self.timeframe])
        while first <= last:
            yield Page(self.ticker, self.timeframe, first, min(last, first + step - timedelta(seconds=1)))
            first += step

    def _is_up_to_date(self) -> bool:
        """Whether the broker was asked after the last bar that can be whole had closed."""
        if self._asked_to is None:
            return False
        return self._newest_whole(self._last) <= self._newest_whole(self._asked_to)

    def _newest_whole(self, moment: datetime) -> datetime:
        """The opening of the newest bar that is over at that moment."""
        grid, day = Grid(self._store.calendar, self.timeframe, SymbolClass.OTHER), ist_day(moment)
        for _ in range(15):  # longer than the longest run of holidays
            whole = [
                at for at in grid.of(day).tolist() if self._is_whole(datetime.fromtimestamp(at, IST), moment)
            ]
            if whole:
                return datetime.fromtimestamp(whole[-1], IST)
            day -= timedelta(days=1)
        raise DataError(
            f"no session in the fifteen days before {moment:%Y-%m-%d}; look at config/holidays-*.json"
        )

    def _is_whole(self, opened_at: datetime, moment: datetime) -> bool:
        if self.timeframe != "1d":
            return opened_at + self._length <= moment
        day = ist_day(opened_at)
        if not self._store.calendar.is_trading_day(day):
            return moment - opened_at >= timedelta(days=1)
        return moment >= known_at(self._store.calendar, day)

    # --- what has come ---

    def is_adjusted(self, candles: Sequence[Candle]) -> bool:
        """Whether all bars that are on disk already differ by one ratio."""
        if not self.is_there or not candles or candles[0].opened_at.timestamp() > self._opened_s[-1]:
            return False
        return _is_scaled(self._frame(), frame_of(candles))

    def add(self, candles: Sequence[Candle], page: Page) -> int:
        """Store the whole ones; how many were new."""
        self._asked_from = min(page.first.date(), self._asked_from or page.first.date())
        self._asked_to = max(page.last, self._asked_to or page.last)
        return self._store_frame(self._whole(candles), self._store.source)

    def make_of(self, source: "CandleFile") -> int | None:
        """Whole bars from a finer file; None where there is none."""
        if not source.is_there:
            return None
        if self.is_there and self._asked_to is not None and self._asked_to == source._asked_to:
            return 0
        grid, fine, made = (
            Grid(self._store.calendar, source.timeframe, SymbolClass.OTHER),
            source._frame(),
            f"made of {source.timeframe}",
        )
        self._asked_to = source._asked_to
        if not self.is_there:
            self._asked_from = min(filter(None, (self._asked_from, source._asked_from)), default=None)
            return self._store_frame(resampled(fine, grid, self.timeframe), made)
        newest = resampled(fine[opened_s(fine) >= _midnight(self._day(-1)).timestamp()], grid, self.timeframe)
        if not _is_scaled(self._frame(), newest):
            return self._store_frame(newest, made)
        before = len(self._opened_s)  # the finer past was adjusted: what is older is asked for again
        self._asked_from = source._asked_from
        self._replace(resampled(fine, grid, self.timeframe), made)
        return max(0, len(self._opened_s) - before)

    def replace(self, candles: Sequence[Candle], asked_from: date) -> None:
        """What is on disk is no longer true; until this moment it stands."""
        self._asked_from, self._asked_to = asked_from, self._last
        self._replace(self._whole(candles), self._store.source)

    def _whole(self, candles: Sequence[Candle]) -> "pd.DataFrame":
        return frame_of([c for c in candles if self._is_whole(c.opened_at, self._last)])

    def _store_frame(self, frame: "pd.DataFrame", source: str) -> int:
        if not len(frame):
            return 0
        before = self._opened_s if self.is_there else NOTHING
        candle_store.add_candles(self._store.raw, self.ticker, self.timeframe, frame, self._origin(source))
        self._known = sorted_union(before, opened_s(frame))
        return len(self._known) - len(before)

    def _replace(self, frame: "pd.DataFrame", source: str) -> None:
        candle_store.replace_candles(
            self._store.raw, self.ticker, self.timeframe, frame, self._origin(source)
        )
        self._known = opened_s(frame)

    def _origin(self, source: str) -> candle_store.Origin:
        return candle_store.Origin(source, self._asked_to or self._last, True, self._asked_from)

    @property
    def is_there(self) -> bool:
        return self._path.exists()

    def _frame(self) -> "pd.DataFrame":
        return candle_store.read_candles(self._store.raw, self.ticker, self.timeframe)

    @property
    def _opened_s(self) -> Ints:
        """Of what was traded and is on disk; read when it is needed, most mornings it is not."""
        if self._known is None:
            self._known = candle_store.traded_s(self._store.raw, self.ticker, self.timeframe)
        return self._known

    def _stamp(self, row: int) -> datetime:
        return datetime.fromtimestamp(int(self._opened_s[row]), IST)

    def _day(self, row: int) -> date:
        return ist_day(self._stamp(row))


def _is_scaled(old: "pd.DataFrame", new: "pd.DataFrame") -> bool:
    """Whether the bars of both differ by one ratio that is no rounding."""
    at, at_new = opened_s(old), opened_s(new)
    row = np.minimum(np.searchsorted(at, at_new), len(at) - 1)
    row_new = np.flatnonzero(at[row] == at_new)
    if not len(row_new):
        return False
    closes, closes_new = old["close"].to_numpy()[row[row_new]], new["close"].to_numpy()[row_new]
    ratios = closes_new / closes
    ratio = float(np.median(ratios))
    rounding = max(SAME_WITHIN, 1.5 / PAISE / float(closes.min()))
    return abs(ratio - 1) > LEAST_ADJUSTMENT and bool(np.all(abs(ratios / ratio - 1) <= rounding))


def known_at(calendar: Calendar, day: date) -> datetime:
    """When everything of that session can be asked for."""
    return calendar.session_of(day, SymbolClass.OTHER).closes_at + AFTER_CLOSE


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), IST)


def frame_of(candles: Sequence[Candle]) -> "pd.DataFrame":
    import pandas as pd

    seconds = np.array([c.opened_at.timestamp() for c in candles], np.int64)
    columns: dict[str, Any] = {"timestamp": pd.to_datetime(seconds, unit="s", utc=True).as_unit("ns")}
    for name in candle_store.PRICES:
        columns[name] = np.array([getattr(c, name) for c in candles], np.float64) / PAISE
    columns["volume"] = np.array([c.volume for c in candles], np.float64)
    return pd.DataFrame(columns)
