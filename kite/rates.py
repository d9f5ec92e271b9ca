"""When may the next request go? The broker's limits, for every thread and every process of one login.

The broker counts requests per second of its own clock, we cannot see that clock, so at most so many go in
any second at all: then no second of any clock holds more. Orders are also counted by the minute and the day.
A part of each order limit is kept for what must not wait (exits, stops, cancels), and who is urgent goes
first (faults.md invariants 5 and 27).

The stamps of what was let go stand in one file a login and a kind of request, under a lock that is held
for the look and the stamp, never while waiting. Times are the monotonic clock's, which all processes of a
machine share; a stamp from the future is one of an earlier boot and is dropped. When the file cannot be
used (a full disk), the process goes on by its own memory: a stop must go out.
"""

import fcntl
import itertools
import os
import struct
from bisect import insort
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from clock import Clock, queue_on
from rulebook.hours import ist_day

SECOND_S, MINUTE_S = 1.0, 60.0
_DAY_HEAD = struct.Struct("<ii")  # the day's ordinal, how many went that day


class Kind(StrEnum):
    """What the broker counts together."""

    ORDERS = "orders"  # place, modify, cancel
    QUOTES = "quotes"  # quote, ohlc, ltp
    HISTORY = "history"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many may go; `kept_*` of them only for what is urgent. 0 is no limit."""

    per_second: int
    per_minute: int = 0
    per_day: int = 0
    kept_per_second: int = 0
    kept_per_minute: int = 0
    kept_per_day: int = 0


# kite.md 2 and faults.md invariant 5: of the broker's 10, 400 and 5,000 orders we use less, because its
# clock cuts seconds elsewhere and the user's own hand counts too.
LIMITS: dict[Kind, Limit] = {
    Kind.ORDERS: Limit(8, 200, 4_500, kept_per_second=2, kept_per_minute=60, kept_per_day=500),
    Kind.QUOTES: Limit(1),
    Kind.HISTORY: Limit(3),
    Kind.OTHER: Limit(10),
}


class DayIsSpentError(Exception):
    """The day's orders are used up; nothing was sent."""


class Rates:
    """The gate before every request to the broker; `folder` is shared by all processes of that login."""

    def __init__(self, folder: Path, clock: Clock, limits: dict[Kind, Limit] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._gates = {
            kind: _Gate(limit, clock, folder / f"{kind}.stamps") for kind, limit in (limits or LIMITS).items()
        }

    def take(self, kind: Kind, *, urgent: bool = False) -> None:
        """Return when the caller may send one request of that kind."""
        self._gates[kind].take(urgent)


class _Gate:
    """One kind of request. Only the first in line waits on the clock, and outside every lock."""

    def __init__(self, limit: Limit, clock: Clock, path: Path) -> None:
        self._limit = limit
        self._clock = clock
        self._book = _Book(path, max(limit.per_second, limit.per_minute))
        self._arrivals = itertools.count()
        self._line: list[tuple[bool, int]] = []
        self._moved = queue_on(clock)

    def take(self, urgent: bool) -> None:
        with self._moved:
            place = (not urgent, next(self._arrivals))
            insort(self._line, place)
        try:
            while (early_s := self._early_s(place, urgent)) > 0:
                self._clock.wait(early_s)
        finally:  # also when interrupted: a place left behind would block the gate for good
            with self._moved:
                self._line.remove(place)
                self._moved.notify_all()

    def _early_s(self, place: tuple[bool, int], urgent: bool) -> float:
        """How much too early the first in line is; at zero it has been stamped and may go."""
        with self._moved:
            self._moved.wait_for(lambda: self._line[0] == place)
            with self._book as book:
                now_s = self._clock.monotonic()
                today = ist_day(self._clock.now()).toordinal()
                book.begin(now_s, today)
                if self._limit.per_day and book.gone_today >= self._day_cap(urgent):
                    raise DayIsSpentError(f"{book.gone_today} orders today: no more is sent before tomorrow")
                early_s = too_early_s(book.stamps_s, now_s, self._windows(urgent))
                if early_s <= 0:
                    book.stamp(now_s)
                return early_s

    def _windows(self, urgent: bool) -> list[tuple[float, int]]:
        limit = self._limit
        windows = [(SECOND_S, limit.per_second - (0 if urgent else limit.kept_per_second))]
        if limit.per_minute:
            windows.append((MINUTE_S, limit.per_minute - (0 if urgent else limit.kept_per_minute)))
        return windows

    def _day_cap(self, urgent: bool) -> int:
        return self._limit.per_day - (0 if urgent else self._limit.kept_per_day)


def too_early_s(stamps_s: Sequence[float], now_s: float, windows: Sequence[tuple[float, int]]) -> float:
    """How long until one more may go, so that no window of that length ever holds more than its number."""
    return max(
        (stamps_s[-most] + length_s - now_s for length_s, most in windows if len(stamps_s) >= most),
        default=0.0,
    )


class _Book:
    """The stamps of one kind, read and written under the file's lock; in memory when there is no file."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most
        self._day = 0
        self._fd: int | None = None
        self.stamps_s: list[float] = []
        self.gone_today = 0

    def __enter__(self) -> "_Book":
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            self._read(self._fd)
        except OSError:  # a full or broken disk must not hold up a stop
            self._release()
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def begin(self, now_s: float, today: int) -> None:
        if today != self._day:
            self._day, self.gone_today = today, 0
        self.stamps_s = [stamp_s for stamp_s in self.stamps_s if now_s - MINUTE_S <= stamp_s <= now_s]

    def stamp(self, now_s: float) -> None:
        self.stamps_s = [*self.stamps_s, now_s][-self._most :]
        self.gone_today += 1
        if self._fd is not None:
            text = _DAY_HEAD.pack(self._day, self.gone_today)
            text += struct.pack(f"<{len(self.stamps_s)}d", *self.stamps_s)
            with suppress(OSError):
                os.pwrite(self._fd, text, 0)
                os.ftruncate(self._fd, len(text))

    def _read(self, fd: int) -> None:
        """What other processes have stamped meanwhile; what is torn counts as nothing, memory stays."""
        text = os.pread(fd, _DAY_HEAD.size + 8 * self._most, 0)
        count, rest = divmod(len(text) - _DAY_HEAD.size, 8)
        if len(text) < _DAY_HEAD.size or rest:
            return
        day, gone = _DAY_HEAD.unpack_from(text)
        stamps_s = list(struct.unpack_from(f"<{count}d", text, _DAY_HEAD.size))
        if any(later < earlier for earlier, later in itertools.pairwise(stamps_s)):
            return
        self._day, self.gone_today, self.stamps_s = day, gone, stamps_s

    def _release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)  # lets go of the lock
            self._fd = None
