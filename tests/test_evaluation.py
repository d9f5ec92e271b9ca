"""Are a policy and the baselines measured alike, on the same days, and by what their trades say?"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import backtest
import fast
import luck
import stats
from backtest import Span
from evaluation import (
    BASELINES,
    POLICY,
    RANDOM,
    Evaluation,
    Measures,
    evaluate,
    measured,
    measures,
    random_like,
)
from market import Market
from promotion import judged
from rulebook.rules import Rules
from strategies import find, with_parameters
from tests.candles import candles, minute_candles, sessions, write
from tests.test_backtest import BUSY, NAMES, OFTEN, market_of

DAYS = sessions(24)
SPAN = Span(DAYS[10], DAYS[-2])
MINUTES_A_DAY = 5 * 60 + 48  # from 09:20 to 15:08
RULES = Rules(capital=1_000_000, cost_times_milli=500)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    raw: Path = tmp_path_factory.mktemp("raw")
    for name in NAMES:
        write(raw, name, candles(name, DAYS))
        write(raw, name, minute_candles(name, DAYS), "1m")  # walked through where a bar leaves doubt
    return market_of(raw)


def said_by(market: Market, name: str) -> fast.Signals:
    return fast.signals(find(name), market.table, market.tickers)


@pytest.fixture(scope="module")
def found(market: Market) -> Evaluation:
    return evaluate(market, BUSY, SPAN, fast.signals(OFTEN, market.table, market.tickers))


@pytest.mark.parametrize("name", BASELINES)
def test_a_policy_that_says_what_a_baseline_says_is_measured_the_same(name, market):
    """Two ways to the same record: signals, and the strategy's own step."""
    policy = measured(market, RULES, SPAN, said_by(market, name), name)
    baseline = measures(market, SPAN, name, backtest.walk(market, find(name), RULES, SPAN).trades)

    assert baseline == policy
    assert name == "stay_out" or policy.trades > 0


def test_what_is_said_outside_of_the_days_is_not_heard(market):
    said = said_by(market, "sma_cross")
    loud = fast.Signals(said.action.copy(), said.confidence.copy())
    outside = np.ones(len(said.action), bool)
    outside[market.row_of(SPAN.first) : market.row_of(DAYS[-1])] = False
    loud.action[outside], loud.confidence[outside] = 1, 1.0
    before = loud.action.copy()

    assert measured(market, RULES, SPAN, said) == measured(market, RULES, SPAN, loud)
    assert np.array_equal(before, loud.action), "what was handed in is not written to"


def test_every_measure_is_what_the_trades_say(market, found):
    said = fast.signals(OFTEN, market.table, market.tickers)
    said.action[: market.row_of(SPAN.first)] = 0
    said.action[market.row_of(DAYS[-1]) :] = 0
    walked = fast.simulate(market.table, market.fixed, BUSY, said, market.finer, market.first_fine)
    trades, p = backtest.closed_trades(market.tickers, walked), found.policy
    by_day = [[t.r for t in trades if stats.day_of(t.exited_at) == day] for day in p.days]

    assert (POLICY, tuple(DAYS[10:-1]), len(trades)) == (p.name, p.days, p.trades)
    assert [sum(rs) for rs in by_day] == pytest.approx(p.daily_r)
    assert pytest.approx(sum(t.r for t in trades) / len(trades)) == p.avg_reward
    assert sum(t.net for t in trades) == sum(p.daily_net) == p.costs.net
    assert sum(t.charges for t in trades) == p.costs.charges
    assert sum(t.entry_value + t.exit_value for t in trades) == p.turnover
    assert pytest.approx(sum(t.net > 0 for t in trades) / len(trades)) == p.win_rate
    assert stats.sharpe(p.daily_net) == p.sharpe.value
    assert pytest.approx((stats.sharpe(p.daily_r) or 0) / math.sqrt(252)) == p.daily_sharpe
    assert stats.max_drawdown(p.daily_net) == p.max_drawdown
    assert stats.exposure(trades, MINUTES_A_DAY * len(p.days)) == (p.exposure, p.positions)


def test_stability_tells_of_days_halves_and_tickers(found):
    p, s = found.policy, found.policy.stability
    half = len(p.days) // 2

    assert sum(r != 0 for r in p.daily_r) == s.days_traded
    assert pytest.approx(sum(r > 0 for r in p.daily_r) / s.days_traded) == s.days_up
    assert (max(p.daily_r), min(p.daily_r)) == (s.best_day_r, s.worst_day_r)
    assert pytest.approx(sum(p.daily_r)) == half * s.first_half_r + (len(p.days) - half) * s.second_half_r
    assert list(NAMES) == [group.name for group in s.by_ticker]
    assert p.trades == sum(group.trades for group in s.by_ticker)
    assert sum(group.net > 0 for group in s.by_ticker) / 3 == s.tickers_up


