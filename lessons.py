"""What is there to be learned from? A market's days: what was to be seen, and what each action had earned.

A lesson is a day of all tickers: the histories that the network reads, and for each bar and ticker net R of
BUY and of SELL, walked by the rule book to the trade's end. HOLD earns nothing. Days are kept apart by
construction: `split` answers which belong to the holdout, which to validation and which to training, with an
embargo of days around the holdout that nobody uses, because windows reach so far back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import fast
from market import Market
from network import Shape
from outcome import DataError
from panel import Panel
from rulebook.bars import MINUTES
from rulebook.outcomes import NO_TRADE
from rulebook.rules import Rules

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
VALIDATION_SHARE = 0.15  # of the days before the holdout, the latest
DAYS_LEAST = 20  # to train on; fewer say nothing about anything


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of days."""

    training: Ints
    validation: Ints
    holdout: Ints


@dataclass(frozen=True, slots=True)
class Batch:
    """Some days as tensors: day, bar, ticker (and side: 0 buys, 1 sells)."""

    histories: list["Tensor"]
    places: list["Tensor"]
    is_there: "Tensor"
    r: "Tensor"
    is_known: "Tensor"  # whether the rules would have let anybody trade
    exit_bar: "Tensor"  # in which bar of the same day the trade had ended
    hot: "Tensor"  # a bar with surprising volume or range


@dataclass(frozen=True)
class Lessons:
    """Everything of a market that a network can be taught with."""

    market: Market
    panel: Panel
    rules: Rules
    outcomes: fast.Outcomes
    hot: NDArray[np.bool_]

    @property
    def bars(self) -> int:
        """Of the longest day; a shorter one is read together with the end of the day before."""
        return int(np.bincount(self.market.table.day).max())

    def last_rows(self, days: Ints) -> Ints:
        return np.searchsorted(self.market.table.day, days, side="right") - 1

    def rows(self, days: Ints) -> Ints:
        """Day x bar; for a short day its first ones are of the day before."""
        found: Ints = self.last_rows(days)[:, None] + np.arange(1 - self.bars, 1)
        return found

    def usable(self, shape: Shape) -> Ints:
        """Days with their whole history behind them."""
        first = self.panel.first_whole([each.halo for each in shape.encodings])
        days = np.arange(len(self.market.days))
        found: Ints = days[self.last_rows(days) - self.bars + 1 >= first]
        return found

    def batch(self, days: Ints, shape: Shape) -> Batch:
        """The days' lessons, one below the other."""
        import torch

        rows = self.rows(days)
        own = (self.market.table.day[rows] == days[:, None])[..., None]
        histories, places = [], []
        for encoding, features, last in zip(
            shape.encodings, self.panel.features, self.panel.last, strict=True
        ):
            ends, firsts = last[rows[:, -1]], last[rows[:, 0]]
            span = int((ends - firsts).max()) + 1
            # A day of fewer coarse bars than another is read from further back than it needs.
            read = np.maximum(ends[:, None] + np.arange(1 - span - encoding.halo, 1), 0)
            histories.append(torch.from_numpy(np.ascontiguousarray(features[read].swapaxes(1, 2))))
            places.append(torch.from_numpy(last[rows] - (ends - span + 1)[:, None]))
        exits, known = self.outcomes.exit_row[:, rows], self.outcomes.exit_row[:, rows] != NO_TRADE
        return Batch(
            histories,
            places,
            torch.from_numpy(self.panel.is_there[rows] & own),
            torch.from_numpy(np.moveaxis(self.outcomes.r[:, rows], 0, -1).copy()),
            torch.from_numpy(np.moveaxis(known & own, 0, -1).copy()),
            torch.from_numpy(np.moveaxis(np.where(known, exits - rows[:, :1, None], 0), 0, -1).copy()),
            torch.from_numpy(self.hot[rows] & own),
        )


def split(lessons: Lessons, shape: Shape, holdout: Sequence[int]) -> Split:
    """`holdout`: numbers of its days. DataError says how much history is missing."""
    held, usable = np.array(sorted(holdout), np.int64), lessons.usable(shape)
    if not set(held) <= set(usable):
        raise DataError("the holdout reaches into days whose own history is too short; move it or fetch more")
    apart = embargo_days(shape, lessons.bars)
    near = (usable >= held[0] - apart) & (usable <= held[-1] + apart) if len(held) else usable < 0
    free = usable[~near]
    for_validation = ceil(VALIDATION_SHARE * len(free))
    if len(free) - for_validation < DAYS_LEAST:
        raise DataError(
            f"{len(free)} days to learn from, {DAYS_LEAST + ceil(DAYS_LEAST * VALIDATION_SHARE) + 1} wanted: "
            f"{apart} days around the holdout and the first ones, whose history is too short, are left out; "
            "fetch from an earlier date, or shorten lookbacks or the holdout"
        )
    return Split(free[:-for_validation], free[-for_validation:], held)


def embargo_days(shape: Shape, bars: int) -> int:
    """Days that the longest window reaches into."""
    base = shape.encodings[0]
    spans = [each.lookback * MINUTES[each.timeframe] / MINUTES[base.timeframe] for each in shape.encodings]
    return ceil(max(spans) / bars)
