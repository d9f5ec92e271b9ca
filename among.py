"""What does a bar look like beside the other tickers' bars? The last columns of version 2.

`of_market` tells means over the market and over the industry's others. `led` tells what those others promise:
whoever has made a move with much volume in this session, however faded, is asked how this ticker has followed
such moves of his over the last MEMORY bars. A network that sees all tickers alike cannot tell them apart by
name, so who leads whom has to be seen. Both are compiled by fast.py and go row by row, in one go over a
history or a row at a time with what is carried.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import cut

Floats = NDArray[np.float64]
FADING = 0.85  # of a move with much volume, each bar
MEMORY = 4_500  # bars over which following is learned: sixty sessions of five minutes
UNSURE = 100.0  # squares of such moves, before which nobody is believed
LOUD = 1.0  # deviations of volume above which it is much


class Leads(NamedTuple):
    """Who has led whom, carried from bar to bar: of each ticker, and of each follower and leader."""

    impulse: Floats  # moves with much volume, fading
    squares: Floats  # of them
    followed: Floats  # them times the follower's next move


def new_leads(tickers: int) -> Leads:
    return Leads(np.zeros(tickers), np.zeros(tickers), np.zeros((tickers, tickers)))


def of_market(first: Any, is_there: Any, industry: Any, sums: Any, out: Any) -> None:
    """Row by row and ticker by ticker: the market's mean of `first`, the industry's others', the breadth.

    `sums` is room: for each industry, and for the whole market in its last row, a sum and a count.
    """
    for row in range(first.shape[0]):
        rising = 0.0
        sums[:] = 0.0
        for s in range(first.shape[1]):
            if is_there[row, s]:
                rising += 1.0 if first[row, s] > 0 else 0.0
                for group in (industry[s], -1):
                    sums[group, 0] += first[row, s]
                    sums[group, 1] += 1.0
        total, count = sums[-1, 0], sums[-1, 1]
        for s in range(first.shape[1]):
            if is_there[row, s]:
                others = sums[industry[s], 1] - 1
                out[row, s, 0] = total / count
                out[row, s, 1] = (sums[industry[s], 0] - first[row, s]) / others if others > 0 else 0.0
                out[row, s, 2] = 2 * rising / count - 1


def peers_of(industry: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each ticker the others of its industry, then -1."""
    found = [[j for j in np.flatnonzero(industry == kind) if j != i] for i, kind in enumerate(industry)]
    width = max(map(len, found), default=0)
    return np.array([each + [-1] * (width - len(each)) for each in found], np.int64).reshape(
        len(industry), width
    )


def led(first: Any, volume: Any, is_there: Any, is_first: Any, peers: Any, leads: Leads, out: Any) -> None:
    """Row by row: learn who followed whom, then say what the last moves with much volume promise."""
    impulse, squares, followed = leads
    kept = 1 - 1 / MEMORY
    for row in range(first.shape[0]):
        if is_first[row]:
            impulse[:] = 0.0
        for j in range(first.shape[1]):
            squares[j] = kept * squares[j] + impulse[j] * impulse[j]
            for i in peers[j]:
                if i >= 0 and is_there[row, i]:
                    followed[i, j] = kept * followed[i, j] + impulse[j] * first[row, i]
        for j in range(first.shape[1]):
            much = max(volume[row, j] - LOUD, 0.0) if is_there[row, j] else 0.0
            impulse[j] = FADING * impulse[j] + first[row, j] * much
        for i in range(first.shape[1]):
            promised = 0.0
            for j in peers[i]:
                if j >= 0:
                    promised += impulse[j] * followed[i, j] / (squares[j] + UNSURE)
            out[row, i, 3] = cut(promised) if is_there[row, i] else 0.0
