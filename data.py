"""What can other code ask about candles and features? Five functions, with the config.json at hand.

Each stands on a part that takes everything as an argument: candle_store.py, sessions_grid.py, processed.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clock import SystemClock
from facts import read_calendar
from outcome import DataError
from rulebook.bars import MINUTES
from settings import load_settings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from sessions_grid import Grid

FACTS: Final = Path(__file__).resolve().parent / "config"


def read_history(ticker: str, tf: str) -> "pd.DataFrame":
    """The candles on disk; DataError says what is missing or wrong with them."""
    from candle_store import read_candles

    return read_candles(load_settings().paths.raw, ticker, tf)


def write_history(df: "pd.DataFrame", ticker: str, tf: str) -> None:
    """Beside what is on disk: append, dedupe, sort, replace whole; refused if one row is unsound."""
    from candle_store import Origin, add_candles

    add_candles(
        load_settings().paths.raw, ticker, tf, df, Origin("write_history", SystemClock().now(), False)
    )


def resample_align(df: "pd.DataFrame", tf: str, tz: str) -> "pd.DataFrame":
    """Whole bars of `tf`, anchored at each session's opening as the broker's are, stamped in `tz`."""
    from sessions_grid import resampled

    found = resampled(df, _grid(df), tf)
    return found.assign(timestamp=found["timestamp"].dt.tz_convert(tz))


def impute(df: "pd.DataFrame") -> "pd.DataFrame":
    """Every bar of a session after its first trade; those without one filled and marked `filled`."""
    from sessions_grid import imputed

    return imputed(df, _grid(df))


def feature_pipeline(df: "pd.DataFrame", cfg: Mapping[str, Any]) -> "np.ndarray[Any, Any]":
    """Rows of features, one a bar inside a session; the market's columns are those of a market of one."""
    from processed import Recipe, columns_of

    grid = _grid(df)
    lookback = cfg["lookbacks"].get(grid.timeframe)
    if lookback is None:
        raise DataError(f"lookbacks has no {grid.timeframe}, which these candles are of: add one")
    recipe = Recipe(cfg.get("feature_version", 2), lookback, grid, {})
    return columns_of({"": df}, recipe)[""].values


def _grid(df: "pd.DataFrame") -> "Grid":
    """Of the timeframe that the stamps are of: the usual distance between two."""
    from sessions_grid import Grid

    steps = df["timestamp"].diff().dropna()
    usual = None if steps.empty else steps.mode().iloc[0]
    for timeframe, minutes in MINUTES.items():
        if usual is not None and usual.total_seconds() == 60 * minutes:
            return Grid(read_calendar(FACTS), timeframe)
    raise DataError(f"candles {usual} apart are of none of these timeframes: {', '.join(MINUTES)}")
