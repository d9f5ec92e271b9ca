"""Follows the first close outside the range of the day's first bars, once a day for each side.

The opening auction of opinions sets a range; who breaks it has found the day's direction, or has been
fooled, hence the optional demand for volume. Good on days with news and a gap; poor in a dull market,
where the range is narrow and is broken both ways. Confidence is one half at the range's edge and grows
to 1 when the close lies a whole range beyond.
"""

from collections.abc import MutableSequence
from typing import NamedTuple

# Cells. A side's sign, added to the middle of three, finds its own: short one before, long one after.
EDGE, TAKEN, VOLUME = 2, 5, 7
CELLS = 8


class PARAMETERS(NamedTuple):
    """The first `bars` bars make the range; 0 switches the volume filter off."""

    bars: int = 3
    volume_times: float = 0.0  # the breaking bar's volume against the range's average bar


def objection(p: PARAMETERS) -> str:
    is_sound = p.bars >= 1 and p.volume_times >= 0
    return "" if is_sound else f"bars {p.bars} must be at least 1, volume_times {p.volume_times} at least 0"


def state_size(_p: PARAMETERS) -> int:
    return CELLS


def step(
    state: MutableSequence[float], p: PARAMETERS, session_bar: int,
    _open: int, high: int, low: int, close: int, volume: int,
) -> tuple[int, float]:  # fmt: skip
    if session_bar == 0:
        begin(state, high, low)
    if session_bar < p.bars:
        widen(state, high, low, volume)
        return 0, 0.0

    sign = side_of(state, close)
    has_volume = float(volume) * p.bars >= p.volume_times * state[VOLUME]
    if sign == 0 or state[TAKEN + sign] != 0 or not has_volume:
        return 0, 0.0
    state[TAKEN + sign] = 1.0
    return sign, confidence(state, sign, close)


def begin(state: MutableSequence[float], high: int, low: int) -> None:
    state[EDGE + 1] = high
    state[EDGE - 1] = low
    state[TAKEN + 1] = 0.0
    state[TAKEN - 1] = 0.0
    state[VOLUME] = 0.0


def widen(state: MutableSequence[float], high: int, low: int, volume: int) -> None:
    state[EDGE + 1] = max(state[EDGE + 1], float(high))
    state[EDGE - 1] = min(state[EDGE - 1], float(low))
    state[VOLUME] += volume


def side_of(state: MutableSequence[float], close: int) -> int:
    """Which edge the close lies beyond: +1 above, -1 below, 0 inside."""
    if close > state[EDGE + 1]:
        return 1
    return -1 if close < state[EDGE - 1] else 0


def confidence(state: MutableSequence[float], sign: int, close: int) -> float:
    beyond = sign * (close - state[EDGE + sign])
    width = max(1.0, state[EDGE + 1] - state[EDGE - 1])  # a flat opening is a paisa wide
    return min(1.0, 0.5 + 0.5 * beyond / width)
