"""How do candles on disk become the arrays that the rules are walked over?

All tickers on one grid of time, the sessions of each day from the calendar, the charges of each day
from the tariff. A bar that a ticker lacks, or that was imputed, is 0: not traded. Bars outside
continuous trading (Muhurat, drills, the auction) are left out and counted. Knows no strategy and no rule.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data import path_of, read_candles
from outcome import DataError
from rulebook.bars import MINUTES
from rulebook.charges import Tariff
from rulebook.hours import IST, Calendar, Session, SymbolClass, Window, trading_window
from rulebook.tables import Fixed, Table

CLOSED_ALL_DAY = 10**6  # a second of the day that never comes
PAISE = 100


@dataclass(frozen=True, slots=True)
class Hours:
    """The user's trading hours, before the day's session pulls them in."""

    start: time
    safe_end: time
    hard_end: time


@dataclass(frozen=True, slots=True)
class Market:
    """Tables of the base timeframe and of a finer one, what holds by ticker and day, and what to tell."""

    tickers: tuple[str, ...]
    days: tuple[date, ...]
    table: Table
    finer: Table | None
    first_fine: NDArray[np.int64] | None
    fixed: Fixed
    windows: tuple[Window | None, ...]
    notes: tuple[str, ...]

    def row_of(self, day: date) -> int:
        """The first row of that day or of the next one that there is."""
        number = sum(known < day for known in self.days)
        return int(np.searchsorted(self.table.day, number))


def load(
    raw: Path, tickers: Sequence[str], timeframe: str, hours: Hours, calendar: Calendar, tariff: Tariff
) -> Market:
    """Everything on disk for these tickers; with 1m candles inside where all tickers have them."""
    names = tuple(sorted(tickers))
    if not names:
        raise DataError("no tickers: fill config.tickers with `python fetch.py index`, or name --symbols")
    frames = {name: read_candles(raw, name, timeframe) for name in names}
    length_s = 60 * MINUTES[timeframe]
    table, days, left_out = _table(frames, length_s, calendar)
    windows = tuple(_window(calendar, day, hours) for day in days)
    notes = [f"{left_out} bars outside continuous trading were left out"] if left_out else []
    notes += sorted({doubt for day in days for doubt in tariff.doubts_on(day)})
    finer, first_fine = None, None
    if timeframe != "1m" and all(path_of(raw, name, "1m").exists() for name in names):
        finer, first_fine = _finer(raw, names, table, days, calendar)
    fixed = _fixed(len(names), days, windows, tariff)
    return Market(names, days, table, finer, first_fine, fixed, windows, tuple(notes))


def _table(
    frames: Mapping[str, pd.DataFrame], length_s: int, calendar: Calendar
) -> tuple[Table, tuple[date, ...], int]:
    opened_s = np.unique(np.concatenate([_epoch_s(frame["timestamp"]) for frame in frames.values()]))
    second = (opened_s + _offset_s()) % 86_400
    day_s = opened_s - second
    by_day = {int(at): _session(calendar, _date(int(at))) for at in np.unique(day_s)}
    inside = np.array(
        [_is_inside(by_day[int(at)], int(s), length_s) for at, s in zip(day_s, second, strict=True)], bool
    )
    grid = opened_s[inside]
    if not len(grid):
        raise DataError("no candle lies inside a trading session; look at the timestamps' time zone")
    days = np.unique(day_s[inside])
    columns = [_column(frames, grid, name) for name in ("open", "high", "low", "close", "volume")]
    number = np.searchsorted(days, day_s[inside]).astype(np.int64)
    table = Table._make([*columns, grid, second[inside].astype(np.int64), number, length_s])
    return table, tuple(_date(int(at)) for at in days), int((~inside).sum())


def _column(frames: Mapping[str, pd.DataFrame], grid: NDArray[np.int64], name: str) -> NDArray[Any]:
    """Prices in paise, a column a ticker; 0 where there is no bar or an imputed one."""
    kind = np.int64 if name == "volume" else np.int32
    found = np.zeros((len(grid), len(frames)), kind)
    for s, frame in enumerate(frames.values()):
        at = _epoch_s(frame["timestamp"])
        keep = np.isin(at, grid) & ~_filled(frame)
        values = frame[name].to_numpy(np.float64)[keep] * (1 if name == "volume" else PAISE)
        found[np.searchsorted(grid, at[keep]), s] = np.rint(values)
    return found


def _filled(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows that were not traded: marked by the imputer, or by a vendor who repeats the last price."""
    if "filled" in frame.columns:
        return frame["filled"].to_numpy(bool)
    return np.zeros(len(frame), bool)


