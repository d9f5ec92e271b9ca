"""What does an order cost in charges, to the paisa, under the rates of its day?

Equity on NSE, intraday, at Zerodha: brokerage, STT, exchange and SEBI fees, stamp duty, GST, and the
fee of the broker's own square-off. facts.py reads the rates; knows no file, no clock and no caller.

Units and rounding
------------------
Rates are parts per billion, so 0.00307 % is exactly 30,700; caps and fees are paise. A rate times a
value in paise is then a whole number of billionths of a paisa (`nano`): the items of an order are
exact, and one rounding is left, that of their sum, half up to the paisa. What an order costs is what
the ledger books, and a trade costs the sum of its orders, in whatever sequence they are added.

The broker takes each rate on the day's turnover and prints paise, so rounding each item of each order
would drift from its note: Rs 50,000 in and out would cost 53.16 instead of 53.14 (kite.md 7). For a
report `split` therefore sums the exact items first and rounds each of them once; these can miss the
booked total by some paise. STT and stamp duty become whole rupees on the day's contract note, over all
trades of that day; no single trade owns a part of that rounding, so it is left out here (at most half
a rupee each, a day).

int64
-----
fast.py compiles these functions. For an order of Rs 10 crore (10^10 paise) and rates of 1 % (10^7, the
most that facts.py admits) an item is 10^17 and the sum below 10^18, of 9.2 x 10^18. Only GST would not
fit, 3 x 10^17 times up to 10^4; it is multiplied in two parts. `rates` is read by column, so that it
can be a Rates or a row of an array with one row a day.

How a rate that is not confirmed is read
----------------------------------------
As in hours.py a day is read under the newest confirmed row of an item and each unconfirmed one after
it, or under all of them while none is confirmed. The dearest reading is charged: an edge that is there
only when a doubtful rate is the cheap one is no edge. A day before an item's first row has no rates.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import chain
from typing import NamedTuple

from rulebook.hours import Dated
from rulebook.records import Paise, Side
from rulebook.trades import gross_paise

PARTS = 1_000_000_000
BPS = 10_000

# Columns of Rates.
(BROKERAGE, BROKERAGE_MOST, STT, EXCHANGE, SEBI, STAMP, GST, GST_ON_SEBI, SQUARE_OFF) = range(9)  # fmt: skip


class Rates(NamedTuple):
    """What holds on one day. A named tuple, because compiled code takes one as it is."""

    brokerage_ppb: int
    brokerage_most: int  # paise an order
    stt_ppb: int
    exchange_ppb: int
    sebi_ppb: int
    stamp_ppb: int
    gst_bps: int
    gst_on_sebi: int  # 1 where the SEBI fee is taxed too: since 2022-07-18
    square_off: int  # paise an order, before GST


# --- one order: exact items, in billionths of a paisa ----------------------------------------------


def brokerage(value: int, rates: Sequence[int]) -> int:
    """Per order, however many fills it had; two orders have a cap each."""
    return min(value * rates[BROKERAGE], rates[BROKERAGE_MOST] * PARTS)


def stt(sign: int, value: int, rates: Sequence[int]) -> int:
    return value * rates[STT] if sign < 0 else 0


def exchange_fee(value: int, rates: Sequence[int]) -> int:
    return value * rates[EXCHANGE]


def sebi_fee(value: int, rates: Sequence[int]) -> int:
    return value * rates[SEBI]


def stamp(sign: int, value: int, rates: Sequence[int]) -> int:
    return value * rates[STAMP] if sign > 0 else 0


def gst(taxed: int, rates: Sequence[int]) -> int:
    """In two parts, because the plain product does not fit into int64."""
    return taxed // BPS * rates[GST] + taxed % BPS * rates[GST] // BPS


def gst_of_order(value: int, rates: Sequence[int]) -> int:
    """On brokerage and both fees; taxes are not taxed."""
    fees = exchange_fee(value, rates) + sebi_fee(value, rates) * rates[GST_ON_SEBI]
    return gst(brokerage(value, rates) + fees, rates)


# --- orders and trades, in paise -------------------------------------------------------------------


def to_paise(nano: int) -> int:
    """Half up."""
    return (nano + PARTS // 2) // PARTS


def order_charges(sign: int, value: int, rates: Sequence[int]) -> int:
    """What one executed order costs: `sign` +1 bought, -1 sold; `value` is price x quantity."""
    levies = stt(sign, value, rates) + stamp(sign, value, rates)
    fees = brokerage(value, rates) + exchange_fee(value, rates) + sebi_fee(value, rates)
    return to_paise(levies + fees + gst_of_order(value, rates))


def round_trip(sign: int, entry_value: int, exit_value: int, rates: Sequence[int]) -> int:
    """One order in, one order out."""
    return order_charges(sign, entry_value, rates) + order_charges(-sign, exit_value, rates)


def square_off_fee(rates: Sequence[int]) -> int:
    """What the broker takes on top of an order by which it closed the position itself."""
    fee = rates[SQUARE_OFF] * PARTS
    return to_paise(fee + gst(fee, rates))


def cost_per_share(price: int, qty: int, fill_cost_bps: int, rates: Sequence[int]) -> int:
    """What a share is expected to lose by going in and out at this price, rounded up.

    `fill_cost_bps` is half a spread and slippage, against us on both fills.
    """
    value = price * qty
    costs = round_trip(1, value, value, rates) * BPS + 2 * value * fill_cost_bps
    return -(-costs // (BPS * qty))


def net_paise(sign: int, entry_value: int, exit_value: int, rates: Sequence[int]) -> int:
    """What a trade of two orders earns after charges."""
    return gross_paise(sign, entry_value, exit_value) - round_trip(sign, entry_value, exit_value, rates)


def break_even(sign: int, entry_value: int, qty: int, tick: int, rates: Sequence[int]) -> int:
    """The first price of the grid at which the position, closed by one order, has lost nothing.

    Searched, not solved: the cap of the brokerage and the rounding bend the line. It never falls on the
    way, because a tick adds more than its charges take (facts.py admits 1 % an item). Twice the charges
    at the entry, in ticks, and two more are always enough. 0: a short has no such price on this grid.
    """
    step = tick * qty
    start = sign * (sign * entry_value // step)  # in ticks; the entry or just short of it
    charges = round_trip(sign, entry_value, start * step, rates)
    losing, enough = -1, 2 * -(-charges // step) + 2
    while enough - losing > 1:
        middle = (losing + enough) // 2
        if net_paise(sign, entry_value, (start + sign * middle) * step, rates) >= 0:
            enough = middle
        else:
            losing = middle
    return (start + sign * enough) * tick


# --- for reports -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChargeSplit:
    """What some orders cost, by item. `total` is what was booked: see the top of the file."""

    brokerage: Paise
    stt: Paise
    exchange: Paise
    sebi: Paise
    stamp: Paise
    gst: Paise
    square_off: Paise  # its GST included
    total: Paise


def split(orders: Iterable[tuple[Side, int]], rates: Rates, square_offs: int = 0) -> ChargeSplit:
    """The items of a trade, a day, or any other orders (side and value) under one day's rates."""
    done = list(orders)
    fee = square_offs * square_off_fee(rates)
    return ChargeSplit(
        brokerage=Paise(to_paise(sum(brokerage(value, rates) for _, value in done))),
        stt=Paise(to_paise(sum(stt(side, value, rates) for side, value in done))),
        exchange=Paise(to_paise(sum(exchange_fee(value, rates) for _, value in done))),
        sebi=Paise(to_paise(sum(sebi_fee(value, rates) for _, value in done))),
        stamp=Paise(to_paise(sum(stamp(side, value, rates) for side, value in done))),
        gst=Paise(to_paise(sum(gst_of_order(value, rates) for _, value in done))),
        square_off=Paise(fee),
        total=Paise(sum(order_charges(side, value, rates) for side, value in done) + fee),
    )


