"""What each action would have earned: held to the event path, trade by trade."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fast
from rulebook.outcomes import NO_TRADE
from rulebook.records import Side
from rulebook.rules import Rules
from rulebook.tables import Fixed, Table
from rulebook.trades import ClosedTrade
from tests.tables import Market, by_events, name_of, random_market

rules = st.builds(
    Rules,
    **{name: st.just(value) for name, value in Rules(capital=1)._asdict().items()}
    | {
        "capital": st.sampled_from([200_000, 1_000_000]),
        "trail_milli": st.sampled_from([300, 1_000, 5_000]),
        "atr_times_milli": st.sampled_from([300, 1_500]),
        "cost_times_milli": st.sampled_from([0, 1_000]),
        "stop_bps": st.sampled_from([0, 0, 30, 200]),
        "target_milli": st.sampled_from([0, 0, 700]),
        "max_loss_milli": st.sampled_from([0, 1]),
        "max_order": st.sampled_from([0, 900_000]),
        "fill_cost_bps": st.sampled_from([0, 2, 15]),
        "volume_share_milli": st.sampled_from([0, 100]),
        "is_long_only": st.booleans(),
    },
)


def asked_once(market: Market, row: int, s: int, sign: int, exit_row: int | None = None) -> Market:
    """The same market, in which one thing is said, and what undoes it."""
    action = np.zeros_like(market.action)
    action[row, s] = sign
    if exit_row is not None and exit_row < len(action):
        action[exit_row, s] = -sign
    return replace(market, action=action, confidence=np.where(action == sign, 1.0, 0.1))


def alone(market: Market, rules: Rules, *asked: int) -> ClosedTrade | None:
    trades = by_events(asked_once(market, *asked), rules._replace(max_loss_milli=0, min_confidence=0.5), True)
    return trades[0] if trades else None


def row_of(market: Market, trade: ClosedTrade) -> int:
    """In whose bar it ended; the end of a bar belongs to it where the day ends with it."""
    exited_s, opened_s = int(trade.exited_at.timestamp()), market.table.opened_s
    return int(np.searchsorted(opened_s, exited_s, side="right")) - 1


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rules=rules,
    row=st.integers(0, 79),
    s=st.integers(0, 2),
    sign=st.sampled_from([1, -1]),
    hold_bars=st.sampled_from([0, 0, 1, 5]),
)
def test_an_outcome_is_what_the_event_path_earns_with_that_trade_alone(seed, rules, row, s, sign, hold_bars):
    market = random_market(seed)
    held = np.full(market.table.close.shape, hold_bars, np.int32)
    found = fast.outcomes(market.table, market.fixed, rules, held, market.finer, market.first_fine)
    side = 0 if sign > 0 else 1
    exit_row = row + hold_bars if hold_bars else None
    day_end = np.flatnonzero(market.table.day == market.table.day[row])[-1]
    trade = alone(market, rules, row, s, sign, *([exit_row] if exit_row and exit_row <= day_end else []))

    if trade is None:
        assert (0.0, NO_TRADE) == (found.r[side, row, s], found.exit_row[side, row, s])
    else:
        assert pytest.approx(trade.r, abs=1e-5) == found.r[side, row, s]
        assert row_of(market, trade) == found.exit_row[side, row, s]
        assert (name_of(s), Side.BUY if sign > 0 else Side.SELL) == (trade.ticker, trade.side)


def test_some_bars_have_an_outcome_and_some_have_none():
    found = fast.outcomes(*market_parts(7), Rules(capital=1_000_000, cost_times_milli=0))
    known = found.exit_row != NO_TRADE

    assert 0.5 < known.mean() < 0.95
    assert (found.r[known] > 0).any()
    assert (found.r[known] < -1).any()
    assert not found.r[~known].any()


def test_what_comes_after_a_day_does_not_reach_into_it():
    table, fixed = market_parts(8)
    rules = Rules(capital=1_000_000, cost_times_milli=0)
    first_day = table.day == 0
    cut = type(table)._make([*(column[first_day] for column in table[:8]), table.length_s])
    whole, part = fast.outcomes(table, fixed, rules), fast.outcomes(cut, fixed, rules)

    assert whole.r[:, first_day].tolist() == part.r.tolist()
    assert whole.exit_row[:, first_day].tolist() == part.exit_row.tolist()


def market_parts(seed: int) -> tuple[Table, Fixed]:
    market = random_market(seed)
    return market.table, market.fixed
