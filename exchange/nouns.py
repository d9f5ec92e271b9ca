"""What does the local exchange talk about? Listings, tapes, requests, orders, trades, quotes, refusals.

Prices are integer paise, quantities whole shares, moments aware and in IST. What a broker's answer looks
like is no matter of this file: answers.py spells these values the broker's way. Knows no file, no socket
and no clock; nothing of the product is imported but rulebook.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, Protocol

from rulebook.fills import Level
from rulebook.hours import SymbolClass
from rulebook.records import OrderType, Paise, Side

SEGMENT_NSE, SEGMENT_INDICES = 1, 9


@dataclass(frozen=True, slots=True)
class Listing:
    """A row of the day's instruments list: a stock, or an index that is shown and cannot be traded."""

    ticker: str
    name: str
    exchange_token: int
    tick: Paise
    lot: int = 1
    symbol_class: SymbolClass = SymbolClass.FNO
    industry: str = ""
    isin: str = ""
    series: str = "EQ"
    is_index: bool = False
    freeze_qty: int = 100_000
    mis_leverage: int = 5

    @property
    def token(self) -> int:
        return self.exchange_token * 256 + (SEGMENT_INDICES if self.is_index else SEGMENT_NSE)


class Candle(NamedTuple):
    """A bar by its opening second (Unix time), in paise."""

    opened_s: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class Depth(NamedTuple):
    """The market's own five levels a side, best first; a locked side is empty."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Tape(Protocol):
    """One ticker's session as the market trades it, a row for each second in which something changed.

    Columns of equal length, each indexed by the row: `seconds` count from midnight IST and rise, `lasts`
    are last traded prices, `highs` and `lows` the day's extremes so far, `volumes` and `turnovers` (paise x
    shares) the day's running totals. Continuous trading only: the auctions are the venue's.
    """

    @property
    def seconds(self) -> Sequence[int]: ...
    @property
    def lasts(self) -> Sequence[int]: ...
    @property
    def highs(self) -> Sequence[int]: ...
    @property
    def lows(self) -> Sequence[int]: ...
    @property
    def volumes(self) -> Sequence[int]: ...
    @property
    def turnovers(self) -> Sequence[int]: ...

    def depth(self, row: int) -> Depth:
        """What the market offers after that row; the same answer for the same row, always."""
        ...


class Market(Protocol):
    """Prices that do not know us. The same market from the same seed (or folder), to the byte."""

    @property
    def listings(self) -> Sequence[Listing]: ...

    def tape(self, ticker: str, day: date) -> Tape:
        """The session's rows; empty on a day without one or before the ticker was listed."""
        ...

    def minutes(self, ticker: str, day: date) -> Sequence[Candle]:
        """The whole session's one-minute candles, those of the tape exactly."""
        ...

    def previous_close(self, ticker: str, day: date) -> Paise:
        """The official close before that day; the base of its circuit limits."""
        ...

    def circuit(self, ticker: str, day: date) -> tuple[Paise, Paise]:
        """The lowest and the highest price of the day."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What the account holds in the first morning, how far the exchange is, and what the broker allows.

    An order passes three steps on its way, each of a latency drawn between the two. A resting order gets
    at most a share of what trades at its own price; what trades through its price is all its own.
    """

    cash: int = 1_000_000_00  # ten lakh rupees
    holdings: tuple["Holding", ...] = ()
    latency_ms_least: int = 1
    latency_ms_most: int = 4
    orders_per_second: int = 10
    orders_per_minute: int = 400
    orders_per_day: int = 5_000
    modifications: int = 25
    participation_milli: int = 250

    def __post_init__(self) -> None:
        assert 1 <= self.latency_ms_least <= self.latency_ms_most, "an order cannot arrive before it was sent"
        assert 0 < self.participation_milli <= 1_000


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What POST /orders/{variety} asks, after its fields have been read."""

    ticker: str
    side: Side
    qty: int
    product: str
    order_type: OrderType
    variety: str = "regular"
    validity: str = "DAY"
    price: Paise | None = None
    trigger: Paise | None = None
    disclosed_qty: int = 0
    protection_milli: int = 0  # thousandths of a percent; -1 asks for the automatic one, 0 is none
    tag: str | None = None
    placed_by_hand: bool = False  # by the user in the broker's own app: no rule of the API applies
    placed_by_broker: bool = False  # by risk management, which squares off


@dataclass(frozen=True, slots=True)
class Changes:
    """What PUT /orders/{variety}/{order_id} asks; None leaves it as it is."""

    qty: int | None = None
    price: Paise | None = None
    order_type: OrderType | None = None
    trigger: Paise | None = None
    validity: str | None = None
    disclosed_qty: int | None = None
    protection_milli: int | None = None


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as the broker's book shows it at a moment; a history is a list of these."""

    order_id: str
    exchange_order_id: str | None
    request: OrderRequest
    order_type: OrderType  # after a conversion: LIMIT
    qty: int
    price: Paise
    trigger: Paise
    status: str
    filled: int
    cancelled: int
    value: int  # of what was filled, in paise: price x quantity, summed
    placed_at: datetime
    exchange_at: datetime | None
    updated_at: datetime | None
    modifications: int
    protection_milli: int
    tags: tuple[str, ...]
    message: str | None = None
    message_raw: str | None = None

    @property
    def pending(self) -> int:
        return self.qty - self.filled - self.cancelled


@dataclass(frozen=True, slots=True)
class Trade:
    trade_id: str
    order_id: str
    exchange_order_id: str
    ticker: str
    side: Side
    product: str
    qty: int
    price: Paise
    at: datetime
    order_at: datetime


@dataclass(frozen=True, slots=True)
class Flow:
    """What was bought and sold in one ticker and product today, and what came over from yesterday."""

    ticker: str
    product: str
    bought: int
    bought_value: int
    sold: int
    sold_value: int
    overnight: int = 0

    @property
    def net(self) -> int:
        return self.overnight + self.bought - self.sold


@dataclass(frozen=True, slots=True)
class Holding:
    ticker: str
    qty: int
    average: Paise


@dataclass(frozen=True, slots=True)
class Funds:
    """The account's money in paise. The day's charges leave it overnight, as they do at the broker."""

    opening: int
    blocked: int  # margin of open positions and of working orders
    realised: int  # before charges
    unrealised: int  # of MIS positions
    charges: int = 0  # of today's executed orders and square-offs

    @property
    def available(self) -> int:
        return self.opening + self.realised + min(0, self.unrealised) - self.blocked


class Quote(NamedTuple):
    """A ticker's day so far. A tuple: a streaming session makes millions."""

    ticker: str
    at: datetime  # the exchange's stamp of the last change
    last: Paise
    last_qty: int
    last_trade_at: datetime
    average: Paise
    volume: int
    buy_qty: int
    sell_qty: int
    open: Paise
    high: Paise
    low: Paise
    close: Paise  # the previous day's official close
    lower_circuit: Paise
    upper_circuit: Paise
    depth: Depth


class RefusalError(Exception):
    """An answer in the broker's error envelope: the status of HTTP, the type and the sentence."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


class Listener(Protocol):
    """Who is told what happens, in the order in which it happens."""

    def ticked(self, ticker: str) -> None:
        """The ticker's quote has changed."""

    def order_updated(self, order: OrderView, status: str) -> None:
        """An order frame of the stream: COMPLETE, CANCELLED, REJECTED or UPDATE."""
