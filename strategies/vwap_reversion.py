"""Fades a price that has strayed more than k deviations from the session's volume-weighted average price.

Who must trade much is measured against the VWAP, so on quiet days it pulls the price back. The distance
is counted in volume-weighted standard deviations of the session so far. One signal an excursion: after
the price has left the band nothing more is said until it has been inside again, or a trending day would
be faded over and over. Good on days without news, in liquid stocks; it loses where a trend is born.
Confidence is one half at the band and grows to 1 at twice the band.
"""

import math
from collections.abc import MutableSequence
from typing import NamedTuple

VOLUME, VWAP, SQUARES, WAS_OUTSIDE = 1, 2, 3, 4  # cells; SQUARES: volume-weighted squared deviations


class PARAMETERS(NamedTuple):
    """Beyond `k` deviations, once `warm_bars` bars of the day are known."""

    k: float = 2.0
    warm_bars: int = 6


def objection(p: PARAMETERS) -> str:
    return (
        "" if p.k > 0 and p.warm_bars >= 1 else f"k {p.k} must be above 0, warm_bars {p.warm_bars} at least 1"
    )


def state_size(_p: PARAMETERS) -> int:
    return 5


def step(
    state: MutableSequence[float], p: PARAMETERS, session_bar: int,
    _open: int, high: int, low: int, close: int, volume: int,
) -> tuple[int, float]:  # fmt: skip
    typical = (high + low + close) / 3
    if session_bar == 0:
        begin(state, typical)
    add(state, typical, float(volume))
    if session_bar < p.warm_bars:
        return 0, 0.0

    z = deviations(state, close)
    is_outside = abs(z) > p.k
    is_news = is_outside and state[WAS_OUTSIDE] == 0
    state[WAS_OUTSIDE] = is_outside
    if not is_news:
        return 0, 0.0
    return (-1 if z > 0 else 1), min(1.0, abs(z) / (2 * p.k))


def begin(state: MutableSequence[float], typical: float) -> None:
    """A new day. The average starts at a price, so that a flat one deviates by exactly nothing."""
    state[VOLUME] = 0.0
    state[VWAP] = typical
    state[SQUARES] = 0.0
    state[WAS_OUTSIDE] = 0.0


def add(state: MutableSequence[float], typical: float, volume: float) -> None:
    """Welford's way: a sum of squares less the square of a sum would lose a paisa among 10^20."""
    if volume == 0:
        return
    state[VOLUME] += volume
    before = typical - state[VWAP]
    state[VWAP] += before * volume / state[VOLUME]
    state[SQUARES] += volume * before * (typical - state[VWAP])


def deviations(state: MutableSequence[float], close: int) -> float:
    """The close's distance from the average; 0 while there is no spread of at least a paisa to count in."""
    if state[SQUARES] < state[VOLUME] or state[VOLUME] == 0:
        return 0.0
    return (close - state[VWAP]) / math.sqrt(state[SQUARES] / state[VOLUME])
