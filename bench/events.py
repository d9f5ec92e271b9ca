"""How many events a second does the event-by-event path take? The book and the venue of candles, in Python.

An event is one fact that the book is told: a tick, a fill or another word of the venue about an order
(entered, ended, stop rests, left), or the close of one ticker's bar. A boundary at which fifty bars close
is one call of the book and fifty events; calls are counted beside them. Ticks of tickers without a
position are the cheapest, so two streams are timed: what the simulation sends (four ticks a bar, for
those in a position only), and a live-like one, in which every ticker ticks.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import fast
import strategies
from bench import candles, ours
from bench.results import Outcome, least, row
from rulebook.bars import path as points_of
from rulebook.book import Book
from rulebook.charges import Rates
from rulebook.events import Answer, BarsClosed, DayBegan, Event
from rulebook.hours import IST, SymbolClass, Window
from rulebook.records import Action, Bar, Decision, Instrument, Paise, Tick
from rulebook.rules import Rules
from rulebook.simulate import Row, Venue
from rulebook.situation import Limits
from rulebook.tables import Table

NAME = "events"
DAYS, QUICK_DAYS = 20, 6
LIMITS = Limits(max_slippage_bps=10, order_min_interval_ms=0, max_orders_per_minute=100,
                winner_min_avg_reward=None)  # fmt: skip
ACTIONS = {1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}
HOLD = Decision(Action.HOLD, 0.0)
FIRST_DATE = date(2024, 1, 1)

Day = tuple[DayBegan, Sequence[Row]]


class CountingBook(Book):
    """The book, told how often it was told something."""

    calls = 0
    events = 0

    def on(self, event: Event) -> tuple[Answer, ...]:
        self.calls += 1
        self.events += len(event.bars) if isinstance(event, BarsClosed) else 1
        return super().on(event)


async def measure(quick: bool) -> Outcome:
    days, rounds = (QUICK_DAYS, 3) if quick else (DAYS, 5)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "candles.npz"
        candles.make(path, bars=days * candles.DAY_BARS)
        table = candles.table_of(candles.load(path), candles.DAY_BARS)
    crossings = _crossings(table)
    streams = {
        "simulation, SMA signals": (_through_venue, _days(table, crossings)),
        "simulation, random signals on 1/3": (
            _through_venue, _days(table, ours.said_at_random(table.close.shape, ours.DENSE))
        ),
        "every ticker ticks, SMA signals": (_all_tick, _days(table, crossings)),
    }  # fmt: skip
    rates: dict[str, list[float]] = {name: [] for name in streams}
    counted: dict[str, CountingBook] = {}
    for _ in range(rounds):
        for name, (play, sessions) in streams.items():
            seconds, counted[name] = _timed(play, sessions)
            rates[name].append(counted[name].events / seconds)
    rows = [row(name, values, "events/s", _words(counted[name])) for name, values in rates.items()]
    bars = [least(f"events/s, {name}", values, 100_000) for name, values in rates.items()]
    title = f"The event-by-event path: {candles.TICKERS} tickers, {days} days of {candles.DAY_BARS} bars"
    notes = ["An event is one fact told to the book: a tick, a word of the venue, the close of one bar."]
    return Outcome(NAME, title, rows, bars, notes)


def _words(book: CountingBook) -> str:
    return f"{book.events:,} events in {book.calls:,} calls, {len(book.closed):,} trades"


def _crossings(table: Table) -> fast.Signals:
    names = [name_of(s) for s in range(table.close.shape[1])]
    return fast.signals(strategies.find("sma_cross"), table, names)


def name_of(s: int) -> str:
    return f"T{s:02d}"


# --- the same candles as records, made before the clock starts ----------------------------------------


def _days(table: Table, said: fast.Signals) -> list[Day]:
    day_of = np.asarray(table.day)
    days: list[Day] = []
    for number in range(int(day_of[-1]) + 1):
        at = FIRST_DATE + timedelta(days=number)
        hours = [datetime(at.year, at.month, at.day, tzinfo=IST) + timedelta(seconds=s)
                 for s in (candles.START_S, candles.SAFE_END_S, candles.SAFE_END_S + 480)]  # fmt: skip
        window = {SymbolClass.OTHER: Window(hours[0], hours[1], hours[2])}
        rows = [_row(table, said, index) for index in np.flatnonzero(day_of == number).tolist()]
        days.append((DayBegan(window, Rates(*candles.FULL_RATES)), rows))
    return days


def _row(table: Table, said: fast.Signals, row: int) -> Row:
    at = datetime.fromtimestamp(int(table.opened_s[row]), UTC)
    bars, decisions = {}, {}
    for s in range(table.close.shape[1]):
        name = name_of(s)
        opened, high, low, close, volume = (int(column[row, s]) for column in table[:5])
        bars[name] = Bar(name, at, Paise(opened), Paise(high), Paise(low), Paise(close), volume)
        action = int(said.action[row, s])
        decisions[name] = Decision(ACTIONS[action], float(said.confidence[row, s])) if action else HOLD
    return Row(at, bars, decisions, {})


# --- playing them ----------------------------------------------------------------------------------------


def _timed(
    play: Callable[[CountingBook, Sequence[Day]], None], days: Sequence[Day]
) -> tuple[float, CountingBook]:
    names = [name_of(s) for s in range(candles.TICKERS)]
    book = CountingBook(Rules(capital=500_000_00), LIMITS, {n: Instrument(n, Paise(5)) for n in names})
    began = time.perf_counter()
    play(book, days)
    return time.perf_counter() - began, book


def _through_venue(book: CountingBook, days: Sequence[Day]) -> None:
    venue = Venue(book, candles.LENGTH_S)
    for began, rows in days:
        venue.session(began, rows)


def _all_tick(book: CountingBook, days: Sequence[Day]) -> None:
    """The venue as before; beside it every other ticker's bar arrives as its four ticks."""
    venue = Venue(book, candles.LENGTH_S)
    for began, rows in days:
        venue.session(began, _with_ticks(book, rows))


def _with_ticks(book: CountingBook, rows: Sequence[Row]) -> Iterator[Row]:
    for each in rows:
        for name, bar in each.bars.items():
            if book.positions[name].sign == 0 or book.positions[name].left == 0:
                for tick in _ticks(bar):
                    book.on(tick)
        yield each


def _ticks(bar: Bar) -> Iterator[Tick]:
    return points_of(bar, candles.LENGTH_S)
