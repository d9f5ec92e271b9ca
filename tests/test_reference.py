"""What a policy is measured against: it knows what it should and no more, and stands in the right order."""

from dataclasses import replace
from datetime import datetime, time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fast
import reference
import strategies
import yardsticks
from candle_store import Origin, replace_candles
from facts import read_calendar, read_tariff
from market import Hours, Market, load
from planted import BARS, Kind, Planted
from planted import market as plant
from rulebook import tables
from rulebook.hours import IST
from rulebook.rules import Rules
from tests.conftest import ROOT
from tests.tables import name_of, random_market
from yardsticks import HandRule, bound, daily_r, fitted

CALENDAR, TARIFF = read_calendar(ROOT / "config"), read_tariff(ROOT / "config")
HOURS = Hours(time(9, 20), time(15, 0), time(15, 8))
ORIGIN = Origin("planted", datetime(2026, 1, 1, tzinfo=IST), False)
RULES = Rules(capital=10_000_000, cost_times_milli=1_000)
FIT, UNSEEN, MANY = np.arange(16, 64), np.arange(64, 84), np.arange(64, 124)
FEW = UNSEEN[:4]


@cache
def world(kind: Kind, drift_bp: int = 70, days: int = 84) -> tuple[Planted, Market]:
    planted = plant(kind, drift_bp, 4, CALENDAR, days)
    with TemporaryDirectory() as folder:
        for name, frame in planted.frames.items():
            replace_candles(Path(folder), name, "5m", frame, ORIGIN)
        return planted, load(Path(folder), list(planted.frames), "5m", HOURS, CALENDAR, TARIFF)


def changed_after(market: Market, row: int) -> Market:
    """The same candles until that bar's close, and quite different ones after it."""
    rng = np.random.default_rng(9)
    factor = np.exp(np.cumsum(rng.normal(0, 0.004, market.table.close.shape), axis=0))
    columns = [column.copy() for column in market.table[:5]]
    for column in columns:
        column[row + 1 :] = (column * factor)[row + 1 :].astype(column.dtype)
    return replace(market, table=type(market.table)._make([*columns, *market.table[5:]]))


def changed_hidden_after(planted: Planted, row: int) -> Planted:
    left, step, sigma = planted.left.copy(), planted.step.copy(), planted.sigma.copy()
    left[row + 1 :], step[row + 1 :], sigma[row + 1 :] = (
        each[row + 1 :][::-1] for each in (planted.left, planted.step, planted.sigma)
    )
    return replace(planted, left=left, step=step, sigma=sigma)


# --- the reference --------------------------------------------------------------------------------------


def test_the_same_seed_says_the_same_and_another_one_is_as_sure_of_nothing():
    planted, market = world(Kind.SHOCK)
    first, again, other = (reference.signals(planted, market, RULES, FEW, seed, 20) for seed in (1, 1, 2))

    assert first.action.tolist() == again.action.tolist()
    assert first.confidence.tolist() == again.confidence.tolist()
    assert first.action.any()
    assert first.confidence.tolist() != other.confidence.tolist()


@pytest.mark.parametrize("bar", [30, 52])
def test_it_does_not_see_what_comes_after_a_close(bar):
    planted, market = world(Kind.SHOCK)
    row = int(FEW[1]) * BARS + bar
    as_it_was = reference.signals(planted, market, RULES, FEW, 1, 20)
    otherwise = reference.signals(
        changed_hidden_after(planted, row), changed_after(market, row), RULES, FEW, 1, 20
    )

    assert as_it_was.action[: row + 1].tolist() == otherwise.action[: row + 1].tolist()
    assert as_it_was.confidence[: row + 1].tolist() == otherwise.confidence[: row + 1].tolist()
    assert as_it_was.action[row + 1 :].tolist() != otherwise.action[row + 1 :].tolist()
    assert as_it_was.action[int(FEW[0]) * BARS : row + 1].any()


@pytest.mark.parametrize("kind", list(Kind))
def test_without_a_drift_it_says_nothing(kind):
    planted, market = world(kind, 0)

    assert planted.left.any()
    assert not reference.signals(planted, market, RULES, UNSEEN, 1, 20).action.any()


