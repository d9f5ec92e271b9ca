"""Seeded candles for tests: what a user's data/raw could hold, in any shape that a test wants.

Prices are a random walk on the grid of 5 paise, drawn minute by minute; coarser bars are those minutes
put together, so that a 1m file and a 5m file of one ticker tell the same story. The same ticker, days and
seed give the same bytes, whoever else is made.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd

from candle_store import path_of
from facts import read_calendar
from rulebook.hours import IST, Calendar, SymbolClass
from tests.conftest import ROOT

OPENS, MINUTES_A_DAY = time(9, 15), 375
FIRST = date(2024, 12, 2)
GRID = 5  # paise


@cache
def calendar() -> Calendar:
    return read_calendar(ROOT / "config")


def sessions(count: int, first: date = FIRST) -> list[date]:
    """That many days of ordinary hours."""
    found: list[date] = []
    while len(found) < count:
        if calendar().is_trading_day(first) and calendar().session_of(first, SymbolClass.OTHER).tradable:
            found.append(first)
        first += timedelta(days=1)
    return found


def stamps(days: Sequence[date], minutes: int = 1, opens: time = OPENS, until: int = MINUTES_A_DAY):
    """The opening times of the bars of these days, in UTC."""
    first = np.array([int(datetime.combine(day, opens, IST).timestamp()) for day in days], np.int64)
    inside = 60 * np.arange(0, until, minutes)
    return pd.to_datetime((first[:, None] + inside).ravel(), unit="s", utc=True).as_unit("ns")


def minute_candles(
    ticker: str, days: Sequence[date], seed: int = 0, pace: float = 6.0, rupees: float = 500.0
) -> pd.DataFrame:
    """Every minute of the ordinary session; `pace` is the usual step of a minute in grid points."""
    rng = np.random.default_rng([seed, crc32(ticker.encode())])
    rows = len(days) * MINUTES_A_DAY
    steps = np.rint(rng.standard_t(4, rows) * pace)
    close = np.maximum(20 * GRID, round(100 * rupees / GRID) + np.cumsum(steps)).astype(np.int64)
    open_ = np.concatenate([close[:1], close[:-1]])
    wick = rng.integers(0, max(2, int(pace)), (2, rows))
    prices = (open_, np.maximum(open_, close) + wick[0], np.minimum(open_, close) - wick[1], close)
    columns = dict(
        zip(("open", "high", "low", "close"), (GRID * price / 100 for price in prices), strict=True)
    )
    return pd.DataFrame(
        {"timestamp": stamps(days), **columns, "volume": rng.integers(200, 20_000, rows) * 1.0}
    )


def grouped(frame: pd.DataFrame, minutes: int) -> pd.DataFrame:
    """Bars of so many minutes out of bars of one, counted from the day's opening."""
    opened = frame["timestamp"].dt.tz_convert(IST)
    since = (opened - opened.dt.normalize()).dt.total_seconds() // 60 - (60 * OPENS.hour + OPENS.minute)
    label = frame["timestamp"] - pd.to_timedelta(since % minutes, unit="min")
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return frame.groupby(label).agg(how).reset_index()


def candles(ticker: str, days: Sequence[date], minutes: int = 5, **how: float) -> pd.DataFrame:
    return grouped(minute_candles(ticker, days, **how), minutes)  # type: ignore[arg-type]


def write(raw: Path, ticker: str, frame: pd.DataFrame, timeframe: str = "5m") -> Path:
    path = path_of(raw, ticker, timeframe)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)
    return path
