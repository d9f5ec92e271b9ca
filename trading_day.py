"""When may today be traded, and when is which bar over? One session's moments, worked out once at its start.

The calendar's facts of the day, the user's hours and `--end` come together here: a window for each class of
stock, the boundaries of the base timeframe's bars, the moment from which what is not flat is STUCK.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from rulebook.hours import IST, NoWindow, Session, SymbolClass, Window, trading_window
from sessions_grid import Grid

BAR_PATIENCE = timedelta(seconds=1)  # after its boundary a bar is closed (trading.md)
STUCK_BEFORE = timedelta(minutes=2)  # the broker's square-off
SQUARED_AFTER = timedelta(minutes=2)  # by then the broker has done what it does


@dataclass(frozen=True, slots=True)
class TradingDay:
    """Of one exchange day."""

    day: date
    label: str  # why it is closed; empty where it is open
    is_verified: bool
    windows: Mapping[SymbolClass, Window | NoWindow]
    sessions: Mapping[SymbolClass, Session]
    boundaries: tuple[datetime, ...]  # of the base timeframe, rising

    @property
    def is_open(self) -> bool:
        return not self.label

    def open_windows(self) -> list[Window]:
        return [window for window in self.windows.values() if isinstance(window, Window)]

    @property
    def hard_end(self) -> datetime | None:
        """Of all classes the last; None where nothing is traded."""
        return max((window.hard_end for window in self.open_windows()), default=None)

    def safe_end(self, symbol_class: SymbolClass) -> datetime | None:
        window = self.windows[symbol_class]
        return window.safe_end if isinstance(window, Window) else None

    def stuck_at(self, symbol_class: SymbolClass) -> datetime | None:
        """From then on whatever is open gets its one last order, and the rest is the broker's."""
        session = self.sessions.get(symbol_class)
        square_off_at = session.square_off_at if session else None
        return square_off_at - STUCK_BEFORE if square_off_at else None

    def given_up_at(self, symbol_class: SymbolClass) -> datetime | None:
        session = self.sessions.get(symbol_class)
        square_off_at = session.square_off_at if session else None
        return square_off_at + SQUARED_AFTER if square_off_at else None

    def over_by(self, now: datetime) -> datetime | None:
        """The newest boundary whose bar may be closed now."""
        place = bisect_right(self.boundaries, now - BAR_PATIENCE)
        return self.boundaries[place - 1] if place else None

    def pulled(self) -> list[str]:
        """One sentence for each value that is not the configured one."""
        return sorted({sentence for window in self.open_windows() for sentence in window.pulled})


def trading_day(grid: Grid, day: date, start: time, safe_end: time, hard_end: time) -> TradingDay:
    """`hard_end` is `--end` where the user gave one; `grid` has the bars that decisions are made of."""
    calendar = grid.calendar
    closed = calendar.closed_because(day)
    is_verified = not calendar.is_provisional(day)
    if closed is not None:
        windows: dict[SymbolClass, Window | NoWindow] = {each: NoWindow(closed) for each in SymbolClass}
        return TradingDay(day, closed, is_verified, windows, {}, ())
    sessions = {each: calendar.session_of(day, each) for each in SymbolClass}
    windows = {
        each: trading_window(session, start_ist=start, safe_end_ist=safe_end, hard_end_ist=hard_end)
        for each, session in sessions.items()
    }
    closes_at = sessions[grid.symbol_class].closes_at
    ends = [datetime.fromtimestamp(int(opened_s) + grid.length_s, IST) for opened_s in grid.of(day)]
    return TradingDay(day, "", is_verified, windows, sessions, tuple(min(end, closes_at) for end in ends))
