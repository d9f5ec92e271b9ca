"""When may today be traded? Windows, boundaries and last moments of ordinary and other days."""

from datetime import date, datetime, time
from pathlib import Path

import pytest

from facts import read_calendar
from rulebook.hours import IST, NoWindow, SymbolClass
from sessions_grid import Grid
from tests.conftest import ROOT
from trading_day import TradingDay, trading_day

CALENDAR = read_calendar(Path(ROOT) / "config")
HOURS = (time(9, 20), time(15, 0), time(15, 8))
FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)


def day_of(day: date, *hours: time, timeframe: str = "5m") -> TradingDay:
    start, safe_end, hard_end = hours or HOURS
    return trading_day(Grid(CALENDAR, timeframe), day, start, safe_end, hard_end)


def at(clock: str) -> datetime:
    return datetime.combine(FRIDAY, time.fromisoformat(clock), IST)


def test_a_closed_day_has_its_name_and_nothing_else():
    day = day_of(SATURDAY)

    assert ("Saturday", False, None, ()) == (day.label, day.is_open, day.hard_end, day.boundaries)
    assert all(isinstance(window, NoWindow) for window in day.windows.values())


def test_the_bars_of_a_day_end_at_every_boundary_until_continuous_trading_does():
    day = day_of(FRIDAY)
    ends = CALENDAR.session_of(FRIDAY, SymbolClass.FNO).closes_at

    assert at("09:20:00") == day.boundaries[0]
    assert ends == day.boundaries[-1]
    assert 5 * 60 == (day.boundaries[1] - day.boundaries[0]).total_seconds()


@pytest.mark.parametrize(
    ("now", "over"),
    [
        ("09:15:00", None),
        ("09:20:00", None),
        ("09:20:00.999", None),
        ("09:20:01", "09:20:00"),
        ("09:25:00", "09:20:00"),
        ("09:25:01", "09:25:00"),
        ("18:00:00", "15:15:00"),
    ],
)
def test_a_bar_is_over_a_second_after_its_boundary(now, over):
    assert (at(over) if over else None) == day_of(FRIDAY).over_by(at(now))


def test_an_end_that_the_user_names_pulls_the_exits_in_with_it():
    day = day_of(FRIDAY, time(9, 20), time(15, 0), time(10, 0))

    assert at("10:00:00") == day.hard_end == day.safe_end(SymbolClass.FNO)
    assert ["safe_trading_end 15:00:00 becomes 10:00:00: it is no later than the hard end"] == day.pulled()


def test_what_is_open_two_minutes_before_the_square_off_is_stuck_and_two_minutes_after_it_given_up():
    day, session = day_of(FRIDAY), CALENDAR.session_of(FRIDAY, SymbolClass.FNO)
    stuck_at, given_up_at = day.stuck_at(SymbolClass.FNO), day.given_up_at(SymbolClass.FNO)

    assert session.square_off_at is not None and stuck_at is not None and given_up_at is not None
    assert [120.0, 120.0] == [
        (session.square_off_at - stuck_at).total_seconds(),
        (given_up_at - session.square_off_at).total_seconds(),
    ]
    assert day.hard_end is not None and day.hard_end < stuck_at
