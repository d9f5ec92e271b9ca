"""What do the arrays of a walk mean? Columns, tables and tallies, named once.

walk.py reads and writes them, compiled; fast.py makes them. A named tuple, because compiled code takes
one as it is. Holds no rule.
"""

from typing import Any, NamedTuple

FLAT, ENTERING, PROTECTED, EXITING = 0, 1, 2, 3

# Columns of `held`: the position of one ticker. The first eight are what every bar reads: one line of
# the processor's cache.
(STATE, SIGN, RESTING, TRAILING, BEST, WORST, CLOSE, ROW,
 RISK, GOAL, MOVES, MOVED, QTY, GAP, DECIDED, DECISION, ENTERED, ENTRY, STOP0, PAID_IN, LEFT, OUT,
 REASON, INTENDED, STOPPED, ATR, SEEN, TODAY, TICKER) = range(29)  # fmt: skip
COLUMNS = 29

# Columns of a closed trade.
(T_TICKER, T_SIGN, T_QTY, T_DECIDED, T_DECISION, T_ENTERED, T_ENTRY, T_STOP, T_EXITED, T_OUT, T_INTENDED,
 T_REASON, T_WORST, T_BEST, T_CHARGES) = range(15)  # fmt: skip
TRADE_COLUMNS = 15

# Tallies of a run.
TRADES, STOP_MOVES, BOTH_MATTERED, RESOLVED, LOCKED_DAYS, STUCK = range(6)
TALLIES = 6

# Sums of a day, over all tickers.
DAY_ENTRIES, DAY_ACTIVE, DAY_MILLI_R, DAY_NET, DAY_LOCKED = range(5)
DAY_SUMS = 5

LONG_AGO = -(10**9)


class Table(NamedTuple):
    """Bars of all tickers on one grid of time; arrays of integers. A close of 0: not traded.

    The first five by row and ticker; walk.py gets them turned, by ticker and row. They may lie in memory row
    by row, as a contest reads them, or ticker by ticker, as those that stand apart are walked (fast.py).
    """

    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any
    opened_s: Any  # epoch seconds at which each row opens
    second: Any  # the same as seconds of the IST day
    day: Any  # 0, 1, 2 ... for each row
    length_s: int


class Fixed(NamedTuple):
    """What holds for a ticker, and for a day."""

    tick: Any  # by ticker
    lot: Any
    klass: Any
    start_s: Any  # by day and class, seconds of the IST day
    safe_end_s: Any
    rates: Any  # by day


class Result(NamedTuple):
    """Filled by the walk. When there were more trades or moves than rows, the tallies say how many."""

    trades: Any
    moves: Any  # trade, epoch second, stop
    tallies: Any


MOVES_A_TRADE = 8  # room for the stop's path; a run with more is repeated with more room
