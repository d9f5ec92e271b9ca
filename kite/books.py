"""What do the broker's answers say? Orders, trades, positions, quotes, candles and margins, read strictly.

An answer is taken whole or not at all: one row that makes no sense raises BookError, for a list without
that row would be a verdict ("not there") that nobody gave. Fields that nobody uses are not looked at. Ids
stay text, prices become paise, times aware (kite.md 1.6). Knows no network and no rule.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, TypeVar

from kite.units import MOST_PRICE_PAISE, UnitError, average_paise, moment, money_paise, price_paise
from rulebook.fills import Level
from rulebook.hours import IST
from rulebook.order_messages import OrderRow
from rulebook.records import Fill, Paise, Side

T = TypeVar("T")

EXCHANGE, PRODUCT = "NSE", "MIS"
QTY_MOST = 10**9  # shares; NSE's largest company has fewer than 10**10 in all
MOST_VOLUME = QTY_MOST * 100
_PLAIN_MOMENTS = re.compile(r"(?:20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+0530(?:,|$))+")


class BookError(ValueError):
    """An answer that is none of the broker's."""


@dataclass(frozen=True, slots=True)
class Quoted:
    """A ticker's price as REST tells it."""

    ticker: str
    token: int
    at: datetime | None
    last: Paise
    volume: int
    close: Paise  # the previous day's
    lower_circuit: Paise
    upper_circuit: Paise
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One row of the net list; the price in it may be many minutes old (kite.trade comment 51913)."""

    ticker: str
    product: str
    qty: int
    average: Paise
    last: Paise
    unrealised: int


@dataclass(frozen=True, slots=True)
class CandleRow:
    opened_at: datetime
    open: Paise
    high: Paise
    low: Paise
    close: Paise
    volume: int


@dataclass(frozen=True, slots=True)
class Margin:
    """What the broker wants for an order, and how many times the money it lets one trade."""

    leverage_milli: int
    total: int


@dataclass(frozen=True, slots=True)
class LoggedIn:
    user_id: str
    access_token: str
    refresh_token: str
    at: datetime

    def __repr__(self) -> str:
        return f"LoggedIn({self.user_id})"


# --- answers --------------------------------------------------------------------------------------------


def order_rows(data: Any) -> tuple[OrderRow, ...]:
    """Of NSE and MIS alone: the rest of the account is not ours to see."""
    rows = [_Row(row, "order") for row in _list(data, "orders")]
    return tuple(
        order_row(row.raw)
        for row in rows
        if row.text("exchange") == EXCHANGE and row.text("product") == PRODUCT
    )


def order_row(data: Any) -> OrderRow:
    row = _Row(data, "order")
    filled = row.count("filled_quantity")
    average = row.average("average_price") if filled else Paise(0)
    return OrderRow(
        order_id=row.identity("order_id"),
        ticker=row.text("tradingsymbol"),
        side=row.side(),
        qty=row.count("quantity"),
        filled=filled,
        value=filled * average,
        status=row.text("status"),
        order_type=row.text("order_type"),
        price=row.price_or_none("price"),
        trigger=row.price_or_none("trigger_price"),
        tag=row.text_or_none("tag"),
        tags=row.texts("tags"),
        text=row.text_or_none("status_message") or row.text_or_none("status_message_raw") or "",
    )


def modifications(data: Any) -> int:
    """Of an order's history. Which words it shows of each is not promised, so the one seen most counts."""
    words = [_Row(row, "order").text("status") for row in _list(data, "order history")]
    return max((words.count(word) for word in set(words) if "MODIF" in word), default=0)


def trade_rows(data: Any) -> tuple[Fill, ...]:
    rows = [_Row(row, "trade") for row in _list(data, "trades")]
    return tuple(
        Fill(
            row.identity("order_id"),
            row.identity("trade_id"),
            row.text("tradingsymbol"),
            row.side(),
            row.positive("quantity"),
            row.price("average_price"),
            row.moment("fill_timestamp"),
        )
        for row in rows
        if row.text("exchange") == EXCHANGE and row.text("product") == PRODUCT
    )


