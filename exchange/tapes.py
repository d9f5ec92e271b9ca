"""What is a session's tape, and which candles are in it? The rows of a day, whoever has made them.

Columns become plain lists when they are first asked for: a list is what Python reads fastest, and a
candle needs only three of the six. Candles are those of the rows, to the paisa and the share; a minute in
which nothing was traded has none, as at the broker.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np

from exchange.depths import NO_DEPTH, Ladder
from exchange.fixed_point import Ints
from exchange.nouns import Candle, Depth
from rulebook.hours import IST

MINUTE_S = 60


class Bars(NamedTuple):
    """Candles by column, `opened_s` since 1970."""

    opened_s: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints

    def candles(self) -> list[Candle]:
        return list(map(Candle, *(column.tolist() for column in self)))


class RowTape:
    """Rows in columns of numbers; `shares` are those of each row. Without `ladder` there is no depth."""

    def __init__(
        self, seconds: Ints, lasts: Ints, shares: Ints, ladder: Callable[[], Ladder] | None = None
    ) -> None:
        self._seconds, self._lasts, self._shares, self._make_ladder = seconds, lasts, shares, ladder

    @cached_property
    def seconds(self) -> Sequence[int]:
        return _listed(self._seconds)

    @cached_property
    def lasts(self) -> Sequence[int]:
        return _listed(self._lasts)

    @cached_property
    def highs(self) -> Sequence[int]:
        return _listed(np.maximum.accumulate(self._lasts))

    @cached_property
    def lows(self) -> Sequence[int]:
        return _listed(np.minimum.accumulate(self._lasts))

    @cached_property
    def volumes(self) -> Sequence[int]:
        return _listed(np.cumsum(self._shares))

    @cached_property
    def turnovers(self) -> Sequence[int]:
        return _listed(np.cumsum(self._shares * self._lasts))

    def depth(self, row: int) -> Depth:
        return NO_DEPTH if self._ladder is None else self._ladder.depth(row)

    @cached_property
    def _ladder(self) -> Ladder | None:
        """Made when it is asked for: candles need none."""
        return None if self._make_ladder is None else self._make_ladder()

    def bars(self, day: date, length_s: int = MINUTE_S) -> Bars:
        """Its candles, a minute's where nothing else is asked for; longer ones count from midnight."""
        if not len(self._seconds):
            return NO_BARS
        first, last = int(self._seconds[0]) // length_s, int(self._seconds[-1]) // length_s
        opened = np.arange(first, last + 1, dtype=np.int64) * length_s
        starts = np.searchsorted(self._seconds, opened)
        is_traded = np.diff(starts, append=len(self._seconds)) > 0
        starts, opened = starts[is_traded], opened[is_traded]
        return Bars(
            opened_s=midnight_s(day) + opened,
            open=self._lasts[starts],
            high=np.maximum.reduceat(self._lasts, starts),
            low=np.minimum.reduceat(self._lasts, starts),
            close=self._lasts[np.append(starts[1:], len(self._lasts)) - 1],
            volume=np.add.reduceat(self._shares, starts),
        )


def midnight_s(day: date) -> int:
    """Of that day in India, since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=IST).timestamp())


def joined(parts: Sequence[Bars]) -> Bars:
    """Bars of days one after the other."""
    return Bars(*(np.concatenate(columns) for columns in zip(*parts, strict=True))) if parts else NO_BARS


def _listed(column: Ints) -> list[int]:
    values: list[int] = column.tolist()
    return values


NO_ROWS = np.zeros(0, np.int64)
NO_BARS = Bars(NO_ROWS, NO_ROWS, NO_ROWS, NO_ROWS, NO_ROWS, NO_ROWS)
NO_TAPE = RowTape(NO_ROWS, NO_ROWS, NO_ROWS)
