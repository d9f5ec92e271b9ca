"""What the account owns and owes: positions, margin, funds, the night."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.account import CNC, MIS, Account, Position, Working
from exchange.faults import Fault
from exchange.nouns import Holding, OrderRequest, Terms, Trade
from rulebook.charges import order_charges, square_off_fee
from rulebook.hours import IST
from rulebook.records import OrderType, Paise, Side
from tests.exchange_market import MONDAY, RATES, Trader, at, refused, trader

NOON = datetime(2026, 11, 20, 12, tzinfo=IST)
TRADES = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 500), st.integers(1, 20_000)), min_size=1, max_size=30
)


def account(cash: int = 10_000_00, leverage: int = 5, *holdings: Holding) -> Account:
    return Account(cash, holdings, lambda _: leverage)


def book(
    to: Account, side: Side, qty: int, price: int, product: str = MIS, order_id: str = "1", fee: bool = False
) -> None:
    trade = Trade(
        f"{order_id}-{len(to.executed)}", order_id, "x", "FNO", side, product, qty, Paise(price), NOON, NOON
    )
    to.book(trade, fee)


def working(side: Side, left: int, price: int, product: str = MIS) -> Working:
    return Working("FNO", product, side, left, Paise(price))


# --- positions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trades", "net", "cost", "realised"),
    [
        ([(1, 10, 100), (-1, 10, 110)], 0, 0, 100),
        ([(-1, 10, 110), (1, 10, 100)], 0, 0, 100),
        ([(1, 10, 100), (1, 10, 120)], 20, 2_200, 0),
        ([(1, 10, 100), (1, 10, 120), (-1, 5, 130)], 15, 1_650, 100),
        ([(1, 10, 100), (-1, 15, 110)], -5, -550, 100),
        ([(-1, 3, 100), (1, 1, 100)], -2, -200, 0),
        ([(1, 1, 100), (1, 2, 101), (-1, 1, 100), (-1, 2, 100)], 0, 0, -2),
    ],
)
def test_a_position_is_kept_at_average_cost(trades, net, cost, realised):
    position = Position()

    for side, qty, price in trades:
        position.book(Side(side), qty, Paise(price))

    assert (net, cost, realised) == (position.net, position.cost, position.realised)


@given(TRADES, st.integers(1, 20_000))
def test_realised_and_unrealised_are_what_all_trades_are_worth(trades, last):
    position = Position()

    for side, qty, price in trades:
        position.book(side, qty, Paise(price))

    worth = sum(-side * qty * price for side, qty, price in trades) + position.net * last
    assert worth == position.realised + position.net * last - position.cost
    assert position.cost == 0 if position.net == 0 else position.cost * position.net > 0


# --- margin ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "orders", "blocked"),
    [
        (0, [working(Side.BUY, 10, 100)], 200),
        (0, [working(Side.SELL, 10, 100)], 200),
        (0, [working(Side.BUY, 1, 101)], 21),  # rounded up
        (10, [], 200),
        (-10, [], 200),
        (10, [working(Side.SELL, 10, 90)], 200),  # a stop for all of it is free
        (10, [working(Side.SELL, 10, 90), working(Side.SELL, 10, 120)], 440),  # a second exit is not
        (10, [working(Side.SELL, 15, 100)], 300),  # 10 reduce, 5 open a short
        (10, [working(Side.BUY, 5, 100)], 300),
        (-10, [working(Side.BUY, 10, 100)], 200),
        (0, [working(Side.BUY, 10, 100, CNC)], 1_000),
        (0, [working(Side.SELL, 10, 100, CNC)], 0),  # has to be owned instead
    ],
)
def test_margin_is_blocked_by_what_an_order_could_add(held, orders, blocked):
    ours = account()
    if held:
        book(ours, Side.BUY if held > 0 else Side.SELL, abs(held), 100)

    assert blocked == ours.blocked(orders)


def test_products_and_tickers_do_not_offset_each_other():
    ours = account()
    book(ours, Side.BUY, 10, 100)

    others = [working(Side.SELL, 10, 100, CNC), Working("PLAIN", MIS, Side.SELL, 10, Paise(100))]

    assert 200 + 200 == ours.blocked(others)


def test_funds_count_losses_that_are_open_and_not_gains():
    for last, open_result in ((90, -100), (110, 100)):
        ours = account(cash=1_000)
        book(ours, Side.BUY, 10, 100)

        prices = {"FNO": Paise(last)}
        funds = ours.funds([], prices.__getitem__, RATES)

        assert (1_000, 200, 0, open_result) == (
            funds.opening,
            funds.blocked,
            funds.realised,
            funds.unrealised,
        )
        assert 800 + min(0, open_result) == funds.available


# --- charges and the night ------------------------------------------------------------------------


def test_charges_are_counted_by_order_and_not_by_fill():
    ours = account()
    for _ in range(3):
        book(ours, Side.BUY, 1_000, 300_00, order_id="entry")
    book(ours, Side.SELL, 3_000, 301_00, order_id="exit", fee=True)

    charges = ours.charges(RATES)

    expected = order_charges(1, 900_000_00, RATES) + order_charges(-1, 903_000_00, RATES)
    assert (expected + square_off_fee(RATES), 40_00) == (charges.total, charges.brokerage)
    assert 59_00 == charges.square_off


@given(TRADES)
def test_the_night_books_what_was_traded_less_what_it_cost(trades):
    ours = account(10**9)
    for n, (side, qty, price) in enumerate(trades):
        book(ours, side, qty, price, order_id=str(n))
    net = sum(side * qty for side, qty, _ in trades)
    charges = ours.charges(RATES).total

    booked = ours.settle(RATES, lambda _: Paise(70))

    out = -70 * net if net < 0 else 0
    assert 10**9 - sum(side * qty * price for side, qty, price in trades) - charges - out == ours.cash
    assert (charges, out) == (booked["charges"], booked["closed_out"])
    assert ([net] if net > 0 else []) == [holding.qty for holding in ours.holdings()]
    assert ([], 0) == (ours.flows(), ours.charges(RATES).total)


def test_delivery_becomes_a_holding_in_the_morning_and_can_then_be_sold():
    t = trader()
    t.buy(100, 100_05, product=CNC)
    t.wait(1)
    blocked = t.exchange.funds().blocked
    t.market.more("FNO", MONDAY, t.market.tape("FNO", at("09:00").date()))

    t.till("09:16", MONDAY)
    held = t.exchange.holdings()
    sold = t.sell(60, 99_95, product=CNC)
    too_many = refused(t.sell, 41, 99_95, product=CNC)
    t.wait(1)

    assert (100 * 100_05, [Holding("FNO", 100, Paise(100_05))]) == (blocked, held)
    assert ("COMPLETE", 60) == t.state(sold)
    assert (400, "HoldingException") == too_many[:2]
    assert [-60] == [flow.net for flow in t.exchange.flows()]


def test_what_was_bought_today_can_be_sold_today_and_no_more():
    t = trader()
    t.buy(10, 100_05, product=CNC)
    t.wait(1)

    seen = refused(t.sell, 11, 99_95, product=CNC)
    t.sell(10, 99_95, product=CNC)
    t.wait(1)

    assert "10 shares of FNO can be sold" in seen[2]
    assert (0, 0, -100) == (t.net(product=CNC), t.exchange.funds().blocked, t.exchange.funds().realised)


def test_flat_rows_stay_for_the_day():
    t = trader()
    t.buy(10, 100_05)
    t.wait(1).sell(10, 99_95)
    t.wait(1)

    flow = t.exchange.flows()[0]

    assert ("FNO", MIS, 10, 10, 0) == (flow.ticker, flow.product, flow.bought, flow.sold, flow.net)
    assert 10 * (100_05 - 99_95) == flow.bought_value - flow.sold_value


def test_a_short_that_nobody_could_buy_back_is_closed_out_at_the_official_close():
    lock = Fault("circuit_lock", after=at("12:00"), value=1)
    t = trader(lock, closes={MONDAY: 105_00}, terms=Terms(cash=100_000_00))
    t.sell(100, 99_95, ticker="PLAIN")

    t.till("09:00", MONDAY)

    booked = t.exchange.truth()["settlements"][0]
    assert (100 * 99_95, 100 * 105_00) == (booked["traded"], booked["closed_out"])
    assert (
        100_000_00 + booked["traded"] - booked["closed_out"] - booked["charges"] == t.exchange.funds().opening
    )


def test_the_margin_of_an_order_is_asked_without_placing_it():
    t = Trader({"FNO": "09:15:00 100.00 5"}).till("09:16")
    asked = OrderRequest("FNO", Side.BUY, 101, MIS, OrderType.MARKET)
    delivery = OrderRequest("FNO", Side.BUY, 101, CNC, OrderType.LIMIT, price=Paise(99_00))

    assert [101 * 100_00 // 5, 101 * 99_00] == [t.exchange.margin_of(each) for each in (asked, delivery)]
    assert 5 == t.exchange.leverage("FNO")
    assert "expired or does not exist" in refused(t.exchange.margin_of, OrderRequest("X", Side.BUY, 1, MIS, OrderType.MARKET))[2]  # fmt: skip
