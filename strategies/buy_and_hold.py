"""Buys at the first bar of every day and leaves the rest to the rules: stop, trail and the day's end.

What the market itself gave to who was in it, after the costs of a trade a day. Good for telling a
strategy's skill from a rising market; a learner that only ever buys cannot beat it.
"""

from collections.abc import MutableSequence
from typing import NamedTuple


class PARAMETERS(NamedTuple):
    """None."""


def state_size(_p: PARAMETERS) -> int:
    return 1


def step(
    _state: MutableSequence[float], _p: PARAMETERS, session_bar: int,
    _open: int, _high: int, _low: int, _close: int, _volume: int,
) -> tuple[int, float]:  # fmt: skip
    return (1, 1.0) if session_bar == 0 else (0, 0.0)
