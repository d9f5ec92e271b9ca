"""How do the candles around 10,000 trades fit into one small page? Cut, merged, differenced, deflated.

Each trade carries the bars around it and the path of its stop. A bar is five small numbers: the minutes
since the bar before, the open from the close before, the body, and both wicks, in units of the greatest
common divisor of all prices. A column of them is laid out by bytes, the lowest first, so that the upper
ones are runs of zeros which deflate to nothing: 5.3 letters a bar where plain JSON takes 32, measured on
random walks. The page undoes it with the browser's own DecompressionStream.
Knows no HTML, and asks for each ticker and day only once.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from report_summary import CandleProvider, Candles, Measured
from stats import Whole

BEFORE, AFTER = 12, 6  # bars of context on either side
BARS_IN_ALL = 400_000  # some 2 MB of page
BARS_MOST, BARS_LEAST = 96, 24  # for one trade; more are merged, fewer would show no shape
_BYTES = 4

Windows = dict[int, Whole]  # by the place of the trade in the list: rows of minute, open, high, low, close


@dataclass(frozen=True, slots=True)
class PackedBars:
    """`counts` and `merged` have an entry a trade; `data` is five columns, see pack()."""

    counts: list[int]
    merged: list[int]  # how many bars of the data make one of the picture
    unit_paise: int
    data: str


@dataclass(frozen=True, slots=True)
class PackedPaths:
    """Where the stops went: seconds since the entry and paise from the initial stop, as differences."""

    counts: list[int]
    data: str


def pack(columns: Sequence[Whole]) -> str:
    """Signed numbers below 2^31 as base64 text: zigzag, bytes of equal weight together, zlib."""
    planes = []
    for column in columns:
        zigzag = ((column << 1) ^ (column >> 63)).astype("<u4")
        planes.append(zigzag.view(np.uint8).reshape(-1, _BYTES).T.tobytes())
    return base64.b64encode(zlib.compress(b"".join(planes), 6)).decode()


def bars_of(
    trades: Sequence[Measured], candles: CandleProvider | None, most_bars: int = BARS_IN_ALL
) -> PackedBars:
    """The bars around each trade. Where there are too many trades, the largest results are shown."""
    windows = _windows(trades, candles) if candles else {}
    share = min(BARS_MOST, max(BARS_LEAST, most_bars // max(1, len(windows))))
    kept = sorted(windows, key=lambda i: -abs(trades[i].r))[: most_bars // BARS_LEAST]
    counts, merged, parts = [0] * len(trades), [1] * len(trades), []
    for i in sorted(kept):
        merged[i] = -(-windows[i].shape[1] // share)
        part = _merged(windows[i], merged[i])
        counts[i] = part.shape[1]
        parts.append(part)
    if not parts:
        return PackedBars(counts, merged, 1, "")
    rows = np.concatenate(parts, axis=1)
    unit = int(np.gcd.reduce(rows[1:], axis=None)) or 1
    return PackedBars(counts, merged, unit, pack(_differences(rows, unit)))


def _windows(trades: Sequence[Measured], candles: CandleProvider) -> Windows:
    """Grouped by ticker and day: reading a day's candles may cost a file."""
    places: dict[tuple[str, int], list[int]] = {}
    for i, trade in enumerate(trades):
        places.setdefault((trade.trade.ticker, trade.entered.toordinal()), []).append(i)
    windows: Windows = {}
    for (ticker, _), members in places.items():
        found = candles(ticker, trades[members[0]].entered.date())
        if found is None:
            continue
        rows = _rows(found, ticker)
        if rows.shape[1]:
            windows |= {i: _around(rows, trades[i]) for i in members}
    return windows


def _rows(candles: Candles, ticker: str) -> Whole:
    parts = (candles.minute, candles.open, candles.high, candles.low, candles.close)
    rows = [np.asarray(part) for part in parts]
    if len({row.shape for row in rows}) != 1 or any(row.dtype.kind not in "iu" for row in rows):
        raise ValueError(f"{ticker}: candles are whole minutes and paise, as many of each")
    return np.array(rows, dtype=np.int64)


def _around(rows: Whole, trade: Measured) -> Whole:
    last = _minute(trade.exited) if trade.exited.date() == trade.entered.date() else 24 * 60
    first_bar, last_bar = np.searchsorted(rows[0], [_minute(trade.entered), last], side="right") - 1
    return rows[:, max(0, int(first_bar) - BEFORE) : int(last_bar) + 1 + AFTER]


def _minute(at: datetime) -> int:
    return at.hour * 60 + at.minute


def _merged(rows: Whole, by: int) -> Whole:
    """Every `by` bars as one."""
    if by == 1:
        return rows
    starts = np.arange(0, rows.shape[1], by)
    ends = np.append(starts[1:], rows.shape[1]) - 1
    high, low = np.maximum.reduceat(rows[2], starts), np.minimum.reduceat(rows[3], starts)
    return np.array([rows[0][starts], rows[1][starts], high, low, rows[4][ends]])


def _differences(rows: Whole, unit: int) -> list[Whole]:
    minute, *prices = rows
    opened, high, low, close = (price // unit for price in prices)
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    from_close = opened - np.concatenate([[0], close[:-1]])
    return [np.diff(minute, prepend=0), from_close, close - opened, high - top, bottom - low]


def paths_of(trades: Sequence[Measured]) -> PackedPaths:
    """The stops' steps after the initial one."""
    counts = [len(trade.trade.stop_path) for trade in trades]
    steps = [
        (int((at - trade.entered).total_seconds()), stop - trade.trade.initial_stop)
        for trade in trades
        for at, stop in trade.trade.stop_path
    ]
    if not steps:
        return PackedPaths(counts, "")
    table = np.array(steps, dtype=np.int64).T
    return PackedPaths(counts, pack([np.diff(column, prepend=0) for column in table]))