def test_it_speaks_on_its_days_and_while_a_drift_runs_or_a_trade_is_open():
    planted, market = world(Kind.SHOCK)
    said = reference.signals(planted, market, RULES, FEW[::2], 1, 20)
    days = set(market.table.day[said.action.any(axis=1)])
    enters = (said.action != 0) & (said.confidence > 0)

    assert set(FEW[::2]) == days
    assert (np.sign(planted.step)[enters] == said.action[enters]).all()
    assert (said.confidence < 1).all()


def test_it_leaves_only_trades_that_are_open():
    """Flat, the same opposite signal would enter."""
    planted, market = world(Kind.LEAD)
    said = reference.signals(planted, market, RULES, UNSEEN[:8], 1, 20)
    table = market.table
    trades = fast.simulate(table, market.fixed, RULES, said).trades
    leaves = np.argwhere((said.action != 0) & (said.confidence == 0))
    closes_s = table.opened_s + table.length_s

    assert len(leaves) > 20
    for row, s in leaves:
        is_open = (trades[:, tables.T_TICKER] == s) & (trades[:, tables.T_SIGN] == -said.action[row, s])
        is_open &= (trades[:, tables.T_DECIDED] < closes_s[row]) & (
            trades[:, tables.T_EXITED] >= closes_s[row]
        )

        assert 1 == is_open.sum()


