"""What is kept about an order? Its numbers, its states and their table, the records that the journal holds.

Everything is frozen and knows no rule but the one table of an order's states; orders.py opens with the
theory, order_messages.py has what comes in and goes out. Prices are paise, a `value` is price x quantity.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, IntEnum, StrEnum

from rulebook.records import ExitReason, Fill, OrderType, Paise, Side

# The numbers of the contract (trading.md, Orders; faults.md 0, 5).
SETTLE_HORIZON = timedelta(seconds=120)  # an order was seen to appear after 90 s (Kc#41029)
POLL = timedelta(seconds=1)
ENTRY_QUIET = timedelta(seconds=15)
ENTRY_LIFE = timedelta(seconds=90)
EXIT_REPRICE = timedelta(seconds=2)
BOOK_QUORUM = 2
MODIFICATIONS_LIMIT = 25  # the broker counts them per order (K#9212)
MODIFICATIONS_KEPT = 3
# "At most 22 used, three kept for the exit" can be read as 22 + 3 or as 19 + 3. The smaller reading
# satisfies both, and leaves room for a request that a proxy executed twice.
MODIFICATIONS_MOST = MODIFICATIONS_LIMIT - MODIFICATIONS_KEPT
MODIFICATIONS_OF_STOP = MODIFICATIONS_MOST - MODIFICATIONS_KEPT
REFUSALS_MOST = 3
STALE_MOST = timedelta(seconds=10)  # faults.md R11: how far a read may lag
READ_SPACING = timedelta(milliseconds=200)
RETRY = timedelta(seconds=1)  # after a request that provably never left
FOLLOW_SPACING = timedelta(seconds=1)  # fills of one second cost one modification
UNKNOWN_CLOSERS_MOST = 3  # of unknown fate at a time: each may yet appear, and fire
HAND_CANCELS_MOST = 3  # stops put back after a hand took them away; then flat
QUOTE_FRESH = timedelta(seconds=3)  # invariant 20
EXIT_REACH_BPS = 20  # how far through the other side of the book an exit is priced


class Status(IntEnum):
    """Rising: news of a lower one is old news. The last four are ends."""

    RECORDED = 0  # the intent is durable and on its way; no answer yet
    UNKNOWN = 1  # no answer came: it may be at the broker
    ACCEPTED = 2  # it has an order id (answered, or adopted by its tag), its state is in between
    TRIGGER_PENDING = 3
    WORKING = 4
    PARTLY = 5
    COMPLETE = 6
    CANCELLED = 7  # may carry fills
    REJECTED = 8
    ABSENT = 9  # never left, or not in the book within the settle horizon


_ENDS = frozenset({Status.COMPLETE, Status.CANCELLED, Status.REJECTED})
_SEEN = frozenset({Status.ACCEPTED, Status.TRIGGER_PENDING, Status.WORKING, Status.PARTLY}) | _ENDS

# The table of an order. ABSENT is our verdict, not the broker's, so what appears after it is adopted.
ORDER_MOVES: Mapping[Status, frozenset[Status]] = {
    Status.RECORDED: _SEEN | {Status.UNKNOWN, Status.ABSENT},
    Status.UNKNOWN: _SEEN | {Status.ABSENT},
    Status.ACCEPTED: (_SEEN - {Status.ACCEPTED}) | {Status.ABSENT},
    Status.TRIGGER_PENDING: _ENDS | {Status.WORKING, Status.PARTLY},
    Status.WORKING: _ENDS | {Status.PARTLY},
    Status.PARTLY: _ENDS,
    Status.COMPLETE: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.REJECTED: frozenset(),
    Status.ABSENT: _SEEN,
}

# kite.md 3.8. Every other word, known or not, is in between and never an end.
SPELLED: Mapping[str, Status] = {
    "OPEN": Status.WORKING,
    "TRIGGER PENDING": Status.TRIGGER_PENDING,
    "COMPLETE": Status.COMPLETE,
    "CANCELLED": Status.CANCELLED,
    "REJECTED": Status.REJECTED,
}


class Purpose(StrEnum):
    ENTRY = "ENTRY"
    STOP = "STOP"
    EXIT = "EXIT"


class Want(StrEnum):
    """What a unit is after; it only moves down this list until the next entry."""

    HOLD = "hold"
    EXIT = "exit"
    STUCK = "stuck"


class Refusal(StrEnum):
    MARGIN = "margin"
    TICK = "tick"
    CIRCUIT = "circuit"
    FREEZE = "freeze"
    PROTECTION = "protection"
    SESSION = "session"
    SURVEILLANCE = "surveillance"
    LIMITS = "limits"
    PROCESSING = "processing"
    MODIFICATIONS_EXCEEDED = "modifications_exceeded"
    OTHER = "other"


class Severity(IntEnum):
    NOTICE = 1
    WARNING = 2
    CRITICAL = 3
    HALT = 4  # the caller must halt: broker and journal differ


class Ask(Enum):
    """What a request in flight asks of an order that exists."""

    MODIFY = 1
    CANCEL = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order says; `qty` is its whole quantity, filled shares included, as the broker counts."""

    qty: int
    order_type: OrderType
    price: Paise | None = None
    trigger: Paise | None = None

    @property
    def is_stop(self) -> bool:
        return self.order_type in (OrderType.SL, OrderType.SL_M)


