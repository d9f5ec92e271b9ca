"""Does a venue give what it would give, never the better side of a doubt, against a bar and against a book?"""

from fractions import Fraction
from itertools import accumulate
from math import ceil, floor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rulebook.fills import (
    Level,
    Match,
    Resting,
    activated,
    at_market,
    automatic_protection_milli,
    expected_price,
    fillable,
    is_triggered,
    is_within_band,
    match,
    protected_limit,
    slippage_bps,
    stop_price,
)
from rulebook.records import OrderType, Paise, Side

LONG, SHORT = 1, -1
BUY, SELL = Side.BUY, Side.SELL
LIMIT, SL, SL_M = OrderType.LIMIT, OrderType.SL, OrderType.SL_M
LAW = settings(max_examples=300, deadline=None)
EXAMPLES = settings(max_examples=100, deadline=None)
SIGNS = st.sampled_from([LONG, SHORT])
SIDES = st.sampled_from(list(Side))
TICKS = st.sampled_from([1, 5, 10, 50, 100, 500])
PRICES = st.integers(1, 3_000_000)
BPS = st.integers(0, 100)


# --- against one price --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "price", "bps", "tick", "paid"),
    [
        (BUY, 10_000, 0, 5, 10_000),
        (SELL, 10_000, 0, 5, 10_000),
        (BUY, 100_000, 2, 5, 100_020),
        (SELL, 100_000, 2, 5, 99_980),
        (BUY, 10_000, 2, 5, 10_005),  # 10,002: to the worse tick
        (SELL, 10_000, 2, 5, 9_995),
        (BUY, 10_001, 0, 5, 10_005),  # off the grid: to the worse tick, too
        (SELL, 10_004, 0, 5, 10_000),
        (BUY, 10_000, 1, 1, 10_001),
        (BUY, 10_001, 1, 1, 10_003),  # 1.0001 paise are two
        (SELL, 10_001, 1, 1, 9_999),
        (SELL, 5, 100, 5, 5),  # one tick is the least
        (SELL, 3, 0, 5, 5),
    ],
)
def test_a_market_order_pays_the_cost_and_the_worse_tick(sign, price, bps, tick, paid):
    assert paid == at_market(sign, price, bps, tick)


@EXAMPLES
@given(PRICES, BPS, TICKS)
@example(10_001, 1, 1)
def test_what_is_paid_is_the_least_bad_tick_on_both_sides(price, bps, tick):
    cost = Fraction(price * bps, 10_000)

    assert ceil((price + cost) / tick) * tick == at_market(BUY, price, bps, tick)
    assert max(tick, floor((price - cost) / tick) * tick) == at_market(SELL, price, bps, tick)


@EXAMPLES
@given(SIDES, PRICES, BPS, st.integers(0, 50), TICKS)
def test_more_cost_never_gives_a_better_price(side, price, bps, more, tick):
    assert side * at_market(side, price, bps, tick) <= side * at_market(side, price, bps + more, tick)


@LAW
@given(st.integers(100, 6_000), BPS, TICKS)
def test_a_sale_is_the_reflection_of_a_purchase_about_a_price_of_the_grid(ticks, bps, tick):
    """About the price itself, as the cost is a share of it; and on the grid, as both take the worse tick."""
    price = ticks * tick

    assert 2 * price - at_market(BUY, price, bps, tick) == at_market(SELL, price, bps, tick)


@LAW
@given(SIDES, st.integers(100, 6_000), st.integers(-10_000, 10_000), TICKS)
def test_without_cost_a_purchase_is_reflected_about_any_pivot_of_the_grid(side, ticks, off, tick):
    pivot = ticks * tick
    price = pivot + off * tick // 500

    assert 2 * pivot - at_market(side, price, 0, tick) == at_market(-side, 2 * pivot - price, 0, tick)


@pytest.mark.parametrize(
    ("sign", "price", "is_gap", "fills_at"),
    [
        (LONG, 9_800, True, 9_800),  # the market opened beyond the stop
        (LONG, 9_900, True, 9_900),
        (LONG, 9_800, False, 9_900),  # within the bar the price passed the stop
        (SHORT, 10_000, True, 10_000),
        (SHORT, 9_900, True, 9_900),
        (SHORT, 10_000, False, 9_900),
        (LONG, 9_950, True, 9_900),  # nobody gets more than the stop
        (SHORT, 9_850, True, 9_900),
    ],
)
def test_a_gap_through_a_stop_fills_at_the_open(sign, price, is_gap, fills_at):
    assert fills_at == stop_price(sign, 9_900, price, is_gap)


