"""How is one order sent once, and what became of it when no answer came? Single orders, without a session.

The intent is on disk before the wire. Its tag follows from its client id, so whoever comes later, another
process after a crash too, finds the order by it. An id that was ever recorded is never sent again: either
its order is found in the book, or nobody knows and the caller hears just that; one use of an id makes at
most one order. Only a plain refusal, or proof that nothing left, frees it. A modification or a cancel names
an order that exists, so the book alone says whether it came true. One read of the book is no verdict: the
newest order may be missing, and one was seen to show up after 90 s (kite.trade comment 41029).
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Protocol

from clock import Clock
from kite.client import KiteClient
from kite.errors import BlockedError, BrokerError, NotSentError, RejectedError, UnknownOutcomeError
from outcome import SuiteError
from rulebook.order_messages import Cancel, Modify, OrderRow, Place
from rulebook.order_records import (
    BOOK_QUORUM,
    POLL,
    SETTLE_HORIZON,
    SPELLED,
    Purpose,
    Refusal,
    Status,
)
from rulebook.records import tag_of

LATE_AFTER = timedelta(seconds=10)  # most late orders have shown by then (kite.trade comment 35732)
LATE_POLL = timedelta(seconds=10)
OVER = (Status.CANCELLED, Status.COMPLETE, Status.REJECTED)

IsDone = Callable[[OrderRow], bool]


class Intents(Protocol):
    """Where intents are kept: the ledger."""

    def record(self, asked: Place | Modify | Cancel) -> None:
        """On disk when it returns."""

    def knows(self, client_id: str) -> bool:
        """Whether a Place of that id was ever recorded, by whatever process."""


class Settler:
    """Sends single orders of one login; no thread but one uses it."""

    def __init__(self, client: KiteClient, clock: Clock, intents: Intents) -> None:
        self._client = client
        self._clock = clock
        self._intents = intents
        self._made: dict[str, str] = {}  # client id -> order id
        self._free: set[str] = set()  # recorded, and provably without an order
        self._doubted_s: dict[str, float] = {}  # since when

    def placed(self, client_id: str, make: Callable[[], Place]) -> str:
        """The order of that intent: one that is there already, or the one that `make` asks for."""
        made = self._made.get(client_id)
        if made is None:
            made = self._made[client_id] = self._adopted(client_id) or self._sent(make())
        return made

    def order_of(self, client_id: str) -> str | None:
        """Which order that id has made, as far as we or the book know."""
        return self._made.get(client_id) or self._found(tag_of(client_id))

    def client_id_of(self, order_id: str) -> str:
        return next((client_id for client_id, made in self._made.items() if made == order_id), "")

    def change(self, asked: Modify | Cancel, is_done: IsDone) -> None:
        """Sent once; where its answer is in doubt, the book says what became of it."""
        self._record(asked, can_wait=False)
        try:
            if isinstance(asked, Modify):
                self._client.modify(asked)
            else:
                self._client.cancel(asked)
        except UnknownOutcomeError:
            if not self.came_true(asked.order_id, is_done):
                raise

    def came_true(self, order_id: str, is_done: IsDone) -> bool:
        """Whether the book shows it, within a few reads."""
        for _ in range(BOOK_QUORUM + 1):
            self._clock.wait(POLL.total_seconds())
            try:
                row = self._row(order_id)
            except BrokerError:
                continue  # no verdict
            if row is not None and is_done(row):
                return True
        return False

    def row(self, order_id: str) -> OrderRow:
        """As the book shows it now; that it is not there takes more than one read."""
        for read in range(BOOK_QUORUM):
            if read:
                self._clock.wait(POLL.total_seconds())
            found = self._row(order_id)
            if found is not None:
                return found
        raise RejectedError(f"order {order_id}", "it is not in today's book of MIS orders", Refusal.OTHER)

    def _adopted(self, client_id: str) -> str | None:
        """What an earlier use of that id has made; none, where there was no earlier use."""
        if client_id in self._free or not self._intents.knows(client_id):
            return self._found(tag_of(client_id))
        found = self._searched(client_id)
        if found is None:
            raise UnknownOutcomeError(
                f"order {client_id}", "it was sent before, no order of it is seen, and it is not repeated"
            )
        return found

    def _sent(self, asked: Place) -> str:
        self._record(asked, can_wait=asked.purpose is Purpose.ENTRY)
        self._free.discard(asked.client_id)
        try:
            return self._client.place(asked)
        except (RejectedError, BlockedError, NotSentError):
            self._free.add(asked.client_id)
            raise
        except UnknownOutcomeError:
            found = self._searched(asked.client_id)
            if found is None:
                raise
            return found

    def _record(self, asked: Place | Modify | Cancel, *, can_wait: bool) -> None:
        """A disk that refuses holds up an entry, and nothing that makes a position smaller."""
        try:
            self._intents.record(asked)
        except (SuiteError, OSError):
            if can_wait:
                raise

    def _searched(self, client_id: str) -> str | None:
        """Looked for until the horizon, by more than one read."""
        since_s = self._doubted_s.setdefault(client_id, self._clock.monotonic())
        for _ in self._looks(since_s):
            try:
                found = self._found(tag_of(client_id))
            except BlockedError:
                return None  # nothing is shown to us either
            except BrokerError:
                continue
            if found is not None:
                return found
        return None

    def _looks(self, since_s: float) -> Iterator[int]:
        """Moments to look at the book: at once, every second, then more rarely."""
        looks = 0
        while True:
            yield looks
            looks += 1
            gone_s = self._clock.monotonic() - since_s
            if looks >= BOOK_QUORUM and gone_s >= SETTLE_HORIZON.total_seconds():
                return
            pause = POLL if gone_s < LATE_AFTER.total_seconds() else LATE_POLL
            self._clock.wait(pause.total_seconds())

    def _found(self, tag: str) -> str | None:
        rows = self._client.orders()
        return next((row.order_id for row in rows if tag in (row.tag, *row.tags)), None)

    def _row(self, order_id: str) -> OrderRow | None:
        return next((row for row in self._client.orders() if row.order_id == order_id), None)


def status_of(row: OrderRow) -> Status:
    """A word that is not known is in between, and never an end."""
    return SPELLED.get(row.status, Status.ACCEPTED)
