"""How does a process get from the open of a session to its close, second by second?

As a Brownian motion with a clock of its own. Each second has a volatility (high in the morning, low at
noon, and clustering); steps are drawn with it, scaled so that their variances add up to the day's, and
bent so that they end at the day's total: each second gives up its share, by variance, of what the steps
missed the total by. Given the volatilities the result is exactly a Brownian motion with a Gaussian total
(the Brownian bridge), so that neither the total nor the bending can be foreseen from the path. Whatever is
no Brownian motion, jumps above all, is laid over it afterwards: bent with the rest, a jump would be taken
back by the seconds around it, and fading jumps would pay.

Nothing here knows a price or an edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import isqrt
from typing import NamedTuple

import numpy as np

from exchange.fixed_point import COIN_SD, OCTAVE, Ints, coins, multipliers, remembering, stream, words
from exchange.levels import Process

BLOCK_S = 15  # volatility and volume change from block to block; every session is a whole number of them

# Volatility by the time of day, in octaves above noon's: twice as high at the open, gone with a half-life
# of 20 minutes, and a quarter higher at the close (five-minute ranges of NIFTY names look like that).
OPEN_OCTAVES, OPEN_HALF_LIFE_S = OCTAVE * 110 // 100, 1_200
CLOSE_OCTAVES, CLOSE_HALF_LIFE_S = OCTAVE * 35 // 100, 1_500

# What a session's volatility remembers: 45 seconds, four minutes, a quarter of an hour, over an hour. No
# length divides a bar of five minutes, so that no bar boundary is special.
ROUGH_BLOCKS = (3, 17, 61, 289)
ROUGH = OCTAVE * 30 // 100

# News is digested: 20 minutes of half an octave more volatility after a jump.
AFTERMATH_BLOCKS = 80
AFTERMATH = OCTAVE // 2

_SCALE_BITS = 24
_SIGMA_LEAST = 16  # in 1024ths: no second is without any risk


@dataclass(frozen=True)
class Hours:
    """When a day trades, as seconds from midnight; ends are excluded."""

    spans: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        assert self.spans and all((until - start) % BLOCK_S == 0 for start, until in self.spans)

    @cached_property
    def seconds(self) -> Ints:
        seconds = np.concatenate([np.arange(start, until, dtype=np.int64) for start, until in self.spans])
        seconds.setflags(write=False)
        return seconds

    @property
    def length(self) -> int:
        return sum(until - start for start, until in self.spans)

    @property
    def blocks(self) -> int:
        return self.length // BLOCK_S

    def position(self, second: int) -> int:
        """How many seconds have been traded before that one of the day."""
        return sum(max(0, min(second, until) - start) for start, until in self.spans)


class Window(NamedTuple):
    """Blocks in which a multiplier stands higher by so many octaves."""

    first: int
    last: int  # excluded
    octaves: int


class Walk(NamedTuple):
    """What a process did: its logarithm after each second, from 0 at the open; its heat in each block."""

    logs: Ints
    heat: Ints


def walk(
    seed: int,
    name: str,
    day: str,
    process: Process,
    index: int,
    hours: Hours,
    heated_by: Ints | None = None,
    windows: Sequence[Window] = (),
    halts: Sequence[tuple[int, int]] = (),
) -> Walk:
    """One process in one session. `halts` are positions between which nothing moves."""
    source = stream(seed, "walk", name, day)
    heat = remembering(source, hours.blocks, ROUGH_BLOCKS) * (ROUGH // COIN_SD)
    if heated_by is not None:
        heat = heat + (heated_by >> 1)
    jump, jump_at = int(process.jump[index]), int(process.jump_at[index]) * hours.length >> 16
    if jump:
        windows = [*windows, aftermath(jump_at)]
    sigma = multipliers(with_windows(heat + volatility_shape(hours.blocks), windows)) >> 6
    sigma = _halted(np.maximum(sigma, _SIGMA_LEAST), halts)
    steps = coins(words(source, hours.length))
    steps *= by_second(sigma)
    np.cumsum(steps, out=steps)
    logs = _bent(steps, sigma, int(process.sigma[index]), int(process.total[index]))
    logs[jump_at:] += jump
    return Walk(logs, heat)


def aftermath(position: int) -> Window:
    """What follows on a jump at that second of the session."""
    block = position // BLOCK_S
    return Window(block, block + AFTERMATH_BLOCKS, AFTERMATH)


def by_second(blocks: Ints) -> Ints:
    return np.repeat(blocks, BLOCK_S)


@cache
def second_of_block(blocks: int) -> Ints:
    """0 to 14, over and over."""
    seconds = np.tile(np.arange(BLOCK_S, dtype=np.int64), blocks)
    seconds.setflags(write=False)
    return seconds


def with_windows(octaves: Ints, windows: Sequence[Window]) -> Ints:
    if not windows:
        return octaves
    changed = octaves.copy()
    for window in windows:
        changed[window.first : window.last] += window.octaves
    return changed


@cache
def volatility_shape(blocks: int) -> Ints:
    """Octaves above noon by the time of day."""
    return faded(blocks, OPEN_OCTAVES, OPEN_HALF_LIFE_S, CLOSE_OCTAVES, CLOSE_HALF_LIFE_S)


def faded(blocks: int, at_open: int, open_half_life_s: int, at_close: int, close_half_life_s: int) -> Ints:
    """High at both ends of the session."""
    passed = np.arange(blocks, dtype=np.int64) * (BLOCK_S * OCTAVE)
    fresh = multipliers(-(passed // open_half_life_s)) * at_open >> 16
    late = multipliers(-(passed[::-1] // close_half_life_s)) * at_close >> 16
    shape: Ints = fresh + late
    shape.setflags(write=False)
    return shape


def _halted(sigma: Ints, halts: Sequence[tuple[int, int]]) -> Ints:
    for start, until in halts:
        sigma[start // BLOCK_S : -(-until // BLOCK_S)] = 0
    return sigma


def _bent(steps: Ints, sigma: Ints, day_sigma: int, total: int) -> Ints:
    """The steps' sum, with the day's variance and the day's total.

    Bits: the variances add up to less than 2**43, the day's sigma and what is missed to less than 2**31.
    """
    variances = sigma * sigma
    variance = int(variances.sum()) * BLOCK_S
    if variance == 0:
        return np.zeros_like(steps)
    scale = (day_sigma << _SCALE_BITS) // (COIN_SD * isqrt(variance))
    missed = total - (int(steps[-1]) * scale >> _SCALE_BITS)
    bend = (missed << _SCALE_BITS) // variance
    each = variances * bend >> _SCALE_BITS  # of each second of a block
    before = (np.cumsum(variances) - variances) * BLOCK_S * bend >> _SCALE_BITS
    steps *= scale
    steps >>= _SCALE_BITS
    steps += by_second(before + each)
    within = by_second(each)
    within *= second_of_block(len(sigma))
    steps += within
    return steps
