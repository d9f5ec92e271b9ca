"""What becomes of an order on paper, case by case, each for both sides where there are two."""

from datetime import timedelta
from typing import Any

import pytest

from paper_account import Word
from paper_quotes import AHEAD_MOST, Doubt
from rulebook.charges import order_charges, square_off_fee
from rulebook.order_records import MODIFICATIONS_LIMIT, QUOTE_FRESH, Refusal
from rulebook.records import Paise, Side
from tests.paper_tables import (
    CAPITAL,
    MONDAY,
    RATES,
    Paper,
    at,
    limit,
    market,
    paise,
    refused,
    sl,
)


def paper(**more) -> Paper:
    """At ten o'clock, with a quote of that second."""
    made = Paper(**more)
    assert made.see() is None
    return made


def long_100(**more) -> Paper:
    made = paper(**more)
    made.buy(100)
    assert made.net() == 100
    return made


# --- what is on offer now ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "qty", "price", "fills", "state"),
    [
        (Side.BUY, 300, "100.05", [(300, 100_05)], ("COMPLETE", 300)),
        (Side.BUY, 700, "100.10", [(500, 100_05), (200, 100_10)], ("COMPLETE", 700)),
        (Side.BUY, 700, "100.05", [(500, 100_05)], ("OPEN", 500)),
        (Side.BUY, 300, "100.00", [], ("OPEN", 0)),
        (Side.SELL, 300, "99.95", [(300, 99_95)], ("COMPLETE", 300)),
        (Side.SELL, 700, "99.90", [(500, 99_95), (200, 99_90)], ("COMPLETE", 700)),
        (Side.SELL, 700, "99.95", [(500, 99_95)], ("OPEN", 500)),
        (Side.SELL, 300, "100.00", [], ("OPEN", 0)),
    ],
)
def test_an_order_takes_the_levels_that_are_shown_within_its_limit(side, qty, price, fills, state):
    p = paper()
    order = p.place(side, limit(qty, price))

    assert fills == p.fills(order)
    assert state == p.state(order)


@pytest.mark.parametrize(("side", "rest_at"), [(Side.BUY, 101_00), (Side.SELL, 99_00)])
def test_a_market_order_takes_what_its_protection_allows_and_rests_there(side, rest_at):
    p = paper(leverage=5)
    p.see(bids="99.95x10 99.00x10 98.95x900", asks="100.05x10 101.00x10 101.05x900")
    order = p.place(side, market(100))

    assert 20 == p.order(order).filled
    assert ("OPEN", "LIMIT", rest_at) == (
        p.order(order).word,
        p.order(order).order_type,
        p.order(order).price,
    )


@pytest.mark.parametrize(("side", "rest_at"), [(Side.BUY, 100_10), (Side.SELL, 99_90)])
def test_protection_keeps_within_the_circuit_limits(side, rest_at):
    p = Paper()
    p.see(bids="99.95x1", asks="100.05x1", lower_circuit=99_88, upper_circuit=100_13)

    assert rest_at == p.order(p.place(side, market(10))).price


def test_an_order_that_comes_while_no_fresh_quote_is_known_waits_for_one():
    p = paper()
    p.wait(QUOTE_FRESH.total_seconds() + 1)
    order = p.buy(100)

    assert ("OPEN", 0) == p.state(order)

    p.see("100.20", asks="100.25x500")

    assert [(100, 100_25)] == p.fills(order)


def test_a_level_is_sold_to_us_once_for_as_long_as_it_is_shown():
    p = paper(leverage=5)
    first = p.buy(500, "100.05")
    second = p.buy(300, "100.05")
    p.wait(1).see()

    assert [("COMPLETE", 500), ("OPEN", 0)] == [p.state(first), p.state(second)]

    p.wait(1).see(asks="100.05x600 100.10x500")

    assert ("OPEN", 100) == p.state(second)


def test_a_level_that_shrank_and_grew_again_has_shares_that_are_new():
    p = paper(leverage=5)
    p.buy(500, "100.05")
    p.wait(1).see(asks="100.05x100")
    p.wait(1).see(asks="100.05x400")
    order = p.buy(400, "100.05")

    assert ("OPEN", 300) == p.state(order)


# --- what happens next ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "bids", "asks"),
    [(Side.BUY, "99.95", "99.80x500", "99.90x40"), (Side.SELL, "100.05", "100.10x40", "100.20x500")],
)
def test_what_is_offered_after_it_came_meets_a_resting_order_at_its_own_limit(side, price, bids, asks):
    p = paper()
    order = p.place(side, limit(100, price))
    p.wait(1).see(bids=bids, asks=asks)

    assert [(40, paise(price))] == p.fills(order)


