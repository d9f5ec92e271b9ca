"""What does a session know before it trades? The journal folded, the book warmed, and what was left open.

Starting is recovering (architecture.md, law 5). The records of today's orders make the machine of orders,
which looks at the broker's books and protects what is bare before anything else. The book comes after: past
bars give it ranges and closes, today's trades its earnings and its cooldowns, and what is open is told as
facts. A trade that closed while nobody wrote it down is told as open first, so that its end is written now.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import candle_store
from hands import Hands
from ledger_facts import Closed, Fact, HaltSaid, LossLocked, Mark, Marked, Opened, Unlocked
from rulebook.book import Book
from rulebook.events import BarsClosed, DayBegan, LossTold, Recalled, Resumed, TradeTold
from rulebook.hours import IST
from rulebook.order_records import Purpose, Record, Unit
from rulebook.orders import Machine, recover
from rulebook.records import Bar, Paise, Phase
from rulebook.trades import ClosedTrade
from sessions_grid import Grid, opened_s

if TYPE_CHECKING:
    import pandas as pd

THREADS = 4

Rows = Iterable[tuple[datetime, Mapping[str, Bar]]]  # boundaries, and the bars that ended there


@dataclass(slots=True)
class Past:
    """What today's journal tells."""

    records: list[Record] = field(default_factory=list)
    trades: dict[str, ClosedTrade] = field(default_factory=dict)  # by position id
    openings: dict[str, Opened] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)  # by ticker, the newest
    halted: str = ""
    is_lost: bool = False

    def take(self, fact: Fact) -> None:
        match fact:
            case Record():
                self.records.append(fact)
                self.halted = self.halted or (fact.why if fact.halted else "")
            case Closed():
                self.trades[fact.position_id] = fact.trade
            case Opened():
                self.openings[fact.position_id] = fact
            case Marked():
                self.marks |= {mark.ticker: mark for mark in fact.positions}
            case HaltSaid():
                self.halted = fact.text
            case LossLocked():
                self.is_lost = True
            case Unlocked():
                self.halted, self.is_lost = "", False
                self.records = [replace(record, halted=False) for record in self.records]

    def machine(self) -> Machine:
        return recover(self.records)


def past_of(facts: Iterable[Fact]) -> Past:
    """Of today's facts, in their order."""
    past = Past()
    for fact in facts:
        past.take(fact)
    return past


# --- the book -----------------------------------------------------------------------------------------------


def warm(book: Book, days: Iterable[tuple[DayBegan, Rows]]) -> None:
    """Past bars, day by day: ranges and closes, and no decision."""
    for began, rows in days:
        book.on(began)
        for at, bars in rows:
            book.on(BarsClosed(at, bars, {}))


def wake(hands: Hands, past: Past, rows: Rows) -> None:
    """Today's bars so far, the trades among them, then what is open; then the book hears of its orders."""
    book, waiting = hands.book, sorted(past.trades.values(), key=lambda trade: trade.exited_at)
    for at, bars in rows:
        while waiting and waiting[0].exited_at <= at:
            book.on(TradeTold(waiting.pop(0)))
        book.on(BarsClosed(at, bars, {}))
    for trade in waiting:
        book.on(TradeTold(trade))
    if past.is_lost:
        book.on(LossTold())
    for unit in hands.desk.machine.units.values():
        if unit.client_id in past.trades or not _has_traded(hands.desk.machine, unit):
            hands.reports.settle(unit.ticker)
        else:
            book.on(_resumed(hands.desk.machine, unit, past.openings.get(unit.client_id)))
    hands.wake()
    for ticker, mark in past.marks.items():
        if book.positions[ticker].phase in (Phase.PROTECTED, Phase.EXITING) and mark.qty:
            book.on(Recalled(ticker, mark.best, mark.worst))


def _has_traded(machine: Machine, unit: Unit) -> bool:
    """Or may do so yet."""
    is_over = machine.phase(unit.ticker) is Phase.FLAT
    return not is_over or any(order.filled > order.carried for order in machine.orders_of(unit.ticker))


