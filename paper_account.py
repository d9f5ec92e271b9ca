"""What is in a paper account? Its orders, fills, positions and money, to the paisa.

Money is never stored twice: what the day began with, the orders and their fills are kept, the rest follows
from them. Cash is the opening, plus what was sold, less what was bought, less the charges of each executed
order (rulebook.charges) and the broker's fee where it closed a position itself. A position blocks its cost
divided by the leverage; a working order blocks what it could add to its position, in order of arrival, and
what only reduces is free. One product, MIS; every day ends flat, so its cash opens the next one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from kite.books import PRODUCT, PositionRow
from paper_quotes import Quote
from rulebook.charges import Rates, Tariff, order_charges, square_off_fee
from rulebook.hours import Calendar, Session, SymbolClass, UnknownYearError
from rulebook.order_messages import OrderRow
from rulebook.records import Fill, Instrument, OrderType, Paise, Side

STOPS = (OrderType.SL, OrderType.SL_M)


class Word(StrEnum):
    """The broker's words for where an order is. Those in between do not show: an answer comes after them."""

    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER PENDING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class PaperTerms:
    """What the account begins with, and the dated facts that it trades under."""

    capital: Paise
    leverage_milli: int
    calendar: Calendar
    tariff: Tariff
    share_milli: int = 100  # of what trades through a resting order's price
    _sessions: dict[tuple[SymbolClass, date], Session | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        assert self.capital > 0 and self.leverage_milli >= 1_000, "settings.py admits no others"
        assert 0 < self.share_milli <= 1_000, "0 would be no limit to rulebook.fills"

    def session(self, symbol_class: SymbolClass, day: date) -> Session | None:
        """None on a closed day; a year that nobody knows is closed. Read once: each tick asks."""
        key = symbol_class, day
        if key not in self._sessions:
            self._sessions[key] = self._session(symbol_class, day)
        return self._sessions[key]

    def rates(self, day: date) -> Rates:
        return self.tariff.rates_on(day)

    def _session(self, symbol_class: SymbolClass, day: date) -> Session | None:
        try:
            is_open = self.calendar.is_trading_day(day)
        except UnknownYearError:
            return None
        return self.calendar.session_of(day, symbol_class) if is_open else None


@dataclass(frozen=True, slots=True)
class PaperOrder:
    """`price` and `order_type` are what the book shows, `limit` is what binds while it works."""

    order_id: str
    ticker: str
    side: Side
    qty: int
    order_type: OrderType
    price: Paise | None
    trigger: Paise | None
    word: Word
    placed_at: datetime
    arrival: int  # its place in time among our own
    tag: str | None = None  # None: the broker's own
    limit: Paise | None = None  # None: a stop that waits, or market protection that waits for a price
    has_met: bool = False  # the other side of the book, since it came; what shows there later came after it
    filled: int = 0
    value: int = 0
    modifications: int = 0
    text: str = ""

    @property
    def left(self) -> int:
        return self.qty - self.filled

    @property
    def is_live(self) -> bool:
        return self.word in (Word.OPEN, Word.TRIGGER_PENDING)

    @property
    def has_fired(self) -> bool:
        return self.order_type in STOPS and self.word is Word.OPEN

    @property
    def is_broker_s(self) -> bool:
        return self.tag is None

    @property
    def row(self) -> OrderRow:
        tags = () if self.tag is None else (self.tag,)
        return OrderRow(
            self.order_id, self.ticker, self.side, self.qty, self.filled, self.value, self.word.value,
            self.order_type.value, self.price, self.trigger, self.tag, tags, self.text,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Market:
    """A ticker's last good quote of the day, and what we have had of the levels that it still shows."""

    instrument: Instrument
    quote: Quote | None = None
    taken: tuple[tuple[Side, Paise, int], ...] = ()  # by the side that offers


class Held(NamedTuple):
    """A position by average cost; `cost` is below zero for a short."""

    net: int = 0
    cost: int = 0
    realised: int = 0

    def after(self, fill: Fill) -> "Held":
        """A part takes its share of the cost rounded down, the last part the rest: nothing is lost."""
        closing = min(fill.qty, max(0, -fill.side * self.net))
        part = self.cost * closing // abs(self.net) if closing else 0
        return Held(
            self.net + fill.side * fill.qty,
            self.cost - part + fill.side * (fill.qty - closing) * fill.price,
            self.realised - fill.side * closing * fill.price - part,
        )


@dataclass(slots=True)
class Account:
    """All that is kept. `revision` counts the changes of orders and fills."""

    day: date
    opening: int
    revision: int = 0
    serial: int = 0
    orders: dict[str, PaperOrder] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    markets: dict[str, Market] = field(default_factory=dict)

    def copy(self) -> "Account":
        """Its own containers; what is in them never changes."""
        return replace(self, orders=dict(self.orders), fills=list(self.fills), markets=dict(self.markets))

    def live(self, ticker: str | None = None) -> list[PaperOrder]:
        """In order of arrival."""
        found = [o for o in self.orders.values() if o.is_live and ticker in (None, o.ticker)]
        return sorted(found, key=lambda order: order.arrival)

    def held(self, ticker: str) -> Held:
        held = Held()
        for fill in self.fills:
            if fill.ticker == ticker:
                held = held.after(fill)
        return held

    @property
    def traded(self) -> list[str]:
        """Tickers with fills of today, those that are flat again included."""
        return sorted({fill.ticker for fill in self.fills})

    @property
    def is_open(self) -> bool:
        """Whether anything is held or may yet trade."""
        return bool(self.live()) or any(self.net(ticker) for ticker in self.traded)

    def net(self, ticker: str) -> int:
        return sum(order.side * order.filled for order in self.orders.values() if order.ticker == ticker)

    def last(self, ticker: str) -> Paise:
        """The last price that was believed, or the last one paid."""
        market = self.markets.get(ticker)
        if market is not None and market.quote is not None:
            return market.quote.last
        return next((fill.price for fill in reversed(self.fills) if fill.ticker == ticker), Paise(0))

    def positions(self) -> tuple[PositionRow, ...]:
        """Flat rows stay for the day, as at the broker."""
        rows = []
        for ticker in self.traded:
            held, last = self.held(ticker), self.last(ticker)
            average = Paise(round(held.cost / held.net) if held.net else 0)
            unrealised = held.net * last - held.cost
            rows.append(PositionRow(ticker, PRODUCT, held.net, average, last, unrealised))
        return tuple(rows)

    # Money

    def charges(self, rates: Rates) -> int:
        executed = [order for order in self.orders.values() if order.filled]
        fees = sum(order.is_broker_s for order in executed) * square_off_fee(rates)
        return fees + sum(order_charges(order.side, order.value, rates) for order in executed)

    def cash(self, rates: Rates) -> int:
        """What the account would be left with if what is open were worth nothing."""
        return self.opening - sum(f.side * f.qty * f.price for f in self.fills) - self.charges(rates)

    def free(self, terms: PaperTerms) -> int:
        """For new orders: the cash, what is open at its cost, less what is blocked."""
        open_cost = sum(self.held(ticker).cost for ticker in self.traded)
        return self.cash(terms.rates(self.day)) + open_cost - self.blocked(self.live(), terms)

    def blocked(self, working: Iterable[PaperOrder], terms: PaperTerms) -> int:
        """By positions and these orders, in their order; each part rounded up."""
        value = [abs(self.held(ticker).cost) for ticker in self.traded]
        reducible: dict[tuple[str, Side], int] = {}
        for order in working:
            key = order.ticker, order.side
            free = reducible.get(key, max(0, -order.side * self.net(order.ticker)))
            reducible[key] = max(0, free - order.left)
            value.append(max(0, order.left - free) * self._price_of(order))
        return sum(-(-part * 1_000 // terms.leverage_milli) for part in value)

    def _price_of(self, order: PaperOrder) -> Paise:
        return order.limit or order.price or order.trigger or self.last(order.ticker)
