"""Do ticks become the bars that were traded, and bars a path that never flatters?"""

from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rulebook.bars import (
    ATR_BARS,
    MINUTES,
    BarBuilder,
    adverse_first,
    bar_start,
    is_warm,
    nearest_first,
    next_atr,
    path,
    point_second,
    true_range,
)
from rulebook.hours import IST
from rulebook.records import Bar, Paise, Tick

DAY = date(2026, 11, 23)
EXAMPLES = settings(max_examples=100, deadline=None)


def at(clock: str) -> datetime:
    return datetime.combine(DAY, time.fromisoformat(clock), IST)


OPEN = at("09:15")


# --- true range and its average -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("high", "low", "last_close", "range_"),
    [
        (110, 100, 105, 10),  # within the bar
        (110, 100, 90, 20),  # up from the last close
        (110, 100, 120, 20),  # down from it
        (110, 100, 100, 10),
        (110, 100, 110, 10),
        (110, 100, 0, 10),  # the session's first bar: the night's gap is no risk of ours
        (100, 100, 100, 0),
        (100, 100, 103, 3),
    ],
)
def test_the_true_range_counts_a_gap_within_the_session_only(high, low, last_close, range_):
    assert range_ == true_range(high, low, last_close)


@EXAMPLES
@given(st.integers(1, 10**6), st.integers(0, 10**5), st.integers(1, 10**6))
def test_the_true_range_is_the_largest_of_the_textbook_s_three(low, size, last_close):
    high = low + size

    assert max(high - low, abs(high - last_close), abs(low - last_close)) == true_range(high, low, last_close)


def averages(ranges: list[int]) -> list[int]:
    found = [0]
    for count, range_ in enumerate(ranges):
        found.append(next_atr(found[-1], count, range_))
    return found[1:]


@pytest.mark.parametrize(
    ("ranges", "milli"),
    [
        ([7], 7_000),
        ([7, 8], 7_500),
        ([1, 1, 2], 1_333),  # rounded down
        ([1, 1, 2, 1], 1_249),  # at each step: 1,250 less what was lost
        ([10] * 14, 10_000),
        ([*range(0, 28, 2)], 13_000),  # a plain mean of 14
        ([10] * 14 + [24], 11_000),  # 13/14 of the old, 1/14 of the new
        ([10] * 14 + [24, 11], 11_000),
        ([10] * 13 + [24], 11_000),  # the fourteenth still counts as one of 14
        ([0] * 20, 0),
    ],
)
def test_the_average_range_is_a_mean_of_14_and_then_wilder_s(ranges, milli):
    assert milli == averages(ranges)[-1]


@EXAMPLES
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
@example([0, 1] * 60)
def test_the_average_in_integers_is_wilder_s_to_a_thousandth_of_a_paisa_a_step(ranges):
    exact = Fraction(0)
    for count, (range_, ours) in enumerate(zip(ranges, averages(ranges), strict=True)):
        weight = min(count, ATR_BARS - 1)
        exact = (weight * exact + 1_000 * range_) / (weight + 1)
        steps = min(count + 1, ATR_BARS)  # an old error fades as an old range does

        assert 0 <= exact - ours < steps


@EXAMPLES
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
def test_the_average_in_integers_is_that_of_floats(ranges):
    average = 0.0
    for count, (range_, ours) in enumerate(zip(ranges, averages(ranges), strict=True)):
        weight = min(count, 13)
        average += (range_ - average) / (weight + 1)

        assert ours / 1_000 == pytest.approx(average, abs=0.001 * (weight + 1) + 1e-6)


@EXAMPLES
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
def test_the_average_lies_between_the_least_and_the_largest_range(ranges):
    slack = ATR_BARS  # of rounding down

    assert all(1_000 * min(ranges) - slack < each <= 1_000 * max(ranges) for each in averages(ranges))


@pytest.mark.parametrize(("count", "warm"), [(0, False), (13, False), (14, True), (15, True)])
def test_an_average_is_warm_after_14_bars(count, warm):
    assert warm is is_warm(count)
    assert 14 == ATR_BARS


# --- a bar to its path ----------------------------------------------------------------------------------


def bar(open_: int, high: int, low: int, close: int, opened_at: datetime = OPEN) -> Bar:
    return Bar("INFY", opened_at, Paise(open_), Paise(high), Paise(low), Paise(close), 1_000)


