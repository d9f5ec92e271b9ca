"""How an entry goes out, and where a stop's limit lies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulebook.fills import Level
from rulebook.order_records import Terms
from rulebook.pricing import STOP_BUFFER_BPS, entry_terms, guard_price, reference_price, stop_terms
from rulebook.records import OrderType, Paise, Side

BIDS = (Level(Paise(100_000), 50), Level(Paise(99_950), 500))
ASKS = (Level(Paise(100_050), 50), Level(Paise(100_300), 500))


@pytest.mark.parametrize(
    ("side", "qty", "expected"),
    [
        (Side.BUY, 50, Terms(50, OrderType.MARKET)),  # 2.5 bp from the mid
        (Side.SELL, 50, Terms(50, OrderType.MARKET)),
        (Side.BUY, 300, Terms(300, OrderType.LIMIT, Paise(100_125))),  # 23 bp: the guard is 10 bp over
        (Side.SELL, 9_000, Terms(9_000, OrderType.LIMIT, Paise(99_925))),  # the book is too thin
    ],
)
def test_market_within_the_slippage_that_is_allowed_else_the_guard(side, qty, expected):
    assert expected == entry_terms(side, qty, Paise(100_000), BIDS, ASKS, 10.0, Paise(5))


def test_a_market_order_that_the_broker_refuses_goes_out_as_a_limit():
    terms = entry_terms(Side.BUY, 50, Paise(100_000), BIDS, ASKS, 10.0, Paise(5), may_market=False)

    assert Terms(50, OrderType.LIMIT, Paise(100_125)) == terms


@pytest.mark.parametrize(
    ("bids", "asks", "expected"),
    [(BIDS, ASKS, 100_025), (BIDS, (), 99_000), ((), ASKS, 99_000), (ASKS, BIDS, 99_000)],
)
def test_the_mid_is_the_reference_where_there_are_two_sides_in_order(bids, asks, expected):
    assert expected == reference_price(Paise(99_000), bids, asks)


@given(
    st.sampled_from(list(Side)),
    st.integers(100, 10**7),
    st.floats(0, 500, allow_nan=False),
    st.sampled_from([1, 5, 10, 50, 100, 500]),
)
def test_the_guard_is_on_the_grid_and_never_beyond_what_is_allowed(side, reference, bps, tick):
    price = guard_price(side, Paise(reference), bps, Paise(tick))

    assert 0 == price % tick
    assert price == tick or side * (price - reference) <= reference * bps / 10_000


@given(st.sampled_from(list(Side)), st.integers(1_000, 10**6), st.sampled_from([1, 5, 10, 50]))
def test_a_stops_limit_lies_beyond_its_trigger_by_the_buffer(side, ticks, tick):
    trigger = Paise(ticks * tick)
    terms = stop_terms(side, 7, trigger, Paise(tick))

    assert terms.price is not None
    gap = side * (terms.price - trigger)
    assert 0 == terms.price % tick
    assert tick <= gap <= max(tick, trigger * STOP_BUFFER_BPS // 10_000)
    assert (7, OrderType.SL, trigger) == (terms.qty, terms.order_type, terms.trigger)


def test_a_stops_limit_keeps_within_the_days_circuit():
    low = stop_terms(Side.SELL, 1, Paise(91_000), Paise(5), lower=Paise(90_000), upper=Paise(110_000))
    high = stop_terms(Side.BUY, 1, Paise(109_000), Paise(5), lower=Paise(90_000), upper=Paise(110_000))

    assert (90_000, 110_000) == (low.price, high.price)
