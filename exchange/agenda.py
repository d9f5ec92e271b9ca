"""What time is it here, and what happens next by itself? Virtual moments, in whole microseconds.

Nothing in the exchange waits. Whoever wants to act later writes it down here; venue.py takes entry after
entry and sets the time to each. Two entries of one moment go by rank, then by the order in which they
were written: the session's own clock first, then the market's prices, then orders. The same calls
therefore give the same day, whether time is moved in one step or in a thousand.

A moment is counted from the Unix epoch. India has kept one offset since 1945, so that a count and an
aware moment in IST are two spellings of one thing, and subtraction is exact.
"""

import heapq
from collections.abc import Callable
from datetime import date, datetime, time, timedelta

from rulebook.hours import IST

SECOND = 1_000_000
MILLISECOND = 1_000
NEVER = 1 << 62

# Rank within one moment.
SESSION, PRICES, ORDERS = range(3)

# The broker clears its books in the early morning (kite.md 4); until then it is still yesterday.
DAY_BEGINS = time(6)

_EPOCH = datetime(1970, 1, 1, 5, 30, tzinfo=IST)
_MICROSECOND = timedelta(microseconds=1)
_DAY_BEGINS = timedelta(hours=DAY_BEGINS.hour)


def micros(moment: datetime) -> int:
    """An aware moment, counted."""
    if moment.utcoffset() is None:
        raise ValueError(f"naive datetime {moment.isoformat()}: times here are aware")
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(us: int) -> datetime:
    """A count, as an aware moment in IST."""
    return _EPOCH + timedelta(microseconds=us)


def midnight_us(day: date) -> int:
    return micros(datetime.combine(day, time(), IST))


def trading_day(us: int) -> date:
    """The day whose books are open."""
    return (moment_of(us) - _DAY_BEGINS).date()


def begins_us(day: date) -> int:
    """When that day's books are opened, and the ones of the day before closed."""
    return micros(datetime.combine(day, DAY_BEGINS, IST))


class Agenda:
    """The time, and a heap of what is to be done at which moment."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us
        self._heap: list[tuple[int, int, int, Callable[[], None]]] = []
        self._written = 0

    @property
    def now(self) -> datetime:
        return moment_of(self.now_us)

    @property
    def next_us(self) -> int:
        """NEVER where nothing is written down."""
        return self._heap[0][0] if self._heap else NEVER

    @property
    def next_rank(self) -> int:
        return self._heap[0][1] if self._heap else ORDERS

    def write(self, us: int, rank: int, what: Callable[[], None]) -> None:
        """Do that then; what lies in the past is a mistake of ours."""
        assert us >= self.now_us, f"{moment_of(us)} is before {self.now}"
        self._written += 1
        heapq.heappush(self._heap, (us, rank, self._written, what))

    def run_next(self) -> None:
        """Set the time to the next entry and carry it out."""
        us, _, _, what = heapq.heappop(self._heap)
        self.now_us = us
        what()
