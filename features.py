"""What does the model see of a bar? FEATURE_SPEC_VERSION, the names of the columns, and how they are made.

Theory of operation
-------------------
One function, `bar`, takes a ticker's next closed bar and its carried state, and writes that bar's row. The
batch calls it for every row of a history, the live path once when a bar has closed, so the two are equal by
construction and a value can only know what came before. It is plain arithmetic on arrays that are handed in;
fast.py compiles it, and a bar of fifty tickers takes microseconds.

    f_returns_1 3 5 10           log returns over so many bars                                  z
    f_vol_10 20                  sample deviation of the last 10, 20 one-bar returns            z
    f_atr_14                     Wilder's average true range over the close                     z
    f_rsi_14, f_k f_d f_j        Wilder's RSI; stochastic of 14, smoothed by 3 and 3            by their range
    f_open high low close        over the median of the last 20 closes, less 1                  z
    f_minutes_since_open ..._to_close f_early_close                                             by the session
    version 2, the default, adds
    f_volume                     log of the volume over its usual one at that time of day       z
    f_true_range, f_in_bar       true range over ATR; the close's place in its bar
    f_vwap, f_in_day             distance from the session's average price in ATR; place in the day's range
    f_cvd                        shares bought less sold this session, as their bars tell, over all
    f_push                       f_returns_1 times f_volume: a move with much volume, or with little
    f_market f_sector f_breadth  mean f_returns_1 of the market and of the industry's others, and the share of
                                 rising tickers, at that bar's close
    f_led                        what the industry's others promise: their moves with much volume in this
                                 session, fading, each times how this ticker has followed such moves

The last four know the other tickers and are made by among.py. z: less its mean, over its sample deviation, of
the last `lookback` bars with this one; 0 where nothing varies. Sums run and are made anew once a lookback, so
that no rounding piles up. All is cut off at 8.

The first bars use what there is: a return that reaches before the first bar is 0, averages begin with their
first value (TA-Lib begins with a simple mean: after 150 bars the two agree to 1e-3 of a column's range). A
filled bar has no volume and moves no average of volume. `WARM_UP` bars are enough for the two paths to agree.
"""

from collections.abc import Mapping
from math import log, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FEATURE_SPEC_VERSION = 2
OF_VERSION_1 = (
    "f_returns_1", "f_returns_3", "f_returns_5", "f_returns_10", "f_vol_10", "f_vol_20", "f_atr_14",
    "f_rsi_14", "f_k", "f_d", "f_j", "f_open", "f_high", "f_low", "f_close",
    "f_minutes_since_open", "f_minutes_to_close", "f_early_close",
)  # fmt: skip
ADDED_BY_2 = ("f_volume", "f_true_range", "f_in_bar", "f_vwap", "f_in_day", "f_cvd", "f_push")
OF_MARKET = ("f_market", "f_sector", "f_breadth", "f_led")
VERSION_1 = len(OF_VERSION_1)
NAMES: Mapping[int, tuple[str, ...]] = {1: OF_VERSION_1, 2: OF_VERSION_1 + ADDED_BY_2 + OF_MARKET}

# What a column becomes where the same prices are seen upside down: the place that it is taken from, negated
# if it has a side. Volume, ranges and the clock have none.
WITHOUT_SIDE = {
    "f_vol_10", "f_vol_20", "f_atr_14", "f_minutes_since_open", "f_minutes_to_close", "f_early_close",
    "f_volume", "f_true_range",
}  # fmt: skip
SWAPPED = {"f_high": "f_low", "f_low": "f_high"}


class Mirror(NamedTuple):
    """Of the columns in their order; `place` is asked after `sign`."""

    sign: NDArray[np.float32]
    place: NDArray[np.int64]


MOST = 8.0  # a column is cut off there, either way
WARM_UP = 400  # bars after which averages have forgotten where they began; beside one lookback
MEDIAN, RANGE, RETURNS = 20, 14, 32  # lengths of rings; the last one is longer than 21
WILDER, SMOOTH, SESSIONS = 1 / 14, 1 / 3, 1 / 20
SCORED = 12  # columns that are told by their own trailing statistics: 0 to 6, 11 to 14, 18
OF_PRICE = 11
SLOTS = 1_440  # minutes of the longest session there could be
RUN = 256  # bars after which running sums are made anew
NOTHING_VARIES = 1e-16  # a variance that is rounding: a deviation of a hundredth of a paisa in a million