# What is kept: the journal holds these, and the whole durable state is the last of each.


@dataclass(frozen=True, slots=True)
class Request:
    """A modify or cancel on its way; `unsure_since` is set when only the book can tell what became of it."""

    ref: str
    ask: Ask
    at: datetime
    terms: Terms | None = None
    unsure_since: datetime | None = None
    refused: bool = False  # as being processed: it was not done, what else is going on only the book can tell


@dataclass(frozen=True, slots=True)
class Order:
    client_id: str
    tag: str
    ticker: str
    side: Side
    purpose: Purpose
    trade: int  # the unit's trade that its fills belong to
    terms: Terms
    sent_at: datetime
    acted_at: datetime  # last placed, modified or cancelled by us
    news_at: datetime  # last accepted or filled
    status: Status = Status.RECORDED
    unsure_since: datetime | None = None
    order_id: str | None = None
    filled: int = 0
    value: int = 0
    fills: tuple[Fill, ...] = ()
    carried: int = 0  # shares that belong to an earlier trade
    excess: bool = False  # an entry that must not be: a twin, or one that came too late
    modifications: int = 0
    requests: int = 0
    request: Request | None = None
    not_before: datetime | None = None
    cancel_asked: bool = False
    replace: bool = False
    refusal: str = ""
    refusals: int = 0
    fixed: bool = False  # the broker refuses to modify it

    @property
    def is_alive(self) -> bool:
        """It may trade yet, for all we know."""
        return self.status < Status.COMPLETE

    @property
    def is_free(self) -> bool:
        """It is at the broker and nothing about it is in flight."""
        rests = Status.ACCEPTED <= self.status < Status.COMPLETE
        return rests and self.order_id is not None and self.request is None

    @property
    def is_unsure(self) -> bool:
        return self.status is Status.UNKNOWN

    @property
    def net(self) -> int:
        return self.side * (self.filled - self.carried)

    @property
    def left(self) -> int:
        return max(0, self.terms.qty - self.filled) if self.is_alive else 0

    @property
    def most_left(self) -> int:
        """What it may still trade, whatever becomes of the request in flight."""
        if self.request is None or self.request.terms is None or not self.is_alive or self.request.refused:
            return self.left
        return max(self.left, self.request.terms.qty - self.filled)

    @property
    def least_left(self) -> int:
        if self.request is None or not self.is_alive:
            return self.left
        wanted = self.request.terms.qty - self.filled if self.request.terms else 0
        return max(0, min(self.left, wanted))


@dataclass(frozen=True, slots=True)
class Unit:
    """Entry and stop of one ticker, and what has been asked of them."""

    ticker: str
    trade: int
    client_id: str
    side: Side
    distance: Paise
    tick: Paise
    stop_buffer: Paise
    lower: Paise | None
    upper: Paise | None
    decision_price: Paise
    born_at: datetime  # of the first entry: a child does not begin a new life
    want: Want = Want.HOLD
    reason: ExitReason | None = None
    stop: Paise | None = None  # where the stop should be; only ever tighter
    stuck_price: Paise | None = None
    minted: int = 0
    lost: int = 0  # shares of ours that others have closed
    no_market: bool = False
    unprotectable: bool = False  # a stop was refused
    hand_cancels: int = 0
    refusal: str = ""
    refusals: int = 0
    reread_after: datetime | None = None
    not_before: datetime | None = None
    asked_again: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One change of one ticker, whole: the unit and the orders as they are from now on."""

    at: datetime
    why: str
    unit: Unit | None = None
    orders: tuple[Order, ...] = ()
    halted: bool = False