@pytest.mark.parametrize(
    ("side", "price", "last", "traded", "got"),
    [
        (Side.BUY, "99.95", "99.90", 500, 50),  # a tenth of what went through its price
        (Side.BUY, "99.95", "99.90", 9, 0),
        (Side.BUY, "99.95", "99.90", 5_000, 100),
        (Side.BUY, "99.95", "99.95", 5_000, 0),  # a touch: others stood there before
        (Side.SELL, "100.05", "100.10", 500, 50),
        (Side.SELL, "100.05", "100.10", 5_000, 100),
        (Side.SELL, "100.05", "100.05", 5_000, 0),
    ],
)
def test_a_share_of_what_traded_beyond_its_limit_is_a_resting_order_s(side, price, last, traded, got):
    p = paper()
    order = p.place(side, limit(100, price))
    p.wait(1).see(last, bids="99.70x500", asks="100.30x500", traded=traded)

    assert got == p.order(order).filled
    assert all(paid == paise(price) for _, paid in p.fills(order))


def test_orders_share_what_traded_the_better_price_first():
    p = paper()
    low, high = p.buy(100, "99.90"), p.buy(100, "99.95")
    p.wait(1).see("99.80", bids="99.70x500", asks="100.30x500", traded=1_500)

    assert [50, 100] == [p.order(low).filled, p.order(high).filled]


def test_the_first_quote_of_a_process_says_nothing_about_what_traded():
    p = Paper()
    order = p.buy(100, "99.95")
    p.see("99.80", bids="99.70x500", asks="100.30x500", traded=90_000)

    assert ("OPEN", 0) == p.state(order)


# --- stops ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "bids", "state", "fills"),
    [
        ("99.55", "99.50x500", ("TRIGGER PENDING", 0), []),
        ("99.50", "99.45x500", ("COMPLETE", 100), [(100, 99_45)]),  # a touch is enough
        ("99.45", "99.40x60 98.50x10", ("OPEN", 60), [(60, 99_40)]),  # beyond the limit it rests
        ("98.00", "97.95x500", ("OPEN", 0), []),  # jumped over: an SL does not fill at any price
    ],
)
def test_an_sl_fires_at_its_trigger_and_fills_within_its_limit(last, bids, state, fills):
    p = long_100()
    stop = p.stop(Side.SELL, 100, "99.50", "99.00")
    p.wait(1).see(last, bids=bids, asks="101.00x500")

    assert state == p.state(stop)
    assert fills == p.fills(stop)


def test_an_sl_m_that_is_jumped_over_fills_where_the_price_went_on():
    p = long_100()
    stop = p.stop(Side.SELL, 100, "99.50")
    p.wait(1).see("95.00", bids="94.95x30 93.10x30 93.05x500", asks="95.10x500")

    assert [(30, 94_95), (30, 93_10)] == p.fills(stop)
    assert ("OPEN", 60) == p.state(stop)
    assert 93_10 == p.order(stop).limit  # 2 % below 95.00


def test_a_stop_of_a_short_is_the_mirror():
    p = paper()
    p.sell(100)
    stop = p.stop(Side.BUY, 100, "100.50", "101.00")
    p.wait(1).see("100.50", bids="100.40x500", asks="100.55x60 101.05x500")

    assert [(60, 100_55)] == p.fills(stop)
    assert -40 == p.net()


def test_a_resting_stop_is_moved_and_then_converted_into_the_exit():
    p = long_100()
    stop = p.stop(Side.SELL, 100, "99.00", "98.00")
    p.modify(stop, sl(100, "99.80", "98.80"))

    assert ("TRIGGER PENDING", 99_80, 1) == (
        p.order(stop).word,
        p.order(stop).trigger,
        p.order(stop).modifications,
    )

    p.modify(stop, market(100))

    assert ("COMPLETE", 100) == p.state(stop)
    assert 0 == p.net()


def test_a_stop_that_has_fired_is_no_stop_any_more():
    p = long_100()
    stop = p.stop(Side.SELL, 100, "99.50", "99.00")
    p.wait(1).see("98.00", bids="97.95x500", asks="98.05x500")

    assert Refusal.PROCESSING is refused(p.modify, stop, sl(100, "98.50", "98.00"))

    p.modify(stop, limit(100, "97.95"))

    assert [(100, 97_95)] == p.fills(stop)


# --- what the broker refuses ---------------------------------------------------------------------------

CIRCUIT: dict[str, Any] = {"lower_circuit": 90_00, "upper_circuit": 110_00}


