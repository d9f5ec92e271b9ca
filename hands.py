"""How does what the rule book wants become orders, and what does the book hear of them?

The book (rulebook/book.py) answers intents, the machine of orders (rulebook/orders.py, carried out by
order_desk.py) takes wishes, and rulebook/reports.py turns what became of them into facts for the book. Here
the three are put in a circle, and what a person may ask about later is noted on the way: a decision in one
transaction with the first order that it led to, so that neither is ever there without the other.

A wish that comes too late changes nothing: the machine refuses it, and the book hears of the facts that were
faster. Knows no clock but the desk's, and no thread.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ledger_facts import AlarmSaid, Closed, Fact, Opened
from notes import Notes
from order_desk import Desk, Told
from rulebook.book import Book
from rulebook.events import Considered, Entered, EntryEnded, Left
from rulebook.events import Event as OfBook
from rulebook.gates import blocking, passed
from rulebook.order_messages import Alarm, AskAgain, EnterAsked, ExitAsked, MoveAsked
from rulebook.order_messages import Event as OfOrders
from rulebook.order_news import IllegalMoveError
from rulebook.order_records import Purpose, Severity, Unit
from rulebook.pricing import entry_terms, stop_buffer
from rulebook.records import Decision, Enter, Exit, MoveStop, Paise, client_id
from rulebook.reports import Reports
from watch import Watch

log = logging.getLogger("orders")


@dataclass(frozen=True, slots=True)
class Means:
    """What an entry needs beside the book's word."""

    eight_hex: Callable[[], str]  # randomness
    max_slippage_bps: float
    explain: Callable[[Considered], Fact]
    refresh: Callable[[str, Decision], None]  # the book's conditions, before a child is judged
    halt: Callable[[str], object]


