"""What does the broker say when it refuses? Its sentences, types and codes, in one place.

Sentences in the broker's own words, as people have quoted them: tick size, circuit limit, margin, market
protection, unknown order, being processed, modifications, trigger against the last price, MIS blocked,
unknown instrument, too many requests. The others (freeze, phase, self-trade, tag, variety) are worded
here in its manner; nobody should match on them. Codes: 400 is the only one on record for a refused order
(kite.md 1.8), also with MarginException (as in the broker's own sample of a sliced order); that of the
NetworkException of the 26th modification is not on record, 400 is taken.
"""

from collections.abc import Callable, Mapping

from exchange.nouns import RefusalError
from rulebook.records import Paise, Side

INPUT = "InputException"
BEING_PROCESSED = "Order cannot be {} as it is being processed. Try later."
SQUARED_OFF = "Order cancelled by RMS: auto square-off of MIS positions."
SQUARE_OFF_ORDER = "Auto square-off by RMS."
CANCELLED_AT_CLOSE = "Order cancelled by the exchange: the session is over."
CANCELLED_BEFORE_AUCTION = "Order cancelled by the exchange: continuous trading is over."
CANCELLED_IOC = "Order cancelled by the exchange: IOC, not matched at once."
SELF_TRADE = "Order rejected by the exchange: self trade prevention, it meets an order of the same client."
CLOSED = "Order rejected by the exchange: the market does not take such orders now."
RMS_MIS = "RMS:Blocked for {} MIS: fresh intraday orders are not taken after the square-off."
RMS_ANY = "RMS:Rule: Check order value including pending orders exceeds the limit set for this entity"


def rupees(price: int) -> str:
    return f"{price // 100}.{price % 100:02d}"


def _input(message: str) -> RefusalError:
    return RefusalError(400, INPUT, message)


def no_instrument() -> RefusalError:
    return _input("The instrument you are placing an order for has either expired or does not exist.")


def invalid(field: str, why: str) -> RefusalError:
    return _input(f"Invalid `{field}`. {why}")


def no_protection() -> RefusalError:
    return _input(
        "Market orders without market protection are not allowed via API. "
        "Please set market protection or use a limit order."
    )


def off_tick(what: str, tick: Paise) -> RefusalError:
    return _input(
        f"Tick size for this script is {rupees(tick)}. "
        f"Kindly enter {what} in the multiple of tick size for this script."
    )


def outside_circuit(is_above: bool, limit: Paise) -> RefusalError:
    word, name = ("higher", "upper") if is_above else ("lower", "lower")
    return _input(
        f"Your order price is {word} than the current {name} circuit limit of {rupees(limit)}. "
        "Place an order within the daily range."
    )


def outside_auction_band(lowest: Paise, highest: Paise) -> RefusalError:
    return _input(
        f"The closing auction takes prices from {rupees(lowest)} to {rupees(highest)}. "
        "Place an order within this range."
    )


def too_far_for_lpp() -> RefusalError:
    return _input("Your order price is outside the current allowed limit price protection (LPP) range.")


def trigger_passed(side: Side, last: Paise) -> RefusalError:
    side_word, word = ("buy", "higher") if side is Side.BUY else ("sell", "lower")
    return _input(
        f"Trigger price for stoploss {side_word} orders should be {word} than the last traded price"
        f" ({rupees(last)}). Try limit order."
    )


def trigger_beyond_limit(side: Side) -> RefusalError:
    side_word, word = ("buy", "above") if side is Side.BUY else ("sell", "below")
    return _input(f"Trigger price for stoploss {side_word} orders cannot be {word} the entered limit price.")


def frozen(most: int) -> RefusalError:
    return _input(f"Order quantity exceeds the freeze quantity of {most}. Place it in smaller orders.")


def too_much(what: str) -> RefusalError:
    return _input(f"An order of equity may not exceed {what}.")


def mis_blocked(ticker: str) -> RefusalError:
    return _input(f"MIS orders are currently blocked for {ticker}, place CNC instead.")


def mis_over(until: str) -> RefusalError:
    return _input(f"Intraday orders (MIS) are allowed only till {until}. Try placing a CNC order.")


def not_taken_now(why: str) -> RefusalError:
    return _input(f"Markets are closed right now: {why}.")


def no_holdings(ticker: str, sellable: int) -> RefusalError:
    message = (
        f"Insufficient holdings: {max(0, sellable)} shares of {ticker} can be sold. Only MIS sells short."
    )
    return RefusalError(400, "HoldingException", message)


def no_margin(required: int, available: int) -> RefusalError:
    message = (
        f"Insufficient funds. Required margin is {rupees(required)}"
        f" but available margin is {'-' if available < 0 else ''}{rupees(abs(available))}."
    )
    return RefusalError(400, "MarginException", message)


def being_processed(asked: str) -> RefusalError:
    """`asked`: modified or cancelled."""
    return _input(BEING_PROCESSED.format(asked))


def unknown_order() -> RefusalError:
    return RefusalError(404, "GeneralException", "Couldn't find that `order_id`.")


def modifications_exceeded() -> RefusalError:
    return RefusalError(400, "NetworkException", "Maximum allowed order modifications exceeded.")


def too_many_requests() -> RefusalError:
    return RefusalError(429, "NetworkException", "Too many requests")


# The fault `refused` picks one of these by its text (faults.md 4, O3).
ON_DEMAND: Mapping[str, Callable[[], RefusalError]] = {
    "margin": lambda: no_margin(100_000_00, 0),
    "tick": lambda: off_tick("price", Paise(5)),
    "freeze": lambda: frozen(1),
    "circuit": lambda: outside_circuit(False, Paise(1_00)),
    "lpp": too_far_for_lpp,
    "mis": lambda: mis_blocked("this instrument"),
    "protection": no_protection,
}
