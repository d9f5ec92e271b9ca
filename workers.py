"""Who waits for the broker, so that the core does not have to? Threads, whose answers come back as events.

What changes something and what only reads have threads of their own: a reading that hangs holds up no order,
and of those that change something there are as many as may hang at once while an exit still goes out. History
is slow by the broker's limit and has a thread to itself. Nothing is decided here. A defect in a worker is an
event as well, for an answer that never came must not look like silence of the broker.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Protocol

from broker import INTERVALS
from clock import Clock
from kite.client import KiteClient
from kite.errors import BlockedError, BrokerError, LogInAgainError
from kite.inbox import Inbox
from rulebook.bars import MINUTES
from rulebook.order_messages import Event
from rulebook.records import Side
from session_events import (
    Beat,
    Candles,
    Cash,
    Halt,
    Leverages,
    Quotes,
    SessionEvent,
    TokenIs,
    Why,
)  # fmt: skip

CHANGING, READING = 12, 6  # threads
CANDLES_AT_ONCE = 10  # tickers, before their candles are handed in

log = logging.getLogger("broker")


class Pool(Protocol):
    """Threads; concurrent.futures.Executor."""

    def submit(self, work: Callable[..., None], /, *args: Any) -> object: ...
    def shutdown(self, wait: bool = ..., *, cancel_futures: bool = ...) -> None: ...


class Workers:
    """Of one session. `token` gives the newest one of `.env`; `codes` the broker's number of each ticker."""

    def __init__(
        self, client: KiteClient, inbox: Inbox[SessionEvent], clock: Clock, codes: Mapping[str, int],
        timeframe: str, opened_at: datetime, token: Callable[[], str | None],
        pool: Callable[[int, str], Pool] = ThreadPoolExecutor,
    ) -> None:  # fmt: skip
        self._client = client
        self._inbox = inbox
        self._clock = clock
        self._codes = codes
        self._timeframe = timeframe
        self._opened_at = opened_at
        self._token = token
        self._changing = pool(CHANGING, "orders")
        self._reading = pool(READING, "reads")
        self._history = pool(1, "candles")
        self._under_way: set[str] = set()

    def submit(self, work: Callable[[], Event | None], *, is_read: bool) -> None:
        """For the desk of the orders."""
        (self._reading if is_read else self._changing).submit(self._done, work)

    def close(self) -> None:
        for pool in (self._changing, self._reading, self._history):
            pool.shutdown(wait=False, cancel_futures=True)

    # --- readings; of each kind one at a time ---

    def quotes(self, tickers: tuple[str, ...]) -> None:
        self._once("quotes", self._reading, lambda: self._quotes(tickers))

    def cash(self) -> None:
        self._once("cash", self._reading, self._cash)

    def beat(self) -> None:
        self._once("beat", self._reading, self._beat)

    def token(self) -> None:
        """Whether there is a new one in `.env`, and what the broker says of it."""
        self._once("token", self._reading, self._new_token)

    def candles(self) -> None:
        """Of today so far, of all tickers."""
        self._once("candles", self._history, self._candles)

    def leverages(self) -> None:
        self._once("leverages", self._reading, self._leverages)

    def _quotes(self, tickers: tuple[str, ...]) -> SessionEvent:
        try:
            return Quotes(tickers, self._client.quotes(tickers))
        except BrokerError as error:
            log.warning("%s", error)
            return Quotes(tickers, None)

    def _cash(self) -> SessionEvent:
        began_s = self._clock.monotonic()
        return Cash(began_s, self._client.cash())

    def _beat(self) -> SessionEvent:
        began_s = self._clock.monotonic()
        self._client.user_id()
        return Beat(began_s)

    def _new_token(self) -> SessionEvent:
        self._client.use_token(self._token())
        try:
            self._client.user_id()
        except LogInAgainError:
            return TokenIs(False)
        return TokenIs(True)

    def _leverages(self) -> SessionEvent:
        """A share's leverage is the same both ways."""
        found: dict[tuple[str, Side], int] = {}
        for ticker in self._codes:
            leverage_milli = self._client.margin(ticker, Side.BUY, 1).leverage_milli
            found |= dict.fromkeys(((ticker, Side.BUY), (ticker, Side.SELL)), leverage_milli)
        return Leverages(found)

    def _candles(self) -> SessionEvent | None:
        """In parts, so that those who are there early are not kept waiting by the rest."""
        names = list(self._codes)
        for first in range(0, len(names), CANDLES_AT_ONCE):
            self._inbox.put(self._of_tickers(names[first : first + CANDLES_AT_ONCE]))
        return None

    def _of_tickers(self, names: Sequence[str]) -> Candles:
        """Of bars that were over when they were asked for: one that still grows is none."""
        interval, _ = INTERVALS[self._timeframe]
        first, last = self._opened_at, self._clock.now() - timedelta(minutes=MINUTES[self._timeframe])
        found = {name: self._client.candles(self._codes[name], interval, first, last) for name in names}
        return Candles(self._timeframe, (first, last), found)

    # --- in a thread ---

    def _once(self, what: str, pool: Pool, work: Callable[[], SessionEvent | None]) -> None:
        """Only the core asks, so nobody races for the name."""
        if what not in self._under_way:
            self._under_way.add(what)
            pool.submit(self._finished, what, work)

    def _finished(self, what: str, work: Callable[[], SessionEvent | None]) -> None:
        try:
            self._done(work)
        finally:
            self._under_way.discard(what)

    def _done(self, work: Callable[[], SessionEvent | None]) -> None:
        try:
            found = work()
        except BlockedError as error:
            log.warning("%s", error)
            found = TokenIs(False)
        except BrokerError as error:  # nothing was told; whoever wants to know asks again
            log.warning("%s", error)
            return
        except Exception as error:
            log.exception("a defect in a worker")
            found = Halt(Why.DEFECT, f"a defect in a worker: {type(error).__name__}: {error}")
        if found is not None:
            self._inbox.put(found)
