"""How long does the report of 10,000 trades take, and how large is it? From real trades of the rule book.

The trades are walked over random candles with every rule on but the day's loss limit, so that there are
enough of them; each has its stop's path, and its day's candles are there to be drawn.
"""

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import backtest
import fast
import report
from bench import candles, ours
from bench.results import Outcome, most, row
from report_page import page
from report_summary import BacktestResult, Candles
from rulebook.hours import IST
from rulebook.rules import Rules
from rulebook.tables import Table
from rulebook.trades import ClosedTrade

NAME = "report"
TRADES = 10_000
FIRST_DATE = date(2024, 1, 1)
MINUTES_OPEN = 375


async def measure(quick: bool) -> Outcome:
    result = _result()
    with TemporaryDirectory() as folder:
        pages, wholes = [], []
        for _ in range(3 if quick else 7):
            pages.append(_timed(lambda: page(report.summarise(result))))
            wholes.append(_timed(lambda: report.write(result, Path(folder), "bench")))
        sizes = {path.suffix[1:]: path.stat().st_size / 1e6 for path in Path(folder).iterdir()}
    rows = [
        row("HTML: wall", [wall for wall, _ in pages], "s", f"{TRADES:,} trades, {len(result.days)} days"),
        row("HTML: CPU", [cpu for _, cpu in pages], "CPU s", "what others run on the machine is not in it"),
        row("HTML, JSON and CSV, written: wall", [wall for wall, _ in wholes], "s"),
        row("HTML, JSON and CSV, written: CPU", [cpu for _, cpu in wholes], "CPU s"),
        *(row(f"{kind} file", [size], "MB") for kind, size in sorted(sizes.items())),
    ]
    bars = [most("HTML, s", [wall for wall, _ in pages], 3), most("HTML, MB", [sizes["html"]], 5)]
    return Outcome(NAME, f"The report of {TRADES:,} trades", rows, bars)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock, and of this process on a processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _result() -> BacktestResult:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "candles.npz"
        candles.make(path)
        table = candles.table_of(candles.load(path), candles.DAY_BARS)
    days = [FIRST_DATE + timedelta(days=number) for number in range(int(table.day[-1]) + 1)]
    trades = _trades(table, len(days))
    return BacktestResult(
        strategy="random",
        parameters={},
        parameters_hash="0" * 12,
        settings_hash="0" * 12,
        data_span=f"{days[0]} to {days[-1]}, {candles.TICKERS} tickers",
        days=days,
        open_minutes=MINUTES_OPEN * len(days),
        trades=trades,
        capital_paise=1_500_000_00,
        candles=lambda ticker, day: _picture(table, int(ticker[1:]), (day - FIRST_DATE).days),
        made_at=datetime(2026, 11, 21, 16, tzinfo=IST),
    )


def _trades(table: Table, days: int) -> tuple[ClosedTrade, ...]:
    """Spread over all days: of too many, evenly chosen ones."""
    names = [f"T{s:02d}" for s in range(candles.TICKERS)]
    fixed = candles.fixed_of(candles.TICKERS, days, candles.FULL_RATES, tick=5)
    rules = Rules(capital=500_000_00, max_loss_milli=0, max_trades_per_day=40)
    said = ours.said_at_random(table.close.shape, ours.DENSE)
    found = backtest.closed_trades(names, fast.simulate(table, fixed, rules, said))
    chosen = np.linspace(0, len(found) - 1, TRADES).astype(int)
    assert len(np.unique(chosen)) == TRADES, f"only {len(found)} trades"
    return tuple(found[index] for index in chosen.tolist())


def _picture(table: Table, s: int, day: int) -> Candles:
    rows = slice(day * candles.DAY_BARS, (day + 1) * candles.DAY_BARS)
    prices = [np.asarray(column[rows, s], np.int64) for column in table[:4]]
    return Candles(np.asarray(table.second[rows]) // 60, *prices)