@LAW
@given(SIGNS, PRICES, PRICES, st.booleans(), PRICES)
def test_the_fill_of_a_stop_is_reflected_about_any_pivot(sign, stop, price, is_gap, pivot):
    expected = 2 * pivot - stop_price(sign, stop, price, is_gap)

    assert expected == stop_price(-sign, 2 * pivot - stop, 2 * pivot - price, is_gap)


@pytest.mark.parametrize(
    ("qty", "volume", "share", "lot", "got"),
    [
        (100, 10_000, 100, 1, 100),
        (100, 1_000, 100, 1, 100),  # a tenth exactly
        (100, 999, 100, 1, 99),
        (100, 9, 100, 1, 0),
        (100, 0, 100, 1, 0),  # nobody traded
        (100, 0, 0, 1, 100),  # no limit
        (100, 999, 100, 25, 75),  # whole lots
        (100, 249, 100, 25, 0),
        (100, 1_000, 1_000, 50, 100),
        (100, 50, 1_000, 1, 50),
        (0, 1_000, 100, 1, 0),
    ],
)
def test_a_bar_gives_its_share_in_whole_lots(qty, volume, share, lot, got):
    assert got == fillable(qty, volume, share, lot)


@EXAMPLES
@given(st.integers(0, 1_000), st.integers(0, 10**6), st.integers(1, 1_000), st.integers(1, 100))
def test_what_a_bar_gives_is_never_more_than_its_share_and_one_lot_more_would_be(lots, volume, share, lot):
    qty = lots * lot
    got = fillable(qty, volume, share, lot)

    assert 0 == got % lot
    assert got <= qty
    assert 1_000 * got <= volume * share
    assert got == qty or 1_000 * (got + lot) > volume * share


@pytest.mark.parametrize(
    ("price", "lower", "upper", "is_taken"),
    [
        (9_000, 9_000, 11_000, True),  # the limits themselves are prices
        (11_000, 9_000, 11_000, True),
        (8_999, 9_000, 11_000, False),
        (11_001, 9_000, 11_000, False),
        (1, 0, 11_000, True),  # unknown does not bind
        (10**9, 9_000, 0, True),
        (11_001, 0, 11_000, False),
        (8_999, 9_000, 0, False),
    ],
)
def test_an_order_lies_within_the_circuit_limits_that_are_known(price, lower, upper, is_taken):
    assert is_taken is is_within_band(price, lower, upper)


# --- protection -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "milli"),
    [(5_00, 2_000), (99_99, 2_000), (100_00, 1_000), (500_00, 1_000), (500_01, 500), (9_000_00, 500)],
)
def test_automatic_protection_goes_by_slabs(last, milli):
    assert milli == automatic_protection_milli(Paise(last))


@pytest.mark.parametrize(
    ("side", "last", "milli", "tick", "limit"),
    [
        (BUY, 100_00, 1_000, 5, 101_00),
        (SELL, 100_00, 1_000, 5, 99_00),
        (BUY, 1_000_00, 500, 10, 1_005_00),
        (SELL, 1_000_00, 500, 10, 995_00),
        (BUY, 50_00, 2_000, 5, 51_00),
        (BUY, 100_33, 1_000, 5, 101_35),  # 101.33 to the nearest tick
        (SELL, 100_33, 1_000, 5, 99_35),  # 99.33
        (BUY, 100_00, 2_125, 1, 102_12),  # a fraction of a paisa is left out of the protection
        (SELL, 100_00, 100_000, 5, 5),  # a hundred percent below is no price
        (SELL, 2, 0, 5, 5),
    ],
)
def test_a_protected_market_order_is_a_limit_at_its_percentage(side, last, milli, tick, limit):
    assert limit == protected_limit(side, Paise(last), milli, Paise(tick))


# --- triggers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "last", "fires"),
    [
        (SELL, 9_901, False),
        (SELL, 9_900, True),
        (SELL, 9_899, True),
        (BUY, 9_899, False),
        (BUY, 9_900, True),
        (BUY, 9_901, True),
    ],
)
def test_a_stop_fires_when_the_last_trade_touches_its_trigger(side, last, fires):
    order = Resting(side, 10, SL, limit=Paise(9_890), trigger=Paise(9_900))

    assert fires is is_triggered(order, Paise(last))


def test_an_order_without_a_trigger_never_fires():
    assert is_triggered(Resting(BUY, 10, LIMIT, Paise(1)), Paise(10**9)) is False


def test_a_triggered_sl_rests_at_its_own_limit():
    order = Resting(SELL, 10, SL, limit=Paise(9_890), trigger=Paise(9_900))

    assert Resting(SELL, 10, LIMIT, Paise(9_890)) == activated(order, Paise(9_000), Paise(5))


