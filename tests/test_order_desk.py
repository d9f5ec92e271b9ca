"""Does the desk carry out what the machine asks, in its order, once, and answer for all of it?

The broker is the local exchange, in process and on a virtual clock; `work` that the desk submits waits in a
list until a test runs it, as it would in a pool of threads.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from exchange.faults import Fault
from kite.client import KiteClient
from kite.errors import AddressRefusedError, LogInAgainError
from kite.forms import cancel_call, modify_call, place_call
from kite.rates import Rates
from kite.routes import Call
from order_desk import READ_PATIENCE, READINGS_MOST, Desk
from outcome import JournalError
from rulebook.order_messages import (
    Answered,
    BookRead,
    Cancel,
    EnterAsked,
    Event,
    ExitAsked,
    Filled,
    Modify,
    MoveAsked,
    NoAnswer,
    NotSent,
    Place,
    Refused,
    Started,
    Woke,
)
from rulebook.order_records import Purpose, Record, Refusal, Status, Terms
from rulebook.orders import Machine, recover
from rulebook.records import (
    Enter,
    Exit,
    ExitReason,
    MoveStop,
    OrderType,
    Paise,
    Phase,
    Side,
    client_id,
    tag_of,
)
from tests.exchange_market import TICK, Trader, at, trader
from tests.sim.in_process import Broker, InProcess, Unseen

NAME = client_id("FNO", Side.BUY, at("09:16"), "0000000a")


class Clock:
    """The exchange's time; waiting lets it pass."""

    def __init__(self, market: Trader) -> None:
        self._exchange = market.exchange
        self._start = market.exchange.now

        self.ahead = timedelta(0)  # of a wall clock that was set

    def now(self) -> datetime:
        return self._exchange.now + self.ahead

    def monotonic(self) -> float:
        return (self._exchange.now - self._start).total_seconds()

    def wait(self, seconds: float) -> None:
        self._exchange.advance(self._exchange.now + timedelta(seconds=seconds))


class Wire(Unseen):
    """Writes down what leaves."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def sent(self, call: Call) -> None:
        self._log.append(call.asked)


class Room:
    """A desk, its exchange, its journal, and the work that waits."""

    def __init__(self, folder: Path, *faults: Fault, machine: Machine | None = None) -> None:
        self.market = trader(*faults)
        self.clock = Clock(self.market)
        self.log: list[str] = []  # records and requests, in the order in which they happened
        self.records: list[Record] = []
        self.waiting: list[Callable[[], Event | None]] = []
        self.reads: list[bool] = []
        self.is_full = False  # the disk
        self.broker = Broker(self.market.exchange, 7, self.market.faults)
        self.wire = InProcess(self.broker, self.clock.wait, witness=Wire(self.log))
        self.wire.use_token(self.broker.log_in())
        client = KiteClient(self.wire, Rates(folder, self.clock), self.clock, Random(7))
        self.desk = Desk(machine or Machine(), client, self._journal, self._submit, self.clock)

    def start(self) -> "Room":
        """The books have been read: entries are taken."""
        self.desk.on(Started(self.clock.now()))
        self.run()
        self.log.clear()
        return self

    def run(self) -> list[Event]:
        """Do the work that waits; what comes of it goes to the desk."""
        work, self.waiting = self.waiting, []
        events = [event for event in (piece() for piece in work) if event is not None]
        for event in events:
            self.desk.on(event)
        return events

    def pass_seconds(self, seconds: float) -> list[Event]:
        """With the desk's timers, tenth by tenth."""
        heard: list[Event] = []
        for _ in range(round(seconds * 10)):
            self.clock.wait(0.1)
            for event in self.desk.due(self.clock.now()):
                self.desk.on(event)
            heard += self.run()
        return heard

    def enter(self, qty: int = 10) -> None:
        now = self.desk.now()
        intent = Enter(now, "FNO", Side.BUY, qty, Paise(100_00), Paise(50))
        self.desk.on(
            EnterAsked(
                now,
                intent,
                NAME,
                OrderType.LIMIT,
                Paise(100_05),
                TICK,
                Paise(100),
                Paise(90_00),
                Paise(110_00),
            )
        )

    def exit(self) -> None:
        now = self.clock.now()
        self.desk.on(ExitAsked(now, Exit(now, "FNO", ExitReason.SIGNAL, Paise(100_00))))

    def statuses(self) -> dict[str, Status]:
        return {o.client_id: o.status for o in self.desk.machine.orders_of("FNO")}

    def tags(self) -> list[str | None]:
        return [order.request.tag for order in self.market.exchange.orders()]

    def _journal(self, record: Record) -> None:
        if self.is_full:
            raise JournalError("no space left on device")
        self.records.append(record)
        self.log.append("record")

    def _submit(self, work: Callable[[], Event | None], *, is_read: bool) -> None:
        self.waiting.append(work)
        self.reads.append(is_read)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path).start()


