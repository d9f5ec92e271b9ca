"""What is one ticker during one event? Its unit and orders as they become, and what is to be sent for it.

orders.py opens a draft, order_news.py writes facts into it, order_plan.py asks for requests.
Nothing is real until the machine commits the whole draft: an event that raises has changed nothing.
Each request is written into the order before its effect is noted, so the record says all that is sent.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from rulebook import stops
from rulebook.order_messages import Alarm, AskAgain, Cancel, Effect, Filled, Modify, Place, Price
from rulebook.order_records import (
    MODIFICATIONS_MOST,
    REFUSALS_MOST,
    Ask,
    Order,
    Purpose,
    Record,
    Request,
    Severity,
    Status,
    Terms,
    Unit,
    Want,
)
from rulebook.records import Paise, Phase, Side, client_id, tag_of


@dataclass(slots=True)
class Echo:
    """An order that the book shows with other terms than ours, since our last change of it or longer."""

    shown: tuple[int, Paise | None]
    since: datetime
    times: int = 0  # reads that began after our last change
    late: int = 0  # of them those that no lag explains
    repeats: int = 0

    def repeated(self) -> None:
        self.times, self.repeats = 0, self.repeats + 1


@dataclass(slots=True)
class Shortfall:
    """Shares that we hold by our fills and the broker's position does not have, in reads in a row."""

    shown: int
    since: datetime  # reads agree about `shown`
    least: int  # in all of them: so many are gone at any rate
    times: int = 0


@dataclass(slots=True)
class Sight:
    """What was not in the books that were read. It dies with the process: a new one looks again."""

    since: datetime | None = None  # when this process started
    began: datetime | None = None  # of the newest read
    absent: dict[str, int] = field(default_factory=dict)  # reads in a row without this order
    echoes: dict[str, Echo] = field(default_factory=dict)
    moving: set[str] = field(default_factory=set)  # refused as being processed while on their way
    missed: dict[str, Terms] = field(default_factory=dict)  # asked for, and not shown by the read that judged
    shortfalls: dict[str, Shortfall] = field(default_factory=dict)  # by ticker
    strangers: dict[str, bool] = field(default_factory=dict)
    wholes: dict[str, datetime] = field(default_factory=dict)  # books that agreed with themselves, by ticker


class Draft:
    """The whole of a ticker, open for change."""

    def __init__(
        self, at: datetime, why: str, ticker: str, unit: Unit | None, orders: dict[str, Order], sight: Sight
    ) -> None:
        self.at = at
        self.why = why
        self.ticker = ticker
        self.before = (unit, orders)
        self.unit = unit
        self.orders = dict(orders)
        self.sight = sight
        self.quote: Price | None = None
        self.just_read = False
        self.knows_position = False  # from the books that were just read
        self.halted = False
        self.wants_read = False
        self.wire: list[Effect] = []
        self.told: list[Effect] = []

    # What it is

    @property
    def asked(self) -> Unit:
        assert self.unit is not None, f"{self.ticker}: no entry was ever asked for"
        return self.unit

    @property
    def ours(self) -> list[Order]:
        return orders_of(self.unit, self.orders)

    def of(self, *purposes: Purpose) -> list[Order]:
        return [order for order in self.ours if order.purpose in purposes]

    @property
    def closers(self) -> list[Order]:
        return [order for order in self.of(Purpose.STOP, Purpose.EXIT) if order.is_alive]

    @property
    def held(self) -> int:
        return held_of(self.unit, self.ours)

    @property
    def held_before(self) -> int:
        """What was held before this event."""
        unit, orders = self.before
        return held_of(unit, orders_of(unit, orders))

    @property
    def phase(self) -> Phase:
        return phase_of(self.unit, self.ours)

    def may_ask(self, order: Order) -> bool:
        """Whether a modify or cancel of it can go out now; three equal refusals wait for news of it."""
        waits = order.not_before is not None and self.at < order.not_before
        return order.is_free and order.refusals < REFUSALS_MOST and not waits

    def is_asked_again_soon(self, order: Order) -> bool:
        """Nothing but RETRY holds the next request back."""
        waits = order.not_before is not None and self.at < order.not_before
        return waits and order.is_free and order.refusals < REFUSALS_MOST

    def may_modify(self, order: Order, most: int = MODIFICATIONS_MOST) -> bool:
        return self.may_ask(order) and not order.fixed and order.modifications < most

    # What changes

    def change(self, **fields: Any) -> Unit:
        self.unit = replace(self.asked, **fields)
        return self.unit

    def update(self, order: Order, **fields: Any) -> Order:
        self.orders[order.client_id] = changed = replace(order, **fields)
        return changed

    def record(self) -> Record | None:
        """What the journal must hold before anything of this draft is carried out."""
        unit, orders = self.before
        changed = tuple(o for name, o in self.orders.items() if orders.get(name) != o)
        if self.unit == unit and not changed:
            return None
        return Record(self.at, self.why, self.unit if self.unit != unit else None, changed)

    # What is asked for

    def place(self, purpose: Purpose, side: Side, terms: Terms, name: str = "") -> Order:
        assert terms.qty > 0
        name = name or self._mint(purpose, side)
        order = Order(
            name, tag_of(name), self.ticker, side, purpose, self.asked.trade, terms,
            sent_at=self.at, acted_at=self.at, news_at=self.at,
        )  # fmt: skip
        self.orders[name] = order
        urgent = purpose is not Purpose.ENTRY
        self.wire.append(Place(name, order.tag, self.ticker, side, terms, purpose, urgent))
        return order

    def modify(self, order: Order, terms: Terms) -> None:
        assert order.order_id is not None
        self.sight.missed.pop(order.client_id, None)  # what is asked now is what counts
        request = self._request(order, Ask.MODIFY, terms)
        self.update(
            order,
            request=request,
            requests=order.requests + 1,
            modifications=order.modifications + 1,
            acted_at=self.at,
        )
        self.wire.append(Modify(request.ref, order.client_id, order.order_id, self.ticker, terms))

    def cancel(self, order: Order, **fields: Any) -> None:
        assert order.order_id is not None
        request = self._request(order, Ask.CANCEL, None)
        self.update(
            order,
            request=request,
            requests=order.requests + 1,
            acted_at=self.at,
            cancel_asked=True,
            **fields,
        )
        self.wire.append(Cancel(request.ref, order.client_id, order.order_id, self.ticker))

    def alarm(self, text: str, severity: Severity = Severity.WARNING) -> None:
        self.told.append(Alarm(self.at, self.ticker, text, severity))

    def tell(self, effect: Filled | AskAgain) -> None:
        self.told.append(effect)

    def _request(self, order: Order, ask: Ask, terms: Terms | None) -> Request:
        return Request(f"{order.client_id}#{order.requests + 1}", ask, self.at, terms)

    def _mint(self, purpose: Purpose, side: Side) -> str:
        """All names of a unit follow from its entry's, which was handed in: no randomness is needed here."""
        unit = self.change(minted=self.asked.minted + 1)
        digest = hashlib.sha256(f"{unit.client_id}/{unit.trade}/{purpose}/{unit.minted}".encode())
        return client_id(self.ticker, side, self.at, digest.hexdigest()[:8])


