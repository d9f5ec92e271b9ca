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

States of a ticker: FLAT -> ENTERING -> PROTECTED -> EXITING -> FLAT. An entry that gets nothing returns to
FLAT; a stop that gets a part only becomes EXITING with the rest.

Where the rules let no ticker stand in another's way (rules.are_apart), fast.py hands over one ticker
after the other as a table of its own, and rows in which nothing can happen to it are left out.

fast.py compiles these functions and the ones they call in stops, rules, fills, bars and charges, so
everything is plain integers and arrays: no record, no clock, no caller. `held` is the memory: one row of
integers a ticker, its columns named below. simulate.py does the same event by event through book.py;
tests hold the two together to the paisa.
"""

from typing import Any

from rulebook.bars import adverse_first, is_warm, next_atr, true_range
from rulebook.charges import cost_per_share, square_off_fee
from rulebook.fills import at_market
from rulebook.passage import close_trade, drop_entry, inside, is_untouched
from rulebook.rules import (
    CLOCK,
    LOSS_LOCK,
    SQUARE_OFF,
    STAY,
    Rules,
    are_apart,
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
from rulebook.stops import away, better, distance, is_worth_moving, worse
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
    EXITING,
    FLAT,
    GAP,
    GOAL,
    INTENDED,
    LEFT,
    LOCKED_DAYS,
    OUT,
    PAID_IN,
    PROTECTED,
    QTY,
    REASON,
    RESTING,
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

# A row or a ticker not counted from 0 may be negative to the compiler, which then asks so at every price;
# masked it is not. Where a bar costs four nanoseconds this is one of them.
NATURAL = 0x7FFFFFFF


def walk(
    table: Table, finer: Table, first_fine: Any, fixed: Fixed, rules: Rules, action: Any, confidence: Any,
    first: int, end: int, held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """Rows `first` to `end`, and the day's end where one is reached; row 0 of what was said is `first`.

    `first_fine[row]` to `first_fine[row + 1]` are the finer bars of a row.
    """
    tickers, rows = table.close.shape
    # Without a fixed distance of the stop every bar goes into the average range.
    skips = tickers == 1 and rules.stop_bps > 0 and are_apart(tickers, rows, rules)
    row = first
    while row < end:
        stop = day_end(table.day, row, end)
        while row < stop:
            if skips:
                row = after_quiet(table, row, stop, fixed, rules, action, first, held)
                if row == stop:
                    break
            for number in range(tickers):
                s = number & NATURAL
                if held[s, STATE] != FLAT:
                    inside(table, finer, first_fine, row, s, fixed, rules, held, sums, result)
            at_close(table, row, fixed, rules, action, confidence, row - first, held, sums, result)
            row += 1
        if stop == rows or table.day[stop] != table.day[stop - 1]:
            end_day(table, stop - 1, stop == rows, fixed, rules, held, sums, result)


def day_end(days: Any, row: int, end: int) -> int:
    """Where the rows of one day end, or those that are to be walked."""
    if days[end - 1] == days[row]:
        return end
    stop = row + 1
    while days[stop] == days[row]:
        stop += 1
    return stop


# --- what is quiet, where a ticker stands alone ---------------------------------------------------


def after_quiet(
    table: Table, row: int, stop: int, fixed: Fixed, rules: Rules, action: Any, said_from: int, held: Any
) -> int:
    """The next row in which more can happen to the only ticker than a move of its extremes."""
    row = after_silence(row, stop, 0, action, said_from, held)
    if held[0, STATE] == PROTECTED and held[0, SIGN] > 0:  # of a constant sign a product is none
        return after_calm(table, row, stop, 0, 1, fixed, rules, action, said_from, held)
    if held[0, STATE] == PROTECTED:
        return after_calm(table, row, stop, 0, -1, fixed, rules, action, said_from, held)
    return row


def after_silence(row: int, stop: int, s: int, action: Any, said_from: int, held: Any) -> int:
    """While flat: the next row at which something is said."""
    # It always is, but then the compiler knows that no index is negative, and need not ask at every bar.
    if held[s, STATE] == FLAT and row >= said_from:
        while row < stop and action[s, row - said_from] == 0:
            row += 1
    return row


def after_calm(
    table: Table, row: int, stop: int, s: int, sign: int, fixed: Fixed, rules: Rules, action: Any,
    said_from: int, held: Any,
) -> int:  # fmt: skip
    """While protected: the next row that can do more than move the extremes, which is done here."""
    if row < said_from or said_from < 0:  # never so; see after_silence
        return row
    resting, trailing = held[s, RESTING], held[s, TRAILING]
    if is_worth_moving(sign, resting, trailing, held[s, RISK], fixed.tick[s]):
        return row
    best, worst, last = held[s, BEST], held[s, WORST], held[s, CLOSE]
    is_led = rules.trail_milli > 0 or held[s, GOAL] > 0
    day, klass = table.day[row], fixed.klass[s]
    start_s, safe_end_s = fixed.start_s[day, klass], fixed.safe_end_s[day, klass]
    while row < stop:
        close = table.close[s, row]
        against, with_us = adverse_first(sign, table.high[s, row], table.low[s, row])
        if close == 0 or not is_untouched(sign, resting, trailing, best, against, with_us, is_led):
            break
        if exit_at_close(sign, action[s, row - said_from], close, trailing, False) != STAY:
            break
        if rules.is_intraday and not is_entry_time(table.second[row] + table.length_s, start_s, safe_end_s):
            break
        best, worst, last = better(sign, best, with_us), worse(sign, worst, against), close
        row += 1
    held[s, BEST], held[s, WORST], held[s, CLOSE] = best, worst, last
    return row


# --- at the close ---------------------------------------------------------------------------------


def at_close(
    table: Table, row: int, fixed: Fixed, rules: Rules, action: Any, confidence: Any, said_row: int,
    held: Any, sums: Any, result: Result,
) -> None:  # fmt: skip
    """Judge the day, send away who must go, hold the contest, enter its winner."""
    day, now = table.day[row], table.second[row] + table.length_s
    judge_day(rules, held, sums, result)
    if rules.stop_bps == 0:
        remember(table, row, held)
    decided_s = table.opened_s[row] + table.length_s
    winner, best, is_best_free = -1, -1.0, False
    for number in range(held.shape[0]):
        s = number & NATURAL
        said, state = action[s, said_row], held[s, STATE]
        if said == 0 and state != PROTECTED:  # most bars of most tickers
            continue
        close = table.close[s, row]
        start_s, safe_end_s = fixed.start_s[day, fixed.klass[s]], fixed.safe_end_s[day, fixed.klass[s]]
        if state == PROTECTED:
            send_away(close, said, now, start_s, safe_end_s, s, rules, held, sums)
        if said == 0 or close == 0 or sums[DAY_LOCKED] != 0:
            continue
        sure, is_open = confidence[s, said_row], is_entry_time(now, start_s, safe_end_s)
        if not may_enter(close, said, sure, is_open, row, fixed.lot[s], s, rules, held):
            continue
        if not rules.one_entry_a_bar:
            send_entry(
                close, said, decided_s, s, fixed.tick[s], fixed.lot[s], fixed.rates[day], rules, held, sums
            )
        elif winner < 0 or prefers(sure, state == FLAT, best, is_best_free):
            winner, best, is_best_free = s, sure, state == FLAT
    if winner >= 0:
        close, said = table.close[winner, row], action[winner, said_row]
        tick, lot = fixed.tick[winner], fixed.lot[winner]
        send_entry(close, said, decided_s, winner, tick, lot, fixed.rates[day], rules, held, sums)


def remember(table: Table, row: int, held: Any) -> None:
    """The average true range of every ticker."""
    for number in range(held.shape[0]):
        s = number & NATURAL
        close = table.close[s, row]
        if close != 0:
            range_ = true_range(table.high[s, row], table.low[s, row], held[s, TODAY])
            held[s, ATR] = next_atr(held[s, ATR], held[s, SEEN], range_)
            held[s, SEEN] += 1
            held[s, TODAY] = close


def judge_day(rules: Rules, held: Any, sums: Any, result: Result) -> None:
    """Closed trades and open ones at their last price, entry charges paid; lost is lost for the day."""
    # What was held over the night can lose on a day without an entry, and be gone already.
    may_have_lost = sums[DAY_ENTRIES] + sums[DAY_ACTIVE] > 0 or sums[DAY_MILLI_R] < 0
    if not may_have_lost or sums[DAY_LOCKED] != 0 or rules.max_loss_milli + rules.max_loss == 0:
        return
    day_milli_r, net = sums[DAY_MILLI_R], sums[DAY_NET]
    for s in range(held.shape[0]):
        if held[s, STATE] == PROTECTED or held[s, STATE] == EXITING:
            value = held[s, OUT] + held[s, CLOSE] * held[s, LEFT]
            open_net = held[s, SIGN] * (value - held[s, ENTRY]) - held[s, PAID_IN]
            day_milli_r += milli_r(open_net, held[s, RISK] * held[s, QTY])
            net += open_net
    if is_lost(day_milli_r, net, rules):
        sums[DAY_LOCKED] = 1
        result.tallies[LOCKED_DAYS] += 1


def send_away(
    close: int, said: int, now: int, start_s: int, safe_end_s: int, s: int, rules: Rules, held: Any, sums: Any
) -> None:
    """The exits of a bar's close; a ticker without a bar has said nothing and has no new price."""
    is_late = rules.is_intraday and now >= safe_end_s
    if close == 0:
        reason = CLOCK if is_late else STAY
    else:
        reason = exit_at_close(held[s, SIGN], said, held[s, CLOSE], held[s, TRAILING], is_late)
        if rules.is_intraday and now < start_s:
            reason = STAY
    if sums[DAY_LOCKED] != 0:
        reason = LOSS_LOCK
    if reason != STAY:
        held[s, STATE], held[s, REASON], held[s, INTENDED] = EXITING, reason, held[s, CLOSE]


