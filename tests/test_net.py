"""Does the network contract hold against real sockets, well behaved and evil?"""

import gzip
import itertools
import logging
import re
import socket
import socketserver
import ssl
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import net
import sockets
from clock import SystemClock
from outcome import ConfigError, ExitCode

SECRET = "enctoken-never-to-be-shown"
ECHO = "what-the-server-said"
START = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
QUICK = sockets.Bounds(dns_s=0.2, connect_s=0.2, silence_s=0.1, body_bytes=10_000)

Reply = Callable[[socket.socket], None]


class FakeClock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []
        self.elapsed_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed_s)

    def monotonic(self) -> float:
        return self.elapsed_s

    def wait(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self.elapsed_s += seconds


class GatedClock(FakeClock):
    """Whoever waits says so, and goes on when the test opens its gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = {name: threading.Event() for name in ("ordinary", "second", "urgent")}
        self.arrived = {name: threading.Event() for name in self.gates}

    def wait(self, seconds: float) -> None:
        name = threading.current_thread().name
        self.arrived[name].set()
        assert self.gates[name].wait(5)
        super().wait(seconds)


class Server(socketserver.ThreadingTCPServer):
    """Answers by a list of replies, the last one for ever, and keeps what it was asked."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *replies: Reply) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.replies: Iterator[Reply] = itertools.chain(replies, itertools.repeat(replies[-1]))
        self.asked: list[bytes] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/path"


class Conversation(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        self.server.connections += 1
        with suppress(OSError):  # the client may go at any moment, and an evil reply closes
            while message := self._received():
                self.server.asked.append(message)
                next(self.server.replies)(self.request)

    def _received(self) -> bytes:
        message = b""
        while not is_whole(message):
            piece = self.request.recv(65536)
            if not piece:
                return b""
            message += piece
        return message


def is_whole(message: bytes) -> bool:
    head, end, body = message.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


@contextmanager
def serving(*replies: Reply) -> Iterator[Server]:
    with Server(*replies) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def status(code: int, body: bytes = b"ok", *headers: str) -> Reply:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {code} X", *headers, f"Content-Length: {len(body)}"))
    return lambda peer: peer.sendall(head.encode() + b"\r\n" + body)


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def truncated(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    peer.close()


def silent(peer: socket.socket) -> None:
    peer.recv(1)


def nonsense(peer: socket.socket) -> None:
    peer.sendall(b"SSH-2.0 " + ECHO.encode() + b"\r\n\r\n")
    peer.close()


def dripping(start: bytes) -> Reply:
    """A byte every 10 ms for ever; `settimeout` is the pace, for the client sends no more."""

    def drip(peer: socket.socket) -> None:
        peer.sendall(start)
        peer.settimeout(0.01)
        while True:
            peer.sendall(b"x")
            with suppress(TimeoutError):
                if not peer.recv(1):
                    return

    return drip


HEAD_WITHOUT_END = dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ")
BODY_WITHOUT_END = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeClock, net.Http]]:
    """One client for the file: reading the certificates takes 30 ms."""
    clock = FakeClock()
    with closing(net.Http("suite/1", clock, Random(7), QUICK)) as client:
        yield clock, client


@pytest.fixture
def clock(shared: tuple[FakeClock, net.Http]) -> FakeClock:
    shared[0].waits_s.clear()
    shared[0].elapsed_s = 0.0
    return shared[0]


@pytest.fixture
def http(shared: tuple[FakeClock, net.Http]) -> net.Http:
    return shared[1]


def asking(url: str, clock: FakeClock, **more: object) -> net.Request:
    return net.Request(url, net.Lane(0, clock), **more)  # type: ignore[arg-type]


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Retries


@pytest.mark.parametrize(
    "failure",
    [status(429), status(500), status(502), status(503), reset, truncated, silent, nonsense],
)
def test_a_read_is_asked_again_after_a_passing_fault(failure, http, clock):
    with serving(failure, status(200, b"[1]")) as server:
        answer = http.read(asking(server.url, clock))

    assert [1] == answer.json()
    assert 2 == len(server.asked)


def test_a_read_is_asked_six_times_on_the_contracts_schedule(http, clock):
    with serving(status(503)) as server, pytest.raises(net.ServerDownError) as caught:
        http.read(asking(server.url, clock))

    jitters_s = [wait_s - base_s for wait_s, base_s in zip(clock.waits_s, (0.5, 1, 2, 4, 8), strict=True)]
    assert 6 == len(server.asked)
    assert all(0 <= jitter_s <= 0.1 for jitter_s in jitters_s)
    assert 5 == len(set(jitters_s))
    assert "127.0.0.1" in str(caught.value)
    assert "503 (tries: 6): the other side has a fault; try again later" in str(caught.value)
    assert ExitCode.BROKER == caught.value.exit_code


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refused_read_is_asked_once_and_the_caller_gets_the_evidence(code, http, clock):
    with (
        serving(status(code, b'{"error_type":"TokenException"}')) as server,
        pytest.raises(net.StatusError) as caught,
    ):
        http.read(asking(server.url, clock))

    assert 1 == len(server.asked)
    assert code == caught.value.status
    assert b'{"error_type":"TokenException"}' == caught.value.body
    assert not isinstance(caught.value, net.RateLimitedError | net.ServerDownError)


def test_a_refused_connection_is_tried_again_and_known_as_not_sent(http, clock):
    with pytest.raises(net.NotSentError, match=r"Connection refused.*tries: 6.*nothing was sent"):
        http.read(asking(f"http://127.0.0.1:{unused_port()}", clock))

    assert 5 == len(clock.waits_s)


def test_the_token_check_tries_three_times_more_but_only_on_network_errors(http, clock):
    with serving(reset) as server, pytest.raises(net.NoAnswerError):
        http.read(asking(server.url, clock), net.TOKEN_CHECK)
    assert 4 == len(server.asked)
    assert [1, 2, 4] == clock.waits_s

    with serving(status(503)) as server, pytest.raises(net.ServerDownError):
        http.read(asking(server.url, clock), net.TOKEN_CHECK)
    assert 1 == len(server.asked)


@pytest.mark.parametrize("pause", ["30", "Fri, 20 Nov 2026 09:15:30 GMT"])
def test_retry_after_is_waited_for_in_both_its_forms(pause, http, clock):
    with serving(status(429, b"", f"Retry-After: {pause}"), status(200)) as server:
        http.read(asking(server.url, clock))

    assert 1 == len(clock.waits_s)
    assert 30 <= clock.waits_s[0] <= 30.1


@pytest.mark.parametrize("pause", ["0", "Thu, 19 Nov 2026 09:15:30 GMT", "soon", "-5", "1e3"])
def test_a_retry_after_that_asks_for_less_than_the_schedule_changes_nothing(pause, http, clock):
    with serving(status(503, b"", f"Retry-After: {pause}"), status(200)) as server:
        http.read(asking(server.url, clock))

    assert 0.5 <= clock.waits_s[0] <= 0.6


def test_a_retry_after_beyond_reason_is_not_waited_for(http, clock):
    with (
        serving(status(429, b"", "Retry-After: 3600")) as server,
        pytest.raises(net.RateLimitedError, match=r"answered 429 and asks for a pause of 3600 s"),
    ):
        http.read(asking(server.url, clock))

    assert 1 == len(server.asked)
    assert [] == clock.waits_s


def test_no_retry_after_can_break_the_client(http, clock):
    with serving(status(429)) as server:

        @given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
        def asks(text: str) -> None:
            server.replies = iter([status(429, b"", f"Retry-After: {text}")])
            with pytest.raises(net.RateLimitedError):
                http.send_once(asking(server.url, clock))

        asks()
        for text in ("9" * 5000, "Fri, 20 Nov 99999999999999999999 09:15:30 GMT", "20 Nov 2026 09:15 -0000"):
            server.replies = iter([status(429, b"", f"Retry-After: {text}")])
            with pytest.raises(net.RateLimitedError):
                http.send_once(asking(server.url, clock))


@given(
    pauses_s=st.lists(st.floats(0, 100), max_size=6).map(tuple),
    asked_s=st.floats(0, net.MAX_RETRY_AFTER_S),
    jitter_s=st.floats(0, 1),
    seed=st.integers(),
)
def test_every_pause_is_the_schedules_or_the_servers_plus_at_most_the_jitter(
    pauses_s, asked_s, jitter_s, seed
):
    clock, calls = FakeClock(), itertools.count()

    def fails() -> None:
        next(calls)
        raise net.status_error("host", 429, retry_after_s=asked_s)

    with pytest.raises(net.RateLimitedError) as caught:
        net.retrying(fails, net.Schedule(pauses_s, (net.RateLimitedError,), jitter_s), clock, Random(seed))

    least_s = [max(pause_s, asked_s) for pause_s in pauses_s]
    assert len(pauses_s) + 1 == caught.value.tries == next(calls)
    assert all(a <= wait_s <= a + jitter_s for a, wait_s in zip(least_s, clock.waits_s, strict=True))


def test_retrying_lets_other_exceptions_pass():
    with pytest.raises(ZeroDivisionError):
        net.retrying(lambda: 1 // 0, net.READS, FakeClock(), Random(7))


# Writes


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (status(429), net.RateLimitedError),
        (status(503), net.ServerDownError),
        (status(302), net.WrongAnswerError),
        (reset, net.NoAnswerError),
        (truncated, net.NoAnswerError),
        (silent, net.NoAnswerError),
        (nonsense, net.NoAnswerError),
    ],
)
def test_a_write_is_sent_once_and_only_certainty_is_called_not_sent(failure, kind, http, clock):
    with serving(failure, status(200)) as server, pytest.raises(kind) as caught:
        http.send_once(asking(server.url, clock, method="POST", form={"tag": "a1"}))

    assert 1 == len(server.asked)
    assert not isinstance(caught.value, net.NotSentError)
    assert [] == clock.waits_s


