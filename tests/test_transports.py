"""Two transports, each alone in its process: what is loaded, what goes over the wire, what the world cannot disturb."""

import gzip
import json
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from clock import SystemClock
from kite.connect import connect
from kite.errors import BrokerError, CorruptError, DownError, NotSentError, UnknownOutcomeError
from kite.rates import Rates
from kite.routes import CANCEL, INSTRUMENTS, PROFILE, Call
from outcome import ConfigError, ExitCode
from tests.brokers import MODES, TICKER, seated, transport
from tests.conftest import ROOT
from tests.local_exchange import ANSWER_S, Running, local_exchange

DEAD_PROXY = "http://127.0.0.1:9"


@dataclass(frozen=True)
class At:
    kite_api: str


# --- the choice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, "", "kite", "KITE_SDK", "raw"])
def test_without_a_valid_choice_nothing_starts(tmp_path, wrong):
    clock = SystemClock()
    with pytest.raises(
        ConfigError, match=r"BROKER_MODE.*kite_sdk or BROKER_MODE=raw_http in \.env"
    ) as refused:
        connect(wrong, At("http://127.0.0.1:9"), "key", None, clock, Rates(tmp_path, clock), Random(1))

    assert ExitCode.USAGE == refused.value.exit_code


# --- a whole session in a process of its own -----------------------------------------------------------

SESSION = """
import json, os, sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
import followed_clock, login
from broker import ZerodhaClient
from kite.connect import connect
from kite.rates import Rates

@dataclass
class At:
    kite_api: str

class Intents:
    def record(self, asked): pass
    def knows(self, client_id): return False

ready = json.loads(sys.argv[1])
key, secret = ready["api_key"], ready["api_secret"]
with closing(followed_clock.FollowedClock(ready["clock_url"])) as clock:
    rates = Rates(Path(sys.argv[2]), clock)
    client = connect(os.environ["BROKER_MODE"], At(ready["kite_api_url"]), key, None, clock, rates, Random(1))
    token = ready["request_token"]
    client.use_token(client.log_in(key, token, login.checksum(key, token, secret)).access_token)
    trader = ZerodhaClient(client, clock, Intents(), 50.0)
    trader.authenticate()
    ticker = min(trader.master.shares)
    last = client.quotes([ticker])[ticker].last
    entry = trader.place_order(ticker, "BUY", 10, "entry")
    clock.wait(3)
    stop = trader.place_stop_loss(ticker, "SELL", 10, last * 0.97 / 100, "stop")
    clock.wait(2)
    trader.modify_order(stop, stop_price=last * 0.98 / 100)
    clock.wait(2)
    trader.exit_position(ticker, 10, "exit")
    clock.wait(3)
    far = trader.place_stop_loss(ticker, "BUY", 1, last * 1.03 / 100, "far", reduce_only=False)
    clock.wait(2)
    trader.cancel_order(far)
    clock.wait(2)
    told = {
        "statuses": [trader.order_status(order)["status"] for order in (entry, stop, far)],
        "loaded": sorted({"kiteconnect", "twisted", "autobahn", "requests"} & set(sys.modules)),
    }
    client.close()
print(json.dumps(told))
"""


class Relay(socketserver.ThreadingTCPServer):
    """Stands before the broker and notes who asks for what."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.port = port
        self.seen: list[tuple[str, str]] = []


class _Passing(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port), ANSWER_S) as there:
            back = threading.Thread(target=pump, args=(there, self.request), daemon=True)
            back.start()
            while data := self.request.recv(65_536):
                for head in re.findall(rb"(?:GET|POST|PUT|DELETE) (\S+) HTTP/1.1\r\n((?:.+\r\n)+)", data):
                    agent = re.search(rb"(?i)user-agent: (.+)\r\n", head[1])
                    self.server.seen.append((head[0].decode(), agent[1].decode() if agent else ""))
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)
            back.join(ANSWER_S)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def relayed(running: Running) -> Iterator[Relay]:
    relay = Relay(int(running.ready["kite_api_url"].rpartition(":")[2]))
    thread = threading.Thread(target=relay.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.shutdown()
        relay.server_close()
        thread.join()


AGENTS = {"kite_sdk": "Kiteconnect-python/", "raw_http": "rl-trader"}
LOADED = {"kite_sdk": {"autobahn", "kiteconnect", "requests", "twisted"}, "raw_http": set()}


@pytest.mark.parametrize("mode", MODES)
def test_a_process_of_one_mode_trades_a_session_and_nothing_of_the_other_takes_part(tmp_path, mode):
    """With variables in its environment that point every other client at a dead proxy."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"), DEAD_PROXY)
    with local_exchange("--symbols", "1") as running, relayed(running) as relay:
        ready = {**running.ready, "kite_api_url": f"http://127.0.0.1:{relay.server_address[1]}"}
        done = subprocess.run(
            [sys.executable, "-c", SESSION, json.dumps(ready), str(tmp_path)],
            cwd=ROOT, env={**os.environ, **proxies, "BROKER_MODE": mode}, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        positions = running.truth()["flows"]

    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout)

    assert ["COMPLETE", "COMPLETE", "CANCELLED"] == told["statuses"]
    assert LOADED[mode] >= set(told["loaded"])
    assert ("kiteconnect" in told["loaded"]) == (mode == "kite_sdk")
    assert [(10, 10)] == [(flow[2], flow[4]) for flow in positions]
    assert len(relay.seen) > 20
    assert [] == [row for row in relay.seen if not row[1].startswith(AGENTS[mode])]


