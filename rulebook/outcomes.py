"""What would each action have earned? The whole trade of BUY and of SELL, decided at every bar's close.

The market does not react to one retail order, so the outcome of the action that was not taken is known as
well. A trade is entered at the next bar's open and walked by the functions of walk.py, alone: nobody
competes with it, and nothing but its stop, its trail, its target, the clock or the day's end closes it.
Compiled by fast.py like walk.py, with the same arrays. A learner is taught with it; it knows no learner.
"""

from typing import Any

from rulebook.passage import inside
from rulebook.rules import Rules, is_entry_time
from rulebook.tables import (
    FLAT,
    LONG_AGO,
    PROTECTED,
    STATE,
    STOP_MOVES,
    STOPPED,
    T_CHARGES,
    T_ENTRY,
    T_OUT,
    T_QTY,
    T_SIGN,
    T_STOP,
    TICKER,
    TODAY,
    TRADES,
    Fixed,
    Result,
    Table,
)
from rulebook.walk import close_everything, may_enter, remember, send_away, send_entry

NO_TRADE = -1


def outcomes(
    table: Table, finer: Table, first_fine: Any, fixed: Fixed, rules: Rules, hold_bars: Any, held: Any,
    sums: Any, result: Result, r: Any, exit_row: Any,
) -> None:  # fmt: skip
    """For the only ticker of the table, which is number `s` of all: `r[side, row, s]`, net R, and the row in
    which the trade ended, or NO_TRADE; side 0 buys, side 1 sells.

    `hold_bars[row, s]` above 0 closes the trade with so many bars, as an opposite signal would.
    `result` needs room for one trade only.
    """
    s, rows = held[0, TICKER], table.close.shape[1]
    for row in range(rows):
        if row == 0 or table.day[row] != table.day[row - 1]:
            held[0, TODAY] = 0
        remember(table, row, held)
        for side in range(2):
            ended = trade(
                table, finer, first_fine, row, 1 - 2 * side, hold_bars[row, s], 0, fixed, rules, held, sums,
                result,
            )  # fmt: skip
            is_trade = result.tallies[TRADES] > 0
            r[side, row, s] = net_r(result.trades[0]) if is_trade else 0.0
            exit_row[side, row, s] = ended if is_trade else NO_TRADE


def trade(
    table: Table, finer: Table, first_fine: Any, row: int, sign: int, hold_bars: int, s: int, fixed: Fixed,
    rules: Rules, held: Any, sums: Any, result: Result,
) -> int:  # fmt: skip
    """One trade from its decision to its end, which is answered; the first row of the result tells of it."""
    result.tallies[TRADES] = result.tallies[STOP_MOVES] = 0
    sums[:] = 0
    held[s, STATE], held[s, STOPPED] = FLAT, LONG_AGO
    ask(table, row, sign, s, fixed, rules, held, sums)
    day, at = table.day[row], row
    start_s, safe_end_s = fixed.start_s[day, fixed.klass[s]], fixed.safe_end_s[day, fixed.klass[s]]
    while held[s, STATE] != FLAT and at + 1 < table.close.shape[1] and table.day[at + 1] == day:
        at += 1
        inside(table, finer, first_fine, at, s, fixed, rules, held, sums, result)
        if held[s, STATE] == PROTECTED:
            said = -sign if 0 < hold_bars <= at - row else 0
            now = table.second[at] + table.length_s
            send_away(table.close[s, at], said, now, start_s, safe_end_s, s, rules, held, sums)
    if held[s, STATE] != FLAT:  # the day is over: what is still open goes at its last price
        close_everything(table, at, fixed, rules, held, sums, result)
    return at


def ask(table: Table, row: int, sign: int, s: int, fixed: Fixed, rules: Rules, held: Any, sums: Any) -> None:
    """Order the entry, if the rules let anybody enter here."""
    close, day = table.close[s, row], table.day[row]
    if close == 0:
        return
    now = table.second[row] + table.length_s
    is_open = is_entry_time(now, fixed.start_s[day, fixed.klass[s]], fixed.safe_end_s[day, fixed.klass[s]])
    if may_enter(close, sign, 1.0, is_open, row, fixed.lot[s], s, rules, held):
        decided_s = table.opened_s[row] + table.length_s
        send_entry(
            close, sign, decided_s, s, fixed.tick[s], fixed.lot[s], fixed.rates[day], rules, held, sums
        )


def net_r(row: Any) -> Any:
    """What is left after all costs, in units of what was risked; of a trade, or of columns of trades."""
    risked = abs(row[T_ENTRY] - row[T_STOP] * row[T_QTY])
    return (row[T_SIGN] * (row[T_OUT] - row[T_ENTRY]) - row[T_CHARGES]) / risked
