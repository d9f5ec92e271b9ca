"""How fast are candles kept and features loaded, beside polars? A day appended, durable; fifty files read.

Both append the same day, ten bars of it there already, to a file of 37,500 rows, drop what is double, sort,
and replace the file with two fsyncs (the file's and the folder's). Ours judges every new row besides. What is
loaded are the files of features as they are made; polars scans them all at once, ours also holds each file
against the candles that it was made of.
"""

import importlib
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench import candles
from bench.engine import Program
from bench.results import Outcome, least, most, row
from bench.turns import OURS, PEERS, Crew, EngineError, Job, alternate, crew, ratios

NAME = "store"
APPEND_OURS, APPEND_POLARS = "append, ours", "append, polars"
LOAD_OURS, LOAD_POLARS = "load, ours", "load, polars"
PYTHONS = {APPEND_OURS: OURS, APPEND_POLARS: PEERS, LOAD_OURS: OURS, LOAD_POLARS: PEERS}
TIMEFRAME, LOOKBACK, FIRST_DAY = "5m", 256, date(2024, 3, 1)
NEW_BARS, OVERLAP = 65, 10
ROUNDS, QUICK_ROUNDS = 25, 9
FACTS = Path(__file__).resolve().parent.parent / "config"


async def measure(quick: bool) -> Outcome:
    with TemporaryDirectory() as text:
        folder = Path(text)
        arrays_mb = _make(folder)
        crews: dict[str, Crew] = {}
        failed: dict[str, str] = {}
        for name, python in PYTHONS.items():
            try:
                crews[name] = await crew(python, Job(name, folder, folder / name.replace(", ", "-")))
            except EngineError as error:
                failed[name] = str(error)
        rounds = QUICK_ROUNDS if quick else ROUNDS
        times = await alternate(crews, dict.fromkeys(crews, rounds))
        last = {name: await engines[0].ended() for name, engines in crews.items()}
    pairs = ((APPEND_POLARS, APPEND_OURS), (LOAD_POLARS, LOAD_OURS))
    gains = {ours: ratios(times, peer, ours) for peer, ours in pairs if {peer, ours} <= times.keys()}
    rows = [row(name, values, "ms", scale=1e3) for name, values in times.items()]
    rows += [row(name, [], "ms", f"not run: {why}") for name, why in failed.items()]
    rows += [
        row(f"polars / ours: {name.partition(',')[0]}", values, "times") for name, values in gains.items()
    ]
    rows.append(row("the arrays that are loaded", [arrays_mb], "MB", "float32, and a stamp of 8 bytes a row"))
    grown = [last[LOAD_OURS]["grown_mb"]] if LOAD_OURS in last else []
    rows.append(row("memory that loading them takes", grown, "MB", "at its highest, over the start"))
    bars = [
        least("append a day: times faster than polars", gains.get(APPEND_OURS, []), 1.0),
        least("load: times faster than polars' scan", gains.get(LOAD_OURS, []), 1 / 1.1),
        most("load: memory / the arrays", [each / arrays_mb for each in grown], 1.2),
    ]
    versions = {k: v for engines in crews.values() for k, v in engines[0].ready["versions"].items()}
    return Outcome(NAME, "The store: a day appended, features of 50 tickers loaded", rows, bars, (), versions)


def _make(folder: Path) -> float:
    """Fifty files of candles and their features; the size of the arrays in MB."""
    import candle_store
    import processed

    candles.make(folder / "candles.npz")
    prices, stamps = candles.load(folder / "candles.npz"), _stamps()
    origin = candle_store.Origin("bench", datetime(2026, 7, 1, tzinfo=UTC), adjusted=False)
    names = [f"T{s:02d}" for s in range(candles.TICKERS)]
    for s, name in enumerate(names):
        candle_store.replace_candles(folder / "raw", name, TIMEFRAME, _frame(prices, s, stamps), origin)
    processed.build(folder / "raw", folder / "processed", names, _recipe(), lambda _: None)
    found = processed.load(folder / "raw", folder / "processed", names, _recipe())
    return sum(each.values.nbytes + each.opened_s.nbytes for each in found.values()) / 1e6


