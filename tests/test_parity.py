"""One rule book: the compiled walk and the event path take the same trades, to the paisa."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import fast
import strategies
from rulebook.rules import Rules, are_apart
from rulebook.tables import Table
from rulebook.trades import ClosedTrade
from tests.tables import Market, by_events, by_walk, name_of, random_market

rules = st.builds(
    Rules,
    capital=st.sampled_from([200_000, 1_000_000, 30_000_000]),
    trail_milli=st.sampled_from([300, 1_000, 5_000]),
    atr_times_milli=st.sampled_from([300, 1_500]),
    cost_times_milli=st.sampled_from([0, 4_000]),
    stop_bps=st.sampled_from([0, 0, 30, 200]),
    target_milli=st.sampled_from([0, 0, 700, 2_000]),
    max_concurrent=st.integers(1, 3),
    max_trades_per_day=st.sampled_from([2, 12, 1_000]),
    cooldown_bars=st.integers(0, 4),
    min_confidence=st.sampled_from([0.0, 0.35]),
    max_loss_milli=st.sampled_from([0, 1_500, 3_000]),
    max_loss=st.sampled_from([0, 20_000]),
    max_order=st.sampled_from([0, 900_000]),
    max_total=st.sampled_from([0, 2_500_000]),
    fill_cost_bps=st.sampled_from([0, 2, 15]),
    volume_share_milli=st.sampled_from([0, 100]),
    one_entry_a_bar=st.booleans(),
    is_intraday=st.booleans(),
    is_long_only=st.booleans(),
)


# No contest, room for everyone and no limit that tickers share: each is walked for itself.
apart = st.builds(
    Rules,
    capital=st.sampled_from([200_000, 1_000_000]),
    trail_milli=st.sampled_from([0, 300, 1_000]),
    atr_times_milli=st.just(300),
    cost_times_milli=st.sampled_from([0, 4_000]),
    stop_bps=st.sampled_from([0, 30, 200]),
    target_milli=st.sampled_from([0, 0, 700]),
    max_concurrent=st.integers(3, 5),
    max_trades_per_day=st.just(10**6),
    cooldown_bars=st.integers(0, 4),
    min_confidence=st.sampled_from([0.0, 0.35]),
    max_loss_milli=st.just(0),
    max_loss=st.just(0),
    max_total=st.just(0),
    max_order=st.sampled_from([0, 900_000]),
    fill_cost_bps=st.sampled_from([0, 15]),
    volume_share_milli=st.sampled_from([0, 100]),
    one_entry_a_bar=st.just(False),
    is_intraday=st.booleans(),
    is_long_only=st.booleans(),
)
OVER_NIGHT = Rules(
    capital=200_000, trail_milli=5_000, atr_times_milli=300, cost_times_milli=0, stop_bps=200,
    max_concurrent=2, cooldown_bars=0, min_confidence=0.35, max_loss_milli=1_500, fill_cost_bps=15,
    volume_share_milli=0, one_entry_a_bar=False, is_intraday=False, is_long_only=True,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rules=rules,
    with_finer=st.booleans(),
    jump=st.sampled_from([0.001, 0.004, 0.02]),
)
@example(seed=33_554_432, rules=OVER_NIGHT, with_finer=False, jump=0.001)  # lost before its first entry
def test_the_compiled_walk_takes_the_trades_of_the_event_path(seed, rules, with_finer, jump):
    market = random_market(seed, jump=jump)
    slow = by_events(market, rules, with_finer)
    quick = by_walk(market, rules, with_finer)

    assert in_order(slow) == in_order(quick)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rules=apart,
    with_finer=st.booleans(),
    says=st.sampled_from([0.02, 0.3]),
    bars=st.sampled_from([40, 75]),  # a short day and a full one
)
def test_tickers_walked_one_by_one_take_the_trades_of_the_event_path(seed, rules, with_finer, says, bars):
    market = random_market(seed, says=says, bars=bars)
    slow = by_events(market, rules, with_finer)
    quick = by_walk(market, rules, with_finer)

    assert are_apart(3, len(market.table.close), rules)
    assert in_order(slow) == in_order(quick)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rules=apart,
    says=st.sampled_from([0.005, 0.05, 0.3]),
    bars=st.sampled_from([64, 65, 75, 200]),  # days of several lengths
)
def test_tickers_walked_one_by_one_take_the_trades_of_all_at_once(seed, rules, says, bars):
    market = random_market(seed, says=says, bars=bars)
    together = rules._replace(max_total=10**15)  # a limit that never binds, but is shared
    one_by_one, at_once = tallied(market, rules), tallied(market, together)

    assert not are_apart(3, len(market.table.close), together)
    assert one_by_one == at_once


@pytest.mark.parametrize("is_apart", [True, False])
@pytest.mark.parametrize("with_finer", [True, False])
def test_it_is_the_same_whether_prices_lie_row_by_row_or_ticker_by_ticker(is_apart, with_finer):
    market = random_market(7, days=4, bars=75)
    limits = Rules(capital=1_000_000, stop_bps=50, cost_times_milli=0, max_loss_milli=0, max_concurrent=3,
                   max_trades_per_day=10**6, one_entry_a_bar=not is_apart)  # fmt: skip
    lying = replace(market, table=by_ticker(market.table), finer=by_ticker(market.finer))

    assert is_apart == are_apart(3, len(market.table.close), limits)
    assert by_walk(market, limits, with_finer) == by_walk(lying, limits, with_finer)
    assert len(by_walk(market, limits, with_finer)) > 20


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"max_concurrent": 2}, False),
        ({"max_trades_per_day": 3 * 40 - 1}, False),
        ({"max_loss_milli": 1}, False),
        ({"max_loss": 1}, False),
        ({"max_total": 1}, False),
        ({"one_entry_a_bar": True}, False),
        ({"max_order": 1, "cooldown_bars": 9, "min_confidence": 0.9, "is_intraday": False}, True),
    ],
)
def test_tickers_are_apart_where_nothing_that_is_shared_is_limited(changed, expected):
    rules = Rules(
        capital=1, max_concurrent=3, max_trades_per_day=120, max_loss_milli=0, one_entry_a_bar=False
    )

    assert expected == are_apart(3, 40, rules._replace(**changed))


@pytest.mark.parametrize("name", ["sma_cross", "opening_range", "random_policy"])
@pytest.mark.parametrize("is_apart", [True, False])
def test_signals_walked_while_they_are_made_give_the_trades_of_signals_made_before(name, is_apart):
    market, strategy = random_market(3, days=8, bars=75), strategies.find(name)
    rules = Rules(capital=1_000_000, stop_bps=50, cost_times_milli=0, max_loss_milli=0, max_concurrent=3,
                  max_trades_per_day=10**6, one_entry_a_bar=not is_apart)  # fmt: skip
    names, heard = [name_of(s) for s in range(3)], range(70, 590)
    said = fast.signals(strategy, market.table, names)
    said.action[: heard.start] = said.action[heard.stop :] = 0
    before = fast.simulate(market.table, market.fixed, rules, said)
    while_made = fast.backtest(market.table, market.fixed, rules, strategy, names, heard)

    assert len(market.table.close) > fast.ROWS_AT_ONCE
    assert len(before.trades) > 5
    assert rows_in_order(before.trades) == rows_in_order(while_made.trades)
    assert before.tallies.tolist() == while_made.tallies.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_the_markets_of_this_test_are_not_boring(seed):
    trades = by_walk(random_market(seed, days=4), Rules(capital=1_000_000, cost_times_milli=500))
    reasons = {trade.reason for trade in trades}

    assert len(trades) >= 20
    assert len(reasons) >= 3


def by_ticker(table: Table) -> Table:
    return Table._make([*(np.asfortranarray(column) for column in table[:5]), *table[5:]])


def in_order(trades: list[ClosedTrade]) -> list[ClosedTrade]:
    return sorted(trades, key=lambda trade: (trade.exited_at, trade.ticker))


def rows_in_order(rows: Any) -> list[list[int]]:
    return sorted(np.asarray(rows).tolist())


def tallied(market: Market, rules: Rules) -> Any:
    said = fast.Signals(market.action, market.confidence)
    found = fast.simulate(market.table, market.fixed, rules, said)
    return rows_in_order(found.trades), rows_in_order(found.moves), found.tallies.tolist()
