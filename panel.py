"""What did the whole market look like at each bar? Features of all tickers on one grid, per timeframe.

A row for each bar of the base timeframe that any ticker has, a column for each ticker, F features; where a
ticker has no bar its features are 0 and `is_there` says so. Coarser timeframes have rows of their own, and
`last` says for each base row which of them had closed by that bar's close: nothing that was still growing
is ever seen. Training and trading cut their histories from it with the same few lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outcome import DataError
from processed import Columns

Ints = NDArray[np.int64]
NONE_YET = -1


@dataclass(frozen=True, slots=True)
class Panel:
    """Timeframes in order, the base first."""

    tickers: tuple[str, ...]
    opened_s: Ints  # of the base rows
    is_there: NDArray[np.bool_]  # base row x ticker
    features: tuple[NDArray[np.float32], ...]  # per timeframe: row x ticker x F
    last: tuple[Ints, ...]  # per timeframe, of each base row; NONE_YET before the first

    def first_whole(self, halos: Sequence[int]) -> int:
        """The first base row with so many rows of each timeframe behind its own."""
        short = [np.searchsorted(last, halo) for last, halo in zip(self.last, halos, strict=True)]
        return int(max(short))

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in self.features)


def panel(
    columns: Mapping[str, Mapping[str, Columns]], lengths_s: Mapping[str, int], opened_s: Ints | None = None
) -> Panel:
    """Of features by timeframe and ticker; `lengths_s`: of a bar, by timeframe, the base first.

    `opened_s`: the base rows that are wanted, where they are not simply those that there are.
    """
    base = next(iter(lengths_s))
    tickers = tuple(sorted(columns[base]))
    stamps = {name: _stamps(columns[name]) for name in lengths_s}
    if opened_s is not None:
        stamps[base] = opened_s
    closes_s = stamps[base] + lengths_s[base]
    features, last = [], []
    for name, length_s in lengths_s.items():
        features.append(_dense(name, columns[name], tickers, stamps[name]))
        last.append(np.searchsorted(stamps[name] + length_s, closes_s, side="right") - 1)
    is_there = np.stack([np.isin(stamps[base], columns[base][ticker].opened_s) for ticker in tickers], axis=1)
    return Panel(tickers, stamps[base], is_there, tuple(features), tuple(last))


def _stamps(columns: Mapping[str, Columns]) -> Ints:
    return np.unique(np.concatenate([each.opened_s for each in columns.values()]))


def _dense(
    timeframe: str, columns: Mapping[str, Columns], tickers: Sequence[str], stamps: Ints
) -> NDArray[np.float32]:
    found = np.zeros((len(stamps), len(tickers), _width(columns)), np.float32)
    for s, ticker in enumerate(tickers):
        each = columns[ticker]
        unsound = ~np.isfinite(each.values).all(axis=1)
        if unsound.any():
            raise DataError(f"{ticker} {timeframe}: {int(unsound.sum())} rows of features are no numbers")
        wanted = np.isin(each.opened_s, stamps)
        found[np.searchsorted(stamps, each.opened_s[wanted]), s] = each.values[wanted]
    return found


def _width(columns: Mapping[str, Columns]) -> int:
    return int(next(iter(columns.values())).values.shape[1])