def test_a_write_to_a_closed_port_was_certainly_not_sent(http, clock):
    with pytest.raises(net.NotSentError, match="tries: 1"):
        http.send_once(asking(f"http://127.0.0.1:{unused_port()}", clock, method="POST"))


def test_a_write_carries_its_form_its_headers_and_our_name(http, clock):
    with serving(status(200)) as server:
        http.send_once(
            asking(server.url, clock, method="PUT", form={"tag": "a b"}, headers={"X-Kite-Version": "3"})
        )

    assert server.asked[0].startswith(b"PUT /path HTTP/1.1\r\n")
    assert b"x-kite-version: 3\r\n" in server.asked[0].lower()
    assert b"user-agent: suite/1\r\n" in server.asked[0].lower()
    assert server.asked[0].endswith(b"tag=a+b")


# Bounds


@pytest.mark.parametrize("drip", [HEAD_WITHOUT_END, BODY_WITHOUT_END])
def test_a_server_that_drips_bytes_is_cut_off_at_the_total(drip):
    clock = SystemClock()
    with serving(drip) as server, closing(net.Http("suite/1", clock, Random(7), QUICK)) as http:
        begun_s = SystemClock().monotonic()
        with pytest.raises(net.NoAnswerError, match=r"no whole answer in 0.3 s \(ReadTimeout\)"):
            http.send_once(net.Request(server.url, net.Lane(0, clock), total_s=0.3))

    assert 0.3 <= SystemClock().monotonic() - begun_s < 0.6


