"""Is a closed trade measured as the reward table says, net of all costs, alike for both sides?"""

from dataclasses import replace
from datetime import date, datetime, time
from fractions import Fraction
from math import fsum

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rulebook.hours import IST
from rulebook.records import ExitReason, Paise, Side
from rulebook.trades import (
    ALL_FOLLOWED,
    RULES,
    ClosedTrade,
    Followed,
    gross_paise,
    mae_r,
    mfe_r,
    percent_mfe,
    r_multiple,
    risk_paise,
    shortfall_percent,
    step_nets,
    step_rewards,
)

LAW = settings(max_examples=300, deadline=None)
EXAMPLES = settings(max_examples=100, deadline=None)
SIDES = st.sampled_from(list(Side))
BUY, SELL = Side.BUY, Side.SELL


def at(clock: str) -> datetime:
    return datetime.combine(date(2026, 11, 23), time.fromisoformat(clock), IST)


# Bought 100 at Rs 100.00 with the stop at 99.00: R is Rs 100. Sold at 101.50 with Rs 10 of charges, after
# prices between 99.40 and 102.00; decided at 99.95, meant to leave at 101.60.
WON = ClosedTrade(
    ticker="INFY", side=BUY, qty=100,
    decided_at=at("10:00"), decision_price=Paise(99_95),
    entered_at=at("10:00:01"), entry_value=100 * 100_00, initial_stop=Paise(99_00),
    exited_at=at("11:00"), exit_value=100 * 101_50, intended_exit=Paise(101_60),
    reason=ExitReason.TRAIL, worst=Paise(99_40), best=Paise(102_00), charges=10_00,
)  # fmt: skip
LOST = replace(
    WON, exit_value=100 * 98_95, intended_exit=Paise(99_00), worst=Paise(98_95), best=Paise(100_00)
)


def mirrored(trade: ClosedTrade, pivot: int = 100_00) -> ClosedTrade:
    """The other side, with all prices reflected; charges are what they are."""

    def price(each: int) -> Paise:
        return Paise(2 * pivot - each)

    return replace(
        trade,
        side=trade.side.opposite,
        decision_price=price(trade.decision_price),
        entry_value=2 * pivot * trade.qty - trade.entry_value,
        exit_value=2 * pivot * trade.qty - trade.exit_value,
        initial_stop=price(trade.initial_stop),
        intended_exit=price(trade.intended_exit),
        worst=price(trade.worst),
        best=price(trade.best),
    )


MEASURES = ("net", "risk", "r", "mae_r", "mfe_r", "percent_mfe", "shortfall_percent", "adherence_percent")


def measures(trade: ClosedTrade) -> dict[str, float]:
    return {name: getattr(trade, name) for name in MEASURES}


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize(
    ("trade", "expected"),
    [
        # net 14,000 of risk 10,000; 60 of 100 against; 140 of 200 kept; planned 165, realised 140
        (WON, (140_00, 100_00, 1.4, 0.6, 2.0, 70.0, 25.0, 100.0)),
        # hit at 98.95 for a stop of 99.00, and charged: worse than -1 R; planned -95
        (LOST, (-115_00, 100_00, -1.15, 1.05, 0.0, 0.0, 20.0, 100.0)),
        # a winner before charges that is none after them
        (replace(WON, exit_value=100 * 100_05), (-5_00, 100_00, -0.05, 0.6, 2.0, -2.5, 170.0, 100.0)),
        # an average fill that is no whole number of paise
        (replace(WON, entry_value=100 * 100_00 + 50), (139_50, 100_50, 139_50 / 100_50, 60_50 / 100_50,
         199_50 / 100_50, 100 * 139_50 / 199_50, 100 * 25_50 / 100_50, 100.0)),
        # never against us, never for us: nothing is negative
        (replace(WON, worst=Paise(100_10)), (140_00, 100_00, 1.4, 0.0, 2.0, 70.0, 25.0, 100.0)),
        (replace(WON, best=Paise(99_90)), (140_00, 100_00, 1.4, 0.6, 0.0, 0.0, 25.0, 100.0)),
    ],
)  # fmt: skip
def test_a_trade_is_measured_by_what_it_risked(trade, expected, is_mirrored):
    found = measures(mirrored(trade) if is_mirrored else trade)

    assert dict(zip(MEASURES, expected, strict=True)) == pytest.approx(found, rel=1e-12)


PRICES = st.integers(9_000, 11_000)


@LAW
@given(SIDES, st.integers(1, 500), st.integers(0, 499), PRICES, PRICES, PRICES, PRICES, PRICES, st.integers(1, 500),
       st.integers(0, 10**5), st.integers(11_000, 20_000))  # fmt: skip
def test_flip_the_side_and_reflect_prices_and_every_measure_is_the_same(
    side, qty, odd, decision, exit_, intended, one, other, gap, charges, pivot
):
    """About any pivot: nothing is rounded here, charges are handed in, and values are whole paise."""
    entry = 10_000 * qty + odd % qty
    extremes = sorted((one, other), key=lambda price: side * price)
    trade = replace(
        WON, side=side, qty=qty, decision_price=Paise(decision), entry_value=entry, exit_value=exit_ * qty,
        initial_stop=Paise(10_000 - side * gap if side is BUY else 10_001 + gap), intended_exit=Paise(intended),
        worst=Paise(extremes[0]), best=Paise(extremes[1]), charges=charges,
    )  # fmt: skip

    assert measures(trade) == measures(mirrored(trade, pivot))


