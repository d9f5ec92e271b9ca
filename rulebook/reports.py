"""What is the book told about its orders? The machine's facts, as differences since the last time.

The machine (orders.py) knows orders, and the book knows trades. After each event of the machine this file
compares what a ticker's trade has come to with what the book was told of it, and says the difference: shares
that entered, where the stop rests, shares that left, that no share will come. It keeps nothing else, so after
a crash the book is told the whole again, in the same words.

What an order row tells of a value is an average, rounded; the fills tell it to the paisa. So shares are told
as entered at once, and their value again when it is exact; as gone once their fills are known. The last ones
are told as gone when no order is left that could trade: until then the trade is not over.

Shares that another hand has closed leave at the last price. Where more was closed than there was, the reverse
is closed at once by the machine; the book hears of the end when it is over, and its value has what that cost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from rulebook.events import Entered, EntryEnded, Event, Left, StopRests, Strayed
from rulebook.order_records import Order, Purpose, Status, Unit
from rulebook.orders import Machine
from rulebook.records import ExitReason, Paise, Phase
from rulebook.stops import half_up


@dataclass(frozen=True, slots=True)
class Came:
    """What a trade has come to: shares and their value, in and out."""

    trade: int
    qty: int = 0
    value: int = 0
    gone: int = 0
    gone_value: int = 0
    lost: int = 0  # of them by another hand
    lost_value: int = 0
    stop: Paise | None = None
    is_over: bool = False
    bought: int = 0  # of all orders, whatever they were for
    sold: int = 0


class Reports:
    """Of one machine, and one book."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._told: dict[str, Came] = {}

    def begin(self, ticker: str) -> None:
        """Whatever this ticker's trade has come to will be told from its beginning."""
        self._told.pop(ticker, None)

    def settle(self, ticker: str) -> None:
        """Nothing that is known of this ticker now is to be told."""
        unit = self._machine.units.get(ticker)
        if unit is not None:
            self._told[ticker] = self._came(unit, Came(unit.trade), Paise(0))

    def news(self, at: datetime, ticker: str, last: Paise, intended: Paise | None) -> Iterator[Event]:
        """What the book must hear about this ticker, in the order in which it can.

        `last` is its last price, `intended` the one at which leaving was decided.
        """
        unit = self._machine.units.get(ticker)
        if unit is None:
            return
        before = self._told.get(ticker, Came(0))
        if before.trade != unit.trade:
            before = Came(unit.trade)
        now = self._came(unit, before, last)
        if before.is_over:
            yield from self._after_the_end(unit, before, now)
            return
        self._told[ticker] = now
        if (now.qty, now.value) != (before.qty, before.value):
            yield Entered(_filled_at(self._machine.orders_of(ticker), at), ticker, now.qty, now.value)
        if now.stop is not None and now.stop != before.stop:
            yield StopRests(at, ticker, now.stop)
        if now.gone > before.gone:
            yield self._left(at, unit, before, now, intended)
        if now.is_over and now.qty == 0:
            yield EntryEnded(ticker)

    def _after_the_end(self, unit: Unit, before: Came, now: Came) -> Iterator[Event]:
        """An order that showed late, or was executed twice: the machine undoes it, and it has its price."""
        bought, sold = now.bought - before.bought, now.sold - before.sold
        if now.is_over and (bought or sold):
            self._told[unit.ticker] = now
            yield Strayed(unit.ticker, bought, sold)

    def _came(self, unit: Unit, before: Came, last: Paise) -> Came:
        sign, orders = int(unit.side), self._machine.orders_of(unit.ticker)
        entries = [order for order in orders if order.purpose is Purpose.ENTRY]
        closers = [order for order in orders if order.purpose is not Purpose.ENTRY]
        qty, value = sum(o.filled - o.carried for o in entries), sum(map(_value, entries))
        lost, lost_value = _lost(unit, before, last)
        gone = lost - sign * sum(order.net for order in closers)
        gone_value = lost_value - sign * sum(order.side * _value(order) for order in closers)
        is_over = self._machine.phase(unit.ticker) is Phase.FLAT
        is_over = is_over and not self._machine.lacks_fills(unit.ticker)
        must_wait = self._machine.lacks_fills(unit.ticker) or (gone >= qty and not is_over)
        if must_wait or gone <= before.gone:  # a value that changes alone is told with the next shares
            gone, gone_value = before.gone, before.gone_value
        stop = _resting(closers) or before.stop
        bought, sold = (sum(_value(o) for o in orders if o.side == side) for side in (1, -1))
        return Came(
            unit.trade, qty, value, min(gone, qty), gone_value, lost, lost_value, stop, is_over, bought, sold
        )

    def _left(self, at: datetime, unit: Unit, before: Came, now: Came, intended: Paise | None) -> Left:
        orders = [o for o in self._machine.orders_of(unit.ticker) if o.purpose is not Purpose.ENTRY]
        qty, value = now.gone - before.gone, now.gone_value - before.gone_value
        average = Paise(half_up(max(value, qty), qty) // qty)
        reason = unit.reason or ExitReason.STOP
        meant = (now.stop if reason is ExitReason.STOP else intended) or average
        return Left(_filled_at(orders, at), unit.ticker, qty, value, average, reason, meant)


def _lost(unit: Unit, before: Came, last: Paise) -> tuple[int, int]:
    """Valued when it was found missing; of what is found again, its share goes."""
    if unit.lost >= before.lost:
        return unit.lost, before.lost_value + (unit.lost - before.lost) * last
    return unit.lost, before.lost_value * unit.lost // before.lost


def _value(order: Order) -> int:
    """Of the shares that belong to this trade."""
    mine = order.filled - order.carried
    return order.value if mine == order.filled else order.value * mine // order.filled


def _resting(closers: Iterable[Order]) -> Paise | None:
    """Where the newest stop that the broker has shown rests."""
    seen = [o for o in closers if o.purpose is Purpose.STOP and o.status is Status.TRIGGER_PENDING]
    return seen[-1].terms.trigger if seen else None


def _filled_at(orders: Iterable[Order], at: datetime) -> datetime:
    """By the last fill that the trades tell; before they do, now."""
    return max((fill.at for order in orders for fill in order.fills), default=at)
