"""How do bytes of a socket become requests and frames, and back? One connection, HTTP/1.1 or WebSocket.

h11 and the protocol half of `websockets` do the grammar; this file owns the transport, because a fault
must be able to do what no web framework offers: hang up instead of answering, promise more than it
sends, say nothing for a while. What is answered is decided by the House behind the door.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

import h11
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as UpgradeRequest
from websockets.protocol import State
from websockets.server import ServerProtocol

from exchange.disturb import Delivery
from exchange.web import Request, request

HEAD_END = b"\r\n\r\n"
HEAD_MOST = 32_768
BODY_MOST = 1_000_000
SEND_BUFFER_MOST = 16_000_000  # a client that reads slower than this is cut off, as the broker does


class StreamDoor(Protocol):
    """What the House sees of a WebSocket connection."""

    port: int

    def send(self, frame: bytes | str) -> None: ...
    def close(self) -> None: ...


class House(Protocol):
    """Who answers."""

    def now(self) -> datetime: ...
    def take(self, asked: Request, deliver: Callable[[Delivery], None]) -> Callable[[], None] | None:
        """Answer now or later through `deliver`; what comes back is called if the client hangs up before
        its next request."""

    def refuses_stream(self, asked: Request) -> int | None:
        """A status of HTTP, or None to let it in."""

    def stream_opened(self, asked: Request, door: StreamDoor) -> None: ...
    def stream_said(self, door: StreamDoor, text: str) -> None: ...
    def stream_closed(self, door: StreamDoor) -> None: ...


class Door(asyncio.Protocol):
    """A connection whose kind is not known before its first head has come."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._head = b""
        self._inner: _Http | _Stream | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._inner is None:
            self._head += data
            if HEAD_END not in self._head and len(self._head) < HEAD_MOST:
                return
            data, self._head = self._head, b""
            head = data.partition(HEAD_END)[0].lower()
            kind = _Stream if b"\r\nupgrade: websocket" in head else _Http
            self._inner = kind(self._house, self._transport)
        self._inner.received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        if self._inner is not None:
            self._inner.lost()


class _Http:
    """One request after the other; the next is read when the last has been answered."""

    def __init__(self, house: House, transport: asyncio.Transport) -> None:
        self._house = house
        self._transport = transport
        self._grammar = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MOST)
        self._asked: h11.Request | None = None
        self._body = bytearray()
        self._hung_up: Callable[[], None] | None = None
        self._is_reading = False

    def received(self, data: bytes) -> None:
        try:
            self._grammar.receive_data(data)
            self._read_on()
        except h11.RemoteProtocolError:
            self._transport.close()

    def lost(self) -> None:
        if self._hung_up is not None:
            self._hung_up()

    def _read_on(self) -> None:
        """Not from within itself: an answer given at once is followed by the loop that asked for it."""
        if not self._is_reading:
            self._is_reading = True
            self._read()
            self._is_reading = False

    def _read(self) -> None:
        while True:
            event = self._grammar.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Request):
                self._asked, self._body = event, bytearray()
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > BODY_MOST:
                    self._transport.close()
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._ask()
            elif isinstance(event, h11.ConnectionClosed):
                self._transport.close()
                return

    def _ask(self) -> None:
        assert self._asked is not None
        head = self._asked
        headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        asked = request(head.method.decode(), head.target.decode("latin-1"), headers, bytes(self._body))
        self._hung_up = self._house.take(asked, self._deliver)

    def _deliver(self, delivery: Delivery) -> None:
        if self._transport.is_closing():
            return
        answer = delivery.answer
        if answer is None:
            self._transport.abort()
            return
        length = len(answer.body) if delivery.length is None else delivery.length
        date = format_datetime(self._house.now().astimezone(UTC), usegmt=True)
        headers = [("Content-Length", str(length)), ("Date", date)]
        if answer.content_type is not None:
            headers.append(("Content-Type", answer.content_type))
        head = self._spelled(h11.Response(status_code=answer.status, headers=[*headers, *answer.headers]))
        self._transport.write(head + self._spelled(h11.Data(data=answer.body)))  # one packet, one system call
        if length != len(answer.body):
            self._transport.close()
            return
        self._spelled(h11.EndOfMessage())
        self._next()

    def _spelled(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> bytes:
        return self._grammar.send(event) or b""

    def _next(self) -> None:
        if self._grammar.our_state is h11.DONE and self._grammar.their_state is h11.DONE:
            self._grammar.start_next_cycle()
            self._read_on()
        elif self._grammar.our_state is not h11.IDLE:
            self._transport.close()


class _Stream:
    """A WebSocket connection."""

    def __init__(self, house: House, transport: asyncio.Transport) -> None:
        self._house = house
        self._transport = transport
        self._grammar = ServerProtocol(max_size=BODY_MOST)
        self._is_open = False
        self.port: int = transport.get_extra_info("peername")[1]

    def received(self, data: bytes) -> None:
        self._grammar.receive_data(data)
        for event in self._grammar.events_received():
            if isinstance(event, UpgradeRequest):
                self._open(event)
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._house.stream_said(self, bytes(event.data).decode("utf-8", "replace"))
        self._flush()
        if self._grammar.state is State.CLOSED or self._grammar.close_expected():
            self._transport.close()

    def lost(self) -> None:
        if self._is_open:
            self._is_open = False
            self._house.stream_closed(self)

    def send(self, frame: bytes | str) -> None:
        if not self._is_open or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > SEND_BUFFER_MOST:
            self._transport.abort()
            return
        if isinstance(frame, str):
            self._grammar.send_text(frame.encode())
        else:
            self._grammar.send_binary(frame)
        self._flush()

    def close(self) -> None:
        """Without a word, as a lost connection looks."""
        self._transport.abort()

    def _open(self, event: UpgradeRequest) -> None:
        asked = request("GET", event.path, {}, b"")
        status = self._house.refuses_stream(asked)
        if status is not None:
            self._grammar.send_response(self._grammar.reject(status, ""))
            return
        try:
            response = self._grammar.accept(event)
        except ProtocolError:
            self._transport.close()
            return
        self._grammar.send_response(response)
        self._is_open = response.status_code == 101
        self._flush()
        if self._is_open:
            self._house.stream_opened(asked, self)

    def _flush(self) -> None:
        for data in self._grammar.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.write_eof()
