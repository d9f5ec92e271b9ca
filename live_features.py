"""What does the model see now? The features of a running market, a bar at a time, equal to the batch's.

Theory of operation
-------------------
Each timeframe is a `_Line`: what the compiled functions of features.py and among.py carry after the last
session on disk, and on top of it the session of today, one slot of an array for each bar that it can have.
`begin` walks the whole history (who leads whom is learned over 4,500 bars, and a start in the middle of a
history would not agree), `add` walks one bar more. `correct` puts other bars into their slots and walks again
from the newest mark before the first of them: a mark is a copy of what is carried, kept of the session's
beginning and of the last two of each EVERY bars, so that the usual correction, the bar just closed, costs a
copy and a few rows, and one of this morning a session. What a bar becomes is thus always walked in order of
time, whatever order its candles came in.

`windows` cuts what lessons.windows cuts of a panel: of each timeframe exactly `lookback` rows, those of
moments at which any ticker has a bar, up to the one that had closed by the close of the base row. No halo
beyond the lookback is needed: the network puts zeros before a window inside itself. Less history than that is
no lesson to the trainer and a DataError here. Tickers stand in order of their names, as in a panel; those
that have no bar are zeros.

Bars are integer paise and become rupees in `_rupees`, by the same division as candles that are fetched.
Knows no clock and no file.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fast
from among import Leads, new_leads
from features import OF_MARKET, VERSION_1, Bars, State, history, moment, new_state
from outcome import DataError
from processed import (
    THREADS,
    Columns,
    Moments,
    Recipe,
    Table,
    bars_of,
    groups_of,
    market_of,
    moments_of,
    require_sound,
)
from rulebook.hours import ist_day
from rulebook.records import Bar
from sessions_grid import Grid

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
EVERY = 8  # bars from mark to mark: a copy takes about as long as walking so many
MARKS = 2  # of those, beside the session's beginning
PAISE = 100


class LiveFeatures:
    """Of these tickers; `recipes` by timeframe, the base first, `lookbacks` the lengths of the windows."""

    def __init__(
        self, tickers: Iterable[str], recipes: Mapping[str, Recipe], lookbacks: Mapping[str, int]
    ) -> None:
        self.tickers = tuple(sorted(tickers))
        self._base = next(iter(recipes))
        self._lines = {name: _Line(self.tickers, recipe, lookbacks[name]) for name, recipe in recipes.items()}

    def begin(self, frames: Mapping[str, Mapping[str, "pd.DataFrame"]]) -> None:
        """All history by timeframe and ticker, anew; DataError names what cannot be told."""
        for name, line in self._lines.items():
            line.begin(frames[name])

    def add(self, timeframe: str, opened_at: datetime, bars: Mapping[str, Bar]) -> None:
        """The bars of one moment, by ticker, once they have closed; one outside of sessions is none."""
        self._lines[timeframe].put({opened_at: bars})

    def correct(self, timeframe: str, bars_by_time: Mapping[datetime, Mapping[str, Bar]]) -> bool:
        """Other or further bars of today; whether anything has changed by them."""
        return self._lines[timeframe].put(bars_by_time)

    def windows(self, opened_at: datetime) -> tuple[dict[str, Table], Flags]:
        """What was to be seen when the base bar of that opening had closed: by timeframe bar x ticker x
        feature; and who has that bar."""
        base = self._lines[self._base]
        opened_s = _second(opened_at)
        is_there = base.is_there_at(opened_s)
        closed_s = opened_s + base.length_s
        return {name: line.window(closed_s) for name, line in self._lines.items()}, is_there

    @property
    def nbytes(self) -> int:
        return sum(line.nbytes for line in self._lines.values())


# --- one timeframe ----------------------------------------------------------------------------------------


class _Carried(NamedTuple):
    """What is carried from bar to bar."""

    state: State
    leads: Leads

    def copy(self) -> "_Carried":
        return _Carried(
            State._make(each.copy() for each in self.state), Leads._make(each.copy() for each in self.leads)
        )

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in (*self.state, *self.leads))


class _Past(NamedTuple):
    """The last rows of the sessions before: when, who was there, the features."""

    opened_s: Ints
    is_there: Flags
    values: Table


class _Line:
    """One timeframe."""

    def __init__(self, tickers: Sequence[str], recipe: Recipe, lookback: int) -> None:
        self.length_s = recipe.grid.length_s
        self._tickers, self._recipe, self._lookback = tuple(tickers), recipe, lookback
        self._place = {ticker: s for s, ticker in enumerate(self._tickers)}
        self._groups = groups_of(self._tickers, recipe)
        self._new()

    def _new(self) -> None:
        count, width = len(self._tickers), len(self._recipe.names)
        self._now = _Carried(new_state(count, self._recipe.lookback), new_leads(count))
        nobody = np.zeros((0, count), np.bool_)
        self._past = _Past(np.zeros(0, np.int64), nobody, np.zeros((0, count, width), np.float32))
        self._today = _Session(self._recipe.grid, date.min, count, width)
        self._marks: list[tuple[int, _Carried]] = []  # before which slot
        self._next = 0  # the slot after the last one that was walked

    # --- history ---

    def begin(self, frames: Mapping[str, "pd.DataFrame"]) -> None:
        """Up to the last session in one go; that one as if it were today's."""
        self._new()
        grid = self._recipe.grid
        assert set(frames) <= set(self._place), "frames of tickers that are none of these"
        with ThreadPoolExecutor(THREADS, "features") as pool:  # compiled code lets the others run
            list(pool.map(lambda ticker: require_sound(ticker, frames[ticker], grid), frames))
            moments = moments_of(frames.values(), grid)
            stamps = moments.opened_s[moments.places.minute >= 0]
            if not len(stamps):
                return
            self._roll(grid.day_of(int(stamps[-1])))
            found = list(pool.map(lambda ticker: self._own(ticker, frames[ticker], moments), frames))
        stamps = stamps[stamps < self._today.opened_s[0]]
        self._market(dict(zip(frames, found, strict=True)), stamps, moments.of(stamps).midnight_s)
        self._marks = [(0, self._now.copy())]
        self._walk(0)

    def _own(self, ticker: str, frame: "pd.DataFrame", moments: Moments) -> Columns:
        """A ticker's own columns before the last session, whose bars are put into their slots."""
        stamps, bars = bars_of(frame, self._recipe.grid, moments)
        s, before = self._place[ticker], int(np.searchsorted(stamps, self._today.opened_s[0]))
        values = np.zeros((before, len(self._recipe.names)), np.float32)
        fast.compiled(history)(self._now.state, s, _rows(bars, slice(before)), values)
        slots = np.searchsorted(self._today.opened_s, stamps[before:])
        for column, told in zip(self._today.told, _rows(bars, slice(before, None))[: len(TOLD)], strict=True):
            column[slots, s] = told
        self._today.is_there[slots, s] = True
        return Columns(stamps[:before], values)

    def _market(self, found: Mapping[str, Columns], stamps: Ints, midnight_s: Ints) -> None:
        """The others' columns, and the rows that windows reach back to."""
        shape = (len(stamps), len(self._tickers))
        first, volume, is_there = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
        kept = max(0, len(stamps) - self._lookback)
        values = np.zeros((len(stamps) - kept, shape[1], len(self._recipe.names)), np.float32)
        for ticker, each in found.items():
            s, rows = self._place[ticker], np.searchsorted(stamps, each.opened_s)
            is_there[rows, s] = True
            values[rows[rows >= kept] - kept, s] = each.values[rows >= kept]
            if self._recipe.version > 1:
                first[rows, s], volume[rows, s] = each.values[:, 0], each.values[:, VERSION_1]
        if self._recipe.version > 1:
            is_first = np.diff(midnight_s, prepend=-1) != 0
            out = market_of(first, volume, is_there, is_first, self._groups, self._now.leads)
            values[..., -len(OF_MARKET) :] = out[kept:]
        self._past = _Past(stamps[kept:], is_there[kept:], values)

    # --- a session ---

    def put(self, bars_by_time: Mapping[datetime, Mapping[str, Bar]]) -> bool:
        """Into their slots, in order of time; what is not new costs nothing."""
        is_changed = False
        for day, rows in _by_day(bars_by_time).items():
            if not len(self._recipe.grid.of(day)):
                continue
            if day != self._today.day:
                self._roll(day)
            slots = [n for at, bars in rows.items() for n in self._today.put(at, bars, self._place)]
            if slots:
                self._walk(min(slots))
                is_changed = True
        return is_changed

    def _roll(self, day: date) -> None:
        """A new session: what was today's becomes the past."""
        if day < self._today.day:
            raise DataError(f"bars of {day} after {self._today.day} has begun: begin again with all history")
        is_row, kept = self._today.is_row, slice(-self._lookback, None)
        self._past = _Past(
            np.concatenate([self._past.opened_s, self._today.opened_s[is_row]])[kept],
            np.concatenate([self._past.is_there, self._today.is_there[is_row]])[kept],
            np.concatenate([self._past.values, self._today.values[is_row]])[kept],
        )
        self._today = _Session(self._recipe.grid, day, len(self._tickers), len(self._recipe.names))
        self._marks = [(0, self._now.copy())]
        self._next = 0

    def _walk(self, first: int) -> None:
        """Every bar from that slot on; from the newest mark before it if later ones were walked."""
        is_row = self._today.is_row
        end = int(np.flatnonzero(is_row)[-1]) + 1
        if first < self._next:
            while self._marks[-1][0] > first:
                self._marks.pop()
            first, carried = self._marks[-1]
            self._now = carried.copy()
        for n in range(first, end):
            if n % EVERY == 0 and n > self._marks[-1][0]:
                self._marks = [self._marks[0], *self._marks[1:][1 - MARKS :], (n, self._now.copy())]
            if is_row[n]:
                self._step(n, is_first=not is_row[:n].any())
        self._next = end

    def _step(self, n: int, is_first: bool) -> None:
        """The bars of one slot."""
        now, is_there, out = self._now, self._today.is_there[n], self._today.values[n]
        fast.compiled(moment)(now.state, self._today.bars_at(n), is_there, out)
        if self._recipe.version > 1:
            first, volume = (out[None, :, column].astype(np.float64) for column in (0, VERSION_1))
            found = market_of(first, volume, is_there[None], np.array([is_first]), self._groups, now.leads)
            out[:, -len(OF_MARKET) :] = found[0]

    # --- what is seen ---

    def is_there_at(self, opened_s: int) -> Flags:
        stamps = np.concatenate([self._past.opened_s, self._today.opened_s])
        row = int(np.searchsorted(stamps, opened_s))
        there = np.concatenate([self._past.is_there, self._today.is_there])
        found: Flags = np.logical_or.reduce(there[row : row + 1], axis=0)
        if not found.any() or stamps[row] != opened_s:
            timeframe = self._recipe.grid.timeframe
            raise DataError(f"nobody has a bar of {timeframe} that opened at {opened_s}: add it first")
        return found

    def window(self, closed_s: int) -> Table:
        """The last rows that had closed by then."""
        last_s = closed_s - self.length_s
        past = int(np.searchsorted(self._past.opened_s, last_s, side="right"))
        until = int(np.searchsorted(self._today.opened_s, last_s, side="right"))
        slots = np.flatnonzero(self._today.is_row[:until])[-self._lookback :]
        wanted = self._lookback - len(slots)
        if past < wanted:
            raise DataError(
                f"{past + len(slots)} bars of {self._recipe.grid.timeframe} are known and {self._lookback} "
                "wanted: fetch more history"
            )
        found = np.empty((self._lookback, *self._today.values.shape[1:]), np.float32)
        found[:wanted] = self._past.values[past - wanted : past]
        np.take(self._today.values, slots, axis=0, out=found[wanted:])
        return found

    @property
    def nbytes(self) -> int:
        carried = sum(each.nbytes for each in (self._now, *(each for _, each in self._marks)))
        return carried + sum(each.nbytes for each in (*self._past, *self._today.told, self._today.values))


