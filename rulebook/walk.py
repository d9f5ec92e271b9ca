"""What would the rules have done with a whole table of bars? The simulation as plain loops over arrays.

Theory of operation
-------------------
A table has a row per bar of the base timeframe and a column per ticker, in the order of their names.
Each row is walked in two halves, as a session does it:

1. Inside the bar: orders decided at the last close fill at this bar's open; then the bar's path (open,
   the extreme against the position, the one for it, close) runs against the resting stop, the trail
   and the target, and moves the stop. A finer timeframe, where there is one, replaces the bar's path.
2. At the close: the day's loss is judged, positions that must go are told to go, the most confident
   ticker may be entered. Nothing decided here fills before the next bar's first trade.

No order is filled in a bar that was not traded (close 0). At the day's end what is still open is squared
off at the last price, with the broker's fee.

States of a ticker: FREE -> ENTERING -> HELD -> LEAVING -> FREE. An entry that gets nothing returns to
FREE; a stop that gets a part only becomes LEAVING with the rest.

fast.py compiles these functions and the ones they call in stops, rules, fills, bars and charges, so
everything is plain integers and arrays: no record, no clock, no caller. `held` is the memory: one row of
integers a ticker, its columns named below. simulate.py does the same event by event through book.py;
tests hold the two together to the paisa.
"""

from typing import Any

from rulebook.bars import is_warm, next_atr, true_range
from rulebook.charges import cost_per_share, square_off_fee
from rulebook.fills import at_market
from rulebook.passage import close_trade, drop_entry, inside
from rulebook.rules import (
    CLOCK,
    LOSS_LOCK,
    SQUARE_OFF,
    STAY,
    Rules,
    exit_at_close,
    has_entries_left,
    has_free_place,
    is_entry_time,
    is_lost,
    is_rested,
    is_worth_its_cost,
    milli_r,
    order_fits,
    prefers,
    size,
    takes_part,
    total_fits,
)
from rulebook.stops import away, better, distance, worse
from rulebook.tables import (
    ATR,
    BEST,
    CLOSE,
    DAY_ACTIVE,
    DAY_ENTRIES,
    DAY_LOCKED,
    DAY_MILLI_R,
    DAY_NET,
    DECIDED,
    DECISION,
    ENTERING,
    ENTRY,
    FREE,
    GAP,
    HELD,
    INTENDED,
    LEAVING,
    LEFT,
    LOCKED_DAYS,
    OUT,
    PAID_IN,
    QTY,
    REASON,
    RISK,
    SEEN,
    SIGN,
    STATE,
    STOPPED,
    STUCK,
    TODAY,
    TRAILING,
    WORST,
    Fixed,
    Result,
    Table,
)


