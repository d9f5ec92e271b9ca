"""Do the rules say what trading.md says, to the last second, share and paisa?"""

from datetime import date, datetime, time
from fractions import Fraction
from math import floor, inf, nan, nextafter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rulebook import rules as say
from rulebook.hours import IST
from rulebook.records import ExitReason
from rulebook.rules import (
    CLOCK,
    SIGNAL,
    STAY,
    TRAIL,
    Rules,
    exit_at_close,
    has_entries_left,
    has_free_place,
    is_entry_time,
    is_lost,
    is_rested,
    is_worth_its_cost,
    milli_r,
    order_fits,
    prefers,
    size,
    takes_part,
    total_fits,
)

LONG, SHORT, HOLD = 1, -1, 0
PLAIN = Rules(capital=1_00_000_00)
LAW = settings(max_examples=300, deadline=None)
EXAMPLES = settings(max_examples=100, deadline=None)
SIGNS = st.sampled_from([LONG, SHORT])


# --- the numbers that are stored ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["STOP", "TRAIL", "TARGET", "SIGNAL", "CLOCK", "LOSS_LOCK", "SQUARE_OFF"])
def test_a_reason_has_the_same_number_in_the_rules_and_in_the_records(name):
    assert ExitReason[name] == getattr(say, name)


def test_to_stay_is_no_reason_to_leave():
    assert STAY not in set(ExitReason)


# --- the contest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidence", "is_free", "best", "best_is_free", "is_preferred"),
    [
        (0.7, False, 0.6, True, True),  # more confidence, whatever is open
        (0.6, True, 0.7, False, False),
        (0.7, True, 0.7, False, True),  # as much: who has no active trade
        (0.7, False, 0.7, True, False),
        (0.7, True, 0.7, True, False),  # as much and alike: the earlier name stays
        (0.7, False, 0.7, False, False),
        (nextafter(0.7, 1.0), False, 0.7, True, True),
    ],
)
def test_more_confidence_wins_and_among_equals_who_has_no_trade(
    confidence, is_free, best, best_is_free, is_preferred
):
    assert is_preferred is prefers(confidence, is_free, best, best_is_free)


def winner(contest: list[tuple[str, float, bool]]) -> tuple[str, float, bool] | None:
    """As the callers hold it: names in their order, the best so far kept."""
    best = None
    for name, confidence, is_free in sorted(contest):
        if best is None or prefers(confidence, is_free, best[1], best[2]):
            best = name, confidence, is_free
    return best


@EXAMPLES
@given(
    st.lists(
        st.tuples(st.text("ABC", min_size=1, max_size=3), st.sampled_from([0.0, 0.5, 0.9]), st.booleans()),
        min_size=1, max_size=8, unique_by=lambda entry: entry[0],
    )
)  # fmt: skip
def test_the_winner_is_the_surest_then_without_a_trade_then_the_smaller_name(contest):
    expected = min(contest, key=lambda entry: (-entry[1], not entry[2], entry[0]))

    assert expected == winner(contest)


@pytest.mark.parametrize(
    ("action", "confidence", "least", "is_long_only", "takes"),
    [
        (LONG, 0.6, 0.6, False, True),  # the least is enough
        (LONG, nextafter(0.6, 0.0), 0.6, False, False),
        (SHORT, 0.6, 0.6, False, True),
        (HOLD, 1.0, 0.0, False, False),
        (LONG, 0.6, 0.6, True, True),
        (SHORT, 0.6, 0.6, True, False),
        (LONG, nan, 0.0, False, False),
        (SHORT, nan, 0.6, False, False),
        (LONG, 0.0, 0.0, False, True),
        (LONG, -inf, 0.0, False, False),
    ],
)
def test_who_takes_part_has_an_action_is_sure_enough_and_on_a_side_allowed(
    action, confidence, least, is_long_only, takes
):
    rules = PLAIN._replace(min_confidence=least, is_long_only=is_long_only)

    assert takes is takes_part(action, confidence, rules)


# --- entries --------------------------------------------------------------------------------------------


def at(clock: str) -> datetime:
    return datetime.combine(date(2026, 11, 23), time.fromisoformat(clock), IST)


@pytest.mark.parametrize(
    ("now", "may"),
    [
        ("09:19:59.999999", False),
        ("09:20:00", True),
        ("12:00:00", True),
        ("14:59:59.999999", True),
        ("15:00:00", False),  # exits begin
        ("15:00:01", False),
    ],
)
def test_entries_begin_at_the_safe_start_and_end_before_the_safe_end(now, may):
    assert may is is_entry_time(at(now), at("09:20"), at("15:00"))