# --- the order of things --------------------------------------------------------------------------


def test_the_intent_is_in_the_journal_before_it_is_on_the_wire(room):
    room.enter()
    room.run()

    assert ["record", "POST /orders/regular"] == room.log[:2]


def test_nothing_is_on_the_wire_before_the_submitted_work_runs(room):
    room.enter()

    assert (["record"], [False], []) == (room.log, room.reads[-1:], room.tags())
    room.run()
    assert 1 == len(room.tags())


def test_changes_and_readings_are_told_apart_when_they_are_submitted(room):
    room.reads.clear()
    room.enter()
    room.pass_seconds(1.1)

    assert (False, True) == (room.reads[0], room.reads[1])


def test_a_crash_before_the_wire_leaves_an_unknown_intent_that_is_never_sent_again(tmp_path, room):
    room.enter()

    again = Room(tmp_path / "again", machine=recover(room.records)).start()
    again.pass_seconds(130)

    assert [] == again.tags()
    assert {NAME: Status.ABSENT} == again.statuses()


# --- what becomes of a request --------------------------------------------------------------------


def test_a_placed_order_is_answered_with_its_id(room):
    room.enter()

    assert [Answered(room.clock.now(), NAME, "261120000000001")] == room.run()


def test_a_refusal_is_answered_with_its_class(tmp_path):
    room = Room(tmp_path, Fault("refused", text="margin")).start()
    room.enter()
    (event,) = room.run()

    assert isinstance(event, Refused)
    assert (NAME, Refusal.MARGIN) == (event.ref, event.refusal)
    assert {NAME: Status.REJECTED} == room.statuses()


@pytest.mark.parametrize(
    "fault",
    [
        "answer_lost",
        "timed_out_400",
        "server_error_after",
        "empty_body",
        "truncated_body",
        "html_body",
        "no_error_type",
    ],
)
def test_an_order_whose_answer_is_lost_is_unknown_then_adopted_by_its_tag_and_sent_once(tmp_path, fault):
    room = Room(tmp_path, Fault(fault, count=1, where="POST /orders/*")).start()
    room.enter()
    (event,) = room.run()[:1]

    assert NoAnswer(room.clock.now(), NAME) == event
    room.pass_seconds(2)
    posts = [line for line in room.log if line.startswith("POST")]
    assert Status.COMPLETE is room.statuses()[NAME]
    assert 2 == len(posts)  # the entry and its stop


def test_a_lost_request_is_unknown_too_and_given_up_by_the_book_alone(tmp_path):
    room = Room(tmp_path, Fault("request_lost", count=1, where="POST /orders/*")).start()
    room.enter()
    room.run()

    room.pass_seconds(100)
    assert {NAME: Status.UNKNOWN} == room.statuses()
    room.pass_seconds(25)
    assert {NAME: Status.ABSENT} == room.statuses()
    assert [] == room.tags()


def test_an_unplugged_cable_is_not_sent(tmp_path):
    room = Room(tmp_path).start()
    room.wire._is_cut = lambda _: True
    room.enter()
    (event,) = room.run()

    assert isinstance(event, NotSent)
    assert {NAME: Status.ABSENT} == room.statuses()


