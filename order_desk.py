"""Who carries out what the machine of orders asks for? Effects to the journal and the wire, answers back.

The machine (rulebook/orders.py) decides, this file obeys, in the order given: what is to be journalled is on
disk before what follows it is sent. If the disk refuses, only what is urgent goes out (exits, stops,
cancels), and the rest is answered as not sent. Each request is sent once and answered once, by its `ref`: an
id, a refusal, no answer, or not sent. Nobody here decides anything about money.

The wall clock may step, by a second or a day (faults.md P6), and deadlines must not. So the desk looks at
it once, when it is made, and counts from there by the monotonic clock: `now` is that, and whoever tells the
desk an event takes the event's time from it. What a step did while no process lived, the machine mends at
Started.

`submit` runs a piece of work elsewhere (a pool of threads, or the scheduler of a simulation) and `answer`
takes the event that comes of it back to the one thread that owns the machine.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from clock import Clock
from kite.books import mis_net
from kite.client import Books
from kite.errors import (
    BlockedError,
    BrokerError,
    NotSentError,
    RejectedError,
)
from outcome import JournalError
from rulebook.order_messages import (
    Alarm,
    Answered,
    AskAgain,
    BookRead,
    Cancel,
    Effect,
    Event,
    Filled,
    Journal,
    Modify,
    NoAnswer,
    NotSent,
    Place,
    ReadBook,
    Refused,
    Wake,
    Woke,
)
from rulebook.order_records import Record
from rulebook.orders import Machine

READ_PATIENCE = timedelta(seconds=2)
READINGS_MOST = 3
ANSWERS_MOST = 1_000  # that nobody has asked for

Wire = Place | Modify | Cancel
Told = Filled | AskAgain | Alarm


class Broker(Protocol):
    """What is asked of the broker here; kite.client.KiteClient."""

    def place(self, asked: Place) -> str: ...
    def modify(self, asked: Modify) -> str: ...
    def cancel(self, asked: Cancel) -> str: ...
    def books(self) -> Books: ...


class Submit(Protocol):
    """Runs work elsewhere; what it returns goes to `answer`."""

    def __call__(self, work: Callable[[], Event | None], *, is_read: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Blocked:
    """The broker does not listen: dead token or refused address. Stops stand untouched."""

    at: datetime
    error: BlockedError


@dataclass(frozen=True, slots=True)
class Sent:
    """A request and when it was answered."""

    asked: Wire
    sent_at: datetime
    answer: Event


class Desk:
    """One machine and its hands. Only the thread that owns it calls `on` and `due`."""

    def __init__(
        self,
        machine: Machine,
        broker: Broker,
        journal: Callable[[Record], None],
        submit: Submit,
        clock: Clock,
    ) -> None:
        self.machine = machine
        self._broker = broker
        self._journal = journal
        self._submit = submit
        self._clock = clock
        self._made_at, self._made_s = clock.now(), clock.monotonic()
        self._wakes: list[tuple[datetime, str]] = []
        self._owed: list[Record] = []  # that the disk would not take
        self._readings: list[datetime] = []  # that are under way, by their beginning
        self.last_read_at: datetime | None = None  # of the newest reading that came back whole
        self.blocked: Blocked | None = None
        self.answers: deque[Sent] = deque(maxlen=ANSWERS_MOST)  # put there by the threads that sent

    def now(self) -> datetime:
        """The time of an event that is told here; it runs evenly."""
        return self._made_at + timedelta(seconds=self._clock.monotonic() - self._made_s)

    def wall(self) -> datetime:
        """As this machine's clock stands now, stepped or not."""
        return self._clock.now()

    def monotonic(self) -> float:
        """For ages and spans."""
        return self._clock.monotonic()

    def on(self, event: Event) -> list[Told]:
        """Tell the machine, carry out what it asks, return what concerns the caller."""
        told: list[Told] = []
        self._repay()
        self._note(event)
        self._carry_out(self.machine.on(event), told)
        return told

    def due(self, now: datetime) -> list[Event]:
        """The timers that have run out."""
        keys = set()
        while self._wakes and self._wakes[0][0] <= now:
            keys.add(heapq.heappop(self._wakes)[1])
        return [Woke(now, key) for key in sorted(keys)]

    @property
    def next_wake_at(self) -> datetime | None:
        return self._wakes[0][0] if self._wakes else None

    def read_books(self) -> None:
        """One reading at a time: a second one would say the same. One that hangs holds up no other (R8)."""
        now, running = self.now(), tuple(self._readings)
        if len(running) < READINGS_MOST and all(now >= began + READ_PATIENCE for began in running):
            self._readings.append(now)
            self._submit(lambda: self._read(now), is_read=True)

    def _note(self, event: Event) -> None:
        match event:
            case BookRead():
                newest = self.last_read_at
                self.last_read_at = event.began if newest is None else max(newest, event.began)
                self.blocked = None
            case Answered() | Refused():
                self.blocked = None

    def _carry_out(self, effects: Iterable[Effect], told: list[Told]) -> None:
        """In order; after a failed journal nothing goes out that can wait."""
        is_recorded = True
        for effect in effects:
            match effect:
                case Journal():
                    is_recorded = self._record(effect.record) and is_recorded
                case Place() | Modify() | Cancel():
                    if is_recorded or effect.urgent:
                        self._send(effect)
                    else:
                        late = NotSent(self.now(), _ref(effect), "the journal could not be written")
                        told += self.on(late)
                case ReadBook():
                    self.read_books()
                case Wake():
                    heapq.heappush(self._wakes, (effect.at, effect.key))
                case _:
                    told.append(effect)

    def _record(self, record: Record) -> bool:
        """What the disk refused is written before anything newer, as soon as it can be (law 6)."""
        self._owed.append(record)
        return self._repay()

    def _repay(self) -> bool:
        """Tried at every event: after the last record of a day nothing newer would bring it along."""
        try:
            while self._owed:
                self._journal(self._owed[0])
                del self._owed[0]
        except JournalError:  # whoever keeps the journal says so; it stops entries, never an exit
            return False
        return True

    def _send(self, asked: Wire) -> None:
        self._submit(lambda: self._sent(asked), is_read=False)

    # --- elsewhere: in a thread of the pool ---

    def _sent(self, asked: Wire) -> Event:
        """One request, once, and what became of it."""
        sent_at = self.now()
        answer = self._answered(asked)
        self.answers.append(Sent(asked, sent_at, answer))
        return answer

    def _answered(self, asked: Wire) -> Event:
        ref = _ref(asked)
        try:
            match asked:
                case Place():
                    order_id = self._broker.place(asked)
                case Modify():
                    order_id = self._broker.modify(asked)
                case Cancel():
                    order_id = self._broker.cancel(asked)
        except BrokerError as error:
            return self._answer_of(error, ref)
        return Answered(self.now(), ref, order_id)

    def _answer_of(self, error: BrokerError, ref: str) -> Event:
        now = self.now()
        match error:
            case RejectedError():
                return Refused(now, ref, error.refusal, str(error))
            case BlockedError():
                self.blocked = Blocked(now, error)
                return NotSent(now, ref, str(error))
            case NotSentError():
                return NotSent(now, ref, str(error))
        return NoAnswer(now, ref)

    def _read(self, asked_at: datetime) -> Event | None:
        """The three books; without all of them there is no reading."""
        began = self.now()
        try:
            found = self._broker.books()
        except BlockedError as error:
            self.blocked = Blocked(self.now(), error)
        except BrokerError:
            pass  # no verdict: the machine's timer asks again
        else:
            return BookRead(self.now(), began, found.orders, found.trades, mis_net(found.positions))
        finally:
            self._readings.remove(asked_at)
        return None


def _ref(asked: Wire) -> str:
    return asked.client_id if isinstance(asked, Place) else asked.ref
