"""When does what happen in a simulated run? One thread, one heap, the exchange's own time.

Theory of operation
-------------------
The suite's work runs in a pool of threads; here each piece is a task at a moment, and nothing else runs
while it does. Whatever a piece waits for, three things can be meant:

- its turn at the gate of the limits, before anything was sent: the piece is put back and begun anew then;
- the answer to a change: the exchange has acted, the piece has its answer in hand, and what it returns is
  heard that much later. Meanwhile others go on, as they would beside a slow thread;
- the answer to a read, or its turn: time passes right here, and with it everything else that is due. A
  second reading that begins meanwhile ends first; none begins while one waits for its turn, for the gate
  has a line and only one thread to stand in it.

Tasks of a process that has died are dropped with it: `generation` tells whose they are.
"""

import heapq
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import Enum

from exchange.venue import Exchange
from tests.sim.plans import Step

_LEAST_S = 0.001  # a turn is asked for again a moment later, never at the same one


class _Piece(Enum):
    """What is running."""

    NOTHING = 0
    CHANGE = 1
    READ = 2


class TooEarlyError(Exception):
    """The gate of the limits is not open yet; nothing was sent."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class WallClock:
    """What the machine that trades believes: the exchange's time, and what its own is wrong by (P6)."""

    def __init__(self, scheduler: "Scheduler", steps: Sequence[Step]) -> None:
        self._scheduler = scheduler
        self._steps = steps

    def now(self) -> datetime:
        true = self._scheduler.now()
        return true + next((s.ahead for s in reversed(self._steps) if s.at <= true), timedelta(0))

    def monotonic(self) -> float:
        return self._scheduler.monotonic()

    def wait(self, seconds: float) -> None:
        self._scheduler.wait(seconds)


class Scheduler:
    """The time of a run, and a Clock for whatever runs in it."""

    def __init__(self, exchange: Exchange, look: Callable[[], None]) -> None:
        self.exchange = exchange
        self.generation = 0
        self._look = look  # after each step of time and each task
        self._start = exchange.now
        self._tasks: list[tuple[datetime, bool, int, int, Callable[[], None]]] = []
        self._serial = 0
        self._piece = _Piece.NOTHING
        self._in_line = 0  # readings that wait for their turn
        self._ahead = timedelta(0)  # of the answer that the running piece has in hand

    # A Clock

    def now(self) -> datetime:
        return self.exchange.now + self._ahead

    def monotonic(self) -> float:
        return (self.now() - self._start).total_seconds()

    def wait(self, seconds: float) -> None:
        if self._piece is _Piece.CHANGE:
            raise TooEarlyError(seconds)
        self._in_line += 1
        try:
            self.run_for(max(seconds, _LEAST_S))
        finally:
            self._in_line -= 1

    def pass_answer_time(self, seconds: float) -> None:
        if self._piece is _Piece.CHANGE:
            self._ahead += timedelta(seconds=seconds)
        else:
            self.run_for(seconds)

    # Tasks

    def later(self, seconds: float, task: Callable[[], None], *, lasts: bool = False) -> None:
        """`lasts`: it belongs to the world, not to the process, and outlives it."""
        self._push(self.now() + timedelta(seconds=seconds), task, lasts=lasts)

    def at(self, moment: datetime, task: Callable[[], None]) -> None:
        self._push(max(moment, self.exchange.now), task, lasts=True)

    def change(self, work: Callable[[], None], *, urgent: bool) -> None:
        """Run a piece that changes something; begun anew when the gate says so, urgent ones first."""
        before, self._piece, self._ahead = (self._piece, self._ahead), _Piece.CHANGE, timedelta(0)
        try:
            work()
        except TooEarlyError as early:
            moment = self.exchange.now + timedelta(seconds=max(early.seconds, _LEAST_S))
            self._push(moment, lambda: self.change(work, urgent=urgent), lasts=False, urgent=urgent)
        finally:
            self._piece, self._ahead = before

    def read(self, work: Callable[[], None]) -> None:
        if self._in_line:
            self.later(_LEAST_S * 20, lambda: self.read(work))
            return
        before, self._piece = self._piece, _Piece.READ
        try:
            work()
        finally:
            self._piece = before

    def _push(self, moment: datetime, task: Callable[[], None], *, lasts: bool, urgent: bool = False) -> None:
        self._serial += 1
        owner = -1 if lasts else self.generation
        heapq.heappush(self._tasks, (moment, not urgent, self._serial, owner, task))

    # Time

    def run_for(self, seconds: float) -> None:
        self.run_until(self.exchange.now + timedelta(seconds=seconds))

    def run_until(self, moment: datetime) -> None:
        """Everything up to then: the exchange's own steps one by one, and the tasks between them."""
        piece, ahead = self._piece, self._ahead
        self._piece, self._ahead = _Piece.NOTHING, timedelta(0)
        try:
            while (step := self._next(moment)) is not None:
                self._step(step)
        finally:
            self._piece, self._ahead = piece, ahead

    def _next(self, until: datetime) -> datetime | None:
        """The next step at or before `until`; None once it has been reached and nothing more is due."""
        known = [self.exchange.next_at(), self._tasks[0][0] if self._tasks else None]
        first = min((moment for moment in known if moment is not None), default=None)
        if first is not None and first <= until:
            return max(first, self.exchange.now)
        return until if self.exchange.now < until else None

    def _step(self, moment: datetime) -> None:
        if moment > self.exchange.now or self._is_due_there(moment):
            self.exchange.advance(moment)
            self._look()
        while self._tasks and self._tasks[0][0] <= moment:
            _, _, _, owner, task = heapq.heappop(self._tasks)
            if owner in (-1, self.generation):
                task()
                self._look()
            if self._is_due_there(moment):
                self.exchange.advance(max(moment, self.exchange.now))
                self._look()

    def _is_due_there(self, moment: datetime) -> bool:
        due = self.exchange.next_at()
        return due is not None and due <= moment