# Places in State.carried
(
    CLOSE, TRUE_RANGE, GAIN, LOSS, K, D, SUM_10, SQUARES_10, SUM_20, SQUARES_20,
    DAY_HIGH, DAY_LOW, TURNOVER, VOLUME, BOUGHT, CARRIED,
) = range(16)  # fmt: skip

Floats = NDArray[np.float64]


class State(NamedTuple):
    """What is carried from bar to bar; the first index is the ticker."""

    seen: NDArray[np.int64]  # bars
    carried: Floats
    logs: Floats  # of closes, a ring
    highs: Floats
    lows: Floats
    closes: Floats
    ordered: Floats  # the same closes, the smallest first
    scored: Floats  # what is told by its own statistics, a ring of `lookback`
    sums: Floats  # of it and of its squares
    usual: Floats  # volume at each minute of the session; 0 before the first


class Bars(NamedTuple):
    """Closed bars: of one ticker in time, or of all tickers at one moment. The columns are alike."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    is_filled: NDArray[np.bool_]
    is_first: NDArray[np.bool_]  # of its session
    minute: NDArray[np.int64]  # at which it opened, since the session did
    length: NDArray[np.int64]  # of the bar, in minutes
    session: NDArray[np.int64]  # minutes of continuous trading that day
    is_early: NDArray[np.bool_]  # the session ends before its usual time


def mirror(version: int) -> Mirror:
    """How that version's columns are turned upside down."""
    names = NAMES[version]
    sign = [1.0 if name in WITHOUT_SIDE else -1.0 for name in names]
    place = [names.index(SWAPPED.get(name, name)) for name in names]
    return Mirror(np.array(sign, np.float32), np.array(place, np.int64))


def new_state(tickers: int, lookback: int) -> State:
    def zeros(*shape: int) -> Floats:
        return np.zeros((tickers, *shape))

    return State(
        np.zeros(tickers, np.int64), zeros(CARRIED), zeros(RETURNS), zeros(RANGE), zeros(RANGE),
        zeros(MEDIAN), zeros(MEDIAN), zeros(lookback, SCORED), zeros(SCORED, 2), zeros(SLOTS),
    )  # fmt: skip


# --- one bar; compiled by fast.py ---------------------------------------------------------------------


def history(state: State, s: int, bars: Bars, out: Any) -> None:
    """Every bar of ticker `s`, row after row."""
    for row in range(len(bars.close)):
        bar(state, s, bars, row, out)


def moment(state: State, bars: Bars, is_there: Any, out: Any) -> None:
    """One bar of each ticker that has one."""
    for s in range(len(bars.close)):
        if is_there[s]:
            bar(state, s, bars, s, out)


def bar(state: State, s: int, bars: Bars, row: int, out: Any) -> None:
    """The next closed bar of ticker `s`; writes that row of `out`, as many columns as it has."""
    n = state.seen[s]
    at = n % state.scored.shape[1]
    close_before = state.carried[s, CLOSE] if n else bars.open[row]
    returns(state, s, n, at, bars.close[row])
    true_range = spread(state, s, n, at, close_before, bars, row)
    strength(state, s, n, bars.close[row] - close_before, out, row)
    stochastic(state, s, n, bars, row, out)
    around_median(state, s, n, at, bars, row)
    clock(bars, row, out)
    if out.shape[1] > VERSION_1:
        flow(state, s, n, at, true_range, bars, row, out)
    score(state, s, n, at, out, row)
    if out.shape[1] > VERSION_1:
        out[row, 24] = cut(0.5 * out[row, 0] * out[row, VERSION_1])
    state.carried[s, CLOSE] = bars.close[row]
    state.seen[s] = n + 1


def returns(state: State, s: int, n: int, at: int, close: float) -> None:
    """Over 1, 3, 5 and 10 bars, and the deviations of those over one."""
    logs = state.logs
    now = log(close)
    logs[s, n % RETURNS] = now
    for column, back in enumerate((1, 3, 5, 10)):
        keep(state, s, at, column, now - logs[s, (n - back) % RETURNS] if n >= back else 0.0)
    keep(state, s, at, 4, deviation(state, s, n, 10, SUM_10))
    keep(state, s, at, 5, deviation(state, s, n, 20, SUM_20))


