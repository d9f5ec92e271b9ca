"""What happens to a position inside one bar? Orders fill at its open, then its path runs against the stop.

The half of walk.py that is about prices: entering, the four points of a bar, leaving, and the row of a
closed trade. Compiled by fast.py like walk.py, with the same arrays. Knows no signal and no contest.
"""

from typing import Any

from rulebook.bars import adverse_first, point_second
from rulebook.charges import order_charges
from rulebook.fills import at_market, fillable, stop_price
from rulebook.rules import (
    CLOCK,
    STAY,
    STOP,
    TARGET,
    TRAIL,
    Rules,
    milli_r,
)
from rulebook.stops import (
    better,
    initial,
    is_crossed,
    is_hit,
    is_reached,
    is_worth_moving,
    may_move,
    risk,
    target,
    trailed,
    worse,
)
from rulebook.tables import (
    BEST,
    BOTH_MATTERED,
    CLOSE,
    DAY_ACTIVE,
    DAY_MILLI_R,
    DAY_NET,
    DECIDED,
    DECISION,
    ENTERED,
    ENTERING,
    ENTRY,
    EXITING,
    FLAT,
    GAP,
    GOAL,
    INTENDED,
    LEFT,
    LONG_AGO,
    MOVED,
    MOVES,
    OUT,
    PAID_IN,
    PROTECTED,
    QTY,
    REASON,
    RESOLVED,
    RESTING,
    RISK,
    ROW,
    SIGN,
    STATE,
    STOP0,
    STOP_MOVES,
    STOPPED,
    T_BEST,
    T_CHARGES,
    T_DECIDED,
    T_DECISION,
    T_ENTERED,
    T_ENTRY,
    T_EXITED,
    T_INTENDED,
    T_OUT,
    T_QTY,
    T_REASON,
    T_SIGN,
    T_STOP,
    T_TICKER,
    T_WORST,
    TICKER,
    TRADES,
    TRAILING,
    WORST,
    Fixed,
    Result,
    Table,
)


