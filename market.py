"""How do candles on disk become the arrays that the rules are walked over?

All tickers on one grid of time, the sessions of each day from the calendar, the charges of each day
from the tariff. A bar that a ticker lacks, or that was imputed, is 0: not traded. Bars outside
continuous trading (Muhurat, drills, the auction) are left out and counted. Knows no strategy and no rule.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from candle_store import FILLED, PRICES, path_of, read_candles
from outcome import ConfigError, DataError
from rulebook.bars import MINUTES
from rulebook.charges import Tariff
from rulebook.hours import IST, Calendar, SymbolClass, UnknownYearError, Window, trading_window
from rulebook.tables import Fixed, Table

Ints = NDArray[np.int64]

CLOSED_ALL_DAY = 10**6  # a second of the day that never comes
PAISE = 100
DAY_S = 86_400
OFFSET_S = 5 * 3600 + 1800  # IST has been that far ahead since 1945
SAME_WITHIN = 1.2  # a minute's close lies in its bar, but for what two downloads round or mend
COLUMNS = (*PRICES, "volume")


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
    first_fine: Ints | None
    fixed: Fixed
    windows: tuple[Window | None, ...]
    notes: tuple[str, ...]

    def row_of(self, day: date) -> int:
        """The first row of that day or of the next one that there is."""
        return int(np.searchsorted(self.table.day, bisect_left(self.days, day)))

    def candles(self, ticker: str, day: date) -> Ints:
        """Rows of minute, open, high, low, close of the bars that were traded, for pictures."""
        s, table = self.tickers.index(ticker), self.table
        rows = np.arange(self.row_of(day), self.row_of(day + timedelta(days=1)))
        traded = rows[table.close[rows, s] != 0]
        return np.stack([table.second[traded] // 60, *(column[traded, s] for column in table[:4])])


def load(
    raw: Path, tickers: Sequence[str], timeframe: str, hours: Hours, calendar: Calendar, tariff: Tariff
) -> Market:
    """Everything on disk for these tickers; with 1m candles inside where all tickers have them."""
    names = tuple(sorted(set(tickers)))
    if not names:
        raise DataError("no tickers: fill config.tickers with `python fetch.py index`, or name --symbols")
    if timeframe == "1d":
        raise ConfigError("timeframes: a bar of 1d spans a whole session; add a finer one to walk through")
    table, days, left_out = _table(_read(raw, names, timeframe), timeframe, calendar)
    windows = tuple(_window(calendar, day, hours) for day in days)
    with_minutes = [name for name in names if timeframe != "1m" and path_of(raw, name, "1m").exists()]
    finer, first_fine = None, None
    if len(with_minutes) == len(names):
        finer, first_fine = _finer(_read(raw, names, "1m"), names, table, calendar)
    notes = tuple(_notes(days, windows, left_out, calendar, tariff))
    if 0 < len(with_minutes) < len(names):
        missing = ", ".join(name for name in names if name not in with_minutes)
        notes += (f"no bar is resolved by the minutes inside: there are no 1m candles of {missing}",)
    return Market(
        names, days, table, finer, first_fine, _fixed(len(names), days, windows, tariff), windows, notes
    )


def _notes(
    days: Sequence[date], windows: Sequence[Window | None], left_out: int, calendar: Calendar, tariff: Tariff
) -> Iterator[str]:
    """What was left out, what nobody has confirmed, and where the day's session has pulled the hours in."""
    if left_out:
        yield f"{left_out} bars outside continuous trading were left out"
    sessions = (calendar.session_of(day, SymbolClass.FNO) for day in days)
    doubts = {doubt for session in sessions for doubt in session.doubts}
    yield from sorted(doubts | {doubt for day in days for doubt in tariff.doubts_on(day)})
    pulled = Counter(sentence for window in windows if window is not None for sentence in window.pulled)
    yield from (f"{sentence} ({count} sessions)" for sentence, count in sorted(pulled.items()))


# --- one grid of time -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bars:
    """One ticker's bars as arrays: when each opened, and what is in it."""

    ticker: str
    opened_s: Ints
    columns: Mapping[str, Ints]

    def of(self, rows: NDArray[Any]) -> "_Bars":
        columns = {name: column[rows] for name, column in self.columns.items()}
        return _Bars(self.ticker, self.opened_s[rows], columns)


def _read(raw: Path, names: Sequence[str], timeframe: str) -> Iterator[_Bars]:
    """One file after the other, so that only what is kept of them is held."""
    for name in names:
        frame = read_candles(raw, name, timeframe)
        yield _Bars(
            name,
            frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64),
            {column: _whole(frame, column) for column in COLUMNS},
        )


def _whole(frame: pd.DataFrame, column: str) -> Ints:
    """Prices in paise, to the nearest, ties to even; 0 where the row was imputed and not traded."""
    values = frame[column].to_numpy(np.float64) * (1 if column == "volume" else PAISE)
    if FILLED in frame.columns:
        values[frame[FILLED].to_numpy(bool)] = 0
    whole: Ints = np.rint(values).astype(np.int64 if column == "volume" else np.int32)
    return whole


