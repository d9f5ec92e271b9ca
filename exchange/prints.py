"""In which seconds of a session does a stock trade, at which price, and how many shares?

The path says where the price would be if it were not on a grid. Around it stands a spread: at least the
tick that the path lies in, wider for thin names and in hot minutes. A second in which somebody trades
(nearly each for a large name, one in ten for a thin one) prints at the bid or at the ask, evenly: the
only linear pattern that a print has is this bounce, and it costs whoever chases it a spread.

Volume has the day's U, goes with volatility, remembers a while, and comes in sizes of any magnitude. At a
circuit limit the price stands still, one side of the book is gone, and little trades.
"""

from collections.abc import Sequence
from functools import cache
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchange.fixed_point import (
    COIN_SD,
    OCTAVE,
    Ints,
    Words,
    lognormal_sizes,
    multipliers,
    remembering,
    stream,
    words,
)
from exchange.levels import ORDINARY_S
from exchange.listings import Profile
from exchange.paths import BLOCK_S, Window, by_second, faded, with_windows

# Volume by the time of day, in octaves above noon's: three times at the open, twice at the close.
OPEN_OCTAVES, OPEN_HALF_LIFE_S = OCTAVE * 160 // 100, 1_500
CLOSE_OCTAVES, CLOSE_HALF_LIFE_S = OCTAVE, 1_200

# One octave of volatility brings 0.8 of volume, in a block and in a day. A block that moves as far as the
# day's average one brings another third of an octave, one that moves six times as far two octaves, and
# there it ends. The rest is volume's own.
WITH_HEAT_PERCENT = 80
WITH_MOVE, WITH_MOVE_MOST = OCTAVE // 3, 2 * OCTAVE
BUSY_BLOCKS = (2, 11, 47, 211)
BUSY = OCTAVE * 25 // 100
BUSY_MEAN = -OCTAVE * 48 // 100  # so that an average day has the volume of the table

# A trade is about 40,000 rupees on NSE: how many there are in a second decides how many seconds have one.
TRADE_PAISE = 40_000_00

# 0.45 octaves a coin of 32: sizes of a second vary by a factor of 2.4 either way.
SIZE_COINS = 32
SIZE = OCTAVE * 45 // 100

# Half a spread beyond the tick, in thousandths of a basis point: 30 / sqrt(crore a day) - 0.5.
SPREAD, SPREAD_LESS, SPREAD_LEAST = 30_000, 500, 100

LOCKED_TRADES_MASK = 7  # at a limit, one in eight of the usual prints
_ONE_IN_LN2 = 94_548  # 1 / ln(2), 16 bits behind the point


class Flow(NamedTuple):
    """How a stock trades in each block of its session."""

    chance: Ints  # of a trade in a second, 16 bits behind the point
    shares: Ints  # of such a second, 8 bits
    half_spread: Ints  # paise, 8 bits


class Rows(NamedTuple):
    """What the tape is made of: which seconds of the session, their times, and what was traded in them."""

    at: Ints
    seconds: Ints
    lasts: Ints
    shares: Ints


