"""Acts on a share of the bars, at random, and with a random confidence.

What the rules alone earn: stops, trail, costs and the clock act on its entries as on anybody's. Good as
the null hypothesis; set `rate` so that it trades as often as the strategy that it stands beside, and
run it with many seeds. The draw is a function of seed, ticker and number of the bar, with no generator
anywhere but here: the same every time and on every machine, and another ticker's does not touch it.
"""

from collections.abc import MutableSequence
from typing import NamedTuple

TICKER, COUNT = 0, 1  # cells

WORD = 2**32
MASK = WORD - 1
# Odd multipliers below 2^31: with a word below 2^32 the product stays within a signed 64-bit integer,
# where CPython and compiled code agree. The stride is the golden ratio of a word (Weyl's sequence).
FIRST, SECOND, STRIDE = 0x2C1B3C6D, 0x297A2D39, 0x1E3779B9
LONGEST = 2**31  # bars and seeds, for the same reason


class PARAMETERS(NamedTuple):
    """An action at `rate` of the bars."""

    seed: int = 1
    rate: float = 0.02


def objection(p: PARAMETERS) -> str:
    is_sound = 0 <= p.seed < LONGEST and 0 <= p.rate <= 1
    return "" if is_sound else f"seed {p.seed} must be within [0, 2^31), rate {p.rate} within [0, 1]"


def state_size(_p: PARAMETERS) -> int:
    return 2


def step(
    state: MutableSequence[float], p: PARAMETERS, _session_bar: int,
    _open: int, _high: int, _low: int, _close: int, _volume: int,
) -> tuple[int, float]:  # fmt: skip
    count = int(state[COUNT])
    state[COUNT] = (count + 1) % LONGEST
    key = scrambled(scrambled(p.seed) ^ int(state[TICKER]))
    draw = scrambled((key + count * STRIDE) & MASK)
    if draw >= p.rate * WORD:
        return 0, 0.0
    draw = scrambled(draw ^ key)  # afresh: below the rate the first one is no longer uniform
    return (1 if draw & 1 else -1), (draw >> 1) / LONGEST


def scrambled(word: int) -> int:
    """A word of 32 bits for another, one to one, in which every bit depends on every bit."""
    word = ((word ^ (word >> 16)) * FIRST) & MASK
    word = ((word ^ (word >> 12)) * SECOND) & MASK
    return word ^ (word >> 15)
