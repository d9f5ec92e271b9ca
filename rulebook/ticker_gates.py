"""May this ticker be entered, and by this order? One function a gate, of one ticker's facts.

Each takes a Situation and answers a finding. The table that names them is in gates.py. The decisions are
those of rules.py and fills.py where they have them; here they get their guard against the unknown, and
their words. Money is paise in values and rupees in words.
"""

from math import isfinite

from rulebook.account_gates import feed_finding
from rulebook.bars import ATR_BARS, is_warm
from rulebook.fills import BPS, is_within_band, slippage_bps
from rulebook.findings import Finding, is_amount, is_finite, is_price, unknown
from rulebook.hours import NoWindow
from rulebook.records import Action
from rulebook.rules import (
    is_entry_time,
    is_rested,
    is_worth_its_cost,
    order_fits,
    size,
    takes_part,
    total_fits,
)
from rulebook.situation import NEVER, Situation

# --- the ticker -----------------------------------------------------------------------------------------


def session_window(s: Situation) -> Finding:
    """Stocks of different classes leave continuous trading at different times."""
    window, now = s.ticker.window, s.moment.now
    if not s.rules.is_intraday:
        return now, None, True, "positions are held over night; no window binds", ()
    if window is None:
        return unknown("when {0} may be entered", None, s.ticker.name)
    if isinstance(window, NoWindow):
        return now, None, False, "{0}", (window.reason,)
    start, end = window.start, window.safe_end
    at = now.astimezone(start.tzinfo)
    words = "it is {value:%H:%M:%S}; entries are taken from {0:%H:%M:%S} until before {1:%H:%M:%S}"
    return at, start if at < start else end, is_entry_time(at, start, end), words, (start, end)


def ticker_feed(s: Situation) -> Finding:
    t = s.ticker
    return feed_finding(t.name, t.feed, t.seen_age_s, s.limits.ticker_age_s)


def warm_up(s: Situation) -> Finding:
    t = s.ticker
    if not is_amount(t.bars_seen) or not is_amount(t.bars_needed) or t.are_features_finite is None:
        return unknown("whether {0} has its bars and features", None, t.name)
    is_fixed = s.rules.stop_bps > 0  # such a stop needs no range
    needed = t.bars_needed if is_fixed else max(t.bars_needed, ATR_BARS)
    if t.are_features_finite is not True:
        words = "{0} has features that are not numbers; its candles must be mended"
        return t.bars_seen, needed, False, words, (t.name,)
    passes = t.bars_seen >= t.bars_needed and (is_fixed or is_warm(t.bars_seen))
    return t.bars_seen, needed, passes, "{0} has {value:bar|bars}; {threshold} are needed", (t.name,)


def settlement(s: Situation) -> Finding:
    orders = s.ticker.unknown_orders
    if not is_amount(orders):
        return unknown("whether every order in {0} is settled", 0, s.ticker.name)
    words = "{value:order|orders} in {0} of UNKNOWN outcome; none may be"
    return orders, 0, orders == 0, words, (s.ticker.name,)


def cooldown(s: Situation) -> Finding:
    bars, least, names = s.ticker.bars_since_stop_out, s.rules.cooldown_bars, (s.ticker.name,)
    if not is_amount(bars):
        return unknown("when {0} was stopped out", least, *names)
    words = "{0} was stopped out {value:bar|bars} ago; {threshold} must pass"
    if bars >= NEVER:
        words = "{0} was not stopped out"
    return bars, least, is_rested(bars, s.rules), words, names


def min_confidence(s: Situation) -> Finding:
    """Whether the decision takes part in the contest at all: the side counts too."""
    decision, least = s.ticker.decision, s.rules.min_confidence
    if decision is None or not isfinite(decision.confidence) or not isfinite(least):
        return unknown("what is decided about {0}", least, s.ticker.name)
    action, confidence = decision.action, decision.confidence
    words = "the confidence is {value:.4g}; at least {threshold:g} is needed"
    if action is Action.HOLD:
        words = "the decision is HOLD; only BUY or SELL enters"
    elif s.rules.is_long_only and action is Action.SELL:
        words = "the decision is SELL; the rules let only BUY enter"
    return confidence, least, takes_part(action.sign, confidence, s.rules), words, ()


# --- the order ------------------------------------------------------------------------------------------


def lot_size(s: Situation) -> Finding:
    """No interface of the broker tells the freeze quantity (kite.md 3): an unknown one does not bind."""
    stock, qty, price, rules = s.ticker.instrument, s.order.qty, s.order.price, s.rules
    if stock is None or not is_price(stock.lot) or not is_price(price):
        return unknown("how many shares a lot of {0} has and what they cost", None, s.ticker.name)
    lot, most = stock.lot, size(price, stock.lot, rules)
    if most < lot:
        words = "a lot of {threshold} costs {0:Rs}; the capital of a trade is {1:Rs} and must reach that"
        return qty, lot, False, words, (price * lot, rules.capital)
    if not is_amount(qty):
        return unknown("how many shares of {0} are meant", lot, s.ticker.name)
    if stock.freeze_qty is not None and not qty <= stock.freeze_qty:
        words = "{value:share is|shares are} meant; the exchange takes at most {threshold} in one order"
        return qty, stock.freeze_qty, False, words, ()
    words = "{value:share is|shares are} meant; whole lots of {threshold} up to {0} may be"
    return qty, lot, lot <= qty <= most and qty % lot == 0, words, (most,)