def _stamps() -> Any:
    from facts import read_calendar
    from sessions_grid import Grid

    calendar = read_calendar(FACTS)
    grid = Grid(calendar, TIMEFRAME)
    days = [
        day
        for day in calendar.sessions_between(FIRST_DAY, FIRST_DAY + timedelta(days=800))
        if len(grid.of(day)) == 75
    ]
    return np.concatenate([grid.of(day) for day in days[: candles.BARS // 75]])


def _frame(prices: Any, s: int, stamps: Any) -> Any:
    import pandas as pd

    columns = {name: values[:, s] / 100.0 for name, values in prices.items()}
    return pd.DataFrame({"timestamp": pd.to_datetime(stamps, unit="s", utc=True), **columns, "volume": 1e6})


def _recipe() -> Any:
    from facts import read_calendar
    from processed import Recipe
    from sessions_grid import Grid

    return Recipe(2, LOOKBACK, Grid(read_calendar(FACTS), TIMEFRAME), {})


# --- the programs, each in its own process --------------------------------------------------------------


def append_ours(folder: Path) -> Program:
    import pandas as pd

    import candle_store

    raw = folder / "raw-ours"
    whole = candle_store.read_candles(folder / "raw", "T00", TIMEFRAME)
    origin = candle_store.Origin("bench", datetime(2026, 7, 1, tzinfo=UTC), adjusted=False)
    candle_store.replace_candles(raw, "T00", TIMEFRAME, whole, origin)
    last = whole["timestamp"].iloc[-1]
    rows = whole.tail(NEW_BARS + OVERLAP)
    steps = pd.to_timedelta(300 * np.arange(1 - OVERLAP, NEW_BARS + 1), unit="s")

    def run() -> None:
        nonlocal last
        candle_store.add_candles(raw, "T00", TIMEFRAME, rows.assign(timestamp=last + steps), origin)
        last += pd.Timedelta(seconds=300 * NEW_BARS)

    return Program(run, lambda _, to: to.touch(), ("pyarrow", "pandas"))


def append_polars(folder: Path) -> Program:
    pl = importlib.import_module("polars")
    path, spare = folder / "polars.parquet", folder / "polars.tmp"
    whole = pl.read_parquet(folder / "raw" / "T00" / f"{TIMEFRAME}.parquet")
    whole.write_parquet(path)
    rows, last = whole.tail(NEW_BARS + OVERLAP), whole["timestamp"][-1]
    steps = [timedelta(seconds=300 * k) for k in range(1 - OVERLAP, NEW_BARS + 1)]

    def run() -> None:
        nonlocal last
        stamps = pl.Series("timestamp", [last + step for step in steps]).cast(whole.schema["timestamp"])
        joined = pl.concat([pl.read_parquet(path), rows.with_columns(stamps)])
        joined.unique("timestamp", keep="last").sort("timestamp").write_parquet(spare)
        _sync(spare)
        spare.replace(path)
        _sync(path.parent)
        last += timedelta(seconds=300 * NEW_BARS)

    return Program(run, lambda _, to: to.touch(), ("polars",))


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def load_ours(folder: Path) -> Program:
    import processed

    names, recipe = [f"T{s:02d}" for s in range(candles.TICKERS)], _recipe()

    def run() -> None:  # nothing is kept: the next turn's memory is its own
        processed.load(folder / "raw", folder / "processed", names, recipe)

    return Program(run, lambda _, to: to.touch(), ("pyarrow", "numpy"))


def load_polars(folder: Path) -> Program:
    pl = importlib.import_module("polars")
    files = str(folder / "processed" / "*" / f"{TIMEFRAME}.parquet")

    def run() -> None:
        pl.scan_parquet(files).collect()

    return Program(run, lambda _, to: to.touch(), ("polars",))
