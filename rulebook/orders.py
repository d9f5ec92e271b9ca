"""How does an order live? The machine that broker.py, trade.py and the fault simulation all drive.

Theory of operation
-------------------
The broker knows no idempotency key and no reduce-only flag, its answers get lost, its book is late
(faults.md 0, 2). So nothing here believes in sending. An event is written down as a fact, facts only
grow, and then order_plan.py looks at all that is known of the ticker and says what should be sent. It
looks at what is, not at what just happened; therefore a crash needs no code of its own. Every change is
one record, journalled before the effects that it licenses; the state is the last record of each order
and unit. `recover` folds them, takes what has no answer for UNKNOWN, and waits for the book.

UNKNOWN is a state, not an error: it counts as exposure, is adopted by its tag whenever it shows, and is
given up only after SETTLE_HORIZON and BOOK_QUORUM reads without it. Meanwhile an entry is never sent
again, a stop gets a second one at once, an exit a second one after two reads without it.

A ticker's states. They follow from the facts (order_draft.phase_of), so none can be missed or stuck:

| state     | it is                                            | leaves by |
|-----------|--------------------------------------------------|-----------|
| FLAT      | no share of ours, no order of ours that may trade | EnterAsked -> ENTERING |
| ENTERING  | an entry may fill; what has filled has its stop  | last fill -> PROTECTED; none -> FLAT; no answer -> UNKNOWN; ExitAsked, Halted, a refused or fired stop -> EXITING |
| PROTECTED | shares, a stop for all of them there or under way | ExitAsked, Halted, stop fired, refused or taken away 4 times -> EXITING; closed by hand -> FLAT |
| EXITING   | the stop is being turned into the exit; or flat, and strays are sent away | flat -> FLAT; StuckAsked -> STUCK; never back |
| UNKNOWN   | something has no outcome                         | seen in the book, or the horizon -> what the facts say |
| STUCK     | one limit order inside the band stands, alarmed  | flat -> FLAT; never back |

Any state but FLAT may become UNKNOWN, and FLAT itself where an order shows after the horizon. What may
be asked in which state is order_asks.ASKS, which may follow which is MOVES beside it, an order's own states
are order_records.ORDER_MOVES; asking for anything else raises IllegalMoveError and changes nothing.

Mechanism
---------
`on(event)` answers effects, to be carried out in their order. For each ticker that the event touches a
Draft is opened (order_draft), facts are written (order_news, settlement), the plan is asked (order_plan,
order_closing), and all drafts are committed together. One timer, once a second while anything is not
flat, reads the book and lets the plan look at the clock. Quotes, timers and the count of reads are not
kept: they die with the process and a new one looks again. Until the first read after Started nothing is
sent. Knows no clock, no randomness, no broker, and not who asks.
"""  # noqa: E501 (a table)

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from rulebook.order_asks import Ask, reopened, take_ask
from rulebook.order_draft import Draft, Sight, held_of, orders_of, phase_of
from rulebook.order_messages import (
    Answered,
    BookRead,
    Effect,
    EnterAsked,
    Event,
    ExitAsked,
    Halted,
    Journal,
    MoveAsked,
    NoAnswer,
    NotSent,
    OrderRow,
    OrderSeen,
    Price,
    ReadBook,
    Refused,
    Started,
    StuckAsked,
    Wake,
    Woke,
)
from rulebook.order_news import (
    IllegalMoveError,
    take_answer,
    take_fills,
    take_not_sent,
    take_refusal,
    take_row,
    take_silence,
)
from rulebook.order_plan import plan
from rulebook.order_records import (
    POLL,
    READ_SPACING,
    SETTLE_HORIZON,
    Order,
    Purpose,
    Record,
    Unit,
)
from rulebook.order_recovery import doubted, of_this_clock
from rulebook.records import Fill, Phase, is_our_tag
from rulebook.settlement import settle

