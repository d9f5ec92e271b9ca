"""A small planted market as lessons, made once for all tests of a process."""

from functools import cache

from certify import FACTS, MADE, RULES, lessons_of
from facts import read_calendar
from features import NAMES
from lessons import Lessons
from planted import Kind, market
from sizes import Shape

CALENDAR, ORIGIN = read_calendar(FACTS), MADE
SMALL_SHAPE = Shape(len(NAMES[2]), {"5m": 16, "15m": 8})


@cache
def small_lessons(days: int = 48) -> Lessons:
    """So many of eight stocks with a strong edge."""
    return lessons_of(market(Kind.SHOCK, 70, 5, CALENDAR, days=days), dict(SMALL_SHAPE.lookbacks), RULES)