@pytest.mark.parametrize(
    ("side", "last", "limit"),
    [(SELL, 9_900, 9_700), (BUY, 9_900, 10_100), (SELL, 400_00, 396_00), (SELL, 1_000_00, 995_00)],
)
def test_a_triggered_sl_m_rests_at_the_protected_price(side, last, limit):
    order = Resting(side, 10, SL_M, trigger=Paise(last))

    assert Resting(side, 10, LIMIT, Paise(limit)) == activated(order, Paise(last), Paise(5))


def test_a_triggered_sl_m_forgets_a_limit_that_it_was_sent_with():
    order = Resting(SELL, 10, SL_M, limit=Paise(1), trigger=Paise(400_00))

    assert 396_00 == activated(order, Paise(400_00), Paise(5)).limit


def test_an_sl_without_a_limit_is_our_own_mistake():
    with pytest.raises(AssertionError, match="carries a limit"):
        activated(Resting(SELL, 10, SL, trigger=Paise(9_900)), Paise(9_900), Paise(5))


# --- against a book ---------------------------------------------------------------------------------------


def levels(*rows: tuple[int, int]) -> tuple[Level, ...]:
    return tuple(Level(Paise(price), qty) for price, qty in rows)


ASKS = levels((10_000, 30), (10_005, 20), (10_005, 10), (10_020, 40))  # one price twice: earlier first
BIDS = levels((9_995, 30), (9_990, 20), (9_990, 10), (9_975, 40))


@pytest.mark.parametrize(
    ("side", "qty", "limit", "book", "taken", "left"),
    [
        (BUY, 30, 10_000, ASKS, [(10_000, 30)], 0),
        (BUY, 31, 10_000, ASKS, [(10_000, 30)], 1),  # the rest waits at its limit
        (BUY, 40, 10_005, ASKS, [(10_000, 30), (10_005, 10)], 0),
        (BUY, 55, 10_005, ASKS, [(10_000, 30), (10_005, 20), (10_005, 5)], 0),
        (BUY, 70, 10_005, ASKS, [(10_000, 30), (10_005, 20), (10_005, 10)], 10),
        (BUY, 70, 10_019, ASKS, [(10_000, 30), (10_005, 20), (10_005, 10)], 10),
        (BUY, 200, 11_000, ASKS, [(10_000, 30), (10_005, 20), (10_005, 10), (10_020, 40)], 100),
        (BUY, 10, 9_995, ASKS, [], 10),
        (BUY, 10, 9_995, (), [], 10),
        (SELL, 30, 9_995, BIDS, [(9_995, 30)], 0),
        (SELL, 55, 9_990, BIDS, [(9_995, 30), (9_990, 20), (9_990, 5)], 0),
        (SELL, 70, 9_980, BIDS, [(9_995, 30), (9_990, 20), (9_990, 10)], 10),
        (SELL, 10, 10_000, BIDS, [], 10),
        (BUY, 40, 10_005, levels((10_000, 30), (0, 0), (10_005, 0)), [(10_000, 30)], 10),  # a padded book
        (SELL, 40, 9_000, levels((9_995, 30), (0, 0)), [(9_995, 30)], 10),
    ],
)
def test_a_limit_takes_the_best_prices_in_their_order_and_the_rest_stays(side, qty, limit, book, taken, left):
    rest = Resting(side, left, LIMIT, Paise(limit)) if left else None
    expected = Match(levels(*taken), rest)
    found = match(Resting(side, qty, LIMIT, Paise(limit)), book)

    assert expected == found
    assert qty - left == found.qty


def test_a_protected_market_order_leaves_an_open_remainder():
    """-1 at Rs 100: a limit 1 % above; what is offered beyond it is not taken and the rest is still working."""
    last = Paise(100_00)
    limit = protected_limit(BUY, last, automatic_protection_milli(last), Paise(5))
    found = match(Resting(BUY, 50, LIMIT, limit), levels((100_05, 10), (101_00, 15), (101_05, 100)))

    assert Match(levels((100_05, 10), (101_00, 15)), Resting(BUY, 25, LIMIT, Paise(101_00))) == found


def test_an_sl_that_is_jumped_over_rests_as_a_limit_with_nothing_taken():
    order = Resting(SELL, 10, SL, limit=Paise(9_890), trigger=Paise(9_900))
    resting = activated(order, Paise(9_800), Paise(5))

    assert Match((), Resting(SELL, 10, LIMIT, Paise(9_890))) == match(resting, levels((9_795, 1_000)))


def test_an_sl_m_that_is_jumped_over_sells_from_where_the_price_went_on():
    order = Resting(SELL, 10, SL_M, trigger=Paise(9_900))
    resting = activated(order, Paise(9_800), Paise(5))

    assert Match(levels((9_795, 10)), None) == match(resting, levels((9_795, 1_000)))


