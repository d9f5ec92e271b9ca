"""What time is it, and how does one wait? The only place that reads a clock or sleeps.

Everything else is handed a Clock, so that a test, a replay or the local exchange can hand in
another one. `now` is for stamps and trading windows; `monotonic` for deadlines, because a wall
clock can step.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time and waiting, as a dependency."""

    def now(self) -> datetime:
        """The wall time, aware."""

    def monotonic(self) -> float:
        """Seconds that never step back; only differences mean anything."""

    def wait(self, seconds: float) -> None:
        """Return no earlier than that many seconds from now."""


def queue_on(clock: Clock) -> threading.Condition:
    """Where threads that wait on that clock wait for each other: one that stands still must know who does."""
    made: Callable[[], threading.Condition] = getattr(clock, "queue", threading.Condition)
    return made()


def wait_until(clock: Clock, monotonic_s: float) -> None:
    """Return no earlier than at that moment, also where it comes before the wait has begun."""
    exact: Callable[[float], None] | None = getattr(clock, "wait_until", None)
    if exact is not None:
        exact(monotonic_s)
    else:
        clock.wait(monotonic_s - clock.monotonic())


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)
