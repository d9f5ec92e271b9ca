"""What do planted edges do to a stock's session: to its volatility, its volume and its path?

Jumps and drifts are laid over a path, after the Brownian part has been bent to its total, and stay: the
levels of levels.py know of them. Two things depend on the path and are therefore unknown to the levels:
the drift back to the average price, and the calm before a true shock, which must also hold back what
market and industry do to the stock. The tape has them, the official close has not; the closing auction
or the night takes them back, and nobody can trade on that within a session.
"""

from collections.abc import Sequence

import numpy as np

from exchange.edges import BAR_S, BARS, BARS_BEFORE, Name, Role, Shock, Strike
from exchange.fixed_point import BASIS_POINT, OCTAVE, Ints, multiplier
from exchange.paths import BLOCK_S, Window

QUIET, BUSY = -OCTAVE, OCTAVE * 32 // 100  # octaves: half the volatility, and 1.25 times
FIRST_PULL_BAR = 6  # by then the average price is one

_BLOCKS_A_BAR = BAR_S // BLOCK_S


def calm_and_storm(strikes: Sequence[Strike]) -> list[Window]:
    """The volatility of the bars before each shock: what tells a true one from a fake."""
    return [
        Window(
            (strike.bar - BARS_BEFORE) * _BLOCKS_A_BAR,
            strike.bar * _BLOCKS_A_BAR,
            QUIET if strike.is_true else BUSY,
        )
        for strike in strikes
    ]


def bursts(strikes: Sequence[Strike]) -> list[Window]:
    """The volume of each shock's bar, from the shock on."""
    return [
        Window(
            strike.bar * _BLOCKS_A_BAR + strike.strikes_s // BLOCK_S,
            (strike.bar + 1) * _BLOCKS_A_BAR,
            strike.volume,
        )
        for strike in strikes
    ]


def held_back(shared: Ints, windows: Sequence[Window]) -> Ints:
    """What market and industry have done to a stock, less (or more) of it within the windows."""
    held = shared.copy()
    for window in windows:
        first, last = window.first * BLOCK_S, window.last * BLOCK_S
        start = int(shared[first - 1]) if first else 0
        less = multiplier(window.octaves) - OCTAVE
        missing = (shared[first:last] - start) * less >> 16
        held[first:last] += missing
        held[last:] += int(missing[-1])
    return held


def lay(logs: Ints, strikes: Sequence[Strike], role: Role) -> None:
    """Jumps at once, drifts evenly over their bars; into `logs`."""
    for strike in strikes:
        if role is not Role.FOLLOWER:
            logs[strike.bar * BAR_S + strike.strikes_s :] += strike.direction * strike.jump
        if role is not Role.LEADER and strike.drift:
            _drift(logs, (strike.bar + 1) * BAR_S, strike.length * BAR_S, strike.direction * strike.drift)


def pulled_back(
    logs: Ints, volumes: Ints, far: int, percent: int, lengths: Sequence[int]
) -> tuple[Ints, list[Strike]]:
    """The path with what vwap_reversion does to it. `volumes` are those of blocks, `lengths` of drifts.

    Bar by bar with Python's integers: whether one drift sets in hangs on the one before, and sums of
    prices times volumes pass 63 bits.
    """
    bars = len(logs) // BAR_S
    by_bar = volumes[: bars * _BLOCKS_A_BAR].reshape(bars, -1).sum(axis=1).tolist()
    means = (logs[: bars * BAR_S].reshape(bars, -1).sum(axis=1) // BAR_S).tolist()
    laid = np.zeros_like(logs)
    strikes: list[Strike] = []
    summed, volume, busy_until = 0, 0, FIRST_PULL_BAR
    for bar in range(bars):
        moved = int(laid[bar * BAR_S + BAR_S // 2]), int(laid[(bar + 1) * BAR_S - 1])
        summed += (means[bar] + moved[0]) * by_bar[bar]
        volume += by_bar[bar]
        distance = int(logs[(bar + 1) * BAR_S - 1]) + moved[1] - summed // max(1, volume)
        length = lengths[len(strikes) % len(lengths)]
        if bar < busy_until or abs(distance) <= far or bar + 1 + length > BARS:
            continue
        drift, direction = abs(distance) * percent // 100, -1 if distance > 0 else 1
        strikes.append(Strike(bar, True, direction, 0, 0, drift, length, BAR_S - 1))
        _drift(laid, (bar + 1) * BAR_S, length * BAR_S, direction * drift)
        busy_until = bar + 1 + length
    return logs + laid, strikes


def shocks(
    ticker: str, edge: Name, strikes: Sequence[Strike], role: Role, opens_s: int, leader: str
) -> list[Shock]:
    """The strikes as a reader of hidden state wants them."""
    follows, leads = role is Role.FOLLOWER, role is Role.LEADER
    return [
        Shock(
            edge=edge,
            ticker=ticker,
            at_s=opens_s + strike.bar * BAR_S + strike.strikes_s,
            direction=strike.direction,
            is_true=strike.is_true,
            jump_bp=0 if follows else strike.jump // BASIS_POINT,
            volume_percent=100 if follows else multiplier(strike.volume) * 100 >> 16,
            drift_bp=0 if leads else strike.drift // BASIS_POINT,
            drift_from_s=opens_s + (strike.bar + 1) * BAR_S,
            drift_until_s=opens_s + (strike.bar + 1 + strike.length) * BAR_S,
            leader=leader if follows else "",
        )
        for strike in strikes
    ]


def _drift(logs: Ints, start: int, length: int, size: int) -> None:
    evenly = np.arange(1, length + 1, dtype=np.int64)
    logs[start : start + length] += size * evenly // length
    logs[start + length :] += size
