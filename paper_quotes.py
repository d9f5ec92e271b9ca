"""May an order on paper be filled at this quote? What is stale or absurd is refused, counted, and told once.

A simulated fill at a price that nobody could have had is worse than none: it makes a strategy look good.
So a quote is believed when all of this holds, and refused with the first that does not:

- it has the exchange's own stamp, no older than QUOTE_FRESH and not ahead of our clock by more than its
  drift may be, and it is no older than what is known of the ticker (stamp and volume only rise in a day);
- its prices are prices, its levels stand in order, and its bid lies below its ask;
- last and levels lie within the day's circuit limits, last within the day's range, give or take a tick;
- last is no further from the last good one than a band allows, and the best levels no further from last.

Only REST tells the circuit limits, and they move during the day. So a quote that brings them is judged by
them alone; one of the stream is judged by those last told and by its jump, and where that refuses it, a
REST quote settles the matter (quotes() of the client hands each of them in).

Pure: no clock, no file, no log. Screen keeps the counts and who has been told what.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from kite.books import Quoted
from kite.units import UnitError, moment_of_epoch
from kite.wire import DepthRow, FullPacket
from rulebook.fills import BPS, Level
from rulebook.order_records import QUOTE_FRESH
from rulebook.records import Paise

AHEAD_MOST = timedelta(seconds=2)  # more drift than this blocks entries (faults.md, invariant 6)
JUMP_BPS_MOST = 1_000  # the dynamic band of F&O stocks (kite.md 3.6); a wider one comes with a REST quote


class Doubt(StrEnum):
    """Why a quote fills nothing."""

    NO_STAMP = "it has no stamp of the exchange"
    STALE = "its stamp is too old"
    AHEAD = "its stamp lies ahead of our clock"
    OLDER = "it is older than what is known"
    NO_PRICE = "it has a price or a quantity that is none"
    CROSSED = "its book is crossed or out of order"
    OUTSIDE_CIRCUIT = "a price lies outside the circuit limits"
    OUTSIDE_DAY = "its last price lies outside the day's range"
    JUMP = "a price is too far from the one before"
    CLOSED = "the exchange is not in continuous trading"


@dataclass(frozen=True, slots=True)
class Quote:
    """What is seen of a ticker; of the last four, prices in paise, a 0 is unknown."""

    ticker: str
    at: datetime | None
    last: Paise
    volume: int  # of the day
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    low: int = 0
    high: int = 0
    lower_circuit: int = 0
    upper_circuit: int = 0

    @property
    def has_circuit(self) -> bool:
        return self.upper_circuit > 0


@dataclass(frozen=True, slots=True)
class QuoteRefused:
    """Told once per ticker and reason, until a good quote of it has come."""

    ticker: str
    doubt: Doubt
    at: datetime

    def __str__(self) -> str:
        return f"a quote of {self.ticker} fills no order on paper: {self.doubt}"


def of_rest(quoted: Quoted) -> Quote:
    return Quote(
        quoted.ticker, quoted.at, quoted.last, quoted.volume, quoted.bids, quoted.asks,
        lower_circuit=quoted.lower_circuit, upper_circuit=quoted.upper_circuit,
    )  # fmt: skip


def of_stream(ticker: str, packet: FullPacket) -> Quote:
    """The other kinds of packets have neither stamp nor depth, and fill nothing."""
    bids, asks = _levels(packet.bids), _levels(packet.asks)
    return Quote(
        ticker, _stamp(packet), Paise(packet.last), packet.volume, bids, asks, packet.low, packet.high
    )


def _stamp(packet: FullPacket) -> datetime | None:
    """None also for one that is no time of this century: a quote without a stamp is not believed."""
    try:
        return moment_of_epoch(packet.at_s) if packet.at_s else None
    except UnitError:
        return None


class Screen:
    """Who has been told what; it dies with the process, and a new one tells again."""

    def __init__(self) -> None:
        self.refused: Counter[Doubt] = Counter()
        self._told: set[tuple[str, Doubt]] = set()

    def believed(self, ticker: str) -> None:
        self._told = {told for told in self._told if told[0] != ticker}

    def doubted(self, ticker: str, doubt: Doubt, now: datetime) -> QuoteRefused | None:
        """Counted; and told, if it has not been."""
        self.refused[doubt] += 1
        if (ticker, doubt) in self._told:
            return None
        self._told.add((ticker, doubt))
        return QuoteRefused(ticker, doubt, now)


def with_circuit(quote: Quote, before: Quote | None) -> Quote:
    """The quote with the limits that were last told, where it brings none."""
    if quote.has_circuit or before is None:
        return quote
    return replace(quote, lower_circuit=before.lower_circuit, upper_circuit=before.upper_circuit)


def doubt_about(quote: Quote, before: Quote | None, tick: Paise, now: datetime) -> Doubt | None:
    """The first reason not to believe it; `before` is the last good one of this day."""
    found = (
        _age(quote, before, now)
        or _shape(quote)
        or _circuit(with_circuit(quote, before))
        or _range(quote, tick)
        or _jump(quote, before)
    )
    return found or None


def is_fresh(quote: Quote, now: datetime) -> bool:
    return quote.at is not None and now - quote.at <= QUOTE_FRESH


def _age(quote: Quote, before: Quote | None, now: datetime) -> Doubt | None:
    if quote.at is None:
        return Doubt.NO_STAMP
    if not is_fresh(quote, now):
        return Doubt.STALE
    if quote.at - now > AHEAD_MOST:
        return Doubt.AHEAD
    if before is None or before.at is None:
        return None
    return Doubt.OLDER if quote.at < before.at or quote.volume < before.volume else None


def _shape(quote: Quote) -> Doubt | None:
    levels = (*quote.bids, *quote.asks)
    if quote.last <= 0 or quote.volume < 0 or any(at.price <= 0 or at.qty < 0 for at in levels):
        return Doubt.NO_PRICE
    is_sorted = _falls(quote.bids) and _falls(quote.asks[::-1])
    is_crossed = bool(quote.bids and quote.asks) and quote.bids[0].price >= quote.asks[0].price
    return Doubt.CROSSED if is_crossed or not is_sorted else None


def _circuit(quote: Quote) -> Doubt | None:
    lower, upper = quote.lower_circuit, quote.upper_circuit
    prices = [quote.last, *(at.price for at in (*quote.bids, *quote.asks))]
    is_outside = upper > 0 and not all(lower <= price <= upper for price in prices)
    return Doubt.OUTSIDE_CIRCUIT if is_outside else None


def _range(quote: Quote, tick: Paise) -> Doubt | None:
    """Snapshots are taken field by field: an extreme may be a tick behind its last price."""
    is_outside = quote.high > 0 and not quote.low - tick <= quote.last <= quote.high + tick
    return Doubt.OUTSIDE_DAY if is_outside else None


def _jump(quote: Quote, before: Quote | None) -> Doubt | None:
    best = [at.price for side in (quote.bids, quote.asks) for at in side[:1]]
    if any(_is_far(price, quote.last) for price in best):
        return Doubt.JUMP
    is_judged = before is not None and not quote.has_circuit
    return Doubt.JUMP if is_judged and before is not None and _is_far(quote.last, before.last) else None


def _is_far(price: Paise, reference: Paise) -> bool:
    return abs(price - reference) * BPS > reference * JUMP_BPS_MOST


def _falls(levels: Sequence[Level]) -> bool:
    return all(higher.price > lower.price for higher, lower in pairwise(levels))


def _levels(rows: Sequence[DepthRow]) -> tuple[Level, ...]:
    return tuple(Level(Paise(row.price), row.qty) for row in rows if row.qty and row.price)
