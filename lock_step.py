"""How do a session's threads share a clock that stands still? One of them runs at a time, in a fixed order.

Theory of operation
-------------------
`exchange serve --speed max` moves its time only while every follower says "idle until". A session is one
follower of several threads: the core, which runs the loop; pieces of work in pools (workers.py), each of
which gets a turn; and the ticker, a stranger that announces itself (kite/ticker.py: due_s, heard).

The core gives the turns, one after the other in the order in which they became ready, and goes on when
that piece of work has ended, waits on this clock, stands in a queue (kite/rates.py), or hangs on an answer
that the exchange holds back. So a day is the same each time, and no request is made at a moment that
depends on how fast this machine is. When nobody can run, the core says idle until the first deadline of
all. In between, time stands still, so that it need not be asked for.

Before begin() and after end() this is the followed clock itself, and pools and queues are ordinary ones.
"""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from followed_clock import FollowedClock, Reading

NAME = "trader"
HANGS_S = 0.05  # of this machine; work that takes longer may hang on an answer that is held back
LOOK_S = 0.25  # of this machine, between looks at a stranger


class Is(Enum):
    READY = "may run"
    RUNNING = "runs"
    WAITING = "on the clock, or in a queue"
    HELD = "its answer is held back"
    OVER = "has ended"


