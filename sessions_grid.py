"""Which bars should a session have, and what becomes of one that is missing? Gaps, filling, resampling.

A session's bars open every so many minutes from the opening on, up to the end of continuous trading; the last
one may be shorter. A stock without a trade has no bar: that is a gap with a cause, and it is filled, where
somebody wants a bar, with the close before it and no volume, marked `filled`, inside its session only. What
lies before a session's first trade stays empty: no price is carried over a night.

Coarser bars are made of finer ones as the broker makes them: anchored at the opening, stamped with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from candle_store import FILLED, PRICES
from rulebook.bars import MINUTES
from rulebook.hours import IST, Calendar, SymbolClass

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
DAY_S, OFFSET_S = 86_400, 19_800  # IST has been so far ahead since 1945
NOTHING: Ints = np.zeros(0, np.int64)
HALT = timedelta(minutes=15)  # the exchange's shortest halt: a gap as long is one, a shorter one is a lull


class Cause(StrEnum):
    """Why a session's bars are not all there."""

    NOT_LISTED = "not listed"  # before the first bar on disk
    MISSING = "missing"  # not one bar of a session
    HALT = "halt"
    LULL = "no trades"


@dataclass(frozen=True, slots=True)
class Gap:
    """Bars that are not there."""

    day: date
    first_s: int
    bars: int
    cause: Cause


class Places(NamedTuple):
    """Of bars in their sessions, one column each."""

    minute: Ints  # at which it opened, since the session did
    session: Ints  # minutes of continuous trading that day
    is_early: NDArray[np.bool_]
    midnight_s: Ints