def test_a_tls_handshake_that_never_ends_was_not_sent(http, clock):
    def one_byte_at_a_time(peer: socket.socket) -> None:
        dripping(b"\x16\x03\x03\x40\x00")(peer)

    with raw_listener(one_byte_at_a_time) as port:
        begun_s = SystemClock().monotonic()
        with pytest.raises(net.NotSentError):
            http.send_once(asking(f"https://127.0.0.1:{port}", clock))

    assert 0.2 <= SystemClock().monotonic() - begun_s < 0.5


@contextmanager
def raw_listener(talk: Reply) -> Iterator[int]:
    def serve() -> None:
        peer, _ = listener.accept()
        with peer, suppress(OSError):
            peer.recv(65536)
            talk(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_name_server_that_never_answers_is_left_behind(clock):
    released, begun_s = threading.Event(), SystemClock().monotonic()

    def stuck(host: str, port: int) -> list[str]:
        released.wait()
        return []

    with (
        closing(net.Http("suite/1", clock, Random(7), QUICK, stuck)) as http,
        pytest.raises(net.NotSentError, match="DNS: no answer in time"),
    ):
        http.send_once(asking("https://api.kite.trade", clock))
    released.set()

    assert 0.2 <= SystemClock().monotonic() - begun_s < 1.0


def test_a_name_that_does_not_exist_was_not_sent(clock):
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with (
        closing(net.Http("suite/1", clock, Random(7), QUICK, unknown)) as http,
        pytest.raises(net.NotSentError, match=r"DNS: .*Name or service not known"),
    ):
        http.send_once(asking("https://api.kite.trade", clock))


def test_a_dead_first_address_leaves_room_for_the_second(clock):
    with (
        serving(status(200)) as server,
        closing(net.Http("suite/1", clock, Random(7), QUICK, lambda *_: ["::1", "127.0.0.1"])) as http,
    ):
        answer = http.send_once(asking(server.url.replace("127.0.0.1", "localhost"), clock))

    assert "ok" == answer.text


# Answers that are refused


def test_a_redirect_is_refused_and_only_its_host_is_named(http, clock):
    location = f"Location: https://user:{SECRET}@evil.example/x?token={SECRET}"
    with (
        serving(status(302, b"", location)) as server,
        pytest.raises(net.WrongAnswerError, match=r"sent us on to evil.example with 302") as caught,
    ):
        http.read(asking(server.url, clock))

    assert 1 == len(server.asked)
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("location", ["Location: /login", "Location: http://h:port", "X-None: 1"])
def test_a_redirect_to_nowhere_is_refused_too(location, http, clock):
    with serving(status(301, b"", location)) as server, pytest.raises(net.WrongAnswerError, match="itself"):
        http.read(asking(server.url, clock))


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_answer_over_the_cap_is_refused_by_its_unpacked_size(is_packed, http, clock):
    body, headers = bytes(10_001), []
    if is_packed:
        body, headers = gzip.compress(body), ["Content-Encoding: gzip"]
    with (
        serving(status(200, body, *headers)) as server,
        pytest.raises(net.WrongAnswerError, match="10000 bytes"),
    ):
        http.read(asking(server.url, clock))

    assert 1 == len(server.asked)


def test_a_gzip_bomb_is_stopped_while_it_unpacks(http, clock):
    with serving(status(200, gzip.compress(bytes(30_000_000)), "Content-Encoding: gzip")) as server:
        tracemalloc.start()
        with pytest.raises(net.WrongAnswerError, match="10000 bytes"):
            http.read(asking(server.url, clock))
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak_bytes < 3_000_000


@pytest.mark.parametrize(
    "body",
    [b"a,b\n" * 2500, gzip.compress(b"a,b\n" * 2500), gzip.compress(b"")],
    ids=["plain", "gzip", "empty"],
)
def test_an_answer_at_the_cap_is_taken(body, http, clock):
    headers = ["Content-Encoding: gzip"] if body[:2] == b"\x1f\x8b" else []
    with serving(status(200, body, *headers)) as server:
        answer = http.read(asking(server.url, clock))

    assert answer.content in (b"a,b\n" * 2500, b"")


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip"])
def test_an_answer_that_cannot_be_unpacked_is_refused(encoding, http, clock):
    with (
        serving(status(200, b"no gzip", f"Content-Encoding: {encoding}")) as server,
        pytest.raises(net.WrongAnswerError),
    ):
        http.read(asking(server.url, clock))


@pytest.mark.parametrize(
    "cut", [gzip.compress(b"a,b")[:-3], gzip.compress(b"a,b") + b"more"], ids=["early", "late"]
)
def test_gzip_that_ends_too_early_or_too_late_is_refused(cut, http, clock):
    with (
        serving(status(200, cut, "Content-Encoding: gzip")) as server,
        pytest.raises(net.WrongAnswerError, match="does not end where it should"),
    ):
        http.read(asking(server.url, clock))


def test_an_error_page_that_cannot_be_unpacked_keeps_its_status(http, clock):
    with serving(status(502, b"brotli", "Content-Encoding: br"), status(200)) as server:
        http.read(asking(server.url, clock))

    assert 2 == len(server.asked)


# What must not happen on the way


def test_proxy_variables_are_ignored(http, clock, monkeypatch):
    with serving(status(200)) as server, serving(status(500)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        http.read(asking(server.url, clock))

    assert [] == proxy.asked


@pytest.mark.parametrize("failure", [status(403), status(503), reset, silent, nonsense, status(302)])
def test_no_secret_of_a_request_gets_into_an_error_or_the_log(failure, http, clock, caplog):
    caplog.set_level(logging.DEBUG)
    headers = {"Authorization": f"token {SECRET}"}
    with serving(failure) as server, pytest.raises(net.CallError) as caught:
        asked = asking(f"{server.url}?a={SECRET}", clock, params={"b": SECRET}, headers=headers)
        http.send_once(asked)

    assert SECRET.encode() in server.asked[0]
    assert SECRET not in "".join([str(caught.value), repr(caught.value), repr(asked), caplog.text])
    assert ECHO not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("header", [f"{SECRET}\n", f"{SECRET}\u20b9"])
def test_a_secret_that_http_cannot_carry_is_a_configuration_error_that_hides_it(header, http, clock):
    with serving(status(200)) as server, pytest.raises(ConfigError) as caught:
        http.read(asking(server.url, clock, headers={"Authorization": header}))

    assert [] == server.asked
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://api.kite.trade/?t={SECRET}",
        f"http://127.0.0.1.evil.example/?t={SECRET}",
        f"http://user:{SECRET}@10.0.0.1/",
        f"ftp://127.0.0.1/{SECRET}",
        f"https:///{SECRET}",
        f"//127.0.0.1/{SECRET}",
        f"https://host:{SECRET}/",
    ],
)
def test_an_address_that_is_not_https_never_leaves_the_machine(url, http, clock):
    with pytest.raises(ConfigError) as caught:
        http.read(asking(url, clock))

    assert SECRET not in str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(http, clock, tmp_path):
    with serving(status(200)) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self_signed(tmp_path))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        with pytest.raises(net.NotSentError, match="CERTIFICATE_VERIFY_FAILED"):
            http.send_once(asking(server.url.replace("http:", "https:"), clock))

    assert [] == server.asked