def flow(
    seed: int,
    profile: Profile,
    day: str,
    day_octaves: int,
    heat: Ints,
    ends: Ints,
    price: int,
    windows: Sequence[Window] = (),
    halts: Sequence[tuple[int, int]] = (),
) -> Flow:
    """`day_octaves`: how busy the day is; by block the stock's `heat`, and where the path `ends`."""
    blocks = len(heat)
    busy = remembering(stream(seed, "busy", profile.ticker, day), blocks, BUSY_BLOCKS) * (BUSY // COIN_SD)
    octaves = busy + heat * WITH_HEAT_PERCENT // 100 + _shape(blocks) + (BUSY_MEAN + day_octaves)
    octaves += _with_moves(ends)
    level = multipliers(with_windows(octaves, windows)) * OCTAVE // _mean_shape()
    trades = level * max(1, (profile.base * profile.day_shares << 8) // (TRADE_PAISE * ORDINARY_S)) >> 8
    chance = np.maximum(OCTAVE - multipliers(-(trades * _ONE_IN_LN2 >> 16)), 1)
    shares = ((profile.day_shares << 8) // ORDINARY_S) * level // chance
    for start, until in halts:
        chance[start // BLOCK_S : -(-until // BLOCK_S)] = 0
    half = half_spread(price, profile.turnover_crore) * multipliers(heat >> 1) >> 16
    return Flow(chance, shares, half)


def half_spread(price: int, turnover_crore: int) -> int:
    """Beyond the tick, on an ordinary minute; paise with 8 bits behind the point."""
    beyond = max(SPREAD_LEAST, SPREAD * 100 // isqrt(turnover_crore * 10_000) - SPREAD_LESS)
    return (price << 8) * beyond // 10_000_000


def prints(
    seed: int, profile: Profile, day: str, mids: Ints, seconds: Ints, trading: Flow, limits: tuple[int, int]
) -> Rows:
    """The rows of as many seconds as there are; `mids` are paise with 8 bits behind the point."""
    drawn = words(stream(seed, "prints", profile.ticker, day), len(mids))
    tick, half = profile.listing.tick, by_second(trading.half_spread)[: len(mids)]
    lasts = _prices(mids, half, -_bits(drawn, 47, 1), tick)
    is_row = drawn >> np.uint64(48) < by_second(trading.chance.astype(np.uint64))[: len(mids)]
    if len(mids) and (int(lasts.min()) <= limits[0] or int(lasts.max()) >= limits[1]):
        is_row &= ~_locked(mids, half, tick, limits) | (_bits(drawn, 40, LOCKED_TRADES_MASK) == 0)
        lasts = np.clip(lasts, *limits)
    rows = np.flatnonzero(is_row)
    shares = _shares(drawn, by_second(trading.shares)[: len(mids)])
    return Rows(rows, seconds.take(rows), lasts.take(rows), shares.take(rows))


def sides(mids: Ints, half: Ints, tick: int, limits: tuple[int, int]) -> tuple[Ints, Ints]:
    """The best bids and asks: the ticks around the path, half a spread out. 0 where a limit is reached."""
    bids, asks = _around(mids, half, tick)
    return (
        np.where(asks <= limits[0], 0, np.clip(bids, *limits)),
        np.where(bids >= limits[1], 0, np.clip(asks, *limits)),
    )


def _prices(mids: Ints, half: Ints, sale: Ints, tick: int) -> Ints:
    """A sale (-1) prints half a spread below the path and on the tick under it, a purchase (0) above."""
    lasts = half ^ sale
    lasts -= sale
    lasts += mids
    lasts //= tick << 8
    lasts += sale
    lasts += 1
    lasts *= tick
    return lasts


def _locked(mids: Ints, half: Ints, tick: int, limits: tuple[int, int]) -> NDArray[np.bool_]:
    bids, asks = _around(mids, half, tick)
    return (asks <= limits[0]) | (bids >= limits[1])


def _around(mids: Ints, half: Ints, tick: int) -> tuple[Ints, Ints]:
    """Never the same tick for both."""
    step = tick << 8
    return (mids - half) // step * tick, ((mids + half) // step + 1) * tick


def _with_moves(ends: Ints) -> Ints:
    """Octaves of volume by how far each block has moved, from the blocks' last logarithms."""
    moves = np.abs(np.diff(ends, prepend=0))
    mean = max(1, int(moves.sum()) // len(moves))
    octaves: Ints = np.minimum(moves * (WITH_MOVE >> 8) // (mean >> 8 or 1), WITH_MOVE_MOST)
    return octaves


def _shares(drawn: Words, usual: Ints) -> Ints:
    """Sizes of a second around the usual one, at least a share."""
    shares: Ints = lognormal_sizes(SIZE_COINS, SIZE).take(np.bitwise_count(drawn & np.uint64(0xFFFFFFFF)))
    shares *= usual
    shares >>= 24
    np.maximum(shares, 1, out=shares)
    return shares


def _bits(drawn: Words, shift: int, mask: int) -> Ints:
    found = drawn >> np.uint64(shift)
    found &= np.uint64(mask)
    return found.view(np.int64)  # far below the sign


@cache
def _shape(blocks: int) -> Ints:
    return faded(blocks, OPEN_OCTAVES, OPEN_HALF_LIFE_S, CLOSE_OCTAVES, CLOSE_HALF_LIFE_S)


@cache
def _mean_shape() -> int:
    """Of an ordinary session, 16 bits behind the point: shorter ones trade less, not faster."""
    level = multipliers(_shape(ORDINARY_S // BLOCK_S))
    return int(level.sum()) // len(level)
