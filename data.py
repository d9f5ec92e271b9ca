"""Which candles are on disk, and are they sound? One parquet file for each ticker and timeframe.

A file is judged as it is read: what breaks the contract (stamps that do not rise, prices that are no
candle, absurd or missing numbers) is refused with the offending row named, never repaired in silence.
Knows no network and no rule; prices are rupees in float here, as on disk.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from outcome import DataError

if TYPE_CHECKING:
    import pandas as pd

PRICES = ["open", "high", "low", "close"]
COLUMNS = ["timestamp", *PRICES, "volume"]
RUPEES_MOST = 10_000_000.0  # a share above it is a wrong number, and would not fit into 32 bits of paise


def path_of(raw: Path, ticker: str, timeframe: str) -> Path:
    return raw / ticker / f"{timeframe}.parquet"


def read_candles(raw: Path, ticker: str, timeframe: str) -> "pd.DataFrame":
    """The candles of that ticker, stamped with their opening time in UTC; DataError says what is wrong."""
    import pandas as pd

    path = path_of(raw, ticker, timeframe)
    if not path.exists():
        raise DataError(f"{path} is missing; get it with: python fetch.py --symbols {ticker} history")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again") from None
    complaint = complaint_about(frame)
    if complaint:
        raise DataError(f"{path}: {complaint}; fetch it again")
    return frame


def complaint_about(frame: "pd.DataFrame") -> str:
    """What breaks the contract of candles, with the first offending row; nothing when all is well."""
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        return f"no column {missing[0]}"
    stamps = frame["timestamp"]
    if getattr(stamps.dtype, "tz", None) is None:
        return "timestamps without a time zone"
    prices = frame[PRICES]
    checks = {
        "stamps do not rise": stamps.diff().dt.total_seconds() <= 0,
        "a number is missing": frame[COLUMNS].isna().any(axis=1),
        "a price is absurd": ~prices.gt(0).all(axis=1) | ~prices.lt(RUPEES_MOST).all(axis=1),
        "high and low do not enclose open and close": (frame["low"] > prices.min(axis=1))
        | (frame["high"] < prices.max(axis=1)),
        "a volume is negative or endless": ~frame["volume"].between(0, 1e15),
    }
    for what, is_wrong in checks.items():
        if is_wrong.any():
            row = int(is_wrong.to_numpy().argmax())
            return f"row {row} ({stamps.iloc[row]}): {what}"
    return ""
