"""What our orders get from a book: levels, queues, triggers, turns."""

from typing import Any

import pytest

from exchange.faults import Fault
from exchange.nouns import Terms
from rulebook.fills import Level
from rulebook.records import OrderType, Side
from tests.exchange_market import TableTape, Trader, tape

FLAT = """
09:15:00 100.00 500
09:20:00 100.00 0
"""


def trader(table: str | TableTape, *faults: Fault, **more: Any) -> Trader:
    """At 09:15:01, after the first row."""
    return Trader({"FNO": table}, *faults, **more).till("09:15:01")


# --- what is on offer now -------------------------------------------------------------------------


def test_a_marketable_order_eats_the_levels_best_first_up_to_its_limit():
    t = trader(FLAT)

    order = t.buy(1_000, 100_15)
    t.wait(1)

    assert [(100, 100_05), (200, 100_10), (300, 100_15)] == t.fills(order)
    assert ("OPEN", 600) == t.state(order)


def test_what_was_taken_from_a_row_stays_taken_until_the_next_row():
    t = trader("09:15:00 100.00 500\n09:16:00 100.00 0\n09:20:00 100.00 0")

    first = t.buy(100, 100_05)
    second = t.wait(1).buy(50, 100_05)
    t.wait(1)
    before = t.fills(second)
    t.till("09:16:00")

    assert ([(100, 100_05)], []) == (t.fills(first), before)
    assert [(50, 100_05)] == t.fills(second)


def test_the_rest_of_an_order_is_shown_among_the_others():
    t = trader(FLAT)

    t.buy(150, 100_05)
    depth = t.wait(1).quote().depth

    assert [(100_05, 50), (99_95, 100)] == [tuple(_pair(level)) for level in depth.bids[:2]]
    assert [(100_10, 200)] == [tuple(_pair(level)) for level in depth.asks[:1]]


def test_only_the_disclosed_part_of_a_resting_order_is_shown():
    t = trader(FLAT)

    t.buy(300, 99_95, disclosed_qty=30)
    depth = t.wait(1).quote().depth

    assert (99_95, 130) == _pair(depth.bids[0])


def test_an_ioc_order_takes_what_there_is_and_the_rest_is_cancelled():
    t = trader(FLAT)

    order = t.buy(250, 100_05, validity="IOC")
    t.wait(1)

    assert ("CANCELLED", 100, 150) == (*t.state(order), t.see(order).cancelled)


def test_an_empty_side_gives_nothing():
    t = trader("09:15:00 100.00 500 99.95x100 /\n09:20:00 100.00 0")

    order = t.buy(100, 101_00)
    t.wait(1)

    assert ("OPEN", 0) == t.state(order)


# --- what happens next ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "filled", "why"),
    [
        ("09:16:00 100.00 5000 99.95x100 / 100.05x10", 0, "nothing traded at its price"),
        ("09:16:00 99.95 100 99.95x100 / 100.05x10", 0, "only the queue ahead was served"),
        ("09:16:00 99.95 300 99.95x100 / 100.05x10", 50, "a quarter of what traded behind the queue"),
        ("09:16:00 99.95 5000 99.95x100 / 100.05x10", 400, "all of it, for it is less than a quarter"),
        ("09:16:00 99.90 120 99.85x100 / 100.05x10", 120, "what traded beyond would have met it first"),
        ("09:16:00 99.90 0 99.85x100 / 100.05x10", 0, "nothing traded at all"),
        ("09:16:00 100.00 0 99.85x100 / 99.90x70 99.95x20", 90, "what is offered there would have met it"),
        ("09:16:00 99.90 30 99.80x100 / 99.85x70", 100, "offered, and traded beyond"),
    ],
)
def test_a_resting_buy_is_filled_by_the_evidence_of_the_next_row(row, filled, why):
    t = trader(f"09:15:00 100.00 500 99.95x100 / 100.05x100\n{row}\n09:20:00 100.00 0")
    order = t.buy(400, 99_95)

    t.till("09:16:00")

    assert filled == t.see(order).filled, why
    assert all(price == 99_95 for _, price in t.fills(order))


