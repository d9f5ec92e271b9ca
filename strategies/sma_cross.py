"""Buys when the fast simple moving average of closes crosses above the slow one, sells when it crosses below.

The oldest trend follower, and the benchmark that every backtester publishes; good as a yardstick of
speed and as the least a learner must beat in a trending market. The averages run on over the night.
Equal averages count as below, and the first comparison is made one bar after the slow window has
filled and only sets the side, so the first signal comes at least one bar later still: the benchmark's
definition, kept to the letter.
"""

from collections.abc import MutableSequence
from typing import NamedTuple

COUNT, FAST_SUM, SLOW_SUM, LEAD, RING = 1, 2, 3, 4, 5  # cells; the ring holds the last `slow` closes or more
CELLS = 0x3FFF  # no ring has more; what is masked by it is not negative, and compiled code need not ask


class PARAMETERS(NamedTuple):
    """Windows in bars."""

    fast: int = 10
    slow: int = 30


def objection(p: PARAMETERS) -> str:
    is_sound = 1 <= p.fast < p.slow <= 10_000
    return "" if is_sound else f"fast {p.fast} and slow {p.slow} must be 1 <= fast < slow <= 10000"


def state_size(p: PARAMETERS) -> int:
    return RING + (1 << (p.slow - 1).bit_length())  # a ring of a power of two is walked by a mask


def step(
    state: MutableSequence[float], p: PARAMETERS, _session_bar: int,
    _open: int, _high: int, _low: int, close: int, _volume: int,
) -> tuple[int, float]:  # fmt: skip
    count, mask = int(state[COUNT]), len(state) - RING - 1 & CELLS
    leaves_fast = state[RING + (count - p.fast & mask)]
    leaves_slow = state[RING + (count - p.slow & mask)]
    fast_sum = state[FAST_SUM] + (close - leaves_fast)
    slow_sum = state[SLOW_SUM] + (close - leaves_slow)
    state[FAST_SUM] = fast_sum
    state[SLOW_SUM] = slow_sum
    state[RING + (count & mask)] = close
    state[COUNT] += 1.0
    if leaves_slow == 0:  # no price is 0: the ring was not full before this bar
        return 0, 0.0

    # The averages, both times fast * slow: whole numbers compared, no rounding decides a signal. The
    # half makes equal ones a lead of the slow one, and leaves 0 for the bar before the first comparison.
    lead = fast_sum * p.slow - slow_sum * p.fast - 0.5
    has_crossed = lead * state[LEAD] < 0
    state[LEAD] = lead
    if not has_crossed:
        return 0, 0.0
    return (1 if lead > 0 else -1), 1.0
