"""What can the rule book be told? Facts only, each frozen and with its time.

A Tick (records.py) is one as well. What the book answers stands in records.py: Enter, MoveStop, Exit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rulebook.gates import Verdict
from rulebook.hours import NoWindow, SymbolClass, Window
from rulebook.records import Bar, Decision, ExitReason, Intent, Paise, Tick
from rulebook.situation import Moment, ProposedOrder, TickerFacts


@dataclass(frozen=True, slots=True)
class DayBegan:
    """A session, as each class of stock may trade it, and its charges."""

    windows: Mapping[SymbolClass, Window | NoWindow]
    rates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What only the caller can know: the connection, the broker, quotes. The book adds what it knows."""

    moment: Moment
    tickers: Mapping[str, TickerFacts]
    orders: Mapping[str, ProposedOrder]


@dataclass(frozen=True, slots=True)
class BarsClosed:
    """The base timeframe's bars of one boundary, and what the strategy said about each ticker."""

    at: datetime
    bars: Mapping[str, Bar]
    decisions: Mapping[str, Decision]


@dataclass(frozen=True, slots=True)
class Entered:
    """All shares that the entry has got so far, and what they cost together."""

    at: datetime
    ticker: str
    qty: int
    value: int


@dataclass(frozen=True, slots=True)
class EntryEnded:
    """No more shares will come."""

    ticker: str


@dataclass(frozen=True, slots=True)
class StopRests:
    """The broker holds the stop at this price."""

    at: datetime
    ticker: str
    stop: Paise


@dataclass(frozen=True, slots=True)
class Left:
    """Shares that were sold (covered), by the stop or by an exit; what remains is still ours."""

    at: datetime
    ticker: str
    qty: int
    value: int
    price: Paise  # of the market, before our cost
    reason: ExitReason
    intended: Paise  # at which leaving was decided
    fee: int = 0


@dataclass(frozen=True, slots=True)
class Considered:
    """An answer of the book: it looked at this entry, and every gate's verdict."""

    at: datetime
    ticker: str
    decision: Decision
    verdicts: tuple[Verdict, ...]
    entered: bool


Event = DayBegan | Conditions | Tick | BarsClosed | Entered | EntryEnded | StopRests | Left
Answer = Intent | Considered