def cost_in_r(s: Situation) -> Finding:
    cost, distance, times_milli = s.order.cost, s.order.distance, s.rules.cost_times_milli
    most_r = 1_000 / times_milli if times_milli else None
    if not is_amount(cost) or not is_price(distance):
        return unknown("what the round trip costs in R", most_r)
    words = "the round trip costs {value:.4g} R; at most {threshold:.4g} R may be: the stop must be wider"
    if most_r is None:
        words = "the round trip costs {value:.4g} R; no limit is set"
    return cost / distance, most_r, is_worth_its_cost(cost, distance, s.rules), words, ()


def slippage(s: Situation) -> Finding:
    """An order with a limit of its own pays no more than that, so it passes where a free one does not."""
    side, pays, reference = s.order.side, s.order.pays, s.order.reference
    most = s.limits.max_slippage_bps
    if side is None or not is_price(pays) or not is_price(reference):
        return unknown("what the order would pay", most)
    cost = slippage_bps(side, pays, reference)
    words = "the order costs {value:.4g} bp against the market's price; at most {threshold:g} bp may be"
    return cost, most, cost <= most, words, ()


def spread(s: Situation) -> Finding:
    bid, ask, most = s.ticker.bid, s.ticker.ask, s.limits.max_spread_bps
    if not is_price(bid) or not is_price(ask):
        return unknown("what is bid and asked for {0}", most, s.ticker.name)
    width = (ask - bid) * 2 * BPS / (ask + bid)
    if width < 0:
        return (
            width,
            most,
            False,
            "{0:Rs} bid and {1:Rs} asked are crossed; entries wait for a quote",
            (bid, ask),
        )
    return (
        width,
        most,
        width <= most,
        "bid and ask are {value:.4g} bp apart; at most {threshold:g} bp may be",
        (),
    )


def depth(s: Situation) -> Finding:
    shown, qty, times = s.order.depth_qty, s.order.qty, s.limits.min_depth_multiple
    if not is_amount(shown) or not is_price(qty):
        return unknown("how many shares the book shows for the order")
    words = "the book shows {value} for {0:share|shares}; at least {threshold:g} are needed"
    return shown, times * qty, shown >= times * qty, words, (qty,)


def price_band(s: Situation) -> Finding:
    """The market's price: the one that the entry was sized by is the last close itself."""
    price, close, atr_milli = s.order.reference, s.ticker.last_close, s.ticker.atr_milli
    most = s.limits.price_band_atr
    if not is_price(price) or not is_price(close) or not is_price(atr_milli):
        return unknown("how far {0} is from its last close", most, s.ticker.name)
    away_milli = 1_000 * abs(price - close)
    words = "the market is {value:.4g} ATR from the last close; at most {threshold:g} may be"
    return away_milli / atr_milli, most, away_milli <= most * atr_milli, words, ()


def notional_per_order(s: Situation) -> Finding:
    price, qty, most = s.order.price, s.order.qty, s.rules.max_order
    if not is_price(price) or not is_price(qty) or not is_price(price * qty):
        return unknown("what the order is worth", most or None)
    words = "the order is worth {value:Rs}; at most {threshold:Rs} may be"
    if most == 0:
        words = "the order is worth {value:Rs}; no limit is set"
    return price * qty, most or None, order_fits(price * qty, s.rules), words, ()


def notional_total(s: Situation) -> Finding:
    price, qty, held, most = s.order.price, s.order.qty, s.moment.open_value, s.rules.max_total
    if not is_price(price) or not is_price(qty) or not is_amount(held) or not is_price(price * qty + held):
        return unknown("what the order and all that is open are worth", most or None)
    words = "the order and all that is open are worth {value:Rs}; at most {threshold:Rs} may be"
    if most == 0:
        words = "the order and all that is open are worth {value:Rs}; no limit is set"
    return price * qty + held, most or None, total_fits(price * qty, held, s.rules), words, ()


def margin(s: Situation) -> Finding:
    needed, there = s.order.margin_needed, s.moment.margin_available
    if not is_price(needed) or not is_finite(there):
        return unknown("whether the margin suffices")
    return needed, there, needed <= there, "the order needs {value:Rs} of margin; {threshold:Rs} is there", ()


def circuit(s: Situation) -> Finding:
    """The price keeps a tick from the limits: at a limit nobody may be there to trade with."""
    stock, price, stop = s.ticker.instrument, s.order.price, s.order.stop
    if stock is None or not is_price(stock.lower_circuit) or not is_price(stock.upper_circuit):
        return unknown("where the circuit limits of {0} are", None, s.ticker.name)
    lower, upper, tick = stock.lower_circuit, stock.upper_circuit, stock.tick
    if not is_price(price) or not is_price(stop) or not is_price(tick):
        return unknown("where the order and its stop would be")
    passes = is_within_band(price, lower + tick, upper - tick) and is_within_band(stop, lower, upper)
    nearer = lower if price - lower < upper - price else upper
    words = "price {value:Rs} and stop {0:Rs} must lie within {1:Rs} and {2:Rs}, the price a tick inside"
    return price, nearer, passes, words, (stop, lower, upper)