class Hands:
    """Of one session. Only the thread that owns it calls it."""

    def __init__(self, book: Book, desk: Desk, watch: Watch, notes: Notes, means: Means) -> None:
        self.book = book
        self.desk = desk
        self.reports = Reports(desk.machine)
        self._watch = watch
        self._notes = notes
        self._means = means
        self._leaving: dict[str, Exit] = {}
        self._decisions: dict[str, Decision] = {}
        self._noted = len(book.closed)
        self.is_awake = False

    def wake(self) -> None:
        """The book knows what came before, and hears of its orders from now on."""
        self.is_awake, self._noted = True, len(self.book.closed)
        self.report()

    # --- in: facts for the book, events for the machine ---

    def tell(self, fact: OfBook) -> None:
        """Tell the book, and carry out what it answers."""
        for answer in self.book.on(fact):
            match answer:
                case Considered():
                    self._notes.add(self._means.explain(answer))
                    self._decisions[answer.ticker] = answer.decision
                case Enter():
                    self.enter(answer)
                case MoveStop():
                    self.ask(MoveAsked(self.desk.now(), answer))
                case Exit():
                    self._leaving[answer.ticker] = answer
                    self.ask(ExitAsked(self.desk.now(), answer))

    def hear(self, event: OfOrders) -> None:
        """Tell the machine, and the book what came of it."""
        told = self.desk.on(event)
        self.report()
        for word in told:
            self._told(word)

    def ask(self, wish: OfOrders) -> bool:
        """Whether the machine took it; too late is no harm."""
        try:
            self.hear(wish)
        except IllegalMoveError as error:
            log.info("%s", error)
            return False
        return True

    def report(self) -> None:
        """What the book has not heard of its orders yet."""
        now = self.desk.now()
        if not self.is_awake:
            return
        for ticker, unit in self.desk.machine.units.items():
            last, leaving = Paise(self._last(ticker)), self._leaving.get(ticker)
            for fact in self.reports.news(now, ticker, last, leaving.intended if leaving else None):
                was_flat = self.book.positions[ticker].qty == 0
                self.book.on(fact)
                if isinstance(fact, Entered) and was_flat:
                    self._note_opened(unit, fact)
                if isinstance(fact, Left | EntryEnded):
                    self._note_closed(unit)

    # --- entries ---

    def enter(self, intent: Enter, parent: str | None = None) -> None:
        asked = self._asked(intent, parent)
        if asked is not None and self.ask(asked):
            self._watch.entry_sent(self.desk.monotonic())
        elif parent is None:
            self.book.on(EntryEnded(intent.ticker))

    def _asked(self, intent: Enter, parent: str | None) -> EnterAsked | None:
        """MARKET or LIMIT by the book of the moment; a child is never MARKET."""
        quote, instrument = self._watch.quote(intent.ticker), self._watch.instrument(intent.ticker)
        if quote is None:
            return None
        side, tick = intent.side, instrument.tick
        terms = entry_terms(
            side, intent.qty, quote.last, quote.bids, quote.asks, self._means.max_slippage_bps, tick,
            may_market=parent is None,
        )  # fmt: skip
        now, lower, upper = self.desk.now(), instrument.lower_circuit, instrument.upper_circuit
        price = terms.price
        if price is not None and lower is not None and upper is not None:
            price = Paise(min(max(price, lower), upper))
        name = client_id(intent.ticker, side, now, self._means.eight_hex())
        buffer = stop_buffer(quote.last, tick)
        return EnterAsked(now, intent, name, terms.order_type, price, tick, buffer, lower, upper, parent)

    def _again(self, word: AskAgain) -> None:
        """The rest of an entry: a child, through all gates again."""
        unit, said = self.desk.machine.units[word.ticker], self._decisions.get(word.ticker)
        if said is None:  # it was decided by a process that is no more
            return
        self._means.refresh(word.ticker, said)
        verdicts = self.book.judge(self.desk.now(), word.ticker, said, is_child=True)
        if passed(verdicts):
            intent = Enter(
                self.desk.now(), word.ticker, unit.side, word.qty, unit.decision_price, unit.distance
            )
            self.enter(intent, word.parent)
        else:
            why = "; ".join(verdict.sentence for verdict in blocking(verdicts))
            log.info("%s: the rest of the entry is not asked for again: %s", word.ticker, why)

    # --- words ---

    def _told(self, word: Told) -> None:
        match word:
            case AskAgain():
                self._again(word)
            case Alarm():
                self._notes.add(AlarmSaid(word.ticker, word.text, word.severity))
                is_bad = word.severity >= Severity.CRITICAL
                log.log(logging.CRITICAL if is_bad else logging.WARNING, "%s: %s", word.ticker, word.text)
                if word.severity is Severity.HALT:
                    self._means.halt(f"{word.ticker}: {word.text}")
            case _:
                fill = word.fill
                log.info("%s %d %s at %.2f", fill.side.name, fill.qty, fill.ticker, fill.price / 100)

    def _note_opened(self, unit: Unit, fact: Entered) -> None:
        entry, stop = self._ids(unit)
        average = fact.value / fact.qty / 100
        self._notes.add(
            Opened(
                unit.client_id, unit.ticker, unit.side, fact.qty, fact.value, entry, stop, average,
                self.book.positions[unit.ticker].decided_at or fact.at, unit.decision_price, unit.distance,
            )
        )  # fmt: skip

    def _note_closed(self, unit: Unit) -> None:
        for trade in self.book.closed[self._noted :]:
            entry, stop = self._ids(unit)
            average = trade.entry_value / trade.qty / 100
            self._notes.add(Closed(unit.client_id, entry, stop, average, trade))
            log.info("%s closed (%s): %+.2f R", trade.ticker, trade.reason.name, trade.r)
        self._noted = len(self.book.closed)
        if self.book.positions[unit.ticker].left == 0:
            self._leaving.pop(unit.ticker, None)

    def _ids(self, unit: Unit) -> tuple[str, str]:
        """Of the first entry and the newest stop that the broker knows."""
        orders = [order for order in self.desk.machine.orders_of(unit.ticker) if order.order_id]
        entries = [order.order_id for order in orders if order.purpose is Purpose.ENTRY]
        stops = [order.order_id for order in orders if order.purpose is Purpose.STOP]
        return (entries or [""])[0] or "", (stops or [""])[-1] or ""

    def _last(self, ticker: str) -> int:
        quote = self._watch.quote(ticker)
        return quote.last if quote else self.book.positions[ticker].last
