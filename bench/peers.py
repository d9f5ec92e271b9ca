"""What do the peers run? The same strategy, stop and costs, as each of them wants to be told.

Runs in the peers' own environment, where the suite's packages need not be. Imports a peer by name when
it is its turn, because the other environment lacks it. Prices are rupees as float64, the shape that
both expect; a peer's table is made before the clock starts, as ours is.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import candles, compare
from bench.engine import Program

FAST, SLOW, STOP, FEES, CASH = 10, 30, 0.02, 3e-4, 1e5
FIRST_SIGNAL = 31  # our strategy's first comparison, at bar 30, only sets the side


def frames(path: Path) -> tuple[Any, dict[str, Any]]:
    """An index of times, and a frame of tickers for each price."""
    pd = importlib.import_module("pandas")
    prices = candles.load(path)
    index = pd.date_range("2024-01-01", periods=prices["close"].shape[0], freq="5min")
    return index, {name: pd.DataFrame(rows / 100.0, index=index) for name, rows in prices.items()}


def vectorbt(path: Path) -> Program:
    """Signals act at the next bar's open, the stop counts from the fill: its defaults do neither."""
    vbt = importlib.import_module("vectorbt")
    enums = importlib.import_module("vectorbt.portfolio.enums")
    _, frame = frames(path)
    close, at_open = frame["close"], frame["open"]

    def run() -> Any:
        fast, slow = close.vbt.rolling_mean(FAST), close.vbt.rolling_mean(SLOW)
        entries, exits = fast.vbt.crossed_above(slow), fast.vbt.crossed_below(slow)
        entries.iloc[:FIRST_SIGNAL] = False
        portfolio = vbt.Portfolio.from_signals(
            close, entries.vbt.fshift(1), exits.vbt.fshift(1), price=at_open,
            open=at_open, high=frame["high"], low=frame["low"], sl_stop=STOP,
            stop_entry_price=enums.StopEntryPrice.FillPrice, fees=FEES, init_cash=CASH, freq="5min",
        )  # fmt: skip
        assert len(portfolio.order_records) > 0
        return portfolio

    return Program(run, _save_vectorbt, ("vectorbt", "numpy", "numba", "pandas"))


def _save_vectorbt(portfolio: Any, to: Path) -> None:
    """Its records; one that is still open has the last close as its exit."""
    records = portfolio.trades.values
    names = ("col", "entry_idx", "entry_price", "exit_idx", "exit_price")
    found = np.column_stack([records[name].astype(np.float64) for name in names])
    found[:, [2, 4]] *= 100
    compare.save(to, found)


def backtesting_py(path: Path) -> Program:
    """One run a ticker; an order at a bar's close is filled at the next open."""
    library = importlib.import_module("backtesting")
    pd = importlib.import_module("pandas")
    library.backtesting._tqdm = lambda items, *_, **__: items  # no progress bar in a time
    index, frame = frames(path)
    strategy = _crossing(library, importlib.import_module("backtesting.lib").crossover, pd)
    names = ("Open", "High", "Low", "Close")
    tables = [
        pd.DataFrame({name: frame[name.lower()][s] for name in names}, index=index)
        for s in frame["close"].columns
    ]

    def run() -> list[Any]:
        return [
            library.Backtest(each, strategy, cash=CASH, commission=FEES, finalize_trades=True).run()[
                "_trades"
            ]
            for each in tables
        ]

    return Program(run, _save_backtesting, ("backtesting", "numpy", "pandas"))


def _crossing(library: Any, crossover: Any, pd: Any) -> Any:
    """Its kind of strategy, made at run time: the class to inherit from is known only there."""

    def mean(prices: Any, bars: int) -> Any:
        return pd.Series(prices).rolling(bars).mean()

    def init(self: Any) -> None:
        self.fast = self.I(mean, self.data.Close, FAST)
        self.slow = self.I(mean, self.data.Close, SLOW)

    def step(self: Any) -> None:
        if crossover(self.fast, self.slow):
            if not self.position and len(self.data) > FIRST_SIGNAL:
                self.buy(sl=self.data.Close[-1] * (1 - STOP))
        elif crossover(self.slow, self.fast):
            self.position.close()

    return type("SmaCross", (library.Strategy,), {"init": init, "next": step})


def _save_backtesting(found: list[Any], to: Path) -> None:
    names = ["EntryBar", "EntryPrice", "ExitBar", "ExitPrice"]
    parts: list[NDArray[np.float64]] = []
    for s, trades in enumerate(found):
        rows = trades[names].to_numpy(np.float64)
        rows[:, [1, 3]] *= 100
        parts.append(np.column_stack([np.full(len(rows), s), rows]))
    compare.save(to, np.concatenate(parts))
