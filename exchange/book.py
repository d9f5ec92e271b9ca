"""What do our orders in one ticker get, from whom, and in which turn?

Theory of operation
-------------------
The market does not know us: its rows come whatever we do. So an order of ours meets two things.

What is on offer now. An order that arrives, or whose stop has just fired, takes the other side's levels
by rulebook.fills.match at their prices. What was taken from a row stays taken until the next row.

What happens next. A resting order has a price and a place in the queue: behind the shares that were shown
at its price when it came, or, beyond the fifth level, when its price is shown for the first time. When a
row comes, it is filled at its own limit, in this order of evidence:
- the row offers shares at its limit or better: those would have met it first;
- the row traded beyond its limit: whatever traded in the row would have met it first;
- the row's last price is its limit: what traded in the row eats the queue, and of the rest our orders
  together get a share (Terms.participation_milli).
An order without a limit, the user's or the broker's, takes the levels of every row and what trades there.

Priority is price, then time of arrival, among our own orders as among all. A modification that moves the
price or adds shares goes to the back; one that takes shares away does not. Two orders of ours never meet:
the exchange refuses the second one (faults.md O12). Pessimistic throughout, like rulebook.fills.

One instance is one ticker at the exchange. It knows no clock; floor.py tells it what happens.
"""

from collections.abc import Callable, Sequence

from exchange.board import View
from exchange.nouns import Depth, Quote
from exchange.orders import Order, Stage
from rulebook.fills import Level, Resting, is_triggered, match
from rulebook.records import OrderType, Paise, Side

Fill = Callable[[Order, int, Paise], None]


class Book:
    def __init__(self, participation_milli: int, fill: Fill) -> None:
        self._participation_milli = participation_milli
        self._fill = fill
        self.orders: list[Order] = []  # at the exchange and live
        self._row: int | None = None
        self._taken: dict[tuple[Side, Paise], int] = {}  # from the row's levels, by the side that offers

    def clear_out(self) -> bool:
        """Forget what is over; whether anything is left."""
        self.orders = [order for order in self.orders if order.is_live]
        return bool(self.orders)

    def working(self, side: Side) -> list[Order]:
        """Our orders of that side that may trade, best first."""
        found = [o for o in self.orders if o.side is side and o.stage is Stage.WORKING]
        return sorted(found, key=lambda o: (-side * _limit(o), o.priority))

    def meets_own(self, order: Order, limit: Paise) -> bool:
        """Whether it would trade with an order of our own."""
        return any(
            order.side * (limit - _limit(other)) >= 0
            for other in self.orders
            if other.side is not order.side and other.stage is Stage.WORKING
        )

    def rests_against(self, order: Order) -> bool:
        """Whether an order of ours is on the other side at all, a stop included."""
        return any(other.side is not order.side and other.is_live for other in self.orders)

    # What is on offer now

    def take(self, order: Order, view: View, now_us: int) -> None:
        """Let an order take what it can from the levels; the rest queues."""
        self._turn_to(view)
        limit = _limit(order)
        if order.is_fresh:
            order.is_fresh = order.wording.is_market  # that goes after the other side in every row
            order.ahead = _shown_at(order.side, limit, view.depth)
        wanted = _quota(order, now_us)
        if wanted:
            resting = Resting(order.side, wanted, OrderType.LIMIT, limit)
            for level in match(resting, self._offered(order.side.opposite, view.depth)).taken:
                self._took(order.side.opposite, level.price, level.qty)
                _slice(order, now_us)
                self._give(order, level.qty, level.price)

    # What happens next

    def pass_row(self, view: View, now_us: int) -> None:
        """The market has gone on by a row: who rested is filled, in turn."""
        self._turn_to(view)
        for side in Side:
            self._serve(self.working(side), side, view, now_us)

    def sleeps(self, low: int, high: int) -> bool:
        """Whether a row of that reach does nothing here: only stops wait, and none is touched."""
        return all(o.stage is Stage.WAITING and not is_fired(o, low, high) for o in self.orders)

    def triggered(self, view: View) -> list[Order]:
        """Stops that this row has fired, in order of arrival."""
        waiting = [order for order in self.orders if order.stage is Stage.WAITING]
        fired = [order for order in waiting if is_fired(order, view.low, view.high)]
        return sorted(fired, key=lambda order: order.priority)

    # As others see it

    def overlay(self, seen: Quote) -> Quote:
        """The market's levels with our orders among them, and without what we took."""
        bids, asks = self._side_seen(Side.BUY, seen.depth), self._side_seen(Side.SELL, seen.depth)
        return seen._replace(
            depth=Depth(bids, asks),
            buy_qty=sum(level.qty for level in bids),
            sell_qty=sum(level.qty for level in asks),
        )

    def _serve(self, queue: Sequence[Order], side: Side, view: View, now_us: int) -> None:
        traded_left = view.traded
        shared_left = view.traded * self._participation_milli // 1_000
        is_blocked = False
        touched = view.low if side is Side.BUY else view.high
        for order in queue:
            limit = _limit(order)
            if order.is_fresh:  # it came while nothing could trade, or knows no limit
                self.take(order, view, now_us)
            else:
                self._meet(order, limit, view, now_us)
            if order.wording.is_market:
                traded_left -= self._get(order, traded_left, view.last, now_us)
            elif side * (limit - touched) > 0:
                traded_left -= self._get(order, traded_left, limit, now_us)
            elif view.last == limit and not is_blocked:
                behind = self._behind(order, view.traded)
                shared_left -= self._get(order, min(behind, shared_left, traded_left), limit, now_us)
            _move_up(order, limit, view)
            is_blocked = is_blocked or order.left > 0

    def _meet(self, order: Order, limit: Paise, view: View, now_us: int) -> None:
        """Shares offered at its limit or better go to it at its limit: they came later than it."""
        wanted = _quota(order, now_us)
        if wanted == 0:
            return
        resting = Resting(order.side, wanted, OrderType.LIMIT, limit)
        met = match(resting, self._offered(order.side.opposite, view.depth))
        for level in met.taken:
            self._took(order.side.opposite, level.price, level.qty)
        if met.qty:
            _slice(order, now_us)
            self._give(order, met.qty, limit)

    def _behind(self, order: Order, traded: int) -> int:
        """Our share of what trades at its price once the queue ahead is served."""
        if order.ahead is None:
            return 0
        return max(0, traded - order.ahead) * self._participation_milli // 1_000

    def _get(self, order: Order, qty: int, price: Paise, now_us: int) -> int:
        got = min(qty, _quota(order, now_us))
        if got > 0:
            _slice(order, now_us)
            self._give(order, got, price)
        return max(0, got)

    def _give(self, order: Order, qty: int, price: Paise) -> None:
        """Shares go to whoever of us is first in turn; asserted, for everything else here builds on it."""
        assert all(not _is_before(other, order) for other in self.orders), f"{order.order_id} is not in turn"
        self._fill(order, qty, price)

    def _turn_to(self, view: View) -> None:
        if self._row != view.row:
            self._row = view.row
            self._taken.clear()

    def _offered(self, side: Side, depth: Depth) -> list[Level]:
        """The market's levels of that side, less what we have of them."""
        levels = depth.bids if side is Side.BUY else depth.asks
        if not self._taken:
            return list(levels)
        return [Level(at.price, max(0, at.qty - self._taken.get((side, at.price), 0))) for at in levels]

    def _took(self, side: Side, price: Paise, qty: int) -> None:
        self._taken[side, price] = self._taken.get((side, price), 0) + qty

    def _side_seen(self, side: Side, depth: Depth) -> tuple[Level, ...]:
        shown = {level.price: level.qty for level in self._offered(side, depth) if level.qty}
        for order in self.working(side):
            limit, said = _limit(order), order.wording
            seen = min(order.left, said.disclosed_qty) if said.disclosed_qty else order.left
            shown[limit] = shown.get(limit, 0) + seen
        best = sorted(shown, reverse=side is Side.BUY)[:5]
        return tuple(Level(price, shown[price]) for price in best)


