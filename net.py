"""How does one call to another machine go, and what does its failure mean? The network contract.

Written once for NSE, Kite and whatever else is asked. `Lane` and `retrying` fit around any callable, so
the official Kite client obeys them too: its caller turns its exceptions into this tree.

    outcome.NetworkError
      CallError               one sentence: the host, what happened, how many tries, what to do
        NotSentError          nothing left this machine (DNS, connect, TLS): a write may be sent again
        NoAnswerError         sent, and no whole answer: a write is UNKNOWN, look before sending again
        WrongAnswerError      redirect, too large, undecodable: asking again will not help
        StatusError           any other 4xx: the caller judges `status` and `body`
          RateLimitedError    429: wait; `retry_after_s` is what the server asked for
          ServerDownError     5xx: try later

For a write only NotSentError proves that nothing happened. A 4xx is evidence, not proof: Kite once
answered 400 to an order that it had taken. All the rest is UNKNOWN.
Must not know what an order, a candle or a token is, nor which host has which limits.
"""

import itertools
import threading
import zlib
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache
from random import Random
from ssl import SSLContext
from typing import Any, ClassVar, TypeVar

import httpcore
import httpx

from clock import Clock
from outcome import ConfigError, NetworkError
from sockets import STANDARD, BoundedBackend, Bounds, Resolver, lookup

T = TypeVar("T")

REQUEST_TOTAL_S = 10.0
HISTORY_PAGE_TOTAL_S = 20.0
MIN_SPACING_S = 0.2  # history, quotes, NSE; the order lanes bring their own
MAX_RETRY_AFTER_S = 60.0  # a longer pause is the user's decision, not a silent wait
LOOPBACK = (b"127.0.0.1", b"::1", b"localhost")


class CallError(NetworkError):
    """One call failed. Holds the host and never the URL: Kite puts tokens in queries, others in paths."""

    advice: ClassVar[str]
    retry_after_s = 0.0
    tries = 1

    def __init__(self, host: str, what: str) -> None:
        super().__init__(host, what)
        self.host = host
        self.what = what

    def __str__(self) -> str:
        return f"{self.host} {self.what} (tries: {self.tries}): {self.advice}"


class NotSentError(CallError):
    advice = "nothing was sent; check the internet connection and the address"


class NoAnswerError(CallError):
    advice = "it may have acted all the same, so look before sending a change again"


class WrongAnswerError(CallError):
    advice = "a login page or a proxy may stand in between; open the site in a browser to see"


class StatusError(CallError):
    advice = "the request was refused as it stands; check the login and what was asked"

    def __init__(
        self, host: str, status: int, body: bytes = b"", retry_after_s: float = 0.0, date: str = ""
    ) -> None:
        pause = f" and asks for a pause of {retry_after_s:.0f} s" if retry_after_s else ""
        super().__init__(host, f"answered {status}{pause}")
        self.status = status
        self.body = body
        self.retry_after_s = retry_after_s
        self.date = date  # the header: what the other side's clock says


class RateLimitedError(StatusError):
    advice = "too many requests; wait, and see that no other program uses the same login"


class ServerDownError(StatusError):
    advice = "the other side has a fault; try again later"


def status_error(
    host: str, status: int, body: bytes = b"", retry_after_s: float = 0.0, date: str = ""
) -> StatusError:
    """The error for a status of 400 or more, whoever received it."""
    kind = RateLimitedError if status == 429 else ServerDownError if status >= 500 else StatusError
    return kind(host, status, body, retry_after_s, date)


@dataclass(frozen=True)
class Schedule:
    """The pauses between tries, and the errors that deserve another one."""

    pauses_s: tuple[float, ...]
    on: tuple[type[Exception], ...]
    jitter_s: float = 0.0  # so that programs that failed together do not come back together


READS = Schedule(
    (0.5, 1.0, 2.0, 4.0, 8.0), (NotSentError, NoAnswerError, RateLimitedError, ServerDownError), jitter_s=0.1
)
TOKEN_CHECK = Schedule((1.0, 2.0, 4.0), (NotSentError, NoAnswerError))