TOLD = ("open", "high", "low", "close", "volume", "is_filled")  # of a bar by its candle; the first of Bars


class _Session:
    """One day's bars and features, a slot for each bar that it can have."""

    def __init__(self, grid: Grid, day: date, tickers: int, width: int) -> None:
        self.day = day
        self.opened_s = np.zeros(0, np.int64) if day == date.min else grid.of(day)
        shape = (len(self.opened_s), tickers)
        self.is_there: Flags = np.zeros(shape, np.bool_)
        self.values = np.zeros((*shape, width), np.float32)
        self.told: tuple[NDArray[Any], ...] = (
            *(np.ones(shape) for _ in TOLD[:-1]),
            np.zeros(shape, np.bool_),
        )
        self._places = grid.places(self.opened_s)
        self._length = np.minimum(grid.length_s // 60, self._places.session - self._places.minute)

    def put(self, opened_at: datetime, bars: Mapping[str, Bar], place: Mapping[str, int]) -> Sequence[int]:
        """The slot, if anything in it is new."""
        opened_s = _second(opened_at)
        n = int(np.searchsorted(self.opened_s, opened_s))
        if n == len(self.opened_s) or self.opened_s[n] != opened_s:
            return ()
        is_new = False
        for ticker, bar in bars.items():
            s, told = place[ticker], _rupees(bar)
            if not self.is_there[n, s] or told != tuple(column[n, s] for column in self.told):
                is_new = True
                self.is_there[n, s] = True
                for column, value in zip(self.told, told, strict=True):
                    column[n, s] = value
        return (n,) if is_new else ()

    @property
    def is_row(self) -> Flags:
        """Whether any ticker is there: a panel has no row otherwise."""
        found: Flags = np.logical_or.reduce(self.is_there, axis=1)
        return found

    def bars_at(self, n: int) -> Bars:
        """As the compiled functions take them; what is said of who is not there is not looked at."""
        places = self._places
        is_first = self.is_there[n] & ~self.is_there[:n].any(axis=0)
        of_all = (places.minute[n], self._length[n], places.session[n], places.is_early[n])
        alike = [np.full(len(is_first), value) for value in of_all]
        return Bars._make([*(column[n] for column in self.told), is_first, *alike])


def _rupees(bar: Bar) -> tuple[float, float, float, float, float, bool]:
    """As the candles on disk have them: a paisa is a hundredth, rounded to the nearest float once."""
    prices = (bar.open / PAISE, bar.high / PAISE, bar.low / PAISE, bar.close / PAISE)
    return *prices, float(bar.volume), bar.filled


def _by_day(
    bars_by_time: Mapping[datetime, Mapping[str, Bar]],
) -> dict[date, dict[datetime, Mapping[str, Bar]]]:
    found: dict[date, dict[datetime, Mapping[str, Bar]]] = {}
    for opened_at in sorted(bars_by_time):
        found.setdefault(ist_day(opened_at), {})[opened_at] = bars_by_time[opened_at]
    return found


def _rows(bars: Bars, rows: slice) -> Bars:
    return Bars._make(each[rows] for each in bars)


def _second(opened_at: datetime) -> int:
    assert opened_at.utcoffset() is not None
    return int(opened_at.timestamp())