def _table(bars: Iterable[_Bars], timeframe: str, calendar: Calendar) -> tuple[Table, tuple[date, ...], int]:
    """The bars inside sessions on the union of their stamps, the days, and how many bars lay outside."""
    sessions, left_out, kept = _Sessions(calendar), 0, []
    for each in bars:
        inside = sessions.contain(each, timeframe)
        left_out += int((~inside).sum())
        kept.append(each.of(inside))
    grid = np.unique(np.concatenate([each.opened_s for each in kept]))
    rows = [np.searchsorted(grid, each.opened_s) for each in kept]
    columns = [_column(kept, rows, len(grid), name) for name in COLUMNS]
    second = (grid + OFFSET_S) % DAY_S
    days, number = np.unique(grid - second, return_inverse=True)
    table = Table._make([*columns, grid, second, number.astype(np.int64), 60 * MINUTES[timeframe]])
    return table, tuple(_date(at) for at in days.tolist()), left_out


def _column(kept: Sequence[_Bars], rows: Sequence[Ints], length: int, name: str) -> Ints:
    """A column a ticker; 0 where there is no bar."""
    found = np.zeros((length, len(kept)), kept[0].columns[name].dtype)
    for s, each in enumerate(kept):
        found[rows[s], s] = each.columns[name]
    return found


class _Sessions:
    """When continuous trading opens and closes, each day asked for once."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._known: dict[int, tuple[int, int]] = {}

    def contain(self, bars: _Bars, timeframe: str) -> NDArray[np.bool_]:
        """Which bars open inside a session; DataError where they cannot be bars of this timeframe."""
        second = (bars.opened_s + OFFSET_S) % DAY_S
        days, number = np.unique(bars.opened_s - second, return_inverse=True)
        opens, closes = np.array([self._of(at) for at in days.tolist()], np.int64)[number].T
        inside: NDArray[np.bool_] = (opens <= second) & (second < closes)
        if 2 * int(inside.sum()) < len(inside) or not inside.any():
            raise DataError(
                f"{bars.ticker}: {int(inside.sum())} of {len(inside)} {timeframe} candles lie inside a "
                "trading session; look at the time zone of its timestamps, and fetch it again"
            )
        astray = inside & ((second - opens) % (60 * MINUTES[timeframe]) != 0)
        if astray.any():
            at = datetime.fromtimestamp(int(bars.opened_s[astray.argmax()]), IST)
            raise DataError(
                f"{bars.ticker}: no candle of {timeframe} opens at {at:%Y-%m-%d %H:%M}; fetch it again"
            )
        return inside

    def _of(self, midnight_s: int) -> tuple[int, int]:
        if midnight_s not in self._known:
            self._known[midnight_s] = _continuous(self._calendar, _date(midnight_s))
        return self._known[midnight_s]


def _continuous(calendar: Calendar, day: date) -> tuple[int, int]:
    """Seconds of the IST day; (0, 0) where nothing is traded or nobody should."""
    try:
        is_session = calendar.is_trading_day(day)
    except UnknownYearError as error:
        raise DataError(f"a candle of {day}: {error}") from None
    session = calendar.session_of(day, SymbolClass.OTHER) if is_session else None
    if session is None or not session.tradable:
        return 0, 0
    return _second(session.opens_at.timetz()), _second(session.closes_at.timetz())


# --- the minutes inside ---------------------------------------------------------------------------


def _finer(
    bars: Iterable[_Bars], names: Sequence[str], base: Table, calendar: Calendar
) -> tuple[Table, Ints]:
    """The minutes inside the rows of the base table, and where those of each row begin."""
    table, _, _ = _table(bars, "1m", calendar)
    row = np.searchsorted(base.opened_s, table.opened_s, side="right") - 1
    keep = (row >= 0) & (table.opened_s < base.opened_s[row] + base.length_s)
    row = row[keep]
    kept = Table._make([*(column[keep] for column in table[:7]), base.day[row], 60])
    _same_prices(names, base, kept, row)
    return kept, np.searchsorted(row, np.arange(len(base.opened_s) + 1)).astype(np.int64)


def _same_prices(names: Sequence[str], base: Table, finer: Table, row: Ints) -> None:
    """Minutes of another price base (one of the files is older than a split) are no minutes of these bars."""
    for s, name in enumerate(names):
        high, low, close = base.high[row, s], base.low[row, s], finer.close[:, s]
        apart = (close != 0) & (high != 0) & ((close > high * SAME_WITHIN) | (close * SAME_WITHIN < low))
        if apart.any():
            at = datetime.fromtimestamp(int(finer.opened_s[apart.argmax()]), IST)
            raise DataError(
                f"{name}: the 1m candle of {at:%Y-%m-%d %H:%M} is far from the bar that it lies in: "
                "one of the two files is not adjusted; fetch both again"
            )


# --- what holds by day ----------------------------------------------------------------------------


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
