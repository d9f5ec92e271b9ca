"""How is what the order machine asks spelled for the broker? Place, Modify and Cancel into calls.

NSE, MIS, regular, DAY. MARKET and SL-M carry market protection, without which they are refused since April
2026 (kite.md 3.2); -1 lets the broker choose the band. Prices leave as rupees with two decimals, exactly.

What is urgent (a stop, an exit, any modification or cancel) is waited for no longer than it may be silent:
once it is in doubt the book is asked and a second stop goes out, and that is worth more than a late answer.
Ten seconds a request are the contract's most; the slowest percent of answers takes three (faults.md R8).
"""

from collections.abc import Mapping

from kite.books import EXCHANGE, PRODUCT
from kite.routes import CANCEL, MODIFY, PLACE, Call, Value
from kite.units import rupees_text
from rulebook.order_messages import Cancel, Modify, Place
from rulebook.order_records import Terms
from rulebook.records import OrderType, tag_of

VARIETY = "regular"
AUTOMATIC_PROTECTION = -1
URGENT_TOTAL_S = 5.0
ENTRY_TOTAL_S = 10.0
_PROTECTED = (OrderType.MARKET, OrderType.SL_M)


def place_call(asked: Place) -> Call:
    assert asked.tag == tag_of(asked.client_id), "the tag is how the order is found again"
    assert asked.terms.qty > 0, "an order is for at least a share"
    values = {
        "exchange": EXCHANGE,
        "tradingsymbol": asked.ticker,
        "transaction_type": asked.side.name,
        "product": PRODUCT,
        "validity": "DAY",
        "tag": asked.tag,
        **_terms(asked.terms),
    }
    return Call(
        PLACE, {"variety": VARIETY}, values, urgent=asked.urgent, total_s=_total_s(is_urgent=asked.urgent)
    )


def modify_call(asked: Modify) -> Call:
    names = {"variety": VARIETY, "order_id": asked.order_id}
    values = {"validity": "DAY", **_terms(asked.terms)}
    return Call(MODIFY, names, values, urgent=asked.urgent, total_s=_total_s(is_urgent=asked.urgent))


def cancel_call(asked: Cancel) -> Call:
    names = {"variety": VARIETY, "order_id": asked.order_id}
    return Call(CANCEL, names, urgent=asked.urgent, total_s=_total_s(is_urgent=asked.urgent))


def _total_s(*, is_urgent: bool) -> float:
    return URGENT_TOTAL_S if is_urgent else ENTRY_TOTAL_S


def _terms(terms: Terms) -> Mapping[str, Value]:
    values: dict[str, Value] = {"quantity": terms.qty, "order_type": terms.order_type.value}
    if terms.order_type in _PROTECTED:
        values["market_protection"] = AUTOMATIC_PROTECTION
    if terms.price is not None and terms.order_type not in _PROTECTED:
        values["price"] = rupees_text(terms.price)
    if terms.trigger is not None and terms.is_stop:
        values["trigger_price"] = rupees_text(terms.trigger)
    return values
