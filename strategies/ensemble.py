"""Asks four indicators, trusts them by the market's regime, and acts when they agree.

Two follow (the gap between two moving averages, a break of the window's range), two fade (RSI, the
distance from the window's mean in deviations). The regime says whom to trust: in a trend (the price got
far for the way it went) the followers, in a range the faders; when the market moves far more than it
usually does, both alike and at half the confidence. Confidence is the weighted agreement, and `explain`
shows the regime and every vote. Good as an example of a larger strategy, and as a hand-made rival that
adapts; its numbers are ordinary ones and were fitted to nothing.

Indicators run on a level: the sum of changes of the close without the nights' gaps, so that a gap at
the open is not taken for a trend, and every morning starts warm.
"""

import math
from collections.abc import MutableSequence
from typing import NamedTuple

from rulebook.bars import next_atr, true_range

# Cells: what is remembered ...
COUNT, LAST_CLOSE, LEVEL, WAY, ATR_MILLI, USUAL, FAST, SLOW, GAIN, LOSS, CURSOR = range(1, 12)
# ... what was thought of the last bar, for `explain` ...
EFFICIENCY, STRESS, REGIME, MOMENTUM, BREAKOUT, RSI, BAND, TRUST, SCORE = range(12, 21)
# ... and the levels of the last `window` bars.
RING = 21

RANGE, TREND, VOLATILE = 0, 1, 2

USUAL_WINDOWS = 5  # the usual range is an average over so many windows
RSI_FULL = 20.0  # points from 50 at which the vote is a whole one: the usual 30 and 70
BAND_FULL = 2.0  # deviations, as with Bollinger's bands
VOLATILE_FACTOR = 0.5
MOST_STRESS = 100.0  # after a long flat price the usual range is next to nothing


class PARAMETERS(NamedTuple):
    """Lengths in bars; thresholds of regime and of action."""

    fast: int = 12
    slow: int = 26
    rsi: int = 14
    window: int = 20
    trend_at: float = 0.35  # efficiency: net way / way gone
    volatile_at: float = 1.6  # ATR share against the usual one
    leaning: float = 0.85  # trust in the camp that suits the regime
    act_at: float = 0.5  # confidence


def objection(p: PARAMETERS) -> str:
    if not (1 <= p.fast < p.slow <= 10_000 and p.rsi >= 1 and 2 <= p.window <= 10_000):
        return "lengths must be 1 <= fast < slow <= 10000, rsi >= 1 and 2 <= window <= 10000"
    if not (0 <= p.trend_at <= 1 and p.volatile_at > 0 and 0 <= p.leaning <= 1 and 0 < p.act_at <= 1):
        return "trend_at and leaning must be within [0, 1], act_at within (0, 1], volatile_at above 0"
    return ""


def state_size(p: PARAMETERS) -> int:
    return RING + p.window


def step(
    state: MutableSequence[float], p: PARAMETERS, session_bar: int,
    open: int, high: int, low: int, close: int, _volume: int,
) -> tuple[int, float]:  # fmt: skip
    count = state[COUNT]
    remember(state, p, close - (open if session_bar == 0 else int(state[LAST_CLOSE])))
    remember_range(state, p, true_range(high, low, 0 if session_bar == 0 else int(state[LAST_CLOSE])), close)
    state[LAST_CLOSE] = close
    state[COUNT] = count + 1
    is_warm = count >= max(p.slow, p.window)
    if is_warm:
        vote(state, p)
        weigh(state, p)
    push(state, p)
    return decide(state, p) if is_warm else (0, 0.0)


# --- what is remembered ----------------------------------------------------------------------------


def remember(state: MutableSequence[float], p: PARAMETERS, change: int) -> None:
    """Level, moving averages, and the averages of gains and losses."""
    state[LEVEL] += change
    state[WAY] += abs(change)
    state[FAST] += (state[LEVEL] - state[FAST]) * 2 / (p.fast + 1)
    state[SLOW] += (state[LEVEL] - state[SLOW]) * 2 / (p.slow + 1)
    state[GAIN] += (max(change, 0) - state[GAIN]) / p.rsi
    state[LOSS] += (max(-change, 0) - state[LOSS]) / p.rsi


