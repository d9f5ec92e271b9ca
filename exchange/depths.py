"""What stands in the book around a price? Five levels a side, the same for the same row, always.

The best prices come with the rows. Behind them each tick (in a thin book each third, or fifth) has a size
that belongs to the price and the moment: it stands for some seconds, and when the best price moves by a
tick, the levels behind are those that stood there before. Sizes come from a hash of ticker, day, price
and moment and not from a stream, so that any row can be asked first.

Sizes are hashed for 256 rows at a time and a level that stands is one object: a row costs a few
microseconds, where ten new objects alone would take nine.
"""

from typing import NamedTuple

import numpy as np

from exchange.fixed_point import OCTAVE, Ints, Words, lognormal_sizes
from exchange.listings import Profile
from exchange.nouns import Depth
from rulebook.fills import Level
from rulebook.records import Paise

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
LEVELS_KEPT = 20_000

SIZE_COINS, SIZE = 32, OCTAVE * 35 // 100  # a factor of two either way

# The mixing function of SplitMix64: every bit of the key moves every bit of the hash.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIXES = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST_SHIFT = np.uint64(31)
_QTY_BITS = 32


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
        self._first = -BATCH
        self._rows: tuple[list[list[int]], list[list[int]]] = ([], [])
        self._levels = _Levels()

    def depth(self, row: int) -> Depth:
        first = row - row % BATCH
        if first != self._first:
            self._hash(first)
        bids, asks = self._rows
        at = self._levels.__getitem__
        there = filter(None, bids[row - first]), filter(None, asks[row - first])
        return Depth(tuple(map(at, there[0])), tuple(map(at, there[1])))

    def _hash(self, first: int) -> None:
        rows = slice(first, first + BATCH)
        seconds, bids, asks = self._seconds[rows], self._bids[rows], self._asks[rows]
        if len(self._levels) > LEVELS_KEPT:
            self._levels.clear()
        self._rows = (
            _side(self._book, -1, seconds, bids, asks == 0).tolist(),
            _side(self._book, 1, seconds, asks, bids == 0).tolist(),
        )
        self._first = first


class _Levels(dict[int, Level]):
    """A level by its price and size in one number."""

    def __missing__(self, key: int) -> Level:
        level = self[key] = Level(Paise(key >> _QTY_BITS), key & ((1 << _QTY_BITS) - 1))
        return level


def _side(book: Book, sign: int, seconds: Ints, best: Ints, is_locked: Ints) -> Ints:
    """Price and size of each row's levels in one number each; 0 where there is none."""
    prices = _prices(book, sign, best)
    noise = _sizes_noise(book.key, prices, seconds)
    growth = np.where(is_locked, LOCKED_GROWTH, 1)[:, None] * np.array(GROWTH_PERCENT, np.int64)
    coins = np.bitwise_count(noise & np.uint64(0xFFFFFFFF))
    fine = (noise >> np.uint64(56)).astype(np.int64) + 384  # within a third, so that few sizes are alike
    sizes = book.touch * growth // 100 * lognormal_sizes(SIZE_COINS, SIZE).take(coins) * fine >> 25
    is_level = (best > 0)[:, None] & (prices >= max(book.lower, book.tick)) & (prices <= book.upper)
    return np.where(is_level, prices << _QTY_BITS | np.maximum(sizes, 1), 0)


def _prices(book: Book, sign: int, best: Ints) -> Ints:
    """The best price and, behind it, those of every so many ticks that lie on one grid for all rows."""
    gap = book.tick * book.stride
    behind = np.arange(LEVELS - 1, dtype=np.int64) * (sign * gap)
    second = (best + book.tick + gap - 1) // gap * gap if sign > 0 else (best - book.tick) // gap * gap
    return np.concatenate([best[:, None], second[:, None] + behind], axis=1)


def _sizes_noise(key: int, prices: Ints, seconds: Ints) -> Words:
    """A hash of each level; neighbours in price change at different moments."""
    of_price = _mixed(prices.astype(np.uint64) * _GAMMA + np.uint64(key))
    stands = (of_price & np.uint64(15)).astype(np.int64)
    moments = (seconds[:, None] + stands) >> STANDS_SHIFT
    moments[:, 0] = seconds >> TOUCH_STANDS_SHIFT
    return _mixed(of_price ^ (moments.astype(np.uint64) * _GAMMA))


def _mixed(keys: Words) -> Words:
    for shift, factor in _MIXES:
        keys = (keys ^ (keys >> shift)) * factor
    return keys ^ (keys >> _LAST_SHIFT)