@pytest.mark.parametrize(
    ("second", "may"), [(33_599, False), (33_600, True), (53_999, True), (54_000, False)]
)
def test_the_window_is_the_same_in_seconds_of_the_day(second, may):
    assert may is is_entry_time(second, 33_600, 54_000)


@pytest.mark.parametrize(
    ("capital", "price", "lot", "shares"),
    [
        (1_00_000_00, 1_500_00, 1, 66),
        (1_00_000_00, 1_00_000_00, 1, 1),
        (1_00_000_00, 1_00_000_01, 1, 0),  # below one share: no order
        (1_00_000_00, 1_500_00, 25, 50),
        (1_00_000_00, 1_500_00, 66, 66),
        (1_00_000_00, 1_500_00, 67, 0),  # below one lot: no order
        (1_00_000_00, 1, 1, 1_00_000_00),
        (0, 1_500_00, 1, 0),
    ],
)
def test_the_size_is_what_the_capital_buys_in_whole_lots(capital, price, lot, shares):
    assert shares == size(price, lot, Rules(capital=capital))


@EXAMPLES
@given(st.integers(1, 10**10), st.integers(1, 10**7), st.integers(1, 500))
def test_one_more_lot_would_cost_more_than_the_capital(capital, price, lot):
    shares = size(price, lot, Rules(capital=capital))

    assert 0 == shares % lot
    assert shares * price <= capital < (shares + lot) * price


@EXAMPLES
@given(st.integers(1, 10**10), st.integers(1, 10**7), st.integers(0, 10**6), st.integers(1, 50))
def test_a_higher_price_never_buys_more(capital, price, more, lot):
    rules = Rules(capital=capital)

    assert size(price + more, lot, rules) <= size(price, lot, rules)
    assert size(price, lot, rules) <= size(price, lot, rules._replace(capital=capital + more))


@pytest.mark.parametrize(("active", "is_free"), [(0, True), (2, True), (3, False), (4, False)])
def test_no_more_trades_are_open_than_may_be(active, is_free):
    assert is_free is has_free_place(active, PLAIN._replace(max_concurrent=3))


@pytest.mark.parametrize(("trades", "are_left"), [(0, True), (11, True), (12, False), (13, False)])
def test_no_more_trades_are_entered_a_day_than_may_be(trades, are_left):
    assert are_left is has_entries_left(trades, PLAIN._replace(max_trades_per_day=12))


@pytest.mark.parametrize(
    ("bars", "cooldown", "rested"),
    [(0, 3, False), (2, 3, False), (3, 3, True), (4, 3, True), (0, 0, True), (10**6, 3, True)],
)
def test_a_ticker_rests_after_a_stop_out(bars, cooldown, rested):
    assert rested is is_rested(bars, PLAIN._replace(cooldown_bars=cooldown))


@pytest.mark.parametrize(("order", "most", "fits"), [(100, 100, True), (101, 100, False), (10**12, 0, True)])
def test_an_entry_is_within_its_limit_where_there_is_one(order, most, fits):
    assert fits is order_fits(order, PLAIN._replace(max_order=most))


@pytest.mark.parametrize(
    ("order", "open_", "most", "fits"),
    [
        (60, 40, 100, True),
        (61, 40, 100, False),
        (60, 41, 100, False),
        (100, 0, 100, True),
        (10**12, 10**12, 0, True),
    ],
)
def test_an_entry_fits_with_all_that_is_open(order, open_, most, fits):
    assert fits is total_fits(order, open_, PLAIN._replace(max_total=most))


@pytest.mark.parametrize(
    ("cost", "distance", "times", "is_worth"),
    [
        (50, 200, 4_000, True),  # exactly four times
        (51, 200, 4_000, False),
        (50, 199, 4_000, False),
        (3, 10, 3_333, True),  # 9.999
        (3, 10, 3_334, False),  # 10.002
        (10**6, 1, 0, True),  # switched off
    ],
)
def test_a_stop_is_several_times_as_far_as_the_costs(cost, distance, times, is_worth):
    assert is_worth is is_worth_its_cost(cost, distance, PLAIN._replace(cost_times_milli=times))


