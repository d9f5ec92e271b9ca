"""What does a venue do with an order, against a bar's prices or a book's levels?

Two views of one market. Against a single price (a bar's path has nothing else) an order costs half a
spread and some slippage, a stop that is jumped over fills where the price went on, and no more than a
share of the bar's volume is ours. Against a book, levels are eaten in order of price, a protected
MARKET stops at its band and leaves the rest as a LIMIT, and an SL becomes a LIMIT when it triggers.

Pessimistic throughout and said so: nobody gets the better side of a doubt. The functions of plain
integers are compiled by fast.py; the records are for the venue that keeps a book. Knows no account,
no rule and no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rulebook.records import OrderType, Paise, Side
from rulebook.stops import away, half_up, worse

BPS = 10_000


# --- against one price: plain integers, compiled by fast.py ---------------------------------------


def at_market(sign: int, price: int, cost_bps: int, tick: int) -> int:
    """What a market order of that sign pays: half the spread and slippage against it, to the worse tick."""
    cost = -(-price * cost_bps // BPS)
    return max(tick, away(-sign, price + sign * cost, tick))


def stop_price(sign: int, stop: int, price: int, is_gap: bool) -> int:
    """Where a position's stop fills before costs: at the stop, or where the market opened beyond it.

    `sign` is the position's. Inside a bar the price is taken to pass every value between two points.
    """
    return worse(sign, stop, price) if is_gap else stop


def fillable(qty: int, volume: int, share_milli: int, lot: int) -> int:
    """How much of an order a bar of that volume can take, in whole lots. A share of 0 means no limit."""
    if share_milli == 0:
        return qty
    return min(qty, volume * share_milli // 1_000 // lot * lot)


def is_within_band(price: int, lower: int, upper: int) -> bool:
    """Whether the exchange takes an order at that price; a limit of 0 is unknown and does not bind."""
    return (lower == 0 or price >= lower) and (upper == 0 or price <= upper)


# --- against a book -------------------------------------------------------------------------------


class Level(NamedTuple):
    """Shares offered (or wanted) at one price. A tuple: a session makes millions."""

    price: Paise
    qty: int


@dataclass(frozen=True, slots=True)
class Resting:
    """An order on the book, as far as matching is concerned."""

    side: Side
    qty: int
    order_type: OrderType
    limit: Paise | None = None
    trigger: Paise | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """What an order got now, and what stays of it: None when nothing does."""

    taken: tuple[Level, ...]
    rest: Resting | None

    @property
    def qty(self) -> int:
        return sum(level.qty for level in self.taken)


def protected_limit(side: Side, last: Paise, percent_milli: int, tick: Paise) -> Paise:
    """The price at which market protection stops: a MARKET order is sent as a LIMIT there, never at zero."""
    return Paise(max(tick, half_up(last + side * (last * percent_milli // 100_000), tick)))


def automatic_protection_milli(last: Paise) -> int:
    """The broker's -1, in thousandths of a percent. UNCONFIRMED for Zerodha (kite.md 3.2): another
    broker's slabs, 2 % below Rs 100, 1 % up to Rs 500, 0.5 % above."""
    if last < 100_00:
        return 2_000
    return 1_000 if last <= 500_00 else 500


def is_triggered(order: Resting, last: Paise) -> bool:
    """A stop triggers when the last trade touches its trigger from the right side."""
    return order.trigger is not None and order.side * (last - order.trigger) >= 0


def activated(order: Resting, last: Paise, tick: Paise) -> Resting:
    """What a triggered stop becomes: SL rests at its own limit, SL-M at the protected price."""
    limit = order.limit
    if order.order_type is OrderType.SL_M:
        limit = protected_limit(order.side, last, automatic_protection_milli(last), tick)
    assert limit is not None, "an SL order carries a limit"
    return Resting(order.side, order.qty, OrderType.LIMIT, limit)


def match(order: Resting, opposite: Sequence[Level]) -> Match:
    """Take the other side's levels, best first, as far as the limit and the quantity go."""
    assert order.order_type is OrderType.LIMIT and order.limit is not None, "activate or protect it first"
    taken: list[Level] = []
    left = order.qty
    for level in opposite:
        if left == 0 or order.side * (level.price - order.limit) > 0:
            break
        if level.qty == 0:  # a thin book is padded with empty levels
            continue
        here = min(left, level.qty)
        taken.append(Level(level.price, here))
        left -= here
    rest = Resting(order.side, left, OrderType.LIMIT, order.limit) if left else None
    return Match(tuple(taken), rest)


def expected_price(side: Side, qty: int, opposite: Sequence[Level]) -> Paise | None:
    """The average that a market order would pay now, to the worse paisa; None when the book is too thin."""
    order = Resting(side, qty, OrderType.LIMIT, Paise(10**12 if side > 0 else 1))
    found = match(order, opposite)
    if found.rest is not None:
        return None
    value = sum(level.price * level.qty for level in found.taken)
    return Paise(-side * (-side * value // qty))


def slippage_bps(side: Side, expected: Paise, reference: Paise) -> float:
    """What that price costs against the mid or the last, in basis points; below zero it is a gain."""
    return side * (expected - reference) * BPS / reference