def retrying(call: Callable[[], T], schedule: Schedule, clock: Clock, rng: Random) -> T:
    """Repeat what is safe to repeat; never for a write. The last error says how many tries it took."""
    known: tuple[type[Exception], ...] = (CallError, *schedule.on)
    for tries in itertools.count(1):
        try:
            return call()
        except known as error:
            if isinstance(error, CallError):
                error.tries = tries
            asked_s = getattr(error, "retry_after_s", 0.0)
            is_last = tries > len(schedule.pauses_s) or asked_s > MAX_RETRY_AFTER_S
            if is_last or not isinstance(error, schedule.on):
                raise
            pause_s = max(schedule.pauses_s[tries - 1], asked_s)
        clock.wait(pause_s + rng.uniform(0, schedule.jitter_s))
    raise AssertionError("counting never ends")


class Lane:
    """Requests of one kind, at least an interval apart, for any number of threads.

    Urgent callers (exits, stops, cancels) go before all ordinary ones, equals in the order they came.
    Only the first in line waits on the clock, and outside the lock: whom an urgent caller overtakes
    meanwhile finds that out when its wait is over.
    """

    def __init__(self, interval_s: float, clock: Clock) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._free_at_s = clock.monotonic()
        self._arrivals = itertools.count()
        self._line: list[tuple[bool, int]] = []
        self._moved = threading.Condition()

    def take(self, *, urgent: bool = False) -> None:
        """Return when the caller may send one request."""
        with self._moved:
            place = (not urgent, next(self._arrivals))
            insort(self._line, place)
        try:
            while (early_s := self._early_s(place)) > 0:
                self._clock.wait(early_s)
        finally:  # also when interrupted: a place left behind would block the lane for good
            with self._moved:
                self._line.remove(place)
                self._moved.notify_all()

    def _early_s(self, place: tuple[bool, int]) -> float:
        """How much too early the first in line is; at zero or less it has taken its turn."""
        with self._moved:
            self._moved.wait_for(lambda: self._line[0] == place)
            now_s = self._clock.monotonic()
            early_s = self._free_at_s - now_s
            if early_s <= 0:
                self._free_at_s = now_s + self._interval_s
            return early_s


@dataclass(frozen=True, repr=False)  # a repr would show the headers and the query, hence the token
class Request:
    """What to ask, in which lane. The total counts from the moment that the lane lets it go."""

    url: str
    lane: Lane
    method: str = "GET"
    params: Mapping[str, str | Sequence[str]] | None = None
    form: Mapping[str, str] | None = None
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    urgent: bool = False
    total_s: float = REQUEST_TOTAL_S


