"""What does the exchange do with an order once it is there? Entry, triggers, modification, auctions, the end.

Where the broker's facts are silent, decided here (and told in docs/exchange.md):
- A stop whose trigger has been reached while it was on its way fires at once; one that has been reached
  when it is placed is refused by the broker (checks.py).
- An order that would trade with one of our own is rejected on entry, and cancelled when it is a stop that
  fires; a modification that would do it is NOT MODIFIED. The fault self_trade refuses an entry as soon as
  there is any order of ours on the other side.
- A modification that comes when its order is filled, cancelled or down to its last shares is NOT MODIFIED,
  and so is a new trigger for a stop that has fired. A new price for it is taken.
- In a halt orders come and go, and nothing trades; what waited meets the first row after it.
- When continuous trading of an auction stock ends, untriggered stops and orders outside the auction's
  band are cancelled; the others take part.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from exchange import refusals
from exchange.agenda import ORDERS, Agenda
from exchange.board import Board, View
from exchange.book import Book, is_fired
from exchange.faults import Faults
from exchange.nouns import Terms
from exchange.orders import Order, Stage, Status, Wording
from exchange.register import Register
from exchange.timetable import AUCTION_ENTRY, ORDERS_TAKEN
from rulebook.auction import Bid, is_taken
from rulebook.fills import automatic_protection_milli, protected_limit
from rulebook.hours import PhaseKind
from rulebook.records import OrderType, Paise


class Floor:
    """All books of the exchange; `walk` is told which tickers have to be followed row by row."""

    def __init__(
        self,
        agenda: Agenda,
        board: Board,
        register: Register,
        faults: Faults,
        terms: Terms,
        walk: Callable[[str], None],
    ) -> None:
        self._agenda = agenda
        self._board = board
        self._register = register
        self._faults = faults
        self._terms = terms
        self._walk = walk
        self._arrivals = 0
        self.books: dict[str, Book] = {}

    # An order comes, changes, goes

    def enter(self, order: Order) -> None:
        phase = self.phase(order.ticker)
        if phase not in ORDERS_TAKEN or (order.wording.is_stop and phase in AUCTION_ENTRY):
            return self._register.move(order, Status.REJECTED, refusals.CLOSED)
        book = self._book(order.ticker)
        limit = order.wording.limit
        meets = limit is not None and not order.wording.is_stop and book.meets_own(order, limit)
        if book.rests_against(order) and self._strikes("self_trade", order):
            meets = True
        if meets and not order.request.placed_by_broker:
            return self._register.move(order, Status.REJECTED, refusals.SELF_TRADE)
        self._register.reach_exchange(order)
        self._slow_down(order)
        book.orders.append(order)
        self._walk(order.ticker)
        self._settle_in(order, book)
        self._register.move(order, self._resting_word(order))
        self._try(order, book)
        return None

    def change(self, order: Order, said: Wording) -> None:
        """A modification has arrived."""
        if not order.is_live:
            return
        if order.was_triggered and said.limit is None:  # an SL-M that has fired keeps the limit it got then
            said = replace(
                said, order_type=OrderType.LIMIT, price=order.wording.price, limit=order.wording.limit
            )
        book = self._book(order.ticker)
        if self._strikes("modify_refused", order) or not self._may_become(order, said, book):
            self._register.move(order, Status.NOT_MODIFIED)
            self._register.move(order, self._resting_word(order))
            return
        before, order.wording = order.wording, said
        self._narrow(order)
        if (said.limit, said.trigger) != (before.limit, before.trigger) or said.qty > before.qty:
            self._settle_in(order, book)
        self._register.move(order, Status.MODIFIED)
        self._register.move(order, self._resting_word(order))
        self._register.update(order)
        self._try(order, book)

    def cancel(self, order: Order, message: str | None = None) -> None:
        """It goes, if it is still there."""
        if order.is_live:
            self._register.move(order, Status.CANCELLED, message)

    def fill_before_cancel(self, order: Order) -> None:
        """The fault cancel_loses_race: a print between two rows, at its limit or trigger, takes it all."""
        if not order.is_live:
            return
        if order.stage is Stage.WAITING:
            self._fire(order, order.wording.trigger)
        if order.is_live and order.wording.limit is not None:
            self._register.fill(order, order.left, order.wording.limit)

    # The market goes on

    def pass_row(self, ticker: str) -> bool:
        """The ticker's next row has come; answers whether its book still has orders."""
        book, now_us = self._book(ticker), self._agenda.now_us
        page = self._board.today(ticker)
        row = page.row(now_us)
        if not book.clear_out() or row < 0 or self.phase(ticker) is not PhaseKind.CONTINUOUS:
            return bool(book.orders)
        if book.sleeps(*page.strip.reach(row)):
            return True
        view = page.view(row)
        book.pass_row(view, now_us)
        for order in book.triggered(view):
            self._fire(order, view.last)
            self._take(order, book, view)
        self._end_ioc(book)
        return book.clear_out()

    # The session goes on

    def open(self, tickers: Iterable[str]) -> None:
        """The pre-open auction: matched at the first price of the tape."""
        for ticker in tickers:
            page = self._board.today(ticker)
            own = self._bidders(ticker)
            if own and page.strip.lasts:
                called = self._board.open_by_auction(page, [_bid(order) for order in own])
                self._fill_all(own, called.price, called.filled)

    def end_stops(self, tickers: Iterable[str]) -> None:
        """Continuous trading of an auction stock is over."""
        for ticker in tickers:
            reference = self._board.reference(self._board.today(ticker))
            for order in self._register.live(ticker):
                waits = order.stage is Stage.WAITING
                if waits or (order.stage is Stage.WORKING and not _fits(order, reference)):
                    self.cancel(order, refusals.CANCELLED_BEFORE_AUCTION)

    def close(self, tickers: Iterable[str]) -> None:
        """The closing auction."""
        for ticker in tickers:
            own = self._bidders(ticker)
            called = self._board.close_by_auction(self._board.today(ticker), [_bid(order) for order in own])
            if called is not None:
                self._fill_all(own, called.price, called.filled)

    def end(self, tickers: Iterable[str]) -> None:
        """The session is over: nothing stays for tomorrow."""
        for ticker in tickers:
            for order in self._register.live(ticker):
                if order.stage is not Stage.ON_ITS_WAY:
                    self.cancel(order, refusals.CANCELLED_AT_CLOSE)
            self._book(ticker).clear_out()

    def phase(self, ticker: str) -> PhaseKind | None:
        return self._board.today(ticker).timetable.phase_at(self._agenda.now_us)

    # --- how

    def _book(self, ticker: str) -> Book:
        found = self.books.get(ticker)
        if found is None:
            found = self.books[ticker] = Book(self._terms.participation_milli, self._register.fill)
        return found

    def _strikes(self, name: str, order: Order) -> bool:
        return self._faults.strikes(name, self._agenda.now, order.ticker) is not None

    def _settle_in(self, order: Order, book: Book) -> None:
        """At the end of the queue, on the book or waiting for its trigger."""
        self._arrivals += 1
        order.priority = self._arrivals
        order.is_fresh = True
        order.ahead = None
        waits = order.wording.is_stop and not order.was_triggered
        order.stage = Stage.WAITING if waits else Stage.WORKING
        assert order in book.orders

    def _resting_word(self, order: Order) -> Status:
        return Status.TRIGGER_PENDING if order.stage is Stage.WAITING else Status.OPEN

    def _try(self, order: Order, book: Book) -> None:
        """What it can have at once."""
        view = self._view(order.ticker)
        if view is None or not order.is_live:
            return
        if order.stage is Stage.WAITING:
            # An extreme that the row made before it came is no touch.
            if not is_fired(order, view.last, view.last):
                return
            self._fire(order, view.last)
        self._take(order, book, view)
        self._end_ioc(book)

    def _take(self, order: Order, book: Book, view: View) -> None:
        if order.stage is Stage.WORKING:
            book.take(order, view, self._agenda.now_us)
            self._come_back(order, book)

    def _come_back(self, order: Order, book: Book) -> None:
        """The fault partial_fills: the next slice a second later."""
        if not order.slice_qty or not order.is_live or order.left == 0:
            return

        def next_slice() -> None:
            view = self._view(order.ticker)
            if order.stage is Stage.WORKING and view is not None:
                self._take(order, book, view)

        if self._agenda.now_us < order.next_slice_us:
            self._agenda.write(order.next_slice_us, ORDERS, next_slice)

    def _fire(self, order: Order, last: Paise) -> None:
        """A stop's trigger was touched: it becomes a limit order."""
        page, said = self._board.today(order.ticker), order.wording
        limit = said.limit
        if limit is None:
            milli = said.protection_milli if said.protection_milli > 0 else automatic_protection_milli(last)
            tick = page.listing.tick
            limit = inside(tick, page.lower, page.upper, protected_limit(order.side, last, milli, tick))
            order.wording = replace(
                said, order_type=OrderType.LIMIT, price=limit, limit=limit, protection_milli=0
            )
            order.tags = (*order.tags, *protection_tags(milli))
        order.was_triggered = True
        self._settle_in(order, self._book(order.ticker))
        if self._book(order.ticker).meets_own(order, limit):
            return self._register.move(order, Status.CANCELLED, refusals.SELF_TRADE)
        waits_for_broker = order.status is not Status.TRIGGER_PENDING
        self._register.move(order, order.status if waits_for_broker else Status.OPEN)
        return None

    def _may_become(self, order: Order, said: Wording, book: Book) -> bool:
        if self.phase(order.ticker) not in ORDERS_TAKEN or said.qty <= order.filled:
            return False
        if said.is_stop and order.was_triggered and said.trigger != order.wording.trigger:
            return False
        works = not said.is_stop or order.was_triggered
        return not (works and said.limit is not None and book.meets_own(order, said.limit))

    def _slow_down(self, order: Order) -> None:
        slices = self._faults.strikes("partial_fills", self._agenda.now, order.ticker)
        if slices is not None:
            order.slice_qty = -(-order.wording.qty // max(2, slices.value))
        self._narrow(order)

    def _narrow(self, order: Order) -> None:
        """The fault band_reached: half of it is all that the band offers, until another price is asked."""
        is_met = order.wording.is_protected and self._strikes("band_reached", order)
        order.at_most = order.filled + order.left // 2 if is_met else None

    def _end_ioc(self, book: Book) -> None:
        for order in book.orders:
            if order.wording.validity == "IOC" and order.stage is Stage.WORKING:
                self.cancel(order, refusals.CANCELLED_IOC)

    def _view(self, ticker: str) -> View | None:
        """What an order meets now; None where nothing trades."""
        now_us = self._agenda.now_us
        if self.phase(ticker) is not PhaseKind.CONTINUOUS or self._board.is_halted(ticker, now_us):
            return None
        page = self._board.today(ticker)
        row = page.row(now_us)
        return page.view(row) if row >= 0 else None

    def _bidders(self, ticker: str) -> list[Order]:
        book = self._book(ticker)
        working = [order for order in book.orders if order.stage is Stage.WORKING]
        return sorted(working, key=lambda order: order.priority)

    def _fill_all(self, own: list[Order], price: Paise, filled: Iterable[int]) -> None:
        for order, qty in zip(own, filled, strict=True):
            if qty:
                self._register.fill(order, qty, price)


def inside(tick: Paise, lower: Paise, upper: Paise, price: Paise) -> Paise:
    """The nearest price on the tick that the day's circuit allows."""
    floored = max(price, -(-lower // tick) * tick) if lower else price
    return Paise(min(floored, upper // tick * tick) if upper else floored)


def protection_tags(milli: int) -> tuple[str, str]:
    """As the broker's own sample shows a converted order (kite.md 1.6)."""
    return "mktp", f"mktp:{milli // 1_000}.{milli % 1_000 // 10:02d}"


def _bid(order: Order) -> Bid:
    return Bid(order.side, order.left, None if order.wording.is_market else order.wording.limit)


def _fits(order: Order, reference: Paise | None) -> bool:
    return reference is not None and is_taken(_bid(order), reference)
