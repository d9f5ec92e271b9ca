"""What do the broker's books show to who asks now? The truth, unless a fault makes them late or wrong.

The faults of faults.md 4, R3 and R11, each drawn anew with every reading and told apart by `where`, which
is the book's name (orders, trades, flows): an order that shows up late, books as they were a while ago,
the newest row left out, rows in any order. What is shown was always true once; nothing is invented.
"""

from collections.abc import Callable
from typing import TypeVar

from exchange.account import Position
from exchange.agenda import MILLISECOND, Agenda, micros
from exchange.faults import Faults
from exchange.nouns import Flow, OrderView, Trade
from exchange.orders import Order
from exchange.refusals import unknown_order
from exchange.register import Register

T = TypeVar("T")


class Shown:
    def __init__(
        self, agenda: Agenda, register: Register, faults: Faults, flows: Callable[[], list[Flow]]
    ) -> None:
        self._agenda = agenda
        self._register = register
        self._faults = faults
        self._flows = flows

    def orders(self) -> list[OrderView]:
        """Today's, in order of placing."""
        as_of_us = self._as_of("orders")
        seen = [self._row(order, as_of_us) for order in self._register.orders.values()]
        return self._disturbed("orders", [view for view in seen if view is not None])

    def history(self, order_id: str) -> list[OrderView]:
        order = self._register.orders.get(order_id)
        if order is None or self._is_hidden(order, self._agenda.now_us):
            raise unknown_order()
        return [view for _, view in order.rows]

    def trades(self) -> list[Trade]:
        as_of_us = self._as_of("trades")
        seen = [trade for trade in self._register.trades if self._is_seen(trade, as_of_us)]
        return self._disturbed("trades", seen)

    def flows(self) -> list[Flow]:
        """Positions follow the trades, a late order's too: they are kept elsewhere (kite.md 8)."""
        as_of_us = self._as_of("flows")
        if as_of_us >= self._agenda.now_us:
            return self._flows()
        positions: dict[tuple[str, str], Position] = {}
        for trade in self._register.trades:
            if micros(trade.at) <= as_of_us:
                position = positions.setdefault((trade.ticker, trade.product), Position())
                position.book(trade.side, trade.qty, trade.price)
        return [
            Flow(ticker, product, p.bought, p.bought_value, p.sold, p.sold_value)
            for (ticker, product), p in positions.items()
        ]

    def _as_of(self, book: str) -> int:
        now_us = self._agenda.now_us
        stale = self._faults.strikes("stale_books", self._agenda.now, book)
        return now_us if stale is None else now_us - stale.value * MILLISECOND

    def _disturbed(self, book: str, rows: list[T]) -> list[T]:
        now = self._agenda.now
        if rows and self._faults.strikes("newest_missing", now, book):
            rows = rows[:-1]
        if self._faults.strikes("unordered_books", now, book):
            self._faults.stream("unordered_books").shuffle(rows)
        return rows

    def _row(self, order: Order, as_of_us: int) -> OrderView | None:
        if self._is_hidden(order, as_of_us):
            return None
        if as_of_us >= self._agenda.now_us:
            return order.view
        return next((view for us, view in reversed(order.rows) if us <= as_of_us), None)

    def _is_seen(self, trade: Trade, as_of_us: int) -> bool:
        order = self._register.orders[trade.order_id]
        return micros(trade.at) <= as_of_us and not self._is_hidden(order, as_of_us)

    def _is_hidden(self, order: Order, as_of_us: int) -> bool:
        return as_of_us < order.hidden_until_us
