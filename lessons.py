"""What is there to be learned from? A market's decisions: what was to be seen, what each action had earned.

A decision is a bar's close: the histories of all tickers that the network reads, and for each ticker net R of
BUY and of SELL, walked by the rule book to the trade's end; HOLD earns nothing. Days are kept apart by
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
from features import NAMES
from market import Market
from outcome import DataError
from panel import Panel
from rulebook.bars import MINUTES
from rulebook.outcomes import NO_TRADE
from rulebook.rules import Rules
from sizes import Shape

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
Rows = NDArray[np.int64]  # of the base timeframe
VALIDATION_SHARE = 0.15  # of the days before the holdout, the latest
DAYS_LEAST = 20  # to train on; fewer say nothing about anything
LOUD_MOST, WIDE_MOST, JUMP_MOST = 1.5, 1.0, 2.0  # as features.py scales them; one bar in eleven is above


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of days."""

    training: Ints
    validation: Ints
    holdout: Ints


@dataclass(frozen=True, slots=True)
class Batch:
    """Some decisions as tensors: decision, ticker (and side: 0 buys, 1 sells)."""

    windows: list["Tensor"]
    is_there: "Tensor"
    r: "Tensor"
    is_known: "Tensor"  # whether the rules would have let anybody trade
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
    def is_known(self) -> NDArray[np.bool_]:
        """Side x row x ticker: whether the rules would have let anybody trade."""
        return self.is_known_at(np.arange(self.outcomes.exit_row.shape[1]))

    def rows_of(self, days: Ints) -> Rows:
        return np.flatnonzero(np.isin(self.market.table.day, days))

    def usable(self, shape: Shape) -> Ints:
        """Days with their whole history behind them."""
        first = self.panel.first_whole([each.lookback - 1 for each in shape.encodings])
        days, rows = np.unique(self.market.table.day, return_index=True)
        found: Ints = days[rows >= first]
        return found

    def windows(self, rows: Rows, shape: Shape) -> list["Tensor"]:
        """Of each timeframe decision x bar x ticker x feature: one run of memory is copied for each."""
        import torch

        found = []
        for encoding, features, last in zip(
            shape.encodings, self.panel.features, self.panel.last, strict=True
        ):
            whole = torch.from_numpy(features)
            count, bar = len(features) - encoding.lookback + 1, features.shape[1:]
            each = whole.as_strided((count, encoding.lookback, *bar), (whole.stride(0), *whole.stride()))
            found.append(each[torch.from_numpy(last[rows] - encoding.lookback + 1)])
        return found

    def batch(self, rows: Rows, shape: Shape) -> Batch:
        import torch

        return Batch(
            self.windows(rows, shape),
            torch.from_numpy(self.panel.is_there[rows]),
            torch.from_numpy(np.moveaxis(self.outcomes.r[:, rows], 0, -1).copy()),
            torch.from_numpy(np.moveaxis(self.is_known_at(rows), 0, -1).copy()),
            torch.from_numpy(self.hot[rows]),
        )

    def is_known_at(self, rows: Rows) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.outcomes.exit_row[:, rows] != NO_TRADE
        return found


def surprising(seen: Panel, version: int) -> NDArray[np.bool_]:
    """Bars whose volume or range stands out from its own norm, whatever became of them."""
    names, values = NAMES[version], seen.features[0]
    if version == 1:  # it sees no volume
        return np.asarray(np.abs(values[..., names.index("f_returns_1")]) > JUMP_MOST)
    loud = values[..., names.index("f_volume")] > LOUD_MOST
    wide = values[..., names.index("f_true_range")] > WIDE_MOST
    return np.asarray(loud | wide)


def split(lessons: Lessons, shape: Shape, holdout: Sequence[int]) -> Split:
    """`holdout`: numbers of its days. DataError says how much history is missing."""
    held, usable = np.array(sorted(holdout), np.int64), lessons.usable(shape)
    if not set(held) <= set(usable):
        raise DataError("the holdout reaches into days whose own history is too short; move it or fetch more")
    apart = embargo_days(lessons, shape)
    near = (usable >= held[0] - apart) & (usable <= held[-1] + apart) if len(held) else usable < 0
    free = usable[~near]
    return _parted(free, held, apart)


def walks(lessons: Lessons, shape: Shape, before: int, count: int) -> list[Split]:
    """The days before that one (a number) as so many folds: the later half is cut into blocks, each to be
    held out from what is taught on all days before it, less an embargo."""
    usable = lessons.usable(shape)
    apart = embargo_days(lessons, shape)
    usable = usable[usable < before - apart]
    blocks = np.array_split(usable[len(usable) // 2 :], count)
    if not all(len(block) for block in blocks):
        raise DataError(f"{len(usable)} days before the holdout are too few for {count} folds; ask for fewer")
    return [_parted(usable[usable < block[0] - apart], block, apart) for block in blocks]


def _parted(free: Ints, held: Ints, apart: int) -> Split:
    """Days to learn from in two: the latest are for validation."""
    for_validation = ceil(VALIDATION_SHARE * len(free))
    if len(free) - for_validation < DAYS_LEAST:
        raise DataError(
            f"{len(free)} days to learn from, {DAYS_LEAST + ceil(DAYS_LEAST * VALIDATION_SHARE) + 1} wanted: "
            f"{apart} days around the holdout and the first ones, whose history is too short, are left out; "
            "fetch from an earlier date, or shorten lookbacks or the holdout"
        )
    return Split(free[:-for_validation], free[-for_validation:], held)


def embargo_days(lessons: Lessons, shape: Shape) -> int:
    """Days that the longest window reaches into."""
    base = shape.encodings[0]
    spans = [each.lookback * MINUTES[each.timeframe] / MINUTES[base.timeframe] for each in shape.encodings]
    return ceil(max(spans) / int(np.bincount(lessons.market.table.day).max()))
