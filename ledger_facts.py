"""What is written down of a session? The facts, their kinds, and how each becomes a text and comes back.

A fact is a frozen value and a kind is its name in the journal. encode() gives kind and text, decode() the
very same fact: enums, paise, aware moments and tuples come back as what they were. What could not be read
back is refused before it is written, for it would be a mistake of ours: a naive moment, a number that is
not finite.
Facts are told by whoever knows them. Nothing here knows a file, a clock or who reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rulebook.gates import Verdict
from rulebook.order_records import Record, Severity
from rulebook.records import Action, Paise, Side
from rulebook.trades import ClosedTrade

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import SchemaValidator

SaidValue = str | int | float | bool | None
State = Literal["RUNNING", "EXITS-ONLY", "HALTED"]


@dataclass(frozen=True, slots=True)
class SessionBegan:
    mode: str
    host: str
    user: str
    version: str
    settings_hash: str
    model_hash: str
    pid: int
    is_recovery: bool
    tickers: tuple[str, ...] = ()
    history_hash: str = ""  # of the candles before that day (session_start.history_hash)


@dataclass(frozen=True, slots=True)
class SessionEnded:
    reason: str
    code: int
    is_flat: bool


@dataclass(frozen=True, slots=True)
class GateSaid:
    """One gate's verdict, with the sentence put together."""

    name: str
    value: SaidValue
    threshold: SaidValue
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that asked for a trade, and all that it was made of (law 11)."""

    ticker: str
    action: Action
    confidence: float
    q: tuple[float, ...]
    close: Paise
    bar_opened_at: datetime
    verdicts: tuple[GateSaid, ...]
    entered: bool
    model_hash: str
    stamps: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Quiet:
    """The decisions of one bar: action and confidence by ticker, and what stood against who would trade.

    That is asked once the bar's entry is made: a place that it took is not free for the others.
    """

    bar_opened_at: datetime
    said: Mapping[str, tuple[str, float]]
    blocked: Mapping[str, tuple[GateSaid, ...]]
    boundary: datetime | None = None
    q: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # to a millionth of R


BarRows = Mapping[str, Mapping[datetime, Mapping[str, tuple[int, ...]]]]  # by timeframe, opening and ticker


@dataclass(frozen=True, slots=True)
class BarsSeen:
    """All that a boundary's decisions were made of, beside history, model and what stands in earlier ones of
    the same process. A bar is open, high, low, close in paise and volume; one number alone is the price of
    one that was filled, not traded.
    """

    boundary: datetime
    ended: BarRows
    corrected: BarRows  # since the one before: the broker's candles in the place of our bars
    incomplete: tuple[str, ...]  # of whom ticks were missed: nothing is said of them
    decides: bool  # no: the boundary was slept through


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the broker and its answer; between the two moments lies the latency."""

    ref: str
    verb: str
    ticker: str
    order_id: str | None
    sent_at: datetime
    answered_at: datetime
    outcome: str
    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A position that exists: its entry and the stop that rests for it."""

    position_id: str
    ticker: str
    side: Side
    qty: int
    value: int  # price x quantity in paise
    entry_order_id: str
    stop_order_id: str
    avg_fill_price: float  # rupees: an average need not be whole paise
    decided_at: datetime
    decision_price: Paise
    distance: Paise


@dataclass(frozen=True, slots=True)
class Closed:
    position_id: str
    entry_order_id: str
    stop_order_id: str
    avg_fill_price: float  # rupees
    trade: ClosedTrade


@dataclass(frozen=True, slots=True)
class Mark:
    """How a position stands; a `qty` below zero is a short one."""

    ticker: str
    qty: int
    avg_price: float  # rupees
    last: Paise
    unrealized: int  # paise
    best: Paise
    worst: Paise
    trail: Paise | None
    stop: Paise | None


@dataclass(frozen=True, slots=True)
class Marked:
    """All positions at one moment; a ticker that is not among them is flat."""

    positions: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class HaltSaid:
    text: str


@dataclass(frozen=True, slots=True)
class Unlocked:
    text: str


@dataclass(frozen=True, slots=True)
class LossLocked:
    """No entry any more on that day."""

    day: date
    milli_r: int
    net: int  # paise


@dataclass(frozen=True, slots=True)
class StateIs:
    state: State
    why: str


@dataclass(frozen=True, slots=True)
class AlarmSaid:
    ticker: str
    text: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Noticed:
    """What the user did by hand."""

    ticker: str
    text: str


Fact = (
    Record | SessionBegan | SessionEnded | Decided | Quiet | BarsSeen | Asked | Opened | Closed | Marked
    | HaltSaid | Unlocked | LossLocked | StateIs | AlarmSaid | Noticed
)  # fmt: skip

# A name that was ever written stays, with its meaning: old journals are read by it.
KINDS: Mapping[str, type[Fact]] = {
    "order": Record,
    "began": SessionBegan,
    "ended": SessionEnded,
    "decision": Decided,
    "quiet": Quiet,
    "bars": BarsSeen,
    "request": Asked,
    "entered": Opened,
    "trade": Closed,
    "mark": Marked,
    "halt": HaltSaid,
    "unlock": Unlocked,
    "lock": LossLocked,
    "state": StateIs,
    "alarm": AlarmSaid,
    "by_hand": Noticed,
}
# Its record has no float, its moments are the desk's own, and an order waits for it: reading it back as a
# trial would take as long as writing it down.
_TRUSTED = frozenset({"order"})
_KIND_OF = {made: kind for kind, made in KINDS.items()}


def gate_said(verdict: Verdict) -> GateSaid:
    """A moment becomes its text, and so does a number that no JSON can hold."""
    value, threshold = _plain(verdict.value), _plain(verdict.threshold)
    return GateSaid(verdict.name, value, threshold, verdict.passed, verdict.sentence)


def encode(fact: Fact) -> tuple[str, str]:
    """Its kind and its text; ValueError for what could not be read back."""
    kind = _KIND_OF[type(fact)]
    codec = _codec(kind)
    text = _text(codec.adapter, fact)
    if kind not in _TRUSTED:
        codec.validator.validate_json(text, strict=True)
    return kind, text.decode()


def decode(kind: str, text: str) -> Fact:
    """The fact as it was; ValueError for a text of another kind, LookupError for a kind that nobody knows."""
    fact: Fact = _codec(kind).validator.validate_json(text, strict=True)
    return fact


def _plain(value: SaidValue | datetime) -> SaidValue:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value


def _text(adapter: "TypeAdapter[Fact]", fact: Fact) -> bytes:
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return adapter.dump_json(fact, warnings="error")
    except PydanticSerializationError as error:
        # A broker's message may hold half a character, which JSON can spell and UTF-8 cannot. An order must
        # not go unrecorded for it. Whatever else is wrong is wrong here too.
        if "surrogates" not in str(error):
            raise
        return to_json(_mended(adapter.dump_python(fact, mode="json", warnings="error")))


def _mended(part: Any) -> Any:
    match part:
        case str():
            return part.encode("utf-8", "replace").decode()
        case list():
            return [_mended(one) for one in part]
        case dict():
            return {_mended(name): _mended(one) for name, one in part.items()}
    return part


class _Codec(NamedTuple):
    adapter: "TypeAdapter[Fact]"
    validator: "SchemaValidator"


@cache
def _codec(kind: str) -> _Codec:
    """Made once, and not before it is needed: pydantic is slow to import."""
    from pydantic import TypeAdapter
    from pydantic_core import SchemaValidator

    adapter: TypeAdapter[Fact] = TypeAdapter(KINDS[kind])
    return _Codec(adapter, SchemaValidator(_only_aware(adapter.core_schema)))


def _only_aware(schema: Any) -> Any:
    """The same schema with every moment aware. The records of the rule book carry no marks for pydantic."""
    match schema:
        case {"type": "datetime"}:
            return {**schema, "tz_constraint": "aware"}
        case dict():
            return {name: _only_aware(part) for name, part in schema.items()}
        case list():
            return [_only_aware(part) for part in schema]
        case tuple():
            return tuple(_only_aware(part) for part in schema)
    return schema