@EXAMPLES
@given(SIDES, st.integers(1, 500), PRICES, PRICES, st.integers(1, 500), st.integers(0, 10**5))
def test_a_stop_that_fills_exactly_costs_one_r_and_the_charges(side, qty, entry, decision, gap, charges):
    stop = Paise(entry - side * gap)
    trade = replace(
        WON, side=side, qty=qty, decision_price=Paise(entry), entry_value=entry * qty, exit_value=stop * qty,
        initial_stop=stop, intended_exit=stop, worst=stop, best=Paise(entry), charges=charges,
    )  # fmt: skip

    assert -(gap * qty + charges) / (gap * qty) == trade.r
    assert 1.0 == trade.mae_r
    assert (
        100.0 * charges / (gap * qty) == trade.shortfall_percent
    )  # bought at the decision: charges are all of it


@pytest.mark.parametrize(
    ("measure", "args", "value"),
    [
        (gross_paise, (1, 1_000, 1_200), 200),
        (gross_paise, (-1, 1_000, 1_200), -200),
        (risk_paise, (1, 1_000, 90, 10), 100),
        (risk_paise, (-1, 1_000, 110, 10), 100),
        (risk_paise, (1, 1_000, 110, 10), -100),  # a stop on the wrong side
        (r_multiple, (-150, 100), -1.5),
        (mae_r, (1, 1_000, 95, 10, 100), 0.5),
        (mae_r, (-1, 1_000, 105, 10, 100), 0.5),
        (mae_r, (1, 1_000, 105, 10, 100), 0.0),
        (mfe_r, (1, 1_000, 125, 10, 100), 2.5),
        (mfe_r, (-1, 1_000, 75, 10, 100), 2.5),
        (mfe_r, (-1, 1_000, 105, 10, 100), 0.0),
        (percent_mfe, (100, 1, 1_000, 125, 10), 40.0),
        (percent_mfe, (-50, 1, 1_000, 125, 10), -20.0),
        (percent_mfe, (-50, 1, 1_000, 100, 10), 0.0),
        (percent_mfe, (-50, -1, 1_000, 105, 10), 0.0),
        (shortfall_percent, (1, 100, 110, 10, 80, 100), 20.0),
        (shortfall_percent, (-1, 110, 100, 10, 80, 100), 20.0),
        (shortfall_percent, (1, 100, 90, 10, -100, 100), 0.0),
    ],
)
def test_each_formula_is_that_of_the_reward_table(measure, args, value):
    assert value == measure(*args)


# --- plan adherence -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("followed", "percent"),
    [
        (ALL_FOLLOWED, 100.0),
        (ALL_FOLLOWED & ~Followed.TRAIL_UPDATED, 87.5),
        (Followed.ENTRY_SIGNAL | Followed.EXIT_BY_RULE, 25.0),
        (Followed(0), 0.0),
    ],
)
def test_adherence_is_the_share_of_the_eight_rules_that_were_followed(followed, percent):
    assert percent == replace(WON, followed=followed).adherence_percent


def test_the_rules_of_adherence_are_eight_bits():
    assert 8 == RULES
    assert [1, 2, 4, 8, 16, 32, 64, 128] == [int(each) for each in Followed]
    assert 255 == int(ALL_FOLLOWED)


# --- what is no trade --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"qty": 0},
        {"qty": -100},
        {"initial_stop": Paise(100_00)},  # no risk
        {"initial_stop": Paise(101_00)},  # a stop on the wrong side
        {"side": SELL},
    ],
)
def test_a_trade_without_shares_or_without_risk_is_refused(wrong):
    with pytest.raises(ValueError, match="INFY 2026-11-23"):
        replace(WON, **wrong)


# --- R, traced back over the steps ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "marks", "net", "nets"),
    [
        (1, [101, 99, 102], 150, [100, -200, 250]),  # costs fall on the last step
        (-1, [99, 101, 98], 150, [100, -200, 250]),
        (1, [102], 150, [150]),
        (1, [], 150, [150]),
        (1, [100, 100, 100], -20, [0, 0, -20]),
    ],
)
def test_each_step_earns_its_change_of_value_and_the_last_what_is_left(sign, marks, net, nets):
    assert nets == step_nets(sign, 10_000, marks, 100, net)
    assert [each / 200 for each in nets] == step_rewards(sign, 10_000, marks, 100, net, 200)


@LAW
@given(SIDES, st.integers(1, 10**9), st.lists(st.integers(1, 10**6), max_size=20), st.integers(1, 10**4),
       st.integers(-(10**8), 10**8), st.integers(1, 10**8))  # fmt: skip
@example(BUY, 10_000, [101, 99, 102], 100, 1, 3)
def test_the_steps_add_up_exactly_to_the_trade_s_r(side, entry, marks, qty, net, risk):
    """In paise, and so in fractions of R. Floats round each step: within that, their sum is R as well."""
    nets = step_nets(side, entry, marks, qty, net)
    rewards = step_rewards(side, entry, marks, qty, net, risk)
    rounding = fsum(abs(each) for each in rewards) * 2**-52

    assert net == sum(nets)
    assert Fraction(net, risk) == sum(Fraction(each, risk) for each in nets)
    assert abs(fsum(rewards) - r_multiple(net, risk)) <= rounding
    assert max(1, len(marks)) == len(rewards)


@EXAMPLES
@given(
    SIDES,
    st.lists(PRICES, max_size=20),
    st.integers(1, 100),
    st.integers(-(10**6), 10**6),
    st.integers(20_000, 30_000),
)
def test_the_steps_of_the_other_side_are_the_same_with_prices_reflected(side, marks, qty, net, pivot):
    reflected = [2 * pivot - mark for mark in marks]
    entry = 10_000 * qty

    assert step_nets(side, entry, marks, qty, net) == step_nets(
        -side, 2 * pivot * qty - entry, reflected, qty, net
    )
