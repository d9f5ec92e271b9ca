"""What did a ticker trade today, second by second, with the disasters that struck it?

A strip is a tape in plain lists. A shock (faults.md 4: O6, O8, O9) makes another strip of it that differs
from the shock's first second on and never before, so whoever has walked up to there need not look back:

- a gap moves every later price by what it moved the first one, in whole ticks, inside the circuit;
- a lock holds the price at a circuit limit; the other side of the book is empty and nothing trades;
- a halt has no rows: nothing changes, nothing trades, and what would have traded never did.

A gap that runs into the circuit is a lock while it lasts. The market forgets its shocks overnight. Pure:
the same tape and the same shocks make the same strip.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

from exchange.nouns import Depth, Tape
from rulebook.fills import BPS, Level
from rulebook.records import Paise
from rulebook.stops import half_up

LEVELS = 5
QUEUE_AT_A_LOCK = 20  # how much longer the one queue is that a locked book has left
NO_DEPTH = Depth((), ())


class Kind(StrEnum):
    GAP = "gap"
    LOCK = "lock"
    HALT = "halt"


@dataclass(slots=True, eq=False)
class Shock:
    """`value`: basis points of a gap, the sign of a lock. Seconds count from midnight; None: to the end."""

    kind: Kind
    from_s: int
    until_s: int | None = None
    value: int = 0

    @property
    def turns(self) -> tuple[int, ...]:
        """The seconds at which something changes: none where it ends before it begins."""
        if self.kind is Kind.GAP or self.until_s is None:
            return (self.from_s,)
        return (self.from_s, self.until_s) if self.from_s < self.until_s else ()

    def holds(self, second: int) -> bool:
        return self.from_s <= second and (self.until_s is None or second < self.until_s)


class Range(NamedTuple):
    """The day's circuit limits and the tick; a limit of 0 does not bind."""

    lower: int
    upper: int
    tick: int


class Strip:
    """Rows of a day. `depth` is asked by row; `base` is the market's own tape."""

    __slots__ = ("base", "depth", "highs", "lasts", "lows", "seconds", "turnovers", "volumes")

    def __init__(self, base: Tape, columns: Sequence[list[int]], depth: Callable[[int], Depth]) -> None:
        self.base = base
        self.seconds, self.lasts, self.highs, self.lows, self.volumes, self.turnovers = columns
        self.depth = depth

    def row_at(self, second: int) -> int:
        """The last row up to that second; -1 where there is none yet."""
        return bisect_right(self.seconds, second) - 1

    def traded(self, row: int) -> int:
        """Shares that changed hands in that row."""
        return self.volumes[row] - (self.volumes[row - 1] if row else 0)

    def turned_over(self, row: int) -> int:
        """Paise times shares of that row."""
        return self.turnovers[row] - (self.turnovers[row - 1] if row else 0)

    def reach(self, row: int) -> tuple[int, int]:
        """The lowest and the highest price that the row shows: its last, or a new extreme of the day."""
        low = high = self.lasts[row]
        if row == 0 or self.lows[row] < self.lows[row - 1]:
            low = min(low, self.lows[row])
        if row == 0 or self.highs[row] > self.highs[row - 1]:
            high = max(high, self.highs[row])
        return low, high


def plain(tape: Tape) -> Strip:
    """The tape as it is."""
    columns = (tape.seconds, tape.lasts, tape.highs, tape.lows, tape.volumes, tape.turnovers)
    return Strip(tape, [_listed(column) for column in columns], tape.depth)


def shaken(tape: Tape, shocks: Sequence[Shock], limits: Range) -> Strip:
    """The tape under all shocks of its day."""
    source = plain(tape)
    if not source.seconds:
        return source
    writer = _Writer(source, sorted(shocks, key=lambda shock: shock.from_s), limits)
    first, last = source.seconds[0], source.seconds[-1]
    turns = {second for shock in shocks for second in shock.turns}
    inner = sorted(second for second in turns if first < second <= last)
    for start, end in pairwise([first, *inner, last + 1]):
        writer.write(start, end)
    return Strip(tape, writer.columns, writer.depth)


def _listed(column: Sequence[int]) -> list[int]:
    """Plain integers: those of numpy are slow one by one, and no JSON."""
    if isinstance(column, list):
        return column
    to_list = getattr(column, "tolist", None)
    return to_list() if to_list is not None else [int(value) for value in column]


