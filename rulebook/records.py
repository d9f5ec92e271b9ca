"""What are the nouns? Sides, prices, instruments, bars, ticks, decisions, fills; and how orders are named.

Everything is frozen. Prices are integer paise, quantities whole shares, times aware; rupees and
floats do not come in here. Knows no rule: stops.py, gates.py and rules.py say what is done with these.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from string import hexdigits
from typing import NewType

from rulebook.hours import SymbolClass

Paise = NewType("Paise", int)

TAG_PREFIX = "rl"
_TAG_LETTERS = 18  # with the prefix 20, the broker's limit; 90 bits of the digest


class Side(IntEnum):
    """Its value is its sign, so that a rule is written once for both."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> "Side":
        return Side(-self)


class Action(StrEnum):
    """What a strategy or the model may say about a ticker."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"

    @property
    def sign(self) -> int:
        return SIGNS[self]


class ExitReason(IntEnum):
    """Why a position was closed; the numbers are stored."""

    STOP = 1  # the resting stop was hit
    TRAIL = 2  # the price crossed the trail before the resting stop had followed
    TARGET = 3
    SIGNAL = 4  # the opposite action at a bar's close
    CLOCK = 5  # safe_trading_end
    LOSS_LOCK = 6
    HALT = 7  # kill switch or signal
    SQUARE_OFF = 8  # the broker's, with its fee
    EXTERNAL = 9  # by the user's own hand
    UNPROTECTED = 10  # the stop could not be placed


SIGNS = {Action.BUY: 1, Action.SELL: -1, Action.HOLD: 0}


class Phase(StrEnum):
    """Where a ticker is in the life of a trade. position.py and order_asks.py say what may follow what."""

    FLAT = "flat"
    PROTECTED = "protected"
    ENTERING = "entering"
    EXITING = "exiting"
    UNKNOWN = "unknown"
    STUCK = "stuck"


class OrderType(StrEnum):
    """As the broker spells them."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL-M"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A stock as it is traded today; tick, lot and band come from the day's own list."""

    ticker: str
    tick: Paise
    lot: int = 1
    symbol_class: SymbolClass = SymbolClass.OTHER
    lower_circuit: Paise | None = None
    upper_circuit: Paise | None = None
    freeze_qty: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """A trade price as it was seen; bid and ask where there is depth."""

    ticker: str
    at: datetime
    price: Paise
    bid: Paise | None = None
    ask: Paise | None = None
    volume_today: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A closed candle, stamped with its opening time. `filled` marks one that was not traded but imputed."""

    ticker: str
    opened_at: datetime
    open: Paise
    high: Paise
    low: Paise
    close: Paise
    volume: int
    filled: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.low <= min(self.open, self.close) <= max(self.open, self.close) <= self.high:
            raise ValueError(
                f"{self.ticker} {self.opened_at}: no candle: open {self.open}, high {self.high}, "
                f"low {self.low}, close {self.close} paise"
            )
        if self.volume < 0:
            raise ValueError(f"{self.ticker} {self.opened_at}: volume {self.volume}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a strategy said about a ticker at a bar's close; confidence lies in [0, 1]."""

    action: Action
    confidence: float

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:  # also refuses NaN
            raise ValueError(f"confidence {self.confidence} is not within [0, 1]")


@dataclass(frozen=True, slots=True)
class Fill:
    """Shares that changed hands for an order of ours."""

    order_id: str
    fill_id: str
    ticker: str
    side: Side
    qty: int
    price: Paise
    at: datetime


@dataclass(frozen=True, slots=True)
class Enter:
    """The book wants a position; entry and stop are one unit, the stop's distance is fixed here."""

    at: datetime
    ticker: str
    side: Side
    qty: int
    decision_price: Paise
    distance: Paise


@dataclass(frozen=True, slots=True)
class MoveStop:
    """The book wants the resting stop here; it is always tighter than before."""

    at: datetime
    ticker: str
    stop: Paise


@dataclass(frozen=True, slots=True)
class Exit:
    """The book wants to be flat in this ticker; `intended` is the price at which it was decided."""

    at: datetime
    ticker: str
    reason: ExitReason
    intended: Paise


Intent = Enter | MoveStop | Exit


def client_id(ticker: str, side: Side, at: datetime, eight_hex: str) -> str:
    """The name of one intent, kept through all its tries. The caller brings the randomness."""
    if at.utcoffset() is None:
        raise ValueError("naive time in a client_id: times here are aware")
    assert len(eight_hex) == 8 and set(eight_hex) <= set(hexdigits)
    return f"{ticker}-{side.name}-{at:%Y%m%dT%H%M%S}-{eight_hex.lower()}"


def tag_of(client_id: str) -> str:
    """The broker's tag for that intent: the only handle it keeps for us, 20 letters at most."""
    digest = hashlib.sha256(client_id.encode()).digest()
    return TAG_PREFIX + base64.b32encode(digest).decode()[:_TAG_LETTERS]


def is_our_tag(tag: str | None) -> bool:
    """Whether an order of this tag may be one of ours; the journal knows for sure."""
    return tag is not None and len(tag) == len(TAG_PREFIX) + _TAG_LETTERS and tag.startswith(TAG_PREFIX)
