"""As what kind of order does an entry go out, and at which price? And where does a stop's limit lie?

MARKET when the book says that it fills within the slippage that is allowed, else LIMIT at the guard price,
the worst that is allowed; a stop is an SL with a limit beyond its trigger. Pure integers and levels; the
broker's own rules about market orders are applied by who sends them (kite.md 3.2).
"""

from collections.abc import Sequence
from math import floor

from rulebook.fills import BPS, Level, expected_price, slippage_bps
from rulebook.order_records import Terms
from rulebook.records import OrderType, Paise, Side
from rulebook.stops import away

# An SL that triggers rests at its limit, and a price beyond the limit leaves the position bare while nobody
# is there to chase it. A limit is only the worst price: a far one costs nothing where the book is deep. SL-M
# would be banded by the broker, by how much is not published (kite.md 3.2), and not every class takes it.
STOP_BUFFER_BPS = 300


def reference_price(last: Paise, bids: Sequence[Level], asks: Sequence[Level]) -> Paise:
    """The mid, where there are two sides, else the last trade."""
    if bids and asks and bids[0].price <= asks[0].price:
        return Paise((bids[0].price + asks[0].price) // 2)
    return last


def guard_price(side: Side, reference: Paise, max_slippage_bps: float, tick: Paise) -> Paise:
    """The worst price that is allowed, on the grid and never beyond."""
    room = floor(reference * max_slippage_bps / BPS)
    return Paise(max(tick, away(side, reference + side * room, tick)))


def entry_terms(
    side: Side,
    qty: int,
    last: Paise,
    bids: Sequence[Level],
    asks: Sequence[Level],
    max_slippage_bps: float,
    tick: Paise,
    may_market: bool = True,
) -> Terms:
    """`may_market` is false once the broker has refused MARKET for this ticker."""
    reference = reference_price(last, bids, asks)
    expected = expected_price(side, qty, asks if side is Side.BUY else bids)
    if may_market and expected is not None and slippage_bps(side, expected, reference) <= max_slippage_bps:
        return Terms(qty, OrderType.MARKET)
    return Terms(qty, OrderType.LIMIT, guard_price(side, reference, max_slippage_bps, tick))


def stop_buffer(trigger: Paise, tick: Paise) -> Paise:
    """Between a stop's trigger and its limit, in whole ticks and at least one."""
    return Paise(max(tick, trigger * STOP_BUFFER_BPS // BPS // tick * tick))


def stop_terms(
    side: Side, qty: int, trigger: Paise, tick: Paise, lower: Paise | None = None, upper: Paise | None = None
) -> Terms:
    """The order of that side that protects; its limit keeps within the day's circuit."""
    limit = max(trigger + side * stop_buffer(trigger, tick), tick if lower is None else lower)
    return Terms(qty, OrderType.SL, Paise(limit if upper is None else min(limit, upper)), trigger)
