"""What time is it on another clock, and how does one wait for it? CLOCK_URL names it; it is on loopback.

The local exchange lives at a time and a speed of its own. At a rate, this clock is asked once in a while
and interpolates. In lock-step time stands still until everybody waits, so every reading is asked for, and
waiting is telling: "idle until then". Only this file knows the difference; whoever holds a Clock does not.
"""

import json
import math
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from addresses import read_addresses
from clock import Clock, SystemClock
from outcome import ConfigError, NetworkError

ASK_AGAIN_S = 1.0  # between readings at a rate: a step of the other clock shows within this
ANSWER_S = 600.0  # a waiting request is answered when everybody else is idle, which may take a while
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What the other clock said."""

    now: datetime
    monotonic_s: float
    rate: float  # 0: lock-step
    read_at_s: float  # by this machine's monotonic clock
    held: int = 0  # answers that wait for their moment
    sent: Mapping[int, int] = field(default_factory=dict)  # frames by port; -1: that connection is no more


def clock_at(environ: Mapping[str, str]) -> "FollowedClock":
    """The clock of CLOCK_URL; refused where the broker is the real one."""
    url = read_addresses(environ).clock
    assert url is not None, "who calls has seen that it is set"
    return FollowedClock(url)


class FollowedClock:
    """A Clock that follows the one at that address."""

    def __init__(self, url: str, machine: Clock | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK:
            raise ConfigError(f"CLOCK_URL {url!r} is not http on loopback: only a local exchange has a clock")
        self._host, self._port, self._path = parts.hostname, parts.port or 80, parts.path or "/"
        self._machine = machine or SystemClock()
        self._of_thread = threading.local()
        self._lines: list[_Line] = []
        self._last = self._ask("GET")

    def now(self) -> datetime:
        reading = self._fresh()
        return reading.now + timedelta(seconds=self._since(reading))

    def monotonic(self) -> float:
        reading = self._fresh()
        return reading.monotonic_s + self._since(reading)

    @property
    def rate(self) -> float:
        """Its seconds in one of this machine's; 0 in lock-step."""
        return self._fresh().rate

    def wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        reading = self._fresh()
        if reading.rate > 0:
            self._machine.wait(seconds / reading.rate)
        else:
            self.idle_until(reading.monotonic_s + seconds)

    def idle_until(
        self,
        monotonic_s: float,
        follower: str | None = None,
        outstanding: int = 0,
        heard: Mapping[int, int] | None = None,
    ) -> Reading:
        """Nothing to do before then. A follower by name holds time up until it says so again.

        It is woken sooner when it was sent a frame that it has not heard, or an answer that was held back.

        The other clock counts microseconds, so a moment between two is the later one: whoever waits for a
        deadline and finds it not quite there would ask for ever, in a time that stands still.
        """
        word = {
            "until": math.ceil(monotonic_s * 1e6) / 1e6,
            "outstanding": outstanding,
            "heard": dict(heard or {}),
        }
        if follower is not None:
            word["follower"] = follower
        self._last = self._ask("POST", word)
        return self._last

    def read(self) -> Reading:
        """Asked for anew."""
        self._last = self._ask("GET")
        return self._last

    def leave(self, follower: str) -> None:
        """Time need not wait for that follower any more."""
        self._ask("DELETE", query=f"?follower={follower}")

    def close(self) -> None:
        """Hang up; a follower that has not left is gone then, too."""
        for line in self._lines:
            line.close()

    def _since(self, reading: Reading) -> float:
        """Seconds on the followed clock since it was read."""
        return (self._machine.monotonic() - reading.read_at_s) * reading.rate

    def _fresh(self) -> Reading:
        if self._last.rate == 0 or self._machine.monotonic() - self._last.read_at_s > ASK_AGAIN_S:
            self._last = self._ask("GET")
        return self._last

    def _ask(self, method: str, word: Mapping[str, Any] | None = None, query: str = "") -> Reading:
        """One connection a thread, opened again once if the other side has closed it meanwhile."""
        try:
            told = self._exchange_words(method, word, query)
            return Reading(
                datetime.fromisoformat(told["now"]),
                float(told.get("monotonic", 0.0)),
                float(told["rate"]),
                self._machine.monotonic(),
                int(told.get("held", 0)),
                {int(port): int(frames) for port, frames in told.get("sent", {}).items()},
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            where = f"http://{self._host}:{self._port}{self._path}"
            raise NetworkError(
                f"the clock at {where} (CLOCK_URL) does not tell the time: {error!r}"
            ) from error

    def _exchange_words(self, method: str, word: Mapping[str, Any] | None, query: str) -> Any:
        body = b"" if word is None else json.dumps(word).encode()
        head = f"{method} {self._path}{query} HTTP/1.1\r\nHost: {self._host}\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        line: _Line | None = getattr(self._of_thread, "line", None)
        if line is not None:
            try:
                return line.exchange(request)
            except ConnectionError:
                line.close()
                self._lines.remove(line)
        line = self._of_thread.line = _Line(self._host, self._port)
        self._lines.append(line)
        return line.exchange(request)


class _Line:
    """A connection that is kept. A day in lock-step is some 60,000 words, and http.client takes half of
    a millisecond for the grammar of each; what is spoken here is one answer of one known server."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), ANSWER_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def exchange(self, request: bytes) -> Any:
        self._socket.sendall(request)
        status, length = self._answers.readline(), 0
        if not status:
            raise ConnectionResetError("hung up")
        while (header := self._answers.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        text = self._answers.read(length)
        if status.split(b" ", 2)[1:2] != [b"200"]:
            raise ValueError(f"{status!r}: {text[:200]!r}")
        return json.loads(text)

    def close(self) -> None:
        self._answers.close()
        self._socket.close()