def orders_of(unit: Unit | None, orders: Mapping[str, Order]) -> list[Order]:
    """The orders of the trade that is on, oldest first."""
    return [order for order in orders.values() if unit is not None and order.trade == unit.trade]


def held_of(unit: Unit | None, ours: Iterable[Order]) -> int:
    """Our open shares in the direction of the entry; negative where we closed more than we had."""
    return unit.side * sum(order.net for order in ours) - unit.lost if unit else 0


def phase_of(unit: Unit | None, ours: Sequence[Order]) -> Phase:
    """The first that applies: a ticker is never calmer than the worst that is known about it."""
    alive, held = [order for order in ours if order.is_alive], held_of(unit, ours)
    if unit is None or (not alive and held == 0):
        return Phase.FLAT
    if unit.want is Want.STUCK:
        return Phase.STUCK
    if any(order.is_unsure or (order.request and order.request.unsure_since) for order in alive):
        return Phase.UNKNOWN
    if unit.want is Want.EXIT or held < 0:
        return Phase.EXITING
    if any(order.purpose is Purpose.ENTRY for order in alive):
        return Phase.ENTERING
    return Phase.PROTECTED if held else Phase.EXITING


def inside(unit: Unit, price: int) -> Paise:
    """Within the day's circuit limits: what lies outside is refused (K#3141)."""
    price = max(price, unit.lower if unit.lower is not None else unit.tick)
    return Paise(min(price, unit.upper) if unit.upper is not None else price)


def stop_at(unit: Unit, entries: Iterable[Order]) -> Paise | None:
    """Average fill less or plus the distance, and never looser than it already was.

    What must not be counts only while nothing else is there: its exit may be in doubt, and it is held.
    """
    brought = [order for order in entries if order.filled > order.carried]
    wanted = [order for order in brought if not order.excess] or brought
    filled, value = sum(o.filled for o in wanted), sum(o.value for o in wanted)
    if filled == 0:
        return unit.stop
    sign = int(unit.side)
    average = sign * (sign * value // filled)
    first = inside(unit, stops.initial(sign, average, unit.distance, unit.tick))
    return first if unit.stop is None else Paise(stops.better(sign, unit.stop, first))


def is_seen(order: Order) -> bool:
    """Whether the broker's book has ever shown it."""
    return order.order_id is not None and order.status > Status.ACCEPTED