def position_rows(data: Any) -> tuple[PositionRow, ...]:
    """The net list, of NSE; flat rows are kept."""
    net = _list(_Row(data, "positions").raw.get("net"), "positions.net")
    rows = [_Row(row, "position") for row in net]
    return tuple(
        PositionRow(
            row.text("tradingsymbol"),
            row.text("product"),
            row.whole("quantity"),
            row.average("average_price"),
            row.average("last_price"),
            row.money("unrealised"),
        )
        for row in rows
        if row.text("exchange") == EXCHANGE
    )


def mis_net(rows: tuple[PositionRow, ...]) -> dict[str, int]:
    return {row.ticker: row.qty for row in rows if row.product == PRODUCT}


def quotes(data: Any) -> dict[str, Quoted]:
    """By ticker; what the broker does not know is simply missing."""
    found = {}
    for key, value in _Row(data, "quotes").raw.items():
        exchange, _, ticker = str(key).partition(":")
        if exchange == EXCHANGE:
            found[ticker] = _quote(ticker, _Row(value, f"quote of {ticker}"))
    return found


def candles(data: Any) -> tuple[CandleRow, ...]:
    rows = _list(_Row(data, "candles").raw.get("candles"), "candles")
    return _plain_candles(rows) or tuple(map(_candle, rows))


def margin(data: Any) -> Margin:
    rows = _list(data, "margins")
    if len(rows) != 1:
        raise BookError(f"margins: {len(rows)} rows for one order")
    row = _Row(rows[0], "margin")
    leverage = row.raw.get("leverage")
    if isinstance(leverage, bool) or not isinstance(leverage, int | float) or not 0 <= leverage <= 100:
        raise BookError(f"margin: leverage is {leverage!r}")
    return Margin(round(leverage * 1_000), row.money("total"))


def logged_in(data: Any) -> LoggedIn:
    row = _Row(data, "session")
    return LoggedIn(
        row.text("user_id"),
        row.text("access_token"),
        row.text_or_none("refresh_token") or "",
        row.moment("login_time"),
    )


def user_id(data: Any) -> str:
    """Of the profile."""
    return _Row(data, "profile").text("user_id")


def free_cash(data: Any) -> Paise:
    """Of the margins of all segments: the equity one's net."""
    equity = _Row(_Row(data, "margins").raw.get("equity"), "margins.equity")
    return Paise(equity.money("net"))


def order_id(data: Any) -> str:
    """What place, modify and cancel answer."""
    return _Row(data, "order").identity("order_id")


def _quote(ticker: str, row: "_Row") -> Quoted:
    day, depth = _Row(row.raw.get("ohlc"), f"ohlc of {ticker}"), row.raw.get("depth")
    sides = depth if isinstance(depth, dict) else {}
    stamp = row.raw.get("timestamp")
    return Quoted(
        ticker,
        row.positive("instrument_token"),
        None if stamp in (None, "") else row.moment("timestamp"),
        row.price("last_price"),
        row.count("volume") if "volume" in row.raw else 0,
        day.price("close"),
        row.price_or_none("lower_circuit_limit") or Paise(0),
        row.price_or_none("upper_circuit_limit") or Paise(0),
        tuple(_levels(sides.get("buy", []), ticker)),
        tuple(_levels(sides.get("sell", []), ticker)),
    )


def _levels(data: Any, ticker: str) -> Iterator[Level]:
    for value in _list(data, f"depth of {ticker}"):
        row = _Row(value, f"depth of {ticker}")
        price, qty = row.price("price"), row.count("quantity")
        if price and qty:
            yield Level(price, qty)


