"""What can the rule book be told? Facts only, each frozen and with its time.

A Tick (records.py) is one as well. What the book answers stands in records.py: Enter, MoveStop, Exit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rulebook.gates import Verdict
from rulebook.hours import NoWindow, SymbolClass, Window
from rulebook.records import Bar, Decision, ExitReason, Intent, Paise, Side, Tick
from rulebook.situation import Moment, ProposedOrder, TickerFacts
from rulebook.trades import ClosedTrade


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
class Marked:
    """Prices between bars, for what is open: a day may be lost before the bar is over."""

    at: datetime
    prices: Mapping[str, Paise]


@dataclass(frozen=True, slots=True)
class TradeTold:
    """A trade that was closed earlier in this day, by whoever kept the book then."""

    trade: ClosedTrade


@dataclass(frozen=True, slots=True)
class Resumed:
    """An entry that was asked for by whoever kept the book before; what has filled is told next."""

    at: datetime
    ticker: str
    side: Side
    qty: int
    distance: Paise
    decided_at: datetime
    decision_price: Paise


@dataclass(frozen=True, slots=True)
class Recalled:
    """How far the price of an open position had gone, and the trail with it, before the book was told."""

    ticker: str
    best: Paise
    worst: Paise


@dataclass(frozen=True, slots=True)
class Strayed:
    """Shares of a trade that is over were bought and sold once more, against our will; values in paise."""

    ticker: str
    bought: int
    sold: int


@dataclass(frozen=True, slots=True)
class LossTold:
    """The day was found lost before; it stays lost."""


@dataclass(frozen=True, slots=True)
class Considered:
    """An answer of the book: it looked at this entry, and every gate's verdict."""

    at: datetime
    ticker: str
    decision: Decision
    verdicts: tuple[Verdict, ...]
    entered: bool


Event = (
    DayBegan | Conditions | Tick | BarsClosed | Marked | Entered | EntryEnded | StopRests | Left
    | TradeTold | Resumed | Recalled | LossTold | Strayed
)  # fmt: skip
Answer = Intent | Considered
