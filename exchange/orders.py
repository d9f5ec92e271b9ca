"""How does an order live at the broker? Its numbers, its words in between, and which may follow which.

Theory of operation
-------------------
An order has two lives. What the broker's book says of it is a word (kite.md 3.8), and each change of it
leaves a row in the history; MOVES is the whole table, and `become` asserts it. Where the order really is,
the stage, is the exchange's matter: on its way, waiting for its trigger, working, or over. The two differ
on purpose. While the word is MODIFY PENDING the order still works on its old terms and may fill, and then
what was asked of it comes too late.

Shares are counted once: what was filled, what was cancelled, and what is pending make the quantity, the
filled ones never fall, and a final word is the last.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from random import Random

from exchange.agenda import moment_of
from exchange.nouns import OrderRequest, OrderView
from rulebook.records import OrderType, Paise, Side

NO_PRICE = Paise(0)
STOPS = (OrderType.SL, OrderType.SL_M)


class Status(StrEnum):
    """As the broker spells them."""

    RECEIVED = "PUT ORDER REQ RECEIVED"
    VALIDATION_PENDING = "VALIDATION PENDING"
    OPEN_PENDING = "OPEN PENDING"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER PENDING"
    MODIFY_VALIDATION_PENDING = "MODIFY VALIDATION PENDING"
    MODIFY_PENDING = "MODIFY PENDING"
    MODIFIED = "MODIFIED"
    NOT_MODIFIED = "NOT MODIFIED"
    CANCEL_PENDING = "CANCEL PENDING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class Stage(IntEnum):
    """Where it is, at the exchange."""

    ON_ITS_WAY = 1
    WAITING = 2  # for its trigger
    WORKING = 3
    OVER = 4


_ENDS = frozenset({Status.COMPLETE, Status.CANCELLED})
_RESTING = frozenset({Status.OPEN, Status.TRIGGER_PENDING})
_ASKED = frozenset({Status.MODIFY_VALIDATION_PENDING, Status.CANCEL_PENDING})

# The same word again is a row too: a partial fill, or a trigger while something is asked of the order.
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.RECEIVED: frozenset({Status.VALIDATION_PENDING}),
    Status.VALIDATION_PENDING: frozenset({Status.OPEN_PENDING, Status.REJECTED}),
    Status.OPEN_PENDING: _RESTING | {Status.REJECTED},
    Status.TRIGGER_PENDING: _ASKED | {Status.OPEN, Status.CANCELLED},
    Status.OPEN: _ASKED | _ENDS | {Status.OPEN},
    Status.MODIFY_VALIDATION_PENDING: _ENDS | {Status.MODIFY_VALIDATION_PENDING, Status.MODIFY_PENDING},
    Status.MODIFY_PENDING: _ENDS | {Status.MODIFY_PENDING, Status.MODIFIED, Status.NOT_MODIFIED},
    Status.MODIFIED: _RESTING,
    Status.NOT_MODIFIED: _RESTING,
    Status.CANCEL_PENDING: _ENDS | {Status.CANCEL_PENDING},
    Status.COMPLETE: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.REJECTED: frozenset(),
}
FINAL = frozenset(status for status, following in MOVES.items() if not following)


@dataclass(frozen=True, slots=True)
class Wording:
    """What an order says, after conversion: `price` and `order_type` are shown, `limit` is what binds."""

    qty: int
    order_type: OrderType
    price: Paise  # 0: none
    trigger: Paise  # 0: none
    limit: Paise | None  # None: a stop that gets its limit when it triggers
    protection_milli: int = 0
    validity: str = "DAY"
    disclosed_qty: int = 0
    is_market: bool = False  # of the user's own hand or the broker's: nothing protects it
    is_protected: bool = False  # a MARKET order that went out as LIMIT at the protected price
    margin_price: Paise = NO_PRICE  # where it has no price of its own

    @property
    def is_stop(self) -> bool:
        return self.order_type in STOPS


@dataclass(slots=True, eq=False)
class Order:
    serial: int
    order_id: str
    request: OrderRequest
    wording: Wording
    placed_us: int
    luck: Random  # its own latencies
    tags: tuple[str, ...] = ()
    status: Status = Status.RECEIVED
    stage: Stage = Stage.ON_ITS_WAY
    filled: int = 0
    cancelled: int = 0
    value: int = 0
    modifications: int = 0
    exchange_order_id: str | None = None
    exchange_us: int | None = None
    updated_us: int | None = None
    message: str | None = None
    message_raw: str | None = None
    priority: int = 0  # its place in time among our own at the exchange
    ahead: int | None = None  # shares of others at its price that go first; None: not shown yet
    was_triggered: bool = False
    is_fresh: bool = True  # it has not met the other side yet
    hidden_until_us: int = 0  # fault late_in_book
    rejected_at_us: int | None = None  # fault rejected_later
    slice_qty: int = 0  # fault partial_fills
    next_slice_us: int = 0
    at_most: int | None = None  # fault band_reached: what it may get until it is modified
    rows: list[tuple[int, OrderView]] = field(default_factory=list)

    @property
    def ticker(self) -> str:
        return self.request.ticker

    @property
    def side(self) -> Side:
        return self.request.side

    @property
    def left(self) -> int:
        return self.wording.qty - self.filled - self.cancelled

    @property
    def is_live(self) -> bool:
        return self.stage is not Stage.OVER

    @property
    def view(self) -> OrderView:
        return self.rows[-1][1]

    def become(self, status: Status, us: int, message: str | None = None, raw: str | None = None) -> None:
        """The next word, and its row."""
        # RECEIVED is also the first row of all.
        assert status in MOVES[self.status] or not self.rows, f"{self.order_id}: {self.status} -> {status}"
        self.status = status
        if message is not None:
            self.message, self.message_raw = message, raw if raw is not None else message
        if status in FINAL:
            self.stage = Stage.OVER
        if status is Status.CANCELLED:
            self.cancelled = self.left
        self.write_row(us)

    def take(self, qty: int, price: Paise, us: int) -> None:
        """Shares that changed hands for it."""
        limit = self.wording.limit
        assert self.stage is Stage.WORKING and 0 < qty <= self.left
        assert limit is not None and self.side * (price - limit) <= 0, f"{self.order_id}: {price}, {limit}"
        self.filled += qty
        self.value += qty * price
        self.exchange_us = us
        if self.left == 0:
            self.become(Status.COMPLETE, us)
        else:
            self.write_row(us)

    def write_row(self, us: int) -> None:
        self.updated_us = us
        self.rows.append((us, self._seen()))

    def _seen(self) -> OrderView:
        said = self.wording
        return OrderView(
            order_id=self.order_id,
            exchange_order_id=self.exchange_order_id,
            request=self.request,
            order_type=said.order_type,
            qty=said.qty,
            price=said.price,
            trigger=said.trigger,
            status=self.status.value,
            filled=self.filled,
            cancelled=self.cancelled,
            value=self.value,
            placed_at=moment_of(self.placed_us),
            exchange_at=None if self.exchange_us is None else moment_of(self.exchange_us),
            updated_at=None if self.updated_us is None else moment_of(self.updated_us),
            modifications=self.modifications,
            protection_milli=0,  # the broker's sample of a converted order; UNCONFIRMED (kite.md 3.2)
            tags=self.tags,
            message=self.message,
            message_raw=self.message_raw,
        )
