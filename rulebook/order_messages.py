"""What does the machine of orders hear, and what does it ask for? Events in, effects out, frozen.

Each event carries its time. An answer names its request by `ref`: the client id of a Place, the `ref` of
a Modify or Cancel. broker.py makes the answers and carries the effects out, in the order given; it knows
what each error of the broker means, this file only names the kinds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rulebook.order_records import Purpose, Record, Refusal, Severity, Terms
from rulebook.records import Enter, Exit, Fill, MoveStop, OrderType, Paise, Side


@dataclass(frozen=True, slots=True)
class Started:
    """The process is up and the journal folded; nothing is sent before the first read of the book."""

    at: datetime


@dataclass(frozen=True, slots=True)
class EnterAsked:
    """The gates have passed. `parent` names the order that this one carries on, after an AskAgain."""

    at: datetime
    intent: Enter
    client_id: str
    order_type: OrderType
    price: Paise | None
    tick: Paise
    stop_buffer: Paise  # between an SL's trigger and its limit; 0 asks for SL-M
    lower: Paise | None = None  # the day's circuit limits
    upper: Paise | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class MoveAsked:
    at: datetime
    intent: MoveStop


@dataclass(frozen=True, slots=True)
class ExitAsked:
    at: datetime
    intent: Exit


@dataclass(frozen=True, slots=True)
class StuckAsked:
    """Two minutes before the square-off and not flat: one limit order here, then it is the broker's turn."""

    at: datetime
    ticker: str
    price: Paise


@dataclass(frozen=True, slots=True)
class Halted:
    """The kill switch or a signal; it holds until the journal of another day begins."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    at: datetime
    ref: str
    order_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    at: datetime
    ref: str
    refusal: Refusal
    text: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Time-out, 5xx, 429 in flight, a 400 that says timed out, an empty body: anything may have happened."""

    at: datetime
    ref: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """Provably nothing left this machine, or the broker refused to listen (no token)."""

    at: datetime
    ref: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order of the account, NSE and MIS, ours or not, as the broker's book shows it."""

    order_id: str
    ticker: str
    side: Side
    qty: int
    filled: int
    value: int  # average price x filled
    status: str
    order_type: str = ""  # an echo that is not to be trusted (Kc#52902)
    price: Paise | None = None
    trigger: Paise | None = None
    tag: str | None = None
    tags: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """An order frame of the stream: facts that only grow are taken, the rest is a reason to read the book."""

    at: datetime
    row: OrderRow


@dataclass(frozen=True, slots=True)
class BookRead:
    """One reading of the broker's books; `began` is when the first request of it left."""

    at: datetime
    began: datetime
    orders: tuple[OrderRow, ...]
    trades: tuple[Fill, ...] = ()
    positions: Mapping[str, int] | None = None  # MIS net by ticker; None: could not be read


@dataclass(frozen=True, slots=True)
class Woke:
    at: datetime
    key: str


@dataclass(frozen=True, slots=True)
class Price:
    at: datetime
    ticker: str
    last: Paise
    bid: Paise | None = None
    ask: Paise | None = None


Event = (
    Started | EnterAsked | MoveAsked | ExitAsked | StuckAsked | Halted
    | Answered | Refused | NoAnswer | NotSent | OrderSeen | BookRead | Woke | Price
)  # fmt: skip


# Effects, in the order in which they are to be carried out.


@dataclass(frozen=True, slots=True)
class Journal:
    """To disk before what follows it. If that fails, what is urgent goes out nevertheless."""

    record: Record


@dataclass(frozen=True, slots=True)
class Place:
    client_id: str  # also the `ref` of its answer
    tag: str
    ticker: str
    side: Side
    terms: Terms
    purpose: Purpose
    urgent: bool


@dataclass(frozen=True, slots=True)
class Modify:
    ref: str
    client_id: str
    order_id: str
    ticker: str
    terms: Terms
    urgent: bool = True


@dataclass(frozen=True, slots=True)
class Cancel:
    ref: str
    client_id: str
    order_id: str
    ticker: str
    urgent: bool = True


@dataclass(frozen=True, slots=True)
class ReadBook:
    """Orders, trades and positions, in this order."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Wake:
    at: datetime
    key: str


@dataclass(frozen=True, slots=True)
class Filled:
    """A fill that was not known before; once per fill id."""

    fill: Fill
    client_id: str
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The parent is over with this much unfilled: a child may be asked for, through all gates."""

    at: datetime
    ticker: str
    parent: str
    qty: int
    order_type: OrderType


@dataclass(frozen=True, slots=True)
class Alarm:
    at: datetime
    ticker: str
    text: str
    severity: Severity


Effect = Journal | Place | Modify | Cancel | ReadBook | Wake | Filled | AskAgain | Alarm
