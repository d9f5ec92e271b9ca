"""How is chance drawn, and a power of two taken, so that every machine gets the same bytes?

Without a float. NumPy's transcendental functions are compiled for several instruction sets and chosen by
the CPU at hand, so their last bits differ from machine to machine, and a price that is rounded to a tick
turns a last bit into a paisa. Here a logarithm is an integer (base 2, 32 bits behind the point), a power
is read from a table that integer square roots have made, and chance is the raw output of a generator
that is defined to the bit. Each stream has a name: (seed, what for, whom for, day). So any day of any
ticker is drawn without the days before it, and a draw that is new moves no other.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from math import comb, isqrt

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Stream = np.random.PCG64

# Logarithms of prices: base 2, in units of 2**-32. A basis point is a ten-thousandth of a natural
# logarithm's unit, so 2**32 / ln(2) / 10,000 of these units.
DOUBLING = 1 << 32
BASIS_POINT = 619_633

# Logarithms of multipliers (volatility, volume): base 2, 16 bits behind the point; so are uniforms.
OCTAVE = 1 << 16

COIN_SD = 4  # a coin word has 64 fair coins: mean 32, standard deviation 4, kurtosis 2.97

_STEPS = 4_096  # of the table, for one doubling; a straight line between two is right to 4e-9
_TABLE_BITS = 30
_LN2 = 744_261_118  # with 30 bits behind the point
_EXACT_BITS = 160  # of the numbers that the table is made of: 4,096 products lose 12 of them


class _Digest(ISeedSequence):
    """Hands a name's hash to a generator as its seed: three times faster than stretching a number."""

    def __init__(self, name: str) -> None:
        self._digest = sha256(name.encode()).digest()

    def generate_state(self, n_words: int, dtype: object = np.uint64) -> Words:
        assert (n_words, dtype) == (4, np.uint64), "PCG64 asks for 256 bits"
        return np.frombuffer(self._digest, "<u8").astype(np.uint64)


def stream(*key: object) -> Stream:
    """A generator of its own for everything that has a name."""
    seed = _Digest("\x1f".join(map(str, key)))
    return np.random.PCG64(seed)  # type: ignore[arg-type]  # takes what hands out state, the stub knows one


def words(source: Stream, count: int) -> Words:
    """Raw 64-bit output; what it is depends on the generator's definition alone."""
    drawn: Words = source.random_raw(count)
    return drawn


def coins(drawn: Words) -> Ints:
    """Heads less the 32 expected among each word's 64 bits: a Gaussian for a second's step, at no cost.

    Its steps are a quarter of a standard deviation, which no price on a tick grid can show.
    """
    heads: Ints = np.bitwise_count(drawn).astype(np.int64)
    heads -= 32
    return heads


def gaussians(source: Stream, count: int) -> Ints:
    """Fine ones, for what is drawn once a day: twelve uniforms less their mean; 16 bits behind the point."""
    drawn = words(source, 6 * count).reshape(count, 6)
    halves = (drawn >> np.uint64(32)) + (drawn & np.uint64(0xFFFFFFFF))
    total: Ints = halves.sum(axis=1).astype(np.int64)
    return (total - 6 * DOUBLING) >> 16


def uniforms(source: Stream, count: int) -> Ints:
    """Within [0, 1), 16 bits behind the point."""
    return (words(source, count) >> np.uint64(48)).astype(np.int64)


def remembering(source: Stream, count: int, periods: Sequence[int]) -> Ints:
    """Noise that remembers: for each period coins that stand for so many points, and their sum.

    Such octaves stand in for a slowly forgetting process and, unlike one, need no chain from the first
    point to the last. In coins: a standard deviation of COIN_SD * sqrt(number of periods).
    """
    lengths = [count // period + 1 for period in periods]
    drawn = coins(words(source, sum(lengths)))
    total, used = np.zeros(count, np.int64), 0
    for period, length in zip(periods, lengths, strict=True):
        total += np.repeat(drawn[used : used + length], period)[:count]
        used += length
    return total


# --- powers ---------------------------------------------------------------------------------------


@cache
def _table() -> Ints:
    """2**(i / 4096) for one doubling and its end, 30 bits behind the point."""
    root = 2 << (2 * _EXACT_BITS)
    for halving in range(_STEPS.bit_length() - 1):
        root = isqrt(root if halving == 0 else root << _EXACT_BITS)
    power, powers = 1 << _EXACT_BITS, []
    for _ in range(_STEPS + 1):
        powers.append((power + (1 << (_EXACT_BITS - _TABLE_BITS - 1))) >> (_EXACT_BITS - _TABLE_BITS))
        power = power * root >> _EXACT_BITS
    return np.array(powers, np.int64)


def scaled(base: int, logs: Ints) -> Ints:
    """base * 2**log for logarithms of prices. The base has at most 31 bits, the logarithm is within +-8."""
    assert 0 < base < 1 << 31, base
    table = _table()
    step = (logs >> 20) & (_STEPS - 1)
    low = table.take(step)
    between = (table.take(step + 1) - low) * (logs & 0xFFFFF) >> 20
    result: Ints = base * (low + between) >> (_TABLE_BITS - (logs >> 32))
    return result


def scaled_along(base: int, logs: Ints, stretch: int) -> Ints:
    """The same for a path, twice as fast: by the table at the start of each stretch, by a parabola inside.

    Wrong by a sixth of the cube of a stretch's move: nothing where nothing jumps, 2 basis points of a jump
    of 10 %.
    """
    starts = logs[::stretch]
    moved = logs - np.repeat(starts, stretch)
    moved *= _LN2
    moved >>= 30
    square = moved * moved
    square >>= 33
    moved += square
    anchors = np.repeat(scaled(base, starts), stretch)
    moved *= anchors
    moved >>= 32
    moved += anchors
    return moved


def scaled_one(base: int, log: int) -> int:
    """The same for one number."""
    return int(scaled(base, np.array([log], np.int64))[0])


def multipliers(octaves: Ints) -> Ints:
    """2**octave, 16 bits behind the point both; from 2**-15 to 2**14 and cut there."""
    kept = np.clip(octaves, -15 * OCTAVE, 14 * OCTAVE - 1)
    return _table().take((kept & 0xFFFF) >> 4) >> (14 - (kept >> 16))


def multiplier(octaves: int) -> int:
    return int(multipliers(np.array([octaves], np.int64))[0])


@cache
def lognormal_sizes(coins: int, octaves_a_coin: int) -> Ints:
    """By the number of heads, how much a size is of the usual one; 16 bits behind the point, mean 1."""
    raw = multipliers((np.arange(coins + 1) - coins // 2) * octaves_a_coin)
    mean = sum(comb(coins, heads) * int(size) for heads, size in enumerate(raw)) >> coins
    sizes: Ints = (raw << 16) // mean
    sizes.setflags(write=False)
    return sizes


def basis_points(log: int) -> float:
    """For people and tests: what a logarithm of prices is in basis points."""
    return log / BASIS_POINT
