"""Which candles are on disk, and are they sound? One parquet file for each ticker and timeframe.

A file is judged as it is read: what breaks the contract (stamps that do not rise, prices that are no
candle, absurd or missing numbers) is refused with the offending row named, never repaired in silence.
Knows no network and no rule; prices are rupees in float here, as on disk.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outcome import DataError

if TYPE_CHECKING:
    import pandas as pd

PRICES = ["open", "high", "low", "close"]
COLUMNS = ["timestamp", *PRICES, "volume"]
FILLED = "filled"  # optional: true where a bar was not traded but imputed
RUPEES_LEAST = 0.01  # less would be 0 paise, which means a bar that was not traded
RUPEES_MOST = 10_000_000.0  # a share above it is a wrong number, and would not fit into 32 bits of paise
VOLUME_MOST = 1e15
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
YEARS_S = (631_152_000, 4_102_444_800)  # 1990 to 2099: what lies outside was written in another unit


def path_of(raw: Path, ticker: str, timeframe: str) -> Path:
    return raw / ticker / f"{timeframe}.parquet"


def read_candles(raw: Path, ticker: str, timeframe: str) -> "pd.DataFrame":
    """The candles of that ticker, stamped with their opening time in UTC; DataError says what is wrong."""
    path = path_of(raw, ticker, timeframe)
    if not path.exists():
        raise DataError(f"{path} is missing; get it with: python fetch.py --symbols {ticker} history")
    frame = _read(path)
    complaint = complaint_about(frame)
    if complaint:
        raise DataError(f"{path}: {complaint}; fetch it again")
    return frame


def _read(path: Path) -> "pd.DataFrame":
    """The file's columns, whoever wrote it: what pandas noted beside them is not needed and may be torn."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            found: pd.DataFrame = file.read().to_pandas(ignore_metadata=True)
    except (ArrowException, ArithmeticError, LookupError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read ({reason}); fetch it again") from None
    return found


# --- is it sound? ---------------------------------------------------------------------------------


def complaint_about(frame: "pd.DataFrame") -> str:
    """What breaks the contract of candles, with the first offending row; nothing when all is well."""
    complaint = _complaint_about_columns(frame)
    if complaint or not len(frame):
        return complaint or "it holds no candle"
    for what, is_wrong in _rows(frame):
        if is_wrong.any():
            row = int(is_wrong.argmax())
            return f"row {row} ({frame['timestamp'].iloc[row]}): {what}"
    return ""


def _complaint_about_columns(frame: "pd.DataFrame") -> str:
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        return f"no column {missing[0]}"
    if getattr(frame["timestamp"].dtype, "tz", None) is None:
        return "timestamps without a time zone"
    wordy = [name for name in (*PRICES, "volume") if frame[name].dtype.kind not in "iuf"]
    if wordy:
        return f"column {wordy[0]} holds no numbers"
    if FILLED in frame.columns and frame[FILLED].dtype.kind != "b":
        return f"column {FILLED} holds something else than true and false"
    return ""


def _rows(frame: "pd.DataFrame") -> Iterator[tuple[str, Any]]:
    """Each thing that can be wrong with a row, and where it is; what comes first is known to hold later."""
    import numpy as np

    yield "a value is missing", frame[COLUMNS].isna().any(axis=1).to_numpy()
    stamps = frame["timestamp"]
    at, second = stamps.astype("int64").to_numpy(), PER_SECOND[stamps.dt.unit]
    yield "no year in which this was traded", (at < YEARS_S[0] * second) | (at >= YEARS_S[1] * second)
    yield "the stamp does not rise", np.concatenate([[False], at[1:] <= at[:-1]])
    yield "the stamp is no whole minute", at % (60 * second) != 0
    prices = [frame[name].to_numpy(np.float64) for name in PRICES]
    low, high = np.minimum.reduce(prices), np.maximum.reduce(prices)
    yield "a price is absurd", ~((low >= RUPEES_LEAST) & (high < RUPEES_MOST))
    yield "high and low do not enclose open and close", (prices[1] < high) | (prices[2] > low)
    volume = frame["volume"].to_numpy(np.float64)
    yield "a volume is negative or endless", ~((volume >= 0) & (volume <= VOLUME_MOST))