def may_enter(
    close: int, said: int, sure: float, is_open: bool, row: int, lot: int, s: int, rules: Rules, held: Any
) -> bool:
    """Who cannot be entered at all leaves the contest before it is held."""
    if not takes_part(said, sure, rules) or not is_rested(row - held[s, STOPPED], rules):
        return False
    if rules.is_intraday and not is_open:
        return False
    if size(close, lot, rules) == 0:
        return False
    return bool(rules.stop_bps > 0 or is_warm(held[s, SEEN]))


def send_entry(
    price: int, said: int, decided_s: int, s: int, tick: int, lot: int, rates: Any, rules: Rules,
    held: Any, sums: Any,
) -> None:  # fmt: skip
    """If the account has room for it and the stop is worth its cost."""
    if held[s, STATE] != FLAT or not has_free_place(sums[DAY_ACTIVE], rules):
        return
    if not has_entries_left(sums[DAY_ENTRIES], rules):
        return
    qty = size(price, lot, rules)
    if not order_fits(price * qty, rules) or not total_fits(price * qty, open_value(held, rules), rules):
        return
    # The charges of two orders and two divisions, which are in vain where no multiple of them counts.
    cost = cost_per_share(price, qty, rules.fill_cost_bps, rates) if rules.cost_times_milli > 0 else 0
    gap = stop_distance(price, cost, held[s, ATR], tick, rules)
    if not is_worth_its_cost(cost, gap, rules):
        return
    held[s, STATE], held[s, SIGN], held[s, QTY] = ENTERING, said, qty
    held[s, GAP], held[s, DECIDED] = gap, decided_s
    held[s, DECISION] = held[s, CLOSE] = price
    sums[DAY_ACTIVE] += 1
    sums[DAY_ENTRIES] += 1