def test_a_resting_sell_mirrors_a_resting_buy():
    table = "09:15:00 100.00 500 99.95x100 / 100.05x100\n09:16:00 100.05 300 99.95x9 / 100.05x100\n09:20:00 100.00 0"
    t = trader(table)
    order = t.sell(400, 100_05)

    t.till("09:16:00")

    assert [(50, 100_05)] == t.fills(order)


def test_a_queue_that_goes_away_lets_us_forward():
    """Cancelled shares ahead are gone; the 60 that are left are served first."""
    t = trader(
        "09:15:00 100.00 500 99.95x1000 / 100.05x100\n"
        "09:16:00 100.00 10 99.95x60 / 100.05x100\n"
        "09:17:00 99.95 100 99.95x60 / 100.05x100\n09:20:00 100.00 0"
    )
    order = t.buy(100, 99_95)

    t.till("09:17:00")

    assert [(10, 99_95)] == t.fills(order)


def test_behind_levels_that_nobody_shows_an_order_waits_until_its_price_is_shown():
    t = trader(
        "09:15:00 100.00 500 99.95x100 / 100.05x100\n"
        "09:16:00 99.50 900 99.90x9 / 100.05x100\n"  # its price, but never seen: no fill
        "09:17:00 99.90 10 99.50x400 / 100.05x100\n"
        "09:18:00 99.50 480 99.50x400 / 100.05x100\n09:20:00 100.00 0"
    )
    order = t.buy(100, 99_50)

    before = t.till("09:17:00").fills(order)
    t.till("09:18:00")

    assert [] == before
    assert [(20, 99_50)] == t.fills(order)


def test_a_new_low_of_the_day_within_a_second_is_trade_through():
    made = tape("09:15:00 100.00 500 99.95x100 / 100.05x100\n09:16:00 100.00 80 99.95x100 / 100.05x100")
    made.lows[1] = 99_90
    t = trader(made)
    order = t.buy(100, 99_95)

    t.till("09:16:00")

    assert [(80, 99_95)] == t.fills(order)


def test_among_our_own_the_better_price_and_then_the_earlier_order_goes_first():
    t = trader(
        "09:15:00 100.00 500 99.95x10 / 100.05x10\n09:16:00 99.80 150 99.70x10 / 100.05x10\n09:20:00 100.00 0"
    )
    worse, early, late = (t.wait(1).buy(100, price) for price in (99_85, 99_90, 99_90))

    t.till("09:16:00")

    assert [100, 50, 0] == [t.see(order).filled for order in (early, late, worse)]


def test_at_one_price_the_second_order_waits_until_the_first_is_done():
    t = trader(
        "09:15:00 100.00 500 99.95x100 / 100.05x10\n09:16:00 99.95 300 99.95x100 / 100.05x10\n09:20:00 100.00 0"
    )
    first, second = t.buy(60, 99_95), t.wait(1).buy(5, 99_95)

    t.till("09:16:00")

    assert [50, 0] == [t.see(order).filled for order in (first, second)]


def test_a_new_price_or_more_shares_go_to_the_back_and_fewer_shares_do_not():
    row = "09:16:00 99.80 100 99.70x10 / 100.05x10\n09:20:00 100.00 0"
    for changes, first in (({"qty": 90}, 90), ({"qty": 110}, 0), ({"price": 99_95}, 100)):
        t = trader(f"09:15:00 100.00 500 99.85x10 / 100.05x10\n{row}")
        order, other = t.buy(100, 99_90), t.wait(1).buy(100, 99_90)
        t.wait(1).modify(order, **changes)

        t.till("09:16:00")

        assert (first, 100 - first) == (t.see(order).filled, t.see(other).filled), changes


def test_two_of_our_orders_never_meet():
    t = trader(FLAT)
    resting = t.buy(100, 99_95)

    crossing = t.wait(1).sell(10, 99_95)
    beside = t.sell(10, 100_00)
    t.wait(1)

    assert ("REJECTED", 0) == t.state(crossing)
    assert "self trade" in t.message(crossing)
    assert [("OPEN", 0), ("OPEN", 0)] == [t.state(resting), t.state(beside)]