class _Writer:
    """Writes a strip anew, stretch by stretch; within a stretch nothing begins or ends."""

    def __init__(self, source: Strip, shocks: Sequence[Shock], limits: Range) -> None:
        self._source = source
        self._gaps = [shock for shock in shocks if shock.kind is Kind.GAP]
        self._shocks = shocks
        self._limits = limits
        self._moved = 0
        self._looks: list[tuple[int, int, int]] = []  # row of the tape, moved by, the lock's side
        self.columns: list[list[int]] = [[] for _ in range(6)]

    def write(self, start: int, end: int) -> None:
        """Seconds from `start` up to `end`; the first one gets a row, for something has changed there."""
        if self._holding(Kind.HALT, start):
            return
        self._begin_gaps(start)
        seconds = self._source.seconds
        lowest, highest = bisect_left(seconds, start), bisect_left(seconds, end)
        if lowest == highest or seconds[lowest] != start:
            self._stretch([start], range(lowest - 1, lowest), False, start)
        if lowest < highest:
            self._stretch(seconds[lowest:highest], range(lowest, highest), True, start)

    def depth(self, row: int) -> Depth:
        read, moved, side = self._looks[row]
        base = self._source.depth(read)
        if side:
            return _locked(base, side, self._limits)
        return Depth(self._shown(base.bids, moved), self._shown(base.asks, moved))

    def _holding(self, kind: Kind, second: int) -> list[Shock]:
        return [shock for shock in self._shocks if shock.kind is kind and shock.holds(second)]

    def _begin_gaps(self, start: int) -> None:
        """Each moves what the price was then; one that began in a halt moves the first price after it."""
        while self._gaps and self._gaps[0].from_s <= start:
            reference = self.columns[1][-1] if self.columns[1] else self._source.lasts[0]
            self._moved += half_up(reference * self._gaps.pop(0).value // BPS, self._limits.tick)

    def _stretch(self, seconds: list[int], rows: range, is_traded: bool, start: int) -> None:
        source, moved = self._source, self._moved
        wanted = [price + moved for price in source.lasts[rows.start : rows.stop]]
        prices = self._inside(wanted)
        sides = [(price > inside) - (price < inside) for price, inside in zip(wanted, prices, strict=True)]
        locks = self._holding(Kind.LOCK, start)
        if locks:
            side = 1 if locks[-1].value >= 0 else -1
            bound = self._limits.upper if side > 0 else self._limits.lower
            sides, prices = [side] * len(rows), [bound] * len(rows) if bound else prices
        is_open = [is_traded and not side for side in sides]
        self._write_prices(seconds, prices, rows, is_open)
        self._write_volumes(prices, rows, is_open)
        self._looks += [(row, moved, side) for row, side in zip(rows, sides, strict=True)]

    def _write_prices(self, seconds: list[int], prices: list[int], rows: range, is_open: list[bool]) -> None:
        source, moved = self._source, self._moved
        reaches = [
            source.reach(row) if traded else (price - moved, price - moved)
            for row, price, traded in zip(rows, prices, is_open, strict=True)
        ]
        lows = self._inside([low + moved for low, _ in reaches])
        highs = self._inside([high + moved for _, high in reaches])
        self.columns[0] += seconds
        self.columns[1] += prices
        self.columns[2] += _running(self.columns[2], map(max, highs, prices), max)
        self.columns[3] += _running(self.columns[3], map(min, lows, prices), min)

    def _write_volumes(self, prices: list[int], rows: range, is_open: list[bool]) -> None:
        """What a lock or a halt kept from trading is in no total."""
        source = self._source
        shares = [source.traded(row) if traded else 0 for row, traded in zip(rows, is_open, strict=True)]
        if self._moved:
            turned = [price * qty for price, qty in zip(prices, shares, strict=True)]
        else:
            turned = [source.turned_over(row) if qty else 0 for row, qty in zip(rows, shares, strict=True)]
        self.columns[4] += _running(self.columns[4], shares, int.__add__)
        self.columns[5] += _running(self.columns[5], turned, int.__add__)

    def _inside(self, prices: list[int]) -> list[int]:
        lower = self._limits.lower or self._limits.tick
        upper = self._limits.upper or 1 << 62
        return [lower if price < lower else upper if price > upper else price for price in prices]

    def _shown(self, levels: Sequence[Level], moved: int) -> tuple[Level, ...]:
        if not moved:
            return tuple(levels)
        there = self._inside([level.price + moved for level in levels])
        return tuple(
            Level(Paise(price), level.qty)
            for level, price in zip(levels, there, strict=True)
            if price == level.price + moved
        )


def _running(before: list[int], values: Iterable[int], join: Callable[[int, int], int]) -> list[int]:
    """The running total, maximum or minimum, carried on."""
    if not before:
        return list(accumulate(values, join))
    return list(accumulate(values, join, initial=before[-1]))[1:]


def _locked(base: Depth, side: int, limits: Range) -> Depth:
    """One queue at the limit, and nobody on the other side."""
    limit = limits.upper if side > 0 else limits.lower
    queue = [level.qty for level in (base.bids if side > 0 else base.asks)] or [1]
    queue[0] *= QUEUE_AT_A_LOCK
    prices = [limit - side * limits.tick * n for n in range(len(queue))]
    levels = tuple(Level(Paise(price), qty) for price, qty in zip(prices, queue, strict=True) if price > 0)
    return Depth(levels, ()) if side > 0 else Depth((), levels)
