"""The exchange's time: at a rate, and in lock-step with who follows it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from exchange.pacing import Idle, Pacing
from rulebook.hours import IST

NINE = datetime(2026, 11, 20, 9, 0, tzinfo=IST)


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


class Floor:
    """Something with events of its own, at seconds after nine."""

    def __init__(self, *events_s: float) -> None:
        self.now = NINE
        self._events = [NINE + seconds(n) for n in events_s]
        self.seen: list[float] = []

    def next_at(self) -> datetime | None:
        return next((event for event in self._events if event > self.now), None)

    def advance(self, to: datetime) -> None:
        assert to >= self.now, "time does not run backwards"
        self.seen += [(e - NINE).total_seconds() for e in self._events if self.now < e <= to]
        self.now = to


class Streams:
    """What was sent on each port; a frame goes out at each moment in `frames_at`."""

    def __init__(self, floor: Floor, *frames_at_s: float) -> None:
        self._floor = floor
        self._frames_at = [NINE + seconds(n) for n in frames_at_s]
        self.sent = 0

    def next_due(self) -> datetime | None:
        return min(self._frames_at, default=None)

    def flush(self) -> None:
        due = [at for at in self._frames_at if at <= self._floor.now]
        self._frames_at = [at for at in self._frames_at if at > self._floor.now]
        self.sent += len(due)

    def frames_sent(self, port: int) -> int:
        return self.sent if port == 1 else -1


class Follower:
    """Says until when it is idle, and counts how often it was woken."""

    def __init__(self, pacing: Pacing, name: str | None) -> None:
        self._pacing = pacing
        self._name = name
        self.woken = 0

    def idle(self, until_s: float, outstanding: int = 0, heard: int | None = None) -> Idle:
        ports = {} if heard is None else {1: heard}
        word = Idle(NINE + seconds(until_s), self._wake, self._name, outstanding, ports)
        self._pacing.idle(word)
        return word

    def _wake(self) -> None:
        self.woken += 1


def lock_step(floor: Floor, streams: Streams | None = None) -> Pacing:
    return Pacing(floor, streams or Streams(floor), rate=None, wall_s=100.0)


def now_s(floor: Floor) -> float:
    return (floor.now - NINE).total_seconds()


def test_at_a_rate_time_follows_the_wall_clock():
    floor = Floor(1, 2, 30, 90)
    pacing = Pacing(floor, Streams(floor), rate=60.0, wall_s=100.0)

    pacing.catch_up(101.0)

    assert 60.0 == now_s(floor)
    assert [1, 2, 30] == floor.seen
    assert pytest.approx(0.5) == pacing.wall_seconds_to_next(101.0)


def test_a_new_rate_counts_from_the_moment_it_is_set():
    floor = Floor()
    pacing = Pacing(floor, Streams(floor), rate=1.0, wall_s=100.0)
    pacing.catch_up(110.0)

    pacing.set_rate(10.0, 110.0)
    pacing.catch_up(111.0)

    assert 20.0 == now_s(floor)


def test_in_lock_step_time_stands_still_until_somebody_waits():
    floor = Floor(1, 2)
    pacing = lock_step(floor)

    pacing.catch_up(500.0)

    assert 0.0 == now_s(floor)
    assert pacing.wall_seconds_to_next(500.0) is None


def test_time_moves_through_every_event_to_the_earliest_word():
    floor = Floor(1, 2, 30)
    pacing = lock_step(floor)
    first, second = Follower(pacing, "first"), Follower(pacing, "second")
    first.idle(10)
    second.idle(5)

    pacing.catch_up(0.0)

    assert 5.0 == now_s(floor)
    assert [1, 2] == floor.seen
    assert (0, 1) == (first.woken, second.woken)


def test_a_busy_follower_holds_time_up():
    floor = Floor(1)
    pacing = lock_step(floor)
    first, second = Follower(pacing, "first"), Follower(pacing, "second")
    first.idle(10)
    second.idle(5)
    pacing.catch_up(0.0)
    pacing.catch_up(0.0)

    assert 5.0 == now_s(floor)

    second.idle(20)
    pacing.catch_up(0.0)

    assert 10.0 == now_s(floor)


def test_a_follower_that_was_sent_a_frame_is_idle_again_only_when_it_has_heard_it():
    floor = Floor()
    streams = Streams(floor, 3, 4)
    pacing = lock_step(floor, streams)
    follower = Follower(pacing, "trader")
    follower.idle(10, heard=0)

    pacing.catch_up(0.0)

    assert 3.0 == now_s(floor)

    follower.idle(10, heard=1)
    pacing.catch_up(0.0)

    assert 4.0 == now_s(floor)

    follower.idle(10, heard=2)
    pacing.catch_up(0.0)

    assert 10.0 == now_s(floor)
    assert 3 == follower.woken


def test_a_follower_is_woken_for_each_frame_that_it_has_not_heard_also_one_sent_before_its_word():
    floor = Floor()
    streams = Streams(floor, 3, 4)
    pacing = lock_step(floor, streams)
    follower = Follower(pacing, "trader")
    follower.idle(10, heard=0)
    pacing.catch_up(0.0)

    assert (3.0, 1) == (now_s(floor), follower.woken)

    follower.idle(10, heard=0)
    pacing.catch_up(0.0)

    assert (3.0, 2) == (now_s(floor), follower.woken)
    assert {1: 1, 2: -1} == pacing.sent([1, 2])


def test_a_follower_is_woken_when_an_answer_that_it_waits_for_goes_out():
    floor = Floor()
    pacing = lock_step(floor)
    follower = Follower(pacing, "trader")
    pacing.later(NINE + seconds(3), lambda: None)
    follower.idle(10, outstanding=1)
    pacing.catch_up(0.0)

    assert (3.0, 1) == (now_s(floor), follower.woken)


def test_time_waits_for_a_request_that_is_on_its_way():
    floor = Floor()
    pacing = lock_step(floor)
    follower = Follower(pacing, "trader")
    follower.idle(10, outstanding=1)

    pacing.catch_up(0.0)

    assert 0.0 == now_s(floor)


def test_a_held_answer_comes_at_its_moment_while_its_follower_waits():
    floor = Floor()
    pacing = lock_step(floor)
    follower = Follower(pacing, "trader")
    delivered: list[float] = []
    pacing.later(NINE + seconds(3), lambda: delivered.append(now_s(floor)))
    follower.idle(10, outstanding=1)

    pacing.catch_up(0.0)

    assert [3.0] == delivered
    assert 3.0 == now_s(floor)

    follower.idle(10)
    pacing.catch_up(0.0)

    assert 10.0 == now_s(floor)


def test_who_only_waits_holds_nothing_up_while_it_works():
    floor = Floor(1)
    pacing = lock_step(floor)
    passer_by, follower = Follower(pacing, None), Follower(pacing, "trader")
    passer_by.idle(2)
    follower.idle(10)

    pacing.catch_up(0.0)

    assert 10.0 == now_s(floor)
    assert (1, 1) == (passer_by.woken, follower.woken)


def test_a_moment_that_is_past_wakes_at_once_though_another_is_busy():
    floor = Floor()
    pacing = lock_step(floor)
    busy, late = Follower(pacing, "busy"), Follower(pacing, "late")
    busy.idle(0)
    late.idle(0)

    assert (1, 1) == (busy.woken, late.woken)

    late.idle(5)
    pacing.catch_up(0.0)

    assert 0.0 == now_s(floor)


def test_a_follower_that_dies_at_work_holds_nothing_up():
    floor = Floor()
    pacing = lock_step(floor)
    dying, follower = Follower(pacing, "dying"), Follower(pacing, "trader")
    word = dying.idle(1)
    follower.idle(10)
    pacing.catch_up(0.0)
    pacing.gone(word)
    pacing.catch_up(0.0)

    assert 10.0 == now_s(floor)


@pytest.mark.parametrize("end", ["leaves", "hangs up"])
def test_a_follower_that_ends_holds_nothing_up(end):
    floor = Floor()
    pacing = lock_step(floor)
    gone, follower = Follower(pacing, "gone"), Follower(pacing, "trader")
    word = gone.idle(1)
    follower.idle(10)
    pacing.catch_up(0.0)

    assert 1.0 == now_s(floor)

    ended: Callable[[], None] = (
        (lambda: pacing.leave("gone")) if end == "leaves" else (lambda: pacing.gone(gone.idle(99)))
    )
    ended()
    pacing.catch_up(0.0)

    assert 10.0 == now_s(floor)
    assert word.name not in pacing.followers


def test_the_control_address_moves_time_whoever_is_busy():
    floor = Floor(1, 2, 3)
    pacing = lock_step(floor)
    follower = Follower(pacing, "trader")
    follower.idle(2)

    pacing.move_to(NINE + seconds(2.5))

    assert 2.5 == now_s(floor)
    assert [1, 2] == floor.seen
    assert 1 == follower.woken