def test_a_modification_that_would_meet_our_own_order_is_not_made():
    t = trader(FLAT)
    t.buy(100, 99_95)
    order = t.sell(10, 100_00)

    t.wait(1).modify(order, price=99_95)
    t.wait(1)

    assert ["MODIFY PENDING", "NOT MODIFIED", "OPEN"] == t.words(order)[-3:]
    assert 100_00 == t.see(order).price


# --- stops ----------------------------------------------------------------------------------------

FALL = """
09:15:00 100.00 500 99.95x100 / 100.05x100
09:16:00 99.50 100 99.45x100 / 99.55x100
09:17:00 99.00 100 98.95x30 98.90x40 98.85x50 / 99.05x100
09:18:00 99.20 100 99.15x500 / 99.25x100
09:20:00 99.20 0 99.15x500 / 99.25x100
"""


def test_a_stop_waits_for_its_trigger_and_then_takes_what_its_limit_allows():
    t = trader(FALL)
    stop = t.stop(Side.SELL, 100, 99_00, 98_90)

    waiting = t.till("09:16:59").state(stop)
    t.till("09:17:00")

    assert ("TRIGGER PENDING", 0) == waiting
    assert [(30, 98_95), (40, 98_90)] == t.fills(stop)
    assert ["TRIGGER PENDING", "OPEN"] == t.words(stop)[3:5]


def test_what_a_fired_stop_did_not_get_rests_at_its_limit():
    t = trader(FALL)
    stop = t.stop(Side.SELL, 100, 99_00, 98_90)

    t.till("09:18:00")

    assert [(30, 98_95), (40, 98_90), (30, 98_90)] == t.fills(stop)
    assert ("COMPLETE", 100) == t.state(stop)


def test_a_stop_that_is_jumped_over_rests_as_a_limit_order_without_a_fill():
    t = trader(FALL)
    stop = t.stop(Side.SELL, 100, 99_80, 99_75)

    t.till("09:16:00")

    assert ("OPEN", 0) == t.state(stop)


def test_a_buy_stop_mirrors_a_sell_stop():
    t = trader("09:15:00 100.00 9\n09:16:00 100.50 100 100.45x5 / 100.55x30 100.60x90\n09:20:00 100.50 0")
    stop = t.stop(Side.BUY, 100, 100_50, 100_60)

    t.till("09:16:00")

    assert [(30, 100_55), (70, 100_60)] == t.fills(stop)


def test_a_new_extreme_within_a_second_fires_a_stop_and_an_old_one_does_not():
    made = tape("09:15:00 100.00 500\n09:16:00 100.00 80\n09:17:00 100.00 10\n09:20:00 100.00 0")
    made.lows = [99_00, 98_50, 98_50, 98_50]
    t = trader(made)
    early = t.stop(Side.SELL, 10, 98_60, 98_00)

    late = t.till("09:16:00").stop(Side.SELL, 10, 98_55, 98_00)
    t.till("09:17:00")

    assert ("COMPLETE", "TRIGGER PENDING") == (t.see(early).status, t.see(late).status)


def test_an_sl_m_order_is_protected_from_the_last_price_when_it_fires():
    t = trader(FALL)
    stop = t.sell(100, None, order_type=OrderType.SL_M, trigger=99_00, protection_milli=-1)

    waiting = t.wait(1).see(stop)
    fired = t.till("09:17:00").see(stop)

    assert ("TRIGGER PENDING", OrderType.SL_M, 0) == (waiting.status, waiting.order_type, waiting.price)
    assert (OrderType.LIMIT, 97_00, ("mktp", "mktp:2.00")) == (fired.order_type, fired.price, fired.tags)
    assert [(30, 98_95), (40, 98_90), (30, 98_85)] == t.fills(stop)


def test_an_sl_m_order_keeps_the_percentage_that_it_came_with():
    t = trader(FALL)
    stop = t.sell(100, None, order_type=OrderType.SL_M, trigger=99_00, protection_milli=100)

    t.till("09:17:00")

    assert (98_90, ("mktp", "mktp:0.10")) == (t.see(stop).price, t.see(stop).tags)