@pytest.mark.parametrize(
    ("sign", "prices"),
    [
        (1, [100, 90, 115, 105]),  # a long: first what hurts
        (-1, [100, 115, 90, 105]),  # a short: the other way round
        (0, [100, 90, 115, 105]),  # nobody: the nearer extreme, here the low
    ],
)
def test_a_bar_s_path_hurts_a_position_first(sign, prices):
    ticks = list(path(bar(100, 115, 90, 105), 300, sign))

    assert prices == [tick.price for tick in ticks]
    assert [at(clock) for clock in ("09:15:00", "09:16:40", "09:18:20", "09:19:59")] == [
        tick.at for tick in ticks
    ]
    assert {"INFY"} == {tick.ticker for tick in ticks}


def test_a_bar_s_path_is_that_of_nobody_unless_told():
    assert list(path(bar(100, 105, 90, 95), 60, 0)) == list(path(bar(100, 105, 90, 95), 60))
    assert [100, 105, 90, 95] == [tick.price for tick in path(bar(100, 105, 90, 95), 60)]


@pytest.mark.parametrize(
    ("open_", "order"),
    [(91, (90, 114)), (101, (90, 114)), (102, (90, 114)), (103, (114, 90)), (113, (114, 90))],
)
def test_the_nearer_extreme_comes_first_and_of_equals_the_low(open_, order):
    assert order == nearest_first(open_, 114, 90)


def test_the_adverse_extreme_of_a_long_is_the_low_and_of_a_short_the_high():
    assert (90, 115) == adverse_first(1, 115, 90)
    assert (115, 90) == adverse_first(-1, 115, 90)


@pytest.mark.parametrize(
    ("length_s", "seconds"),
    [
        (60, [0, 20, 40, 59]),
        (300, [0, 100, 200, 299]),
        (100, [0, 33, 66, 99]),
        (1, [0, 0, 0, 0]),
        (2, [0, 0, 1, 1]),
    ],
)
def test_the_points_of_a_bar_are_traded_at_its_thirds_and_a_second_before_its_end(length_s, seconds):
    assert seconds == [point_second(point, length_s) for point in range(4)]


@given(st.integers(1, 100_000))
@settings(max_examples=200, deadline=None)
def test_no_point_is_traded_at_the_bar_s_end_or_before_the_one_before_it(length_s):
    seconds = [point_second(point, length_s) for point in range(4)]

    assert 0 == seconds[0]
    assert sorted(seconds) == seconds
    assert seconds[-1] < length_s


# --- ticks to bars ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "minutes", "start"),
    [
        ("09:15:00", 5, "09:15"),
        ("09:19:59.999999", 5, "09:15"),
        ("09:20:00", 5, "09:20"),  # the boundary begins the next bar
        ("09:15:59", 1, "09:15"),
        ("09:59:59", 60, "09:15"),  # hours count from the session's open, not from the clock's
        ("10:14:59", 60, "09:15"),
        ("10:15:00", 60, "10:15"),
        ("15:29:59", 60, "15:15"),
        ("15:29:59", 15, "15:15"),
        ("15:29:59", 24 * 60, "09:15"),
        ("09:14:59", 5, "09:10"),  # before the session: a bar of its own, not the first
        ("09:18:00", 3, "09:18"),
    ],
)
def test_a_moment_belongs_to_the_bar_that_counts_from_the_session_s_open(clock, minutes, start):
    assert at(start) == bar_start(at(clock), minutes, OPEN)


def test_bars_of_a_late_session_count_from_its_own_open():
    """Muhurat trading begins when it is told to."""
    assert at("18:17") == bar_start(at("18:21:59"), 5, at("18:17"))


def test_a_naive_moment_belongs_to_no_bar():
    with pytest.raises(AssertionError):
        bar_start(datetime(2026, 11, 23, 9, 20), 5, OPEN)  # noqa: DTZ001
    with pytest.raises(AssertionError):
        BarBuilder("INFY", 5, datetime(2026, 11, 23, 9, 15))  # noqa: DTZ001


def test_the_timeframes_are_those_of_the_settings():
    assert {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "1h": 60, "1d": 1_440} == MINUTES


def tick(clock: str, price: int, volume_today: int = 0, ticker: str = "INFY") -> Tick:
    return Tick(ticker, at(clock), Paise(price), volume_today=volume_today)


