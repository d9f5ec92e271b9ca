"""How an order lives at the broker and on the exchange, from the request to the end of the day."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from exchange.faults import Fault
from exchange.nouns import Holding, OrderView, Terms
from exchange.orders import FINAL, MOVES, Status
from rulebook.charges import square_off_fee
from rulebook.hours import PhaseKind
from rulebook.records import OrderType, Paise, Side
from tests.exchange_market import (
    FLAT,
    FNO,
    INDEX,
    MONDAY,
    PLAIN,
    RATES,
    Ear,
    Trader,
    at,
    long_with_stop,
    refused,
    trader,
)

# --- the words of the broker's book ---------------------------------------------------------------


def test_an_order_passes_the_words_one_by_one():
    t = trader()
    order = t.buy(10, 100_05)
    seen = [t.see(order).status]

    for _ in range(12):
        moment = t.exchange.next_at()
        if moment is None or moment > at("09:16:00"):
            break
        t.exchange.advance(moment)
        seen.append(t.see(order).status)

    assert ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "COMPLETE"] == seen
    assert [*seen[:-1], "OPEN", "COMPLETE"] == t.words(order)


def test_each_step_takes_its_latency():
    terms = Terms(latency_ms_least=20, latency_ms_most=20)
    t = trader(terms=terms)
    order = t.buy(10, 100_05)

    t.wait(1)

    steps = [row.updated_at - row.placed_at for row in t.exchange.history(order) if row.updated_at]
    assert [timedelta(milliseconds=ms) for ms in (0, 20, 40, 60, 60)] == steps


def test_a_modification_and_a_cancel_pass_their_words_too():
    t = trader()
    order = t.buy(10, 99_50)
    t.wait(1).modify(order, price=99_60, qty=20)
    t.wait(1).exchange.cancel(order)
    t.wait(1)

    assert [
        "OPEN", "MODIFY VALIDATION PENDING", "MODIFY PENDING", "MODIFIED", "OPEN", "CANCEL PENDING", "CANCELLED",
    ] == t.words(order)[3:]  # fmt: skip
    assert (99_60, 20, 0, 20, 0) == _numbers(t.see(order))


def _numbers(seen: OrderView) -> tuple[int, ...]:
    return seen.price, seen.qty, seen.filled, seen.cancelled, seen.pending


def test_ids_are_fifteen_digits_made_from_the_day_and_a_serial():
    t = trader()

    orders = [t.buy(1, 99_00), t.buy(1, 99_00)]

    assert ["261120000000001", "261120000000002"] == orders


def test_frames_tell_of_ends_partial_fills_and_modifications_and_not_of_placing():
    t = trader(table="09:15:00 100.00 500 99.95x5 / 100.05x5\n09:20:00 100.00 0")
    order = t.buy(10, 100_05)
    t.wait(1).modify(order, qty=8)
    t.wait(1).exchange.cancel(order)
    t.wait(1)

    assert [("001", "UPDATE", 5), ("001", "UPDATE", 5), ("001", "CANCELLED", 5)] == t.ear.frames


def test_a_market_order_becomes_a_limit_order_at_the_protected_price():
    t = trader(table="09:15:00 100.00 500 99.95x5 / 100.05x5 101.50x20\n09:20:00 100.00 0")
    order = t.buy(10, tag="mytag")
    t.wait(1)

    seen = t.see(order)

    assert (OrderType.LIMIT, 101_00, 0) == (seen.order_type, seen.price, seen.protection_milli)
    assert (("mytag", "mktp", "mktp:1.00"), "OPEN", 5) == (seen.tags, seen.status, seen.filled)


@pytest.mark.parametrize(("milli", "price", "tag"), [(2_000, 98_00, "mktp:2.00"), (50_000, 90_00, "mktp:50.00"), (250, 99_75, "mktp:0.25")])  # fmt: skip
def test_a_percentage_of_protection_is_taken_and_kept_within_the_circuit(milli, price, tag):
    t = trader()

    order = t.sell(10, protection_milli=milli)

    assert (price, ("mktp", tag)) == (t.see(order).price, t.see(order).tags)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"ticker": "NOSUCH"}, "expired or does not exist"),
        ({"ticker": "NIFTY 50"}, "expired or does not exist"),
        ({"variety": "amo"}, "`variety`"),
        ({"product": "NRML"}, "`product`"),
        ({"validity": "TTL"}, "`validity`"),
        ({"tag": "x" * 21}, "`tag`"),
        ({"qty": 0}, "`quantity`"),
        ({"qty": -5}, "`quantity`"),
        ({"qty": 50_001}, "freeze quantity of 50000"),
        ({"price": 100_03}, "Tick size for this script is 0.05. Kindly enter price"),
        ({"price": 110_05}, "higher than the current upper circuit limit of 110.00"),
        ({"price": 89_95}, "lower than the current lower circuit limit of 90.00"),
        ({"price": 0}, "`price`"),
        ({"order_type": OrderType.MARKET, "price": None}, "without market protection are not allowed via API"),
        ({"order_type": OrderType.MARKET, "price": None, "protection_milli": 100_001}, "`market_protection`"),
        ({"order_type": OrderType.MARKET, "price": None, "protection_milli": -2}, "`market_protection`"),
        ({"order_type": OrderType.SL_M, "trigger": 101_00}, "without market protection are not allowed via API"),
        ({"order_type": OrderType.SL}, "`trigger_price`"),
        ({"order_type": OrderType.SL, "trigger": 101_02, "price": 101_05}, "enter trigger price"),
        ({"order_type": OrderType.SL, "trigger": 101_00, "price": 100_95}, "cannot be above"),
        ({"order_type": OrderType.SL, "trigger": 100_00, "price": 101_00}, "should be higher than the last traded"),
        ({"order_type": OrderType.SL, "trigger": 99_00, "price": 101_00}, "should be higher than the last traded"),
        ({"disclosed_qty": 11}, "`disclosed_quantity`"),
    ],
)  # fmt: skip
def test_a_bad_order_is_refused_at_the_door(more, says):
    listings = (replace(FNO, freeze_qty=50_000), PLAIN, INDEX)
    t = trader(listings=listings)
    more = {"qty": 10, "price": 99_00, **more}

    status, error_type, message = refused(t.buy, more.pop("qty"), more.pop("price"), **{"order_type": OrderType.LIMIT, "protection_milli": 0, **more})  # fmt: skip

    assert (400, "InputException") == (status, error_type)
    assert says in message
    assert [] == t.exchange.orders()


def test_a_sell_stop_is_judged_from_the_other_side():
    t = trader()

    too_high = refused(t.stop, Side.SELL, 10, 100_00, 99_00)
    limit_above = refused(t.stop, Side.SELL, 10, 99_00, 99_05)

    assert "sell orders should be lower than the last traded price (100.00)" in too_high[2]
    assert "sell orders cannot be below" in limit_above[2]


def test_lots_shares_and_value_have_their_limits():
    listings = (replace(FNO, lot=10, freeze_qty=10**9), PLAIN, INDEX)
    t = trader(listings=listings, terms=Terms(cash=10**12))

    lots, shares = refused(t.buy, 15, 99_00), refused(t.buy, 100_010, 99_00)
    big = trader(listings=(replace(FNO, freeze_qty=10**9), PLAIN, INDEX), terms=Terms(cash=10**13))

    assert "multiple of 10" in lots[2]
    assert "100000 shares" in shares[2]
    assert big.buy(100_000, 99_00)


def test_margin_is_the_notional_by_the_leverage_and_what_reduces_needs_none():
    t = trader(terms=Terms(cash=10_000_00))

    status, error_type, message = refused(t.buy, 600, 100_05)
    order = t.buy(499, 100_05)
    t.wait(1)
    stop = t.stop(Side.SELL, 499, 99_00, 98_00)
    second = refused(t.sell, 499, 101_00)

    assert (400, "MarginException") == (status, error_type)
    assert "Required margin is 12006.00 but available margin is 10000.00." in message
    assert ("COMPLETE", "MarginException") == (t.see(order).status, second[1])
    assert stop in [row.order_id for row in t.exchange.orders()]


def test_the_11th_request_of_a_clock_second_gets_429_and_the_next_second_is_new():
    t = trader()
    for _ in range(5):
        t.buy(1, 99_00)
        refused(t.buy, 0, 99_00)  # counts too

    seen = refused(t.buy, 1, 99_00)
    by_hand = t.buy(1, 99_00, placed_by_hand=True)
    t.wait(1)

    assert (429, "NetworkException", "Too many requests") == seen
    assert by_hand and t.buy(1, 99_00)


def test_a_window_is_the_clock_s_and_does_not_slide():
    t = trader().till("09:15:02")
    t.wait(0.95)
    before = [t.buy(1, 99_00) for _ in range(10)]
    t.wait(0.1)

    assert len(before) + len([t.buy(1, 99_00) for _ in range(10)]) == 20


def test_minutes_and_days_have_caps_as_well():
    minute = trader(terms=Terms(orders_per_second=10**6, orders_per_minute=3))
    day = trader(terms=Terms(orders_per_day=3))
    for t in (minute, day):
        for _ in range(3):
            t.buy(1, 99_00)

    seen = [refused(t.buy, 1, 99_00)[0] for t in (minute, day)]
    minute.till("09:16:00").buy(1, 99_00)
    order = next(iter(day.till("09:16:00").exchange.orders())).order_id
    day.exchange.cancel(order)  # the day's cap is on placing

    assert [429, 429] == seen
    assert 429 == refused(day.buy, 1, 99_00)[0]
    assert day.till("09:15:01", MONDAY).exchange.orders() == []


def test_the_26th_modification_is_a_network_exception():
    t = trader()
    order = t.buy(10, 99_00)
    for n in range(25):
        t.wait(1).modify(order, price=99_05 + 5 * (n % 2))
    t.wait(1)

    seen = refused(t.modify, order, price=99_50)

    assert ("NetworkException", "Maximum allowed order modifications exceeded.") == seen[1:]
    assert 25 == t.see(order).modifications
    assert t.modify(order, price=99_50, by_hand=True)


def test_what_is_in_between_or_over_is_being_processed():
    t = trader()
    order = t.buy(10, 99_00)

    on_its_way = refused(t.modify, order, price=99_05)
    t.wait(1).modify(order, price=99_05)
    asked = refused(t.exchange.cancel, order)
    t.wait(1).exchange.cancel(order)
    t.wait(1)
    over = refused(t.exchange.cancel, order)

    assert (400, "InputException") == on_its_way[:2]
    assert on_its_way[2].startswith("Order cannot be modified as it is being processed")
    assert asked == over
    assert over[2].startswith("Order cannot be cancelled as it is being processed")


def test_an_unknown_order_is_not_found():
    t = trader()

    assert {404} == {
        refused(call, *args)[0]
        for call, args in ((t.exchange.cancel, ("1",)), (t.modify, ("1",)), (t.exchange.history, ("1",)))
    }


# --- the product's own moves ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "price", "filled_at"),
    [
        ({"order_type": OrderType.MARKET, "protection_milli": -1}, 99_00, 99_95),
        ({"order_type": OrderType.LIMIT, "price": 99_95}, 99_95, 99_95),
        ({"order_type": OrderType.LIMIT}, 98_50, 99_95),
    ],
)
def test_a_resting_stop_becomes_the_exit_by_one_modification(changes, price, filled_at):
    t, stop = long_with_stop()

    t.modify(stop, **changes)
    t.wait(1)

    assert [(100, filled_at)] == t.fills(stop)
    assert (OrderType.LIMIT, price, 0) == (t.see(stop).order_type, t.see(stop).price, t.see(stop).trigger)
    assert (0, "COMPLETE", 1) == (t.net(), t.see(stop).status, t.see(stop).modifications)


def test_a_conversion_to_market_needs_protection_too():
    t, stop = long_with_stop()

    seen = refused(t.modify, stop, order_type=OrderType.MARKET)

    assert "without market protection" in seen[2]
    assert "TRIGGER PENDING" == t.see(stop).status


def test_a_stop_is_trailed_by_its_trigger_and_price():
    t, stop = long_with_stop()

    t.modify(stop, trigger=99_50, price=99_40)
    t.wait(1)

    assert ("TRIGGER PENDING", 99_50, 99_40) == (t.see(stop).status, t.see(stop).trigger, t.see(stop).price)
    assert "should be lower" in refused(t.modify, stop, trigger=100_00)[2]


def test_a_stop_that_fires_while_it_is_moved_is_not_modified():
    table = "09:15:00 100.00 500 99.95x900 / 100.05x900\n09:16:00 98.90 10 98.45x900 / 98.95x900\n09:20:00 98.90 0"
    terms = Terms(latency_ms_least=400, latency_ms_most=400)
    t = trader(table=table, terms=terms)
    t.buy(100, 100_05)
    stop = t.wait(2).stop(Side.SELL, 100, 99_00, 98_50)
    t.till("09:15:59").wait(0.9)

    t.modify(stop, trigger=98_80)
    t.wait(0.2)
    fired = t.state(stop)
    t.wait(2)

    assert ("MODIFY VALIDATION PENDING", 0) == fired
    assert ["MODIFY PENDING", "NOT MODIFIED", "OPEN"] == t.words(stop)[-3:]
    assert 99_00 == t.see(stop).trigger


def test_a_fired_stop_that_rests_takes_a_new_price():
    table = "09:15:00 100.00 500 99.95x900 / 100.05x900\n09:16:00 98.40 10 98.35x900 / 98.45x900\n09:20:00 98.40 0"
    t, stop = long_with_stop(table=table)
    t.till("09:16:01")

    t.modify(stop, price=98_00)
    t.wait(1)

    assert [(100, 98_35)] == t.fills(stop)


def test_a_modification_below_what_has_been_filled_is_not_made():
    t = trader(table="09:15:00 100.00 500 99.95x5 / 100.05x5\n09:20:00 100.00 0")
    order = t.buy(10, 100_05)

    t.wait(1).modify(order, qty=5)
    t.wait(1)

    assert ("OPEN", 5, 10) == (*t.state(order), t.see(order).qty)
    assert "NOT MODIFIED" in t.words(order)


def test_the_users_own_hand_obeys_no_rule_of_the_api():
    t, stop = long_with_stop()

    order = t.sell(30, None, placed_by_hand=True, protection_milli=0)
    t.exchange.cancel(stop, by_hand=True)
    t.wait(1)

    assert ("COMPLETE", OrderType.MARKET, (), None) == (
        t.see(order).status, t.see(order).order_type, t.see(order).tags, t.see(order).request.tag,
    )  # fmt: skip
    assert ("CANCELLED", 70) == (t.see(stop).status, t.net())


def test_a_market_order_by_hand_goes_after_the_other_side_row_by_row():
    t = trader(
        table="09:15:00 100.00 500 99.95x5 / 100.05x5\n09:16:00 101.00 0 100.95x5 / 101.05x5\n09:20:00 100.00 0"
    )

    order = t.buy(10, None, placed_by_hand=True, protection_milli=0)
    t.till("09:16:00")

    assert [(5, 100_05), (5, 101_05)] == t.fills(order)


# --- the session ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "ticker", "phase"),
    [
        ("08:59:59", "FNO", None),
        ("09:00:00", "FNO", PhaseKind.PRE_OPEN_ENTRY),
        ("09:11:00", "FNO", PhaseKind.PRE_OPEN_MATCH),
        ("09:15:00", "FNO", PhaseKind.CONTINUOUS),
        ("15:15:00", "FNO", PhaseKind.CLOSING_REFERENCE),
        ("15:15:00", "PLAIN", PhaseKind.CONTINUOUS),
        ("15:22:00", "FNO", PhaseKind.CLOSING_ENTRY),
        ("15:33:00", "FNO", PhaseKind.CLOSING_MATCH),
        ("15:30:00", "PLAIN", None),
        ("15:55:00", "PLAIN", PhaseKind.POST_CLOSE),
    ],
)
def test_each_class_has_its_phases(clock, ticker, phase):
    t = Trader({"FNO": FLAT, "PLAIN": FLAT}, start="08:00")

    t.till(clock)

    assert phase == t.exchange.phase(ticker)


@pytest.mark.parametrize("clock", ["08:59", "09:11", "15:16", "15:33", "15:55", "20:00"])
def test_where_nothing_is_taken_an_order_is_refused(clock):
    t = Trader({"FNO": FLAT}, start="08:00").till(clock)

    assert "Markets are closed right now" in refused(t.buy, 10, 99_00, product="CNC")[2]


def test_an_order_that_arrives_too_late_is_rejected_by_the_exchange():
    t = trader().till("15:29:59").wait(0.999)

    order = t.buy(10, 99_00, ticker="PLAIN", product="CNC")
    t.wait(1)

    assert ("REJECTED", 0) == t.state(order)
    assert "the market does not take" in t.message(order)


def test_pre_open_orders_are_matched_at_the_first_price_of_the_tape():
    t = Trader({"FNO": FLAT}).till("09:01")
    generous, at_the_price, too_low = (t.buy(50, price) for price in (104_00, 100_00, 99_90))

    before = [t.till("09:09:59").see(order).status for order in (generous, at_the_price, too_low)]
    t.till("09:10")

    assert ["OPEN"] * 3 == before
    assert [[(50, 100_00)], [(50, 100_00)], []] == [t.fills(o) for o in (generous, at_the_price, too_low)]
    assert "OPEN" == t.till("09:15:01").see(too_low).status


def test_pre_open_takes_neither_stops_nor_ioc_orders_and_its_second_part_no_market_order():
    t = Trader({"FNO": FLAT}).till("09:01")

    seen = [refused(t.stop, Side.BUY, 10, 101_00, 102_00)[2], refused(t.buy, 10, 99_00, validity="IOC")[2]]
    by_hand = {"placed_by_hand": True, "protection_milli": 0}
    market = t.buy(10, None, **by_hand)
    t.till("09:06")

    assert all("an auction takes neither" in text for text in seen)
    assert "limit orders alone" in refused(t.buy, 10, None, **by_hand)[2]
    assert [(10, 100_00)] == t.till("09:10").fills(market)


def test_a_leftover_of_the_pre_open_session_meets_the_first_row_at_its_prices():
    t = Trader({"FNO": "09:15:00 100.00 500 99.95x9 / 99.90x9\n09:20:00 100.00 0"}).till("09:01")
    order = t.buy(5, 99_95)

    t.till("09:15:00")

    assert [(5, 99_90)] == t.fills(order)


def test_when_continuous_trading_ends_stops_and_far_orders_of_auction_stocks_are_cancelled():
    t = Trader({"FNO": FLAT, "PLAIN": FLAT}, terms=Terms(holdings=(Holding("FNO", 50, Paise(90_00)),))).till(
        "09:15:01"
    )
    cnc = {"product": "CNC"}
    far, near = t.buy(10, 96_00, **cnc), t.buy(10, 98_00, **cnc)
    stop = t.stop(Side.SELL, 50, 99_00, 98_90, **cnc)
    other = t.buy(10, 96_00, ticker="PLAIN", **cnc)

    before = t.till("15:14:59").see(stop).status
    t.till("15:15")

    assert "TRIGGER PENDING" == before
    assert ["CANCELLED", "OPEN", "CANCELLED", "OPEN"] == [t.see(o).status for o in (far, near, stop, other)]


def test_the_closing_auction_matches_at_the_market_s_own_close_and_ends_the_day():
    t = Trader({"FNO": FLAT}, closes={MONDAY: 100_40}).till("15:21")
    good, bad = (t.buy(10, price, product="CNC") for price in (100_60, 100_20))
    outside = refused(t.buy, 10, 103_50, product="CNC")

    before = t.till("15:29:59").quote().last
    t.till("15:30")

    assert "closing auction takes prices from 97.00 to 103.00" in outside[2]
    assert [(10, 100_40)] == t.fills(good)
    assert ["COMPLETE", "CANCELLED"] == [t.see(order).status for order in (good, bad)]
    assert (100_00, 100_40) == (before, t.quote().last)


def test_the_auction_s_price_is_there_without_any_order_of_ours_and_whoever_watches_hears_of_it():
    t = Trader({"FNO": FLAT}, closes={MONDAY: 100_40})
    t.exchange.watch(["FNO"])

    t.till("15:36")

    assert ("15:30:00", "FNO") == t.ear.ticks[-1]
    assert (100_40, 100_40) == (t.quote().last, t.quote().high)


def test_day_orders_end_with_the_session():
    t = trader()
    order = t.buy(10, 99_00, ticker="PLAIN", product="CNC")

    before = t.till("15:29:59").see(order).status
    t.till("15:30")

    assert ("OPEN", "CANCELLED") == (before, t.see(order).status)
    assert "the session is over" in t.message(order)


# --- square-off -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("ticker", "clock"), [("FNO", "15:12"), ("PLAIN", "15:25")])
def test_the_broker_squares_off_what_is_intraday(ticker, clock):
    t = trader()
    t.buy(100, 100_05, ticker=ticker)
    t.wait(1)
    pending = [t.buy(10, 99_00, ticker=ticker), t.stop(Side.SELL, 100, 99_00, 98_90, ticker=ticker)]
    t.wait(1)

    t.till(clock).wait(1)

    sent = t.exchange.orders()[-1]
    assert ["CANCELLED", "CANCELLED"] == [t.see(order).status for order in pending]
    assert "auto square-off" in t.message(pending[0])
    assert (True, None, "COMPLETE", [(100, 99_95)]) == (
        sent.request.placed_by_broker, sent.request.tag, sent.status, t.fills(sent.order_id),
    )  # fmt: skip
    assert "square-off" in t.message(sent.order_id)
    assert (0, square_off_fee(RATES)) == (t.net(ticker), t.exchange.charges_of_day().square_off)
    assert f"only till {clock}" in refused(t.buy, 1, 99_00, ticker=ticker)[2]


def test_of_one_moment_the_square_off_comes_before_the_market():
    """A row at 15:12:00 that would fire a stop finds it cancelled."""
    t = trader(table="09:15:00 100.00 9\n15:12:00 98.00 900\n15:13:00 98.00 9")
    stop = t.stop(Side.SELL, 10, 99_00, 97_00)

    t.till("15:12")

    assert ("CANCELLED", 0) == t.state(stop)


def test_delivery_is_not_squared_off():
    t = trader()
    order = t.buy(10, 99_00, product="CNC")

    t.till("15:13")

    assert ("OPEN", 1) == (t.see(order).status, len(t.exchange.orders()))


def test_an_order_on_its_way_at_the_square_off_is_turned_back():
    t = trader().till("15:11:59").wait(0.999)
    order = t.buy(10, 100_05)

    t.wait(1)

    assert ("REJECTED", 0) == t.state(order)
    assert t.message(order).startswith("RMS:Blocked")


def test_an_early_square_off_ends_mis_for_the_day():
    t = trader(Fault("early_square_off", after=at("11:00"), where="FNO"))
    t.buy(100, 100_05)
    t.buy(100, 100_05, ticker="PLAIN")

    t.till("10:59:59")
    before = (t.net("FNO"), t.net("PLAIN"))
    t.till("11:00").wait(1)

    assert ((100, 100), (0, 100)) == (before, (t.net("FNO"), t.net("PLAIN")))
    assert "only till 11:00" in refused(t.buy, 1, 99_00)[2]
    assert t.buy(1, 99_00, ticker="PLAIN")


def test_a_locked_circuit_keeps_the_rest_which_is_delivered():
    t = trader(Fault("circuit_lock", after=at("15:00"), value=-1, where="FNO"))
    t.buy(100, 100_05)

    t.till("15:14")
    stuck = t.exchange.orders()[-1]
    t.till("09:00", MONDAY)

    assert (True, "OPEN", 0) == (stuck.request.placed_by_broker, stuck.status, stuck.filled)
    assert [] == t.exchange.flows()
    truth = t.exchange.truth()
    auctioned = sum(trade["qty"] for trade in truth["trades"] if trade["side"] == "SELL")
    assert 100 == auctioned + sum(h.qty for h in t.exchange.holdings())


# --- time -----------------------------------------------------------------------------------------


def test_only_watched_tickers_are_told_row_by_row():
    t = Trader({"FNO": FLAT, "PLAIN": FLAT})
    t.exchange.watch(["PLAIN"])
    t.till("09:20")
    t.exchange.watch(["FNO"])
    t.till("15:12")

    assert [("09:15:00", "PLAIN"), ("09:20:00", "PLAIN"), ("15:11:59", "FNO")] == t.ear.ticks


def test_the_next_moment_is_never_missed_and_time_does_not_run_backwards():
    t = trader()
    t.exchange.watch(["FNO"])

    before = t.exchange.next_at()
    t.buy(1, 99_00)
    after = t.exchange.next_at()

    assert at("09:20:00") == before
    assert after is not None and at("09:15:01") < after < at("09:15:02")
    with pytest.raises(ValueError, match="backwards"):
        t.exchange.advance(at("09:15:00"))


def test_a_listener_may_trade_from_within_a_call():
    t = trader()

    class Chaser(Ear):
        def order_updated(self, order, status):
            super().order_updated(order, status)
            if status == "COMPLETE" and order.request.side is Side.BUY:
                t.stop(Side.SELL, order.filled, 99_00, 98_00)

    chaser = Chaser(t.exchange)
    t.exchange.listen(chaser)
    t.buy(10, 100_05)
    t.wait(1)

    assert ["COMPLETE", "TRIGGER PENDING"] == [row.status for row in t.exchange.orders()]


def test_a_holiday_has_no_session():
    t = Trader({"FNO": FLAT}).till("11:00", date(2026, 11, 24))

    assert "Markets are closed" in refused(t.buy, 1, 99_00, product="CNC")[2]
    assert t.exchange.phase("FNO") is None


def test_the_table_of_words_has_three_ends_and_no_dead_end():
    reachable = {Status.RECEIVED}
    for _ in Status:
        reachable |= {after for before in reachable for after in MOVES[before]}

    assert {Status.COMPLETE, Status.CANCELLED, Status.REJECTED} == FINAL
    assert set(Status) == reachable
