"""What happens in a session? Events in, the rule book asked, orders out: the core of trade.py.

Theory of operation
-------------------
One thread owns a Session. Whatever happens outside comes as an event through `on`: a packet of the stream,
an answer of the broker, a word of the user. `look` is called at least once in each pace of the loop and does
what the time of day asks for: timers of the machine of orders, closed bars, readings, the end. Neither waits
for anything: what takes time is handed to the workers, and its answer is an event.

A tick goes its whole way at once: fills on paper, prices for the machine, the book, the bar in progress; what
the book wants is on its way before the next event is taken. A bar's close does the same with a decision.

How it ends is session_end.py's. Pure of sockets, files and threads: a simulation drives the same object.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from by_hand import ByHand
from explain import asked, bars_seen, explained, mark, quiet
from hands import Hands, Means
from kite.feed import Connected, Disconnected, LoggedOut, OrderHint, Ticked
from kite.wire import FullPacket
from ledger_facts import Fact, LossLocked, StateIs
from ledger_facts import Marked as MarkedFact
from paper_quotes import Quote, of_rest, of_stream
from rulebook.events import BarsClosed, Considered, Marked
from rulebook.gates import GLOBAL_GATES, Verdict, blocking
from rulebook.order_messages import BookRead, Price, Started
from rulebook.order_messages import Event as OfOrders
from rulebook.records import Action, Bar, Decision, Paise, Phase, Side, Tick
from session_end import End, Outcome
from session_events import (
    Beat,
    Candles,
    Cash,
    Flatten,
    Halt,
    Leverages,
    Quotes,
    SessionEvent,
    TokenIs,
    Unlock,
    Why,
)  # fmt: skip
from session_mind import Closed
from session_parts import Parts
from session_start import wake

BOOKS_EVERY_S = 5.0
SECOND_S = 1.0
MARKS_EVERY_S = 10.0
CANDLES_AFTER_S = 5.0  # a boundary: the broker's candle of it is there by then
CANDLES_PATIENCE = timedelta(seconds=90)  # of a start; 50 tickers take 17 s at the broker's three a second
TICK_AGE_MOST = timedelta(seconds=30)  # the cached packet of a new subscription is older, and is no trade

# They hold one entry back, or the next; the session runs all the same.
PASSING = frozenset({"max_concurrent_trades", "order_spacing", "orders_per_minute"})
HOLD = Decision(Action.HOLD, 0.0)

State = Literal["RUNNING", "EXITS-ONLY", "HALTED"]

log = logging.getLogger("session")


class Session:
    """One day of one trader. `outcome` is set when it is over."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._watch, self._mind, self._desk, self._book = parts.watch, parts.mind, parts.desk, parts.book
        means = Means(parts.eight_hex, parts.max_slippage_bps, self._explain, self._refresh_for,
                      lambda text: self._end.halt(Why.CONTRADICTION, text))  # fmt: skip
        self._hands = Hands(parts.book, parts.desk, parts.watch, parts.notes, means)
        self._end = End(self._hands, parts.watch, parts.day, parts.notes, parts.keep_halted)
        self._closed_until: datetime | None = None
        self._began_at: datetime | None = None
        self._closing: Closed | None = None
        self._by_hand = ByHand()
        self._due_s: dict[str, float] = {}
        self._state: State | None = None
        self._is_lost = self._is_marked = False
        self._candles_due_s: float | None = None
        self._looked_s = 0.0
        self._gone_at: datetime | None = None  # since when the stream has been
        self.outcome: Outcome | None = None

    def begin(self) -> None:
        """The journal is folded; nothing is sent before the broker's books are read."""
        now = self._desk.now()
        self._closed_until, self._began_at = self._parts.day.over_by(now), now
        if self._closed_until is not None:
            self._parts.reads.candles()
        self._looked_s = self._desk.monotonic()
        self._watch.begin(self._looked_s)
        self._watch.killed(self._desk.machine.halted)
        self._hands.hear(Started(now))

    @property
    def state(self) -> State | None:
        """None: it has not woken yet."""
        return self._state

    @property
    def next_look_s(self) -> float:
        """When it must look again if nothing happens before, by the monotonic clock."""
        look_s, wake_at = self._due_s.get("look", 0.0), self._desk.next_wake_at
        if wake_at is None:
            return look_s
        return min(look_s, self._desk.monotonic() + (wake_at - self._desk.now()).total_seconds())

    # --- what happens ---

    def on(self, event: SessionEvent) -> None:
        match event:
            case Ticked():
                self._on_tick(event)
            case Connected() | Disconnected() | LoggedOut() | OrderHint():
                self._on_stream(event)
            case Halt():
                _answer(event.taken, self._end.halt(event.why, event.text))
            case Flatten():
                _answer(event.taken, self._end.flatten(event.text, event.ends))
            case Unlock():
                _answer(event.taken, "nothing to unlock while a session runs; it ends by itself when halted")
            case Quotes() | Cash() | Leverages() | Candles() | TokenIs() | Beat():
                self._on_answer(event)
            case _:
                self._on_orders(event)

    def _on_tick(self, event: Ticked) -> None:
        packet, ticker = event.packet, self._parts.tickers.get(event.packet.token)
        if ticker is None or not isinstance(packet, FullPacket):
            return
        now, quote = self._desk.now(), of_stream(ticker, packet)
        self._watch.quoted(quote, self._desk.wall(), self._desk.monotonic())
        if quote.at is None or now - quote.at > TICK_AGE_MOST:
            return
        self._see(quote, now)

    def _see(self, quote: Quote, now: datetime) -> None:
        """Paper first, so that what it fills is known when the book asks for more."""
        if self._parts.on_paper is not None and self._parts.on_paper(quote):
            self._desk.read_books()
        bid = quote.bids[0].price if quote.bids else None
        ask = quote.asks[0].price if quote.asks else None
        self._hands.hear(Price(now, quote.ticker, quote.last, bid, ask))
        assert quote.at is not None
        tick = Tick(quote.ticker, quote.at, quote.last, bid, ask, quote.volume)
        if self._hands.is_awake:
            self._hands.tell(tick)
        self._mind.add(tick)

    def _on_stream(self, event: Connected | Disconnected | LoggedOut | OrderHint) -> None:
        now_s = self._desk.monotonic()
        match event:
            case Connected():
                self._watch.connected(now_s)
                if self._gone_at is not None:
                    self._mind.missed(self._gone_at, self._desk.now())
                self._gone_at = None
            case Disconnected():
                log.warning("the stream is gone (%s); next try in %.1f s", event.reason, event.retry_in_s)
                self._watch.disconnected(now_s)
                self._gone_at = self._gone_at or self._desk.now()
                return
            case LoggedOut():
                self._watch.disconnected(now_s)
                self._watch.token(False)
        self._desk.read_books()  # whatever was missed is in them

    def _on_answer(self, event: Quotes | Cash | Leverages | Candles | TokenIs | Beat) -> None:
        now_s = self._desk.monotonic()
        match event:
            case Quotes():
                self._on_quotes(event, now_s)
            case Cash():
                self._watch.funds(event.free, event.began_s)
            case Leverages():
                for (ticker, side), leverage_milli in event.found.items():
                    self._watch.margin(ticker, side, leverage_milli)
            case Candles():
                self._mind.correct(event)
            case TokenIs():
                self._watch.token(event.is_valid)
                if event.is_valid:
                    self._desk.read_books()
            case Beat():
                self._watch.heartbeat(event.began_s, now_s)
                self._watch.token(True)

    def _on_quotes(self, event: Quotes, now_s: float) -> None:
        found, now = event.found or {}, self._desk.now()
        missing = [ticker for ticker in event.asked if ticker not in found]
        if missing:
            self._watch.asked_failed(missing, now_s)
        for quoted in found.values():
            quote = of_rest(quoted)
            self._watch.quoted(quote, self._desk.wall(), now_s, is_rest=True)
            if quote.at is not None and now - quote.at <= TICK_AGE_MOST:
                self._see(quote, now)

    def _on_orders(self, event: OfOrders) -> None:
        self._hands.hear(event)
        if isinstance(event, BookRead):
            now_s = self._desk.monotonic()
            began_s = now_s - max(0.0, (self._desk.now() - event.began).total_seconds())
            if self._parts.on_paper is None:
                self._watch.heartbeat(began_s, now_s)
                self._watch.token(True)
            self._watch.reconciled(self._desk.machine.is_reconciled)
            for noticed in self._by_hand.read(event, self._desk.machine):
                self._parts.notes.add(noticed)
                log.warning("%s", noticed.text)

    # --- what the hour asks for ---

    def look(self) -> None:
        now, now_s = self._desk.now(), self._desk.monotonic()
        for event in self._desk.due(now):
            self._hands.hear(event)
        if not self._is_due("look", now_s, self._parts.pace_s):
            return
        self._notice_sleep(now, now_s)
        self._watch.heard(self._parts.silence_s(), now_s)
        self._ask_the_broker(now_s)
        if not self._hands.is_awake:
            self._try_to_wake(now)
        else:
            self._close_bars(now)
            if self._is_due("second", now_s, SECOND_S):
                self._tend_positions(now)
                self._say_state(now)
        while self._desk.answers:
            self._parts.notes.add(asked(self._desk.answers.popleft()))
        self._parts.notes.flush()
        self.outcome = self._end.look(now)

    def _notice_sleep(self, now: datetime, now_s: float) -> None:
        """Who was stopped has heard nobody: that was no silence of the broker, and the bars miss ticks."""
        slept_s, self._looked_s = now_s - self._looked_s, now_s
        if slept_s >= TICK_AGE_MOST.total_seconds():
            log.warning("this process stood still for %.0f s", slept_s)
            self._watch.begin(now_s)
            self._mind.missed(now - timedelta(seconds=slept_s), now)

    def _try_to_wake(self, now: datetime) -> None:
        """Once the broker's books and today's candles are there; or without the candles, after a while."""
        assert self._began_at is not None
        is_late = now - self._began_at >= CANDLES_PATIENCE
        has_bars = self._closed_until is None or not self._mind.wanting
        if self._desk.machine.is_reconciled and (has_bars or is_late):
            ends = self._parts.day.boundaries
            rows = [
                (ends[bisect_right(ends, opened_at)], bars) for opened_at, bars in self._mind.rows().items()
            ]
            wake(self._hands, self._parts.past, rows)
            log.info("the session is awake, with %d bars of today", len(rows))

    def _is_due(self, what: str, now_s: float, every_s: float) -> bool:
        if now_s < self._due_s.get(what, 0.0):
            return False
        self._due_s[what] = now_s + every_s
        return True

    def _ask_the_broker(self, now_s: float) -> None:
        """In every loop, also when flat: a hand may trade in our symbols at any time (trading.md)."""
        if tickers := self._watch.asks(now_s):
            self._parts.reads.quotes(tickers)
        if self._candles_due_s is not None and now_s >= self._candles_due_s:
            self._candles_due_s = None
            self._parts.reads.candles()
        if self._is_due("books", now_s, BOOKS_EVERY_S):
            self._desk.read_books()
            self._parts.reads.cash()
            if self._parts.on_paper is not None:
                self._parts.reads.beat()
            if self._desk.blocked is not None:
                self._watch.token(None)
                self._parts.reads.token()
        if self._watch.is_heartbeat_lost(now_s) and self._end.ending is None:
            self._hands.hear(Started(self._desk.now()))  # what goes out next is decided by fresh books
            self._end.halt(Why.BROKER, "two minutes without an answer of the broker")

    # --- a bar's close ---

    def _close_bars(self, now: datetime) -> None:
        newest = self._parts.day.over_by(now)
        for boundary in self._parts.day.boundaries:
            is_new = self._closed_until is None or boundary > self._closed_until
            if newest is not None and is_new and boundary <= newest:
                self._closed_until = boundary
                self._close_bar(boundary, is_newest=boundary == newest)

    def _close_bar(self, boundary: datetime, is_newest: bool) -> None:
        """A boundary that was slept through makes its bars, and no decision."""
        closed = self._closing = self._mind.close(boundary, decides=is_newest)
        said = {name: each.decision for name, each in closed.said.items()}
        for name, is_finite in closed.is_finite.items():
            self._watch.features(name, is_finite, self._mind.bars_needed)
        self.refresh(said, closed.bars)
        if closed.seen is not None:  # in one transaction with the first order that it leads to
            self._parts.notes.add(bars_seen(closed.seen))
        self._hands.tell(BarsClosed(boundary, closed.bars, said))
        self._candles_due_s = self._desk.monotonic() + CANDLES_AFTER_S
        self._parts.notes.add(quiet(closed, self._blocked(boundary, said)))
        self._parts.notes.flush()

    def refresh(self, said: Mapping[str, Decision], bars: Mapping[str, Bar]) -> None:
        """The book's conditions, as they are now."""
        sides = {name: Side(each.action.sign) if each.action.sign else None for name, each in said.items()}
        for name in self._book.positions:
            self._watch.unknown_orders(name, self._desk.machine.unsure(name))
        closes = {name: Paise(p.last) for name, p in self._book.positions.items() if p.last}
        closes |= {name: bar.close for name, bar in bars.items()}
        found = self._watch.conditions(self._desk.wall(), self._desk.monotonic(), sides, closes)
        self._book.on(found)

    def _refresh_for(self, ticker: str, said: Decision) -> None:
        self.refresh({ticker: said}, {})

    def _explain(self, considered: Considered) -> Fact:
        return explained(considered, self._closing, self._parts.model_hash)

    def _blocked(self, at: datetime, said: Mapping[str, Decision]) -> dict[str, tuple[Verdict, ...]]:
        """Why each that would trade may not."""
        would = {name: each for name, each in said.items() if each.action.sign}
        return {name: blocking(self._book.judge(at, name, each)) for name, each in would.items()}

    # --- once a second ---

    def _tend_positions(self, now: datetime) -> None:
        prices = {}
        for name, p in self._book.positions.items():
            quote = self._watch.quote(name) if p.phase is not Phase.FLAT else None
            if quote is not None:
                prices[name] = quote.last
                safe_end = self._parts.day.safe_end(p.instrument.symbol_class)
                if p.phase is Phase.PROTECTED and (safe_end is None or now >= safe_end):
                    self._hands.tell(Tick(name, now, quote.last))  # a quiet share leaves by the clock, too
        if prices:
            self._hands.tell(Marked(now, prices))
        if (prices or self._is_marked) and self._is_due("marks", self._desk.monotonic(), MARKS_EVERY_S):
            marks = tuple(mark(self._book.positions[name], last) for name, last in prices.items())
            self._parts.notes.add(MarkedFact(marks))
            self._is_marked = bool(marks)
        if self._book.is_locked and not self._is_lost:
            self._lose_the_day()

    def _lose_the_day(self) -> None:
        self._is_lost = True
        earned = self._book.earnings
        text = f"the day stands at {earned.milli_r / 1_000:.2f} R and Rs {earned.net / 100:.2f}"
        self._parts.notes.add(LossLocked(self._parts.day.day, earned.milli_r, earned.net))
        self._end.lose(text)
        self._parts.keep_lost(text)

    def _say_state(self, now: datetime) -> None:
        """RUNNING, EXITS-ONLY or HALTED; said when it changes."""
        state, why = self._state_now(now)
        if state != self._state:
            self._state = state
            self._parts.notes.add(StateIs(state, why))
            log.log(logging.INFO if state == "RUNNING" else logging.WARNING, "%s: %s", state, why)

    def _state_now(self, now: datetime) -> tuple[State, str]:
        ending = self._end.ending
        if self._desk.machine.halted:
            return "HALTED", ending.text if ending else "halted earlier today"
        if self._desk.blocked is not None:
            return "EXITS-ONLY", f"exits are blocked too: {self._desk.blocked.error}"
        if self._parts.notes.trouble:
            return "EXITS-ONLY", self._parts.notes.trouble
        self.refresh({}, {})
        verdicts = self._book.judge(now, next(iter(self._book.positions)), HOLD)
        against = [
            each for each in blocking(verdicts) if each.name in GLOBAL_GATES and each.name not in PASSING
        ]
        if against:
            return "EXITS-ONLY", "; ".join(each.sentence for each in against)
        windows = self._parts.day.open_windows()
        if not any(window.start <= now < window.safe_end for window in windows):
            return "EXITS-ONLY", "entries are taken within the trading window only"
        return "RUNNING", "entries and exits"


def _answer(taken: Callable[[str], object] | None, text: str) -> None:
    """Whoever asked from another terminal is told what was done."""
    if taken is not None:
        taken(text)