def deviation(state: State, s: int, n: int, length: int, at: int) -> float:
    """Of the last `length` returns; `at`: where their sum, and that of their squares, is carried."""
    logs, carried, known = state.logs, state.carried, min(n, length)
    total, squares = 0.0, 0.0
    if n % RUN == 0:
        for back in range(known):
            step = logs[s, (n - back) % RETURNS] - logs[s, (n - back - 1) % RETURNS]
            total, squares = total + step, squares + step * step
    else:
        step = logs[s, n % RETURNS] - logs[s, (n - 1) % RETURNS]
        total, squares = carried[s, at] + step, carried[s, at + 1] + step * step
        if n > length:
            gone = logs[s, (n - length) % RETURNS] - logs[s, (n - length - 1) % RETURNS]
            total, squares = total - gone, squares - gone * gone
    carried[s, at], carried[s, at + 1] = total, squares
    return sqrt(max(0.0, (squares - total * total / known) / (known - 1))) if known > 1 else 0.0


def spread(state: State, s: int, n: int, at: int, close_before: float, bars: Bars, row: int) -> float:
    """The true range, and its average over the close."""
    true_range: float = max(bars.high[row], close_before) - min(bars.low[row], close_before)
    average = smoothed(state.carried[s, TRUE_RANGE], true_range, WILDER, n == 0)
    state.carried[s, TRUE_RANGE] = average
    keep(state, s, at, 6, average / bars.close[row])
    return true_range


def strength(state: State, s: int, n: int, change: float, out: Any, row: int) -> None:
    """RSI, from -1 to 1."""
    gain = smoothed(state.carried[s, GAIN], max(change, 0.0), WILDER, n <= 1)
    loss = smoothed(state.carried[s, LOSS], max(-change, 0.0), WILDER, n <= 1)
    state.carried[s, GAIN], state.carried[s, LOSS] = gain, loss
    out[row, 7] = (gain - loss) / (gain + loss) if gain + loss > 0 else 0.0


def stochastic(state: State, s: int, n: int, bars: Bars, row: int, out: Any) -> None:
    """K, D and J, each from its range."""
    highs, lows, carried = state.highs, state.lows, state.carried
    highs[s, n % RANGE], lows[s, n % RANGE] = bars.high[row], bars.low[row]
    high, low = highs[s, 0], lows[s, 0]
    for i in range(1, min(n + 1, RANGE)):
        high, low = max(high, highs[s, i]), min(low, lows[s, i])
    k = smoothed(carried[s, K], place(bars.close[row], low, high), SMOOTH, n == 0)
    d = smoothed(carried[s, D], k, SMOOTH, n == 0)
    carried[s, K], carried[s, D] = k, d
    out[row, 8], out[row, 9], out[row, 10] = k, d, 3 * k - 2 * d