def _plain_candles(rows: Sequence[Any]) -> tuple[CandleRow, ...] | None:
    """Read by columns where every row is in the broker's usual spelling, a fifth of the time; else None.

    A page of minutes is 15,000 rows, and three pages come in a second.
    """
    try:
        ats, *rupees, volumes = zip(*(row[:6] for row in rows), strict=True)
        text = ",".join(ats)
        if len(text) != 25 * len(ats) - 1 or not _PLAIN_MOMENTS.fullmatch(text):
            return None
        days = {text: date.fromisoformat(text) for text in {at[:10] for at in ats}}
        clocks = {text: time.fromisoformat(text) for text in {at[11:19] for at in ats}}
        opened = [datetime.combine(days[at[:10]], clocks[at[11:19]], IST) for at in ats]
        paise = [_plain_prices(column) for column in rupees]
        is_sound = set(map(type, volumes)) == {int} and 0 <= min(volumes) <= max(volumes) <= MOST_VOLUME
        if len(paise) != 4 or not is_sound:
            return None
    except (
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
    ):  # a row of another kind, whichever way it fails
        return None
    return tuple(map(CandleRow, opened, *paise, volumes))


def _plain_prices(rupees: Sequence[Any]) -> list[int]:
    """Whole paise exactly: a hundredth of an integer is the float that its two decimals mean."""
    import numpy as np

    if not set(map(type, rupees)) <= {float, int}:
        raise TypeError
    exact = np.array(rupees, np.float64)
    paise = np.rint(exact * 100)
    if not bool(np.all((paise / 100 == exact) & (paise >= 0) & (paise <= MOST_PRICE_PAISE))):
        raise ValueError
    found: list[int] = paise.astype(np.int64).tolist()
    return found


def _candle(values: Any) -> CandleRow:
    """A list by place: time, open, high, low, close, volume, and perhaps open interest."""
    if not isinstance(values, list) or len(values) < 6:
        raise BookError(f"candle: {str(values)[:80]}")
    row = _Row(dict(zip(("at", "open", "high", "low", "close", "volume"), values, strict=False)), "candle")
    open_, high, low, close = (row.price(name) for name in ("open", "high", "low", "close"))
    return CandleRow(row.moment("at"), open_, high, low, close, row.count("volume"))


# --- fields ---------------------------------------------------------------------------------------------


def _list(data: Any, what: str) -> list[Any]:
    if not isinstance(data, list):
        raise BookError(f"{what}: a list is wanted, not {str(data)[:40]!r}")
    return data


class _Row:
    """One JSON object, and what it is called in an error."""

    def __init__(self, raw: Any, what: str) -> None:
        if not isinstance(raw, dict):
            raise BookError(f"{what}: an object is wanted, not {str(raw)[:40]!r}")
        self.raw: Mapping[str, Any] = raw
        self._what = what

    def text(self, name: str) -> str:
        value = self.raw.get(name)
        if not isinstance(value, str) or not value:
            raise self._wrong(name)
        return value

    def text_or_none(self, name: str) -> str | None:
        value = self.raw.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name)
        return value or None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.raw.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name)
        return tuple(value)

    def identity(self, name: str) -> str:
        """Digits as text: a float would have lost some of them."""
        value = self.text(name)
        if not value.isascii() or not value.isalnum() or len(value) > 40:
            raise self._wrong(name)
        return value

    def whole(self, name: str) -> int:
        value = self.raw.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST_VOLUME:
            raise self._wrong(name)
        return value

    def count(self, name: str) -> int:
        value = self.whole(name)
        if value < 0:
            raise self._wrong(name)
        return value

    def positive(self, name: str) -> int:
        value = self.count(name)
        if value == 0:
            raise self._wrong(name)
        return value

    def side(self) -> Side:
        name = self.text("transaction_type")
        if name not in Side.__members__:
            raise self._wrong("transaction_type")
        return Side[name]

    def price(self, name: str) -> Paise:
        return self._converted(name, price_paise)

    def price_or_none(self, name: str) -> Paise | None:
        return None if self.raw.get(name) is None else self.price(name) or None

    def average(self, name: str) -> Paise:
        return self._converted(name, average_paise)

    def money(self, name: str) -> int:
        return self._converted(name, money_paise)

    def moment(self, name: str) -> datetime:
        return self._converted(name, moment)

    def _converted(self, name: str, convert: Callable[[object], T]) -> T:
        try:
            return convert(self.raw.get(name))
        except UnitError as error:
            raise BookError(f"{self._what}: {name}: {error}") from None

    def _wrong(self, name: str) -> BookError:
        return BookError(f"{self._what}: {name} is {str(self.raw.get(name))[:40]!r}")
