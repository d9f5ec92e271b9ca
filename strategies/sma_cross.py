"""Buys when the fast simple moving average of closes crosses above the slow one, sells when it crosses below.

The oldest trend follower, and the benchmark that every backtester publishes; good as a yardstick of
speed and as the least a learner must beat in a trending market. The averages run on over the night.
Equal averages count as below, and the first comparison is made one bar after the slow window has
filled and only sets the side, so the first signal comes at least one bar later still: the benchmark's
definition, kept to the letter.
"""

from collections.abc import MutableSequence
from typing import NamedTuple

CURSOR, FAST_SUM, SLOW_SUM, SIDE, RING = 1, 2, 3, 4, 5  # cells; the ring holds the last `slow` closes
CELLS = 0x3FFF  # more than any ring has; a cell masked by it is not negative, and compiled code need not ask


class PARAMETERS(NamedTuple):
    """Windows in bars."""

    fast: int = 10
    slow: int = 30


def objection(p: PARAMETERS) -> str:
    is_sound = 1 <= p.fast < p.slow <= 10_000
    return "" if is_sound else f"fast {p.fast} and slow {p.slow} must be 1 <= fast < slow <= 10000"


def state_size(p: PARAMETERS) -> int:
    return RING + p.slow


def step(
    state: MutableSequence[float], p: PARAMETERS, _session_bar: int,
    _open: int, _high: int, _low: int, close: int, _volume: int,
) -> tuple[int, float]:  # fmt: skip
    cursor = int(state[CURSOR]) & CELLS
    leaves_fast = state[RING + (cursor - p.fast if cursor >= p.fast else cursor - p.fast + p.slow & CELLS)]
    leaves_slow = state[RING + cursor]
    fast_sum = state[FAST_SUM] + (close - leaves_fast)
    slow_sum = state[SLOW_SUM] + (close - leaves_slow)
    state[FAST_SUM] = fast_sum
    state[SLOW_SUM] = slow_sum
    state[RING + cursor] = close
    # Counted in floats: one conversion less in the chain from bar to bar, a quarter of a bar's time.
    state[CURSOR] = state[CURSOR] + 1.0 if state[CURSOR] + 1.0 < p.slow else 0.0
    if leaves_slow == 0:  # no price is 0: the ring was not full before this bar
        return 0, 0.0

    # The averages, both times fast * slow: whole numbers compared, no rounding decides a signal.
    side = 1 if fast_sum * p.slow > slow_sum * p.fast else -1
    has_crossed = state[SIDE] == -side
    state[SIDE] = side
    return (side, 1.0) if has_crossed else (0, 0.0)