def walk(
    table: Table, finer: Table, first_fine: Any, fixed: Fixed, rules: Rules, action: Any, confidence: Any,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """The whole table. `first_fine[row]` to `first_fine[row + 1]` are the finer bars of a row."""
    rows, tickers = table.close.shape
    for row in range(rows):
        if row > 0 and table.day[row] != table.day[row - 1]:
            end_day(table, row - 1, fixed, rules, held, sums, result)
        for s in range(tickers):
            if held[s, STATE] != FREE:
                inside(table, finer, first_fine, row, s, fixed, rules, held, sums, result)
        at_close(table, row, fixed, rules, action, confidence, held, sums, result)
    if rows > 0:
        end_day(table, rows - 1, fixed, rules, held, sums, result)
        close_everything(table, rows - 1, fixed, rules, held, sums, result)


# --- at the close ---------------------------------------------------------------------------------


def at_close(
    table: Table, row: int, fixed: Fixed, rules: Rules, action: Any, confidence: Any,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """Judge the day, send away who must go, hold the contest, enter its winner."""
    now = table.second[row] + table.length_s
    if rules.stop_bps == 0:
        remember(table, row, held)
    if sums[DAY_LOCKED] == 0 and sums[DAY_ENTRIES] > 0 and rules.max_loss_milli + rules.max_loss > 0:
        judge_day(rules, held, sums, result)
    is_locked = sums[DAY_LOCKED] != 0
    winner, best, is_best_free = -1, -1.0, False
    for s in range(table.close.shape[1]):
        said, state = action[row, s], held[s, STATE]
        if state == HELD:
            send_away(table, row, s, said, now, fixed, rules, held, sums)
        if said == 0 or is_locked or table.close[row, s] == 0:
            continue
        if not may_enter(table, row, s, said, confidence[row, s], fixed, rules, held):
            continue
        if not rules.one_entry_a_bar:
            open_trade(table, row, s, said, fixed, rules, held, sums)
        elif winner < 0 or prefers(confidence[row, s], state == FREE, best, is_best_free):
            winner, best, is_best_free = s, confidence[row, s], state == FREE
    if winner >= 0:
        open_trade(table, row, winner, action[row, winner], fixed, rules, held, sums)


def remember(table: Table, row: int, held: Any) -> None:
    """The average true range of every ticker."""
    for s in range(table.close.shape[1]):
        close = table.close[row, s]
        if close != 0:
            range_ = true_range(table.high[row, s], table.low[row, s], held[s, TODAY])
            held[s, ATR] = next_atr(held[s, ATR], held[s, SEEN], range_)
            held[s, SEEN] += 1
            held[s, TODAY] = close


def judge_day(rules: Rules, held: Any, sums: Any, result: Result) -> None:
    """Closed trades and open ones at their last price, entry charges paid; lost is lost for the day."""
    day_milli_r, net = sums[DAY_MILLI_R], sums[DAY_NET]
    for s in range(held.shape[0]):
        if held[s, STATE] == HELD or held[s, STATE] == LEAVING:
            value = held[s, OUT] + held[s, CLOSE] * held[s, LEFT]
            open_net = held[s, SIGN] * (value - held[s, ENTRY]) - held[s, PAID_IN]
            day_milli_r += milli_r(open_net, held[s, RISK] * held[s, QTY])
            net += open_net
    if is_lost(day_milli_r, net, rules):
        sums[DAY_LOCKED] = 1
        result.tallies[LOCKED_DAYS] += 1


def send_away(
    table: Table, row: int, s: int, said: int, now: int, fixed: Fixed, rules: Rules, held: Any, sums: Any
) -> None:
    """The exits of a bar's close; a ticker without a bar has said nothing and has no new price."""
    is_late = rules.is_intraday and now >= fixed.safe_end_s[table.day[row], fixed.klass[s]]
    if table.close[row, s] == 0:
        reason = CLOCK if is_late else STAY
    else:
        reason = exit_at_close(held[s, SIGN], said, held[s, CLOSE], held[s, TRAILING], is_late)
        if rules.is_intraday and now < fixed.start_s[table.day[row], fixed.klass[s]]:
            reason = STAY
    if sums[DAY_LOCKED] != 0:
        reason = LOSS_LOCK
    if reason != STAY:
        held[s, STATE], held[s, REASON], held[s, INTENDED] = LEAVING, reason, held[s, CLOSE]


def may_enter(
    table: Table, row: int, s: int, said: int, sure: float, fixed: Fixed, rules: Rules, held: Any
) -> bool:
    """Who cannot be entered at all leaves the contest before it is held."""
    day, now, price = table.day[row], table.second[row] + table.length_s, table.close[row, s]
    if not takes_part(said, sure, rules) or not is_rested(row - held[s, STOPPED], rules):
        return False
    klass = fixed.klass[s]
    if rules.is_intraday and not is_entry_time(now, fixed.start_s[day, klass], fixed.safe_end_s[day, klass]):
        return False
    if size(price, fixed.lot[s], rules) == 0:
        return False
    return bool(rules.stop_bps > 0 or is_warm(held[s, SEEN]))


def open_trade(
    table: Table, row: int, s: int, said: int, fixed: Fixed, rules: Rules, held: Any, sums: Any
) -> None:
    """Send the entry, if the account has room for it."""
    if held[s, STATE] != FREE or not has_free_place(sums[DAY_ACTIVE], rules):
        return
    if not has_entries_left(sums[DAY_ENTRIES], rules):
        return
    price, tick, rates = table.close[row, s], fixed.tick[s], fixed.rates[table.day[row]]
    qty = size(price, fixed.lot[s], rules)
    if not order_fits(price * qty, rules) or not total_fits(price * qty, open_value(held, rules), rules):
        return
    cost = cost_per_share(price, qty, rules.fill_cost_bps, rates)
    gap = stop_distance(price, cost, held[s, ATR], tick, rules)
    if not is_worth_its_cost(cost, gap, rules):
        return
    held[s, STATE], held[s, SIGN], held[s, QTY] = ENTERING, said, qty
    held[s, GAP] = gap
    held[s, DECIDED] = table.opened_s[row] + table.length_s
    held[s, DECISION] = held[s, CLOSE] = price
    sums[DAY_ACTIVE] += 1
    sums[DAY_ENTRIES] += 1


def open_value(held: Any, rules: Rules) -> int:
    """What is open or ordered, at its last price; only counted where there is a limit on it."""
    total = 0
    if rules.max_total > 0:
        for s in range(held.shape[0]):
            if held[s, STATE] != FREE:
                total += held[s, CLOSE] * held[s, QTY]
    return total


def stop_distance(price: int, cost: int, atr_milli: int, tick: int, rules: Rules) -> int:
    """A share's distance to its stop: by range and cost, or a fixed share of the price."""
    if rules.stop_bps > 0:
        return away(-1, price * rules.stop_bps // 10_000, tick)
    return distance(atr_milli, rules.atr_times_milli, cost, rules.cost_times_milli, tick)


# --- the day's end --------------------------------------------------------------------------------


def end_day(table: Table, row: int, fixed: Fixed, rules: Rules, held: Any, sums: Any, result: Result) -> None:
    """The broker squares off what is left, for a fee; the sums begin anew."""
    if rules.is_intraday:
        close_everything(table, row, fixed, rules, held, sums, result)
    sums[DAY_ENTRIES] = sums[DAY_MILLI_R] = sums[DAY_NET] = sums[DAY_LOCKED] = 0
    for s in range(held.shape[0]):
        held[s, TODAY] = 0


def close_everything(
    table: Table, row: int, fixed: Fixed, rules: Rules, held: Any, sums: Any, result: Result
) -> None:
    """At each ticker's last price; entries that wait are dropped."""
    at_s = table.opened_s[row] + table.length_s
    fee = square_off_fee(fixed.rates[table.day[row]]) if rules.is_intraday else 0
    for s in range(held.shape[0]):
        if held[s, STATE] == ENTERING:
            drop_entry(s, held, sums)
        elif held[s, STATE] != FREE:
            if held[s, STATE] == HELD:
                held[s, INTENDED] = held[s, CLOSE]
            held[s, REASON] = SQUARE_OFF
            held[s, WORST] = worse(held[s, SIGN], held[s, WORST], held[s, CLOSE])
            held[s, BEST] = better(held[s, SIGN], held[s, BEST], held[s, CLOSE])
            paid = at_market(-held[s, SIGN], held[s, CLOSE], rules.fill_cost_bps, fixed.tick[s])
            held[s, OUT] += paid * held[s, LEFT]
            held[s, LEFT] = 0
            result.tallies[STUCK] += 1
            close_trade(at_s, table.day[row], s, fee, fixed, held, sums, result)