@pytest.mark.parametrize(
    ("side", "terms", "refusal"),
    [
        (Side.BUY, limit(10, "100.03"), Refusal.TICK),
        (Side.SELL, sl(10, "99.51", "99.00"), Refusal.TICK),
        (Side.BUY, limit(10, "110.05"), Refusal.CIRCUIT),
        (Side.SELL, limit(10, "89.95"), Refusal.CIRCUIT),
        (Side.SELL, sl(10, "99.00", "99.50"), Refusal.CIRCUIT),  # its limit on the wrong side of its trigger
        (Side.SELL, sl(10, "100.00", "99.00"), Refusal.CIRCUIT),  # its trigger is passed already
        (Side.BUY, sl(10, "100.00", "101.00"), Refusal.CIRCUIT),
        (Side.BUY, limit(100_001, "1.00"), Refusal.FREEZE),
        (Side.BUY, limit(0, "100.00"), Refusal.OTHER),
        (Side.BUY, limit(10, "0.00"), Refusal.OTHER),
        (Side.BUY, limit(1_000, "100.05"), Refusal.MARGIN),
        (Side.SELL, limit(1_001, "99.95"), Refusal.MARGIN),
    ],
)
def test_what_the_broker_refuses_is_refused_with_its_class(side, terms, refusal):
    p = Paper()
    p.see(**CIRCUIT)

    assert refusal is refused(p.place, side, terms)
    assert {} == p.account.orders


def test_an_order_of_more_than_ten_crore_is_refused():
    p = Paper(capital=10**13)
    p.see("2000.00", bids="1999.95x1", asks="2000.05x1")

    assert Refusal.FREEZE is refused(p.buy, 60_000)


def test_circuit_limits_that_rest_told_hold_for_orders_until_it_tells_others():
    p = Paper()
    p.see(**CIRCUIT)
    p.wait(1).see()

    assert Refusal.CIRCUIT is refused(p.buy, 10, "110.05")

    p.see(lower_circuit=85_00, upper_circuit=115_00)
    p.buy(10, "110.05")

    assert 10 == p.net()


@pytest.mark.parametrize(
    ("clock", "ticker"),
    [("09:14:59", "INFY"), ("15:12:00", "INFY"), ("15:25:00", "PLAIN"), ("15:30:00", "PLAIN")],
)
def test_no_order_is_taken_outside_the_session_or_after_the_square_off(clock, ticker):
    p = Paper(clock)

    assert Refusal.SESSION is refused(p.buy, 10, "100.00", ticker=ticker)

    p.now = at("10:00:00") + timedelta(days=1)  # a Saturday

    assert Refusal.SESSION is refused(p.buy, 10, "100.00", ticker=ticker)


@pytest.mark.parametrize(("clock", "ticker"), [("15:11:59", "INFY"), ("15:24:59", "PLAIN")])
def test_the_last_second_before_the_square_off_still_takes_orders(clock, ticker):
    p = Paper(clock)
    p.see(ticker=ticker)

    assert ("COMPLETE", 10) == p.state(p.buy(10, ticker=ticker))


def test_an_order_is_modified_25_times_and_no_more():
    p = paper()
    order = p.buy(10, "99.00")
    for step in range(MODIFICATIONS_LIMIT):
        p.modify(order, limit(10, f"{98 - step / 20:.2f}"))

    assert Refusal.MODIFICATIONS_EXCEEDED is refused(p.modify, order, limit(10, "99.00"))

    p.cancel(order)

    assert ("CANCELLED", 0) == p.state(order)


def test_what_is_over_is_neither_modified_nor_cancelled_and_what_never_was_is_not_known():
    p = long_100()
    (order,) = p.account.orders

    assert Refusal.PROCESSING is refused(p.modify, order, limit(200, "100.00"))
    assert Refusal.PROCESSING is refused(p.cancel, order)
    assert Refusal.OTHER is refused(p.cancel, "P1")


def test_an_order_is_not_modified_below_what_is_filled():
    p = paper()
    order = p.buy(600, "100.05")

    assert Refusal.OTHER is refused(p.modify, order, limit(500, "100.05"))
    assert ("OPEN", 500) == p.state(order)


def test_two_orders_of_ours_never_meet():
    p = paper()
    p.buy(100, "99.95")
    order = p.sell(100, "99.95")

    assert ("REJECTED", 0) == p.state(order)
    assert "self trade" in p.order(order).text

    higher = p.sell(100, "100.20")

    assert Refusal.OTHER is refused(p.modify, higher, limit(100, "99.95"))
    assert ("OPEN", 0) == p.state(higher)