def inside(
    table: Table, finer: Table, first_fine: Any, row: int, s: int, fixed: Fixed, rules: Rules,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """The next bar of a ticker that has an order or a position; through its finer bars where there are."""
    held[s, ROW] = row
    if table.close[s, row] == 0:
        if held[s, STATE] == ENTERING:  # nobody traded while the entry lived
            drop_entry(s, held, sums)
        return
    held[s, CLOSE] = table.close[s, row]
    day, opened_s = table.day[row], table.opened_s[row]
    tick, lot, rates = fixed.tick[s], fixed.lot[s], fixed.rates[day]
    if held[s, STATE] == EXITING:
        volume = volume_of(table.volume, row, s, rules)
        leave(table.open[s, row], opened_s, volume, s, tick, lot, rates, rules, held, sums, result)
        return
    if held[s, STATE] == ENTERING:
        volume = volume_of(table.volume, row, s, rules)
        enter(table.open[s, row], opened_s, volume, s, tick, lot, rates, rules, held, sums)
    if held[s, STATE] != PROTECTED:
        return
    sign, safe_end_s = held[s, SIGN], fixed.safe_end_s[day, fixed.klass[s]]
    against, with_us = adverse_first(sign, table.high[s, row], table.low[s, row])
    is_late = rules.is_intraday and table.second[row] + point_second(3, table.length_s) >= safe_end_s
    if is_late or not is_quiet(against, with_us, s, tick, rules, held):
        along(table, finer, first_fine, row, s, safe_end_s, tick, lot, rates, rules, held, sums, result)


def volume_of(volumes: Any, row: int, s: int, rules: Rules) -> int:
    """Read only where a share of it is a limit: fetching it from memory costs more than a trade's sums."""
    return int(volumes[s, row]) if rules.volume_share_milli > 0 else 0


def is_quiet(against: int, with_us: int, s: int, tick: int, rules: Rules, held: Any) -> bool:
    """Whether no point of this bar can do more than move an extreme, which is then done: most bars."""
    sign, resting, trailing, best = held[s, SIGN], held[s, RESTING], held[s, TRAILING], held[s, BEST]
    is_led = rules.trail_milli > 0 or held[s, GOAL] > 0
    if not is_untouched(sign, resting, trailing, best, against, with_us, is_led):
        return False
    if is_worth_moving(sign, resting, trailing, held[s, RISK], tick):
        return False
    held[s, BEST] = better(sign, best, with_us)
    held[s, WORST] = worse(sign, held[s, WORST], against)
    return True


def is_untouched(
    sign: int, resting: int, trailing: int, best: int, against: int, with_us: int, is_led: bool
) -> bool:
    """Whether a bar of these extremes reaches neither the stop nor the trail, nor what leads them on."""
    if is_hit(sign, resting, against) or is_crossed(sign, trailing, against):
        return False
    # What is always so or never so is asked first: a guess of the processor that fails costs as much
    # as all the rest of a quiet bar.
    return not is_led or sign * (with_us - best) <= 0


def along(
    table: Table, finer: Table, first_fine: Any, row: int, s: int, safe_end_s: int, tick: int, lot: int,
    rates: Any, rules: Rules, held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """The bar's path, or those of the minutes inside it where this ticker has any."""
    first, end = first_fine[row], first_fine[row + 1]
    has_minutes = False
    for fine in range(first, end):
        has_minutes = has_minutes or finer.close[s, fine] != 0
    if order_matters(table.high[s, row], table.low[s, row], s, tick, rules, held):
        result.tallies[RESOLVED if has_minutes else BOTH_MATTERED] += 1
    # One loop for both: a call is compiled anew at every place where it stands.
    bars = finer if has_minutes else table
    if not has_minutes:
        first, end = row, row + 1
    for each in range(first, end):
        if bars.close[s, each] != 0:
            through(bars, each, s, safe_end_s, tick, lot, rates, rules, held, sums, result)


def order_matters(high: int, low: int, s: int, tick: int, rules: Rules, held: Any) -> bool:
    """Whether the bar would end otherwise if its other extreme had come first."""
    sign = held[s, SIGN]
    against, with_us = adverse_first(sign, high, low)
    if sign * (with_us - held[s, BEST]) <= 0:
        return False
    is_stopped = is_hit(sign, held[s, RESTING], against)
    if is_reached(sign, held[s, GOAL], with_us):
        return bool(is_stopped)
    trail = trailed(sign, held[s, TRAILING], with_us, held[s, RISK], rules.trail_milli, tick)
    return bool(trail != held[s, TRAILING] and (is_stopped or is_hit(sign, trail, against)))


def through(
    table: Table, row: int, s: int, safe_end_s: int, tick: int, lot: int, rates: Any, rules: Rules,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """The four points of one traded bar, until the position is gone."""
    against, with_us = adverse_first(held[s, SIGN], table.high[s, row], table.low[s, row])
    for point in range(4):
        if held[s, STATE] != PROTECTED:
            return
        price = table.open[s, row]
        if point == 1:
            price = against
        elif point == 2:
            price = with_us
            if is_reached(held[s, SIGN], held[s, GOAL], with_us):  # the path passes the target first
                price = held[s, GOAL]
        elif point == 3:
            price = table.close[s, row]
        after_s = point_second(point, table.length_s)
        is_late = rules.is_intraday and table.second[row] + after_s >= safe_end_s
        reason = touch(price, is_late, table.opened_s[row] + after_s, s, tick, rules, held, result)
        if reason != STAY:
            if reason == STOP:
                price = stop_price(held[s, SIGN], held[s, RESTING], price, point == 0)
            at_s, volume = table.opened_s[row] + after_s, volume_of(table.volume, row, s, rules)
            leave(price, at_s, volume, s, tick, lot, rates, rules, held, sums, result)


def touch(
    price: int, is_late: bool, now_s: int, s: int, tick: int, rules: Rules, held: Any, result: Result
) -> int:
    """A price is traded: is the stop hit, and what do the rules say about a tick? The reason to leave."""
    sign, reason = held[s, SIGN], STAY
    if is_hit(sign, held[s, RESTING], price):
        held[s, REASON], held[s, INTENDED] = STOP, held[s, RESTING]
        return STOP
    if sign * (price - held[s, BEST]) > 0:  # only then can the trail have moved
        held[s, BEST] = price
        held[s, TRAILING] = trailed(sign, held[s, TRAILING], price, held[s, RISK], rules.trail_milli, tick)
    held[s, WORST] = worse(sign, held[s, WORST], price)
    if is_crossed(sign, held[s, TRAILING], price):
        reason = TRAIL
    elif is_reached(sign, held[s, GOAL], price):
        reason = TARGET
    elif is_late:
        reason = CLOCK
    if reason == STAY:
        move_stop(now_s, s, tick, held, result)
    else:
        held[s, REASON], held[s, INTENDED] = reason, price
    return reason


def move_stop(now_s: int, s: int, tick: int, held: Any, result: Result) -> None:
    """The resting stop follows the trail in steps worth a modification."""
    if not is_worth_moving(held[s, SIGN], held[s, RESTING], held[s, TRAILING], held[s, RISK], tick):
        return
    if may_move(held[s, MOVES], now_s - held[s, MOVED]):
        held[s, RESTING] = held[s, TRAILING]
        held[s, MOVES] += 1
        held[s, MOVED] = now_s
        note_stop(s, now_s, held, result)


def note_stop(s: int, now_s: int, held: Any, result: Result) -> None:
    """The stop's path, for the eye; a ticker's rows belong to its next closed trade."""
    n = result.tallies[STOP_MOVES]
    if n < result.moves.shape[0]:
        result.moves[n, 0], result.moves[n, 1], result.moves[n, 2] = held[s, TICKER], now_s, held[s, RESTING]
    result.tallies[STOP_MOVES] += 1


# --- entering and leaving -------------------------------------------------------------------------


def enter(
    opening: int, opened_s: int, volume: int, s: int, tick: int, lot: int, rates: Any, rules: Rules,
    held: Any, sums: Any,
) -> None:  # fmt: skip
    """Fill the entry at the open for what the bar can take; the rest is cancelled after its 90 seconds."""
    sign = held[s, SIGN]
    qty = fillable(held[s, QTY], volume, rules.volume_share_milli, lot)
    price = at_market(sign, opening, rules.fill_cost_bps, tick)
    stop = initial(sign, price, held[s, GAP], tick)
    if qty == 0 or risk(sign, price, stop) <= 0:
        drop_entry(s, held, sums)
        return
    held[s, STATE], held[s, QTY], held[s, LEFT] = PROTECTED, qty, qty
    held[s, ENTERED] = opened_s
    held[s, ENTRY], held[s, OUT] = price * qty, 0
    held[s, BEST] = held[s, WORST] = price
    held[s, STOP0] = held[s, RESTING] = stop
    held[s, RISK] = risk(sign, price, stop)
    held[s, TRAILING] = trailed(sign, stop, price, held[s, RISK], rules.trail_milli, tick)
    held[s, GOAL] = target(sign, price, held[s, RISK], rules.target_milli, tick)
    held[s, MOVES], held[s, MOVED] = 0, LONG_AGO
    held[s, PAID_IN] = order_charges(sign, price * qty, rates)


def drop_entry(s: int, held: Any, sums: Any) -> None:
    held[s, STATE] = FLAT
    sums[DAY_ACTIVE] -= 1


def leave(
    price: int, at_s: int, volume: int, s: int, tick: int, lot: int, rates: Any, rules: Rules,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """Sell (cover) what this bar can take at this price; the rest leaves with the next bars' opens."""
    sign = held[s, SIGN]
    qty = fillable(held[s, LEFT], volume, rules.volume_share_milli, lot)
    paid = at_market(-sign, price, rules.fill_cost_bps, tick)
    held[s, STATE] = EXITING
    held[s, LEFT] -= qty
    held[s, OUT] += paid * qty
    held[s, WORST] = worse(sign, held[s, WORST], price)
    held[s, BEST] = better(sign, held[s, BEST], price)
    if held[s, LEFT] == 0:
        close_trade(at_s, s, 0, rates, held, sums, result)
        if held[s, REASON] == STOP or held[s, REASON] == TRAIL:
            held[s, STOPPED] = held[s, ROW]


def close_trade(at_s: int, s: int, fee: int, rates: Any, held: Any, sums: Any, result: Result) -> None:
    """Charges, the day's sums, a row of the result; the ticker is free again."""
    sign, entry, out = held[s, SIGN], held[s, ENTRY], held[s, OUT]
    charges = held[s, PAID_IN] + order_charges(-sign, out, rates) + fee
    net = sign * (out - entry) - charges
    sums[DAY_MILLI_R] += milli_r(net, held[s, RISK] * held[s, QTY])
    sums[DAY_NET] += net
    sums[DAY_ACTIVE] -= 1
    held[s, STATE] = FLAT
    n = result.tallies[TRADES]
    result.tallies[TRADES] += 1
    if n < result.trades.shape[0]:
        row = result.trades[n]
        row[T_TICKER], row[T_SIGN], row[T_QTY] = held[s, TICKER], sign, held[s, QTY]
        row[T_DECIDED], row[T_DECISION] = held[s, DECIDED], held[s, DECISION]
        row[T_ENTERED], row[T_ENTRY], row[T_STOP] = held[s, ENTERED], entry, held[s, STOP0]
        row[T_EXITED], row[T_OUT], row[T_INTENDED] = at_s, out, held[s, INTENDED]
        row[T_REASON], row[T_WORST], row[T_BEST] = held[s, REASON], held[s, WORST], held[s, BEST]
        row[T_CHARGES] = charges