def open_value(held: Any, rules: Rules) -> int:
    """What is open or ordered, at its last price; only counted where there is a limit on it."""
    total = 0
    if rules.max_total > 0:
        for s in range(held.shape[0]):
            if held[s, STATE] != FLAT:
                total += held[s, CLOSE] * held[s, QTY]
    return total


def stop_distance(price: int, cost: int, atr_milli: int, tick: int, rules: Rules) -> int:
    """A share's distance to its stop: by range and cost, or a fixed share of the price."""
    if rules.stop_bps > 0:
        return away(-1, price * rules.stop_bps // 10_000, tick)
    return distance(atr_milli, rules.atr_times_milli, cost, rules.cost_times_milli, tick)


# --- the day's end --------------------------------------------------------------------------------


def end_day(
    table: Table, row: int, is_last: bool, fixed: Fixed, rules: Rules, held: Any, sums: Any, result: Result
) -> None:
    """The broker squares off what is left, for a fee; the sums begin anew."""
    if rules.is_intraday or is_last:
        close_everything(table, row, fixed, rules, held, sums, result)
    sums[DAY_ENTRIES] = sums[DAY_MILLI_R] = sums[DAY_NET] = sums[DAY_LOCKED] = 0
    for s in range(held.shape[0]):
        held[s, TODAY] = 0


def close_everything(
    table: Table, row: int, fixed: Fixed, rules: Rules, held: Any, sums: Any, result: Result
) -> None:
    """At each ticker's last price; entries that wait are dropped."""
    at_s = table.opened_s[row] + table.length_s
    rates = fixed.rates[table.day[row]]
    fee = square_off_fee(rates) if rules.is_intraday else 0
    for s in range(held.shape[0]):
        if held[s, STATE] == ENTERING:
            drop_entry(s, held, sums)
        elif held[s, STATE] != FLAT:
            if held[s, STATE] == PROTECTED:
                held[s, INTENDED] = held[s, CLOSE]
            held[s, REASON] = SQUARE_OFF
            held[s, WORST] = worse(held[s, SIGN], held[s, WORST], held[s, CLOSE])
            held[s, BEST] = better(held[s, SIGN], held[s, BEST], held[s, CLOSE])
            paid = at_market(-held[s, SIGN], held[s, CLOSE], rules.fill_cost_bps, fixed.tick[s])
            held[s, OUT] += paid * held[s, LEFT]
            held[s, LEFT] = 0
            result.tallies[STUCK] += 1
            close_trade(at_s, s, fee, rates, held, sums, result)
