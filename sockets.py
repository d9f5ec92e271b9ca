"""How long may one step on a socket take: name, connect, handshake, read, write?

httpx and httpcore bound neither the name look-up nor a call as a whole; net.py puts this backend
under the pool. It knows no request, no retry and no host's limits.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import httpcore

from clock import Clock

Resolver = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Bounds:
    """How long each step of a call may take, within the call's total; how large its answer may be."""

    dns_s: float = 3.0
    connect_s: float = 5.0
    silence_s: float = 5.0  # one read or one write without any progress
    body_bytes: int = 64 * 2**20  # decoded; the largest known answer, the instruments dump, is about 10 MB


STANDARD = Bounds()


def lookup(host: str, port: int) -> list[str]:
    """Ask the machine's resolver, which knows no time-out: Http bounds it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(eq=False)
class BoundedBackend(httpcore.NetworkBackend):
    """Opens connections in bounded time. `timeout` is the call's deadline: see Http._exchanged.

    getaddrinfo cannot be interrupted: it runs in a daemon thread that is left behind when late (glibc gives
    up by itself). Addresses share connect_s, so that a dead IPv6 route leaves time for the IPv4 one.
    """

    bounds: Bounds
    clock: Clock
    dns: Resolver

    def connect_tcp(  # the pool's other options stay unset
        self, host: str, port: int, timeout: float | None = None, *_: Any, **__: Any
    ) -> httpcore.NetworkStream:
        addresses = self._looked_up(host, port, timeout)
        share_s = self.bounds.connect_s / max(1, len(addresses))
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            limit_s = _limit_s(self.clock, timeout, share_s, httpcore.ConnectTimeout)
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, limit_s, socket_options=())
                return _BoundedStream(stream, self.bounds, self.clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _looked_up(self, host: str, port: int, deadline_s: float | None) -> list[str]:
        found: Future[list[str]] = Future()

        def look_up() -> None:
            try:
                found.set_result(self.dns(host, port))
            except (OSError, UnicodeError) as error:  # UnicodeError: a label over 63 characters
                found.set_exception(error)

        threading.Thread(target=look_up, name="dns", daemon=True).start()
        try:
            return found.result(_limit_s(self.clock, deadline_s, self.bounds.dns_s, httpcore.ConnectTimeout))
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"DNS: {str(error) or 'no answer in time'}") from None


@dataclass(eq=False)
class _BoundedStream(httpcore.NetworkStream):
    """A socket whose every step ends by the call's deadline, however often the server drips a byte.

    A socket time-out alone begins anew with each byte. Here each step gets what is left of the total, and
    CPython's ssl module counts one handshake or one record as a whole.
    """

    stream: httpcore.NetworkStream
    bounds: Bounds
    clock: Clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _limit_s(self.clock, timeout, self.bounds.silence_s))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Requests are a few kB: one send into the socket's own buffer.
        self.stream.write(buffer, _limit_s(self.clock, timeout, self.bounds.silence_s))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit_s = _limit_s(self.clock, timeout, self.bounds.connect_s, httpcore.ConnectTimeout)
        secured = self.stream.start_tls(ssl_context, server_hostname, limit_s)
        return _BoundedStream(secured, self.bounds, self.clock)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _limit_s(
    clock: Clock, over_at_s: float | None, bound_s: float, late: type[Exception] = httpcore.ReadTimeout
) -> float:
    """The smaller of a step's bound and what the call has left; to a socket zero means 'do not block'."""
    assert over_at_s is not None, "a call without a deadline"
    left_s = min(bound_s, over_at_s - clock.monotonic())
    if left_s <= 0:
        raise late("no time left")
    return left_s
