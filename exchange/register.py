"""What has been ordered and traded? The broker's truth, day after day, and who is told of it.

Every change of an order goes through here: it is written down first and told afterwards. Numbers are
made from the day and a serial, so the same calls give the same ids: an order's fifteen digits, a trade's
twelve. What the books show to who asks, late or stale as the faults want it, is shown.py's; this is what
really happened, and `truth` spells it for tests.
"""

from collections.abc import Sequence
from datetime import date
from random import Random
from typing import Any

from exchange.account import Account, Working
from exchange.agenda import Agenda, moment_of
from exchange.nouns import Listener, OrderRequest, Trade
from exchange.orders import FINAL, Order, Stage, Status, Wording
from rulebook.records import Paise

UPDATE = "UPDATE"  # only in frames: a partial fill, or a modification


class Register:
    """All orders and trades of the account."""

    def __init__(self, agenda: Agenda, account: Account, seed: int) -> None:
        self._agenda = agenda
        self._account = account
        self._seed = seed
        self._day = date.min
        self._serial = 0
        self._exchange_serial = 0
        self._trade_serial = 0
        self.listeners: list[Listener] = []
        self.orders: dict[str, Order] = {}  # today's, in order of placing
        self.trades: list[Trade] = []  # today's
        self._live: dict[str, Order] = {}  # in order of placing, too
        self._live_of: dict[str, dict[str, Order]] = {}  # by ticker
        self._past_orders: list[Order] = []
        self._past_trades: list[Trade] = []
        self._requests: list[tuple[int, str, str]] = []  # when, what, of which order

    def begin(self, day: date) -> None:
        """Clean books; what was in them is history."""
        assert not self._live, f"{list(self._live)} outlived their day"
        self._past_orders += self.orders.values()
        self._past_trades += self.trades
        self.orders, self.trades = {}, []
        self._day = day
        self._serial = self._exchange_serial = self._trade_serial = 0

    # Orders

    def open(self, asked: OrderRequest, wording: Wording, tags: Sequence[str]) -> Order:
        """A new order, accepted by the broker and not yet anywhere."""
        self._serial += 1
        order_id = f"{self._day:%y%m%d}{self._serial:09d}"
        now_us = self._agenda.now_us
        luck = Random(f"{self._seed}:order:{order_id}")
        order = Order(self._serial, order_id, asked, wording, now_us, luck, tuple(tags))
        self.orders[order_id] = order
        self._live[order_id] = order
        self._live_of.setdefault(order.ticker, {})[order_id] = order
        self.request("place", order)
        order.become(Status.RECEIVED, now_us)
        return order

    def request(self, what: str, order: Order) -> None:
        """Write down a request that was accepted."""
        self._requests.append((self._agenda.now_us, what, order.order_id))

    def reach_exchange(self, order: Order) -> None:
        """It is there, with the exchange's own number."""
        self._exchange_serial += 1
        order.exchange_order_id = f"1{self._day:%y%m%d}{self._exchange_serial:09d}"
        order.exchange_us = self._agenda.now_us

    def move(self, order: Order, status: Status, message: str | None = None, raw: str | None = None) -> None:
        order.become(status, self._agenda.now_us, message, raw)
        if status in FINAL:
            self._end(order)

    def update(self, order: Order) -> None:
        """Tell of a modification, or of shares that were filled."""
        self._tell(order, UPDATE)

    def fill(self, order: Order, qty: int, price: Paise) -> None:
        """Shares changed hands for it."""
        assert order.exchange_order_id is not None
        self._trade_serial += 1
        now_us = self._agenda.now_us
        trade = Trade(
            trade_id=f"{self._day:%y%m%d}{self._trade_serial:06d}",
            order_id=order.order_id,
            exchange_order_id=order.exchange_order_id,
            ticker=order.ticker,
            side=order.side,
            product=order.request.product,
            qty=qty,
            price=price,
            at=moment_of(now_us),
            order_at=moment_of(order.placed_us),
        )
        order.take(qty, price, now_us)
        self.trades.append(trade)
        self._account.book(trade, order.request.placed_by_broker)
        if order.stage is Stage.OVER:
            self._end(order)
        else:
            self._tell(order, UPDATE)

    def live(self, ticker: str | None = None) -> tuple[Order, ...]:
        """Orders that may still trade, in order of placing."""
        return tuple((self._live if ticker is None else self._live_of.get(ticker, {})).values())

    def working(self, but: Order | None = None) -> list[Working]:
        """As the account counts them; a stop counts at its limit, or else at its trigger."""
        return [self.as_working(order, order.wording) for order in self.live() if order is not but]

    def as_working(self, order: Order, said: Wording) -> Working:
        price = said.price or said.trigger or said.margin_price
        left = said.qty - order.filled
        return Working(order.ticker, order.request.product, order.side, left, price)

    def _end(self, order: Order) -> None:
        del self._live[order.order_id]
        del self._live_of[order.ticker][order.order_id]
        self._tell(order, order.status.value)

    def _tell(self, order: Order, status: str) -> None:
        for listener in tuple(self.listeners):
            listener.order_updated(order.view, status)

    # For tests

    def truth(self) -> dict[str, Any]:
        orders = [*self._past_orders, *self.orders.values()]
        return {
            "requests": [
                [n, moment_of(us).isoformat(), what, order_id]
                for n, (us, what, order_id) in enumerate(self._requests, 1)
            ],
            "orders": [_spelled(order) for order in orders],
            "trades": [_spelled_trade(trade) for trade in (*self._past_trades, *self.trades)],
        }


def _spelled(order: Order) -> dict[str, Any]:
    asked, said = order.request, order.wording
    by = "broker" if asked.placed_by_broker else "hand" if asked.placed_by_hand else "api"
    return {
        "order_id": order.order_id,
        "exchange_order_id": order.exchange_order_id,
        "serial": order.serial,
        "ticker": order.ticker,
        "side": order.side.name,
        "product": asked.product,
        "by": by,
        "tag": asked.tag,
        "tags": list(order.tags),
        "asked": {"order_type": asked.order_type.value, "qty": asked.qty, "price": asked.price},
        "order_type": said.order_type.value,
        "qty": said.qty,
        "price": said.price,
        "trigger": said.trigger,
        "status": order.status.value,
        "filled": order.filled,
        "cancelled": order.cancelled,
        "value": order.value,
        "modifications": order.modifications,
        "message": order.message,
        "rows": [[moment_of(us).isoformat(), row.status, row.filled, row.qty] for us, row in order.rows],
    }


def _spelled_trade(trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "order_id": trade.order_id,
        "ticker": trade.ticker,
        "side": trade.side.name,
        "product": trade.product,
        "qty": trade.qty,
        "price": trade.price,
        "at": trade.at.isoformat(),
    }
