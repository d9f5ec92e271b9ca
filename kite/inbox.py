"""In which order does the core thread hear of things? One bounded queue.

The latest tick of an instrument takes the place of one that waits, so that a consumer slower than the
market gets the newest price of each token instead of a growing past. What is no price waits its turn and
is never dropped (faults.md W8).
"""

import threading
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Any thread puts, one takes."""

    def __init__(self) -> None:
        self._order: deque[Hashable] = deque()
        self._waiting: dict[Hashable, T] = {}
        self._serial = 0
        self._moved = threading.Condition()
        self.replaced = 0

    def put(self, item: T, latest_of: Hashable | None = None) -> None:
        """With a key, it takes the place of what waits under that key."""
        with self._moved:
            self._serial += 1
            key: Hashable = ("once", self._serial) if latest_of is None else ("latest", latest_of)
            if key in self._waiting:
                self.replaced += 1
            else:
                self._order.append(key)
            self._waiting[key] = item
            self._moved.notify()

    def take(self, wall_s: float) -> T | None:
        """The next one; None when nothing came within that many seconds of this machine."""
        with self._moved:
            if not self._moved.wait_for(lambda: bool(self._order), wall_s):
                return None
            return self._waiting.pop(self._order.popleft())

    def __len__(self) -> int:
        with self._moved:
            return len(self._order)