@dataclass(eq=False, slots=True)
class Turn:
    """One piece of work, and how its thread is told to go on."""

    state: Is = Is.READY
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class LockStep:
    """A Clock for one process; whoever calls begin() is its core."""

    def __init__(self, followed: FollowedClock) -> None:
        self._followed = followed
        self._last: Reading | None = None  # while it is begun
        self._is_passing = False
        self._core = 0
        self._moved = threading.Condition()  # guards all that follows
        self._ready: deque[Turn] = deque()
        self._sleepers: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = itertools.count()
        self._held: list[Turn] = []
        self._of_thread = threading.local()

    # --- the clock ---

    def now(self) -> datetime:
        last = self._reading()
        return self._followed.now() if last is None else last.now

    def monotonic(self) -> float:
        last = self._reading()
        return self._followed.monotonic() if last is None else last.monotonic_s

    def wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        turn: Turn | None = getattr(self._of_thread, "turn", None)
        last = self._last
        if last is None:
            self._followed.wait(seconds)
        elif turn is not None:
            self._sleep(last.monotonic_s + seconds, lambda: self._may_run(turn))
            self._pass_on(turn)
        else:
            self.wait_until(self.monotonic() + seconds)

    def wait_until(self, monotonic_s: float) -> None:
        """For a stranger: whatever it said that it waits for may be over before it has begun to."""
        if self._last is None:
            self._followed.wait(monotonic_s - self._followed.monotonic())
            return
        woken = threading.Event()
        self._sleep(monotonic_s, woken.set)
        woken.wait()

    def queue(self) -> "Queue":
        return Queue(self)

    def pool(self, threads: int, name: str) -> "Pool":
        return Pool(self, threads, name)

    def _reading(self) -> Reading | None:
        """A frame may be here before the word that it belongs to: who reads it waits for that moment."""
        if self._is_passing and threading.get_ident() != self._core:
            with self._moved:
                self._moved.wait_for(lambda: not self._is_passing)
        return self._last

    # --- the core ---

    def begin(self) -> None:
        """From here on time waits for this process."""
        if self._last is not None:
            return
        self._core = threading.get_ident()
        self._last = self._followed.idle_until(0.0, NAME)

    def end(self) -> None:
        """Time passes without us again; whoever waits here goes on as if it had come."""
        if self._last is None:
            return
        self._followed.leave(NAME)
        with self._moved:
            self._last = None
            waiting, self._sleepers = self._sleepers, []
            for _, _, wake in waiting:
                wake()
            for turn in self._ready:
                turn.go.release()
            self._ready.clear()

    def settle(self) -> None:
        """Every piece of work that may run has run, as far as it can at this moment."""
        while (turn := self._next()) is not None:
            turn.go.release()
            with self._moved:
                while not self._moved.wait_for(lambda: turn.state is not Is.RUNNING, HANGS_S):
                    if self._followed.read().held > len(self._held):
                        turn.state = Is.HELD
                        self._held.append(turn)

    def pass_until(self, deadline_s: float, heard: Mapping[int, int]) -> Mapping[int, int]:
        """Idle until then, or until something happens; frames that were sent, by port."""
        assert self._last is not None
        with self._moved:
            outstanding = len(self._held)
            until_s = min([deadline_s, *(due_s for due_s, _, _ in self._sleepers[:1])])
        # A deadline between two microseconds must not be asked for again and again.
        until_s = max(until_s, self._last.monotonic_s + 1e-6)
        last = self._pass(until_s, outstanding, heard)
        with self._moved:
            self._moved.wait_for(lambda: len(self._held) <= last.held)
            while self._sleepers and self._sleepers[0][0] <= last.monotonic_s:
                heapq.heappop(self._sleepers)[2]()
        return last.sent

    def _pass(self, until_s: float, outstanding: int, heard: Mapping[int, int]) -> Reading:
        self._is_passing = True
        try:
            self._last = last = self._followed.idle_until(until_s, NAME, outstanding, heard)
            return last
        finally:
            with self._moved:
                self._is_passing = False
                self._moved.notify_all()

    def stir(self) -> None:
        """A stranger has moved."""
        with self._moved:
            self._moved.notify_all()

    def until(self, is_so: Callable[[], bool]) -> bool:
        """Waits for a stranger, by this machine's clock; whether it is so."""
        with self._moved:
            return self._moved.wait_for(is_so, LOOK_S)

    def _next(self) -> Turn | None:
        with self._moved:
            if not self._ready:
                return None
            turn = self._ready.popleft()
            turn.state = Is.RUNNING
            return turn

    # --- a turn's own thread ---

    def new_turn(self) -> Turn:
        with self._moved:
            turn = Turn()
            self._may_run(turn)
            return turn

    def run(self, turn: Turn, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._of_thread.turn = turn
        turn.go.acquire()
        try:
            work(*args)
        finally:
            self._of_thread.turn = None

    def over(self, turn: Turn) -> None:
        self._rest(turn, Is.OVER)

    def stand(self, line: "list[Turn]") -> bool:
        """In that queue until somebody says that it has moved; False: this thread has no turn."""
        turn: Turn | None = getattr(self._of_thread, "turn", None)
        if turn is None or self._last is None:
            return False
        line.append(turn)
        return True

    def stood(self) -> None:
        self._pass_on(self._of_thread.turn)

    def let_go(self, line: "list[Turn]") -> None:
        with self._moved:
            for turn in line:
                self._may_run(turn)
        line.clear()

    def _pass_on(self, turn: Turn) -> None:
        """Until it has the turn again."""
        self._rest(turn, Is.WAITING)
        turn.go.acquire()

    def _rest(self, turn: Turn, state: Is) -> None:
        with self._moved:
            if turn.state is Is.HELD:
                self._held.remove(turn)
            if turn.state is not Is.READY:  # woken before it slept
                turn.state = state
            self._moved.notify_all()

    def _may_run(self, turn: Turn) -> None:
        turn.state = Is.READY
        if self._last is None:
            turn.go.release()
        else:
            self._ready.append(turn)

    def _sleep(self, due_s: float, wake: Callable[[], object]) -> None:
        with self._moved:
            if self._last is None or self._last.monotonic_s >= due_s:  # ended meanwhile, or over already
                wake()
            else:
                heapq.heappush(self._sleepers, (due_s, next(self._serial), wake))


class Queue(threading.Condition):
    """Whose waiting threads pass their turn on."""

    def __init__(self, step: LockStep) -> None:
        super().__init__()
        self._step = step
        self._line: list[Turn] = []

    def wait(self, timeout: float | None = None) -> bool:
        if not self._step.stand(self._line):
            return super().wait(timeout)
        self.release()
        try:
            self._step.stood()
        finally:
            self.acquire()
        return True

    def notify_all(self) -> None:
        self._step.let_go(self._line)
        super().notify_all()


class Pool:
    """As many pieces of work at once as it has threads, begun in the order in which they came."""

    def __init__(self, step: LockStep, threads: int, name: str) -> None:
        self._step = step
        self._threads = ThreadPoolExecutor(threads, name)
        self._lock = threading.Lock()
        self._free = threads
        self._queued: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def submit(self, work: Callable[..., None], /, *args: Any) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                self._begin(work, args)
            else:
                self._queued.append((work, args))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            if cancel_futures:
                self._queued.clear()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)

    def _begin(self, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._threads.submit(self._run, self._step.new_turn(), work, args)

    def _run(self, turn: Turn, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        try:
            self._step.run(turn, work, args)
        finally:
            with self._lock:
                if self._queued:
                    self._begin(*self._queued.popleft())
                else:
                    self._free += 1
            self._step.over(turn)
