"""What really happened? The exchange's side of a run, and what passed over the wire.

Nothing here asks the trader. Its durable intents are read because they are what a tag is checked against,
and because they say whether an order was meant as entry, stop or exit. The exchange's own books are read
directly: what its interface shows may be late or wrong, which is the point of a run.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from exchange.nouns import Trade
from exchange.orders import Order as Booked
from exchange.orders import Stage
from exchange.venue import Exchange
from kite.routes import Call
from rulebook.order_messages import (
    Alarm,
    Answered,
    BookRead,
    Event,
    ExitAsked,
    Halted,
    OrderSeen,
    Refused,
    StuckAsked,
)
from rulebook.order_records import STALE_MOST, UNKNOWN_CLOSERS_MOST, Order, Purpose, Record, Severity, Unit
from rulebook.records import Paise
from tests.sim.plans import Plan

HOLD_BACK = timedelta(seconds=13)  # STALE_MOST, and the reads that end it
SLOW_MOST = timedelta(seconds=5)  # after which a call is given up
REACHABLE = timedelta(seconds=2)  # since the last call that succeeded (faults.md 5)
ADOPTED_MOST = timedelta(seconds=3)  # what the user did is known by then (faults.md 5, 18)
ON_ITS_WAY_MOST = timedelta(seconds=1)  # a change passes two latencies
ANOTHER_READ = timedelta(seconds=2)  # by which whoever reads every second has seen what is there
# Faults that a trader cannot notice, or that change nothing about what it may know and do.
HARMLESS = frozenset({"unordered_books", "partial_fills", "order_update_lost", "no_content_type"})


@dataclass(frozen=True, slots=True)
class Intent:
    """What the journal holds of an order before it goes out."""

    client_id: str
    ticker: str
    purpose: Purpose
    trade: int
    qty: int
    at: datetime  # when it was written down


@dataclass(slots=True)
class Lasting:
    """Something that must not last, since when; the second number is Truth.helpless of that moment."""

    since: datetime | None = None
    helpless_then: timedelta = timedelta(0)

    def holds(self, is_so: bool, now: datetime, helpless: timedelta) -> None:
        if not is_so:
            self.since = None
        elif self.since is None:
            self.since, self.helpless_then = now, helpless


@dataclass(slots=True)
class Bare(Lasting):
    """Shares that no closing order covers, or the like, in lots; those that are covered next are the oldest."""

    lots: list[tuple[datetime, timedelta, int]] = field(default_factory=list)  # since, helpless, shares

    def changes(self, now: datetime, helpless: timedelta, uncovered: int) -> None:
        more = uncovered - sum(qty for _, _, qty in self.lots)
        if more > 0:
            self.lots.append((now, helpless, more))
        while more < 0:
            since, then, qty = self.lots.pop(0)
            if qty + more > 0:
                self.lots.insert(0, (since, then, qty + more))
            more += qty
        self._oldest()

    def could_not_be_helped(self, lasted: timedelta) -> None:
        self.lots = [(since, then - lasted, qty) for since, then, qty in self.lots]
        self._oldest()

    def _oldest(self) -> None:
        self.since = self.lots[0][0] if self.lots else None
        self.helpless_then = self.lots[0][1] if self.lots else timedelta(0)


@dataclass(slots=True)
class Ticker:
    """One stock's position and the closing orders against it."""

    name: str
    net: int = 0  # ours: of our tags, never more than the account's in that direction (trading.md)
    account: int = 0  # the user's own and the broker's square-off included
    lost: int = 0  # shares of ours that others have closed
    side: int = 0  # of the last entry that filled
    bare: Bare = field(default_factory=Bare)
    excess: Bare = field(default_factory=Bare)  # shares that closing orders show too many
    strays: Lasting = field(default_factory=Lasting)
    reverse: Lasting = field(default_factory=Lasting)
    reversed_by: int = 0  # shares that an excused reverse brought
    alarmed_at: datetime | None = None
    refused_closers: int = 0  # in this bare stretch
    is_measured: bool = False
    unadopted: Bare = field(default_factory=Bare)  # shares that the journal has and the account has not
    hand_at: datetime | None = None  # when the user last did something

    def takes(self, trade: Trade, is_ours: bool, *, opens: bool) -> int:
        """A fill; answers what we should hold after it if nobody else traded here."""
        self.account += trade.side * trade.qty
        more = trade.side * trade.qty if is_ours else 0
        if opens and self.net == 0:
            self.lost = 0
        if more * self.net <= 0 and abs(more) > abs(self.net) and not opens:
            # What others were taken to have closed was ours to close: they sold their own.
            found = min(self.lost, abs(more) - abs(self.net))
            self.lost -= found
            more -= found if more > 0 else -found
        wanted = self.net + more
        sign = 1 if wanted > 0 else -1
        self.net = sign * min(abs(wanted), max(0, sign * self.account))
        self.lost += abs(wanted) - abs(self.net)
        return wanted


