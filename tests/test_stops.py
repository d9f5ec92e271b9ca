"""Does a stop sit where the text says, only ever tighten, and mean the same for both sides?"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rulebook.stops import (
    MOVES_MOST,
    away,
    better,
    distance,
    half_up,
    initial,
    is_crossed,
    is_hit,
    is_reached,
    is_worth_moving,
    may_move,
    risk,
    target,
    trailed,
    worse,
)

LONG, SHORT = 1, -1
LAW = settings(max_examples=500, deadline=None)
EXAMPLES = settings(max_examples=100, deadline=None)

SIGNS = st.sampled_from([LONG, SHORT])
TICKS = st.sampled_from([1, 5, 10, 50, 100, 500])  # kite.md 3.6: one paisa to five rupees
PRICES = st.integers(10_000, 3_000_000)
GAPS_IN_TICKS = st.integers(2, 19)  # less than the smallest price: no stop at zero
MILLIS = st.sampled_from([1, 300, 333, 999, 1_000, 1_001, 1_500, 5_000])


def about(pivot: int) -> Callable[[int], int]:
    return lambda price: 2 * pivot - price


@st.composite
def on_grid(draw):
    """A tick and a price of its grid."""
    tick = draw(TICKS)
    return tick, draw(PRICES) // tick * tick


# --- rounding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "tick", "rounded"),
    [
        (10_000, 5, 10_000),
        (10_001, 5, 10_000),
        (10_002, 5, 10_000),
        (10_003, 5, 10_005),
        (10_004, 5, 10_005),
        (10_004, 10, 10_000),
        (10_005, 10, 10_010),  # a half goes up
        (10_025, 50, 10_050),
        (10_024, 50, 10_000),
        (10_007, 1, 10_007),
    ],
)
def test_a_price_goes_to_the_nearest_tick_and_a_half_goes_up(price, tick, rounded):
    assert rounded == half_up(price, tick)


@pytest.mark.parametrize(
    ("sign", "price", "rounded"),
    [
        (LONG, 10_000, 10_000),
        (LONG, 10_001, 10_000),
        (LONG, 10_004, 10_000),
        (SHORT, 10_000, 10_000),
        (SHORT, 10_001, 10_005),
        (SHORT, 10_004, 10_005),
    ],
)
def test_a_stop_is_rounded_down_for_a_long_and_up_for_a_short(sign, price, rounded):
    assert rounded == away(sign, price, 5)


@EXAMPLES
@given(SIGNS, PRICES, TICKS)
def test_rounding_stays_on_the_grid_and_within_one_tick(sign, price, tick):
    nearest, safe = half_up(price, tick), away(sign, price, tick)

    assert 0 == nearest % tick == safe % tick
    assert -tick <= 2 * (price - nearest) < tick
    assert 0 <= sign * (price - safe) < tick


# --- the distance -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atr_milli", "atr_times", "cost", "cost_times", "tick", "paise"),
    [
        (200_000, 1_500, 50, 4_000, 5, 300),  # 1.5 x Rs 2.00 of range is the largest
        (200_000, 1_500, 80, 4_000, 5, 320),  # 4 x 80 paise of cost is
        (0, 1_500, 0, 4_000, 5, 10),  # two ticks are
        (0, 1_500, 0, 4_000, 50, 100),
        (200_001, 1_500, 0, 4_000, 1, 301),  # 300.0015 paise are more than 300
        (200_001, 1_500, 0, 4_000, 5, 305),
        (200_000, 1_500, 0, 0, 7, 301),  # in whole ticks, upwards
        (0, 0, 75, 4_001, 1, 301),  # 300.075
        (0, 0, 75, 4_001, 100, 400),
        (10_000, 1_000, 0, 0, 5, 10),  # as much as two ticks
        (10_001, 1_000, 0, 0, 5, 15),
    ],
)
def test_the_distance_is_the_largest_of_range_cost_and_two_ticks(
    atr_milli, atr_times, cost, cost_times, tick, paise
):
    assert paise == distance(atr_milli, atr_times, cost, cost_times, tick)


@EXAMPLES
@given(st.integers(0, 10**8), st.integers(0, 5_000), st.integers(0, 10**5), st.integers(0, 10_000), TICKS)
def test_the_distance_is_the_least_whole_number_of_ticks_that_is_enough(
    atr_milli, atr_times, cost, cost_times, tick
):
    by_range = Fraction(atr_milli, 1_000) * Fraction(atr_times, 1_000)
    by_cost = cost * Fraction(cost_times, 1_000)

    ticks = max(ceil(by_range / tick), ceil(by_cost / tick), 2)

    assert ticks * tick == distance(atr_milli, atr_times, cost, cost_times, tick)


@EXAMPLES
@given(st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**4), st.integers(0, 10**3), TICKS)
def test_more_range_or_more_cost_never_brings_the_stop_nearer(atr_milli, more_range, cost, more_cost, tick):
    gap = distance(atr_milli, 1_500, cost, 4_000, tick)

    assert gap <= distance(atr_milli + more_range, 1_500, cost, 4_000, tick)
    assert gap <= distance(atr_milli, 1_500, cost + more_cost, 4_000, tick)


# --- the first stop ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "fill", "gap", "tick", "stop"),
    [
        (LONG, 10_000, 100, 5, 9_900),
        (SHORT, 10_000, 100, 5, 10_100),
        (LONG, 10_003, 100, 5, 9_900),  # 9,903 between two ticks
        (SHORT, 10_003, 100, 5, 10_105),
        (LONG, 9_999, 100, 5, 9_895),
        (SHORT, 9_999, 100, 5, 10_100),
        (LONG, 10_001, 100, 1, 9_901),
        (LONG, 100, 100, 5, 5),  # a stop of zero is no order
        (LONG, 100, 250, 5, 5),
        (LONG, 103, 100, 5, 5),
        (SHORT, 100, 250, 5, 350),
    ],
)
def test_the_first_stop_is_the_average_fill_less_or_plus_the_distance(sign, fill, gap, tick, stop):
    assert stop == initial(sign, fill, gap, tick)


@EXAMPLES
@given(SIGNS, PRICES, GAPS_IN_TICKS, TICKS)
def test_off_the_grid_the_stop_lies_between_one_distance_and_one_distance_and_a_tick_away(
    sign, fill, gap_in_ticks, tick
):
    gap = gap_in_ticks * tick
    stop = initial(sign, fill, gap, tick)

    assert 0 == stop % tick
    assert gap <= risk(sign, fill, stop) < gap + tick


@pytest.mark.parametrize(
    ("sign", "fill", "stop", "lost"), [(LONG, 10_003, 9_900, 103), (SHORT, 10_003, 10_105, 102)]
)
def test_risk_is_what_a_share_loses_at_the_stop(sign, fill, stop, lost):
    assert lost == risk(sign, fill, stop)


@pytest.mark.parametrize(("sign", "is_better", "is_worse"), [(LONG, 11, 10), (SHORT, 10, 11)])
def test_better_and_worse_are_told_by_the_side(sign, is_better, is_worse):
    assert is_better == better(sign, 10, 11) == better(sign, 11, 10)
    assert is_worse == worse(sign, 10, 11) == worse(sign, 11, 10)


# --- the trail --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "trail", "best", "risk_", "milli", "tick", "now"),
    [
        (LONG, 9_900, 10_000, 100, 1_000, 5, 9_900),  # at the entry: the initial stop
        (LONG, 9_900, 10_050, 100, 1_000, 5, 9_950),  # entry + MFE - 1 R
        (LONG, 9_950, 10_040, 100, 1_000, 5, 9_950),  # never back
        (LONG, 9_900, 10_100, 100, 1_000, 5, 10_000),  # breakeven at 1 R
        (LONG, 9_900, 10_052, 100, 1_000, 5, 9_950),  # between ticks: away from the market
        (LONG, 9_900, 10_050, 100, 300, 5, 10_020),
        (LONG, 9_900, 10_050, 100, 2_000, 5, 9_900),
        (LONG, 9_900, 10_200, 100, 2_000, 5, 10_000),
        (LONG, 9_900, 20_000, 100, 0, 5, 9_900),  # no trailing
        (LONG, 900, 1_000, 33, 500, 1, 983),  # 983.5
        (LONG, 900, 1_000, 10, 1_001, 5, 985),  # 989.99
        (SHORT, 10_100, 10_000, 100, 1_000, 5, 10_100),
        (SHORT, 10_100, 9_950, 100, 1_000, 5, 10_050),
        (SHORT, 10_050, 9_960, 100, 1_000, 5, 10_050),
        (SHORT, 10_100, 9_900, 100, 1_000, 5, 10_000),
        (SHORT, 10_100, 9_948, 100, 1_000, 5, 10_050),
        (SHORT, 10_100, 9_950, 100, 300, 5, 9_980),
        (SHORT, 10_100, 5_000, 100, 0, 5, 10_100),
        (SHORT, 1_100, 1_000, 33, 500, 1, 1_017),  # 1,016.5
        (SHORT, 1_100, 1_000, 10, 1_001, 5, 1_015),  # 1,010.01
    ],
)
def test_the_trail_follows_the_best_price_at_its_distance(sign, trail, best, risk_, milli, tick, now):
    assert now == trailed(sign, trail, best, risk_, milli, tick)


@EXAMPLES
@given(SIGNS, PRICES, st.integers(2, 5_000), MILLIS, TICKS)
@example(LONG, 10_000, 33, 333, 1)
def test_the_trail_is_the_nearest_tick_that_is_far_enough(sign, best, risk_, milli, tick):
    loosest = -sign * 10**9
    exactly = best - sign * Fraction(risk_ * milli, 1_000)
    trail = trailed(sign, loosest, best, risk_, milli, tick)

    assert 0 == trail % tick
    assert 0 <= sign * (exactly - trail) < tick


@LAW
@given(SIGNS, PRICES, GAPS_IN_TICKS, st.sampled_from([0, 300, 1_000, 1_500]), TICKS,
       st.lists(st.integers(-300, 300), max_size=20))  # fmt: skip
def test_a_stop_never_loosens_along_any_path(sign, fill, gap_in_ticks, milli, tick, steps):
    stop = initial(sign, fill, gap_in_ticks * tick, tick)
    per_share = risk(sign, fill, stop)
    price, stops = fill, [stop]
    for step in steps:
        price = max(1, price + step)  # the caller may hand in the price itself: no path loosens it
        stops.append(trailed(sign, stops[-1], price, per_share, milli, tick))
    way = [sign * each for each in stops]

    assert sorted(way) == way
    assert milli > 0 or {stop} == set(stops)


@EXAMPLES
@given(SIGNS, PRICES, GAPS_IN_TICKS, TICKS, st.integers(0, 5_000), st.integers(0, 5_000))
def test_a_better_price_and_a_tighter_trail_never_give_a_worse_stop(
    sign, fill, gap_in_ticks, tick, favour, more
):
    stop = initial(sign, fill, gap_in_ticks * tick, tick)
    per_share = risk(sign, fill, stop)
    best = fill + sign * favour

    def at(best: int, milli: int) -> int:
        return int(sign * trailed(sign, stop, best, per_share, milli, tick))

    assert at(best, 1_000) <= at(best + sign * more, 1_000)
    assert at(best, 1_000) <= at(best, 999)
    assert at(best, 1_500) <= at(best, 1_000)


@EXAMPLES
@given(SIGNS, PRICES, GAPS_IN_TICKS, TICKS)
def test_at_the_entry_a_trail_of_one_r_is_the_first_stop(sign, fill, gap_in_ticks, tick):
    stop = initial(sign, fill, gap_in_ticks * tick, tick)

    assert stop == trailed(sign, stop, fill, risk(sign, fill, stop), 1_000, tick)


# --- moving the resting stop ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behind", "risk_", "tick", "is_worth"),
    [
        (10, 100, 5, True),  # two ticks and a tenth of R, both exactly
        (9, 90, 5, False),  # less than two ticks
        (5, 10, 5, False),
        (10, 101, 5, False),  # less than a tenth of R
        (10, 99, 5, True),
        (15, 150, 5, True),
        (15, 151, 5, False),
        (0, 100, 5, False),
        (-50, 100, 5, False),  # behind us: that would loosen
    ],
)
@pytest.mark.parametrize("sign", [LONG, SHORT])
def test_a_stop_moves_by_two_ticks_and_a_tenth_of_r_at_least(sign, behind, risk_, tick, is_worth):
    assert is_worth is is_worth_moving(sign, 10_000, 10_000 + sign * behind, risk_, tick)


@pytest.mark.parametrize(
    ("moves", "seconds", "may"),
    [(0, 10**6, True), (0, 5, True), (0, 4, False), (19, 5, True), (20, 10**6, False), (25, 10**6, False)],
)
def test_a_stop_moves_once_in_five_seconds_and_twenty_times_at_most(moves, seconds, may):
    assert may is may_move(moves, seconds)
    assert 20 == MOVES_MOST


# --- hit, crossed, reached --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "price", "hit", "crossed", "reached"),
    [
        (LONG, 9_995, True, True, False),
        (LONG, 10_000, True, False, True),  # at the price itself: hit, reached, not crossed
        (LONG, 10_005, False, False, True),
        (SHORT, 10_005, True, True, False),
        (SHORT, 10_000, True, False, True),
        (SHORT, 9_995, False, False, True),
    ],
)
def test_a_touch_hits_a_stop_and_reaches_a_target_but_does_not_cross_a_trail(
    sign, price, hit, crossed, reached
):
    assert hit is is_hit(sign, 10_000, price)
    assert crossed is is_crossed(sign, 10_000, price)
    assert reached is is_reached(sign, 10_000, price)


@pytest.mark.parametrize("sign", [LONG, SHORT])
@pytest.mark.parametrize("price", [1, 10_000, 10**7])
def test_no_target_is_never_reached(sign, price):
    assert is_reached(sign, 0, price) is False


@pytest.mark.parametrize(
    ("sign", "fill", "risk_", "milli", "tick", "goal"),
    [
        (LONG, 10_000, 100, 2_000, 5, 10_200),
        (SHORT, 10_000, 100, 2_000, 5, 9_800),
        (LONG, 10_000, 100, 0, 5, 0),
        (SHORT, 10_000, 100, 0, 5, 0),
        (LONG, 10_001, 101, 1_000, 5, 10_100),  # 10,102 to the nearest
        (LONG, 10_001, 102, 1_000, 5, 10_105),  # 10,103
        (LONG, 1_000, 5, 500, 5, 1_000),  # 1,002.5: a half goes towards the entry
        (LONG, 1_000, 5, 501, 5, 1_005),
        (SHORT, 1_000, 5, 500, 5, 1_000),  # 997.5
        (SHORT, 1_000, 5, 501, 5, 995),
        (LONG, 1_000, 5, 1_499, 5, 1_005),  # 1,007.495
        (SHORT, 1_001, 3, 499, 1, 1_000),  # 999.503: to the nearest from what it is, not from 1,000
        (SHORT, 1_001, 3, 501, 1, 999),  # 999.497
        (SHORT, 1_000, 1_000, 1_500, 5, 0),  # beyond zero: no price, no target
        (SHORT, 1_000, 1_000, 1_000, 5, 0),
    ],
)
def test_the_target_lies_at_its_multiple_of_r_to_the_nearest_tick(sign, fill, risk_, milli, tick, goal):
    assert goal == target(sign, fill, risk_, milli, tick)


@EXAMPLES
@given(SIGNS, PRICES, st.integers(2, 2_000), st.integers(1, 4_999), TICKS)
@example(LONG, 10_000, 5, 500, 5)
def test_the_target_is_rounded_once_and_a_half_goes_towards_the_entry(sign, fill, risk_, milli, tick):
    exactly = fill + sign * Fraction(risk_ * milli, 1_000)
    assume(exactly >= tick)
    goal = target(sign, fill, risk_, milli, tick)

    assert 0 == goal % tick
    assert Fraction(-tick, 2) < sign * (exactly - goal) <= Fraction(tick, 2)


# --- the mirror law: flip the side, reflect prices about a pivot --------------------------------------


@LAW
@given(SIGNS, on_grid(), st.integers(0, 9_000), GAPS_IN_TICKS, MILLIS, st.integers(0, 5_000))
def test_flip_the_side_and_reflect_prices_and_the_stops_are_reflected(
    sign, grid, off, gap_in_ticks, milli, favour
):
    """About any pivot on the tick grid, for any fill, on the grid or off it: rounding goes by side."""
    tick, pivot = grid
    gap, fill = gap_in_ticks * tick, pivot + off
    assume(pivot - off - gap > tick)  # only the floor of one tick knows no mirror
    mirror = about(pivot)
    stop = initial(sign, fill, gap, tick)
    per_share, best = risk(sign, fill, stop), fill + sign * favour
    trail = trailed(sign, stop, best, per_share, milli, tick)

    assert mirror(stop) == initial(-sign, mirror(fill), gap, tick)
    assert per_share == risk(-sign, mirror(fill), mirror(stop))
    assert mirror(trail) == trailed(-sign, mirror(stop), mirror(best), per_share, milli, tick)


@LAW
@given(SIGNS, on_grid(), PRICES, st.integers(-300, 300), st.integers(1, 500))
def test_flip_the_side_and_reflect_prices_and_the_answers_are_the_same(sign, grid, stop, step, risk_):
    """Comparisons mirror at any price and about any pivot; nothing is rounded in them."""
    tick, pivot = grid
    price = stop + step
    mirror = about(pivot)

    assert is_hit(sign, stop, price) is is_hit(-sign, mirror(stop), mirror(price))
    assert is_crossed(sign, stop, price) is is_crossed(-sign, mirror(stop), mirror(price))
    assert is_worth_moving(sign, stop, price, risk_, tick) is is_worth_moving(
        -sign, mirror(stop), mirror(price), risk_, tick
    )
    assert mirror(better(sign, stop, price)) == better(-sign, mirror(stop), mirror(price))
    assert mirror(worse(sign, stop, price)) == worse(-sign, mirror(stop), mirror(price))
    assert worse(sign, stop, price) == better(-sign, stop, price)


@EXAMPLES
@given(SIGNS, st.integers(0, 300), PRICES, st.integers(-300, 300))
def test_reaching_a_target_mirrors_where_both_targets_are_prices(sign, above, goal, step):
    pivot, price = goal + above, goal + step
    mirror = about(pivot)

    assert is_reached(sign, goal, price) is is_reached(-sign, mirror(goal), mirror(price))


@LAW
@given(SIGNS, on_grid(), st.integers(0, 500), st.integers(2, 500), MILLIS)
@example(LONG, (5, 10_000), 0, 5, 500)
def test_the_target_is_reflected_as_a_half_goes_towards_the_entry(sign, grid, off, per_share, milli):
    """About any pivot on the tick grid, for any fill: of two ticks as near, both sides take the modest one."""
    tick, pivot = grid
    mirror = about(pivot)
    goals = (
        target(sign, pivot + off, per_share, milli, tick),
        target(-sign, pivot - off, per_share, milli, tick),
    )
    assume(min(goals) > 0)  # beyond zero there is no price on one side only

    assert mirror(goals[0]) == goals[1]
