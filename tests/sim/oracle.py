"""Does a run keep the invariants? Who watches, counts, and writes down what was broken."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from exchange.nouns import OrderView, Trade
from exchange.venue import Exchange
from kite.errors import BlockedError, BrokerError, NotSentError, RejectedError
from kite.rates import Kind
from kite.routes import Call
from rulebook.order_messages import Alarm, Event
from rulebook.order_records import Purpose, Record
from rulebook.orders import Machine
from tests.sim import invariants
from tests.sim.plans import Plan
from tests.sim.truth import Lasting, Ticker, Truth, left

PRICE = 100_00  # about


class BrokenError(Exception):
    """An invariant does not hold: the run is over."""


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    text: str
    at: datetime

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.invariant}: {self.text}"


@dataclass(slots=True)
class Counts:
    """What a run was like."""

    orders: int = 0
    modifications: int = 0
    fills: int = 0
    reverses: int = 0
    unknown: int = 0
    settled: int = 0
    bare: list[timedelta] = field(default_factory=list)
    handed_over: list[timedelta] = field(
        default_factory=list
    )  # bare until a person acts: the breaker is open
    kills: list[timedelta] = field(default_factory=list)  # from the switch to each request that it asks for
    paise_seconds_bare: float = 0.0


class Oracle:
    """The witness of the wire; `look` after every step of time."""

    def __init__(self, plan: Plan, exchange: Exchange, note: Callable[[str, object], None]) -> None:
        self.truth = Truth(plan, exchange)
        self.violations: list[Violation] = []
        self.counts = Counts()
        self._note = note

    # The wire

    def sent(self, call: Call) -> None:
        t = self.truth
        self._note("wire", f"{call.asked} {dict(call.values)}")
        if call.route.kind is not Kind.ORDERS:
            return
        while t.calls and t.calls[0] <= t.now - timedelta(minutes=1):
            t.calls.popleft()
        t.calls.append(t.now)
        if "tag" in call.values:
            tag = str(call.values["tag"])
            t.posts[tag] = t.posts.get(tag, 0) + 1
            t.posted_at[tag] = t.now
        order_id = call.names.get("order_id", "")
        if call.route.name == "order.modify":
            t.puts[order_id] = t.puts.get(order_id, 0) + 1
        self._count_kill(call)
        for rule in invariants.CALLS:
            self._judge(rule.__name__, rule.__doc__, rule(t, call))

    def _count_kill(self, call: Call) -> None:
        t, order_id = self.truth, call.names.get("order_id")
        if order_id in t.to_convert and t.killed_at is not None:
            t.to_convert.discard(order_id)
            self.counts.kills.append(t.now - t.killed_at)

    def answered(self, call: Call, data: Any) -> None:
        self._note("answer", f"{call.asked}: {data if call.route.kind is Kind.ORDERS else len(data)}")
        if call.route.kind is Kind.ORDERS:
            self.truth.refusals = (None, 0)
        self.truth.succeeded_at = self.truth.now

    def failed(self, call: Call, error: BrokerError) -> None:
        t = self.truth
        self._note("failed", f"{type(error).__name__}: {error}")
        if not isinstance(error, RejectedError) or call.route.name in ("order.modify", "order.cancel"):
            t.troubled_at = t.now
        if call.route.kind is not Kind.ORDERS:
            return
        self._count_kill(call)  # a cut cable stops it at the last step
        if "tag" in call.values and isinstance(error, RejectedError | BlockedError | NotSentError):
            t.denied[str(call.values["tag"])] = type(error).__name__
        if isinstance(error, BlockedError):
            t.blocked_at = t.now
            if call.route.name == "order.modify":
                t.puts[call.names["order_id"]] -= 1  # who is not let in is not counted
        elif isinstance(error, RejectedError):
            t.succeeded_at = t.now
            asked = (call.asked, tuple(sorted((k, v) for k, v in call.values.items() if k != "tag")))
            if "order_id" in call.names:
                t.change_refused(call)
            t.refusals = (asked, t.refusals[1] + 1 if t.refusals[0] == asked else 1)
            intent = t.intents.get(str(call.values.get("tag", "")))
            if intent is not None and intent.purpose is not Purpose.ENTRY:
                t.tickers[intent.ticker].refused_closers += 1
            rule = invariants.not_a_fourth_time
            self._judge(rule.__name__, rule.__doc__, rule(t, call))

    def heard(self, event: Event) -> None:
        self.truth.heard(event)

    # The process

    def started(self, machine: Machine, records: list[Record]) -> None:
        t = self.truth
        t.began_at, t.has_read_since_start = t.now, False
        again = invariants.recovery_is_idempotent
        self._judge(again.__name__, again.__doc__, again(t, records, machine))
        whole = invariants.recovery_forgets_nothing
        self._judge(whole.__name__, whole.__doc__, whole(t, machine))

    def died(self) -> None:
        """What the process had heard and not written down is not known any more."""
        t = self.truth
        t.began_at = None
        t.to_convert.clear()
        kept = {order.order_id for order in t.orders.values()}
        t.seen_at = {order_id: at for order_id, at in t.seen_at.items() if order_id in kept}

    def killed(self) -> None:
        """What rests now, and is known and free, has to be converted or cancelled at once (25)."""
        t = self.truth
        t.killed_at = t.now
        if t.has_read_since_start and t.could_act:
            live = [order for name in t.tickers for order in t.live(name) if t.is_shown(order)]
            t.to_convert = {order.order_id for order in live if invariants.is_to_go(t, order)}

    def touched(self, ticker: str) -> None:
        """The user's own hand."""
        self.truth.tickers[ticker].hand_at = self.truth.now

    def healed(self) -> None:
        self.truth.healed_at = self.truth.now

    def committed(self, record: Record) -> None:
        for rule in invariants.RECORDS:
            self._judge(rule.__name__, rule.__doc__, rule(self.truth, record))
        self.truth.committed(record)

    def alarmed(self, alarm: Alarm) -> None:
        self.truth.alarmed(alarm)

    def order_updated(self, order: OrderView) -> None:
        self.truth.refused_changes.pop(order.order_id, None)
        if order.pending == 0:
            self.truth.to_convert.discard(order.order_id)

    def found_a_defect(self, error: Exception) -> None:
        self._judge("no_defect", "0: no assertion of ours fails.", f"{type(error).__name__}: {error}")

    # Time

    def look(self) -> None:
        t = self.truth
        t.note_trouble()
        for trade in t.new_trades():
            self._take(t.tickers[trade.ticker], trade)
        for ticker in t.tickers.values():
            if ticker.net or t.live(ticker.name) or ticker.is_measured:
                self._measure(ticker)
                for step in invariants.STEPS:
                    self._judge(step.__name__, step.__doc__, step(t, ticker))
        t.looked_at = t.now

    def ended(self, machine: Machine) -> None:
        t = self.truth
        ends = {
            invariants.bought_is_sold: invariants.bought_is_sold(t),
            invariants.books_equal_ours: invariants.books_equal_ours(t, machine),
            invariants.every_intent_has_an_outcome: invariants.every_intent_has_an_outcome(t, machine),
            invariants.tags_are_unique: invariants.tags_are_unique(t),
        }
        for rule, found in ends.items():
            for wrong in found:
                self._judge(rule.__name__, rule.__doc__, wrong)
        ours = [order for order in t.booked() if order.request.tag]
        self.counts.orders = len(ours)
        self.counts.modifications = sum(order.modifications for order in ours)
        self.counts.unknown = len(t.unknown)
        known = {name: order for orders in machine.orders.values() for name, order in orders.items()}
        self.counts.settled = sum(not known[name].is_alive for name in t.unknown)

    def _take(self, ticker: Ticker, trade: Trade) -> None:
        """A fill: ours, the broker's, or the user's."""
        t, before, order = self.truth, ticker.net, self.truth.order(trade.order_id)
        is_entry = t.purpose(order) is Purpose.ENTRY
        wanted = ticker.takes(trade, order.request.tag is not None, opens=is_entry)
        if order.request.placed_by_hand:
            ticker.hand_at = t.now
        rule = invariants.no_reverse
        self._judge(rule.__name__, rule.__doc__, rule(t, ticker, trade, before, wanted))
        if is_entry:
            ticker.side = int(trade.side)
        self._count_fill(ticker, before)

    def _count_fill(self, ticker: Ticker, before: int) -> None:
        self.counts.fills += 1
        if before * ticker.net < 0 or (before == 0 and self._is_closing_fill()):
            self.counts.reverses += 1

    def _is_closing_fill(self) -> bool:
        t = self.truth
        return t.purpose(t.order(t.trades()[-1].order_id)) is not Purpose.ENTRY

    def _measure(self, ticker: Ticker) -> None:
        t = self.truth
        closers = t.closers(ticker)
        ticker.is_measured = bool(ticker.net or closers)
        covered, held = left(closers) + t.closed_by_the_broker(ticker), abs(ticker.net)
        shown = left([order for order in closers if t.is_shown(order)])
        if ticker.bare.since is not None:
            seconds = (t.now - t.looked_at).total_seconds()
            self.counts.paise_seconds_bare += seconds * PRICE * max(0, held - covered)
            if covered >= held:
                is_called = invariants.is_person_called(ticker, ticker.bare.since)
                ended = self.counts.handed_over if is_called else self.counts.bare
                ended.append(t.reachable_for(ticker.bare))
        if ticker.bare.lots and t.could_act and t.holds_back(ticker.name):
            ticker.bare.could_not_be_helped(t.now - t.looked_at)
        is_known = not t.hides_news(ticker.name)
        ticker.bare.changes(t.now, t.helpless, max(0, held - covered) if is_known else 0)
        # 22: what was refused three times is a person's turn; what it covers too much counts from its end.
        is_ours = is_known and not any(t.waits_for_a_person(order) for order in t.closers(ticker))
        ticker.excess.changes(t.now, t.helpless, max(0, shown - held) if is_ours and held else 0)
        self._last(ticker.strays, is_ours and held == 0 and shown > 0)
        if ticker.hand_at is not None:
            # What a race with the user has closed too many is bought back: a reverse, and not his.
            beyond = max(0, ticker.side * t.written_net(ticker.name) - abs(ticker.net))
            ticker.unadopted.changes(t.now, t.helpless, beyond if is_known else 0)
        self._last(ticker.reverse, is_known and ticker.net * ticker.side < 0)
        if covered >= held:
            ticker.refused_closers = 0

    def _last(self, lasting: Lasting, is_so: bool) -> None:
        lasting.holds(is_so, self.truth.now, self.truth.helpless)

    def _judge(self, name: str, says: str | None, wrong: str | None) -> None:
        if wrong is not None:
            number = (says or "").split(":")[0]
            self.violations.append(Violation(f"{number} {name}", wrong, self.truth.now))
            self._note("VIOLATION", f"{name}: {wrong}")
            raise BrokenError(name)
