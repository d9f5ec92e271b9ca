"""How much of a position may an order still close, and how is the rest brought out? Reduce-only, by counting.

The broker's API has no reduce-only order, and a stop that is left behind opens a position the other way. So
whatever closes is counted against what is held, the orders that close already included, and an exit is made
of the stop that rests: one order closes, never two. Pure: two books in, steps out.

What is held is told by the positions and by the orders' own fills. Either may be seconds old (faults.md
R11), so where they differ the smaller one counts, and where they contradict each other, none of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kite.books import PositionRow, mis_net
from kite.settle import OVER, status_of
from rulebook.order_messages import OrderRow
from rulebook.order_records import Status
from rulebook.records import Side


@dataclass(frozen=True, slots=True)
class Standing:
    """A ticker: shares held (below zero: short) by two tellings, and the orders that would close them."""

    in_positions: int
    in_orders: int
    closers: tuple[OrderRow, ...]

    @property
    def held(self) -> int:
        if self.in_positions * self.in_orders <= 0:
            return 0
        return min(self.in_positions, self.in_orders, key=abs)

    @property
    def is_settled(self) -> bool:
        return self.in_positions == self.in_orders

    @property
    def closing_side(self) -> Side:
        return Side.SELL if self.held > 0 else Side.BUY

    @property
    def stops(self) -> tuple[OrderRow, ...]:
        return tuple(row for row in self.closers if status_of(row) is Status.TRIGGER_PENDING)

    @property
    def free(self) -> int:
        """Shares that no order closes yet."""
        return max(0, abs(self.held) - sum(left(row) for row in self.closers))


@dataclass(frozen=True, slots=True)
class Convert:
    """The stop becomes the exit."""

    stop: OrderRow
    qty: int


@dataclass(frozen=True, slots=True)
class Shrink:
    """The stop stays, for so many shares."""

    stop: OrderRow
    qty: int


@dataclass(frozen=True, slots=True)
class Drop:
    """The stop protects nothing that the others do not."""

    stop: OrderRow


@dataclass(frozen=True, slots=True)
class Send:
    """An order for what no stop covers."""

    qty: int


Step = Convert | Shrink | Drop | Send


def standing(ticker: str, positions: Iterable[PositionRow], orders: Iterable[OrderRow]) -> Standing:
    """Read the positions first: a fill in between then shows in the orders, and the smaller one counts."""
    mine = [row for row in orders if row.ticker == ticker]
    in_positions = mis_net(tuple(positions)).get(ticker, 0)
    in_orders = sum(row.side * row.filled for row in mine)
    side = Side.SELL if in_positions > 0 else Side.BUY
    alive = (row for row in mine if row.side is side and status_of(row) not in OVER)
    return Standing(in_positions, in_orders, tuple(alive))


def left(row: OrderRow) -> int:
    """What it may still trade."""
    return 0 if status_of(row) in OVER else max(0, row.qty - row.filled)


def exit_steps(now: Standing, qty: int) -> list[Step]:
    """To be taken in this order: at no moment do orders close more than is held, or leave more bare."""
    open_ = abs(now.held) - sum(left(row) for row in now.closers if row not in now.stops)
    wanted = max(0, min(qty, open_))
    kept = max(0, open_ - wanted)  # what the stops go on protecting
    bare = min(wanted, now.free)  # sold first: no stop is needed for it any more
    of_stops = wanted - bare
    steps: list[Step] = []
    for stop in now.stops:
        if of_stops and (left(stop) <= of_stops or not kept):
            steps.append(Convert(stop, min(left(stop), of_stops)))
            of_stops -= min(left(stop), of_stops)
            continue
        stays = min(left(stop), kept)
        kept -= stays
        if stays < left(stop):
            steps.insert(0, Shrink(stop, stays) if stays else Drop(stop))
    return [*steps, Send(bare + of_stops)] if bare + of_stops else steps