def test_a_day_without_a_trade_is_neither_up_nor_down(market):
    said = said_by(market, "buy_and_hold")
    for day in (11, 13, 17):
        said.action[market.row_of(DAYS[day]) : market.row_of(DAYS[day + 1])] = 0
    found = measured(market, RULES, SPAN, said)

    assert (len(DAYS[10:-1]), len(DAYS[10:-1]) - 3) == (len(found.days), found.stability.days_traded)
    assert pytest.approx(sum(r > 0 for r in found.daily_r) / (len(found.days) - 3)) == found.stability.days_up


def test_the_baselines_stand_beside_it_on_the_same_days(found):
    assert {*BASELINES, RANDOM} == found.baselines.keys()
    assert {found.policy.days} == {each.days for each in found.baselines.values()}
    assert 0 == found.baselines["stay_out"].trades == found.baselines["stay_out"].avg_reward
    assert len(DAYS[10:-1]) * len(NAMES) == found.baselines["buy_and_hold"].trades


@pytest.mark.parametrize("wanted", [0, 1, 7, 60, 150])
def test_the_random_policy_trades_about_as_often(wanted, market):
    strategy, trades = random_like(market, BUSY, SPAN, wanted)

    assert abs(len(trades) - wanted) <= max(0, round(0.05 * wanted))
    assert list(backtest.walk(market, strategy, BUSY, SPAN).trades) == list(trades)


def test_a_count_that_cannot_be_reached_is_come_close_to_and_said(market, found):
    _, most = random_like(market, RULES, SPAN, 10**6)
    _, fewer = random_like(market, RULES, SPAN, len(most) // 2)

    at_every_bar = backtest.walk(market, with_parameters(find(RANDOM), {"rate": 1.0}), RULES, SPAN).trades

    assert len(fewer) < len(at_every_bar) < len(most), "acting always keeps itself out"
    assert f"makes {found.baselines[RANDOM].trades} trades (" in found.random_said
    assert "%" in found.random_said


def test_a_policy_that_never_trades_has_measures_too(market):
    said = said_by(market, "stay_out")
    found = evaluate(market, RULES, SPAN, said)

    assert (0, 0.0, None, 0.0) == (
        found.policy.trades,
        found.policy.avg_reward,
        found.policy.daily_sharpe,
        found.policy.r_a_day,
    )
    assert (0, 0.0) == (found.baselines[RANDOM].trades, found.random_rate)
    assert "as many as the policy" in found.random_said
    assert {"avg_reward", "trades", "days"} <= found.numbers().keys()


def test_it_is_written_as_json_and_as_plain_numbers(found):
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    numbers = found.numbers()

    assert found.policy.avg_reward == document["policy"]["avg_reward"] == numbers["avg_reward"]
    assert [day.isoformat() for day in found.policy.days] == document["policy"]["days"]
    assert {*BASELINES, RANDOM} == document["baselines"].keys()
    assert found.random_said == document["random"]["said"]
    assert all(type(value) is float and math.isfinite(value) for value in numbers.values())


def test_the_record_is_what_a_promotion_asks_for(found):
    class Once:
        count, variance = 1, None

    verdict = judged(found.policy, None, found.baselines.values(), Once())

    assert not verdict.is_promoted, "chance earns nothing after costs"
    assert len(BASELINES) + 1 == sum(reason.name.startswith("above ") for reason in verdict.reasons) - 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), rate=st.floats(0.0, 0.3))
def test_sums_agree_whatever_is_said(market, seed, rate):
    rng = np.random.default_rng(seed)
    shape = market.table.close.shape
    action = np.where(rng.random(shape) < rate, rng.choice([1, -1], shape), 0).astype(np.int8)
    found: Measures = measured(market, BUSY, SPAN, fast.Signals(action, rng.random(shape)))
    shape_of = luck.moments(found.daily_r)

    assert math.isclose(sum(found.daily_r), found.avg_reward * found.trades, abs_tol=1e-9)
    assert sum(found.daily_net) == found.costs.net
    assert math.isclose(found.r_a_day * len(found.days), sum(found.daily_r), abs_tol=1e-9)
    assert (None if shape_of is None else shape_of[0]) == found.daily_sharpe
    assert found.stability.days_traded <= len(found.days)