def self_signed(folder: Path) -> Path:
    x509 = pytest.importorskip("cryptography.x509", reason="comes with kiteconnect")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, START, START + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_connection_is_kept_for_the_next_request(http, clock):
    with serving(status(200)) as server:
        for _ in range(3):
            http.read(asking(server.url, clock))

    assert 3 == len(server.asked)
    assert 1 == server.connections


def test_a_closed_client_has_hung_up(clock):
    hung_up = threading.Event()

    def answer_and_listen(peer: socket.socket) -> None:
        status(200)(peer)
        if not peer.recv(1):
            hung_up.set()

    with serving(answer_and_listen) as server:
        with closing(net.Http("suite/1", clock, Random(7), QUICK)) as http:
            http.read(asking(server.url, clock))

        assert hung_up.wait(5)


# Spacing


def test_requests_of_a_lane_keep_their_distance_and_other_lanes_do_not_wait(http, clock):
    history, quotes = net.Lane(net.MIN_SPACING_S, clock), net.Lane(net.MIN_SPACING_S, clock)
    with serving(status(200)) as server:
        for lane in (history, quotes, history, history):
            http.read(net.Request(server.url, lane))

    assert [0.2, 0.2] == pytest.approx(clock.waits_s)


def test_a_lane_that_was_idle_does_not_save_up(clock):
    lane = net.Lane(0.2, clock)
    clock.wait(100)

    for _ in range(3):
        lane.take()

    assert [100, 0.2, 0.2] == pytest.approx(clock.waits_s)