def candle(clock: str, open_: int, high: int, low: int, close: int, volume: int) -> Bar:
    return Bar("INFY", at(clock), Paise(open_), Paise(high), Paise(low), Paise(close), volume)


def built(*ticks: Tick, minutes: int = 5) -> tuple[BarBuilder, list[Bar]]:
    builder = BarBuilder("INFY", minutes, OPEN)
    closed = [builder.add(each) for each in ticks]
    return builder, [each for each in closed if each is not None]


def test_ticks_become_a_candle_that_the_next_bar_s_tick_closes():
    builder, bars = built(
        tick("09:15:01", 100, 10), tick("09:16", 107, 30), tick("09:17", 95, 60), tick("09:19:59", 101, 80),
        tick("09:20:00", 102, 90),
    )  # fmt: skip

    assert [candle("09:15", 100, 107, 95, 101, 80)] == bars
    assert candle("09:20", 102, 102, 102, 102, 10) == builder.close(at("09:25"))
    assert 0 == builder.late


def test_a_quiet_ticker_s_bar_is_closed_by_the_clock_and_only_at_its_end():
    builder, _ = built(tick("09:16", 100, 10))

    assert builder.close(at("09:19:59")) is None
    assert candle("09:15", 100, 100, 100, 100, 10) == builder.close(at("09:20"))
    assert builder.close(at("09:20")) is None
    assert builder.close(at("09:25")) is None


def test_a_bar_that_is_closed_a_second_after_its_end_is_the_same():
    """The base timeframe's bar is closed at the boundary plus one second."""
    builder, _ = built(tick("09:16", 100, 10))

    assert candle("09:15", 100, 100, 100, 100, 10) == builder.close(at("09:20:01"))
    assert builder.add(tick("09:20:00.5", 101, 12)) is None
    assert 0 == builder.late
    assert candle("09:20", 101, 101, 101, 101, 2) == builder.close(at("09:25:01"))


def test_bars_without_a_trade_are_left_out_and_invented_by_nobody():
    builder, bars = built(tick("09:16", 100, 10), tick("09:41", 103, 25))

    assert [candle("09:15", 100, 100, 100, 100, 10)] == bars
    assert candle("09:40", 103, 103, 103, 103, 15) == builder.close(at("09:45"))


def test_a_total_that_steps_back_takes_no_volume_away():
    builder, bars = built(
        tick("09:16", 100, 1_000), tick("09:17", 100, 900), tick("09:18", 100, 1_050),
        tick("09:21", 100, 1_020), tick("09:22", 100, 1_080), tick("09:26", 100, 1_080),
    )  # fmt: skip

    assert [1_050, 30] == [bar.volume for bar in bars]
    assert 0 == builder.close(at("09:30")).volume  # type: ignore[union-attr]


def test_a_late_tick_is_counted_and_belongs_to_the_bar_in_progress():
    builder, bars = built(tick("09:16", 100, 10), tick("09:20", 101, 20), tick("09:19:59", 90, 25))

    assert 1 == builder.late
    assert [candle("09:15", 100, 100, 100, 100, 10)] == bars
    assert candle("09:20", 101, 101, 90, 90, 15) == builder.close(at("09:25"))


def test_a_late_tick_after_the_clock_closed_its_bar_opens_the_next():
    builder, _ = built(tick("09:16", 100, 10))
    builder.close(at("09:20"))

    assert builder.add(tick("09:19:59", 99, 12)) is None
    assert 1 == builder.late
    assert candle("09:20", 99, 99, 99, 99, 2) == builder.close(at("09:25"))


def test_a_tick_older_than_the_bar_in_progress_is_late_even_where_no_bar_was_closed():
    builder, bars = built(tick("09:31", 100, 10), tick("09:16", 90, 12))

    assert 1 == builder.late
    assert [] == bars
    assert candle("09:30", 100, 100, 90, 90, 12) == builder.close(at("09:35"))


def test_the_clock_closes_bars_without_a_tick_for_good():
    """The boundaries of 09:25 and 09:30 have passed without a bar: a straggler cannot make one of them now."""
    builder, _ = built(tick("09:16", 100, 10))
    for boundary in ("09:20", "09:25", "09:30"):
        builder.close(at(boundary))

    assert builder.add(tick("09:24", 99, 12)) is None
    assert 1 == builder.late
    assert candle("09:30", 99, 99, 99, 99, 2) == builder.close(at("09:35"))