class Http:
    """The one client. Threads may share it, and it keeps connections open between calls.

    It stands on httpcore's pool because that cannot do what is forbidden here, and httpx.Client can: follow
    redirects, obey HTTP_PROXY (a stale or foreign variable would hand our tokens to another machine),
    unpack without bound, or log whole URLs at INFO (encode/httpx#2760). httpx encodes the requests.
    """

    def __init__(
        self, user_agent: str, clock: Clock, rng: Random, bounds: Bounds = STANDARD, dns: Resolver = lookup
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._body_bytes = bounds.body_bytes
        # gzip alone, because that is what _unpacked can stop in the middle of a bomb.
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "gzip"}
        self._pool = httpcore.ConnectionPool(
            ssl_context=_verifying(),
            max_connections=None,  # a thread uses one; a cap would let stalled reads hold up a stop
            keepalive_expiry=30.0,
            network_backend=BoundedBackend(bounds, clock, dns),
        )

    def read(self, ask: Request, schedule: Schedule = READS) -> httpx.Response:
        """Ask what may be asked twice, and ask again as the schedule says; a whole 2xx answer, unpacked."""
        return retrying(lambda: self.send_once(ask), schedule, self._clock, self._rng)

    def send_once(self, ask: Request) -> httpx.Response:
        """One try, whatever happens: the way of everything that changes something."""
        message = self._encoded(ask)
        host = message.url.netloc.decode("ascii")
        ask.lane.take(urgent=ask.urgent)
        try:
            return self._exchanged(message, host, ask.total_s)
        # The library's texts may quote a header of ours, hence `from None` and words of our own.
        except httpcore.LocalProtocolError:
            raise ConfigError(f"the request to {host} holds a character that HTTP forbids") from None
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise NotSentError(host, f"could not be reached ({error})") from None
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            kind = type(error).__name__
            raise NoAnswerError(host, f"gave no whole answer in {ask.total_s:g} s ({kind})") from None

    def close(self) -> None:
        self._pool.close()

    def _encoded(self, ask: Request) -> httpx.Request:
        headers = {**self._headers, **ask.headers}
        try:
            message = httpx.Request(
                ask.method, ask.url, params=ask.params, data=ask.form, json=ask.json, headers=headers
            )
        except (httpx.InvalidURL, ValueError):  # its text or its repr may hold the token
            raise ConfigError("a web address or a header is malformed; check config.json and .env") from None
        url = message.url
        is_private = url.scheme == "https" or (url.scheme == "http" and url.raw_host in LOOPBACK)
        if not url.raw_host or not is_private:  # every call to Kite carries a token
            raise ConfigError(f"the address of {url.netloc.decode('ascii')} must begin with https://")
        return message

    def _exchanged(self, message: httpx.Request, host: str, total_s: float) -> httpx.Response:
        # httpcore hands these numbers unread to our backend and stream, which take them for the
        # moment at which the call must be over.
        over_at_s = self._clock.monotonic() + total_s
        ends = {"timeout": dict.fromkeys(("connect", "read", "write"), over_at_s)}
        url = httpcore.URL(str(message.url))
        with self._pool.stream(
            message.method, url, headers=message.headers.raw, content=message.read(), extensions=ends
        ) as response:
            headers = httpx.Headers(response.headers)
            _require_final(host, response.status, headers)
            packing = headers.pop("Content-Encoding", "").lower()
            try:
                body = _unpacked(host, response.iter_stream(), packing, self._body_bytes)
            except WrongAnswerError:
                if response.status < 400:
                    raise
                body = b""  # an unreadable error page is still an error of that status
        if response.status >= 400:
            pause_s = _pause_asked_s(headers, self._clock)
            raise status_error(host, response.status, body, pause_s, headers.get("Date", ""))
        return httpx.Response(response.status, headers=headers, content=body)


@lru_cache(1)
def _verifying() -> SSLContext:
    """SSL_CERT_FILE is ignored. Read once: it takes 20 to 70 ms, and a script has several clients."""
    return httpx.create_ssl_context(trust_env=False)


def _require_final(host: str, status: int, headers: httpx.Headers) -> None:
    """A redirect is never followed: it would carry our headers wherever it points."""
    if 200 <= status < 300 or status >= 400:
        return
    try:
        elsewhere = httpx.URL(headers.get("Location", "")).raw_host.decode("ascii")
    except httpx.InvalidURL:
        elsewhere = ""
    raise WrongAnswerError(host, f"sent us on to {elsewhere or 'itself'} with {status}, which is refused")


def _unpacked(host: str, chunks: Iterable[bytes], packing: str, cap_bytes: int) -> bytes:
    """The cap counts decoded bytes and stops the decoder itself: 64 kB of gzip can hold 64 MB."""
    if packing not in ("", "identity", "gzip"):
        raise WrongAnswerError(host, "packed its answer in a way that was not asked for")
    unzip = zlib.decompressobj(wbits=31) if packing == "gzip" else None
    body = bytearray()
    try:
        for chunk in chunks:
            # One byte over the cap is enough to know; zero would mean no limit to zlib.
            body += unzip.decompress(chunk, cap_bytes + 1 - len(body)) if unzip else chunk
            if len(body) > cap_bytes:
                raise WrongAnswerError(host, f"sent more than the {cap_bytes} bytes that an answer may have")
        if unzip and body and (not unzip.eof or unzip.unused_data):
            raise zlib.error("does not end where it should")
    except zlib.error as error:
        raise WrongAnswerError(host, f"sent damaged gzip data ({error})") from None
    return bytes(body)


def _pause_asked_s(headers: httpx.Headers, clock: Clock) -> float:
    """Retry-After in seconds or as a date; what cannot be read asks for nothing."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        pause = parsedate_to_datetime(text) - clock.now()
    except (ValueError, OverflowError, TypeError):  # a year of twenty digits; a zone of -0000
        return 0.0
    return max(0.0, pause.total_seconds())