@pytest.mark.parametrize("age", [0, 1, 9])
def test_a_trade_risks_in_its_futures_what_it_risks_in_the_market(age):
    """Its stop comes of the average range at its decision, and of nothing that was drawn."""
    planted, market = world(Kind.SHOCK)
    scene = reference._scene(planted, market, RULES, seed=1, paths=6)
    row = int(UNSEEN[0]) * BARS + 40
    cases = [reference._Case(row, s, row - age, 1 - 2 * (s % 2)) for s in range(8)]
    futures = reference._futures(scene, cases)
    entry = np.arange(len(futures.table.close))[:, None] == futures.now - age
    action = np.where(entry, futures.sign, 0).astype(np.int8).repeat(6, axis=1)
    alone = RULES._replace(max_concurrent=48, one_entry_a_bar=False, max_trades_per_day=48)
    in_futures = fast.simulate(
        futures.table, futures.fixed, alone, fast.Signals(action, np.zeros(action.shape))
    ).trades
    once = np.zeros_like(market.table.close, np.int8)
    once[row - age] = futures.sign
    in_market = fast.simulate(
        market.table, market.fixed, alone, fast.Signals(once, np.zeros(once.shape))
    ).trades

    stops = {int(t[tables.T_TICKER]): (int(t[tables.T_ENTRY]), int(t[tables.T_STOP])) for t in in_market}

    assert 48 == len(in_futures)
    for trade in in_futures:  # to a tick: the mean of whole ranges is not quite the average
        entry, stop = stops[int(trade[tables.T_TICKER]) // 6]

        assert entry == trade[tables.T_ENTRY]
        assert abs(stop - trade[tables.T_STOP]) <= 5


def test_futures_are_as_volatile_as_the_process():
    """How far log volatility goes in so many bars, and how much of where it was is then forgotten."""
    planted, _ = world(Kind.LEAD)  # no bar of it is calmed before an event
    sigma = planted.sigma.reshape(-1, BARS, 8)
    now, rng = sigma[:, 10].reshape(-1), np.random.default_rng(3)
    drawn = np.stack([reference.volatility_ahead(rng, float(each), 10, 20) for each in now])
    for ahead, forgotten in ((1, 0.03), (5, 0.1413), (40, 0.7043)):
        true = np.log(sigma[:, 10 + ahead].reshape(-1) / now)
        ours = np.log(drawn[:, ahead - 1] / now[:, None])

        assert pytest.approx(true.std(), rel=0.08) == ours.std()
        assert pytest.approx(true.mean(), abs=0.04) == ours.mean()
        assert pytest.approx(-forgotten, abs=0.02) == np.polyfit(np.log(now), ours.mean(axis=1), 1)[0]


def test_a_market_of_other_candles_is_refused():
    planted, market = world(Kind.SHOCK)
    short = replace(planted, left=planted.left[BARS:])
    with pytest.raises(ValueError, match="load it from the candles of this very Planted"):
        reference.signals(short, market, RULES, FEW, 1)


# --- the order of things --------------------------------------------------------------------------------


def crude(planted: Planted, least_left: int, leaves: bool) -> fast.Signals:
    """Whenever so many bars of drift are to come; sure, but for leaving when it is over."""
    side = np.sign(planted.step).astype(np.int8)
    action = np.where(planted.left >= least_left, side, 0).astype(np.int8)
    is_over = np.zeros(side.shape, bool)
    is_over[1:] = (planted.left[:-1] > 0) & (planted.left[1:] == 0)
    if leaves:
        action = np.where(is_over & (action == 0), -np.roll(side, 1, axis=0), action).astype(np.int8)
    return fast.Signals(action, np.where(is_over, 0.1, 1.0))


def on_days(said: fast.Signals, market: Market, days) -> fast.Signals:
    return fast.Signals(
        np.where(np.isin(market.table.day, days)[:, None], said.action, 0).astype(np.int8), said.confidence
    )


@pytest.mark.long
@pytest.mark.parametrize("kind", list(Kind))
def test_the_reference_stands_above_all_others_and_below_the_bound(kind):
    planted, market = world(kind, days=124)
    knows = daily_r(market, RULES, reference.signals(planted, market, RULES, MANY, 4, 60), MANY)
    rule = fitted(kind, market, planted.industries, RULES, FIT)
    by_hand = daily_r(market, RULES, yardsticks.signals(rule, market, planted.industries, MANY), MANY)
    sure = RULES._replace(min_confidence=0.5)  # who leaves when flat enters nothing
    by_crude = {
        (k, leaves): daily_r(market, sure, on_days(crude(planted, k, leaves), market, MANY), MANY).mean()
        for k in range(1, 8)
        for leaves in (False, True)
    }
    by_strategies = {
        name: daily_r(
            market, RULES,
            on_days(fast.signals(strategies.find(name), market.table, market.tickers), market, MANY), MANY,
        ).mean()
        for name in strategies.known()
    }  # fmt: skip

    assert 1 < by_hand.mean() < knows.mean()
    assert max(by_strategies.values()) < knows.mean()
    assert max(by_crude.values()) < knows.mean()
    assert (knows < bound(market, RULES, MANY)).all()


# --- by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_a_rule_fitted_on_some_days_finds_the_edge_on_others(kind):
    planted, market = world(kind)
    rule = fitted(kind, market, planted.industries, RULES, FIT)
    said = yardsticks.signals(rule, market, planted.industries, UNSEEN)
    is_right = np.sign(planted.step) == said.action

    assert set(UNSEEN) >= set(market.table.day[said.action.any(axis=1)])
    assert is_right[said.action != 0].mean() > 0.5
    assert daily_r(market, RULES, said, UNSEEN).mean() > 0


def test_where_no_rule_earns_anything_none_is_asked():
    planted, market = world(Kind.REVERSION, 0)
    rule = fitted(Kind.REVERSION, market, planted.industries, RULES, FIT)

    assert 0 == rule.bars
    assert not yardsticks.signals(rule, market, planted.industries, UNSEEN).action.any()


@pytest.mark.parametrize(
    "rule",
    [
        HandRule(Kind.SHOCK, volume=2.0, move=0.5, bars=2, calm=0.8),
        HandRule(Kind.REVERSION, volume=0.7, move=1.0, bars=3, wick=0.05, per_move=0.2),
        HandRule(Kind.LEAD, volume=2.0, move=0.3, bars=3),
    ],
    ids=lambda rule: rule.kind,
)
def test_a_rule_by_hand_sees_closed_candles_alone(rule):
    planted, market = world(rule.kind)
    row = int(UNSEEN[2]) * BARS + 33
    as_it_was, otherwise = (
        yardsticks.signals(rule, each, planted.industries, UNSEEN)
        for each in (market, changed_after(market, row))
    )

    assert as_it_was.action[: row + 1].any()
    assert as_it_was.action[: row + 1].tolist() == otherwise.action[: row + 1].tolist()
    assert as_it_was.confidence[: row + 1].tolist() == otherwise.confidence[: row + 1].tolist()
    assert as_it_was.action[row + 1 :].tolist() != otherwise.action[row + 1 :].tolist()


def test_what_it_observes_of_a_bar_is_not_changed_by_later_ones():
    _, market = world(Kind.SHOCK)
    row = int(UNSEEN[2]) * BARS + 33
    as_it_was, otherwise = (yardsticks._observed(each) for each in (market, changed_after(market, row)))
    for name in ("move", "volume", "calm", "is_away", "wick"):
        before, after = getattr(as_it_was, name), getattr(otherwise, name)

        assert np.array_equal(before[: row + 1], after[: row + 1])
        assert not np.array_equal(before[row + 1 :], after[row + 1 :])


def test_only_followers_are_asked_for_by_who_leads():
    planted, market = world(Kind.LEAD)
    said = yardsticks.signals(
        HandRule(Kind.LEAD, volume=2.0, move=0.3, bars=1), market, planted.industries, UNSEEN
    )

    assert not said.action[:, [0, 4]].any()
    assert (said.action[:, [1]] == said.action[:, 1:4]).all()
    assert (said.action[:, [5]] == said.action[:, 5:]).all()
    assert (said.action[:, 1] != said.action[:, 5]).any()


# --- the bound ------------------------------------------------------------------------------------------


def small(seed: int, tickers: int = 3) -> tuple[Market, fast.Signals]:
    found = random_market(seed, tickers=tickers)
    names = tuple(name_of(s) for s in range(tickers))
    made = Market(names, tuple(found.days), found.table, found.finer, found.first_fine, found.fixed, (), ())
    return made, fast.Signals(found.action, found.confidence)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    trail_milli=st.sampled_from([0, 300, 1_000]),
    max_trades_per_day=st.sampled_from([1, 3, 12]),
    cooldown_bars=st.sampled_from([0, 3]),
    one_entry_a_bar=st.booleans(),
    max_loss_milli=st.sampled_from([0, 500]),
    fill_cost_bps=st.sampled_from([0, 2]),
)
def test_nobody_earns_more_than_the_bound(seed, **numbers):
    market, said = small(seed)
    rules = Rules(capital=1_000_000, cost_times_milli=0, max_concurrent=3, **numbers)

    assert (daily_r(market, rules, said, [0, 1]) <= bound(market, rules, [0, 1]) + 1e-5).all()


@pytest.mark.parametrize("seed", [0, 1, 10, 54])
def test_the_bound_of_one_trade_is_the_best_one(seed):
    """In the last two of these markets the best one is left after two bars, and after one."""
    market, _ = small(seed, tickers=1)
    rules = Rules(capital=1_000_000, cost_times_milli=0, max_trades_per_day=1)
    held = [np.full(market.table.close.shape, bars, np.int32) for bars in range(1, 40)]
    outcomes = [
        fast.outcomes(market.table, market.fixed, rules, each, market.finer, market.first_fine).r
        for each in held
    ]
    best = [max(float(r[:, market.table.day == day].max()) for r in outcomes) for day in (0, 1)]

    assert min(best) > 0
    assert pytest.approx(best) == bound(market, rules, [0, 1])


def test_more_trades_a_day_earn_more_until_none_is_left():
    market, _ = small(3, tickers=2)
    rules = Rules(capital=1_000_000, cost_times_milli=0)
    found = [bound(market, rules._replace(max_trades_per_day=n), [1])[0] for n in (0, 1, 2, 5, 40, 80)]

    assert 0 == found[0]
    assert found == sorted(found)
    assert found[1] < found[2] < 2 * found[1] + 1e-9
    assert found[-1] == found[-2]
