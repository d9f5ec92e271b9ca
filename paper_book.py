"""What becomes of an order on paper? It is placed, fires, is filled by the quotes that come, and ends.

Theory of operation
-------------------
The market does not know us, so every doubt is decided against us (rulebook.fills has the arithmetic):

- An order that comes, or fires, or is moved, takes the other side's levels as the last good quote showed
  them, at their prices, best first, within its limit. A MARKET order has the limit of the broker's market
  protection, and what is left of it rests there (kite.md 3.2). While there is no fresh quote it waits.
- From then on it rests. Shares that are offered later at its limit or better meet it at its limit. Where
  the last price went beyond its limit, a share (PaperTerms.share_milli) of what has traded since the quote
  before is its own. A touch alone fills nothing: others stood in the queue before us.
- What was taken of a level stays taken for as long as the level is shown: in truth those shares still
  stand there, and would otherwise be sold to us again with each quote.
- A stop fires when the last price touches its trigger, and then meets the levels of that very quote,
  however far they have jumped. SL keeps its own limit, SL-M gets a protected one.

Two orders of ours never trade with each other: the one that comes is refused. At the square-off what is
pending is cancelled and positions are closed at the market by an order of the broker's, with its fee; what
it could not fill when continuous trading ends gets the last known price. The next day begins flat.

Works on an Account that is the caller's to keep or to drop. Time is handed in; ids are counted.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from kite.errors import RejectedError
from kite.units import MOST_PRICE_PAISE
from paper_account import STOPS, Account, Market, PaperOrder, PaperTerms, Word
from paper_checks import check, check_askable, check_means, check_modifications
from paper_quotes import Doubt, Quote, doubt_about, is_fresh, with_circuit
from rulebook.fills import (
    Level,
    Resting,
    activated,
    automatic_protection_milli,
    fillable,
    is_triggered,
    match,
    protected_limit,
)
from rulebook.hours import PhaseKind, Session, ist_day
from rulebook.order_messages import Cancel, Modify, Place
from rulebook.order_records import Refusal, Terms
from rulebook.records import Fill, Instrument, OrderType, Paise, Side

SELF_TRADE = "self trade prevention: it meets an order of the same client"
SQUARED_OFF = "cancelled at the square-off of intraday positions"
SQUARE_OFF_ORDER = "square-off of intraday positions by the broker"


class PaperBook:
    """One account at one moment."""

    def __init__(self, account: Account, terms: PaperTerms, now: datetime) -> None:
        self.account = account
        self._terms = terms
        self.now = now

    # --- what is asked ---

    def place(self, asked: Place, instrument: Instrument) -> str:
        what = f"place {asked.side.name} {asked.ticker} on paper"
        market = self.account.markets.setdefault(asked.ticker, Market(instrument))
        number = self._next()
        order = PaperOrder(
            f"P{self.account.day:%y%m%d}{number:06d}", asked.ticker, asked.side, asked.terms.qty,
            asked.terms.order_type, None, None, Word.OPEN, self.now, number, asked.tag,
        )  # fmt: skip
        order = _worded(order, asked.terms)
        check(what, order, market, self._session(instrument), self.now)
        check_means(what, order, self.account, self._terms)
        if self._meets_own(order, order.limit):
            order = replace(order, word=Word.REJECTED, text=SELF_TRADE)
        self._put(order)
        self._arrive(order)
        return order.order_id

    def modify(self, asked: Modify) -> str:
        what = f"modify {asked.order_id} on paper"
        order = check_askable(what, self.account.orders.get(asked.order_id), asked.terms.is_stop)
        check_modifications(what, order)
        market = self.account.markets[order.ticker]
        said = _worded(replace(order, modifications=order.modifications + 1), asked.terms)
        check(what, said, market, self._session(market.instrument), self.now)
        check_means(what, said, self.account, self._terms)
        if self._meets_own(said, said.limit):
            raise RejectedError(what, SELF_TRADE, Refusal.OTHER)
        if _is_moved(order, said):
            said = replace(said, has_met=False, arrival=self._next())
        self._put(said)
        self._arrive(said)
        return order.order_id

    def cancel(self, asked: Cancel) -> str:
        what = f"cancel {asked.order_id} on paper"
        order = check_askable(what, self.account.orders.get(asked.order_id))
        self._put(order, word=Word.CANCELLED)
        return order.order_id

    # --- what is seen ---

    def see(self, quote: Quote, instrument: Instrument) -> Doubt | None:
        """A quote has come: it is doubted, and nothing happens, or it fills what it can."""
        market = self.account.markets.get(quote.ticker, Market(instrument))
        before = market.quote
        doubt = doubt_about(quote, before, instrument.tick, self.now)
        if doubt is None and not self._is_trading(instrument, self.now, quote.at):
            doubt = Doubt.CLOSED
        if doubt is not None:
            return doubt
        seen = with_circuit(quote, before)
        taken = tuple(_still_shown(market.taken, seen))
        self.account.markets[quote.ticker] = Market(instrument, seen, taken)
        self._work(quote.ticker, seen.volume - before.volume if before else 0)
        return None

    # --- what time does ---

    def catch_up(self) -> None:
        """Square-off, the end of trading, the next day: whatever has come since the last call."""
        busy = {o.ticker for o in self.account.live()} | {
            ticker for ticker in self.account.traded if self.account.net(ticker)
        }
        for ticker in sorted(busy):
            instrument = self.account.markets[ticker].instrument
            session = self._session(instrument)
            assert session is not None, "nothing is taken on a closed day"
            if self.now >= (session.square_off_at or session.closes_at):
                self._square_off(ticker, session.square_off_at or session.closes_at)
            if self.now >= session.closes_at:
                self._close_out(ticker, session.closes_at)
        if ist_day(self.now) > self.account.day:
            self._begin(ist_day(self.now))

    def _square_off(self, ticker: str, at: datetime) -> None:
        for order in self.account.live(ticker):
            if not order.is_broker_s:
                self._put(order, word=Word.CANCELLED, text=SQUARED_OFF)
        net = self.account.net(ticker)
        if net == 0 or self.account.live(ticker):
            return
        side = Side.SELL if net > 0 else Side.BUY
        limit = Paise(1 if side is Side.SELL else MOST_PRICE_PAISE)  # whatever it takes
        number = self._next()
        order = PaperOrder(
            f"P{self.account.day:%y%m%d}{number:06d}", ticker, side, abs(net), OrderType.MARKET, None, None,
            Word.OPEN, at, number, None, limit, text=SQUARE_OFF_ORDER,
        )  # fmt: skip
        self._put(order)
        self._arrive(order)

    def _close_out(self, ticker: str, at: datetime) -> None:
        for order in self.account.live(ticker):
            self._fill(order.order_id, order.left, self.account.last(ticker), at)

    def _begin(self, day: date) -> None:
        old = self.account
        assert not any(old.net(ticker) for ticker in old.traded) and not old.live(), "a day ends flat"
        opening = old.cash(self._terms.rates(old.day))
        old.day, old.opening, old.serial, old.revision = day, opening, 0, old.revision + 1
        old.orders, old.fills, old.markets = {}, [], {}

    # --- how an order meets the market ---

    def _arrive(self, order: PaperOrder) -> None:
        """What it can have at once, if somebody knows what is on offer."""
        market = self.account.markets[order.ticker]
        is_known = market.quote is not None and is_fresh(market.quote, self.now)
        if order.is_live and is_known and self._is_trading(market.instrument, self.now):
            self._work(order.ticker, 0)

    def _work(self, ticker: str, traded: int) -> None:
        """Stops fire; then all that work are served, best price first, then by arrival."""
        market = self.account.markets[ticker]
        assert market.quote is not None
        for order in self.account.live(ticker):
            if order.limit is None:
                self._activate(order, market.quote, market.instrument.tick)
        share_left = fillable(traded, traded, self._terms.share_milli, market.instrument.lot)
        working = [order for order in self.account.live(ticker) if order.limit is not None]
        for order in sorted(working, key=lambda order: (-order.side * _limit(order), order.arrival)):
            share_left -= self._serve(order, share_left)

    def _activate(self, order: PaperOrder, quote: Quote, tick: Paise) -> None:
        """Give it the limit that binds: a MARKET order now, a stop when it fires."""
        resting = Resting(order.side, order.left, order.order_type, order.price, order.trigger)
        if order.word is Word.TRIGGER_PENDING:
            if not is_triggered(resting, quote.last):
                return
            fired = activated(resting, quote.last, tick).limit
        else:
            percent_milli = automatic_protection_milli(quote.last)
            fired = protected_limit(order.side, quote.last, percent_milli, tick)
        assert fired is not None
        limit = _inside(fired, quote, tick)
        if self._meets_own(order, limit):
            self._put(order, word=Word.CANCELLED, text=SELF_TRADE)
            return
        kind = OrderType.LIMIT if order.order_type is OrderType.MARKET else order.order_type
        self._put(order, word=Word.OPEN, order_type=kind, price=limit, limit=limit)

    def _serve(self, order: PaperOrder, share_left: int) -> int:
        """Fill what this quote gives it; answers how much of the share of what traded that was."""
        market, limit = self.account.markets[order.ticker], _limit(order)
        assert market.quote is not None
        resting = Resting(order.side, order.left, OrderType.LIMIT, limit)
        met = match(resting, _offered(market, order.side.opposite))
        for level in met.taken:
            self._take(order.ticker, order.side.opposite, level)
            self._fill(order.order_id, level.qty, limit if order.has_met else level.price, self.now)
        if not order.has_met and not order.is_broker_s:
            self._put(self.account.orders[order.order_id], has_met=True)
        is_passed = order.has_met and order.side * (limit - market.quote.last) > 0
        share = min(order.left, share_left) if is_passed and not met.taken else 0
        if share:
            self._fill(order.order_id, share, limit, self.now)
        return share

    def _fill(self, order_id: str, qty: int, price: Paise, at: datetime) -> None:
        order = self.account.orders[order_id]
        assert order.is_live and 0 < qty <= order.left, f"{order_id}: {qty} of {order.left}"
        name = f"F{self.account.day:%y%m%d}{self._next():06d}"
        self.account.fills.append(Fill(order_id, name, order.ticker, order.side, qty, price, at))
        word = Word.COMPLETE if qty == order.left else order.word
        self._put(order, filled=order.filled + qty, value=order.value + qty * price, word=word)

    def _take(self, ticker: str, side: Side, level: Level) -> None:
        market = self.account.markets[ticker]
        taken = {(s, p): qty for s, p, qty in market.taken}
        taken[side, level.price] = taken.get((side, level.price), 0) + level.qty
        found = tuple((s, p, qty) for (s, p), qty in taken.items())
        self.account.markets[ticker] = replace(market, taken=found)

    def _meets_own(self, order: PaperOrder, limit: Paise | None) -> bool:
        return limit is not None and any(
            other.side is order.side.opposite
            and other.limit is not None
            and order.side * (limit - other.limit) >= 0
            for other in self.account.live(order.ticker)
        )

    # --- small things ---

    def _session(self, instrument: Instrument) -> Session | None:
        return self._terms.session(instrument.symbol_class, self.account.day)

    def _is_trading(self, instrument: Instrument, *moments: datetime | None) -> bool:
        """A quote of the pre-open session tells no price at which one could trade, nor does one later."""
        session = self._session(instrument)
        return session is not None and all(
            moment is not None and session.phase_at(moment) is PhaseKind.CONTINUOUS for moment in moments
        )

    def _put(self, order: PaperOrder, **changed: Any) -> None:
        self.account.orders[order.order_id] = replace(order, **changed)
        self.account.revision += 1

    def _next(self) -> int:
        self.account.serial += 1
        return self.account.serial


def _worded(order: PaperOrder, terms: Terms) -> PaperOrder:
    """The order with those terms; the broker ignores what a type does not carry."""
    kind = terms.order_type
    waits = kind in STOPS  # one that has fired is never made a stop again
    price = terms.price if kind in (OrderType.LIMIT, OrderType.SL) else None
    return replace(
        order,
        qty=terms.qty,
        order_type=kind,
        price=price,
        trigger=terms.trigger if kind in STOPS else None,
        word=Word.TRIGGER_PENDING if waits else Word.OPEN,
        limit=None if waits else price,
    )


def _is_moved(before: PaperOrder, said: PaperOrder) -> bool:
    """Another price, or more shares, is a new place in the queue; fewer shares are not."""
    return (before.limit, before.trigger) != (said.limit, said.trigger) or said.qty > before.qty


def _limit(order: PaperOrder) -> Paise:
    assert order.limit is not None, f"{order.order_id} works without a limit"
    return order.limit


def _inside(price: Paise, quote: Quote, tick: Paise) -> Paise:
    """The nearest price of the grid that the circuit limits allow."""
    if not quote.has_circuit:
        return price
    return Paise(min(max(price, -(-quote.lower_circuit // tick) * tick), quote.upper_circuit // tick * tick))


def _offered(market: Market, side: Side) -> Sequence[Level]:
    """What that side shows, less what we have had of it."""
    assert market.quote is not None
    taken = {price: qty for s, price, qty in market.taken if s is side}
    levels = market.quote.bids if side is Side.BUY else market.quote.asks
    return [Level(at.price, max(0, at.qty - taken.get(at.price, 0))) for at in levels]


def _still_shown(taken: Sequence[tuple[Side, Paise, int]], quote: Quote) -> list[tuple[Side, Paise, int]]:
    """What was taken of a level that has shrunk is no more than what it shows."""
    shown = {(Side.BUY, at.price): at.qty for at in quote.bids}
    shown |= {(Side.SELL, at.price): at.qty for at in quote.asks}
    left = [(side, price, min(qty, shown.get((side, price), 0))) for side, price, qty in taken]
    return [row for row in left if row[2]]
