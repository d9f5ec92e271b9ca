"""Threads of one process in a time that stands still: turns, queues, held answers, and a stream that breaks."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from random import Random
from typing import Any

import pytest
import requests

from followed_clock import FollowedClock
from kite.feed import Connected, Disconnected, Feed, News, Ticked
from kite.inbox import Inbox
from kite.rates import Kind, Limit, Rates
from kite.ticker import Ticker
from lock_step import LockStep
from pace import next_in_step, rate_of
from tests.local_exchange import ANSWER_S, Running, local_exchange

INFY = 408065


@pytest.fixture
def running() -> Iterator[Running]:
    with local_exchange("--symbols", "5") as running:
        yield running


@contextmanager
def stepping(running: Running) -> Iterator[LockStep]:
    with closing(FollowedClock(running.ready["clock_url"])) as followed:
        step = LockStep(followed)
        step.begin()
        try:
            yield step
        finally:
            step.end()


def pass_until(step: LockStep, over_s: float) -> None:
    """The loop of a core that hears no stream."""
    while step.monotonic() < over_s:
        step.settle()
        step.pass_until(over_s, {})
    step.settle()


def test_work_waits_in_turns_and_wakes_at_its_own_moment(running):
    done: list[tuple[str, float]] = []

    def work(name: str, *waits_s: float) -> None:
        for wait_s in waits_s:
            step.wait(wait_s)
            done.append((name, round(step.monotonic(), 3)))

    with stepping(running) as step:
        pool = step.pool(3, "turns")
        pool.submit(work, "slow", 5.0, 5.0)
        pool.submit(work, "fast", 2.0, 2.0, 2.0)
        pool.submit(work, "same", 4.0)
        pass_until(step, 20.0)

    assert [("fast", 2.0), ("same", 4.0), ("fast", 4.0), ("slow", 5.0), ("fast", 6.0), ("slow", 10.0)] == done


def test_a_pool_begins_no_more_than_it_has_threads_for(running):
    done: list[tuple[int, float]] = []

    def work(n: int) -> None:
        step.wait(1.0)
        done.append((n, step.monotonic()))

    with stepping(running) as step:
        pool = step.pool(2, "two")
        for n in range(5):
            pool.submit(work, n)
        pass_until(step, 5.0)

    assert [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0), (4, 3.0)] == done


def test_whoever_stands_in_the_line_of_a_limit_holds_no_time_up(running, tmp_path):
    """One thread waits on the clock, the others for it; who is urgent is still the next to go."""
    gone: list[tuple[str, float]] = []

    def ask(name: str, urgent: bool) -> None:
        rates.take(Kind.ORDERS, urgent=urgent)
        gone.append((name, step.monotonic()))

    with stepping(running) as step:
        rates = Rates(tmp_path, step, {Kind.ORDERS: Limit(1)})
        pool = step.pool(4, "orders")
        for name in ("first", "second", "third"):
            pool.submit(ask, name, False)
        pool.submit(ask, "urgent", True)
        pass_until(step, 10.0)

    assert [("first", 0.0), ("urgent", 1.0), ("second", 2.0), ("third", 3.0)] == gone


def test_an_answer_that_is_held_back_lets_time_pass_until_its_moment(running):
    running.break_with("slow", count=1, value=3_000, where="GET /user/profile")
    answered: list[float] = []

    def ask() -> None:
        requests.get(f"{running.ready['kite_api_url']}/user/profile", timeout=ANSWER_S)
        answered.append(step.monotonic())
        step.wait(1.0)
        answered.append(step.monotonic())

    with stepping(running) as step:
        step.pool(1, "reads").submit(ask)
        pass_until(step, 10.0)

    assert [3.0, 4.0] == answered


def test_whoever_waits_when_it_ends_goes_on(running):
    over = threading.Event()

    def wait_long() -> None:
        step.wait(3_600.0)
        over.set()

    with stepping(running) as step:
        pool = step.pool(1, "reads")
        pool.submit(wait_long)
        step.settle()

    assert over.wait(ANSWER_S)

    after = threading.Event()
    pool.submit(after.set)

    assert after.wait(ANSWER_S)


def test_before_and_after_it_is_the_clock_itself(running):
    with closing(FollowedClock(running.ready["clock_url"])) as followed:
        step = LockStep(followed)
        step.wait(5.0)

        assert 5.0 == step.monotonic() == followed.monotonic()
        assert 0.0 == rate_of(followed)

        step.begin()
        step.end()
        running.pass_seconds(10)

        assert 15.0 == step.monotonic()


# --- a stream, as the loop of a session follows it ----------------------------------------------------------


class Following:
    """A loop that hears a stream, as pace.py's does, and notes what it heard when."""

    def __init__(self, running: Running, step: LockStep) -> None:
        token = running.logged_in().access_token
        self.inbox: Inbox[News] = Inbox()
        feed = Feed()
        feed.want([INFY])
        ready = running.ready
        self.ticker = Ticker(
            ready["kite_ws_url"], ready["api_key"], lambda: token, feed, step, Random(1), self.inbox
        )
        self.ticker.moved = step.stir
        self._step = step
        self.heard: list[tuple[float, str]] = []

    def until(self, over_s: float) -> None:
        step, ticker = self._step, self.ticker
        while step.monotonic() < over_s:
            event = next_in_step(ticker, self.inbox, step, over_s)
            if event is not None:
                self.heard.append((round(step.monotonic(), 3), type(event).__name__))


def follow(running: Running, over_s: float, *faults: dict[str, Any]) -> list[tuple[float, str]]:
    for fault in faults:
        running.break_with(**fault)
    with stepping(running) as step:
        following = Following(running, step)
        following.ticker.start()
        try:
            following.until(over_s)
        finally:
            step.end()
            following.ticker.stop()
    return following.heard


def test_a_stream_is_heard_at_its_own_moments_each_time():
    """However long this machine takes between two frames."""
    days = []
    for _ in range(2):
        with local_exchange("--symbols", "5") as running:
            days.append(follow(running, 60.0))

    assert days[0] == days[1]
    assert (0.0, Connected.__name__) == days[0][0]
    assert len([1 for _, what in days[0] if what == Ticked.__name__]) > 20


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "ws_close", "count": 1, "after": "2026-11-20T09:20:10+05:30"},
        {"name": "ws_stall", "count": 1, "value": 30_000, "after": "2026-11-20T09:20:10+05:30"},
        {"name": "ws_refused", "count": 1, "value": 429},
    ],
    ids=lambda fault: fault["name"],
)
def test_a_stream_that_breaks_comes_back_and_time_goes_on(running, fault):
    found = follow(running, 60.0, fault)
    kinds = [what for _, what in found]
    gone = kinds.index(Disconnected.__name__)

    assert Connected.__name__ in kinds[gone:]
    assert Ticked.__name__ in kinds[gone:]