@pytest.mark.parametrize("hours", [-2, 2])
@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_clock_of_this_machine_disturbs_no_login_and_no_order(shared, tmp_path, mode, hours):
    """What the broker says is read by the broker's own times."""
    with seated(shared, tmp_path, timedelta(hours=hours)) as seat:
        trader = seat.trader(seat.client(mode))

        assert trader.is_token_valid()

        client_id = f"clock {mode} {hours}"
        trader.place_order(TICKER, "BUY", 5, client_id)
        seat.clock.wait(3)
        trader.exit_position(TICKER, 5, f"exit {client_id}")
        seat.clock.wait(3)

        assert 0 == seat.held()
        assert timedelta(hours=hours) == seat.clock.now() - moment_of(shared)


def moment_of(running: Running) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(running.truth()["now"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with local_exchange("--symbols", "1") as running:
        yield running


# --- answers that no broker gives ----------------------------------------------------------------------

Reply = Callable[[socket.socket], None]


@contextmanager
def answering(reply: Reply) -> Iterator[str]:
    """A server that answers everything so; its address."""

    class Conversation(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self.request.recv(65_536):
                    reply(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Conversation) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def whole(body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", f"Content-Type: {content_type}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def trickled(before: bytes, drop: bytes) -> Reply:
    """A byte every so often, for ever: no read of the socket is ever too slow."""
    pause = threading.Event()

    def reply(there: socket.socket) -> None:
        there.sendall(before)
        while not pause.wait(0.02):
            there.sendall(drop)

    return reply


PROFILE_BODY = json.dumps({"status": "success", "data": {"user_id": "AB1234"}}).encode()
CSV = b"instrument_token,tradingsymbol\n" + b"408065,INFY\n" * 500
ANSWERS: dict[str, tuple[Reply, Call, type[BrokerError]]] = {
    "headers without end": (trickled(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), Call(PROFILE, total_s=0.3), DownError),
    "a body without end": (
        trickled(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n\r\n", b"a"),
        Call(INSTRUMENTS, {"exchange": "NSE"}, total_s=0.3),
        DownError,
    ),
    "chunks without end": (
        trickled(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        Call(CANCEL, {"variety": "regular", "order_id": "1"}, total_s=0.3),
        UnknownOutcomeError,
    ),
    "no HTTP at all": (lambda there: there.sendall(b"220 mail.example ESMTP\r\n\r\n"), Call(PROFILE), DownError),
    "hung up at once": (lambda there: there.close(), Call(PROFILE), DownError),
    "half of a gzip list": (
        lambda there: there.sendall(
            whole(gzip.compress(CSV)[:-30], "Content-Encoding: gzip", content_type="text/csv")
        ),
        Call(INSTRUMENTS, {"exchange": "NSE"}),
        CorruptError,
    ),
    "something behind the gzip data": (
        lambda there: there.sendall(
            whole(gzip.compress(CSV) + b"more", "Content-Encoding: gzip", content_type="text/csv")
        ),
        Call(INSTRUMENTS, {"exchange": "NSE"}),
        CorruptError,
    ),
    "a bomb of gzip": (
        lambda there: there.sendall(whole(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip")),
        Call(PROFILE),
        CorruptError,
    ),
    "packed as nobody asked for": (
        lambda there: there.sendall(whole(PROFILE_BODY, "Content-Encoding: br")),
        Call(PROFILE),
        CorruptError,
    ),
    "a login page of a hotel": (
        lambda there: there.sendall(whole(b"<html>Sign in</html>", content_type="text/html")),
        Call(PROFILE),
        CorruptError,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("mode", MODES)
def test_an_answer_that_no_broker_gives_is_the_same_error_in_both_modes_and_in_time(mode, name):
    reply, call, error = ANSWERS[name]
    clock = SystemClock()
    began_s = clock.monotonic()
    with answering(reply) as root:
        way = transport(mode, root, "key", clock)
        with pytest.raises(error):
            way.send(call)
        way.close()

    assert clock.monotonic() - began_s < 4


@pytest.mark.parametrize("mode", MODES)
def test_a_packed_list_is_unpacked(mode):
    def reply(there: socket.socket) -> None:
        there.sendall(whole(gzip.compress(CSV), "Content-Encoding: gzip", content_type="text/csv"))

    with answering(reply) as root:
        way = transport(mode, root, "key", SystemClock())

        assert CSV.decode() == way.send(Call(INSTRUMENTS, {"exchange": "NSE"}))

        way.close()


@pytest.mark.parametrize("mode", MODES)
def test_without_a_resolver_nothing_has_left_this_machine(mode, monkeypatch):
    def down(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", down)
    way = transport(mode, "http://localhost:8700", "key", SystemClock())
    for call in (Call(PROFILE), Call(CANCEL, {"variety": "regular", "order_id": "1"})):
        with pytest.raises(NotSentError):
            way.send(call)
    way.close()


@pytest.mark.parametrize("mode", MODES)
def test_no_error_and_no_name_of_a_client_shows_the_token(mode):
    with answering(lambda there: there.sendall(whole(b"<html>"))) as root:
        way = transport(mode, root, "key", SystemClock())
        way.use_token("canary-of-a-token")
        with pytest.raises(CorruptError) as error:
            way.send(Call(PROFILE, values={"access_token": "canary-of-a-token"}))
        way.close()

    assert "canary" not in f"{error.value!r} {error.value} {way!r} {error.value.__cause__!r}"
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_the_tests_own_clients_are_those_of_the_factory(tmp_path: Path):
    """tests/brokers.py makes transports with other bounds; nothing else may differ."""
    clock = SystemClock()
    for mode in MODES:
        made = connect(
            mode, At("http://127.0.0.1:9"), "key", "token", clock, Rates(tmp_path, clock), Random(1)
        )

        assert type(transport(mode, "http://127.0.0.1:9", "key", clock)) is type(made._transport)

        made.close()
