"""What is open now, by broker and ledger together? Looked at, and left alone.

Ours is what the fills of our tags say, and never more than the broker's MIS net in that direction; whatever
else the account holds is foreign and only shown (trading.md, Reconciliation). On paper the broker is the
paper account as it was kept last. It may be asked beside a running trader.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rulebook.order_messages import BookRead, Started
from rulebook.order_records import Purpose
from rulebook.records import Side
from rulebook.stops import better, half_up, initial

if TYPE_CHECKING:
    from ledger_facts import Mark
    from rulebook.orders import Machine
    from trading_wiring import Wiring


@dataclass(frozen=True, slots=True)
class Held:
    """One open trade of ours, in rupees. `stop` is where the initial one was, `best` the best price since."""

    ticker: str
    side: Side
    qty: int
    avg_price: float
    stop: float
    best: float
    tick: float = 0.05


@dataclass(frozen=True, slots=True)
class Positions:
    """What is open. `foreign`: shares of others' making, by ticker, below zero where they are short."""

    mode: str
    is_reconciled: bool  # the broker has all that the ledger calls ours
    ours: tuple[Held, ...]
    foreign: Mapping[str, int]


def positions_now(w: "Wiring", mode: str) -> Positions:
    """Of the account of that mode."""
    from kite.books import mis_net
    from looking import books_of, past_of_today

    past, books, now = past_of_today(w, mode), books_of(w, mode), w.run.clock.now()
    machine, net = past.machine(), mis_net(books.positions)
    machine.on(Started(now))
    machine.on(BookRead(now, now, books.orders, books.trades, net))
    held = {ticker: machine.held(ticker) for ticker in machine.open_tickers}
    ours = {ticker: _within(qty, net.get(ticker, 0)) for ticker, qty in held.items()}
    foreign = {ticker: qty - ours.get(ticker, 0) for ticker, qty in net.items()}
    return Positions(
        mode,
        ours == held,
        tuple(_held(machine, ticker, qty, past.marks.get(ticker)) for ticker, qty in ours.items() if qty),
        {ticker: qty for ticker, qty in sorted(foreign.items()) if qty},
    )


def _within(ours: int, net: int) -> int:
    """Never more than the broker's net in that direction."""
    if ours * net <= 0:
        return 0
    return min(ours, net, key=abs)


def _held(machine: "Machine", ticker: str, qty: int, mark: "Mark | None") -> Held:
    """Entry and stop as the book has them; how far the price has gone, by the newest mark of the journal."""
    unit, sign = machine.units[ticker], 1 if qty > 0 else -1
    entries = [order for order in machine.orders_of(ticker) if order.purpose is Purpose.ENTRY]
    filled, value = sum(order.filled for order in entries), sum(order.value for order in entries)
    average = half_up(value, filled) // filled
    best = average if mark is None or not mark.qty else better(sign, average, mark.best)
    stop = initial(sign, average, unit.distance, unit.tick)
    return Held(ticker, Side(sign), abs(qty), value / filled / 100, stop / 100, best / 100, unit.tick / 100)
