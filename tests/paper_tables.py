"""A paper account, a hand on its clock, and few words for what one does there."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, TypeVar

import pytest

from facts import read_calendar, read_tariff
from kite import routes
from kite.errors import RejectedError
from kite.instruments import COLUMNS
from kite.routes import Call
from paper_account import Account, PaperOrder, PaperTerms
from paper_book import PaperBook
from paper_quotes import Doubt, Quote
from rulebook.fills import Level
from rulebook.hours import IST, SymbolClass
from rulebook.order_messages import Cancel, Modify, Place
from rulebook.order_records import Purpose, Refusal, Terms
from rulebook.records import Instrument, OrderType, Paise, Side, tag_of
from tests.conftest import ROOT

T = TypeVar("T")

DAY = date(2026, 11, 20)  # a Friday; auction stocks trade until 15:15, square-off at 15:12, the others 15:25
MONDAY = date(2026, 11, 23)
CALENDAR = read_calendar(ROOT / "config")
TARIFF = read_tariff(ROOT / "config")
RATES = TARIFF.rates_on(DAY)
CAPITAL = Paise(1_00_000_00)  # a lakh of rupees
INFY, PLAIN = (
    Instrument("INFY", Paise(5), symbol_class=SymbolClass.FNO),
    Instrument("PLAIN", Paise(5)),
)
MODES = ("kite_sdk", "raw_http")
INSTRUMENTS = {one.ticker: one for one in (INFY, PLAIN)}
BID, ASK = "99.95x500 99.90x500", "100.05x500 100.10x500"


def at(clock: str, day: date = DAY) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), IST)


def paise(rupees: str) -> Paise:
    return Paise(round(float(rupees) * 100))


def levels(words: str) -> tuple[Level, ...]:
    """Price x shares, best first."""
    return tuple(Level(paise(price), int(qty)) for price, qty in (word.split("x") for word in words.split()))


def paper_terms(leverage: int = 1, **more: Any) -> PaperTerms:
    said = {"capital": CAPITAL, "leverage_milli": 1_000 * leverage, **more}
    return PaperTerms(calendar=CALENDAR, tariff=TARIFF, **said)


def place(ticker: str, side: Side, terms: Terms, name: str, urgent: bool = False) -> Place:
    client_id = f"{ticker}-{side.name}-{name}"
    return Place(client_id, tag_of(client_id), ticker, side, terms, Purpose.ENTRY, urgent)


class Paper:
    """An account that is worked on as paper.PaperClient works on it: a copy, kept unless it raises."""

    def __init__(self, start: str = "10:00:00", **terms: Any) -> None:
        self.now = at(start)
        self.terms = paper_terms(**terms)
        self.account = Account(DAY, self.terms.capital)
        self.volume = 1_000
        self.names = 0

    def do(self, work: Callable[[PaperBook], T]) -> T:
        book = PaperBook(self.account.copy(), self.terms, self.now)
        book.catch_up()
        answer = work(book)
        self.account = book.account
        return answer

    def wait(self, seconds: float) -> "Paper":
        self.now += timedelta(seconds=seconds)
        return self

    def till(self, clock: str, day: date = DAY) -> "Paper":
        self.now = at(clock, day)
        self.do(PaperBook.catch_up)
        return self

    # --- the market ---

    def see(
        self, last: str = "100.00", bids: str = BID, asks: str = ASK, traded: int = 0, **more: Any
    ) -> Doubt | None:
        """A quote of this second."""
        self.volume += traded
        ticker = more.pop("ticker", "INFY")
        said = {"at": self.now.replace(microsecond=0), "volume": self.volume, **more}
        quote = Quote(ticker, last=paise(last), bids=levels(bids), asks=levels(asks), **said)
        return self.do(lambda book: book.see(quote, INSTRUMENTS[ticker]))

    # --- the trader ---

    def place(self, side: Side, terms: Terms, ticker: str = "INFY") -> str:
        self.names += 1
        asked = place(ticker, side, terms, str(self.names))
        return self.do(lambda book: book.place(asked, INSTRUMENTS[ticker]))

    def buy(self, qty: int, price: str | None = None, **more: Any) -> str:
        return self.place(Side.BUY, _plain(qty, price), **more)

    def sell(self, qty: int, price: str | None = None, **more: Any) -> str:
        return self.place(Side.SELL, _plain(qty, price), **more)

    def stop(self, side: Side, qty: int, trigger: str, limit: str | None = None, **more: Any) -> str:
        return self.place(side, _stop(qty, trigger, limit), **more)

    def modify(self, order_id: str, terms: Terms) -> str:
        ticker = self.account.orders[order_id].ticker
        return self.do(lambda book: book.modify(Modify("ref", "id", order_id, ticker, terms)))

    def cancel(self, order_id: str) -> str:
        return self.do(lambda book: book.cancel(Cancel("ref", "id", order_id, "INFY")))

    # --- what has come of it ---

    def order(self, order_id: str) -> PaperOrder:
        return self.account.orders[order_id]

    def state(self, order_id: str) -> tuple[str, int]:
        order = self.order(order_id)
        return order.word.value, order.filled

    def fills(self, order_id: str | None = None) -> list[tuple[int, int]]:
        """Shares and prices."""
        return [(fill.qty, fill.price) for fill in self.account.fills if order_id in (None, fill.order_id)]

    def net(self, ticker: str = "INFY") -> int:
        return self.account.net(ticker)


def limit(qty: int, price: str) -> Terms:
    return Terms(qty, OrderType.LIMIT, paise(price))


def market(qty: int) -> Terms:
    return Terms(qty, OrderType.MARKET)


def sl(qty: int, trigger: str, price: str) -> Terms:
    return Terms(qty, OrderType.SL, paise(price), paise(trigger))


def _plain(qty: int, price: str | None) -> Terms:
    return market(qty) if price is None else limit(qty, price)


def _stop(qty: int, trigger: str, price: str | None) -> Terms:
    return Terms(qty, OrderType.SL_M, None, paise(trigger)) if price is None else sl(qty, trigger, price)


def refused(call: Callable[..., Any], *args: Any, **more: Any) -> Refusal:
    with pytest.raises(RejectedError) as error:
        call(*args, **more)
    return error.value.refusal


# --- a wire without a broker ---------------------------------------------------------------------------


class HandClock:
    """Stands where it is put."""

    def __init__(self, at_: datetime) -> None:
        self.at = at_

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Wire:
    """A Transport that answers lists of instruments and quotes from tables, and writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.quotes: dict[str, Any] = {}
        self.token: str | None = None

    def send(self, call: Call) -> Any:
        self.asked.append(call.asked)
        if call.route is routes.INSTRUMENTS:
            rows = NSE_ROWS if call.names["exchange"] == "NSE" else NFO_ROWS
            return "\n".join([",".join(COLUMNS), *rows, ""])
        assert call.route is routes.QUOTE, call.asked
        return self.quotes

    def use_token(self, token: str | None) -> None:
        self.token = token

    def close(self) -> None:
        self.asked.append("close")


class Kept:
    """Intents as a ledger keeps them."""

    def __init__(self) -> None:
        self.asked: list[Place | Modify | Cancel] = []

    def record(self, asked: Place | Modify | Cancel) -> None:
        self.asked.append(asked)

    def knows(self, client_id: str) -> bool:
        return any(isinstance(asked, Place) and asked.client_id == client_id for asked in self.asked)


@dataclass(frozen=True)
class At:
    """Where the broker is."""

    kite_api: str


NSE_ROWS = (
    "408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE",
    "1025,4,PLAIN,PLAIN,0,,0,0.05,1,EQ,NSE,NSE",
    "256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE",
)
NFO_ROWS = ("14000130,54688,INFY26NOVFUT,INFY,0,2026-11-26,0,0.05,400,FUT,NFO-FUT,NFO",)