@pytest.mark.parametrize("order_type", [OrderType.MARKET, SL, SL_M])
def test_only_a_limit_meets_the_book(order_type):
    with pytest.raises(AssertionError, match="activate or protect"):
        match(Resting(BUY, 10, order_type, Paise(10_000), Paise(10_000)), ASKS)


def test_a_limit_without_a_price_meets_no_book():
    with pytest.raises(AssertionError, match="activate or protect"):
        match(Resting(BUY, 10, LIMIT), ASKS)


@st.composite
def books(draw):
    """A side and the levels that it would take, best first, some empty and some at one price."""
    side = draw(SIDES)
    steps = draw(st.lists(st.integers(0, 20), max_size=6))
    qtys = draw(st.lists(st.integers(0, 60), min_size=len(steps), max_size=len(steps)))
    prices = [10_000 + side * step for step in accumulate(steps)]
    return side, levels(*zip(prices, qtys, strict=True))


@EXAMPLES
@given(books(), st.integers(1, 200), st.integers(-10, 80))
def test_nothing_is_lost_nothing_is_dearer_than_the_limit_and_nothing_cheaper_is_left(book, qty, reach):
    side, offered = book
    limit = Paise(10_000 + side * reach)
    found = match(Resting(side, qty, LIMIT, limit), offered)
    within = sum(level.qty for level in offered if side * (level.price - limit) <= 0)

    assert min(qty, within) == found.qty
    assert qty == found.qty + (found.rest.qty if found.rest else 0)
    assert (found.qty < qty) is (found.rest is not None)
    assert all(level.qty > 0 and side * (level.price - limit) <= 0 for level in found.taken)
    assert (
        list(found.taken[:-1])
        == [level for level in offered if level.qty][: len(found.taken) - 1 if found.taken else 0]
    )


@EXAMPLES
@given(books(), st.integers(1, 200))
def test_a_longer_walk_of_the_book_never_gives_a_better_average(book, qty):
    side, offered = book
    one, more = (expected_price(side, each, offered) for each in (qty, qty + 1))

    assert more is None or (one is not None and side * one <= side * more)


@EXAMPLES
@given(books(), st.integers(1, 200))
def test_the_two_sides_of_a_book_mirror(book, qty):
    """About any pivot: a book's prices are on its grid, and the average goes to the worse paisa."""
    side, offered = book
    reflected = tuple(Level(Paise(20_000 - level.price), level.qty) for level in offered)
    here, there = expected_price(side, qty, offered), expected_price(side.opposite, qty, reflected)

    assert (None if here is None else 20_000 - here) == there


# --- what a market order would pay ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "qty", "book", "price"),
    [
        (BUY, 30, ASKS, 10_000),
        (BUY, 60, ASKS, 10_003),  # 10,002.5 to the worse paisa
        (SELL, 60, BIDS, 9_992),  # 9,992.5
        (BUY, 100, ASKS, 10_010),  # 10,009.5
        (BUY, 101, ASKS, None),  # too thin
        (SELL, 101, BIDS, None),
        (BUY, 1, (), None),
        (SELL, 1, (), None),
        (BUY, 5, levels((10_000, 4), (0, 0)), None),
        (SELL, 5, levels((10_000, 4), (0, 0)), None),
        (SELL, 1, levels((1, 1)), 1),
        (BUY, 1, levels((10**9, 1)), 10**9),
    ],
)
def test_the_expected_price_is_the_average_to_the_worse_paisa_or_none_in_a_thin_book(side, qty, book, price):
    assert price == expected_price(side, qty, book)


@EXAMPLES
@given(books(), st.integers(1, 200))
def test_the_expected_price_is_that_of_every_share_one_by_one(book, qty):
    side, offered = book
    shares = [level.price for level in offered for _ in range(level.qty)][:qty]
    average = Fraction(sum(shares), qty)
    expected = None if len(shares) < qty else ceil(average) if side is BUY else floor(average)

    assert expected == expected_price(side, qty, offered)


@pytest.mark.parametrize(
    ("side", "expected", "reference", "bps"),
    [
        (BUY, 10_010, 10_000, 10.0),
        (SELL, 9_990, 10_000, 10.0),
        (BUY, 9_990, 10_000, -10.0),
        (SELL, 10_010, 10_000, -10.0),
        (BUY, 10_000, 10_000, 0.0),
    ],
)
def test_slippage_is_a_cost_when_the_price_is_against_us(side, expected, reference, bps):
    assert bps == slippage_bps(side, Paise(expected), Paise(reference))
