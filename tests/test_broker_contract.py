"""One client, two transports, nothing sent twice: what each method makes of whatever comes back."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kite.closing import Convert, Drop, Send, Shrink, Standing, exit_steps, left
from kite.errors import DownError, NotSentError, RejectedError, UnknownOutcomeError
from rulebook.order_messages import OrderRow
from rulebook.order_records import MODIFICATIONS_KEPT, MODIFICATIONS_MOST, Refusal
from rulebook.records import Side
from tests.brokers import MODES, TICKER, Kept, Seat, seated
from tests.conftest import ROOT
from tests.contract import ABOUT_ORDERS, METHODS, expected, last_paise, measured, outcomes_of
from tests.local_exchange import local_exchange

pytestmark = pytest.mark.long

PAGE = expected(ROOT / "docs" / "broker.md")


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Seat]:
    """For what leaves nothing behind."""
    with (
        local_exchange("--symbols", "1") as running,
        seated(running, tmp_path_factory.mktemp("rates")) as seat,
    ):
        yield seat


@pytest.fixture(scope="module")
def floor(tmp_path_factory) -> Iterator[Seat]:
    """For the laws: each test tidies up."""
    with (
        local_exchange("--symbols", "1") as running,
        seated(running, tmp_path_factory.mktemp("rates")) as seat,
    ):
        yield seat


@pytest.fixture
def seat(floor) -> Iterator[Seat]:
    floor.kept = Kept()
    yield floor
    floor.tidy()


@pytest.fixture(params=MODES)
def mode(request) -> str:
    return str(request.param)


# --- the table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ABOUT_ORDERS])
def test_a_read_says_the_same_in_both_modes_whatever_comes_back(shared, name):
    assert dict.fromkeys(MODES, PAGE[name]) == {mode: measured(shared, mode, name) for mode in MODES}


@pytest.mark.parametrize("name", ABOUT_ORDERS)
def test_an_order_is_made_once_or_not_in_both_modes_whatever_comes_back(tmp_path, name):
    with local_exchange("--symbols", "1") as running, seated(running, tmp_path) as seat:
        found = {mode: measured(seat, mode, name) for mode in MODES}

    assert dict.fromkeys(MODES, PAGE[name]) == found


def test_the_page_tells_of_every_method_and_outcome_and_nothing_else():
    assert {name: outcomes_of(name) for name in METHODS} == {name: list(PAGE[name]) for name in METHODS}


def test_outside_the_session_an_order_is_refused_as_such(tmp_path):
    evening = "2026-11-20T18:00"
    with local_exchange("--symbols", "1", start=evening) as running, seated(running, tmp_path) as seat:
        for mode in MODES:
            with pytest.raises(RejectedError) as refused:
                seat.trader(seat.client(mode)).place_order(TICKER, Side.BUY, 1, mode)

            assert Refusal.SESSION is refused.value.refusal


# --- one intent, one order -----------------------------------------------------------------------------


def test_a_used_id_returns_the_order_it_made_also_to_a_client_that_knows_nothing(seat, mode):
    first = seat.trader(seat.client(mode))
    made = first.place_order(TICKER, "BUY", 3, f"twice {mode}")
    seat.clock.wait(1)
    again = first.place_order(TICKER, "BUY", 3, f"twice {mode}")
    after_a_crash = seat.trader(seat.client(mode)).place_order(TICKER, "BUY", 3, f"twice {mode}")
    seat.kept = Kept()  # and the journal is lost
    without_journal = seat.trader(seat.client(mode)).place_order(TICKER, "BUY", 3, f"twice {mode}")

    assert {made} == {again, after_a_crash, without_journal}
    assert 1 == len(seat.orders_of(f"twice {mode}"))


def test_an_entry_of_unknown_fate_is_never_sent_again(seat, mode):
    """The request was lost, and any further one would have arrived."""
    seat.break_with("request_lost", where="POST /orders/*", count=1)
    client_id = f"lost {mode}"
    trader = seat.trader(seat.client(mode))
    began_s = seat.clock.monotonic()
    with pytest.raises(UnknownOutcomeError):
        trader.place_order(TICKER, "BUY", 3, client_id)
    looked_for_s = seat.clock.monotonic() - began_s
    for later in (trader, seat.trader(seat.client(mode))):
        with pytest.raises(UnknownOutcomeError):
            later.place_order(TICKER, "BUY", 3, client_id)

    assert 120 <= looked_for_s <= 140
    assert [] == seat.orders_of(client_id)


def test_an_order_that_shows_late_is_found_by_whoever_comes_back(seat, mode):
    """R2 and R3 together, and a crash in the middle of the search."""
    client_id = f"late7 {mode}"
    seat.break_with("answer_lost", where="POST /orders/*", count=1)
    seat.break_with("late_in_book", value=90_000, count=1)
    waits = 0

    def crash(seconds: float, wait=seat.clock.wait) -> None:
        nonlocal waits
        waits += 1
        if waits > 5:
            raise KeyboardInterrupt
        wait(seconds)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(seat.clock, "wait", crash)
        seat.trader(seat.client(mode)).place_order(TICKER, "BUY", 3, client_id)
    found = seat.trader(seat.client(mode)).place_order(TICKER, "BUY", 3, client_id)

    assert [found] == [order["order_id"] for order in seat.orders_of(client_id)]


@pytest.mark.parametrize("way", ["refused", "not sent"])
def test_an_id_that_provably_made_nothing_may_be_used_again(seat, mode, way):
    client_id = f"{way} {mode}"
    if way == "refused":
        seat.break_with("refused", text="margin", count=1)
        trader = seat.trader(seat.client(mode))
        with pytest.raises(RejectedError):
            trader.place_order(TICKER, "BUY", 3, client_id)
    else:
        client = seat.client(mode)
        trader = seat.trader(client)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(NotSentError):
            patch.setattr(client, "place", seat.client(mode, "http://127.0.0.1:9").place)
            trader.place_order(TICKER, "BUY", 3, client_id)
    made = trader.place_order(TICKER, "BUY", 3, client_id)

    assert [made] == [order["order_id"] for order in seat.orders_of(client_id)]


def full_disk(_: object) -> None:
    raise OSError(28, "disk full")


def test_the_intent_is_on_disk_before_the_wire_and_a_full_disk_stops_entries_alone(seat, mode):
    seat.by_hand("BUY", 10)
    trader = seat.trader(seat.client(mode))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seat.kept, "record", full_disk)
        with pytest.raises(OSError, match="disk full"):
            trader.place_order(TICKER, "BUY", 3, f"full9 {mode}")
        trader.exit_position(TICKER, 10, f"out9 {mode}")
    seat.clock.wait(3)

    assert [] == seat.orders_of(f"full9 {mode}")
    assert 0 == seat.held()


def test_a_doubt_about_a_change_stays_one_when_the_book_cannot_be_read(seat, mode):
    """An error of the reading would say that nothing was sent."""
    order_id = seat.by_hand("BUY", 10, order_type="LIMIT", price=round(last_paise(seat) * 0.95 / 10) * 10)
    trader = seat.trader(seat.client(mode))
    changes: list[Callable[[], None]] = [
        lambda: trader.modify_order(order_id, qty=7),
        lambda: trader.cancel_order(order_id),
    ]
    for change in changes:
        seat.break_with("answer_lost", where="[PD]?* /orders/*", count=1)
        calls = 0

        def torn(*args: Any, read: Any = trader._client.orders) -> Any:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise DownError("GET /orders", "503")
            return read(*args)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(UnknownOutcomeError):
            patch.setattr(trader._client, "orders", torn)
            change()


def test_one_reading_without_the_newest_order_is_no_verdict(seat, mode):
    trader = seat.trader(seat.client(mode))
    order_id = trader.place_order(TICKER, "BUY", 3, f"newest {mode}")
    seat.clock.wait(2)
    seat.break_with("newest_missing", where="orders", count=1)

    assert ("COMPLETE", 3, f"newest {mode}") == tuple(
        trader.order_status(order_id)[name] for name in ("status", "filled_qty", "client_id")
    )

    seat.break_with("newest_missing", where="orders")
    with pytest.raises(RejectedError, match="not in today's book"):
        trader.order_status(order_id)


# --- an exit never closes more than is held ------------------------------------------------------------


@pytest.mark.parametrize("with_stop", [False, True])
def test_asking_for_an_exit_again_and_again_sells_once(seat, mode, with_stop):
    seat.by_hand("BUY", 10)
    trader = seat.trader(seat.client(mode))
    if with_stop:
        trader.place_stop_loss(TICKER, "SELL", 10, last_paise(seat) * 0.97 / 100, f"stop12 {mode}")
        seat.clock.wait(2)
    for number in range(4):
        trader.exit_position(TICKER, 10, f"exit12 {mode} {with_stop} {number // 2}")
    seat.clock.wait(5)
    trader.exit_position(TICKER, 10, f"late12 {mode}")
    sold = [order for order in seat.truth()["trades"] if order["side"] == "SELL"]

    assert 0 == seat.held()
    assert 10 == sum(trade["qty"] for trade in sold[-1:])


@pytest.mark.parametrize(
    ("in_positions", "in_orders", "held"),
    [(10, 10, 10), (10, 6, 6), (6, 10, 6), (-10, -4, -4), (10, 0, 0), (0, 10, 0), (10, -10, 0), (0, 0, 0)],
)
def test_of_two_tellings_the_smaller_one_counts(in_positions, in_orders, held):
    now = Standing(in_positions, in_orders, ())

    assert (held, in_positions == in_orders) == (now.held, now.is_settled)


def test_stale_positions_do_not_sell_a_second_time(seat, mode):
    """The positions are seconds behind, the orders are not: the smaller telling counts."""
    seat.by_hand("BUY", 10)
    seat.clock.wait(10)
    trader = seat.trader(seat.client(mode))
    trader.exit_position(TICKER, 10, f"once13 {mode}")
    seat.clock.wait(3)
    seat.break_with("stale_books", where="flows", value=8_000)
    with pytest.raises(DownError, match="contradict"):
        trader.exit_position(TICKER, 10, f"stale13 {mode}")
    with pytest.raises(RejectedError, match="0 are held"):
        trader.place_order(TICKER, "SELL", 10, f"reduce {mode}", reduce_only=True)
    seat.heal()

    assert 0 == seat.held()


def test_a_part_is_brought_out_and_the_stop_goes_on_with_the_rest(seat, mode):
    seat.by_hand("BUY", 10)
    trader = seat.trader(seat.client(mode))
    stop = trader.place_stop_loss(TICKER, "SELL", 10, last_paise(seat) * 0.97 / 100, f"stop14 {mode}")
    seat.clock.wait(2)
    trader.exit_position(TICKER, 4, f"part14 {mode}")
    seat.clock.wait(3)

    assert (6, 6, "TRIGGER PENDING") == (
        seat.held(),
        *(trader.order_status(stop)[n] for n in ("qty", "status")),
    )


def test_only_what_no_order_closes_may_get_another_stop(seat, mode):
    seat.by_hand("SELL", 10)
    trader = seat.trader(seat.client(mode))
    above = last_paise(seat) * 1.03 / 100
    for side, qty in (("SELL", 5), ("BUY", 11)):
        with pytest.raises(RejectedError, match="-10 are held, 10 of them"):
            trader.place_stop_loss(TICKER, side, qty, above, f"wrong {mode} {side}")
    trader.place_stop_loss(TICKER, "BUY", 6, above, f"first15 {mode}")
    seat.clock.wait(1)
    with pytest.raises(RejectedError, match="-10 are held, 4 of them"):
        trader.place_stop_loss(TICKER, "BUY", 5, above, f"second15 {mode}")

    trader.place_stop_loss(TICKER, "BUY", 4, above, f"third15 {mode}")


def stop_row(number: int, qty: int, status: str = "TRIGGER PENDING", filled: int = 0) -> OrderRow:
    return OrderRow(str(number), TICKER, Side.SELL, qty, filled, 0, status)


@given(
    st.integers(0, 40),
    st.lists(st.integers(1, 20), max_size=4),
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=3),
    st.integers(1, 50),
)
def test_the_steps_of_an_exit_never_close_more_than_is_held_and_leave_no_share_bare(held, stops, exits, qty):
    resting = [stop_row(number, qty) for number, qty in enumerate(stops)]
    going = [stop_row(90 + n, most, "OPEN", min(most, done)) for n, (most, done) in enumerate(exits)]
    now = Standing(held, held, (*resting, *going))
    on_the_way = sum(left(row) for row in going)
    protects = {row.order_id: row.qty for row in resting}
    closes = 0
    for step in exit_steps(now, qty):
        match step:
            case Convert(stop, part):
                closes += part
                protects[stop.order_id] = 0
            case Shrink(stop, part):
                assert 0 < part < protects[stop.order_id]
                protects[stop.order_id] = part
            case Drop(stop):
                protects[stop.order_id] = 0
            case Send(part):
                closes += part
                assert closes + on_the_way + sum(protects.values()) <= max(held, on_the_way)
    kept = max(0, held - on_the_way - closes)

    assert max(0, min(qty, held - on_the_way)) == closes
    assert min(kept, sum(stops)) <= sum(protects.values()) <= kept


# --- the budget of modifications -----------------------------------------------------------------------


def test_three_modifications_of_a_stop_are_kept_for_its_exit_over_restarts_too(seat, mode):
    seat.by_hand("BUY", 10)
    trader = seat.trader(seat.client(mode))
    trigger = last_paise(seat) * 0.95 / 100
    stop = trader.place_stop_loss(TICKER, "SELL", 10, trigger, f"trail {mode}")
    seat.clock.wait(1)
    for step in range(MODIFICATIONS_MOST - MODIFICATIONS_KEPT):
        trader.modify_order(stop, stop_price=trigger + step + 1)
        seat.clock.wait(1)
    for whoever in (trader, seat.trader(seat.client(mode))):
        with pytest.raises(RejectedError) as refused:
            whoever.modify_order(stop, stop_price=trigger + 30)

        assert Refusal.MODIFICATIONS_EXCEEDED is refused.value.refusal

    trader.exit_position(TICKER, 10, f"exit17 {mode}")
    seat.clock.wait(3)

    assert 0 == seat.held()
    assert ("COMPLETE", 20) == next(
        (order["status"], order["modifications"])
        for order in seat.truth()["orders"]
        if order["order_id"] == stop
    )


def test_a_conversion_of_unknown_fate_is_settled_by_what_the_book_shows(seat, mode):
    """The converted order has another type, price and tags in the book, and still it is that one."""
    seat.by_hand("BUY", 10)
    trader = seat.trader(seat.client(mode))
    trader.place_stop_loss(TICKER, "SELL", 10, last_paise(seat) * 0.97 / 100, f"stop18 {mode}")
    seat.clock.wait(1)
    seat.break_with("answer_lost", where="PUT *", count=1)
    trader.exit_position(TICKER, 10, f"exit18 {mode}")
    seat.clock.wait(3)

    assert 0 == seat.held()


def test_a_stop_that_fills_while_it_is_asked_to_be_the_exit_is_the_exit(tmp_path):
    """Modify and cancel are refused as being processed, because the price has just run through it."""
    with local_exchange("--symbols", "1") as running, seated(running, tmp_path) as seat:
        for mode in MODES:
            seat.by_hand("BUY", 10)
            trader = seat.trader(seat.client(mode))
            trader.place_stop_loss(TICKER, "SELL", 10, last_paise(seat) * 0.98 / 100, f"stop {mode}")
            seat.clock.wait(1)
            falls_at = seat.clock.now() + timedelta(seconds=1.5)
            seat.break_with("being_processed", count=2)
            seat.break_with("gap", value=-350, where=TICKER, after=falls_at.isoformat(), count=1)
            trader.exit_position(TICKER, 10, f"exit {mode}")
            seat.clock.wait(2)

            assert 0 == seat.held()
            assert [] == seat.orders_of(f"exit {mode}")
            assert 0 == seat.truth()["faults_struck"]["being_processed"] % 2
            assert "COMPLETE" == seat.orders_of(f"stop {mode}")[0]["status"]


def test_prices_go_to_the_tick_and_a_stop_away_from_the_market(seat, mode):
    seat.by_hand("BUY", 10)
    trader = seat.trader(seat.client(mode))
    tick = trader.share(f"nse:{TICKER}-EQ").instrument.tick
    trigger = (last_paise(seat) * 95 // 100 // tick * tick + tick - 1) / 100
    stop = trader.place_stop_loss(TICKER, "SELL", 10, trigger, f"tick {mode}")
    seat.clock.wait(1)
    row = next(order for order in seat.truth()["orders"] if order["order_id"] == stop)

    assert round(trigger * 100) - tick + 1 == row["trigger"]

    trader.modify_order(stop, stop_price=trigger + 1)
    seat.clock.wait(1)
    row = next(order for order in seat.truth()["orders"] if order["order_id"] == stop)

    assert round(trigger * 100) + 100 - tick + 1 == row["trigger"]
