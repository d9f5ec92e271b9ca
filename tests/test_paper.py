"""The client that trades on paper: it cannot send, it forgets nothing, and who uses the live one can use it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from broker import ZerodhaClient
from kite import routes
from kite.client import KiteClient
from kite.connect import transport
from kite.errors import DownError, NotSentError, RejectedError
from kite.instruments import Master
from kite.rates import Kind, Rates
from kite.routes import Call, Route
from order_desk import Desk
from outcome import DataError
from paper import KEPT_EVERY, PaperClient, ReadsOnly
from paper_file import load
from paper_quotes import Doubt, Quote, QuoteRefused, of_stream
from rulebook.order_messages import (
    Alarm,
    Cancel,
    EnterAsked,
    Event,
    ExitAsked,
    Modify,
    MoveAsked,
    Started,
)
from rulebook.order_records import Refusal, Terms
from rulebook.orders import recover
from rulebook.records import (
    Enter,
    Exit,
    ExitReason,
    MoveStop,
    OrderType,
    Paise,
    Phase,
    Side,
)
from tests.conftest import ROOT
from tests.paper_tables import (
    ASK,
    BID,
    CAPITAL,
    MODES,
    MONDAY,
    At,
    HandClock,
    Kept,
    Wire,
    at,
    levels,
    limit,
    market,
    paise,
    paper_terms,
    place,
    sl,
)


class Rig:
    """A client on paper, its clock, its wire and its file; `again` is the next process."""

    def __init__(self, folder: Path, start: str = "10:00:00") -> None:
        self.folder = folder
        self.path = folder / "paper.json"
        self.clock = HandClock(at(start))
        self.wire = Wire()
        self.told: list[QuoteRefused] = []
        self.names = 0
        self.client = self.again()

    def again(self) -> PaperClient:
        rates = Rates(self.folder, self.clock)
        self.client = PaperClient(
            self.wire, rates, self.clock, Random(7), paper_terms(), self.path, tell=self.told.append
        )
        return self.client

    def see(
        self, last: str = "100.00", bids: str = BID, asks: str = ASK, ticker: str = "INFY", **more
    ) -> bool:
        said = {"at": self.clock.now(), "volume": 1_000, **more}
        return self.client.quoted(
            Quote(ticker, last=paise(last), bids=levels(bids), asks=levels(asks), **said)
        )

    def place(self, side: Side, terms: Terms, urgent: bool = False, ticker: str = "INFY") -> str:
        self.names += 1
        return self.client.place(place(ticker, side, terms, str(self.names), urgent))

    def modify(self, order_id: str, terms: Terms) -> str:
        return self.client.modify(Modify("ref", "id", order_id, "INFY", terms))


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


# --- it cannot send ------------------------------------------------------------------------------------

CHANGES = [route for route in routes.ALL if route.is_change]
READS = [route for route in routes.ALL if not route.is_change]
FORGED = Route("order.place", "POST", "/orders/{variety}", Kind.ORDERS)
NAMES = {"variety": "regular", "order_id": "1", "exchange": "NSE", "instrument_token": "1", "interval": "day"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("route", [*CHANGES, FORGED], ids=lambda route: f"{route.method} {route.path}")
def test_no_change_leaves_this_machine_over_either_transport(mode, route):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.setblocking(False)
        root = f"http://127.0.0.1:{server.getsockname()[1]}"
        only = ReadsOnly(transport(mode, At(root), "key", HandClock(at("10:00:00")), Random(7)))
        only.use_token("token")
        with pytest.raises(RejectedError, match="paper"):
            only.send(Call(route, NAMES, urgent=True))
        only.close()

        with pytest.raises(BlockingIOError):
            server.accept()


def test_every_read_is_passed_on_and_what_is_no_read_asks_by_get_or_computes():
    passed = []

    class Ear(Wire):
        def send(self, call):
            passed.append(call.route)

    for route in READS:
        ReadsOnly(Ear()).send(Call(route, NAMES))

    assert passed == READS
    assert {"order.margins", "order.contract_note"} == {r.name for r in READS if r.method != "GET"}


def test_each_question_is_answered_by_paper_or_is_about_the_market_or_the_login():
    """A method that the live client learns has to be placed here, or paper would tell of the real account."""
    public = {name for name in vars(KiteClient) if not name.startswith("_")}
    own = {name for name in vars(PaperClient) if not name.startswith("_")}

    assert public - own == {
        "use_token",
        "close",
        "log_in",
        "log_out",
        "renew",
        "user_id",
        "lists",
        "candles",
        "margin",
    }


def test_logging_in_or_out_is_refused_for_it_would_end_another_session(rig):
    with pytest.raises(RejectedError):
        rig.client.log_in("key", "token", "sum")
    with pytest.raises(RejectedError):
        rig.client.log_out("key", "token")
    with pytest.raises(RejectedError):
        rig.client.renew("key", "token", "sum")

    assert [] == rig.wire.asked


def test_a_token_reaches_the_transport_and_closing_closes_it(rig):
    rig.client.use_token("fresh")
    rig.client.close()

    assert ("fresh", ["close"]) == (rig.wire.token, rig.wire.asked)


# --- it forgets nothing --------------------------------------------------------------------------------


def test_an_order_is_on_the_disk_before_its_id_is_told(rig):
    rig.see()
    order_id = rig.place(Side.BUY, limit(100, "100.05"))
    on_disk = load(rig.path)

    assert on_disk is not None
    assert ("COMPLETE", 100) == (on_disk.orders[order_id].word, on_disk.orders[order_id].filled)


def test_the_next_process_finds_orders_fills_positions_and_money(rig):
    rig.see()
    rig.place(Side.BUY, market(100))
    stop = rig.place(Side.SELL, sl(100, "99.00", "98.00"), urgent=True)
    rig.modify(stop, sl(100, "99.50", "98.50"))
    rig.client.cancel(Cancel("ref", "id", rig.place(Side.BUY, limit(10, "99.00")), "INFY"))
    before = rig.client.books(), rig.client.cash(), rig.client.modifications(stop)
    after = rig.again()

    assert before == (after.books(), after.cash(), after.modifications(stop))

    rig.clock.wait(1)
    rig.see("99.50", bids="99.45x500", asks="99.60x500")

    assert 0 == rig.client.positions()[0].qty


def test_levels_that_were_taken_stay_taken_over_a_restart(rig):
    rig.see()
    rig.place(Side.BUY, limit(500, "100.05"))
    rig.again()
    rig.clock.wait(1)
    rig.see()
    order = rig.place(Side.BUY, limit(100, "100.05"))

    assert 0 == next(row.filled for row in rig.client.orders() if row.order_id == order)


def test_the_price_of_what_is_open_is_kept_every_minute(rig):
    """A square-off that nobody is there for takes the last price that is known."""
    rig.see()
    rig.place(Side.BUY, market(100))
    for price in ("101.00", "102.00"):
        rig.clock.wait(KEPT_EVERY.total_seconds())
        rig.see(price, bids="100.95x5", asks="102.05x5")
    rig.clock.wait(1)
    rig.see("103.00", bids="102.95x5", asks="103.05x5")
    on_disk = load(rig.path)

    assert on_disk is not None
    assert 102_00 == on_disk.last("INFY")


def test_yesterday_s_file_is_squared_off_and_its_money_opens_the_day(rig):
    rig.see()
    rig.place(Side.BUY, market(100))
    rig.place(Side.SELL, sl(100, "99.00", "98.00"))
    rig.clock.at = at("09:00:00", MONDAY)
    client = rig.again()
    on_disk = load(rig.path)

    assert ((), (), ()) == (client.books().orders, client.books().trades, client.books().positions)
    assert on_disk is not None
    assert (MONDAY, client.cash()) == (on_disk.day, on_disk.opening)
    assert -(5 * 100 + 100_00) < client.cash() - CAPITAL < -5 * 100  # out at the last price, and charges


def test_a_day_that_turns_under_a_running_process_is_a_new_day(rig):
    rig.see()
    rig.place(Side.BUY, market(100))
    rig.clock.at = at("09:16:00", MONDAY)

    assert () == rig.client.orders()

    rig.see()

    assert "P261123000001" == rig.place(Side.BUY, market(10))


def _flipped(content: bytes) -> bytes:
    return content.replace(b'"opening":10', b'"opening":90')


def _of_version_2(content: bytes) -> bytes:
    return content.replace(b'"version":1', b'"version":2')


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda _: b"", "damaged"),
        (lambda content: content[: len(content) // 2], "damaged"),
        (lambda content: content[:-1], "damaged"),
        (lambda content: content + content, "damaged"),
        (lambda _: b'{"cash": 1}', "damaged"),
        (lambda _: b"\0" * 512, "damaged"),
        (_flipped, "damaged"),
        (_of_version_2, "version 2"),
    ],
)
def test_a_damaged_file_is_refused_by_name_with_the_remedy_and_left_alone(rig, spoil, complaint):
    spoilt = spoil(rig.path.read_bytes())
    rig.path.write_bytes(spoilt)
    with pytest.raises(DataError, match=complaint) as error:
        rig.again()

    assert str(rig.path) in str(error.value)
    assert "move" in str(error.value)
    assert spoilt == rig.path.read_bytes()


def test_a_file_that_cannot_be_read_or_is_of_a_later_day_is_refused(rig):
    rig.clock.at = at("10:00:00").replace(day=19)
    with pytest.raises(DataError, match="set the clock right"):
        rig.again()

    rig.path.unlink()
    rig.path.mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        rig.again()


def test_a_disk_that_refuses_stops_entries_and_neither_stops_nor_fills(rig):
    rig.see()
    entry = rig.place(Side.BUY, limit(100, "99.95"))
    rig.folder.rename(rig.folder.with_name("gone"))
    rig.clock.wait(1)
    with pytest.raises(NotSentError, match="create"):
        rig.place(Side.BUY, market(10))
    rig.see("99.90", bids="99.80x500", asks="99.95x500")
    stop = rig.place(Side.SELL, sl(100, "99.00", "98.00"), urgent=True)

    assert {entry: "COMPLETE", stop: "TRIGGER PENDING"} == {
        row.order_id: row.status for row in rig.client.orders()
    }
    assert "create" in rig.client.unkept

    rig.folder.with_name("gone").rename(rig.folder)
    before = rig.client.books()

    assert "" == rig.client.unkept
    assert before == rig.again().books()


# Dies at the n-th step of writing: before and after each sync and rename. Tells what it was answered.
NURSERY = """
import json, os, signal, sys
from pathlib import Path
from tests.test_paper import Rig
from tests.paper_tables import limit, market, sl
from rulebook.records import Side