def around_median(state: State, s: int, n: int, at: int, bars: Bars, row: int) -> None:
    """The bar's four prices over the median of the last closes, which are kept in order beside the ring."""
    ordered, close, known = state.ordered, bars.close[row], min(n, MEDIAN)
    i = known
    if n >= MEDIAN:  # the oldest goes: find it, and let the new one move into its place
        gone, i = state.closes[s, n % MEDIAN], 0
        while ordered[s, i] != gone:
            i += 1
        while i < MEDIAN - 1 and ordered[s, i + 1] < close:
            ordered[s, i] = ordered[s, i + 1]
            i += 1
    while i > 0 and ordered[s, i - 1] > close:
        ordered[s, i] = ordered[s, i - 1]
        i -= 1
    ordered[s, i] = close
    state.closes[s, n % MEDIAN] = close
    known = min(n + 1, MEDIAN)
    median = 0.5 * (ordered[s, known // 2] + ordered[s, (known - 1) // 2])
    keep(state, s, at, 7, bars.open[row] / median - 1)
    keep(state, s, at, 8, bars.high[row] / median - 1)
    keep(state, s, at, 9, bars.low[row] / median - 1)
    keep(state, s, at, 10, close / median - 1)


def clock(bars: Bars, row: int, out: Any) -> None:
    """Where the bar's end lies in its session: -1 to 1 since the opening, 1 to -1 to the close."""
    passed = (bars.minute[row] + bars.length[row]) / bars.session[row]
    out[row, 15] = cut(2 * passed - 1)
    out[row, 16] = cut(1 - 2 * passed)
    out[row, 17] = 1.0 if bars.is_early[row] else 0.0


def flow(state: State, s: int, n: int, at: int, true_range: float, bars: Bars, row: int, out: Any) -> None:
    """What version 2 adds of one ticker."""
    carried, close, volume = state.carried, bars.close[row], bars.volume[row]
    if bars.is_filled[row]:
        volume = 0.0
    keep(state, s, at, OF_PRICE, surprise(state, s, bars, row))
    if bars.is_first[row] or n == 0:
        carried[s, DAY_HIGH], carried[s, DAY_LOW] = bars.high[row], bars.low[row]
        carried[s, TURNOVER], carried[s, VOLUME], carried[s, BOUGHT] = 0.0, 0.0, 0.0
    carried[s, DAY_HIGH] = max(carried[s, DAY_HIGH], bars.high[row])
    carried[s, DAY_LOW] = min(carried[s, DAY_LOW], bars.low[row])
    in_bar = place(close, bars.low[row], bars.high[row])
    carried[s, TURNOVER] += volume * (bars.high[row] + bars.low[row] + close) / 3
    carried[s, VOLUME] += volume
    carried[s, BOUGHT] += volume * in_bar
    average, shares = carried[s, TRUE_RANGE], carried[s, VOLUME]
    away = close - carried[s, TURNOVER] / shares if shares > 0 else 0.0
    out[row, 19] = cut(true_range / average - 1) if average > 0 else 0.0
    out[row, 20] = in_bar
    out[row, 21] = cut(away / average) if average > 0 else 0.0
    out[row, 22] = place(close, carried[s, DAY_LOW], carried[s, DAY_HIGH])
    out[row, 23] = carried[s, BOUGHT] / shares if shares > 0 else 0.0


def surprise(state: State, s: int, bars: Bars, row: int) -> float:
    """Log of the volume over the usual one at that minute; a filled bar neither surprises nor teaches."""
    slot = bars.minute[row] % SLOTS
    usual, volume = state.usual[s, slot], bars.volume[row]
    if bars.is_filled[row]:
        return 0.0
    state.usual[s, slot] = smoothed(usual, volume, SESSIONS, usual == 0)
    return log((volume + 1) / (usual + 1)) if usual > 0 else 0.0


def keep(state: State, s: int, at: int, column: int, value: float) -> None:
    """Into the ring, and into the sums in place of the one that it pushes out."""
    gone = state.scored[s, at, column]  # 0 before the ring is full
    state.scored[s, at, column] = value
    state.sums[s, column, 0] += value - gone
    state.sums[s, column, 1] += value * value - gone * gone


def score(state: State, s: int, n: int, at: int, out: Any, row: int) -> None:
    """Each kept column less its mean, over its deviation."""
    lookback, sums = state.scored.shape[1], state.sums
    if at == 0:
        sum_anew(state, s, lookback)
    known = min(n + 1, lookback)
    part, free = 1 / known, 1 / max(known - 1, 1)
    for column in range(SCORED):
        to = column if column < 7 else column + 4 if column < OF_PRICE else VERSION_1
        if to < out.shape[1]:
            mean = sums[s, column, 0] * part
            variance = (sums[s, column, 1] - sums[s, column, 0] * mean) * free
            value = state.scored[s, at, column] - mean
            out[row, to] = cut(value / sqrt(variance)) if variance > NOTHING_VARIES else 0.0


def sum_anew(state: State, s: int, lookback: int) -> None:
    for column in range(SCORED):
        state.sums[s, column, 0], state.sums[s, column, 1] = 0.0, 0.0
    for i in range(lookback):
        for column in range(SCORED):
            value = state.scored[s, i, column]
            state.sums[s, column, 0] += value
            state.sums[s, column, 1] += value * value


def smoothed(before: float, value: float, part: float, is_first: bool) -> float:
    return value if is_first else before + (value - before) * part


def place(value: float, low: float, high: float) -> float:
    """Of a value in a range: -1 at its foot, 1 at its head; 0 in a range of nothing."""
    return 2 * (value - low) / (high - low) - 1 if high > low else 0.0


def cut(value: float) -> float:
    return min(MOST, max(-MOST, value))
