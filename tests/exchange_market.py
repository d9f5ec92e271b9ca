"""A market typed as tables, a trader with few words, and one who writes down what he hears."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from hashlib import sha256
from itertools import groupby
from random import Random
from typing import Any

import pytest

from exchange.faults import Fault, Faults
from exchange.nouns import (
    Candle,
    Changes,
    Depth,
    Listing,
    OrderRequest,
    OrderView,
    Quote,
    RefusalError,
    Terms,
)
from exchange.venue import Exchange
from facts import read_calendar, read_tariff
from rulebook.fills import Level
from rulebook.hours import IST, SymbolClass
from rulebook.records import OrderType, Paise, Side
from tests.conftest import ROOT

DAY = date(2026, 11, 20)  # a Friday; auction stocks until 15:15, square-off at 15:12, the others 15:25
CALENDAR = read_calendar(ROOT / "config")
TARIFF = read_tariff(ROOT / "config")
CLOSE = Paise(100_00)
TICK = Paise(5)
FNO = Listing("FNO", "An auction stock", 1, TICK)
PLAIN = Listing("PLAIN", "Another stock", 2, TICK, symbol_class=SymbolClass.OTHER)
INDEX = Listing("NIFTY 50", "An index", 3, TICK, is_index=True)
LISTINGS = (FNO, PLAIN, INDEX)


def second(clock: str) -> int:
    at = time.fromisoformat(clock)
    return at.hour * 3600 + at.minute * 60 + at.second


def at(clock: str, day: date = DAY) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), IST)


def ladder(last: int, tick: int = 5, qty: int = 100) -> Depth:
    """Five levels a side, a tick apart, each deeper one thicker."""
    bids = tuple(Level(Paise(last - tick * n), qty * n) for n in range(1, 6))
    return Depth(bids, tuple(Level(Paise(last + tick * n), qty * n) for n in range(1, 6)))


@dataclass
class TableTape:
    """Columns from typed rows: second, last, shares traded, and the depth where it is no ladder."""

    seconds: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    lows: list[int] = field(default_factory=list)
    volumes: list[int] = field(default_factory=list)
    turnovers: list[int] = field(default_factory=list)
    depths: list[Depth] = field(default_factory=list)

    def add(self, at_second: int, last: int, shares: int, depth: Depth | None = None) -> None:
        self.seconds.append(at_second)
        self.lasts.append(last)
        self.highs.append(max([last, *self.highs[-1:]]))
        self.lows.append(min([last, *self.lows[-1:]]))
        self.volumes.append(sum(self.volumes[-1:]) + shares)
        self.turnovers.append(sum(self.turnovers[-1:]) + shares * last)
        self.depths.append(ladder(last) if depth is None else depth)

    def depth(self, row: int) -> Depth:
        return self.depths[row]


def tape(table: str) -> TableTape:
    """Lines `clock last shares [bids / asks]`, prices in rupees, levels as price x shares."""
    made = TableTape()
    for line in table.strip().splitlines():
        words, _, asks = line.partition("/")
        clock, last, shares, *bids = words.split()
        depth = Depth(_levels(bids), _levels(asks.split())) if bids or asks else None
        made.add(second(clock), paise(last), int(shares), depth)
    return made


def _levels(words: Sequence[str]) -> tuple[Level, ...]:
    pairs = [word.split("x") for word in words]
    return tuple(Level(paise(price), int(qty)) for price, qty in pairs)


def paise(rupees: str) -> Paise:
    whole, _, part = rupees.partition(".")
    return Paise(int(whole) * 100 + int(part.ljust(2, "0") if part else 0))


def random_tape(luck: Random, rows: int = 60, opens: str = "09:15:00") -> TableTape:
    """A second or some between the rows, jumps, thin and empty books, rows without a trade."""
    made, now_s, last = TableTape(), second(opens), int(CLOSE)
    for _ in range(rows):
        step = 5 * luck.choice([-20, -3, -2, -1, -1, 0, 0, 0, 1, 1, 2, 3, 20])
        last = min(109_00, max(91_00, last + step))
        made.add(now_s, last, luck.choice([0, 1, 10, 100, 1_000, 5_000]), _random_depth(luck, last))
        now_s += luck.choice([1, 1, 1, 2, 5])
    return made


def _random_depth(luck: Random, last: int) -> Depth:
    bid = last - 5 * luck.choice([0, 1, 1, 2])
    ask = max(bid + 5, last + 5 * luck.choice([0, 1, 1, 2]))
    levels = [
        tuple(
            Level(Paise(best + sign * 5 * n), luck.choice([1, 20, 300]))
            for n in range(luck.choice([1, 3, 5]))
        )
        for best, sign in ((bid, -1), (ask, 1))
    ]
    return Depth(levels[0], levels[1]) if luck.random() < 0.95 else Depth((), levels[1])


class TableMarket:
    """Tapes by ticker and day; every other day is empty and closed at the same price."""

    def __init__(
        self,
        tapes: Mapping[str, TableTape],
        day: date = DAY,
        listings: Sequence[Listing] = LISTINGS,
        closes: Mapping[date, int] | None = None,
    ) -> None:
        self.listings = tuple(listings)
        self._tapes = {(ticker, day): made for ticker, made in tapes.items()}
        self._closes = closes or {}

    def more(self, ticker: str, day: date, made: TableTape) -> "TableMarket":
        self._tapes[ticker, day] = made
        return self

    def tape(self, ticker: str, day: date) -> TableTape:
        return self._tapes.get((ticker, day), TableTape())

    def minutes(self, ticker: str, day: date) -> list[Candle]:
        made = self.tape(ticker, day)
        midnight_s = int(datetime.combine(day, time(), IST).timestamp())
        found = []
        for minute, group in groupby(range(len(made.seconds)), key=lambda row: made.seconds[row] // 60):
            rows = list(group)
            lasts = [made.lasts[row] for row in rows]
            before = made.volumes[rows[0] - 1] if rows[0] else 0
            volume = made.volumes[rows[-1]] - before
            found.append(
                Candle(midnight_s + 60 * minute, lasts[0], max(lasts), min(lasts), lasts[-1], volume)
            )
        return found

    def previous_close(self, ticker: str, day: date) -> Paise:  # noqa: ARG002 (one price for all)
        return Paise(self._closes.get(day, CLOSE))

    def circuit(self, ticker: str, day: date) -> tuple[Paise, Paise]:  # noqa: ARG002 (one band for all)
        return Paise(90_00), Paise(110_00)


@dataclass
class Ear:
    """Writes down what it is told."""

    exchange: Exchange
    ticks: list[tuple[str, str]] = field(default_factory=list)
    frames: list[tuple[str, str, int]] = field(default_factory=list)

    def ticked(self, ticker: str) -> None:
        self.ticks.append((f"{self.exchange.now:%H:%M:%S}", ticker))

    def order_updated(self, order: OrderView, status: str) -> None:
        self.frames.append((order.order_id[-3:], status, order.filled))


class Trader:
    """An exchange and short words for what one does there."""

    def __init__(
        self,
        tapes: Mapping[str, TableTape | str],
        *faults: Fault,
        start: str = "09:00",
        seed: int = 7,
        terms: Terms | None = None,
        **market: Any,
    ) -> None:
        made = {t: tape(table) if isinstance(table, str) else table for t, table in tapes.items()}
        self.faults = Faults(seed, faults)
        self.market = TableMarket(made, **market)
        self.exchange = Exchange(
            self.market, CALENDAR, TARIFF, at(start), seed, self.faults, terms or Terms()
        )
        self.ear = Ear(self.exchange)
        self.exchange.listen(self.ear)

    def till(self, clock: str, day: date = DAY) -> "Trader":
        self.exchange.advance(at(clock, day))
        return self

    def wait(self, seconds: float) -> "Trader":
        self.exchange.advance(self.exchange.now + timedelta(seconds=seconds))
        return self

    def place(self, side: Side, qty: int, price: int | None = None, **more: Any) -> str:
        """A LIMIT order with a price, else a MARKET one with automatic protection."""
        kind = OrderType.MARKET if price is None else OrderType.LIMIT
        said = {"ticker": "FNO", "product": "MIS", "order_type": kind, "price": price}
        said |= {"protection_milli": -1} if price is None else {}
        return self.exchange.place(OrderRequest(side=side, qty=qty, **{**said, **more}))

    def buy(self, qty: int, price: int | None = None, **more: Any) -> str:
        return self.place(Side.BUY, qty, price, **more)

    def sell(self, qty: int, price: int | None = None, **more: Any) -> str:
        return self.place(Side.SELL, qty, price, **more)

    def stop(self, side: Side, qty: int, trigger: int, limit: int, **more: Any) -> str:
        return self.place(side, qty, limit, order_type=OrderType.SL, trigger=trigger, **more)

    def modify(self, order_id: str, **changes: Any) -> str:
        by_hand = changes.pop("by_hand", False)
        return self.exchange.modify(order_id, Changes(**changes), by_hand=by_hand)

    def see(self, order_id: str) -> OrderView:
        return self.exchange.history(order_id)[-1]

    def quote(self, ticker: str = "FNO") -> Quote:
        found = self.exchange.quote(ticker)
        assert found is not None
        return found

    def message(self, order_id: str) -> str:
        return self.see(order_id).message or ""

    def words(self, order_id: str) -> list[str]:
        return [row.status for row in self.exchange.history(order_id)]

    def state(self, order_id: str) -> tuple[str, int]:
        seen = self.see(order_id)
        return seen.status, seen.filled

    def fills(self, order_id: str) -> list[tuple[int, int]]:
        """Shares and prices."""
        trades = self.exchange.truth()["trades"]
        return [(trade["qty"], trade["price"]) for trade in trades if trade["order_id"] == order_id]

    def net(self, ticker: str = "FNO", product: str = "MIS") -> int:
        flows = self.exchange.flows()
        return sum(flow.net for flow in flows if (flow.ticker, flow.product) == (ticker, product))


def fingerprint(exchange: Exchange) -> str:
    return sha256(json.dumps(exchange.truth(), sort_keys=True).encode()).hexdigest()


# --- a whole session ------------------------------------------------------------------------------

FLAT = """
09:15:00 100.00 500 99.95x900 / 100.05x900
09:20:00 100.00 100 99.95x900 / 100.05x900
15:11:59 100.00 100 99.95x900 / 100.05x900
15:24:59 100.00 100 99.95x900 / 100.05x900
"""
MINUTES = "\n".join(
    f"{10 + n // 60:02d}:{n % 60:02d}:00 100.00 100 99.95x900 / 100.05x900" for n in range(240)
)


MONDAY = date(2026, 11, 23)
RATES = TARIFF.rates_on(DAY)


def trader(*faults: Fault, table: str = FLAT, **more: Any) -> Trader:
    """At 09:15:01, with the same tape in both stocks."""
    return Trader({"FNO": table, "PLAIN": table}, *faults, **more).till("09:15:01")


def refused(call: Callable[..., Any], *args: Any, **more: Any) -> tuple[int, str, str]:
    """What the broker says to it."""
    with pytest.raises(RefusalError) as error:
        call(*args, **more)
    return error.value.status, error.value.error_type, error.value.message


def long_with_stop(*faults: Fault, **more: Any) -> tuple[Trader, str]:
    """A hundred shares at 100.05, protected at 99.00."""
    t = trader(*faults, **more)
    t.buy(100, 100_05)
    stop = t.wait(1).stop(Side.SELL, 100, 99_00, 98_50, tag="stop")
    t.wait(1)
    assert ("TRIGGER PENDING", 100) == (t.see(stop).status, t.net())
    return t, stop