_TIMER = "orders"
Answer = Answered | Refused | NoAnswer | NotSent


class Machine:
    """All orders of one account and day. `recover` makes one; Started sets it going."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self.orders: dict[str, dict[str, Order]] = {}  # by ticker, by client id
        self.halted = False
        self._now: datetime | None = None
        self._looks_after: datetime | None = None  # a read that began later opens the gate
        self._is_reconciled = False
        self._sight = Sight()
        self._quotes: dict[str, Price] = {}
        self._wakes_at: datetime | None = None
        self._asked_to_read_at: datetime | None = None

    def phase(self, ticker: str) -> Phase:
        return phase_of(self.units.get(ticker), self.orders_of(ticker))

    def held(self, ticker: str) -> int:
        """Our open shares, negative for a short: fills only, never what is hoped for."""
        unit = self.units.get(ticker)
        return unit.side * held_of(unit, self.orders_of(ticker)) if unit else 0

    def exposure(self, ticker: str) -> int:
        """What is held and what entries may yet add, those of unknown fate included."""
        entries = [o for o in self.orders_of(ticker) if o.purpose is Purpose.ENTRY]
        return abs(self.held(ticker)) + sum(order.left for order in entries)

    def unsure(self, ticker: str) -> int:
        """Orders of which nobody knows what became of them, or of what was asked of them."""
        alive = [order for order in self.orders_of(ticker) if order.is_alive]
        return sum(bool(o.is_unsure or (o.request and o.request.unsure_since)) for o in alive)

    @property
    def is_reconciled(self) -> bool:
        """Whether the broker's books have been read since Started."""
        return self._is_reconciled

    @property
    def is_at_rest(self) -> bool:
        """Flat everywhere, and nothing that is not known for sure."""
        return not self._is_busy()

    @property
    def open_tickers(self) -> list[str]:
        """Whatever is not flat."""
        return [ticker for ticker in sorted(self.units) if self.phase(ticker) is not Phase.FLAT]

    def orders_of(self, ticker: str) -> list[Order]:
        """Those of the trade that is on, oldest first."""
        return orders_of(self.units.get(ticker), self.orders.get(ticker, {}))

    def on(self, event: Event) -> tuple[Effect, ...]:
        """What is to be done now, in this order. Raises IllegalMoveError and then nothing has changed."""
        at = event.at if self._now is None else max(self._now, event.at)
        if isinstance(event, Price):
            self._quotes[event.ticker] = event
            return ()
        drafts = self._drafts(at, event)
        self._now = at
        wants_read = self._note(event, at)
        for draft in drafts if self._is_reconciled else ():
            plan(draft)
        journal = [*self._journal_halt(event, at), *self._commit(drafts)]
        wants_read = wants_read or any(draft.wants_read for draft in drafts)
        return (
            *journal,
            *(effect for draft in drafts for effect in draft.wire),
            *self._look(at, wants_read),
            *(effect for draft in drafts for effect in draft.told),
        )

    def fold(self, record: Record) -> None:
        """One record of the journal; the last word about each order and unit holds."""
        self.halted = self.halted or record.halted
        if record.unit is not None:
            self.units[record.unit.ticker] = record.unit
        for order in record.orders:
            self.orders.setdefault(order.ticker, {})[order.client_id] = order

    # From an event to drafts

    def _drafts(self, at: datetime, event: Event) -> list[Draft]:
        """The tickers that this event touches, with its facts written; sorted, so that runs are equal."""
        match event:
            case EnterAsked() | MoveAsked() | ExitAsked() | StuckAsked():
                return [self._ask(event, at)]
            case Answered() | Refused() | NoAnswer() | NotSent():
                return [self._answer(event, at)]
            case OrderSeen():
                return self._see(event, at)
            case BookRead():
                return self._read(event, at)
            case Halted():
                return [reopened(draft) for draft in self._all(at, event, halted=True)]
            case Started():
                return [of_this_clock(draft) for draft in self._all(at, event)]
            case Woke():
                return self._all(at, event)
            case Price():
                return []
            case _:
                assert_never(event)

    def _draft(self, ticker: str, at: datetime, why: str) -> Draft:
        draft = Draft(at, why, ticker, self.units.get(ticker), self.orders.get(ticker, {}), self._sight)
        draft.quote, draft.halted = self._quotes.get(ticker), self.halted
        return draft

    def _all(self, at: datetime, event: Event, *, halted: bool = False) -> list[Draft]:
        drafts = [self._draft(ticker, at, type(event).__name__) for ticker in sorted(self.units)]
        for draft in drafts:
            draft.halted = draft.halted or halted
        return drafts

    def _ask(self, event: Ask, at: datetime) -> Draft:
        ticker = event.ticker if isinstance(event, StuckAsked) else event.intent.ticker
        if not self._is_reconciled:
            raise IllegalMoveError(f"{ticker}: the book has not been read yet, no {type(event).__name__}")
        is_new = isinstance(event, EnterAsked) and event.parent is None and self.phase(ticker) is Phase.FLAT
        if is_new and not self._is_settled(ticker):
            raise IllegalMoveError(f"{ticker}: the book has not been read since its last order, no entry now")
        draft = self._draft(ticker, at, type(event).__name__)
        take_ask(draft, event)
        return draft

    def _answer(self, event: Answer, at: datetime) -> Draft:
        name = event.ref.split("#")[0]
        ticker = next((t for t, orders in self.orders.items() if name in orders), None)
        if ticker is None:
            raise IllegalMoveError(f"an answer to {event.ref}, which was never asked")
        draft = self._draft(ticker, at, f"{type(event).__name__} {event.ref}")
        order = draft.orders[name]
        match event:
            case Answered():
                take_answer(draft, order, event)
            case Refused():
                take_refusal(draft, order, event)
            case NoAnswer():
                take_silence(draft, order, event)
            case NotSent():
                take_not_sent(draft, order, event)
            case _:
                assert_never(event)
        return draft

    def _see(self, event: OrderSeen, at: datetime) -> list[Draft]:
        draft = self._draft(event.row.ticker, at, "OrderSeen")
        order = _ours(draft, event.row)
        if order is None:
            return []
        take_row(draft, order, event.row)
        draft.wants_read = True
        return [draft]

    def _read(self, event: BookRead, at: datetime) -> list[Draft]:
        rows = {row.order_id: row for row in sorted(event.orders, key=lambda row: row.order_id)}
        trades: dict[str, list[Fill]] = {}
        for fill in event.trades:
            trades.setdefault(fill.order_id, []).append(fill)
        drafts = self._all(at, event)
        is_newest = self._sight.began is None or event.began > self._sight.began
        if is_newest:
            self._sight.began = event.began
        for draft in drafts:
            draft.just_read = True
            _take_rows(draft, [row for row in rows.values() if row.ticker == draft.ticker])
            for order in list(draft.orders.values()):
                if order.order_id in trades:
                    take_fills(draft, order, trades[order.order_id])
            if is_newest:
                settle(draft, event, rows)
        return drafts

    # From drafts to effects

    def _note(self, event: Event, at: datetime) -> bool:
        """What concerns the machine and no ticker; answers whether the book is to be read."""
        match event:
            case Started():
                self._looks_after, self._is_reconciled, self._sight.since = at, False, at
                return True
            case Halted():
                return True
            case BookRead():
                gate = self._looks_after
                self._is_reconciled = self._is_reconciled or (gate is not None and event.began >= gate)
                return False
            case Woke():
                if self._wakes_at is not None and at >= self._wakes_at:
                    self._wakes_at = None
                return self._is_busy()
            case _:
                return False

    def _journal_halt(self, event: Event, at: datetime) -> list[Effect]:
        if not isinstance(event, Halted) or self.halted:
            return []
        self.halted = True
        return [Journal(Record(at, f"Halted: {event.text}", halted=True))]

    def _commit(self, drafts: Iterable[Draft]) -> list[Effect]:
        records = [record for draft in drafts if (record := draft.record()) is not None]
        for record in records:
            self.fold(record)
        return [Journal(record) for record in records]

    def _look(self, at: datetime, wants_read: bool) -> list[Effect]:
        """One read for all that ask within a moment, and one timer while anything is not flat."""
        last = self._asked_to_read_at
        soonest = at if last is None else max(at, last + READ_SPACING)
        reads = [ReadBook(at)] if wants_read and soonest == at else []
        if reads:
            self._asked_to_read_at = at
        if not self._is_busy():
            return list(reads)
        next_look = soonest if wants_read and not reads else min(at + POLL, self._retry_at(at))
        if self._wakes_at is None or self._wakes_at < at or next_look < self._wakes_at:
            self._wakes_at = next_look
            return [*reads, Wake(next_look, _TIMER)]
        return list(reads)

    def _retry_at(self, at: datetime) -> datetime:
        """When the next request that waits may go: at the next poll it would be late by almost a second."""
        alive = (order for ticker in self.units for order in self.orders_of(ticker) if order.is_alive)
        held_back = [order.not_before for order in alive if order.not_before is not None]
        held_back += [unit.not_before for unit in self.units.values() if unit.not_before is not None]
        return min((moment for moment in held_back if moment > at), default=at + POLL)

    def _is_busy(self) -> bool:
        """Not flat, or flat and something is not yet known for sure."""
        started = self._looks_after is not None
        return (started and not self._is_reconciled) or any(
            self.phase(ticker) is not Phase.FLAT or not self._is_settled(ticker) or self.lacks_fills(ticker)
            for ticker in self.units
        )

    def _is_settled(self, ticker: str) -> bool:
        """Looked at since its last order moved: a twin may be unseen, or shares taken for lost be ours."""
        last = max((max(o.news_at, o.acted_at) for o in self.orders_of(ticker)), default=None)
        if last is None:
            return True
        began, whole_at = self._sight.began, self._sight.wholes.get(ticker)
        knows_position = not self.units[ticker].lost or (whole_at is not None and whole_at > last)
        return began is not None and began > last and knows_position

    def lacks_fills(self, ticker: str) -> bool:
        """The orders say more than the trades: the ledger wants each fill by its id (invariant 10)."""
        orders = self.orders.get(ticker, {}).values()
        lacking = [order for order in orders if sum(fill.qty for fill in order.fills) < order.filled]
        return any(self._now is not None and self._now < o.news_at + SETTLE_HORIZON for o in lacking)


def recover(records: Iterable[Record]) -> Machine:
    """The machine as its journal left it. What had no answer is UNKNOWN: it may be at the broker."""
    machine = Machine()
    for record in records:
        machine.fold(record)
    for ticker, orders in machine.orders.items():
        machine.orders[ticker] = {name: doubted(order) for name, order in orders.items()}
    return machine


def _ours(draft: Draft, row: OrderRow) -> Order | None:
    """By its id, else by a tag among all its tags: system tags are mixed in (kite.md 3.1)."""
    orders = draft.orders.values()
    found = next((order for order in orders if order.order_id == row.order_id), None)
    tags = (row.tag, *row.tags)
    found = found or next((order for order in orders if order.tag in tags), None)
    return found if found is not None and found.side == row.side else None


def _take_rows(draft: Draft, rows: Iterable[OrderRow]) -> None:
    for row in rows:
        order = _ours(draft, row)
        if order is not None:
            take_row(draft, order, row)
        elif (
            any(is_our_tag(tag) for tag in (row.tag, *row.tags)) and row.order_id not in draft.sight.strangers
        ):
            draft.sight.strangers[row.order_id] = True
            draft.alarm(f"order {row.order_id} has a tag like ours and no intent: left alone")
