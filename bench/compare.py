"""Did two engines take the same trades? Counted, and each kind of difference told apart.

A trade is five numbers: ticker, row of the entry, its price, row of the exit, its price, in paise.
What is still open when the candles end is closed by each engine in its own way, and left out here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TICKER, ENTERED, ENTRY, EXITED, EXIT = range(5)
COLUMNS = 5

Trades = NDArray[np.int64]


def save(path: Path, trades: NDArray[np.float64] | NDArray[np.int64]) -> None:
    """To whole paise, by ticker and row: floats of an engine carry its own last digits."""
    whole = np.rint(trades).astype(np.int64)
    np.save(path, whole[np.lexsort((whole[:, ENTERED], whole[:, TICKER]))])


def load(path: Path, bars: int) -> Trades:
    """Without those that ended with the candles."""
    found: Trades = np.load(path)
    return found[found[:, EXITED] < bars - 1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many trades are the same in all five numbers, and what is with the others."""

    ours: int
    theirs: int
    same: int
    other_exit: int  # the same entry, left elsewhere
    stop_before_open: int  # of these: left in the same bar, at the stop instead of the open before it

    @property
    def different(self) -> int:
        return max(self.ours, self.theirs) - self.same

    def sentence(self, peer: str) -> str:
        start = f"{peer}: {self.theirs:,} closed trades, ours {self.ours:,}; {self.same:,} the same in all"
        if self.different == 0:
            return f"{start} of ticker, entry bar and price, exit bar and price."
        rest = self.different - self.stop_before_open
        return (
            f"{start}, {self.different} differ: {self.stop_before_open} leave in the same bar, where it "
            f"fills the stop although the exit was due at the open before it, and {rest} for other reasons."
        )


def compared(ours: Trades, theirs: Trades) -> Comparison:
    """By ticker and entry; `theirs` is the peer's."""
    known = {tuple(row[:3]): row for row in theirs.tolist()}
    pairs = [(row, known[tuple(row[:3])]) for row in ours.tolist() if tuple(row[:3]) in known]
    same = sum(mine == its for mine, its in pairs)
    stopped = sum(
        mine[EXITED] == its[EXITED] and its[EXIT] < mine[EXIT] and its[EXIT] * 100 == 98 * its[ENTRY]
        for mine, its in pairs
    )
    return Comparison(len(ours), len(theirs), same, len(pairs) - same, stopped)
