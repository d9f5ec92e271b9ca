"""What does the broker do with a request? It counts, checks, answers, and sends it on its way.

`place`, `modify` and `cancel` answer at once: an order id, or a RefusalError. What was accepted passes the
broker's words of kite.md 3.8 with latencies drawn from the order's own stream, so that one order more does
not move the others, and is carried out on the floor. Accepted is not done: everything may still happen.

Market protection (kite.md 3.2). A MARKET order goes out as LIMIT at the protected price of the moment it
is placed; its book row says LIMIT, that price, protection 0 and the tags of the broker's sample. That the
echo is 0 is that sample alone: UNCONFIRMED. An SL-M keeps its word until it fires and is protected from
the last price then, by its own percentage or the broker's slabs: UNCONFIRMED as well.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from exchange import checks, refusals
from exchange.account import CNC, Account, Working
from exchange.agenda import MILLISECOND, ORDERS, Agenda, moment_of
from exchange.board import Board
from exchange.caps import Caps
from exchange.checks import Situation
from exchange.faults import Faults
from exchange.floor import Floor, inside, protection_tags
from exchange.nouns import Changes, Listing, OrderRequest, RefusalError, Terms
from exchange.orders import Order, Status, Wording
from exchange.register import Register
from exchange.timetable import CLOSING_ENTRY
from rulebook.charges import Rates
from rulebook.fills import automatic_protection_milli, protected_limit
from rulebook.records import OrderType, Paise, Side

_ASKABLE = frozenset({Status.OPEN, Status.TRIGGER_PENDING})


class Desk:
    """The broker's counter; `rates` are today's."""

    def __init__(
        self,
        agenda: Agenda,
        board: Board,
        register: Register,
        account: Account,
        floor: Floor,
        faults: Faults,
        terms: Terms,
        listings: Mapping[str, Listing],
        rates: Rates,
    ) -> None:
        self._agenda = agenda
        self._board = board
        self._register = register
        self._account = account
        self._floor = floor
        self._faults = faults
        self._terms = terms
        self._listings = listings
        self.rates = rates
        self.caps = Caps(terms)

    def place(self, asked: OrderRequest) -> str:
        if asked.placed_by_hand or asked.placed_by_broker:
            return self._accept(asked).order_id
        self.caps.count(self._agenda.now_us, is_placing=True)
        self._refuse_on_demand(asked)
        order = self._accept(asked)
        if self._strikes("executed_twice", asked.ticker):
            with suppress(RefusalError):  # one answer comes back, that of the first
                self.caps.count(self._agenda.now_us, is_placing=True)
                self._accept(asked)
        return order.order_id

    def modify(self, order_id: str, changes: Changes, *, by_hand: bool = False) -> str:
        order = self._asked_of(order_id, "modified", by_hand)
        if order.modifications >= self._terms.modifications and not by_hand:
            raise refusals.modifications_exceeded()
        said, tags = self._changed(order, changes, by_hand)
        order.modifications += 1
        order.tags += tuple(tag for tag in tags if tag not in order.tags)
        self._register.request("modify", order)
        self._register.move(order, Status.MODIFY_VALIDATION_PENDING)
        validated_us = self._later(order, self._agenda.now_us)
        self._at(validated_us, order, Status.MODIFY_VALIDATION_PENDING, Status.MODIFY_PENDING)
        arrives_us = self._later(order, validated_us)
        self._agenda.write(arrives_us, ORDERS, lambda: self._floor.change(order, said))
        return order_id

    def cancel(self, order_id: str, *, by_hand: bool = False) -> str:
        order = self._asked_of(order_id, "cancelled", by_hand)
        self._register.request("cancel", order)
        self._register.move(order, Status.CANCEL_PENDING)
        arrives_us = self._later(order, self._agenda.now_us)
        if self._strikes("cancel_loses_race", order.ticker):
            self._agenda.write(arrives_us, ORDERS, lambda: self._floor.fill_before_cancel(order))
        self._agenda.write(arrives_us, ORDERS, lambda: self._floor.cancel(order))
        return order_id

    def margin_of(self, asked: OrderRequest) -> int:
        """What the order would block by itself, whatever is open."""
        now = self._situation(checks.check_listing(self._listings.get(asked.ticker)))
        price = asked.price or asked.trigger or now.last
        return self._account.margin(asked.ticker, asked.product, asked.qty * price)

    # A new order

    def _accept(self, asked: OrderRequest) -> Order:
        listing = checks.check_listing(self._listings.get(asked.ticker))
        checks.check_fields(asked)
        checks.check_needed(asked.order_type, asked.price or 0, asked.trigger or 0)
        now = self._situation(listing)
        asked_for = Wording(
            asked.qty,
            asked.order_type,
            asked.price or Paise(0),
            asked.trigger or Paise(0),
            None,
            asked.protection_milli,
            asked.validity,
            asked.disclosed_qty,
        )
        said, tags = worded(asked_for, asked.side, now, asked.placed_by_hand or asked.placed_by_broker)
        if not asked.placed_by_broker:
            checks.check_wording(said, asked.side, now)
            checks.check_session(said, now)
            checks.check_trigger(said, asked.side, now)
            checks.check_product(asked, now)
            self._check_means(asked, self._weighed(asked, said), None)
        own_tag = () if asked.tag is None else (asked.tag,)
        order = self._register.open(asked, said, (*own_tag, *tags))
        self._hide(order)
        self._send(order)
        return order

    def _send(self, order: Order) -> None:
        """On its way: validated, sent, there; or turned back by risk management."""
        validated_us = self._later(order, self._agenda.now_us)
        sent_us = self._later(order, validated_us)
        arrives_us = self._later(order, sent_us)
        self._at(validated_us, order, Status.RECEIVED, Status.VALIDATION_PENDING)
        rejected = self._faults.strikes("rejected_later", self._agenda.now, order.ticker)
        if rejected is not None and not order.request.placed_by_broker:
            late_us = validated_us + 1 + max(0, rejected.value) * MILLISECOND
            self._agenda.write(late_us, ORDERS, lambda: self._turn_back(order, refusals.RMS_ANY))
            return
        self._at(sent_us, order, Status.VALIDATION_PENDING, Status.OPEN_PENDING)
        self._agenda.write(arrives_us, ORDERS, lambda: self._arrive(order))

    def _arrive(self, order: Order) -> None:
        """At the exchange's door; risk management looks once more."""
        if order.request.product != CNC and not order.request.placed_by_broker:
            ends_us = self._board.today(order.ticker).mis_ends_us
            if ends_us is None or self._agenda.now_us >= ends_us:
                return self._turn_back(order, refusals.RMS_MIS.format(order.ticker))
        return self._floor.enter(order)

    def _turn_back(self, order: Order, message: str) -> None:
        self._register.move(order, Status.REJECTED, message)

    def _hide(self, order: Order) -> None:
        late = self._faults.strikes("late_in_book", self._agenda.now, order.ticker)
        if late is not None:
            order.hidden_until_us = self._agenda.now_us + late.value * MILLISECOND

    # A change of one

    def _asked_of(self, order_id: str, what: str, by_hand: bool) -> Order:
        """The order, if something may be asked of it now."""
        if not by_hand:
            self.caps.count(self._agenda.now_us, is_placing=False)
        order = self._register.orders.get(order_id)
        if order is None:
            raise refusals.unknown_order()
        if order.status not in _ASKABLE or (not by_hand and self._strikes("being_processed", order.ticker)):
            raise refusals.being_processed(what)
        return order

    def _changed(self, order: Order, changes: Changes, by_hand: bool) -> tuple[Wording, tuple[str, ...]]:
        """What the order would say, checked like a new one."""
        before, now = order.wording, self._situation(self._listings[order.ticker])
        order_type = changes.order_type or before.order_type
        milli = before.protection_milli if changes.protection_milli is None else changes.protection_milli
        checks.check_protection(order_type, milli, by_hand or before.is_market)
        asked_for = Wording(
            before.qty if changes.qty is None else changes.qty,
            order_type,
            before.price if changes.price is None else changes.price,
            before.trigger if changes.trigger is None else changes.trigger,
            None,
            milli,
            changes.validity or before.validity,
            before.disclosed_qty if changes.disclosed_qty is None else changes.disclosed_qty,
        )
        checks.check_needed(order_type, asked_for.price, asked_for.trigger)
        said, tags = worded(asked_for, order.side, now, by_hand or before.is_market)
        checks.check_wording(said, order.side, now)
        checks.check_session(said, now)
        if not order.was_triggered:
            checks.check_trigger(said, order.side, now)
        self._check_means(order.request, self._register.as_working(order, said), order)
        return said, tags

    # Checks that need the account

    def _check_means(self, asked: OrderRequest, wanted: Working, instead_of: Order | None) -> None:
        """Shares to deliver, and margin for what it adds; what only reduces is free."""
        others = self._register.working(instead_of)
        if asked.product == CNC and asked.side is Side.SELL:
            sellable = self._account.sellable(asked.ticker, others)
            if wanted.left > sellable:
                raise refusals.no_holdings(asked.ticker, sellable)
        before = self._account.blocked(self._register.working())
        more = self._account.blocked([*others, wanted]) - before
        if more > 0:
            available = self._account.funds(self._register.working(), self._last, self.rates).available
            if more > available:
                raise refusals.no_margin(more, available)

    def _weighed(self, asked: OrderRequest, said: Wording) -> Working:
        price = said.price or said.trigger or said.margin_price
        return Working(asked.ticker, asked.product, asked.side, said.qty, price)

    def _last(self, ticker: str) -> Paise:
        return self._board.last(ticker, self._agenda.now_us)

    def _situation(self, listing: Listing) -> Situation:
        page = self._board.today(listing.ticker)
        phase = page.timetable.phase_at(self._agenda.now_us)
        ends_us = page.mis_ends_us
        return Situation(
            listing=listing,
            last=self._last(listing.ticker),
            lower=page.lower,
            upper=page.upper,
            phase=phase,
            reference=self._board.reference(page) if phase in CLOSING_ENTRY else None,
            mis_ends="" if ends_us is None else f"{moment_of(ends_us):%H:%M}",
            is_mis_open=ends_us is not None and self._agenda.now_us < ends_us,
        )

    # Time and faults

    def _later(self, order: Order, us: int) -> int:
        least, most = self._terms.latency_ms_least, self._terms.latency_ms_most
        return us + order.luck.randint(least * MILLISECOND, most * MILLISECOND)

    def _at(self, us: int, order: Order, expected: Status, status: Status) -> None:
        """Its next word then, unless something else has happened to it."""

        def move() -> None:
            if order.status is expected:
                self._register.move(order, status)

        self._agenda.write(us, ORDERS, move)

    def _strikes(self, name: str, ticker: str) -> bool:
        return self._faults.strikes(name, self._agenda.now, ticker) is not None

    def _refuse_on_demand(self, asked: OrderRequest) -> None:
        fault = self._faults.strikes("refused", self._agenda.now, asked.ticker)
        if fault is not None:
            raise refusals.ON_DEMAND.get(fault.text, refusals.ON_DEMAND["margin"])()


