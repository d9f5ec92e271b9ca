"""Never trades. Good for one thing: whatever costs money must beat it, and many things do not."""

from collections.abc import MutableSequence
from typing import NamedTuple


class PARAMETERS(NamedTuple):
    """None."""


def state_size(_p: PARAMETERS) -> int:
    return 1


def step(
    _state: MutableSequence[float], _p: PARAMETERS, _session_bar: int,
    _open: int, _high: int, _low: int, _close: int, _volume: int,
) -> tuple[int, float]:  # fmt: skip
    return 0, 0.0
