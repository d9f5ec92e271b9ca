"""How does the loop of a session wait, and for what? For the next event, and for the time of day.

By this machine's clock, or by one at a rate, the loop sleeps until something comes, a quarter of a second
at most. In lock-step (lock_step.py) it says until when it has nothing to do, and a whole day passes as fast
as the machine allows, with the same events in the same order each time.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeVar

from clock import Clock
from kite.inbox import Inbox
from lock_step import LockStep
from session import Session
from session_end import Outcome
from session_events import SessionEvent
from workers import Pool

T = TypeVar("T")
TAKE_MOST_S = 0.25  # of this machine, between looks


class Stream(Protocol):
    """kite.ticker.Ticker."""

    moved: Callable[[], object]

    @property
    def heard(self) -> dict[int, int]: ...
    @property
    def due_s(self) -> float: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Paced(Protocol):
    """trading_wiring.Running."""

    @property
    def session(self) -> Session: ...
    @property
    def inbox(self) -> Inbox[SessionEvent]: ...
    @property
    def ticker(self) -> Stream: ...
    @property
    def pace_s(self) -> float: ...


def paced(clock: Clock) -> Clock:
    """The clock for a process of several threads that share it."""
    from followed_clock import FollowedClock

    return LockStep(clock) if isinstance(clock, FollowedClock) and rate_of(clock) == 0 else clock


def pool_on(clock: Clock) -> Callable[[int, str], Pool]:
    return clock.pool if isinstance(clock, LockStep) else ThreadPoolExecutor


def rate_of(clock: Clock) -> float:
    """How fast the time runs that is followed; 1 for this machine's own, 0 in lock-step."""
    return float(getattr(clock, "rate", 1.0))


@contextmanager
def streaming(ticker: Stream, clock: Clock) -> Iterator[None]:
    """The stream runs; in lock-step time waits for us from its first moment to its last."""
    with ExitStack() as held:
        if isinstance(clock, LockStep):
            ticker.moved = clock.stir
        held.callback(ticker.stop)
        held.enter_context(_in_step(clock))
        ticker.start()
        yield


@contextmanager
def _in_step(clock: Clock) -> Iterator[None]:
    """Whoever waits is let go at the end: the ticker could not be stopped in a time that nobody moves."""
    if isinstance(clock, LockStep):
        clock.begin()
    try:
        yield
    finally:
        if isinstance(clock, LockStep):
            clock.end()


def until_over(made: Paced, clock: Clock) -> Outcome:
    """The loop: whatever comes, and a look at the time."""
    session = made.session
    with _in_step(clock):
        session.begin()
        while session.outcome is None:
            event = _next(made, clock)
            if event is not None:
                session.on(event)
            session.look()
    return session.outcome


def _next(made: Paced, clock: Clock) -> SessionEvent | None:
    if isinstance(clock, LockStep):
        return next_in_step(made.ticker, made.inbox, clock, made.session.next_look_s)
    return made.inbox.take(min(TAKE_MOST_S, made.pace_s / max(1.0, rate_of(clock))))


def next_in_step(ticker: Stream, inbox: Inbox[T], clock: LockStep, until_s: float) -> T | None:
    """What is there already, or time passes. What was heard is read first: all of it is in the inbox then."""
    clock.settle()
    due_s, heard = ticker.due_s, ticker.heard
    event = inbox.take(0.0)
    if event is not None:
        return event
    if due_s <= clock.monotonic():
        clock.until(lambda: ticker.due_s > clock.monotonic())
        return None
    sent = clock.pass_until(min(due_s, until_s), heard)
    while not clock.until(lambda: _has_heard(ticker.heard, sent)):
        pass
    return None


def _has_heard(heard: dict[int, int], sent: Mapping[int, int]) -> bool:
    """Or its connection is another one by now."""
    return all(port not in heard or 0 <= frames <= heard[port] for port, frames in sent.items())