def worded(said: Wording, side: Side, now: Situation, is_exempt: bool) -> tuple[Wording, tuple[str, ...]]:
    """What goes out for what was asked, and the tags that the broker adds."""
    if said.order_type is OrderType.LIMIT:
        return replace(said, trigger=Paise(0), limit=said.price, protection_milli=0), ()
    if said.order_type is OrderType.SL:
        return replace(said, limit=said.price, protection_milli=0), ()
    if said.order_type is OrderType.SL_M:
        return replace(said, price=Paise(0), limit=None), ()
    if said.protection_milli == 0 and is_exempt:
        bound = now.upper or Paise(2 * now.last) if side is Side.BUY else now.lower or now.listing.tick
        said = replace(said, price=Paise(0), trigger=Paise(0), limit=bound)
        return replace(said, is_market=True, margin_price=now.last), ()
    milli = said.protection_milli
    if milli == checks.AUTOMATIC:
        milli = automatic_protection_milli(now.last)
    limit = inside(
        now.listing.tick, now.lower, now.upper, protected_limit(side, now.last, milli, now.listing.tick)
    )
    said = replace(said, order_type=OrderType.LIMIT, price=limit, trigger=Paise(0), limit=limit)
    return replace(said, protection_milli=0, is_protected=True), protection_tags(milli)