# --- exits at a bar's close ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "action", "close", "is_late", "reason"),
    [
        (LONG, HOLD, 10_000, False, STAY),
        (LONG, LONG, 10_000, False, STAY),
        (LONG, SHORT, 10_000, False, SIGNAL),
        (LONG, HOLD, 9_900, False, STAY),  # at the trail is not below it
        (LONG, HOLD, 9_899, False, TRAIL),
        (LONG, LONG, 9_899, False, TRAIL),
        (LONG, SHORT, 9_899, False, SIGNAL),  # the signal before the trail
        (LONG, HOLD, 10_000, True, CLOCK),
        (LONG, SHORT, 9_899, True, CLOCK),  # the clock before all
        (SHORT, HOLD, 9_800, False, STAY),
        (SHORT, SHORT, 9_800, False, STAY),
        (SHORT, LONG, 9_800, False, SIGNAL),
        (SHORT, HOLD, 9_900, False, STAY),
        (SHORT, HOLD, 9_901, False, TRAIL),
        (SHORT, LONG, 9_901, False, SIGNAL),
        (SHORT, HOLD, 9_800, True, CLOCK),
        (SHORT, LONG, 9_901, True, CLOCK),
    ],
)
def test_a_position_leaves_by_clock_then_by_signal_then_by_trail(sign, action, close, is_late, reason):
    assert reason == exit_at_close(sign, action, close, 9_900, is_late)


@LAW
@given(
    SIGNS, st.sampled_from([LONG, SHORT, HOLD]), st.integers(1, 10**6), st.integers(-50, 50), st.booleans()
)
def test_flip_the_side_and_the_signal_and_reflect_prices_and_the_exit_is_the_same(
    sign, action, trail, step, is_late
):
    """About the trail itself: the comparison rounds nothing, so any pivot would do."""
    assert exit_at_close(sign, action, trail + step, trail, is_late) == exit_at_close(
        -sign, -action, trail - step, trail, is_late
    )


# --- the day's loss -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day_milli_r", "day_net", "by_r", "by_paise", "lost"),
    [
        (-2_999, -(10**9), 3_000, 0, False),
        (-3_000, 10**9, 3_000, 0, True),  # at the limit is lost
        (-3_001, 0, 3_000, 0, True),
        (-(10**9), -49_999, 0, 50_000, False),
        (10**9, -50_000, 0, 50_000, True),
        (-(10**9), -50_001, 0, 50_000, True),
        (-(10**9), -(10**9), 0, 0, False),  # both switched off
        (-2_999, -49_999, 3_000, 50_000, False),
        (-3_000, -49_999, 3_000, 50_000, True),  # either is enough
        (-2_999, -50_000, 3_000, 50_000, True),
        (0, 0, 0, 0, False),
        (3_000, 50_000, 3_000, 50_000, False),
    ],
)
def test_a_day_is_lost_in_r_or_in_paise(day_milli_r, day_net, by_r, by_paise, lost):
    assert lost is is_lost(day_milli_r, day_net, PLAIN._replace(max_loss_milli=by_r, max_loss=by_paise))


@pytest.mark.parametrize(
    ("net", "risk", "milli"),
    [
        (100, 100, 1_000),
        (-100, 100, -1_000),
        (1, 3, 333),
        (-1, 3, -334),
        (0, 7, 0),
        (-1, 10**9, -1),
        (1, 10**9, 0),
    ],
)
def test_a_trade_counts_in_thousandths_of_its_own_risk_and_a_doubt_as_loss(net, risk, milli):
    assert milli == milli_r(net, risk)


@EXAMPLES
@given(st.integers(-(10**11), 10**11), st.integers(1, 10**10))
@example(-1, 3)
def test_thousandths_of_r_are_rounded_down(net, risk):
    assert floor(Fraction(1_000 * net, risk)) == milli_r(net, risk)


@EXAMPLES
@given(st.integers(-10_000, 10_000), st.integers(-(10**6), 10**6), st.integers(0, 10_000), st.integers(0, 10**6),
       st.sampled_from([0, 3_000]), st.sampled_from([0, 50_000]))  # fmt: skip
def test_who_loses_more_is_never_less_lost(day_milli_r, net, more_r, more_paise, by_r, by_paise):
    rules = PLAIN._replace(max_loss_milli=by_r, max_loss=by_paise)

    assert is_lost(day_milli_r, net, rules) <= is_lost(day_milli_r - more_r, net - more_paise, rules)
