"""Which questions does the suite ask the broker, and what are the answers as our own records?

Every call passes here: first the gate of the limits, then one of the two transports, then the strict
readers of books.py. Reads are repeated as the network contract says; what changes something goes out once.
Whatever happens, the caller gets a record or a BrokerError.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, TypeVar

from clock import Clock
from kite import books, routes
from kite.books import CandleRow, LoggedIn, Margin, PositionRow, Quoted
from kite.day_list import Lists, list_day
from kite.errors import (
    CorruptError,
    DownError,
    LogInAgainError,
    LoginRefusedError,
    NotSentError,
    RateLimitedError,
    RejectedError,
    damaged,
)
from kite.forms import VARIETY, cancel_call, modify_call, place_call
from kite.instruments import Master, MasterError, read_master
from kite.rates import DayIsSpentError, Rates
from kite.routes import Call, Route, Transport
from kite.units import UnitError, moment_text
from net import Schedule, retrying
from rulebook.order_messages import Cancel, Modify, OrderRow, Place
from rulebook.order_records import Refusal
from rulebook.records import Fill, OrderType, Paise, Side

T = TypeVar("T")

HISTORY_PAGE_S = 20.0
QUOTES_MOST = 500  # instruments in one call (kite.md 2)
READS = Schedule((0.5, 1.0, 2.0, 4.0, 8.0), (NotSentError, DownError, RateLimitedError, CorruptError), 0.1)
TOKEN_CHECK = Schedule((1.0, 2.0, 4.0), (NotSentError, DownError))
ONCE = Schedule((), ())


@dataclass(frozen=True, slots=True)
class Books:
    """One reading, in this order: what is traded after the orders were read shows in the trades."""

    orders: tuple[OrderRow, ...]
    trades: tuple[Fill, ...]
    positions: tuple[PositionRow, ...]


class KiteClient:
    """Threads may share it."""

    def __init__(self, transport: Transport, rates: Rates, clock: Clock, rng: Random) -> None:
        self._transport = transport
        self._rates = rates
        self._clock = clock
        self._rng = rng

    def use_token(self, token: str | None) -> None:
        self._transport.use_token(token)

    def close(self) -> None:
        self._transport.close()

    # --- what changes something: once ---

    def place(self, asked: Place) -> str:
        """The id of the order that was taken; any doubt is UnknownOutcomeError."""
        return self._change(place_call(asked))

    def modify(self, asked: Modify) -> str:
        return self._change(modify_call(asked))

    def cancel(self, asked: Cancel) -> str:
        return self._change(cancel_call(asked))

    def log_in(self, api_key: str, request_token: str, checksum: str) -> LoggedIn:
        values = {"api_key": api_key, "request_token": request_token, "checksum": checksum}
        return self._new_session(Call(routes.SESSION, values=values))

    def log_out(self, api_key: str, access_token: str) -> None:
        values = {"api_key": api_key, "access_token": access_token}
        self._once(Call(routes.LOG_OUT, values=values), lambda data: data)

    def renew(self, api_key: str, refresh_token: str, checksum: str) -> LoggedIn:
        values = {"api_key": api_key, "refresh_token": refresh_token, "checksum": checksum}
        return self._new_session(Call(routes.RENEW, values=values))

    # --- what may be asked again ---

    def user_id(self) -> str:
        """The cheapest authenticated question: is the token alive, and whose is it?"""
        return self._read(routes.PROFILE, books.user_id, TOKEN_CHECK)

    def books(self, schedule: Schedule = ONCE) -> Books:
        """Once by default: the machine of orders asks again by itself, and a slow second try is old news."""
        return Books(
            self._read(routes.ORDERS, books.order_rows, schedule),
            self._read(routes.TRADES, books.trade_rows, schedule),
            self._read(routes.POSITIONS, books.position_rows, schedule),
        )

    def orders(self, schedule: Schedule = READS) -> tuple[OrderRow, ...]:
        return self._read(routes.ORDERS, books.order_rows, schedule)

    def positions(self, schedule: Schedule = READS) -> tuple[PositionRow, ...]:
        return self._read(routes.POSITIONS, books.position_rows, schedule)

    def quotes(self, tickers: Sequence[str]) -> dict[str, Quoted]:
        """What is unknown to the broker is missing in the answer."""
        found: dict[str, Quoted] = {}
        for first in range(0, len(tickers), QUOTES_MOST):
            names = [f"{books.EXCHANGE}:{ticker}" for ticker in tickers[first : first + QUOTES_MOST]]
            found |= self._read(routes.QUOTE, books.quotes, READS, values={"i": names})
        return found

    def candles(self, token: int, interval: str, first: datetime, last: datetime) -> tuple[CandleRow, ...]:
        """By opening time, both ends included; the last one may be unfinished."""
        return self._read(
            routes.HISTORY,
            books.candles,
            READS,
            names={"instrument_token": str(token), "interval": interval},
            values={"from": moment_text(first), "to": moment_text(last), "continuous": 0, "oi": 0},
            total_s=HISTORY_PAGE_S,
        )

    def lists(self) -> Lists:
        """The day's instruments, as kite.day_list keeps them."""
        return Lists(
            *(self._read(routes.INSTRUMENTS, str, READS, names={"exchange": e}) for e in ("NSE", "NFO"))
        )

    def master(self) -> Master:
        lists = self.lists()
        try:
            return read_master(list_day(self._clock.now()), lists.nse, lists.nfo)
        except MasterError as error:
            raise CorruptError("GET /instruments", str(error)) from None

    def margin(self, ticker: str, side: Side, qty: int) -> Margin:
        """Of a market order in MIS: what the broker would block, and its leverage."""
        order: Mapping[str, Any] = {
            "exchange": books.EXCHANGE, "tradingsymbol": ticker, "transaction_type": side.name,
            "variety": VARIETY, "product": books.PRODUCT, "order_type": OrderType.MARKET.value,
            "quantity": qty, "price": 0, "trigger_price": 0,
        }  # fmt: skip
        return self._read(routes.ORDER_MARGINS, books.margin, READS, document=[order])

    def cash(self) -> Paise:
        """What is free for new orders in the equity segment."""
        return self._read(routes.MARGINS, books.free_cash, READS)

    def modifications(self, order_id: str) -> int:
        """How many the broker has counted for that order, whoever asked for them."""
        return self._read(routes.ORDER, books.modifications, READS, names={"order_id": order_id})

    # --- one call ---

    def _new_session(self, call: Call) -> LoggedIn:
        """Whom the broker does not let in need not be told to log in."""
        try:
            return self._once(call, books.logged_in)
        except LogInAgainError as error:
            raise LoginRefusedError(error.asked, error.what) from None

    def _change(self, call: Call) -> str:
        return self._once(call, books.order_id)

    def _read(
        self,
        route: Route,
        reader: Callable[[Any], T],
        schedule: Schedule,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, routes.Value] | None = None,
        document: Any = None,
        total_s: float = 10.0,
    ) -> T:
        call = Call(route, names or {}, values or {}, document, total_s=total_s)
        return retrying(lambda: self._once(call, reader), schedule, self._clock, self._rng)

    def _once(self, call: Call, reader: Callable[[Any], T]) -> T:
        try:
            self._rates.take(call.route.kind, urgent=call.urgent)
        except DayIsSpentError as error:
            raise RejectedError(call.asked, str(error), Refusal.LIMITS) from None
        data = self._transport.send(call)
        try:
            return reader(data)
        except (books.BookError, UnitError) as error:
            raise damaged(call.asked, call.route.is_change, str(error)) from None