def life(folder, deadly, say):
    steps = 0
    def counted(work):
        def done(*args):
            nonlocal steps
            for after in (False, True):
                steps += 1
                if steps == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
                if not after:
                    answer = work(*args)
            return answer
        return done
    rig = Rig(folder)
    os.fsync, Path.replace = counted(os.fsync), counted(Path.replace)
    rig.see()
    say(rig.place(Side.BUY, market(100)))
    say(stop := rig.place(Side.SELL, sl(100, "99.00", "98.00")))
    rig.modify(stop, sl(100, "99.50", "98.50"))
    rig.clock.wait(1)
    rig.see("99.50", bids="99.45x60 99.40x500", asks="99.60x500")
    say(rig.place(Side.BUY, limit(10, "99.00")))

Rig(Path(sys.argv[1]))  # what is slow to import is imported once
for deadly in range(1, 60):
    folder = Path(sys.argv[1]) / str(deadly)
    folder.mkdir()
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        life(folder, deadly, lambda order_id: os.write(writes, order_id.encode() + b" "))
        os._exit(0)
    os.close(writes)
    status = os.waitpid(child, 0)[1]
    print(json.dumps([deadly, status, os.read(reads, 9_999).decode().split()]), flush=True)
    os.close(reads)
    if status == 0:
        break
