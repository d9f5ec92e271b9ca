"""Who trades at which price in a call auction? The pre-open one and, since August 2026, the closing one.

Orders are collected and then matched at a single price: the one at which most shares change hands;
among equals the one that leaves the smaller rest, then the one nearest to the reference price. Market
orders go before limit orders, better limits before worse ones, earlier before later (kite.md 6.4; the
order of the last two ties is NSE's rule for its pre-open auction, taken for the closing one as well,
UNCONFIRMED). Prices keep within a band around the reference; what is outside is not taken.

Stops do not exist here: the exchange cancels untriggered ones before the auction. Knows no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rulebook.records import Paise, Side

BAND_MILLI = 30  # +-3 %, static, around the reference of the closing auction


@dataclass(frozen=True, slots=True)
class Bid:
    """An order for the auction; no limit is a market order. Listed in the order of arrival."""

    side: Side
    qty: int
    limit: Paise | None = None


@dataclass(frozen=True, slots=True)
class Uncrossed:
    """The single price, and what each order got, in the order in which they were given."""

    price: Paise | None  # None: nothing met, and the reference stands as the close
    filled: tuple[int, ...]


def band(reference: Paise, band_milli: int = BAND_MILLI) -> tuple[Paise, Paise]:
    """The lowest and the highest price that the auction takes, inwards to whole paise."""
    room = reference * band_milli // 1_000
    return Paise(reference - room), Paise(reference + room)


def is_taken(order: Bid, reference: Paise, band_milli: int = BAND_MILLI) -> bool:
    """Whether the auction takes the order at all."""
    lowest, highest = band(reference, band_milli)
    return order.limit is None or lowest <= order.limit <= highest


def uncross(orders: Sequence[Bid], reference: Paise) -> Uncrossed:
    """Match everything at one price."""
    taken = [order if is_taken(order, reference) else Bid(order.side, 0) for order in orders]
    price = _price(taken, reference)
    if price is None:
        return Uncrossed(None, (0,) * len(orders))
    volume = min(_wanted(taken, Side.BUY, price), _wanted(taken, Side.SELL, price))
    filled = [0] * len(orders)
    for side in Side:
        left = volume
        for index in _by_priority(taken, side, price):
            filled[index] = min(left, taken[index].qty)
            left -= filled[index]
    return Uncrossed(price, tuple(filled))


def _price(orders: Sequence[Bid], reference: Paise) -> Paise | None:
    candidates = sorted({reference, *(order.limit for order in orders if order.limit is not None)})

    def merit(price: Paise) -> tuple[int, int, int]:
        buys, sells = _wanted(orders, Side.BUY, price), _wanted(orders, Side.SELL, price)
        return min(buys, sells), -abs(buys - sells), -abs(price - reference)

    best = max(candidates, key=merit)
    return best if merit(best)[0] > 0 else None


def _wanted(orders: Sequence[Bid], side: Side, price: Paise) -> int:
    """Shares that this side would trade at that price."""
    return sum(order.qty for order in orders if order.side is side and _agrees(order, price))


def _agrees(order: Bid, price: Paise) -> bool:
    return order.limit is None or order.side * (order.limit - price) >= 0


def _by_priority(orders: Sequence[Bid], side: Side, price: Paise) -> list[int]:
    """Market orders, then the better limits, then the earlier arrivals."""
    who = [i for i, order in enumerate(orders) if order.side is side and _agrees(order, price)]

    def rank(i: int) -> tuple[bool, int]:
        limit = orders[i].limit
        return (limit is not None, 0 if limit is None else -side * limit)

    return sorted(who, key=rank)