# --- dated rates -----------------------------------------------------------------------------------


class Item(StrEnum):
    """As config/charges.json spells them; their amounts, in this order, are the columns of Rates."""

    BROKERAGE = "brokerage"
    STT = "stt"
    EXCHANGE = "exchange"
    SEBI = "sebi"
    STAMP = "stamp"
    GST = "gst"
    SQUARE_OFF = "square_off"


Amounts = tuple[int, ...]


class UnknownRatesError(LookupError):
    """The rates of this day are not known; whoever asked must not take another day's."""

    def __init__(self, item: Item, day: date) -> None:
        super().__init__(f"no rate of {item} for {day}: add an earlier row to config/charges.json")
        self.item = item
        self.day = day


@dataclass(frozen=True, slots=True)
class Tariff:
    """All dated rates; rows of an item stand in order of their days."""

    rows: Mapping[Item, tuple[Dated[Amounts], ...]]

    def rates_on(self, day: date) -> Rates:
        return Rates(*chain.from_iterable(_dearest(self._in_force(item, day)) for item in Item))

    def doubts_on(self, day: date) -> tuple[str, ...]:
        """One sentence for each row in force that nobody has confirmed."""
        return tuple(
            f"{item} from {row.from_day} is not confirmed ({row.source}): the dearest reading is charged"
            for item in Item
            for row in self._in_force(item, day)
            if not row.confirmed
        )

    def _in_force(self, item: Item, day: date) -> tuple[Dated[Amounts], ...]:
        assert not isinstance(day, datetime), "rates are asked by date: ist_day(moment)"
        begun = tuple(row for row in self.rows[item] if row.from_day <= day)
        if not begun:
            raise UnknownRatesError(item, day)
        return begun[max((index for index, row in enumerate(begun) if row.confirmed), default=0) :]


def _dearest(rows: Iterable[Dated[Amounts]]) -> Amounts:
    """Amount by amount, so that it bounds every reading."""
    return tuple(map(max, zip(*(row.value for row in rows), strict=True)))