def test_a_stop_that_fires_into_an_order_of_ours_is_cancelled():
    p = long_100()
    p.buy(100, "99.40")
    stop = p.stop(Side.SELL, 100, "99.50", "99.00")
    p.wait(1).see("99.50", bids="99.45x500", asks="100.00x500")

    assert ("CANCELLED", 0) == p.state(stop)


def test_fewer_shares_keep_the_place_and_more_or_another_price_lose_it():
    p = paper()
    kept, moved = p.buy(100, "99.90"), p.buy(100, "99.90")
    p.modify(kept, limit(80, "99.90"))
    p.modify(moved, limit(120, "99.90"))

    assert (1, 3) == (p.order(kept).arrival, p.order(moved).arrival)


# --- quotes that are not believed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "doubt"),
    [
        ({"at": None}, Doubt.NO_STAMP),
        ({"at": at("09:59:57")}, Doubt.STALE),
        ({"at": at("10:00:01") + AHEAD_MOST + timedelta(milliseconds=1)}, Doubt.AHEAD),
        ({"at": at("09:59:59")}, Doubt.OLDER),
        ({"volume": 999}, Doubt.OLDER),
        ({"last": "0.00"}, Doubt.NO_PRICE),
        ({"last": "-100.00"}, Doubt.NO_PRICE),
        ({"bids": "-99.95x10"}, Doubt.NO_PRICE),
        ({"asks": "100.05x-10"}, Doubt.NO_PRICE),
        ({"bids": "100.05x10"}, Doubt.CROSSED),
        ({"bids": "100.10x10"}, Doubt.CROSSED),
        ({"bids": "99.90x10 99.95x10"}, Doubt.CROSSED),
        ({"asks": "100.10x10 100.05x10"}, Doubt.CROSSED),
        ({"last": "110.05", **CIRCUIT}, Doubt.OUTSIDE_CIRCUIT),
        ({"asks": "100.05x10 110.05x10", **CIRCUIT}, Doubt.OUTSIDE_CIRCUIT),
        ({"bids": "89.95x10", **CIRCUIT}, Doubt.OUTSIDE_CIRCUIT),
        ({"low": 100_10, "high": 101_00}, Doubt.OUTSIDE_DAY),
        ({"low": 99_00, "high": 99_90}, Doubt.OUTSIDE_DAY),
        ({"last": "110.05", "bids": "110.00x1", "asks": "110.10x1"}, Doubt.JUMP),
        ({"last": "89.95", "bids": "89.90x1", "asks": "90.00x1"}, Doubt.JUMP),
        ({"bids": "89.95x10"}, Doubt.JUMP),
        ({"asks": "110.05x10"}, Doubt.JUMP),
    ],
)
def test_a_stale_or_absurd_quote_fills_nothing_and_moves_nothing(quote, doubt):
    p = paper()
    p.wait(1)
    order = p.buy(100, "99.95")
    before = p.account

    assert doubt is p.see(**quote)
    assert before.fills == p.account.fills
    assert before.markets == p.account.markets
    assert ("OPEN", 0) == p.state(order)


@pytest.mark.parametrize(
    "quote",
    [
        {"at": at("09:59:58")},  # three seconds old
        {"at": at("10:00:01") + AHEAD_MOST},
        {"last": "110.00", "bids": "109.95x1", "asks": "110.05x1"},  # as far as a band allows
        {"last": "90.00", "bids": "89.95x1", "asks": "90.05x1"},
        {"low": 100_05, "high": 101_00},  # a tick behind
        {"low": 99_00, "high": 99_95},
        {
            "last": "120.00",
            "bids": "119.95x1",
            "asks": "120.05x1",
            "lower_circuit": 80_00,
            "upper_circuit": 120_05,
        },
        {"bids": "", "asks": ""},
    ],
)
def test_a_quote_on_the_edge_is_believed(quote):
    p = Paper("09:59:58")
    p.see()
    p.wait(3)

    assert p.see(**quote) is None


@pytest.mark.parametrize("clock", ["09:08:00", "09:14:59", "15:15:00", "15:31:00"])
def test_no_quote_outside_of_continuous_trading_fills_anything(clock):
    p = Paper(clock)

    assert Doubt.CLOSED is p.see()


def test_a_quote_of_the_pre_open_fills_nothing_a_second_later_either():
    p = Paper("09:15:01")

    assert Doubt.CLOSED is p.see(at=at("09:14:59"))


# --- the end of a day ----------------------------------------------------------------------------------


