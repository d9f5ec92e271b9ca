"""How does a call go to the broker by its own client? BROKER_MODE=kite_sdk; every request is kiteconnect's.

All its methods end in one, `_request`; that is the door used here, and the client is as it comes, pinned by
hash. Its HTTP session is fenced: no redirects, no proxies or credentials from the environment, a bound on
time and size. The fence keeps the answer as it came, and both transports read it by the same code: what the
client makes of it (naive times of the host's zone, MarginException flattened to a general one, KeyError
without a content type, TypeError on a null error_type; kite.md 1.8, 5.3) does not matter here.
"""

import http.client
import io
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import requests
import urllib3
from kiteconnect import KiteConnect
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from clock import Clock
from kite.envelope import opened, text_of
from kite.errors import BrokerError, NotSentError, damaged, doubtful
from kite.routes import Call

SILENCE_S = 5.0  # to connect, and between two bytes
BODY_MOST = 64_000_000  # the instruments list of one exchange is a few megabytes
_CHUNK = 65_536


class SdkTransport:
    """A Transport over the official client."""

    def __init__(
        self,
        root: str,
        api_key: str,
        clock: Clock,
        silence_s: float = SILENCE_S,
        body_most: int = BODY_MOST,
    ) -> None:
        self._kite = KiteConnect(api_key, root=root, timeout=silence_s)
        self._kite.reqsession.trust_env = False
        self._kite.reqsession.headers["Accept-Encoding"] = "gzip"
        self._fence = _Fence(clock, silence_s, body_most)
        for scheme in ("https://", "http://"):
            self._kite.reqsession.mount(scheme, self._fence)

    def use_token(self, token: str | None) -> None:
        self._kite.set_access_token(token)

    def close(self) -> None:
        self._kite.reqsession.close()

    def send(self, call: Call) -> Any:
        failure: Exception | None = None
        with self._fence.watching(call.total_s) as seen:
            try:
                self._kite._request(
                    call.route.name,
                    call.route.method,
                    url_args=dict(call.names) or None,
                    params=call.document if call.route.is_json else dict(call.values),
                    is_json=call.route.is_json,
                )
            except Exception as error:  # noqa: BLE001  an answer that the client cannot read is still one
                failure = error
        if not seen.is_whole:
            raise _without_answer(call, failure) from None
        if call.route.is_csv and seen.status < 400:
            return text_of(call, seen.content_type, seen.body)
        return opened(call, seen.status, seen.body)


def _without_answer(call: Call, failure: Exception | None) -> BrokerError:
    """Nothing left this machine, or nobody knows. The texts of requests quote the address: not shown."""
    kind = type(failure).__name__
    if isinstance(failure, _FenceError):
        return damaged(call.asked, call.route.is_change, str(failure))
    if isinstance(failure, requests.exceptions.ConnectionError) and _never_connected(failure):
        return NotSentError(call.asked, f"the broker could not be reached ({kind})")
    return doubtful(call.asked, call.route.is_change, f"no whole answer ({kind})")


def _never_connected(failure: requests.exceptions.ConnectionError) -> bool:
    """DNS, connect and TLS fail before a byte of the request is sent."""
    if isinstance(failure, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(failure.args[0] if failure.args else None, "reason", None)
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")


class _FenceError(Exception):
    """An answer that is refused before the client sees it."""


@dataclass(slots=True)
class _Seen:
    over_at_s: float
    status: int = 0
    content_type: str = ""
    body: bytes = b""
    is_whole: bool = False


class _Fence(HTTPAdapter):
    """Reads the answer itself, bounded, and keeps it for the thread that asked."""

    def __init__(self, clock: Clock, silence_s: float, body_most: int) -> None:
        self._clock = clock
        self._silence_s = silence_s
        self._body_most = body_most
        self._of_thread = threading.local()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As it comes, but for how answers are read."""
        super().init_poolmanager(*args, **kwargs)
        response_class = partial(_BoundedAnswer, self._left_s)
        plain = type("_Plain", (HTTPConnection,), {"response_class": staticmethod(response_class)})
        secured = type("_Secured", (HTTPSConnection,), {"response_class": staticmethod(response_class)})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_PlainPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_SecuredPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": secured}),
        }

    @contextmanager
    def watching(self, total_s: float) -> Iterator[_Seen]:
        seen = self._of_thread.seen = _Seen(self._clock.monotonic() + total_s)
        yield seen

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        seen: _Seen = self._of_thread.seen
        response = super().send(request, *args, **{**kwargs, "stream": True})
        if 300 <= response.status_code < 400:
            response.close()
            raise _FenceError(f"sent on with {response.status_code}, which is refused")
        seen.status = response.status_code
        seen.content_type = response.headers.get("Content-Type", "")
        try:
            seen.body = response._content = self._bounded(response)
        except _FenceError:
            response.close()
            raise
        seen.is_whole = True
        return response

    def _bounded(self, response: requests.Response) -> bytes:
        """Unpacked here, because urllib3 takes a torn gzip stream for a whole one: half a list of shares."""
        packing = response.headers.get("Content-Encoding", "").lower()
        if packing not in ("", "identity", "gzip"):
            raise _FenceError("packed in a way that was not asked for")
        unzip = zlib.decompressobj(wbits=31) if packing == "gzip" else None
        body = bytearray()
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                body += unzip.decompress(chunk, self._body_most + 1 - len(body)) if unzip else chunk
                if len(body) > self._body_most:
                    raise _FenceError(f"more than the {self._body_most} bytes that an answer may have")
        except zlib.error:
            raise _FenceError("damaged gzip data") from None
        if unzip and body and (not unzip.eof or unzip.unused_data):
            raise _FenceError("gzip data that does not end where it should")
        return bytes(body)

    def _left_s(self) -> float:
        """For the next read of the socket."""
        seen: _Seen = self._of_thread.seen
        left_s = seen.over_at_s - self._clock.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer took too long")
        return min(self._silence_s, left_s)


class _BoundedAnswer(http.client.HTTPResponse):
    """A time-out of a socket begins anew with each byte; here a trickle cannot outlast the call's total."""

    def __init__(self, left_s: Callable[[], float], sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Reads(left_s, sock))


class _Reads(io.RawIOBase):
    def __init__(self, left_s: Callable[[], float], sock: socket.socket) -> None:
        self._left_s = left_s
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open until the body is read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._left_s())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