def _resumed(machine: Machine, unit: Unit, opened: Opened | None) -> Resumed:
    entries = [order for order in machine.orders_of(unit.ticker) if order.purpose is Purpose.ENTRY]
    qty = max((order.terms.qty for order in entries), default=1)
    decided_at = opened.decided_at if opened else unit.born_at
    return Resumed(unit.born_at, unit.ticker, unit.side, qty, unit.distance, decided_at, unit.decision_price)


# --- bars of the past -------------------------------------------------------------------------------------


def frames_before(
    raw: Path, tickers: Iterable[str], timeframes: Iterable[str], day: date
) -> "dict[str, dict[str, pd.DataFrame]]":
    """Candles on disk of earlier days, by timeframe and ticker; DataError names what is missing."""
    midnight, names = datetime.combine(day, time(), IST), tuple(tickers)
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for timeframe in timeframes:
        frames = {name: candle_store.read_candles(raw, name, timeframe) for name in names}
        found[timeframe] = {name: frame[frame["timestamp"] < midnight] for name, frame in frames.items()}
    return found


def history_hash(frames: "Mapping[str, Mapping[str, pd.DataFrame]]") -> str:
    """Of every candle in them: whoever has the same makes the same features of them."""
    named = sorted((name, part, frame) for name, of in frames.items() for part, frame in of.items())
    with ThreadPoolExecutor(THREADS, "hashes") as pool:
        each = pool.map(lambda row: f"{row[0]} {row[1]} {_frame_hash(row[2])}", named)
        return hashlib.sha256("\n".join(each).encode()).hexdigest()[:16]


def _frame_hash(frame: "pd.DataFrame") -> str:
    found = hashlib.sha256(np.ascontiguousarray(opened_s(frame)).data)
    for name in (*candle_store.PRICES, "volume", candle_store.FILLED):
        values = frame[name] if name in frame.columns else np.zeros(len(frame))
        found.update(np.ascontiguousarray(values, np.float64).data)
    return found.hexdigest()


def past_rows(
    frames: Mapping[str, "pd.DataFrame"], grid: Grid, before: datetime, count: int
) -> dict[date, list[tuple[datetime, dict[str, Bar]]]]:
    """The last `count` boundaries before that moment, by their day."""
    parts = {
        name: frame[opened_s(frame) < int(before.timestamp())].tail(count) for name, frame in frames.items()
    }
    rows: dict[int, dict[str, Bar]] = {}
    for name, frame in parts.items():
        for second, bar in zip(opened_s(frame).tolist(), _bars(name, frame), strict=True):
            rows.setdefault(second, {})[name] = bar
    stamps = sorted(rows)[-count:]
    inside = grid.places(np.array(stamps, np.int64)).minute >= 0
    days: dict[date, list[tuple[datetime, dict[str, Bar]]]] = {}
    for second in np.array(stamps)[inside].tolist():
        at = datetime.fromtimestamp(second + grid.length_s, UTC)
        days.setdefault(grid.day_of(second), []).append((at, rows[second]))
    return days


def _bars(ticker: str, frame: "pd.DataFrame") -> Iterator[Bar]:
    """Paise of rupees, as they were fetched."""
    prices = [np.rint(frame[name].to_numpy() * 100).astype(np.int64).tolist() for name in candle_store.PRICES]
    volumes = np.rint(frame["volume"].to_numpy()).astype(np.int64).tolist()
    is_there = candle_store.FILLED in frame.columns
    filled = frame[candle_store.FILLED].tolist() if is_there else [False] * len(volumes)
    for second, o, h, low, c, volume, is_filled in zip(
        opened_s(frame).tolist(), *prices, volumes, filled, strict=True
    ):
        opened_at = datetime.fromtimestamp(second, UTC)
        yield Bar(ticker, opened_at, Paise(o), Paise(h), Paise(low), Paise(c), volume, bool(is_filled))