def test_a_stop_is_modified_and_then_turned_into_the_exit(room):
    room.enter()
    room.pass_seconds(2)
    now = room.clock.now()
    room.desk.on(MoveAsked(now, MoveStop(now, "FNO", Paise(99_80))))
    room.pass_seconds(2)
    room.exit()
    room.pass_seconds(3)

    puts = [line for line in room.log if line == "PUT /orders/regular/261120000000002"]
    assert (2, 0, Phase.FLAT) == (len(puts), room.market.net(), room.desk.machine.phase("FNO"))


def test_a_cancel_goes_out_for_what_is_unwanted(room):
    room.enter(qty=2_000)  # more than is offered
    room.pass_seconds(1)
    room.exit()
    room.pass_seconds(4)

    assert "DELETE /orders/regular/261120000000001" in room.log
    assert 0 == room.market.net()


def test_each_request_is_sent_once_and_answered_by_its_own_ref(room):
    now = room.clock.now()
    order_id = room.market.buy(10, 99_00)
    room.market.wait(1)
    terms = Terms(20, OrderType.LIMIT, Paise(99_05))
    wires = [Modify("a#1", "a", order_id, "FNO", terms), Cancel("a#2", "a", order_id, "FNO")]

    answers = []
    for wire in wires:
        answers.append(room.desk._sent(wire))
        room.market.wait(1)

    assert [Answered(now + timedelta(seconds=n), f"a#{n}", order_id) for n in (1, 2)] == answers


# --- a full disk ----------------------------------------------------------------------------------


def test_with_a_full_disk_an_entry_stays_here_and_is_not_sent(room):
    room.is_full = True
    room.enter()

    assert (room.waiting, room.tags(), {NAME: Status.ABSENT}) == ([], [], room.statuses())


def test_what_a_full_disk_refused_is_written_at_the_next_event_though_nothing_new_has_happened(room):
    room.enter()
    room.pass_seconds(2)
    kept, room.is_full = len(room.records), True
    room.exit()
    room.pass_seconds(3)
    room.is_full = False
    now = room.desk.now()
    room.desk.on(Woke(now, "anything"))

    assert len(room.records) > kept
    assert room.desk.machine.orders == recover(room.records).orders


def test_with_a_full_disk_the_exit_goes_out_and_is_journalled_when_it_can_be(room):
    room.enter()
    room.pass_seconds(2)
    held, kept = room.market.net(), len(room.records)
    room.is_full = True
    room.exit()
    room.pass_seconds(3)

    assert (10, 0, kept) == (held, room.market.net(), len(room.records))
    room.is_full = False
    room.pass_seconds(2)
    machine = room.desk.machine
    now = room.clock.now()
    room.desk.on(EnterAsked(now, Enter(now, "FNO", Side.BUY, 1, Paise(100_00), Paise(50)), "other-name",
                            OrderType.LIMIT, Paise(99_00), TICK, Paise(100)))  # fmt: skip
    assert len(room.records) > kept + 1
    assert (machine.units, set(machine.orders["FNO"])) == (
        recover(room.records).units,
        set(recover(room.records).orders["FNO"]),
    )


# --- the books ------------------------------------------------------------------------------------


def test_a_reading_brings_orders_trades_and_positions_since_it_began(room):
    room.enter()
    room.run()
    room.market.wait(1)
    room.desk.read_books()
    (event,) = room.run()

    assert isinstance(event, BookRead)
    assert (["COMPLETE"], 1, {"FNO": 10}) == (
        [row.status for row in event.orders], len(event.trades), dict(event.positions or {}),
    )  # fmt: skip
    assert event.began == room.desk.last_read_at


def test_one_reading_at_a_time(room):
    for _ in range(3):
        room.desk.read_books()

    assert 1 == len(room.waiting)
    room.run()
    room.desk.read_books()
    assert 1 == len(room.waiting)


def test_a_reading_that_hangs_holds_up_the_next_for_two_seconds_only_and_never_more_than_three_hang(room):
    for _ in range(6):
        room.desk.read_books()
        room.market.wait(READ_PATIENCE.total_seconds())

    assert READINGS_MOST == len(room.waiting)


