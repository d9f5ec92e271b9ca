"""The broker's limits hold for every thread and process, and what is urgent finds room."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kite.rates import LIMITS, DayIsSpentError, Kind, Limit, Rates, too_early_s

DAWN = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)


class VirtualClock:
    """Waiting moves it."""

    def __init__(self, start_s: float = 1_000.0) -> None:
        self.s = self.start_s = start_s

    def now(self) -> datetime:
        return DAWN + timedelta(seconds=self.s - self.start_s)

    def monotonic(self) -> float:
        return self.s

    def wait(self, seconds: float) -> None:
        self.s += seconds


def most_in_any(window_s: float, stamps_s: list[float]) -> int:
    return max(sum(start <= s < start + window_s for s in stamps_s) for start in stamps_s)


@given(
    st.lists(st.tuples(st.floats(0, 2), st.booleans()), min_size=1, max_size=80),
    st.integers(1, 6),
    st.integers(0, 3),
)
def test_no_window_ever_holds_more_than_its_number(tmp_path_factory, asks, per_second, kept):
    clock = VirtualClock()
    kept = min(kept, per_second - 1)
    rates = Rates(
        tmp_path_factory.mktemp("rates"),
        clock,
        {Kind.ORDERS: Limit(per_second, per_minute=20, kept_per_second=kept)},
    )
    went: list[float] = []
    for pause_s, urgent in asks:
        clock.wait(pause_s)
        rates.take(Kind.ORDERS, urgent=urgent)
        went.append(clock.s)

    assert most_in_any(1.0, went) <= per_second
    assert most_in_any(60.0, went) <= 20


def test_nothing_waits_longer_than_it_must():
    stamps = [0.0, 0.1, 0.2]

    assert 0.0 >= too_early_s(stamps, 1.0, [(1.0, 3)])
    assert pytest.approx(0.6) == too_early_s(stamps, 0.4, [(1.0, 3)])
    assert 0.0 == too_early_s(stamps, 0.4, [(1.0, 4)])
    assert pytest.approx(59.8) == too_early_s(stamps, 0.2, [(1.0, 4), (60.0, 3)])


def test_what_is_urgent_finds_the_room_that_others_may_not_use(tmp_path):
    clock = VirtualClock()
    rates = Rates(tmp_path, clock, {Kind.ORDERS: Limit(4, kept_per_second=2)})
    for _ in range(2):
        rates.take(Kind.ORDERS)
    began_s = clock.s
    for _ in range(2):
        rates.take(Kind.ORDERS, urgent=True)

    assert began_s == clock.s

    rates.take(Kind.ORDERS)

    assert began_s + 1.0 == clock.s


def test_two_processes_share_one_limit(tmp_path):
    """Two gates on one file, as two processes have them."""
    clock = VirtualClock()
    first, second = (Rates(tmp_path, clock, {Kind.HISTORY: Limit(3)}) for _ in range(2))
    went = []
    for _ in range(6):
        for rates in (first, second):
            rates.take(Kind.HISTORY)
            went.append(clock.s)

    assert 3 == most_in_any(1.0, went)
    assert pytest.approx(3.0) == went[-1] - went[0]


def test_the_day_has_an_end_and_what_is_urgent_a_little_more(tmp_path):
    clock = VirtualClock()
    rates = Rates(tmp_path, clock, {Kind.ORDERS: Limit(100, per_day=5, kept_per_day=2)})
    for _ in range(3):
        rates.take(Kind.ORDERS)

    with pytest.raises(DayIsSpentError, match="3 orders today"):
        rates.take(Kind.ORDERS)

    rates.take(Kind.ORDERS, urgent=True)
    rates.take(Kind.ORDERS, urgent=True)

    with pytest.raises(DayIsSpentError):
        rates.take(Kind.ORDERS, urgent=True)

    clock.wait(86_400)
    rates.take(Kind.ORDERS)


def test_the_count_of_the_day_survives_a_restart(tmp_path):
    clock = VirtualClock()
    limits = {Kind.ORDERS: Limit(100, per_day=2)}
    for _ in range(2):
        Rates(tmp_path, clock, limits).take(Kind.ORDERS)

    with pytest.raises(DayIsSpentError):
        Rates(tmp_path, clock, limits).take(Kind.ORDERS)


def test_stamps_of_an_earlier_boot_hold_nothing_up(tmp_path):
    Rates(tmp_path, VirtualClock(90_000.0), {Kind.QUOTES: Limit(1)}).take(Kind.QUOTES)
    young = VirtualClock(10.0)

    Rates(tmp_path, young, {Kind.QUOTES: Limit(1)}).take(Kind.QUOTES)

    assert 10.0 == young.s


@pytest.mark.parametrize("rubbish", [b"", b"x", b"\xff" * 37, b"\x00" * 8 + b"\xff" * 24])
def test_a_torn_file_counts_as_nothing(tmp_path: Path, rubbish):
    (tmp_path / "quotes.stamps").write_bytes(rubbish)
    clock = VirtualClock()
    rates = Rates(tmp_path, clock, {Kind.QUOTES: Limit(1)})
    began_s = clock.s
    rates.take(Kind.QUOTES)
    rates.take(Kind.QUOTES)

    assert began_s + 1.0 == clock.s


def test_without_a_file_the_process_keeps_its_own_count(tmp_path):
    clock = VirtualClock()
    rates = Rates(tmp_path / "gone", clock, {Kind.ORDERS: Limit(2)})
    (tmp_path / "gone").rmdir()
    began_s = clock.s
    for _ in range(3):
        rates.take(Kind.ORDERS)

    assert began_s + 1.0 == clock.s


def test_the_shipped_limits_leave_head_room_below_the_brokers():
    """kite.md 2: 10 a second, 400 a minute, 5,000 a day; invariant 5 asks for 8 and 200."""
    orders = LIMITS[Kind.ORDERS]

    assert (8, 200) == (orders.per_second, orders.per_minute)
    assert orders.per_day < 5_000
    assert 0 < orders.kept_per_second < 8
    assert (1, 3, 10) == tuple(LIMITS[kind].per_second for kind in (Kind.QUOTES, Kind.HISTORY, Kind.OTHER))
