"""What may have been traded inside a recorded bar? Second by second, the way that hurts, and to the paisa.

A candle tells four prices and a volume. The rule book walks it as open, nearer extreme, farther extreme,
close (rulebook/bars.py: who has no position sees the nearest extreme first; a market knows nobody's), and
so does this file, at the same seconds: what a backtest on the candles decides, the exchange lets happen.
Between two of the four points prices go straight, bouncing by a tick between bid and ask, and never leave
the two: no extreme is seen before its time. Volume is dealt out unevenly and adds up to the bar's.

All bars of a day at once, a row for each bar and a column for each second; integers, chance handed in.
"""

from typing import NamedTuple

import numpy as np

from exchange.fixed_point import Ints, Words
from exchange.prints import TRADE_PAISE
from exchange.tapes import Bars
from rulebook.bars import nearest_first, point_second

POINTS = 4


class Insides(NamedTuple):
    """The seconds of a day in which something was traded; columns of equal length."""

    seconds: Ints
    lasts: Ints
    shares: Ints
    bought: Ints  # 1 where the print was at the ask


def insides(bars: Bars, length_s: int, tick: int, drawn: Words) -> Insides:
    """`opened_s` counts from midnight here; `drawn` is a word for each second of each bar."""
    noise = drawn.reshape(len(bars.opened_s), length_s)
    coin = (noise >> np.uint64(63)).astype(np.int64)
    lasts, low, high = _paths(bars, length_s)
    lasts = np.clip((lasts // tick + coin) * tick, low, high)
    at_points = _points(length_s)
    lasts[:, at_points] = _prices(bars)
    is_row = _is_row(bars, length_s, noise)
    shares = _dealt(bars.volume, is_row, (noise & np.uint64(1_023)).astype(np.int64) + 256)
    seconds = bars.opened_s[:, None] + np.arange(length_s, dtype=np.int64)
    bought = _is_bought(lasts, coin, at_points)
    return Insides(seconds[is_row], lasts[is_row], shares[is_row], bought[is_row])


def _points(length_s: int) -> list[int]:
    return [point_second(point, length_s) for point in range(POINTS)]


def _prices(bars: Bars) -> Ints:
    """Of the four points: a row for each bar."""
    extremes = [
        nearest_first(*prices)
        for prices in zip(bars.open.tolist(), bars.high.tolist(), bars.low.tolist(), strict=True)
    ]
    inner = np.array(extremes, np.int64).reshape(len(extremes), 2)
    return np.column_stack([bars.open, inner, bars.close])


def _paths(bars: Bars, length_s: int) -> tuple[Ints, Ints, Ints]:
    """Straight lines from point to point, and the lowest and the highest price of each leg."""
    points, prices = _points(length_s), _prices(bars)
    second = np.arange(length_s, dtype=np.int64)
    leg = np.minimum(np.searchsorted(points, second, side="right") - 1, POINTS - 2)
    starts = np.array(points, np.int64)
    passed, whole = second - starts[leg], np.maximum(starts[leg + 1] - starts[leg], 1)
    first, last = prices[:, leg], prices[:, leg + 1]
    return first + (last - first) * passed // whole, np.minimum(first, last), np.maximum(first, last)


def _is_row(bars: Bars, length_s: int, noise: Words) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The four points, and of the other seconds as many as the money that changed hands is worth.

    A bar without volume (an index) has a row each second; one of few shares no more rows than shares.
    """
    trades = np.minimum(bars.volume * bars.close // TRADE_PAISE, length_s)
    chance = np.where(bars.volume == 0, length_s, trades) * (1 << 16) // length_s
    is_row = (noise >> np.uint64(16) & np.uint64(0xFFFF)).astype(np.int64) < chance[:, None]
    is_row &= ((bars.volume == 0) | (bars.volume >= length_s))[:, None]
    is_row[:, _points(length_s)] = True
    return is_row


def _dealt(volumes: Ints, is_row: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], weights: Ints) -> Ints:
    """A share for each row as far as there are any, the rest by weight, what is left over at the close."""
    one = is_row & (np.cumsum(is_row[:, ::-1], axis=1)[:, ::-1] <= volumes[:, None])
    weights = weights * one
    left = volumes - one.sum(axis=1)
    shares: Ints = one + left[:, None] * weights // np.maximum(weights.sum(axis=1), 1)[:, None]
    shares[:, -1] += volumes - shares.sum(axis=1)
    return shares


def _is_bought(lasts: Ints, coin: Ints, at_points: list[int]) -> Ints:
    """At the points the way the price has come: what rises is bought."""
    rises = np.diff(lasts, axis=1, prepend=lasts[:, :1])
    bought = coin.copy()
    bought[:, at_points] = rises[:, at_points] >= 0
    return bought
