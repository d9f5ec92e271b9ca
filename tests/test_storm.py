"""The stream in a storm: a thousand drops over real sockets, on a clock whose hours take no time."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from clock import SystemClock
from kite.feed import BACK_OFF_S, SILENT_S, Connected, Disconnected, Feed, LoggedOut, News, OrderHint, Ticked
from kite.inbox import Inbox
from kite.ticker import Ticker
from kite.wire import HEARTBEAT, LtpPacket, Mode, encode_frame

pytestmark = pytest.mark.long

INFY, TCS = 408065, 2953217
DROPS = 1_000
WAIT_S = 20.0
DAWN = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)


class HurriedClock:
    """Waiting moves it and takes no time; any thread may wait."""

    def __init__(self) -> None:
        self._s = 1_000.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return DAWN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        with self._lock:
            return self._s

    def wait(self, seconds: float) -> None:
        with self._lock:
            self._s += seconds


@dataclass
class Broker:
    """A WebSocket server that does to each connection what the test says, and notes what it saw."""

    clock: HurriedClock
    treat: Callable[["Broker", ServerConnection, int], Any]
    status: int = 0  # of a refusal
    opened_s: list[float] = field(default_factory=list)
    closed_s: list[float] = field(default_factory=list)
    asked: list[list[dict[str, Any]]] = field(default_factory=list)  # texts by connection
    tokens: list[str] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0
    url: str = ""

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.tokens.append(request.path.rpartition("=")[2])
        return connection.respond(self.status, "no") if self.status else None

    async def meet(self, connection: ServerConnection) -> None:
        number = len(self.opened_s)
        self.opened_s.append(self.clock.monotonic())
        self.asked.append([])
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            await self.treat(self, connection, number)
        except ConnectionClosed:
            pass
        finally:
            self.open_now -= 1
            self.closed_s.append(self.clock.monotonic())
            connection.transport.abort()

    async def heard(self, connection: ServerConnection, texts: int = 2) -> None:
        """What the client says first: a subscription and its mode."""
        for _ in range(texts):
            self.asked[-1].append(json.loads(await connection.recv()))


@contextmanager
def serving(broker: Broker) -> Iterator[None]:
    loop, ready = asyncio.new_event_loop(), threading.Event()
    servers: list[Server] = []

    async def open_door() -> None:
        servers.append(
            await serve(
                broker.meet,
                "127.0.0.1",
                0,
                process_request=broker.admit,
                ping_interval=None,
                compression=None,
            )
        )
        broker.url = f"ws://127.0.0.1:{servers[0].sockets[0].getsockname()[1]}"
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(open_door())
        loop.run_forever()

    async def close_door() -> None:
        servers[0].close(close_connections=True)
        await servers[0].wait_closed()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(WAIT_S)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(close_door(), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


@contextmanager
def listening(
    broker: Broker, token: Callable[[], str | None] = lambda: "token"
) -> Iterator[tuple[Ticker, Inbox[News]]]:
    inbox: Inbox[News] = Inbox()
    with serving(broker):
        ticker = Ticker(broker.url, "key", token, Feed(Mode.LTP), broker.clock, Random(1), inbox)
        ticker.want([INFY, TCS])
        ticker.start()
        try:
            yield ticker, inbox
        finally:
            ticker.stop()


def taken(inbox: Inbox[News], kind: type, times: int = 1) -> list[News]:
    """Everything until that many of a kind have come."""
    found: list[News] = []
    while sum(isinstance(item, kind) for item in found) < times:
        item = inbox.take(WAIT_S)
        assert item is not None, f"no {kind.__name__} among the last of {len(found)}"
        found.append(item)
    return found


def eventually(happens: Callable[[], bool]) -> None:
    """Without sleeping: the other threads work while this one asks the wall clock."""
    clock, pause = SystemClock(), threading.Event()
    over_s = clock.monotonic() + WAIT_S
    while not happens():
        assert clock.monotonic() < over_s
        pause.wait(0.005)


def next_beat(ticker: Ticker) -> None:
    before = ticker.heard
    eventually(lambda: ticker.heard != before)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def ticks(price: int) -> bytes:
    return encode_frame([LtpPacket(INFY, price), LtpPacket(TCS, price + 1)])


# --- a thousand drops ----------------------------------------------------------------------------------


async def drop(broker: Broker, connection: ServerConnection, number: int) -> None:
    """Ticks and an order, and then the line is cut; the connection after the last drop stays."""
    await broker.heard(connection)
    await connection.send(ticks(100 + number))
    await connection.send(json.dumps({"type": "order", "data": {"order_id": str(number)}}))
    if number >= DROPS:
        await connection.wait_closed()


def test_a_thousand_drops_back_off_leak_nothing_and_lose_no_order():
    broker = Broker(HurriedClock(), drop)
    threads = threading.active_count()
    with listening(broker) as (ticker, inbox):
        eventually(lambda: len(broker.opened_s) > 20)
        files, crew = open_files(), threading.active_count()
        eventually(lambda: len(broker.opened_s) > DROPS)
        eventually(lambda: len(broker.asked[-1]) == 2 and list(ticker.heard.values()) == [2])
        files_after, crew_after = open_files(), threading.active_count()
        waiting = len(inbox)
        news = taken(inbox, OrderHint, DROPS + 1)
    waits_s = [opened - closed for opened, closed in zip(broker.opened_s[1:], broker.closed_s, strict=False)]
    told = [item.retry_in_s for item in news if isinstance(item, Disconnected)]

    assert DROPS == len(waits_s) == len(told)
    assert all(base / 2 <= wait for base, wait in zip(BACK_OFF_S, waits_s, strict=False))
    assert all(BACK_OFF_S[-1] / 2 <= wait_s for wait_s in waits_s[len(BACK_OFF_S) :])
    assert all(wait_s <= BACK_OFF_S[-1] + 1.0 for wait_s in waits_s)
    assert 1 == broker.open_most
    assert files_after <= files + 3
    assert crew_after <= crew + 6  # the event loop's own pool grows to a size, and no further
    assert threads == threading.active_count()

    # Nobody took anything meanwhile: of ticks the latest waits, of orders every one.
    assert [str(number) for number in range(DROPS + 1)] == [
        item.data["order_id"] for item in news if isinstance(item, OrderHint)
    ]
    assert 2 == sum(isinstance(item, Ticked) for item in news)
    assert waiting <= (DROPS + 1) * 3 + 2
    assert DROPS + 1 == sum(isinstance(item, Connected) for item in news)


def test_after_every_drop_the_same_is_subscribed_again():
    broker = Broker(HurriedClock(), drop)
    with listening(broker) as (ticker, _):
        eventually(lambda: len(broker.opened_s) > 10)
        ticker.want([TCS])
        settled = len(broker.asked) + 2
        eventually(lambda: len(broker.opened_s) > settled + 5)
    both = [{"a": "subscribe", "v": [INFY, TCS]}, {"a": "mode", "v": ["ltp", [INFY, TCS]]}]
    one = [{"a": "subscribe", "v": [TCS]}, {"a": "mode", "v": ["ltp", [TCS]]}]

    assert [both] * 8 == broker.asked[:8]
    assert [one] * 3 == broker.asked[settled + 1 : settled + 4]


# --- 403, 429, and other ways not to get in ------------------------------------------------------------


async def stay(broker: Broker, connection: ServerConnection, _: int) -> None:
    await broker.heard(connection)
    await connection.send(ticks(100))
    await stay_up(connection)


async def stay_up(connection: ServerConnection) -> None:
    """Beats until the client goes."""
    while connection.state is State.OPEN:
        await connection.send(HEARTBEAT)
        with suppress(TimeoutError):
            await asyncio.wait_for(connection.wait_closed(), 0.02)


def test_403_is_final_until_there_is_another_token():
    broker = Broker(HurriedClock(), stay, status=403)
    token = "dead"
    with listening(broker, lambda: token) as (_, inbox):
        assert [LoggedOut()] == taken(inbox, LoggedOut)

        began_s = broker.clock.monotonic()
        eventually(lambda: broker.clock.monotonic() > began_s + 3_600)

        assert ["dead"] == broker.tokens
        assert 0 == len(inbox)

        broker.status, token = 0, "fresh"
        taken(inbox, Connected)

    assert ["dead", "fresh"] == broker.tokens


@pytest.mark.parametrize("status", [429, 500, 502])
def test_another_refusal_is_tried_again_with_back_off(status):
    broker = Broker(HurriedClock(), stay, status=status)
    with listening(broker) as (_, inbox):
        gone = taken(inbox, Disconnected, 4)
        broker.status = 0
        taken(inbox, Connected)

    assert [f"refused with {status}"] * 4 == [item.reason for item in gone if isinstance(item, Disconnected)]
    told = [item.retry_in_s for item in gone if isinstance(item, Disconnected)]

    assert all(base / 2 <= wait_s <= base for base, wait_s in zip(BACK_OFF_S, told, strict=False))


def test_where_nobody_listens_it_waits_and_tries_again():
    broker = Broker(HurriedClock(), stay)
    inbox: Inbox[News] = Inbox()
    ticker = Ticker("ws://127.0.0.1:9", "key", lambda: "token", Feed(), broker.clock, Random(1), inbox)
    ticker.start()
    gone = taken(inbox, Disconnected, 20)
    ticker.stop()

    assert 20 == len(gone)
    assert not any("token" in repr(item) for item in gone)


def test_without_a_token_it_does_not_try():
    broker = Broker(HurriedClock(), stay)
    with listening(broker, lambda: None) as (_, inbox):
        began_s = broker.clock.monotonic()
        eventually(lambda: broker.clock.monotonic() > began_s + 600)

        assert [] == broker.tokens
        assert 0 == len(inbox)


# --- the watchdog --------------------------------------------------------------------------------------


async def fall_silent(broker: Broker, connection: ServerConnection, number: int) -> None:
    """The socket stays up, nothing comes any more (zerodha/pykiteconnect#229)."""
    await broker.heard(connection)
    await connection.send(ticks(100))
    if number:
        await stay_up(connection)
    await connection.wait_closed()


def test_a_silent_socket_is_dropped_and_a_beating_one_is_kept():
    broker = Broker(HurriedClock(), fall_silent)
    with listening(broker) as (ticker, inbox):
        taken(inbox, Ticked)
        broker.clock.wait(SILENT_S - 0.1)

        assert 1 == len(broker.opened_s)

        broker.clock.wait(0.2)
        (gone,) = (item for item in taken(inbox, Disconnected) if isinstance(item, Disconnected))
        taken(inbox, Connected)
        for _ in range(50):
            broker.clock.wait(0.1)
            next_beat(ticker)

        assert 2 == len(broker.opened_s)

    assert gone.reason.startswith("silent for")


async def forget(broker: Broker, connection: ServerConnection, number: int) -> None:
    """Heartbeats, and nothing comes of the subscription (faults.md W3)."""
    listener = asyncio.create_task(broker.heard(connection, 6))
    if number:
        await connection.send(ticks(100))
    try:
        await stay_up(connection)
    finally:
        listener.cancel()


def test_a_subscription_that_nothing_comes_of_is_repeated_and_then_given_up():
    broker = Broker(HurriedClock(), forget)
    with listening(broker) as (ticker, inbox):
        taken(inbox, Connected)
        while len(broker.opened_s) < 2:
            broker.clock.wait(0.5)
            next_beat(ticker)
        found = taken(inbox, Ticked)

    (gone,) = (item for item in found if isinstance(item, Disconnected))

    assert "no first tick of 2 instruments" == gone.reason
    assert [3 * 2, 2] == [len(asked) for asked in broker.asked]
