"""Does the broker take this order? What POST and PUT /orders are checked for before anything is sent.

Kite's own order: fields, then quantity, then prices, then the session, then the product. The first thing
that is wrong is said, in the sentence of refusals.py. What depends on time at the exchange (a phase that
has ended meanwhile, a self-trade, a trigger that was passed on the way) is floor.py's, not a refusal here.

The trigger rule (faults.md O5; the sentence is often quoted, kite.md has none): a stop whose trigger the
last price has reached already is refused. Where the price gets there while the order is on its way, the
exchange triggers it at once.
"""

import re
from dataclasses import dataclass

from exchange import refusals
from exchange.account import CNC, MIS
from exchange.nouns import Listing, OrderRequest
from exchange.orders import Wording
from exchange.timetable import AUCTION_ENTRY, CLOSING_ENTRY, LIMIT_ONLY, ORDERS_TAKEN
from rulebook.auction import band
from rulebook.hours import PhaseKind
from rulebook.records import OrderType, Paise, Side

TAG = re.compile(r"[\x20-\x7e]{0,20}")
SHARES_MOST = 100_000
VALUE_MOST = 10 * 10_000_000 * 100  # ten crore rupees, in paise
PROTECTION_MILLI_MOST = 100_000
AUTOMATIC = -1


@dataclass(frozen=True, slots=True)
class Situation:
    """What an order of this ticker meets now."""

    listing: Listing
    last: Paise
    lower: Paise
    upper: Paise
    phase: PhaseKind | None
    reference: Paise | None  # of the closing auction
    mis_ends: str  # as a clock, for the sentence; empty: not today
    is_mis_open: bool


def check_fields(asked: OrderRequest) -> None:
    """What can be judged by the request alone."""
    if asked.variety != "regular":
        raise refusals.invalid("variety", f"{asked.variety!r} orders are not taken here, only regular ones.")
    if asked.product not in (MIS, CNC):
        raise refusals.invalid("product", f"{asked.product!r} is not allowed for equity: MIS or CNC.")
    if asked.validity not in ("DAY", "IOC"):
        raise refusals.invalid("validity", f"{asked.validity!r} is not taken here: DAY or IOC.")
    if asked.tag is not None and not TAG.fullmatch(asked.tag):
        raise refusals.invalid("tag", "At most 20 characters.")
    check_protection(asked.order_type, asked.protection_milli, asked.placed_by_hand or asked.placed_by_broker)


def check_protection(order_type: OrderType, milli: int, is_exempt: bool) -> None:
    """The rule of the API since 2026-04-01 (kite.md 3.2)."""
    if milli != AUTOMATIC and not 0 <= milli <= PROTECTION_MILLI_MOST:
        raise refusals.invalid("market_protection", "-1, or a percentage above 0 and up to 100.")
    if order_type in (OrderType.MARKET, OrderType.SL_M) and milli == 0 and not is_exempt:
        raise refusals.no_protection()


def check_needed(order_type: OrderType, price: int, trigger: int) -> None:
    """Which numbers a type cannot do without."""
    if order_type in (OrderType.LIMIT, OrderType.SL) and price <= 0:
        raise refusals.invalid("price", f"{order_type} orders need one above 0.")
    if order_type in (OrderType.SL, OrderType.SL_M) and trigger <= 0:
        raise refusals.invalid("trigger_price", f"{order_type} orders need one above 0.")


def check_listing(listing: Listing | None) -> Listing:
    if listing is None or listing.is_index:
        raise refusals.no_instrument()
    return listing


def check_wording(said: Wording, side: Side, now: Situation) -> None:
    """Quantity and prices, of a new order or of what a modification would make of one."""
    _check_qty(said, now)
    _check_prices(said, side, now)
    if said.is_stop and said.limit is not None and side * (said.trigger - said.limit) > 0:
        raise refusals.trigger_beyond_limit(side)


def check_trigger(said: Wording, side: Side, now: Situation) -> None:
    """A stop still has to wait for something."""
    if said.is_stop and side * (now.last - said.trigger) >= 0:
        raise refusals.trigger_passed(side, now.last)


def check_session(said: Wording, now: Situation) -> None:
    """Whether this phase takes such an order."""
    if now.phase is None or now.phase not in ORDERS_TAKEN:
        phase = "no session" if now.phase is None else now.phase.replace("_", " ")
        raise refusals.not_taken_now(f"{phase}, no order is taken")
    if now.phase in AUCTION_ENTRY and (said.is_stop or said.validity == "IOC"):
        raise refusals.not_taken_now("an auction takes neither stop-loss nor IOC orders")
    if now.phase in LIMIT_ONLY and said.is_market:
        raise refusals.not_taken_now("this part of the auction takes limit orders alone")
    if now.phase in CLOSING_ENTRY and now.reference is not None and said.limit is not None:
        lowest, highest = band(now.reference)
        if not said.is_market and not lowest <= said.limit <= highest:
            raise refusals.outside_auction_band(lowest, highest)


def check_product(asked: OrderRequest, now: Situation) -> None:
    """Intraday orders end before the day does, and not every stock has them."""
    if asked.product != MIS or asked.placed_by_broker:
        return
    if now.listing.mis_leverage < 1:
        raise refusals.mis_blocked(asked.ticker)
    if not now.is_mis_open:
        raise refusals.mis_over(now.mis_ends) if now.mis_ends else refusals.mis_blocked(asked.ticker)


def _check_qty(said: Wording, now: Situation) -> None:
    listing = now.listing
    if said.qty <= 0:
        raise refusals.invalid("quantity", "It has to be above 0.")
    if said.qty % listing.lot:
        raise refusals.invalid("quantity", f"It has to be a multiple of {listing.lot}.")
    if said.qty > listing.freeze_qty:
        raise refusals.frozen(listing.freeze_qty)
    if said.qty > SHARES_MOST:
        raise refusals.too_much(f"{SHARES_MOST} shares")
    if said.qty * max(said.price, said.trigger, now.last) > VALUE_MOST:
        raise refusals.too_much("Rs 10 crore")
    if not 0 <= said.disclosed_qty <= said.qty:
        raise refusals.invalid("disclosed_quantity", "It cannot exceed the quantity.")


def _check_prices(said: Wording, side: Side, now: Situation) -> None:
    for what, price in (("price", said.price), ("trigger price", said.trigger)):
        if price % now.listing.tick:
            raise refusals.off_tick(what, now.listing.tick)
        if price and now.upper and price > now.upper:
            raise refusals.outside_circuit(True, now.upper)
        if price and now.lower and price < now.lower:
            raise refusals.outside_circuit(False, now.lower)
    assert said.limit is not None or said.order_type is OrderType.SL_M, side