def test_a_reading_that_fails_is_no_verdict_and_leaves_room_for_the_next(tmp_path):
    room = Room(tmp_path).start()
    room.market.faults.add(Fault("wrong_types", count=1, where="GET /trades"))
    last = room.desk.last_read_at
    room.market.wait(1)
    room.desk.read_books()

    assert ([], last) == (room.run(), room.desk.last_read_at)
    room.desk.read_books()
    assert 1 == len(room.run())


def test_an_older_reading_that_comes_late_does_not_make_the_last_one_older(room):
    room.market.wait(1)
    newest = room.clock.now()
    room.desk.on(BookRead(newest, newest, ()))
    room.desk.on(BookRead(newest, newest - timedelta(seconds=1), ()))

    assert newest == room.desk.last_read_at


# --- a broker that does not listen ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"), [("token_dead", LogInAgainError), ("address_refused", AddressRefusedError)]
)
def test_a_dead_token_or_a_refused_address_blocks_and_nothing_was_sent(tmp_path, fault, kind):
    room = Room(tmp_path).start()
    room.market.faults.add(Fault(fault, count=1, where="POST /orders/*"))
    room.enter()
    (event,) = room.run()

    assert isinstance(event, NotSent)
    assert room.desk.blocked is not None and isinstance(room.desk.blocked.error, kind)


def test_a_blocked_desk_is_free_again_with_the_first_answer_after_a_login(tmp_path):
    room = Room(tmp_path).start()
    room.market.faults.add(Fault("token_dead", count=1, where="GET /orders"))
    room.desk.read_books()
    room.run()
    blocked = room.desk.blocked
    room.wire.use_token(room.broker.log_in())
    room.desk.read_books()
    room.run()

    assert blocked is not None
    assert room.desk.blocked is None


# --- timers, and what concerns the caller ---------------------------------------------------------


def test_timers_are_due_in_their_time_and_each_key_once(room):
    room.enter()
    first = room.desk.next_wake_at
    assert first is not None

    assert [] == room.desk.due(first - timedelta(milliseconds=1))
    assert [Woke(first, "orders")] == room.desk.due(first)
    assert [] == room.desk.due(first)


def test_fills_are_told_to_the_caller(room):
    room.enter()
    room.run()
    room.market.wait(1)
    room.desk.read_books()
    (event,) = [piece() for piece in room.waiting]
    told = room.desk.on(event)

    assert [(10, 100_05)] == [(word.fill.qty, word.fill.price) for word in told if isinstance(word, Filled)]


# --- a clock that steps ---------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [timedelta(seconds=2), timedelta(days=1), -timedelta(hours=1)])
def test_a_wall_clock_that_steps_moves_no_deadline_of_the_desk(room, ahead):
    before = room.desk.now()
    room.clock.ahead = ahead
    room.market.wait(1)

    assert timedelta(seconds=1) == room.desk.now() - before
    room.enter()
    for _ in range(30):
        room.market.wait(0.1)
        for event in room.desk.due(room.desk.now()):
            room.desk.on(event)
        room.run()
    assert [Status.COMPLETE, Status.TRIGGER_PENDING] == list(room.statuses().values())


# --- how long one waits ---------------------------------------------------------------------------


def test_what_is_urgent_is_waited_for_half_as_long_as_an_entry():
    terms = Terms(10, OrderType.LIMIT, Paise(100_00))
    entry = Place(NAME, tag_of(NAME), "FNO", Side.BUY, terms, Purpose.ENTRY, urgent=False)
    stop = Place(NAME, tag_of(NAME), "FNO", Side.SELL, terms, Purpose.STOP, urgent=True)
    calls = [
        place_call(entry),
        place_call(stop),
        modify_call(Modify("a#1", "a", "1", "FNO", terms)),
        cancel_call(Cancel("a#2", "a", "1", "FNO")),
    ]

    assert [10.0, 5.0, 5.0, 5.0] == [call.total_s for call in calls]