def test_the_broker_squares_off_what_is_left_at_the_market_with_its_fee():
    p = long_100()
    stop = p.stop(Side.SELL, 100, "95.00", "94.00")
    resting = p.buy(10, "98.00")
    p.till("15:11:59").see("101.00", bids="100.95x60 100.90x500", asks="101.05x500")
    p.till("15:12:00")
    (closing,) = [order for order in p.account.orders.values() if order.is_broker_s]

    assert [("CANCELLED", 0), ("CANCELLED", 0)] == [p.state(stop), p.state(resting)]
    assert [(60, 100_95), (40, 100_90)] == p.fills(closing.order_id)
    assert 0 == p.net()

    charges = order_charges(1, 100 * 100_05, RATES)
    charges += order_charges(-1, 60 * 100_95 + 40 * 100_90, RATES) + square_off_fee(RATES)
    earned = 60 * 100_95 + 40 * 100_90 - 100 * 100_05

    assert CAPITAL + earned - charges == p.account.free(p.terms)


def test_a_square_off_takes_what_the_quotes_bring_until_trading_ends():
    p = paper()
    p.sell(100)
    p.till("15:12:00")

    assert -100 == p.net()

    p.see("100.50", bids="100.45x500", asks="100.55x30")

    assert -70 == p.net()

    p.wait(1).see("100.60", bids="100.55x500", asks="100.65x20")
    p.till("15:14:59").see("100.40", bids="100.35x500", asks="")
    p.till("15:15:00")

    assert [(30, 100_55), (20, 100_65), (50, 100_40)] == p.fills()[1:]  # the last known price at the end


def test_nothing_of_a_day_that_ended_without_us_is_open_in_the_next():
    p = long_100()
    p.stop(Side.SELL, 100, "95.00", "94.00")
    p.buy(10, "98.00")
    p.wait(60).see("102.00", bids="101.95x500", asks="102.05x500")
    p.till("09:16:00", MONDAY)
    charges = order_charges(1, 100 * 100_05, RATES) + order_charges(-1, 100 * 102_00, RATES)

    assert (MONDAY, {}, [], {}) == (p.account.day, p.account.orders, p.account.fills, p.account.markets)
    assert CAPITAL + 100 * (102_00 - 100_05) - charges - square_off_fee(RATES) == p.account.opening

    p.see()

    assert "P261123000001" == p.buy(10)


# --- money ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("leverage", "most"), [(1, 999), (5, 4_997)])
def test_leverage_says_how_much_the_capital_buys(leverage, most):
    p = Paper(leverage=leverage)
    p.see(asks="100.05x9000")

    assert Refusal.MARGIN is refused(p.buy, most + 1, "100.05")
    assert ("COMPLETE", most) == p.state(p.buy(most, "100.05"))


def test_what_only_reduces_needs_no_margin_and_a_second_one_does():
    p = Paper()
    p.see(bids="99.95x999", asks="100.05x999")
    p.buy(998)
    stop = p.stop(Side.SELL, 998, "95.00", "94.00")

    assert Refusal.MARGIN is refused(p.sell, 998, "101.00")

    p.modify(stop, market(998))

    assert 0 == p.net()


def test_a_modification_is_paid_for_like_an_order():
    p = paper()
    order = p.buy(500, "99.00")
    p.modify(order, limit(1_000, "99.00"))

    assert Refusal.MARGIN is refused(p.modify, order, limit(1_100, "99.00"))
    assert 1_000 == p.order(order).qty


def test_positions_stand_at_average_cost_and_a_flat_row_stays_for_the_day():
    p = paper()
    p.buy(300, "100.05")
    p.wait(1).see("101.00", bids="100.95x500", asks="101.05x100")
    p.buy(100, "101.05")
    p.sell(150, "100.95")
    (row,) = p.account.positions()

    assert (250, 100_30, 101_00, 250 * (101_00 - 100_30)) == (row.qty, row.average, row.last, row.unrealised)

    p.sell(250, "100.95")
    (row,) = p.account.positions()

    assert ("MIS", 0, 0, 0) == (row.product, row.qty, row.average, row.unrealised)


def test_the_book_shows_an_order_as_the_broker_does():
    p = paper()
    row = p.order(p.buy(600, "100.05")).row

    assert ("P261120000001", "INFY", Side.BUY, 600, 500) == (
        row.order_id,
        row.ticker,
        row.side,
        row.qty,
        row.filled,
    )
    assert ("OPEN", "LIMIT", Paise(100_05), None) == (row.status, row.order_type, row.price, row.trigger)
    assert 500 * 100_05 == row.value
    assert (row.tag,) == row.tags
    assert {word.value for word in Word} == {"OPEN", "TRIGGER PENDING", "COMPLETE", "CANCELLED", "REJECTED"}
