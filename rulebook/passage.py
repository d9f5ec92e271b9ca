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
    FREE,
    GAP,
    GOAL,
    HELD,
    INTENDED,
    LEAVING,
    LEFT,
    LONG_AGO,
    MOVED,
    MOVES,
    OUT,
    PAID_IN,
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
    day, opening = table.day[row], table.open[row, s]
    held[s, ROW] = row
    if table.close[row, s] == 0:
        if held[s, STATE] == ENTERING:  # nobody traded while the entry lived
            drop_entry(s, held, sums)
        return
    held[s, CLOSE] = table.close[row, s]
    if held[s, STATE] == LEAVING:
        leave(table, row, 0, day, s, opening, fixed, rules, held, sums, result)
        return
    if held[s, STATE] == ENTERING:
        enter(table, row, s, opening, fixed, rules, held, sums)
    if held[s, STATE] == HELD and not is_quiet(table, row, day, s, fixed, rules, held):
        along(table, finer, first_fine, row, s, fixed, rules, held, sums, result)


def along(
    table: Table, finer: Table, first_fine: Any, row: int, s: int, fixed: Fixed, rules: Rules,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """The bar's path, or those of the minutes inside it where this ticker has any."""
    day, first, end = table.day[row], first_fine[row], first_fine[row + 1]
    has_minutes = False
    for fine in range(first, end):
        has_minutes = has_minutes or finer.close[fine, s] != 0
    if order_matters(table, row, s, fixed, rules, held):
        result.tallies[RESOLVED if has_minutes else BOTH_MATTERED] += 1
    if not has_minutes:
        through(table, row, day, s, fixed, rules, held, sums, result)
        return
    for fine in range(first, end):
        if finer.close[fine, s] != 0:
            through(finer, fine, day, s, fixed, rules, held, sums, result)


def is_quiet(table: Table, row: int, day: int, s: int, fixed: Fixed, rules: Rules, held: Any) -> bool:
    """Whether no point of this bar can do more than move an extreme, which is then done: most bars."""
    sign = held[s, SIGN]
    against, with_us = adverse_first(sign, table.high[row, s], table.low[row, s])
    if is_hit(sign, held[s, RESTING], against) or is_crossed(sign, held[s, TRAILING], against):
        return False
    # What is always so or never so is asked first: a guess of the processor that fails costs as much
    # as all the rest of a quiet bar.
    if (rules.trail_milli > 0 or held[s, GOAL] > 0) and sign * (with_us - held[s, BEST]) > 0:
        return False
    if is_worth_moving(sign, held[s, RESTING], held[s, TRAILING], held[s, RISK], fixed.tick[s]):
        return False
    last_s = table.second[row] + point_second(3, table.length_s)
    if rules.is_intraday and last_s >= fixed.safe_end_s[day, fixed.klass[s]]:
        return False
    held[s, BEST] = better(sign, held[s, BEST], with_us)
    held[s, WORST] = worse(sign, held[s, WORST], against)
    return True


def order_matters(table: Table, row: int, s: int, fixed: Fixed, rules: Rules, held: Any) -> bool:
    """Whether the bar would end otherwise if its other extreme had come first."""
    sign = held[s, SIGN]
    against, with_us = adverse_first(sign, table.high[row, s], table.low[row, s])
    if sign * (with_us - held[s, BEST]) <= 0:
        return False
    is_stopped = is_hit(sign, held[s, RESTING], against)
    if is_reached(sign, held[s, GOAL], with_us):
        return bool(is_stopped)
    trail = trailed(sign, held[s, TRAILING], with_us, held[s, RISK], rules.trail_milli, fixed.tick[s])
    return bool(trail != held[s, TRAILING] and (is_stopped or is_hit(sign, trail, against)))


def through(
    table: Table, row: int, day: int, s: int, fixed: Fixed, rules: Rules, held: Any, sums: Any, result: Result
) -> None:
    """The four points of one traded bar, until the position is gone."""
    against, with_us = adverse_first(held[s, SIGN], table.high[row, s], table.low[row, s])
    for point in range(4):
        if held[s, STATE] != HELD:
            return
        price = table.open[row, s]
        if point == 1:
            price = against
        elif point == 2:
            price = with_us
            if is_reached(held[s, SIGN], held[s, GOAL], with_us):  # the path passes the target first
                price = held[s, GOAL]
        elif point == 3:
            price = table.close[row, s]
        touch(table, row, point, price, day, s, fixed, rules, held, sums, result)


def touch(
    table: Table, row: int, point: int, price: int, day: int, s: int, fixed: Fixed, rules: Rules,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """A price is traded: the resting stop first, then what the rules say about a tick."""
    sign, tick = held[s, SIGN], fixed.tick[s]
    if is_hit(sign, held[s, RESTING], price):
        held[s, REASON], held[s, INTENDED] = STOP, held[s, RESTING]
        hit = stop_price(sign, held[s, RESTING], price, point == 0)
        leave(table, row, point, day, s, hit, fixed, rules, held, sums, result)
        return
    if sign * (price - held[s, BEST]) > 0:  # only then can the trail have moved
        held[s, BEST] = price
        held[s, TRAILING] = trailed(sign, held[s, TRAILING], price, held[s, RISK], rules.trail_milli, tick)
    held[s, WORST] = worse(sign, held[s, WORST], price)
    second = table.second[row] + point_second(point, table.length_s)
    reason = STAY
    if is_crossed(sign, held[s, TRAILING], price):
        reason = TRAIL
    elif is_reached(sign, held[s, GOAL], price):
        reason = TARGET
    elif rules.is_intraday and second >= fixed.safe_end_s[day, fixed.klass[s]]:
        reason = CLOCK
    if reason != STAY:
        held[s, REASON], held[s, INTENDED] = reason, price
        leave(table, row, point, day, s, price, fixed, rules, held, sums, result)
        return
    move_stop(table.opened_s[row] + point_second(point, table.length_s), s, tick, held, result)


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
        result.moves[n, 0], result.moves[n, 1], result.moves[n, 2] = s, now_s, held[s, RESTING]
    result.tallies[STOP_MOVES] += 1


# --- entering and leaving -------------------------------------------------------------------------


def enter(
    table: Table, row: int, s: int, opening: int, fixed: Fixed, rules: Rules, held: Any, sums: Any
) -> None:
    """Fill the entry at the open for what the bar can take; the rest is cancelled after its 90 seconds."""
    sign, tick = held[s, SIGN], fixed.tick[s]
    qty = fillable(held[s, QTY], table.volume[row, s], rules.volume_share_milli, fixed.lot[s])
    price = at_market(sign, opening, rules.fill_cost_bps, tick)
    stop = initial(sign, price, held[s, GAP], tick)
    if qty == 0 or risk(sign, price, stop) <= 0:
        drop_entry(s, held, sums)
        return
    held[s, STATE], held[s, QTY], held[s, LEFT] = HELD, qty, qty
    held[s, ENTERED] = table.opened_s[row]
    held[s, ENTRY], held[s, OUT] = price * qty, 0
    held[s, BEST] = held[s, WORST] = price
    held[s, STOP0] = held[s, RESTING] = stop
    held[s, RISK] = risk(sign, price, stop)
    held[s, TRAILING] = trailed(sign, stop, price, held[s, RISK], rules.trail_milli, tick)
    held[s, GOAL] = target(sign, price, held[s, RISK], rules.target_milli, tick)
    held[s, MOVES], held[s, MOVED] = 0, LONG_AGO
    held[s, PAID_IN] = order_charges(sign, price * qty, fixed.rates[table.day[row]])


def drop_entry(s: int, held: Any, sums: Any) -> None:
    held[s, STATE] = FREE
    sums[DAY_ACTIVE] -= 1


def leave(
    table: Table, row: int, point: int, day: int, s: int, price: int, fixed: Fixed, rules: Rules,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """Sell (cover) what this bar can take at this price; the rest leaves with the next bars' opens."""
    sign = held[s, SIGN]
    qty = fillable(held[s, LEFT], table.volume[row, s], rules.volume_share_milli, fixed.lot[s])
    paid = at_market(-sign, price, rules.fill_cost_bps, fixed.tick[s])
    held[s, STATE] = LEAVING
    held[s, LEFT] -= qty
    held[s, OUT] += paid * qty
    held[s, WORST] = worse(sign, held[s, WORST], price)
    held[s, BEST] = better(sign, held[s, BEST], price)
    if held[s, LEFT] == 0:
        at_s = table.opened_s[row] + point_second(point, table.length_s)
        close_trade(at_s, day, s, 0, fixed, held, sums, result)
        if held[s, REASON] == STOP or held[s, REASON] == TRAIL:
            held[s, STOPPED] = held[s, ROW]


def close_trade(
    at_s: int, day: int, s: int, fee: int, fixed: Fixed, held: Any, sums: Any, result: Result
) -> None:
    """Charges, the day's sums, a row of the result; the ticker is free again."""
    sign, entry, out = held[s, SIGN], held[s, ENTRY], held[s, OUT]
    charges = held[s, PAID_IN] + order_charges(-sign, out, fixed.rates[day]) + fee
    net = sign * (out - entry) - charges
    sums[DAY_MILLI_R] += milli_r(net, held[s, RISK] * held[s, QTY])
    sums[DAY_NET] += net
    sums[DAY_ACTIVE] -= 1
    held[s, STATE] = FREE
    n = result.tallies[TRADES]
    result.tallies[TRADES] += 1
    if n < result.trades.shape[0]:
        row = result.trades[n]
        row[T_TICKER], row[T_SIGN], row[T_QTY] = s, sign, held[s, QTY]
        row[T_DECIDED], row[T_DECISION] = held[s, DECIDED], held[s, DECISION]
        row[T_ENTERED], row[T_ENTRY], row[T_STOP] = held[s, ENTERED], entry, held[s, STOP0]
        row[T_EXITED], row[T_OUT], row[T_INTENDED] = at_s, out, held[s, INTENDED]
        row[T_REASON], row[T_WORST], row[T_BEST] = held[s, REASON], held[s, WORST], held[s, BEST]
        row[T_CHARGES] = charges
