"""One rule book: the compiled walk and the event path take the same trades, to the paisa."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rulebook.rules import Rules
from tests.tables import by_events, by_walk, random_market

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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rules=rules,
    with_finer=st.booleans(),
    jump=st.sampled_from([0.001, 0.004, 0.02]),
)
def test_the_compiled_walk_takes_the_trades_of_the_event_path(seed, rules, with_finer, jump):
    market = random_market(seed, jump=jump)
    slow = by_events(market, rules, with_finer)
    fast = by_walk(market, rules, with_finer)

    key = lambda trade: (trade.exited_at, trade.ticker)  # noqa: E731
    assert sorted(slow, key=key) == sorted(fast, key=key)


@pytest.mark.parametrize("seed", range(4))
def test_the_markets_of_this_test_are_not_boring(seed):
    trades = by_walk(random_market(seed, days=4), Rules(capital=1_000_000, cost_times_milli=500))
    reasons = {trade.reason for trade in trades}

    assert len(trades) >= 20
    assert len(reasons) >= 3
