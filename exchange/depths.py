"""What stands in the book around a price? Five levels a side, the same for the same row, always.

The best prices come with the rows. Behind them each tick (in a thin book each third, or fifth) has a size
that belongs to the price and the moment: it stands for some seconds, and when the best price moves by a
tick, the levels behind are those that stood there before. Sizes come from a hash of ticker, day, price
and moment and not from a stream, so that any row can be asked first.

A million rows a day are asked for: sizes are hashed for a run of rows at once and kept as plain numbers, and
a row's levels are made when it is asked for. They die young; kept, a million of them would have the garbage
collector look through all of them over and over, which took a third of the time.
"""

from functools import partial
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchange.fixed_point import OCTAVE, Ints, Words, lognormal_sizes
from exchange.listings import Profile
from exchange.nouns import Depth
from rulebook.fills import Level

LEVELS = 5
BATCH = 256
NO_DEPTH = Depth((), ())

# What stands at the best price: a 20,000th of the day's volume, which are 550 shares of RELIANCE, or
# 40,000 rupees' worth of a thin name.
TOUCH_PART = 20_000
TOUCH_LEAST = 40_000_00
GROWTH_PERCENT = (100, 150, 180, 200, 220)  # behind it
LOCKED_GROWTH = 20  # at a circuit limit the queue is that much longer

STANDS_SHIFT, TOUCH_STANDS_SHIFT = 4, 1  # a size behind the best price stands for 16 seconds, there for 2

SIZE_COINS, SIZE = 32, OCTAVE * 35 // 100  # a factor of two either way

_LEVEL, _DEPTH = partial(tuple.__new__, Level), partial(tuple.__new__, Depth)  # what Level(*pair) does, in C
_QTY = itemgetter(1)

# The mixing function of SplitMix64: every bit of the key moves every bit of the hash.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIXES = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST_SHIFT = np.uint64(31)


class Book(NamedTuple):
    """What a stock's book is like on a day."""

    key: int  # of the hash: 64 bits
    tick: int
    touch: int  # shares at the best price, in the middle
    stride: int  # ticks from one level to the next behind the best
    lower: int
    upper: int


def book_of(profile: Profile, key: int, limits: tuple[int, int], half_spread: int) -> Book:
    """`half_spread` in paise: where it is wide, the levels behind lie apart as well."""
    tick = profile.listing.tick
    touch = max(1, profile.day_shares // TOUCH_PART, TOUCH_LEAST // profile.base)
    return Book(key, tick, touch, 1 + half_spread // (2 * tick), *limits)


class Ladder:
    """The depth of a session, row by row; bids and asks of 0 are none."""

    def __init__(self, book: Book, seconds: Ints, bids: Ints, asks: Ints) -> None:
        self._book = book
        self._seconds, self._bids, self._asks = seconds, bids, asks
        self._first, self._last = 0, 0  # of the run that has been hashed; nothing yet
        self._prices: list[int] = []
        self._sizes: list[int] = []  # 0 where there is no level

    def depth(self, row: int) -> Depth:
        if not self._first <= row < self._last:
            self._hash(row - row % BATCH)
        start = (row - self._first) * 2 * LEVELS
        prices, sizes = self._prices[start : start + 2 * LEVELS], self._sizes[start : start + 2 * LEVELS]
        levels = tuple(map(_LEVEL, zip(prices, sizes)))  # noqa: B905  ten of each; strict costs a fifth
        bids, asks = levels[:LEVELS], levels[LEVELS:]
        if 0 in sizes:
            return Depth(tuple(filter(_QTY, bids)), tuple(filter(_QTY, asks)))
        return _DEPTH((bids, asks))

    def _hash(self, first: int) -> None:
        rows = slice(first, first + BATCH)
        seconds, bids, asks = self._seconds[rows], self._bids[rows], self._asks[rows]
        prices = np.concatenate([_prices(self._book, -1, bids), _prices(self._book, 1, asks)], axis=1)
        is_locked = np.repeat(np.column_stack([asks == 0, bids == 0]), LEVELS, axis=1)
        best = np.repeat(np.column_stack([bids, asks]), LEVELS, axis=1)
        lower, upper = max(self._book.lower, self._book.tick), self._book.upper
        is_level = (best > 0) & (prices >= lower) & (prices <= upper)
        self._prices = prices.ravel().tolist()
        self._sizes = (_sizes(self._book, prices, seconds, is_locked) * is_level).ravel().tolist()
        self._first, self._last = first, first + len(seconds)


def _prices(book: Book, sign: int, best: Ints) -> Ints:
    """The best price and, behind it, those of every so many ticks that lie on one grid for all rows."""
    gap = book.tick * book.stride
    behind = np.arange(LEVELS - 1, dtype=np.int64) * (sign * gap)
    second = (best + book.tick + gap - 1) // gap * gap if sign > 0 else (best - book.tick) // gap * gap
    return np.concatenate([best[:, None], second[:, None] + behind], axis=1)


def _sizes(book: Book, prices: Ints, seconds: Ints, is_locked: NDArray[np.bool_]) -> Ints:
    noise = _noise(book.key, prices, seconds)
    growth = np.where(is_locked, LOCKED_GROWTH, 1) * np.array(GROWTH_PERCENT * 2, np.int64)
    coins = np.bitwise_count(noise & np.uint64(0xFFFFFFFF))
    fine = (noise >> np.uint64(56)).astype(np.int64) + 384  # within a third, so that few sizes are alike
    sizes: Ints = book.touch * growth // 100 * lognormal_sizes(SIZE_COINS, SIZE).take(coins) * fine >> 25
    return np.maximum(sizes, 1, out=sizes)


def _noise(key: int, prices: Ints, seconds: Ints) -> Words:
    """A hash of each level; neighbours in price change at different moments."""
    of_price = _mixed(prices.astype(np.uint64) * _GAMMA + np.uint64(key))
    stands = (of_price & np.uint64(15)).astype(np.int64)
    moments = (seconds[:, None] + stands) >> STANDS_SHIFT
    moments[:, ::LEVELS] = (seconds >> TOUCH_STANDS_SHIFT)[:, None]
    return _mixed(of_price ^ (moments.astype(np.uint64) * _GAMMA))


def _mixed(keys: Words) -> Words:
    for shift, factor in _MIXES:
        keys = (keys ^ (keys >> shift)) * factor
    return keys ^ (keys >> _LAST_SHIFT)
