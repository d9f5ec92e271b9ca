"""What do we run in the benchmarks? Our side of each job, and the bare loop, as programs to be timed.

The candles are turned into our tables before the clock starts, as the peers' are into theirs.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fast
import strategies
from bench import bare, candles, compare
from bench.engine import Program
from rulebook import tables
from rulebook.rules import Rules
from rulebook.tables import Table

PACKAGES = ("numpy", "numba", "llvmlite")
SEED = 7
DENSE, SPARSE = 1 / 3, 0.01  # of all bars, on which something is said


def sma(path: Path) -> Program:
    """The strategy and the full simulation, with all rules switched off by settings."""
    prices = candles.load(path)
    bars, tickers = prices["close"].shape
    table = candles.table_of(prices, day_bars=bars, order="F")
    fixed = candles.fixed_of(tickers, 1, candles.PLAIN_RATES, tick=1)
    strategy, rules = strategies.find("sma_cross"), candles.bare_rules()
    names = [f"T{s:02d}" for s in range(tickers)]

    def run() -> fast.Walked:
        return fast.backtest(table, fixed, rules, strategy, names)

    def save(found: fast.Walked, to: Path) -> None:
        compare.save(to, _trades(found, table))

    return Program(run, save, PACKAGES)


def _trades(found: fast.Walked, table: Table) -> NDArray[np.float64]:
    """Rows from times, prices from values; what is open at the end is sold at the last close."""
    t = found.trades
    rows = [
        np.searchsorted(table.opened_s, t[:, column], side="right") - 1
        for column in (tables.T_ENTERED, tables.T_EXITED)
    ]
    prices = [t[:, column] / t[:, tables.T_QTY] for column in (tables.T_ENTRY, tables.T_OUT)]
    return np.column_stack([t[:, tables.T_TICKER], rows[0], prices[0], rows[1], prices[1]])


def bare_loop(path: Path) -> Program:
    """Only what this job needs: the limit."""
    prices = candles.load(path)
    given = bare.arguments(prices, room=prices["close"].size // 20)
    loop = bare.compiled()

    def save(found: int, to: Path) -> None:
        compare.save(to, given[-1][:found, : compare.COLUMNS])

    return Program(lambda: loop(*given), save, PACKAGES)


# --- the full rule book -------------------------------------------------------------------------------


def rules_dense(path: Path) -> Program:
    """Every rule on, something said on a third of the bars."""
    return _full(path, DENSE, Rules(capital=500_000_00))


def rules_sparse(path: Path) -> Program:
    return _full(path, SPARSE, Rules(capital=500_000_00))


def rules_never_locked(path: Path) -> Program:
    """Random signals lose, and a day that is locked by its loss is cheap: here none is, nor used up."""
    busy = Rules(capital=500_000_00, max_loss_milli=10**9, max_trades_per_day=10**6)
    return _full(path, DENSE, busy)


def _full(path: Path, share: float, rules: Rules) -> Program:
    prices = candles.load(path)
    bars, tickers = prices["close"].shape
    table = candles.table_of(prices, candles.DAY_BARS)
    fixed = candles.fixed_of(tickers, int(table.day[-1]) + 1, candles.FULL_RATES, tick=5)
    said = said_at_random((bars, tickers), share)

    def run() -> fast.Walked:
        return fast.simulate(table, fixed, rules, said)

    def save(found: fast.Walked, to: Path) -> None:
        compare.save(to, _trades(found, table))

    return Program(run, save, PACKAGES)


def said_at_random(shape: tuple[int, int], share: float) -> fast.Signals:
    rng: Any = np.random.default_rng(SEED)
    action = np.where(rng.random(shape) < share, rng.choice([1, -1], shape), 0).astype(np.int8)
    return fast.Signals(action, np.round(rng.random(shape), 3))