def _finer(
    raw: Path, names: Sequence[str], base: Table, days: Sequence[date], calendar: Calendar
) -> tuple[Table, NDArray[np.int64]]:
    """The minutes inside each row of the base table."""
    table, minute_days, _ = _table({name: read_candles(raw, name, "1m") for name in names}, 60, calendar)
    number = np.array([days.index(day) if day in days else -1 for day in minute_days])
    first = np.searchsorted(table.opened_s, np.append(base.opened_s, base.opened_s[-1] + base.length_s))
    end = np.searchsorted(table.opened_s, base.opened_s + base.length_s)
    keep = np.concatenate([np.arange(a, b) for a, b in zip(first, end, strict=False)]).astype(np.int64)
    counts = np.concatenate([[0], np.cumsum(end - first[:-1])]).astype(np.int64)
    kept = [column[keep] for column in table[:7]]
    return Table._make([*kept, number[table.day[keep]], 60]), counts


def _fixed(tickers: int, days: Sequence[date], windows: Sequence[Window | None], tariff: Tariff) -> Fixed:
    ones = np.ones(tickers, np.int64)
    start = [CLOSED_ALL_DAY if window is None else _second(window.start.timetz()) for window in windows]
    end = [0 if window is None else _second(window.safe_end.timetz()) for window in windows]
    rates = np.array([tariff.rates_on(day) for day in days], np.int64)
    as_column = [np.array(values, np.int64).reshape(-1, 1) for values in (start, end)]
    # The tick of a past day is not in the candles, and adjusted prices lie on no grid: 5 paise, the
    # rule for most of this history (kite.md 3.6 has the bands that came in 2025).
    return Fixed(5 * ones, ones, 0 * ones, as_column[0], as_column[1], rates)


def _window(calendar: Calendar, day: date, hours: Hours) -> Window | None:
    # F&O stocks stop first since August 2026, so their hours are the cautious ones for a stock whose
    # class on a past day nobody has written down.
    session = calendar.session_of(day, SymbolClass.FNO)
    found = trading_window(
        session, start_ist=hours.start, safe_end_ist=hours.safe_end, hard_end_ist=hours.hard_end
    )
    return found if isinstance(found, Window) else None


def _session(calendar: Calendar, day: date) -> Session | None:
    return calendar.session_of(day, SymbolClass.OTHER) if calendar.is_trading_day(day) else None


def _is_inside(session: Session | None, second: int, length_s: int) -> bool:
    if session is None or not session.tradable:
        return False
    opens, closes = _second(session.opens_at.timetz()), _second(session.closes_at.timetz())
    return opens <= second < closes and length_s > 0


def daily_candles(market: Market) -> Mapping[tuple[str, date], NDArray[np.int64]]:
    """Rows of minute, open, high, low, close for each ticker and day, for pictures."""
    found: dict[tuple[str, date], NDArray[np.int64]] = {}
    table = market.table
    for number, day in enumerate(market.days):
        rows = np.flatnonzero(table.day == number)
        for s, ticker in enumerate(market.tickers):
            traded = rows[table.close[rows, s] != 0]
            prices = [column[traded, s].astype(np.int64) for column in table[:4]]
            found[ticker, day] = np.stack([table.second[traded] // 60, *prices])
    return found


def _epoch_s(stamps: "pd.Series[Any]") -> NDArray[np.int64]:
    return stamps.to_numpy("datetime64[s]").astype(np.int64)


def _offset_s() -> int:
    """IST has been five and a half hours ahead since 1945."""
    return 5 * 3600 + 1800


def ist_date(at: datetime) -> date:
    return at.astimezone(IST).date()


def _date(midnight_s: int) -> date:
    return pd.Timestamp(midnight_s, unit="s", tz="UTC").tz_convert(IST).date()


def _second(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def minutes_open(windows: Iterable[Window | None]) -> int:
    """How long positions could be held, all sessions together."""
    spans = (window.hard_end - window.start for window in windows if window is not None)
    return sum(int(span.total_seconds()) for span in spans) // 60