class Truth:
    def __init__(self, plan: Plan, exchange: Exchange) -> None:
        self.plan = plan
        self.exchange = exchange
        self._agenda = exchange._agenda
        self._now_us, self._now = self._agenda.now_us, exchange.now
        self._register = exchange._register
        self.tickers = {name: Ticker(name) for name in exchange.listings}
        self.intents: dict[str, Intent] = {}
        self.orders: dict[str, Order] = {}  # as last committed
        self.units: dict[str, Unit] = {}
        self.is_halt_written = False
        self.denied: dict[str, str] = {}  # by tag: what proves that its order does not exist
        self.first_qty: dict[tuple[str, int], int] = {}  # of a trade's first entry
        self.posts: dict[str, int] = {}
        self.posted_at: dict[str, datetime] = {}
        self.answered_at: dict[str, datetime] = {}  # by what was answered
        self.calls: deque[datetime] = deque()
        self.puts: dict[str, int] = {}
        self.last_put: dict[str, datetime] = {}
        self.triggers: dict[tuple[str, int], int] = {}  # the tightest yet, by trade
        self.seen_at: dict[str, datetime] = {}  # told to the trader, by answer or by book
        self.refused_changes: dict[str, tuple[str, int]] = {}  # by order: what, times since its last news
        self.refusals: tuple[object, int] = (None, 0)  # the same request refused, times in a row
        self.looked_at = exchange.now
        self.troubled_at = exchange.now
        self.succeeded_at = exchange.now
        self.blocked_at: datetime | None = None
        self.began_at: datetime | None = None  # the process; None while there is none
        self.has_read_since_start = False
        self.read_began_at: datetime | None = None
        self.killed_at: datetime | None = None
        self.to_convert: set[str] = set()  # orders that the switch has to send for
        self.healed_at: datetime | None = None
        self.unknown: set[str] = set()  # client ids whose answer did not come
        self.helpless = timedelta(0)  # of all the time so far: nothing could be done
        self._hides_orders = any(fault.name == "late_in_book" for fault in plan.faults)
        self._struck = self._slow = 0
        self._slow_until = exchange.now
        self._traded = 0

    # Orders of the exchange

    @property
    def now(self) -> datetime:
        """Asked for so often that it is made once for each moment."""
        us = self._agenda.now_us
        if us != self._now_us:
            self._now_us, self._now = us, self.exchange.now
        return self._now

    @property
    def now_us(self) -> int:
        return self._agenda.now_us

    def booked(self) -> list[Booked]:
        return list(self._register.orders.values())

    def trades(self) -> list[Trade]:
        return self._register.trades

    def new_trades(self) -> Iterator[Trade]:
        while self._traded < len(self._register.trades):
            self._traded += 1
            yield self._register.trades[self._traded - 1]

    def live(self, ticker: str) -> list[Booked]:
        """Ours that may still trade."""
        return [order for order in self._register.live(ticker) if order.request.tag]

    def order(self, order_id: str) -> Booked:
        return self._register.orders[order_id]

    def purpose(self, order: Booked) -> Purpose | None:
        intent = self.intents.get(order.request.tag or "")
        return None if intent is None else intent.purpose

    def closers(self, ticker: Ticker) -> list[Booked]:
        """Stops and exits that may still trade; while something is held, those against it."""
        live = [o for o in self.live(ticker.name) if self.purpose(o) is not Purpose.ENTRY]
        return live if ticker.net == 0 else [o for o in live if o.side * ticker.net < 0]

    def written_net(self, ticker: str) -> int:
        """What the journal holds."""
        unit = self.units.get(ticker)
        if unit is None:
            return 0
        mine = [o for o in self.orders.values() if o.ticker == ticker and o.trade == unit.trade]
        return sum(order.net for order in mine) - unit.side * unit.lost

    def made_of(self, order: Order) -> list[Booked]:
        """What the exchange has of an order of the journal: by its id, else by its tag."""
        if order.order_id is not None:
            return [self.order(order.order_id)]
        return [booked for booked in self.booked() if booked.request.tag == order.tag]

    def a_hand_was_there(self, ticker: Ticker, lasting: Lasting) -> bool:
        """The user did something shortly before it began, or since."""
        if ticker.hand_at is None or lasting.since is None:
            return False
        return lasting.since - ticker.hand_at <= ADOPTED_MOST

    def may_not_know_of_the_hand(self, ticker: Ticker) -> bool:
        """No reading has begun since the user's change reached the exchange; or what is read may be old."""
        if ticker.hand_at is None:
            return False
        lags = any(fault.name == "stale_books" for fault in self.plan.faults)
        if lags and self.now <= ticker.hand_at + STALE_MOST:
            return True
        return self.read_began_at is None or self.read_began_at <= ticker.hand_at + ON_ITS_WAY_MOST

    def change_refused(self, call: Call) -> None:
        what, times = self.refused_changes.get(call.names["order_id"], ("", 0))
        times = times + 1 if what == call.route.name else 1
        self.refused_changes[call.names["order_id"]] = (call.route.name, times)

    def waits_for_a_person(self, order: Booked) -> bool:
        """Asked three times in vain, and alarmed; news of the order, or a new wish, opens it again."""
        _, times = self.refused_changes.get(order.order_id, ("", 0))
        return times >= 3 and self.tickers[order.ticker].alarmed_at is not None

    def closed_by_the_broker(self, ticker: Ticker) -> int:
        """What its own square-off is about to close."""
        live = [o for o in self._register.live(ticker.name) if o.request.placed_by_broker]
        return sum(order.left for order in live if order.side * ticker.net < 0)

    def holds_back(self, ticker: str) -> bool:
        """Three closing orders without an answer may each still appear: the next waits for ten seconds."""
        silent = [
            intent.at
            for intent in self.intents.values()
            if intent.ticker == ticker
            and intent.purpose is not Purpose.ENTRY
            and intent.client_id not in self.answered_at
        ]
        return len(silent) >= UNKNOWN_CLOSERS_MOST and self.now - max(silent) <= HOLD_BACK

    def is_twin(self, order: Booked) -> bool:
        """Made by a proxy that sent one request twice."""
        return sum(other.request.tag == order.request.tag for other in self._register.orders.values()) > 1

    def is_shown(self, order: Booked) -> bool:
        """Whether the trader has been told of it."""
        return order.order_id in self.seen_at

    def is_hidden(self, order: Booked) -> bool:
        """No book shows it yet (R3)."""
        return order.hidden_until_us > self.now_us

    def hides_news(self, ticker: str) -> bool:
        """Fills or the end of an order that no book shows yet: nobody can know."""
        if not self._hides_orders:
            return False
        hidden = [o for o in self.booked() if o.ticker == ticker and self.is_hidden(o)]
        return any(order.filled or not order.is_live for order in hidden)

    def is_spare(self, order: Booked) -> bool:
        """A closing order that law 6 speaks of: its fate was unknown for a while, or a proxy doubled it."""
        tag = order.request.tag or ""
        intent = self.intents.get(tag)
        heard = None if intent is None else self.answered_at.get(intent.client_id)
        is_slow = heard is None or heard - self.posted_at[tag] > ANOTHER_READ
        return self.is_twin(order) or is_slow

    def may_trade(self, ticker: str) -> bool:
        """No lock and no halt: somebody could take the other side."""
        quote = self.exchange.quote(ticker)
        is_halted = self.exchange._board.is_halted(ticker, self._agenda.now_us)
        return quote is not None and all(quote.depth) and not is_halted

    # What could be done

    @property
    def could_act(self) -> bool:
        """A process lives, the broker answers, and listens to orders."""
        if self.began_at is None or self.now - self.succeeded_at > REACHABLE:
            return False
        return self.blocked_at is None or self.now - self.blocked_at > REACHABLE

    def note_trouble(self) -> None:
        struck = sum(n for name, n in self.exchange.faults.struck.items() if name not in HARMLESS)
        if self.exchange.faults.struck.get("slow", 0) != self._slow:
            self._slow = self.exchange.faults.struck["slow"]
            self._slow_until = self.now + SLOW_MOST
        if (
            struck != self._struck
            or self.now < self._slow_until
            or self.began_at is None
            or not self.could_act
        ):
            self.troubled_at = self.now
        self._struck = struck
        if not self.could_act:
            self.helpless += self.now - self.looked_at

    def reachable_for(self, lasting: Lasting) -> timedelta:
        """How long it has lasted while something could be done about it."""
        if lasting.since is None:
            return timedelta(0)
        return self.now - lasting.since - (self.helpless - lasting.helpless_then)

    def clean_for(self, lasting: Lasting) -> timedelta:
        """How long nothing has been in the way."""
        return timedelta(0) if lasting.since is None else self.now - max(lasting.since, self.troubled_at)

    def was_troubled(self, lasting: Lasting) -> bool:
        """A fault was in the way at some time of it."""
        return lasting.since is not None and lasting.since <= self.troubled_at

    # What was written down

    def committed(self, record: Record) -> None:
        self.is_halt_written = self.is_halt_written or record.halted
        if record.unit is not None:
            self.units[record.unit.ticker] = record.unit
        for order in record.orders:
            self.orders[order.client_id] = order
            if order.status.name == "UNKNOWN":
                self.unknown.add(order.client_id)
            if order.tag not in self.intents:
                self.intents[order.tag] = Intent(
                    order.client_id, order.ticker, order.purpose, order.trade, order.terms.qty, self.now
                )
            if order.purpose is Purpose.ENTRY:
                self.first_qty.setdefault((order.ticker, order.trade), order.terms.qty)

    def heard(self, event: Event) -> None:
        """What an event shows is known to the trader from now on."""
        match event:
            case BookRead():
                self.has_read_since_start = True
                # In the exchange's time: the trader's own clock may be wrong.
                self.read_began_at = self.now - (event.at - event.began)
                for row in event.orders:
                    self.seen_at.setdefault(row.order_id, self.now)
            case OrderSeen():
                self.seen_at.setdefault(event.row.order_id, self.now)
            case ExitAsked() | StuckAsked():
                self._asked_again(event.intent.ticker if isinstance(event, ExitAsked) else event.ticker)
            case Halted():
                self._asked_again(*self.tickers)
            case Refused():
                self.answered_at[event.ref] = self.now
            case Answered():
                self.answered_at[event.ref] = self.now
                self.seen_at.setdefault(event.order_id, self.now)

    def _asked_again(self, *tickers: str) -> None:
        """So what was refused is tried again, in these tickers alone."""
        for order_id in list(self.refused_changes):
            if self.order(order_id).ticker in tickers:
                del self.refused_changes[order_id]
        self.refusals = (None, 0)

    def alarmed(self, alarm: Alarm) -> None:
        if alarm.severity >= Severity.CRITICAL:
            self.tickers[alarm.ticker].alarmed_at = self.now


def left(orders: list[Booked]) -> int:
    return sum(order.left for order in orders)


def is_at_rest(order: Booked) -> bool:
    return order.stage in (Stage.WAITING, Stage.WORKING)


def price_of(order: Booked) -> Paise:
    return order.wording.price