def is_fired(order: Order, low: int, high: int) -> bool:
    """Touching the trigger is enough, and a new extreme of the day is a touch."""
    said, touched = order.wording, Paise(high if order.side is Side.BUY else low)
    return is_triggered(Resting(order.side, order.left, said.order_type, said.limit, said.trigger), touched)


def _limit(order: Order) -> Paise:
    assert order.wording.limit is not None, f"{order.order_id} works without a limit"
    return order.wording.limit


def _move_up(order: Order, limit: Paise, view: View) -> None:
    """What traded at its price, or was taken away from it, no longer stands ahead."""
    if order.ahead is not None and view.last == limit:
        order.ahead = max(0, order.ahead - view.traded)
    shown = _shown_at(order.side, limit, view.depth)
    if shown is not None:
        order.ahead = shown if order.ahead is None else min(order.ahead, shown)


def _shown_at(side: Side, limit: Paise, depth: Depth) -> int | None:
    """Shares of others that go first at that price; None beyond the levels that are shown."""
    levels = [level for level in (depth.bids if side is Side.BUY else depth.asks) if level.qty]
    if levels and side * (levels[-1].price - limit) > 0:
        return None
    return sum(level.qty for level in levels if level.price == limit)


def _is_before(other: Order, order: Order) -> bool:
    """Whether the other one should have been served first; one that a fault holds back steps aside."""
    if other.side is not order.side or other.stage is not Stage.WORKING or other is order:
        return False
    is_held_back = other.slice_qty > 0 or other.at_most is not None
    better = order.side * (_limit(other) - _limit(order))
    return not is_held_back and (better > 0 or (better == 0 and other.priority < order.priority))


def _quota(order: Order, now_us: int) -> int:
    """What it may get now: everything, unless a fault slices it or has closed the band."""
    most = order.left
    if order.slice_qty:
        most = min(most, order.slice_qty) if now_us >= order.next_slice_us else 0
    return most if order.at_most is None else max(0, min(most, order.at_most - order.filled))


def _slice(order: Order, now_us: int) -> None:
    if order.slice_qty:
        order.next_slice_us = now_us + 1_000_000
