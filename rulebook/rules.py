"""What do the rules say? The decisions themselves, each a function of plain numbers, written once.

book.py asks them event by event; walk.py asks them over whole tables, compiled by fast.py from these
very functions. Integers and floats in, integers and booleans out; `sign` is +1 for a long or BUY, -1
for a short or SELL, 0 for neither. trading.md is the text; the order of its steps is the callers'
business, the answers are here. Knows no record, no clock and no caller.
"""

from datetime import datetime
from typing import NamedTuple, TypeVar

from rulebook.stops import is_crossed

Instant = TypeVar("Instant", int, datetime)

# Reasons, as stored; the same numbers as records.ExitReason, which a test holds.
STAY, STOP, TRAIL, TARGET, SIGNAL, CLOCK, LOSS_LOCK = 0, 1, 2, 3, 4, 5, 6
SQUARE_OFF = 8


class Rules(NamedTuple):
    """The rules' numbers, all whole: paise, thousandths (milli), basis points, seconds of the IST day.

    A named tuple because compiled code takes one as it is. Zero switches an optional limit off.
    """

    capital: int  # paise in one trade, leverage included
    trail_milli: int = 1_000
    atr_times_milli: int = 1_500
    cost_times_milli: int = 4_000
    stop_bps: int = 0  # instead of ATR: a fixed distance; baselines and comparisons use it
    target_milli: int = 0
    max_concurrent: int = 3
    max_trades_per_day: int = 12
    cooldown_bars: int = 3
    min_confidence: float = 0.0
    max_loss_milli: int = 3_000  # thousandths of R a day
    max_loss: int = 0  # paise a day
    max_order: int = 0  # paise of one entry
    max_total: int = 0  # paise of everything open
    fill_cost_bps: int = 2  # half a spread and slippage, against us, on every fill
    volume_share_milli: int = 100  # at most a tenth of a bar's volume is ours
    one_entry_a_bar: bool = True  # only the max-confidence ticker
    is_intraday: bool = True  # flat at the day's end
    is_long_only: bool = False


# --- the contest -----------------------------------------------------------------------------------


def prefers(confidence: float, is_free: bool, best_confidence: float, best_is_free: bool) -> bool:
    """Whether a later name beats the best so far: more confidence, or as much and no active trade.

    Names are visited in their order, so among equals the smaller name stays.
    """
    if confidence != best_confidence:
        return confidence > best_confidence
    return is_free and not best_is_free


def takes_part(action: int, confidence: float, rules: Rules) -> bool:
    """Whether this ticker is in the contest at all: an action, sure enough, on a side that is allowed."""
    if action == 0 or not confidence >= rules.min_confidence:  # this way NaN takes no part
        return False
    return action > 0 or not rules.is_long_only


def are_apart(tickers: int, bars: int, rules: Rules) -> bool:
    """Whether no ticker can ever keep another from an entry or send it away: there is no contest, room for
    all of them at once, and nothing is limited that they share. Each may then be walked for itself."""
    has_room = rules.max_concurrent >= tickers and rules.max_trades_per_day >= tickers * bars
    shares_limit = rules.max_loss_milli > 0 or rules.max_loss > 0 or rules.max_total > 0
    return has_room and not shares_limit and not rules.one_entry_a_bar


# --- entries -----------------------------------------------------------------------------------------


def is_entry_time(now: Instant, start: Instant, safe_end: Instant) -> bool:
    """Half open: at the safe end itself exits begin. Seconds of the day, or aware times."""
    return start <= now < safe_end


def size(price: int, lot: int, rules: Rules) -> int:
    """Shares that the capital buys, in whole lots; 0 is no order."""
    return rules.capital // price // lot * lot


def has_free_place(active: int, rules: Rules) -> bool:
    """Whether fewer trades are open than may be."""
    return active < rules.max_concurrent


def has_entries_left(trades_today: int, rules: Rules) -> bool:
    """Whether the day has entries left."""
    return trades_today < rules.max_trades_per_day


def is_rested(bars_since_stop_out: int, rules: Rules) -> bool:
    """No revenge: some bars must pass after a stop-out in the same ticker."""
    return bars_since_stop_out >= rules.cooldown_bars


def order_fits(order: int, rules: Rules) -> bool:
    """Whether one entry's value is within the limit."""
    return rules.max_order == 0 or order <= rules.max_order


def total_fits(order: int, open_total: int, rules: Rules) -> bool:
    """Whether the entry fits with everything that is open."""
    return rules.max_total == 0 or order + open_total <= rules.max_total


def is_worth_its_cost(cost: int, distance: int, rules: Rules) -> bool:
    """Whether the stop is far enough for what the round trip costs a share."""
    return cost * rules.cost_times_milli <= 1_000 * distance


# --- exits -------------------------------------------------------------------------------------------


def exit_at_close(sign: int, action: int, close: int, trail: int, is_after_safe_end: bool) -> int:
    """Step 4 at a bar's close: by clock, by the opposite action, by the trail."""
    if is_after_safe_end:
        return CLOCK
    if action == -sign:
        return SIGNAL
    return TRAIL if is_crossed(sign, trail, close) else STAY


# --- the day's loss ------------------------------------------------------------------------------------


def is_lost(day_milli_r: int, day_net: int, rules: Rules) -> bool:
    """Whether the day has lost what it may: in R, or in paise where that is set."""
    by_r = rules.max_loss_milli > 0 and day_milli_r <= -rules.max_loss_milli
    return by_r or (rules.max_loss > 0 and day_net <= -rules.max_loss)


def milli_r(net: int, risk: int) -> int:
    """A trade's net in thousandths of its own risk, rounded down: a doubt counts as loss."""
    return 1_000 * net // risk