def remember_range(state: MutableSequence[float], p: PARAMETERS, range_: int, close: int) -> None:
    """ATR, its share of the price against the usual share."""
    count = int(state[COUNT])
    state[ATR_MILLI] = next_atr(int(state[ATR_MILLI]), count, range_)
    share = state[ATR_MILLI] / close
    if count == 0:
        state[USUAL] = share
    state[STRESS] = min(MOST_STRESS, share / state[USUAL]) if state[USUAL] > 0 else 1.0
    state[USUAL] += (share - state[USUAL]) / (USUAL_WINDOWS * p.window)


def push(state: MutableSequence[float], p: PARAMETERS) -> None:
    """The oldest level leaves, and with it the way from it to the next; whole numbers, so exact."""
    cursor = int(state[CURSOR])
    following = cursor + 1 if cursor + 1 < p.window else 0
    state[WAY] -= abs(state[RING + following] - state[RING + cursor])
    state[RING + cursor] = state[LEVEL]
    state[CURSOR] = following


# --- what is thought of it -------------------------------------------------------------------------


def vote(state: MutableSequence[float], p: PARAMETERS) -> None:
    """Every vote lies within [-1, 1] and is a side: + to buy, - to sell."""
    atr, moves = state[ATR_MILLI] / 1_000, state[GAIN] + state[LOSS]
    rsi = 100 * state[GAIN] / moves if moves > 0 else 50.0
    deviations, broken = place(state, p, state[LEVEL])
    state[MOMENTUM] = clipped((state[FAST] - state[SLOW]) / atr) if atr > 0 else 0.0
    state[BREAKOUT] = broken
    state[RSI] = clipped((50.0 - rsi) / RSI_FULL)
    state[BAND] = clipped(-deviations / BAND_FULL)


def weigh(state: MutableSequence[float], p: PARAMETERS) -> None:
    oldest = state[RING + int(state[CURSOR])]
    state[EFFICIENCY] = abs(state[LEVEL] - oldest) / state[WAY] if state[WAY] > 0 else 0.0
    state[REGIME] = regime(state, p)
    state[TRUST] = trust(state, p)
    followers = (state[MOMENTUM] + state[BREAKOUT]) / 2
    faders = (state[RSI] + state[BAND]) / 2
    state[SCORE] = state[TRUST] * followers + (1 - state[TRUST]) * faders


def clipped(value: float) -> float:
    return max(-1.0, min(1.0, value))


def place(state: MutableSequence[float], p: PARAMETERS, level: float) -> tuple[float, float]:
    """Where the level lies among the window's: in deviations from their mean, and outside on which side.

    No deviations are counted while the window spreads less than a paisa.
    """
    total, squares, above, below = 0.0, 0.0, 0, 0
    for cell in range(RING, RING + p.window):
        away = state[cell] - level  # from here, so that the squares stay small and exact
        total += away
        squares += away * away
        above += away < 0
        below += away > 0
    mean = total / p.window
    variance = squares / p.window - mean * mean
    deviations = -mean / math.sqrt(variance) if variance >= 1 else 0.0
    return deviations, float((above == p.window) - (below == p.window))


def regime(state: MutableSequence[float], p: PARAMETERS) -> int:
    if state[STRESS] >= p.volatile_at:
        return VOLATILE
    return TREND if state[EFFICIENCY] >= p.trend_at else RANGE


def trust(state: MutableSequence[float], p: PARAMETERS) -> float:
    """The followers' share of the say; the faders have the rest."""
    if state[REGIME] == VOLATILE:
        return 0.5
    return p.leaning if state[REGIME] == TREND else 1 - p.leaning


def decide(state: MutableSequence[float], p: PARAMETERS) -> tuple[int, float]:
    confidence = sureness(state)
    if confidence < p.act_at:
        return 0, 0.0
    return (1 if state[SCORE] > 0 else -1), confidence


def sureness(state: MutableSequence[float]) -> float:
    return min(1.0, abs(state[SCORE])) * (VOLATILE_FACTOR if state[REGIME] == VOLATILE else 1.0)


# --- for people ----------------------------------------------------------------------------------


def explain(state: MutableSequence[float], _p: PARAMETERS) -> dict[str, float]:
    """The regime (0 range, 1 trend, 2 volatile), what it was told by, each vote and the trust in its camp."""
    return {
        "regime": state[REGIME],
        "efficiency": state[EFFICIENCY],
        "atr_against_usual": state[STRESS],
        "trust_in_followers": state[TRUST],
        "vote_momentum": state[MOMENTUM],
        "vote_breakout": state[BREAKOUT],
        "vote_rsi": state[RSI],
        "vote_band": state[BAND],
        "score": state[SCORE],
        "confidence": sureness(state),
    }