class Grid:
    """The bars of one timeframe for one class of stock."""

    def __init__(
        self,
        calendar: Calendar,
        timeframe: str,
        symbol_class: SymbolClass = SymbolClass.FNO,  # the class that stops first (docs/decisions.md)
    ) -> None:
        self.calendar = calendar
        self.timeframe = timeframe
        self.symbol_class = symbol_class
        self.length_s = 60 * MINUTES[timeframe]
        self._known: dict[date, Ints] = {}

    def of(self, day: date) -> Ints:
        """The opening seconds of that day's bars; none where nothing is traded."""
        if day not in self._known:
            self._known[day] = self._made(day)
        return self._known[day]

    def places(self, opened: Ints) -> "Places":
        """Where each of these bars lies in its session; minute -1 where it is no bar of one."""
        midnight = opened - (opened + OFFSET_S) % DAY_S
        minute, session = np.full(len(opened), -1, np.int64), np.ones(len(opened), np.int64)
        is_early = np.zeros(len(opened), np.bool_)
        for day_s in sorted_union(NOTHING, midnight):
            rows = slice(*np.searchsorted(midnight, [day_s, day_s + DAY_S]))
            bars = self.of(self.day_of(int(day_s)))
            if len(bars):
                found = self.calendar.session_of(self.day_of(int(day_s)), self.symbol_class)
                since = np.where(np.isin(opened[rows], bars), (opened[rows] - bars[0]) // 60, -1)
                minute[rows] = since
                session[rows] = (found.closes_at - found.opens_at).total_seconds() // 60
                is_early[rows] = found.early_close
        return Places(minute, session, is_early, midnight)

    def day_of(self, opened_s: int) -> date:
        return datetime.fromtimestamp(opened_s, IST).date()

    def _made(self, day: date) -> Ints:
        if not self.calendar.is_trading_day(day):
            return NOTHING
        session = self.calendar.session_of(day, self.symbol_class)
        if not session.tradable:
            return NOTHING
        if self.timeframe == "1d":
            return np.array([int(datetime.combine(day, time(), IST).timestamp())], np.int64)
        opens_s, closes_s = int(session.opens_at.timestamp()), int(session.closes_at.timestamp())
        return np.arange(opens_s, closes_s, self.length_s).astype(np.int64)


# --- gaps -----------------------------------------------------------------------------------------------


def gaps(frame: "pd.DataFrame", grid: Grid, first: date, last: date) -> Iterator[Gap]:
    """Every run of bars that the sessions from `first` to `last` should have and the frame has not."""
    there = opened_s(_traded(frame))
    listed_on = grid.day_of(int(there[0])) if len(there) else date.max
    for day in grid.calendar.sessions_between(first, last):
        wanted = grid.of(day)
        if day < listed_on:
            yield from (Gap(day, int(wanted[0]), len(wanted), Cause.NOT_LISTED) for _ in wanted[:1])
            continue
        absent = wanted[~np.isin(wanted, there)]
        if len(absent) == len(wanted):
            yield from (Gap(day, int(wanted[0]), len(wanted), Cause.MISSING) for _ in wanted[:1])
            continue
        for run in np.split(absent, np.flatnonzero(np.diff(absent) != grid.length_s) + 1):
            if len(run):
                is_halt = len(run) * grid.length_s >= HALT.total_seconds()
                yield Gap(day, int(run[0]), len(run), Cause.HALT if is_halt else Cause.LULL)


# --- filling --------------------------------------------------------------------------------------------


def imputed(frame: "pd.DataFrame", grid: Grid) -> "pd.DataFrame":
    """With every bar from a session's first trade on, those without a trade filled and marked.

    The last session is filled up to its last bar only: it may not be over. Doing it again changes nothing.
    """
    import pandas as pd

    traded = _traded(frame).reset_index(drop=True)
    if not len(traded):
        return traded.assign(**{FILLED: np.zeros(0, bool)})
    there = opened_s(traded)
    stamps = sorted_union(there, _wanted(there, grid))
    row = np.searchsorted(there, stamps, side="right") - 1
    is_filled = there[row] != stamps
    found = traded.iloc[row].reset_index(drop=True)
    found["timestamp"] = pd.to_datetime(stamps, unit="s", utc=True).as_unit("ns")
    found.loc[is_filled, PRICES] = np.repeat(found.loc[is_filled, ["close"]].to_numpy(), len(PRICES), axis=1)
    found.loc[is_filled, "volume"] = 0.0
    return found.assign(**{FILLED: is_filled})


def _wanted(there: Ints, grid: Grid) -> Ints:
    """What every session should have after its first trade; of the last one only what lies behind it."""
    days = there - (there + OFFSET_S) % DAY_S
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    wanted = [
        bars[bars > there[start]] for start in starts if len(bars := grid.of(grid.day_of(int(there[start]))))
    ]
    joined = np.concatenate([NOTHING, *wanted])
    found: Ints = joined[joined <= there[-1]]
    return found


# --- coarser bars ---------------------------------------------------------------------------------------


def resampled(frame: "pd.DataFrame", source: Grid, to: str) -> "pd.DataFrame":
    """Bars of timeframe `to` from finer ones, whole ones only: the last may still be growing."""
    import pandas as pd

    coarse = Grid(source.calendar, to, source.symbol_class)
    traded = _traded(frame)
    there = opened_s(traded)
    owner = _owners(there, source, coarse)
    keep = owner >= 0
    traded, there, owner = traded[keep], there[keep], owner[keep]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    columns: dict[str, Any] = {"timestamp": pd.to_datetime(owner[starts], unit="s", utc=True).as_unit("ns")}
    for name, join in (("open", None), ("high", np.maximum), ("low", np.minimum), ("close", None)):
        values = traded[name].to_numpy(np.float64)
        last = np.append(starts[1:], len(values)) - 1
        columns[name] = (
            join.reduceat(values, starts)
            if join and len(starts)
            else values[starts if name == "open" else last]
        )
    volume = traded["volume"].to_numpy(np.float64)
    columns["volume"] = np.add.reduceat(volume, starts) if len(starts) else volume
    found = pd.DataFrame(columns)
    return found[_is_whole(found, there, source, coarse)]


def _owners(there: Ints, source: Grid, coarse: Grid) -> Ints:
    """The opening of the coarse bar that each fine one lies in; -1 outside of sessions."""
    days = there - (there + OFFSET_S) % DAY_S
    owner = np.full(len(there), -1, np.int64)
    for midnight in sorted_union(NOTHING, days):
        rows = slice(*np.searchsorted(days, [midnight, midnight + DAY_S]))
        day = source.day_of(int(midnight))
        fine, wide = source.of(day), coarse.of(day)
        inside = np.isin(there[rows], fine)
        if len(wide):
            owner[rows] = np.where(inside, wide[np.searchsorted(wide, there[rows], side="right") - 1], -1)
    return owner


def _is_whole(found: "pd.DataFrame", there: Ints, source: Grid, coarse: Grid) -> NDArray[np.bool_]:
    """All but a last one whose last fine bar is not there."""
    whole = np.ones(len(found), bool)
    if len(found):
        opened = int(opened_s(found)[-1])
        fine = source.of(source.day_of(int(there[-1])))
        inside = fine[(fine >= opened) & (fine < opened + coarse.length_s)]
        whole[-1] = len(inside) > 0 and there[-1] >= inside[-1]
    return whole


# --- frames ---------------------------------------------------------------------------------------------


def opened_s(frame: "pd.DataFrame") -> Ints:
    return frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)


def sorted_union(one: Ints, other: Ints) -> Ints:
    """numpy's own hashes whole numbers, which is thirty times as slow where they lie in order already."""
    joined: Ints = np.sort(np.concatenate([one, other]), kind="stable")
    found: Ints = joined[np.diff(joined, prepend=joined[:1] - 1) != 0]
    return found


def _traded(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Without what was filled before, and without rows that have no price."""
    there = frame[PRICES].notna().all(axis=1)
    if FILLED in frame.columns:
        there &= ~frame[FILLED].astype(bool)
    return frame[there]