def test_a_change_that_arrives_after_an_sl_m_has_fired_leaves_it_its_limit():
    """Asked for while the stop still waited; half a millisecond later it fires."""
    t = trader(FALL)
    stop = t.sell(1_000, None, order_type=OrderType.SL_M, trigger=99_00, protection_milli=100)
    t.till("09:16:59").wait(0.9995)
    t.modify(stop, qty=900)
    t.wait(0.5)
    found = t.see(stop)

    assert (OrderType.LIMIT, 98_90, 900) == (found.order_type, found.price, found.qty)


def test_a_trigger_that_is_passed_on_the_way_fires_at_once():
    """Placed at 99.50 just before the row that goes to 99.00."""
    t = trader(FALL).till("09:16:59")
    t.wait(0.998)

    stop = t.stop(Side.SELL, 50, 99_20, 98_90)
    t.wait(0.5)

    assert [(30, 98_95), (20, 98_90)] == t.fills(stop)
    assert "TRIGGER PENDING" in t.words(stop)


# --- faults of the book ---------------------------------------------------------------------------


def test_partial_fills_come_in_slices_a_second_apart():
    t = trader(
        "09:15:00 100.00 500 99.95x900 / 100.05x900\n09:20:00 100.00 0", Fault("partial_fills", value=3)
    )
    order = t.buy(90, 100_05)

    counts = [t.wait(seconds).see(order).filled for seconds in (0.5, 1, 1, 1)]

    assert [30, 60, 90, 90] == counts


def test_a_stop_is_sliced_as_well():
    t = trader(FALL, Fault("partial_fills", value=2))
    stop = t.stop(Side.SELL, 40, 99_00, 98_90)

    t.till("09:17:00")
    first = t.see(stop).filled
    t.wait(1)

    assert (20, 40) == (first, t.see(stop).filled)


def test_a_reached_band_gives_half_until_another_price_is_asked():
    t = trader("09:15:00 100.00 500 99.95x900 / 100.05x900\n09:16:00 100.00 9\n09:20:00 100.00 0",
               Fault("band_reached", count=1))  # fmt: skip
    order = t.buy(100)

    halves = [t.till(clock).state(order) for clock in ("09:15:59", "09:16:30")]
    t.modify(order, price=101_10)
    t.wait(1)

    assert [("OPEN", 50), ("OPEN", 50)] == halves
    assert ("COMPLETE", 100) == t.state(order)


def test_the_self_trade_fault_refuses_an_order_against_a_resting_stop():
    t = trader(FLAT, Fault("self_trade", count=1))
    t.stop(Side.SELL, 10, 99_00, 98_90)

    order = t.wait(1).buy(10, 99_95)
    again = t.wait(1).buy(10, 99_95)
    t.wait(1)

    assert ["REJECTED", "OPEN"] == [t.see(order).status, t.see(again).status]


def test_a_cancel_that_loses_the_race_finds_the_order_filled_at_its_limit():
    t = trader(FLAT, Fault("cancel_loses_race", count=1))
    order = t.buy(10, 99_50)

    t.wait(1).exchange.cancel(order)
    t.wait(1)

    assert ("COMPLETE", [(10, 99_50)]) == (t.see(order).status, t.fills(order))
    assert ["OPEN", "CANCEL PENDING", "COMPLETE"] == t.words(order)[-3:]


def test_a_stop_whose_cancel_loses_the_race_fires_first():
    t = trader(FLAT, Fault("cancel_loses_race", count=1))
    stop = t.stop(Side.SELL, 10, 99_50, 99_40)

    t.wait(1).exchange.cancel(stop)
    t.wait(1)

    assert [(10, 99_40)] == t.fills(stop)


def test_a_larger_share_of_what_trades_can_be_had():
    t = trader(
        "09:15:00 100.00 500 99.95x100 / 100.05x100\n09:16:00 99.95 300 99.95x100 / 100.05x10",
        terms=Terms(participation_milli=1_000),
    )
    order = t.buy(400, 99_95)

    t.till("09:16:00")

    assert 200 == t.see(order).filled


def _pair(level: Level) -> tuple[int, int]:
    return level.price, level.qty