"""


def test_killed_between_any_two_writes_it_has_every_order_that_it_answered_for(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NURSERY, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lives = [json.loads(line) for line in done.stdout.splitlines()]

    assert [signal.SIGKILL] * (len(lives) - 1) + [0] == [status for _, status, _ in lives]
    assert {0, 1, 2, 3} == {len(answered) for _, _, answered in lives}

    for deadly, _, answered in lives:
        rig = Rig(tmp_path / str(deadly))
        books = rig.client.books()
        filled = {row.order_id: row.filled for row in books.orders}

        assert set(answered) <= filled.keys()
        assert len(filled) <= len(answered) + 1  # one may have been kept and not told
        assert sum(fill.side * fill.qty for fill in books.trades) == sum(row.qty for row in books.positions)
        assert all(
            sum(fill.qty for fill in books.trades if fill.order_id == name) == qty
            for name, qty in filled.items()
        )


def test_threads_share_one_account(rig):
    """Each order once, each fill once, and the file says what memory says."""
    rig.see(bids="99.95x9000", asks="100.05x9000")
    made: list[str] = []
    barrier = threading.Barrier(5)

    def trade(number: int) -> None:
        barrier.wait()
        for step in range(5):
            asked = place("INFY", Side.BUY, limit(1, "100.05"), f"{number}-{step}")
            made.append(rig.client.place(asked))

    threads = [threading.Thread(target=trade, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    barrier.wait()
    for _ in range(20):
        rig.see(bids="99.95x9000", asks="100.05x9000")
        rig.client.books()
    for thread in threads:
        thread.join(20)

    assert 20 == len(set(made)) == rig.client.positions()[0].qty
    assert rig.client.books() == rig.again().books()


# --- quotes --------------------------------------------------------------------------------------------


def test_a_refused_quote_is_counted_each_time_and_told_once_until_a_good_one_comes(rig):
    for _ in range(3):
        rig.see(bids="100.05x10")
    rig.see(last="0.00")
    rig.see()
    rig.see(bids="100.05x10")

    assert [Doubt.CROSSED, Doubt.NO_PRICE, Doubt.CROSSED] == [told.doubt for told in rig.told]
    assert {Doubt.CROSSED: 4, Doubt.NO_PRICE: 1} == rig.client.refused_quotes
    assert "a quote of INFY fills no order on paper: its book is crossed" in str(rig.told[0])


def test_whether_an_order_has_changed_is_said(rig):
    assert not rig.see()

    rig.place(Side.BUY, limit(10, "99.95"))

    assert not rig.see()

    rig.clock.wait(1)

    assert rig.see("99.90", bids="99.85x10", asks="99.95x4")


def test_answers_to_quotes_are_seen_and_an_index_is_not_traded(rig):
    order = rig.place(Side.BUY, limit(10, "1574.00"))
    row = {
        "instrument_token": 408065, "timestamp": "2026-11-20 10:00:00", "last_price": 1573.7, "volume": 5,
        "lower_circuit_limit": 1411.05, "upper_circuit_limit": 1724.55, "ohlc": {"close": 1567.8},
        "depth": {"buy": [{"price": 1573.4, "quantity": 5}], "sell": [{"price": 1573.7, "quantity": 4}]},
    }  # fmt: skip
    rig.wire.quotes = {"NSE:INFY": row, "NSE:NIFTY 50": {**row, "instrument_token": 256265}}

    assert {"INFY", "NIFTY 50"} == set(rig.client.quotes(["INFY", "NIFTY 50"]))
    assert [(order, 4)] == [(row.order_id, row.filled) for row in rig.client.orders()]
    with pytest.raises(RejectedError, match="circuit"):
        rig.place(Side.BUY, limit(10, "1724.60"))


def test_a_full_packet_of_the_stream_is_a_quote_and_its_empty_levels_are_none():
    from kite.wire import DepthRow, FullPacket

    nothing = DepthRow(0, 0, 0)
    bids, asks = (DepthRow(5, 99_95, 1), nothing), (DepthRow(6, 100_05, 2), nothing)
    packet = FullPacket(
        408065, 100_00, 1, 100_00, 777, 5, 6, 99_00, 101_00, 98_00, 99_50, 0, 0, 0, 0,
        int(at("10:00:00").timestamp()), bids, asks,
    )  # fmt: skip

    assert Quote(
        "INFY", at("10:00:00"), Paise(100_00), 777, levels("99.95x5"), levels("100.05x6"), 98_00, 101_00
    ) == of_stream("INFY", packet)
    assert of_stream("INFY", packet._replace(at_s=0)).at is None


def test_the_list_of_instruments_is_read_once_a_day_and_without_it_nothing_is_placed(rig):
    rig.see()
    rig.place(Side.BUY, market(1))
    rig.client.master()

    assert ["GET /instruments/NSE", "GET /instruments/NFO"] == rig.wire.asked

    rig.clock.at = at("09:16:00", MONDAY)
    rig.see()

    assert 4 == len(rig.wire.asked)

    def down() -> Master:
        raise DownError("GET /instruments", "502")

    client = PaperClient(
        rig.wire, Rates(rig.folder, rig.clock), rig.clock, Random(7), paper_terms(), rig.path, down
    )
    with pytest.raises(NotSentError, match="502"):
        client.place(place("INFY", Side.BUY, market(1), "x"))


def test_what_is_no_share_is_not_traded(rig):
    for ticker in ("NIFTY 50", "NOBODY"):
        with pytest.raises(RejectedError, match="no such share"):
            rig.place(Side.BUY, market(1), ticker=ticker)


# --- who uses the live one can use it ------------------------------------------------------------------


def test_a_script_trades_on_paper_by_the_methods_of_the_live_client(rig):
    row = {
        "instrument_token": 408065, "timestamp": "2026-11-20 10:00:00", "last_price": 100.0, "volume": 5,
        "lower_circuit_limit": 90.0, "upper_circuit_limit": 110.0, "ohlc": {"close": 100.0},
        "depth": {"buy": [{"price": 99.95, "quantity": 500}], "sell": [{"price": 100.05, "quantity": 500}]},
    }  # fmt: skip
    rig.wire.quotes = {"NSE:INFY": row}
    trader = ZerodhaClient(rig.client, rig.clock, Kept(), 10.0)
    entry = trader.place_order("INFY", "BUY", 100, "INFY-BUY-1")

    assert entry == trader.place_order("INFY", "BUY", 100, "INFY-BUY-1")
    assert ("COMPLETE", 100, 100.05) == tuple(
        trader.order_status(entry)[name] for name in ("status", "filled_qty", "avg_price")
    )

    stop = trader.place_stop_loss("INFY", "SELL", 100, 99.0, "INFY-SELL-1")
    trader.modify_order(stop, stop_price=99.5)

    assert [100] == list(trader.open_positions()["qty"])

    trader.exit_position("INFY", 100, "INFY-SELL-2")

    assert "COMPLETE" == trader.order_status(stop)["status"]
    assert trader.open_positions().empty
    assert {"GET"} == {asked.split()[0] for asked in rig.wire.asked}


class Session:
    """The machine of orders over a client on paper, in one thread."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.waiting: list[Event] = []
        self.alarms: list[Alarm] = []
        self.desk = Desk(recover([]), rig.client, lambda _: None, self.submit, rig.clock)
        self.hear(Started(rig.clock.now()))

    def submit(self, work: Callable[[], Event | None], *, is_read: bool) -> None:  # noqa: ARG002  (Desk's)
        event = work()
        if event is not None:
            self.waiting.append(event)

    def hear(self, event: Event) -> None:
        self.waiting.append(event)
        while self.waiting:
            told = self.desk.on(self.waiting.pop(0))
            self.alarms += [one for one in told if isinstance(one, Alarm)]

    def seconds(self, count: int, **quote) -> None:
        for _ in range(count):
            self.rig.clock.wait(1)
            self.rig.see(**quote)
            for event in self.desk.due(self.rig.clock.now()):
                self.hear(event)