def test_a_boundary_told_again_opens_nothing_that_is_closed():
    builder, _ = built(tick("09:16", 100, 10))
    for boundary in ("09:30", "09:20", "09:10"):
        builder.close(at(boundary))
    builder.add(tick("09:21", 99, 12))

    assert 1 == builder.late
    assert candle("09:30", 99, 99, 99, 99, 2) == builder.close(at("09:35"))


def test_a_tick_before_the_session_is_late_for_nothing_and_opens_the_first_bar():
    builder, _ = built(tick("09:08", 100, 500), tick("09:15:01", 102, 510))

    assert 1 == builder.late
    assert candle("09:15", 100, 102, 100, 102, 510) == builder.close(at("09:20"))


@pytest.mark.parametrize("clock", ["09:08", "09:16"])
def test_a_session_told_in_another_zone_gives_bars_stamped_in_ist(clock):
    builder = BarBuilder("INFY", 5, OPEN.astimezone(UTC))
    builder.add(tick(clock, 100))
    closed = builder.close(at("09:20"))

    assert closed is not None
    assert (OPEN, IST) == (closed.opened_at, closed.opened_at.tzinfo)


@pytest.mark.parametrize("price", [0, -5])
def test_a_tick_without_a_price_raises_and_changes_nothing(price):
    builder, _ = built(tick("09:16", 100, 10))

    with pytest.raises(ValueError, match=f"price {price} paise"):
        builder.add(tick("09:21", price, 20))

    assert 0 == builder.late
    assert candle("09:15", 100, 100, 100, 100, 10) == builder.add(tick("09:21", 101, 20))


def test_a_builder_is_one_ticker_s():
    with pytest.raises(AssertionError, match="a builder a ticker"):
        built(tick("09:16", 100, ticker="TCS"))


@st.composite
def days_of_ticks(draw):
    """In order, each at its second, with a running total."""
    seconds = sorted(draw(st.lists(st.integers(0, 3_600), min_size=1, max_size=25)))
    prices = draw(st.lists(st.integers(50, 150), min_size=len(seconds), max_size=len(seconds)))
    sold = draw(st.lists(st.integers(0, 50), min_size=len(seconds), max_size=len(seconds)))
    total, ticks = 0, []
    for second, price, qty in zip(seconds, prices, sold, strict=True):
        total += qty
        ticks.append(Tick("INFY", OPEN + timedelta(seconds=second), Paise(price), volume_today=total))
    return ticks


@EXAMPLES
@given(days_of_ticks(), st.sampled_from([1, 3, 5, 15, 60]))
def test_bars_are_the_first_highest_lowest_and_last_of_their_ticks_and_all_of_their_volume(ticks, minutes):
    builder, bars = built(*ticks, minutes=minutes)
    last = builder.close(at("11:15"))
    bars += [last] if last else []
    groups: dict[datetime, list[int]] = {}
    for each in ticks:
        past = int((each.at - OPEN).total_seconds()) // (60 * minutes)
        groups.setdefault(OPEN + timedelta(minutes=past * minutes), []).append(each.price)

    assert 0 == builder.late
    assert [(start, p[0], max(p), min(p), p[-1]) for start, p in groups.items()] == [
        (b.opened_at, b.open, b.high, b.low, b.close) for b in bars
    ]
    assert ticks[-1].volume_today == sum(b.volume for b in bars)


@EXAMPLES
@given(days_of_ticks(), st.randoms(use_true_random=False))
def test_whatever_the_order_of_ticks_bars_come_in_order_and_no_volume_is_counted_twice(ticks, random):
    shuffled = random.sample(ticks, len(ticks))
    builder, bars = built(*shuffled)
    last = builder.close(at("11:15"))
    bars += [last] if last else []
    starts = [b.opened_at for b in bars]

    assert sorted(set(starts)) == starts
    assert max(each.volume_today for each in ticks) == sum(b.volume for b in bars)


@EXAMPLES
@given(days_of_ticks(), st.sampled_from([-1, 0, 1]))
def test_a_bar_walked_as_ticks_is_built_again(ticks, sign):
    _, bars = built(*ticks)
    for each in bars:
        builder, _ = built(*path(each, 300, sign))
        again = builder.close(each.opened_at + timedelta(minutes=5))

        assert again is not None
        assert (each.open, each.high, each.low, each.close) == (
            again.open,
            again.high,
            again.low,
            again.close,
        )
