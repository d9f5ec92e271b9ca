"""What goes wrong in the core: disasters of the market, and books that do not show the truth."""

import pytest

from exchange.faults import KNOWN, Fault
from rulebook.records import Side
from tests.conftest import ROOT
from tests.exchange_market import (
    MINUTES,
    MONDAY,
    Trader,
    at,
    long_with_stop,
    refused,
    tape,
    trader,
)

# --- disasters ------------------------------------------------------------------------------------


def test_a_gap_moves_every_later_price_and_fires_stops():
    t = Trader({"FNO": MINUTES}, Fault("gap", after=at("11:00:30"), value=-300)).till("10:30")
    t.buy(100, 100_05)
    stop = t.wait(1).stop(Side.SELL, 100, 99_00, 96_00)

    before = t.till("11:00:29").quote()
    t.till("11:00:30")
    after = t.quote()

    assert (100_00, 97_00) == (before.last, after.last)
    assert [(100, 96_95)] == t.fills(stop)
    assert (100_00, 97_00, 97_00) == (after.high, after.low, t.till("12:00").quote().last)
    candle = t.exchange.candles("FNO", 1, at("11:00"), at("11:00"))[0]
    assert (100_00, 97_00) == (candle.open, candle.close)


def test_a_fault_that_is_switched_on_now_strikes_with_the_next_second():
    t = Trader({"FNO": MINUTES}).till("10:30:00").wait(0.5)
    t.faults.add(Fault("gap", value=200))

    moment = t.exchange.next_at()
    unchanged = t.quote().last
    t.wait(1)

    assert moment is not None
    assert (100_00, 102_00) == (unchanged, t.quote().last)


def test_a_locked_ticker_has_one_side_only_until_it_is_healed():
    t = Trader({"FNO": MINUTES}).till("10:30")
    t.faults.add(Fault("circuit_lock", value=1))
    t.wait(1)
    locked = t.quote()
    order = t.buy(10, 110_00)
    t.till("10:45")
    waiting = t.see(order).filled
    t.faults.clear("circuit_lock")
    t.till("10:46")

    assert (110_00, 110_00, ()) == (locked.last, locked.depth.bids[0].price, locked.depth.asks)
    assert 0 == waiting
    assert (100_00, 10) == (t.quote().last, t.see(order).filled)


def test_a_gap_that_runs_into_the_circuit_is_a_lock():
    t = Trader({"FNO": MINUTES}, Fault("gap", after=at("11:00"), value=-2_000)).till("11:05")

    quote = t.quote()

    assert (90_00, (), 90_00) == (quote.last, quote.depth.bids, quote.depth.asks[0].price)


def test_in_a_halt_nothing_trades_anywhere_and_orders_come_and_go():
    t = Trader({"FNO": MINUTES, "PLAIN": MINUTES}, Fault("market_halt", after=at("11:00"), until=at("11:30")))
    t.exchange.watch(["FNO", "PLAIN"])
    t.till("11:05")
    volume = t.quote().volume
    order, gone = t.buy(10, 100_05), t.buy(10, 100_05, ticker="PLAIN")
    t.wait(1).exchange.cancel(gone)

    t.till("11:29:59")
    in_the_halt = (t.state(order), t.see(gone).status, t.quote("PLAIN").volume)
    t.till("11:30:00")

    assert (("OPEN", 0), "CANCELLED", volume) == in_the_halt
    assert [(10, 100_05)] == t.fills(order)
    assert [] == [clock for clock, _ in t.ear.ticks if "11:00:00" <= clock < "11:30:00"]


def test_a_gap_is_gone_the_next_day_and_a_lock_that_is_still_on_is_not():
    t = Trader({"FNO": MINUTES}, Fault("gap", value=200), Fault("circuit_lock", value=-1, where="PLAIN"))
    t.market.more("FNO", MONDAY, tape(MINUTES)).more("PLAIN", MONDAY, tape(MINUTES))

    t.till("10:30", MONDAY)

    assert (100_00, 90_00) == (t.quote().last, t.quote("PLAIN").last)


# --- what the books show --------------------------------------------------------------------------


def test_an_order_may_show_up_late_and_is_there_all_the_same():
    t = trader(Fault("late_in_book", value=8_000, count=1))
    order = t.buy(10, 100_05)
    t.wait(5)

    hidden = (t.exchange.orders(), t.exchange.trades(), refused(t.exchange.history, order)[0])
    t.wait(4)

    assert ([], [], 404) == hidden
    assert ("COMPLETE", 1) == (t.see(order).status, len(t.exchange.trades()))


def test_stale_books_are_those_of_a_while_ago():
    t = trader()
    t.buy(10, 100_05)
    t.wait(5)
    t.faults.add(Fault("stale_books", value=5_000))

    just_placed = t.exchange.orders()

    assert ["PUT ORDER REQ RECEIVED"] == [row.status for row in just_placed]
    assert ([], []) == (t.exchange.trades(), t.exchange.flows())


def test_books_may_lack_the_newest_row_or_their_order():
    t = trader()
    orders = [t.wait(1).buy(1, 99_00) for _ in range(6)]
    t.faults.add(Fault("newest_missing", count=1, where="orders"))
    lacking = [row.order_id for row in t.exchange.orders()]
    t.faults.add(Fault("unordered_books", where="orders"))
    mixed = [row.order_id for row in t.exchange.orders()]

    assert orders[:-1] == lacking
    assert orders != mixed and set(orders) == set(mixed)


def test_a_request_that_is_executed_twice_makes_two_orders_of_one_tag():
    t = trader(Fault("executed_twice", count=1))
    order = t.buy(10, 100_05, tag="once")
    t.wait(1)

    assert [(order, "once"), ("261120000000002", "once")] == [
        (row.order_id, row.request.tag) for row in t.exchange.orders()
    ]
    assert 20 == t.net()


def test_risk_management_may_reject_what_got_an_id():
    t = trader(Fault("rejected_later", value=3_000))
    order = t.buy(10, 100_05)

    early = t.wait(2).see(order).status
    t.wait(2)

    assert ("VALIDATION PENDING", "REJECTED") == (early, t.see(order).status)
    assert (t.see(order).message_raw or "").startswith("RMS:")


@pytest.mark.parametrize(
    ("text", "error_type"),
    [("margin", "MarginException"), ("tick", "InputException"), ("freeze", "InputException"),
     ("circuit", "InputException"), ("lpp", "InputException"), ("mis", "InputException"),
     ("protection", "InputException")],
)  # fmt: skip
def test_any_refusal_can_be_had_on_demand(text, error_type):
    t = trader(Fault("refused", text=text, count=1))

    assert error_type == refused(t.buy, 10, 100_05)[1]
    assert t.buy(10, 100_05)


def test_being_processed_and_a_refused_modification_strike_and_pass():
    t, stop = long_with_stop(Fault("being_processed", count=1), Fault("modify_refused", count=1))

    processed = refused(t.modify, stop, trigger=99_50)[2]
    t.modify(stop, trigger=99_50)
    refused_later = t.wait(1).words(stop)[-2:]
    t.modify(stop, trigger=99_50)

    assert "being processed" in processed
    assert ["NOT MODIFIED", "TRIGGER PENDING"] == refused_later
    assert 99_50 == t.wait(1).see(stop).trigger


def test_every_fault_stands_in_the_document():
    text = (ROOT / "docs" / "exchange.md").read_text()

    assert [] == [name for name in KNOWN if f"`{name}`" not in text]
