"""How does the exchange's time pass? At a rate of the wall clock, or in lock-step with who follows it.

At a rate, a wall second is `rate` seconds here, and whoever is too slow is late, as in life.

In lock-step nobody is late. A follower says "idle until T"; once every follower is idle, time moves to the
earliest T or event, whichever is first, and stops there. A follower that was sent a frame of the stream is
woken, and idle again only when it says that it has heard it (it counts frames by its own port); one that
waits for an answer that is held back says so, and is woken when it goes out: else time would run on while it
thinks. Who only waits, without a name, holds nothing up while it works: a download has no deadlines.

Virtual time is handed to exchange.venue; this file knows no socket and no wall clock (its reading comes in).
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol


class Timed(Protocol):
    """What has a virtual time; exchange.venue.Exchange."""

    @property
    def now(self) -> datetime: ...
    def next_at(self) -> datetime | None: ...
    def advance(self, to: datetime) -> None: ...


class Wires(Protocol):
    """The open streams: they send what is due, and count."""

    def next_due(self) -> datetime | None: ...
    def flush(self) -> None: ...
    def frames_sent(self, port: int) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Idle:
    """One follower's word: nothing to do before `until`, having heard so many frames on each of its ports."""

    until: datetime
    wake: Callable[[], None]
    name: str | None = None
    outstanding: int = 0
    heard: Mapping[int, int] = field(default_factory=dict)


class Pacing:
    """Decides to which moment time may move, and moves it there step by step."""

    def __init__(self, timed: Timed, wires: Wires, rate: float | None, wall_s: float) -> None:
        self._timed = timed
        self._wires = wires
        self.rate = rate  # None: lock-step
        self._anchor = (timed.now, wall_s)
        self._followers: dict[str, Idle] = {}
        self._busy: set[str] = set()
        self._idle: list[Idle] = []
        self._later: list[tuple[datetime, int, Callable[[], None]]] = []
        self._serial = 0
        self.held = 0  # answers that wait for their moment

    @property
    def followers(self) -> Mapping[str, Idle]:
        return self._followers

    def set_rate(self, rate: float | None, wall_s: float) -> None:
        self._anchor = (self._timed.now, wall_s)
        self.rate = rate

    def sent(self, ports: Iterable[int]) -> dict[int, int]:
        """Frames on each of these ports so far; -1 where there is no such connection any more."""
        return {port: self._wires.frames_sent(port) for port in ports}

    def later(self, at: datetime, callback: Callable[[], None]) -> None:
        """An answer that is held back until then."""
        self._serial += 1
        self.held += 1
        heapq.heappush(self._later, (at, self._serial, callback))

    def idle(self, word: Idle) -> None:
        """A follower is idle; what it said before no longer holds, and wakes. A moment that is past wakes."""
        if word.name is not None:
            before = self._followers.get(word.name)
            self._followers[word.name] = word
            self._busy.discard(word.name)
            if before in self._idle:
                self._wake(before)
        self._idle.append(word)
        if word.until <= self._timed.now:
            self._wake(word)

    def gone(self, word: Idle) -> None:
        """Whoever said so has hung up, waiting or at work: nothing waits for it."""
        if word in self._idle:
            self._idle.remove(word)
        if word.name is not None and self._followers.get(word.name) is word:
            self._forget(word.name)

    def leave(self, name: str) -> None:
        """A follower ends: time need not wait for it any more."""
        word = self._forget(name)
        if word in self._idle:
            self._wake(word)

    def _forget(self, name: str) -> Idle | None:
        self._busy.discard(name)
        return self._followers.pop(name, None)

    def catch_up(self, wall_s: float) -> None:
        """At a rate: everything up to this moment. In lock-step: as far as everybody is idle."""
        if self.rate is None:
            while self._may_move() and (moment := self.next_moment()) is not None:
                self._step(max(moment, self._timed.now))
            for word in [word for word in self._idle if self._has_news(word)]:
                self._wake(word)
            return
        since, wall_then = self._anchor
        self.move_to(since + timedelta(seconds=(wall_s - wall_then) * self.rate))

    def move_to(self, to: datetime) -> None:
        """Everything up to and including that moment, in order."""
        while (moment := self.next_moment()) is not None and moment < to:
            self._step(max(moment, self._timed.now))
        if to > self._timed.now:
            self._step(to)

    def wall_seconds_to_next(self, wall_s: float) -> float | None:
        """How long the server may sleep."""
        moment = self.next_moment()
        if self.rate is None or moment is None:
            return None
        since, wall_then = self._anchor
        return max(0.0, (moment - since).total_seconds() / self.rate - (wall_s - wall_then))

    def next_moment(self) -> datetime | None:
        moments = [self._timed.next_at(), self._wires.next_due(), *(word.until for word in self._idle)]
        if self._later:
            moments.append(self._later[0][0])
        return min((moment for moment in moments if moment is not None), default=None)

    def _step(self, moment: datetime) -> None:
        self._timed.advance(moment)
        while self._later and self._later[0][0] <= moment:
            self.held -= 1
            heapq.heappop(self._later)[2]()
        self._wires.flush()
        for word in [word for word in self._idle if word.until <= moment]:
            self._wake(word)

    def _wake(self, word: Idle) -> None:
        self._idle.remove(word)
        if word.name is not None and self._followers.get(word.name) is word:
            self._busy.add(word.name)  # until it says otherwise
        word.wake()

    def _may_move(self) -> bool:
        if not self._idle or self._busy:
            return False
        named = [word for word in self._idle if word.name is not None]
        if named and sum(word.outstanding for word in named) != self.held:
            return False  # a request or an answer is on its way
        return not any(self._was_sent_more(word) for word in named)

    def _has_news(self, word: Idle) -> bool:
        return word.outstanding > self.held or self._was_sent_more(word)

    def _was_sent_more(self, word: Idle) -> bool:
        return any(self._wires.frames_sent(port) != n for port, n in word.heard.items())