@pytest.mark.parametrize(("side", "moved"), [(Side.BUY, 99_50), (Side.SELL, 100_50)])
def test_the_machine_of_orders_lives_a_whole_trade_on_paper(rig, side, moved):
    rig.see()
    session = Session(rig)
    now = rig.clock.now()
    enter = Enter(now, "INFY", side, 100, Paise(100_00), Paise(1_00))
    session.hear(EnterAsked(now, enter, "INFY-1", OrderType.MARKET, None, Paise(5), Paise(3_00)))
    session.seconds(2)
    machine = session.desk.machine

    assert (Phase.PROTECTED, side * 100) == (machine.phase("INFY"), machine.held("INFY"))

    session.hear(MoveAsked(rig.clock.now(), MoveStop(rig.clock.now(), "INFY", Paise(moved))))
    session.seconds(2)

    assert [moved] == [row.trigger for row in rig.client.orders() if row.status == "TRIGGER PENDING"]

    session.hear(ExitAsked(rig.clock.now(), Exit(rig.clock.now(), "INFY", ExitReason.SIGNAL, Paise(100_00))))
    session.seconds(4)

    assert (Phase.FLAT, 0) == (machine.phase("INFY"), machine.held("INFY"))
    assert ["COMPLETE", "COMPLETE"] == [row.status for row in rig.client.orders()]
    assert [] == session.alarms


def test_a_stop_that_fires_on_paper_is_an_exit_to_the_machine(rig):
    rig.see()
    session = Session(rig)
    now = rig.clock.now()
    enter = Enter(now, "INFY", Side.BUY, 100, Paise(100_00), Paise(1_00))
    session.hear(EnterAsked(now, enter, "INFY-1", OrderType.MARKET, None, Paise(5), Paise(3_00)))
    session.seconds(2)
    session.seconds(4, last="99.00", bids="98.95x500", asks="99.05x500")

    assert Phase.FLAT is session.desk.machine.phase("INFY")
    assert [0] == [row.qty for row in rig.client.positions()]


def test_a_refusal_on_paper_is_a_refusal_to_the_machine(rig):
    rig.see()
    session = Session(rig)
    now = rig.clock.now()
    enter = Enter(now, "INFY", Side.BUY, 5_000, Paise(100_00), Paise(1_00))
    session.hear(EnterAsked(now, enter, "INFY-1", OrderType.MARKET, None, Paise(5), Paise(3_00)))
    session.seconds(3)

    assert Phase.FLAT is session.desk.machine.phase("INFY")
    assert any(str(Refusal.MARGIN) in alarm.text for alarm in session.alarms)
