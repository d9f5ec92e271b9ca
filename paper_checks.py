"""Would the broker take this order? Fields, quantity, prices, session and money, in its own order.

The first thing that is wrong is refused as RejectedError with the class of the broker's refusal, so that a
session on paper meets what a live one meets. What only a fresh quote can say (the circuit limits, whether a
trigger is passed) is checked where there is one: an order that nobody can judge yet is taken, and meets the
next good quote. The sentences are ours.
"""

from datetime import datetime

from kite.errors import RejectedError
from kite.units import rupees_text
from paper_account import STOPS, Account, Market, PaperOrder, PaperTerms, Word
from paper_quotes import is_fresh
from rulebook.fills import is_within_band
from rulebook.hours import PhaseKind, Session
from rulebook.order_records import MODIFICATIONS_LIMIT, Refusal
from rulebook.records import OrderType, Paise

SHARES_MOST = 100_000  # of one order of equity, and its value (kite.md 3.6)
VALUE_MOST = 10 * 10_000_000 * 100


def check(asked: str, said: PaperOrder, market: Market, session: Session | None, now: datetime) -> None:
    """All that can be judged without the account; `said` is the order as it would be."""
    for found in (
        _of_fields(said),
        _of_qty(said, market),
        _of_prices(said, market),
        _of_session(session, now),
        _of_trigger(said, market, now),
    ):
        if found is not None:
            raise RejectedError(asked, found[1], found[0])


def check_means(asked: str, said: PaperOrder, account: Account, terms: PaperTerms) -> None:
    """Margin for what the order adds; what only reduces is free."""
    live = account.live()
    wanted = [said if order.order_id == said.order_id else order for order in live]
    if said.order_id not in account.orders:
        wanted.append(said)
    more = account.blocked(wanted, terms) - account.blocked(live, terms)
    free = account.free(terms)
    if more > max(0, free):
        what = f"insufficient funds on paper: {rupees_text(more)} is required, {rupees_text(free)} is free"
        raise RejectedError(asked, what, Refusal.MARGIN)


def check_askable(asked: str, order: PaperOrder | None, wants_stop: bool = False) -> PaperOrder:
    """The order, if something may still be asked of it."""
    order = check_known(asked, order)
    if not order.is_live:
        raise RejectedError(asked, f"the order is not open: {order.word}", Refusal.PROCESSING)
    if order.has_fired and wants_stop:
        raise RejectedError(asked, "the stop has been triggered, it is not pending", Refusal.PROCESSING)
    return order


def check_known(asked: str, order: PaperOrder | None) -> PaperOrder:
    if order is None:
        raise RejectedError(asked, "no such order on paper today", Refusal.OTHER)
    return order


def check_modifications(asked: str, order: PaperOrder) -> None:
    if order.modifications >= MODIFICATIONS_LIMIT:
        what = f"maximum allowed order modifications exceeded: {MODIFICATIONS_LIMIT}"
        raise RejectedError(asked, what, Refusal.MODIFICATIONS_EXCEEDED)


Found = tuple[Refusal, str] | None


def _of_fields(said: PaperOrder) -> Found:
    wants_price = said.order_type in (OrderType.LIMIT, OrderType.SL)
    if wants_price and (said.price is None or said.price <= 0):
        return Refusal.OTHER, f"{said.order_type} orders need a price above 0"
    if said.order_type in STOPS and (said.trigger is None or said.trigger <= 0):
        return Refusal.OTHER, f"{said.order_type} orders need a trigger price above 0"
    if said.price is None or said.trigger is None or said.side * (said.trigger - said.price) <= 0:
        return None
    return Refusal.CIRCUIT, f"the trigger price {said.trigger} lies beyond the limit {said.price}"


def _of_qty(said: PaperOrder, market: Market) -> Found:
    instrument = market.instrument
    last = market.quote.last if market.quote else 0
    if said.left <= 0 or said.qty % instrument.lot:
        what = f"the quantity {said.qty} must be above {said.filled} and a multiple of {instrument.lot}"
        return Refusal.OTHER, what
    most = min(instrument.freeze_qty or SHARES_MOST, SHARES_MOST)
    if said.qty > most:
        return Refusal.FREEZE, f"the quantity {said.qty} exceeds the freeze quantity of {most}"
    if said.qty * max(said.price or 0, said.trigger or 0, last) > VALUE_MOST:
        return Refusal.FREEZE, "the value exceeds the maximum value of one order, Rs 10 crore"
    return None


def _of_prices(said: PaperOrder, market: Market) -> Found:
    tick, quote = market.instrument.tick, market.quote
    lower, upper = (quote.lower_circuit, quote.upper_circuit) if quote else (0, 0)
    for price in _prices(said):
        if price % tick:
            return Refusal.TICK, f"{rupees_text(price)} is not a multiple of the tick {rupees_text(tick)}"
        if not is_within_band(price, lower, upper):
            band = f"{rupees_text(lower)} to {rupees_text(upper)}"
            return Refusal.CIRCUIT, f"{rupees_text(price)} lies outside the circuit limits, {band}"
    return None


def _prices(said: PaperOrder) -> list[Paise]:
    return [price for price in (said.price, said.trigger) if price is not None]


def _of_session(session: Session | None, now: datetime) -> Found:
    """Continuous trading alone: paper takes part in no auction. Intraday orders end before it does."""
    if session is None or session.phase_at(now) is not PhaseKind.CONTINUOUS:
        return Refusal.SESSION, "markets are closed: paper takes orders in continuous trading alone"
    if session.square_off_at is not None and now >= session.square_off_at:
        return Refusal.SESSION, f"intraday orders are taken only until {session.square_off_at:%H:%M}"
    return None


def _of_trigger(said: PaperOrder, market: Market, now: datetime) -> Found:
    """A stop still has to wait for something."""
    quote = market.quote
    waits = said.word is Word.TRIGGER_PENDING and said.trigger is not None
    if not waits or quote is None or not is_fresh(quote, now):
        return None
    assert said.trigger is not None
    if said.side * (quote.last - said.trigger) < 0:
        return None
    what = f"the trigger price {rupees_text(said.trigger)} is passed: last is {rupees_text(quote.last)}"
    return Refusal.CIRCUIT, what
