"""How fast can the job of the backtest row be done at all? One loop for this one job and no other.

Not a product: it knows this strategy, this stop and nothing else, reads each ticker's prices from one
block of memory, and allocates nothing. What it cannot do, a rule book must. It is the limit that the
rule book is measured against, so it is written as well as we can.
"""

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

TICKER, ENTERED, ENTRY, EXITED, EXIT, NET = range(6)  # columns of its trades
COLUMNS = 6
FAST, SLOW = 10, 30
STOP_PERCENT = 2


@cache
def compiled() -> Callable[..., int]:
    """The loop as machine code, no checks of bounds, one thread."""
    import numba

    njit: Any = numba.njit
    assert isinstance(_all_tickers, FunctionType)
    scope = {**_all_tickers.__globals__, "_one_ticker": njit(_one_ticker, boundscheck=False)}
    whole = FunctionType(_all_tickers.__code__, scope, _all_tickers.__name__)
    loop: Callable[..., int] = njit(whole, boundscheck=False)
    return loop


def arguments(prices: dict[str, NDArray[np.int32]], room: int) -> tuple[Any, ...]:
    """Its prices ticker by ticker, which is the best order for it, and room for its trades."""
    columns = [np.ascontiguousarray(prices[name].T) for name in ("open", "low", "close")]
    return (*columns, np.zeros((room, COLUMNS), np.int64))


def _all_tickers(opens: Any, lows: Any, closes: Any, trades: Any) -> int:
    found = 0
    for s in range(closes.shape[0]):
        found = _one_ticker(s, opens[s], lows[s], closes[s], trades, found)
    return found


def _one_ticker(s: int, opens: Any, lows: Any, closes: Any, trades: Any, found: int) -> int:
    """Averages as running sums, a position as one price; a row where a trade ends."""
    fast = slow = side = said = entry = entered = stop = 0
    bars = closes.size
    for i in range(bars):
        if said > 0 and entry == 0:
            entry, entered = opens[i], i
            stop = entry - entry * STOP_PERCENT // 100
        out = 0
        if entry != 0:
            if said < 0:
                out = opens[i]
            elif lows[i] <= stop:
                out = min(stop, opens[i])
            elif i == bars - 1:
                out = closes[i]
        if out != 0:
            row = trades[found]
            row[TICKER], row[ENTERED], row[ENTRY], row[EXITED], row[EXIT] = s, entered, entry, i, out
            row[NET] = 10_000 * (out - entry) - 3 * (out + entry)  # 3 in 10,000 of both orders
            found, entry = found + 1, 0
        fast += closes[i]
        slow += closes[i]
        said = 0
        if i >= SLOW:
            fast -= closes[i - FAST]
            slow -= closes[i - SLOW]
            now = 1 if 3 * fast > slow else -1
            said = now if now == -side else 0
            side = now
        elif i >= FAST:
            fast -= closes[i - FAST]
    return found
