"""What does the user do in the broker's own app while the suite trades? H1 and H2 of faults.md 4.

A hand acts at the exchange, past every road and limit of ours. What it buys or sells is its own and carries
no tag; what it does to an order of ours nobody has asked for. A hand that finds nothing to act on does
nothing, and neither does one that the broker refuses.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from exchange.nouns import Changes, OrderRequest, RefusalError
from exchange.orders import Order, Stage
from exchange.venue import Exchange
from rulebook.records import OrderType, Paise, Side
from tests.exchange_market import TICK

_TICKS = 4  # by which a hand moves a trigger


class Deed(StrEnum):
    ADD = "add"
    REDUCE = "reduce"
    CLOSE = "close"
    REVERSE = "reverse"
    CANCEL = "cancel"  # a stop, or an entry that still works
    LOOSEN = "loosen"
    TIGHTEN = "tighten"
    SHRINK = "shrink"


@dataclass(frozen=True, slots=True)
class Hand:
    at: datetime
    ticker: str
    deed: Deed


def drawn(seed: int, tickers: Sequence[str], after: datetime, until: datetime) -> tuple[Hand, ...]:
    """In one seed of six, once a ticker: who was first is then never in doubt."""
    luck = Random(f"{seed}:hands")
    if luck.random() >= 1 / 6:
        return ()
    whose = luck.sample(list(tickers), luck.choice((1, 1, len(tickers))))
    moments = [after + timedelta(seconds=2) + (until - after) * luck.random() for _ in whose]
    return tuple(Hand(at, name, luck.choice(list(Deed))) for at, name in zip(moments, whose, strict=True))


def act(exchange: Exchange, hand: Hand, ours: int) -> str | None:
    """What was done, if anything; `ours` are the shares that the suite holds."""
    try:
        return _traded(exchange, hand, ours) if hand.deed in _SHARES else _meddled(exchange, hand)
    except RefusalError:
        return None


# In halves of what the suite holds; below zero: the other way.
_SHARES = {Deed.ADD: 2, Deed.REDUCE: -1, Deed.CLOSE: -2, Deed.REVERSE: -4}


def _traded(exchange: Exchange, hand: Hand, ours: int) -> str | None:
    qty = _SHARES[hand.deed] * ours // 2 if ours > 0 else -(_SHARES[hand.deed] * -ours // 2)
    if qty == 0:
        return None
    side = Side.BUY if qty > 0 else Side.SELL
    order_id = exchange.place(
        OrderRequest(hand.ticker, side, abs(qty), "MIS", OrderType.MARKET, placed_by_hand=True)
    )
    return f"{hand.deed} {side.name} {abs(qty)} {hand.ticker} as {order_id}"


def _meddled(exchange: Exchange, hand: Hand) -> str | None:
    live = [order for order in exchange._register.live(hand.ticker) if order.request.tag]
    stops = [order for order in live if order.stage is Stage.WAITING]
    if hand.deed is Deed.CANCEL:
        for order in [*stops, *live][:1]:
            return f"{hand.deed} {exchange.cancel(order.order_id, by_hand=True)}"
    for order in stops[:1]:
        changes = _changes(hand.deed, order)
        with suppress(ValueError):
            return f"{hand.deed} {exchange.modify(order.order_id, changes, by_hand=True)} {changes}"
    return None


def _changes(deed: Deed, stop: Order) -> Changes:
    if deed is Deed.SHRINK:
        return Changes(qty=stop.filled + max(1, stop.left // 2))
    ticks = _TICKS if deed is Deed.TIGHTEN else -_TICKS
    trigger = Paise(stop.wording.trigger - stop.side * ticks * int(TICK))
    return Changes(trigger=trigger)