def test_a_retry_takes_its_turn_in_the_lane_again(http, clock):
    lane = net.Lane(3.0, clock)
    with serving(status(500), status(500), status(200)) as server:
        http.read(net.Request(server.url, lane))

    assert 6.0 <= clock.elapsed_s <= 6.2


def test_eight_threads_share_one_lane():
    """A stamp is taken after the turn, so it can only be late: the k-th is never before its slot."""
    interval_s, stamps_s, clock = 0.005, [], SystemClock()
    begun_s = clock.monotonic()
    lane = net.Lane(interval_s, clock)

    def work() -> None:
        for _ in range(5):
            lane.take()
            stamps_s.append(clock.monotonic())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert 40 == len(stamps_s)
    assert all(stamp_s - begun_s >= k * interval_s for k, stamp_s in enumerate(sorted(stamps_s)))


def test_an_urgent_caller_overtakes_those_who_wait_already():
    clock, taken = GatedClock(), []
    lane = net.Lane(0.2, clock)
    lane.take()

    def started(name: str) -> threading.Thread:
        def work() -> None:
            lane.take(urgent=name == "urgent")
            taken.append(name)

        thread = threading.Thread(target=work, name=name)
        thread.start()
        return thread

    ordinary = started("ordinary")
    assert clock.arrived["ordinary"].wait(5)
    second, urgent = started("second"), started("urgent")
    assert clock.arrived["urgent"].wait(5)

    clock.gates["urgent"].set()
    urgent.join(5)
    assert ["urgent"] == taken

    clock.gates["ordinary"].set()
    ordinary.join(5)
    assert ["urgent", "ordinary"] == taken

    clock.gates["second"].set()
    second.join(5)
    assert ["urgent", "ordinary", "second"] == taken


def test_a_caller_interrupted_while_it_waits_leaves_the_lane_free():
    class Interrupted(FakeClock):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            raise KeyboardInterrupt

    lane = net.Lane(0.2, Interrupted())
    lane.take()
    with pytest.raises(KeyboardInterrupt):
        lane.take()

    lane.take()
