"""What is the local exchange, as an object? Broker and exchange in one process, on a virtual clock.

Theory of operation
-------------------
Nothing here waits, reads a clock or opens a socket. Time is a number that `advance` moves; on the way
everything that is due happens in one order: the session's marks (timetable.py), the rows of tickers that
are watched or in which an order of ours is at the exchange (walker.py), and what orders have ahead of
them (agenda.py). `place`, `modify` and `cancel` answer at the present moment and leave the rest to time.

    desk.py       takes requests, refuses or accepts them       checks.py, refusals.py, caps.py
    floor.py      has the orders that arrived                   book.py, rulebook.fills, auctions.py
    register.py   writes down what happened, tells listeners    orders.py
    account.py    counts money, shares, margin                  rulebook.charges
    board.py      shows the market's prices                     strips.py, candles.py
    rms.py        squares off                                   disasters.py: what goes wrong by itself
    shown.py      shows the books, when faults let it

The same market, seed, faults and calls give the same truth(), in one step of time or in many: latencies
come from each order's own stream, auctions from the day's, faults from their names'. A listener may place,
modify and cancel from within a call; it may not move time.

Days run from 06:00 to 06:00 IST. Then the day is settled, books are cleared, and holdings have come in.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from exchange.account import Account
from exchange.agenda import (
    NEVER,
    PRICES,
    SESSION,
    Agenda,
    begins_us,
    micros,
    midnight_us,
    moment_of,
    trading_day,
)
from exchange.board import Board
from exchange.candles import Candles
from exchange.desk import Desk
from exchange.disasters import Disasters
from exchange.faults import Faults
from exchange.floor import Floor
from exchange.nouns import (
    Candle,
    Changes,
    Flow,
    Funds,
    Holding,
    Listener,
    Listing,
    Market,
    OrderRequest,
    OrderView,
    Quote,
    Terms,
    Trade,
)
from exchange.register import Register
from exchange.rms import RiskDesk
from exchange.shown import Shown
from exchange.timetable import Mark, Timetables
from exchange.walker import Walker
from rulebook.charges import ChargeSplit, Tariff
from rulebook.hours import Calendar, PhaseKind, SymbolClass
from rulebook.records import Paise

ORDINARY = Terms()


class Exchange:
    def __init__(
        self,
        market: Market,
        calendar: Calendar,
        tariff: Tariff,
        start: datetime,
        seed: int,
        faults: Faults,
        terms: Terms = ORDINARY,
    ) -> None:
        self.market = market
        self.calendar = calendar
        self.tariff = tariff
        self.seed = seed
        self.faults = faults
        self.terms = terms
        self.listings: Mapping[str, Listing] = {listing.ticker: listing for listing in market.listings}
        self.listings_by_token: Mapping[int, Listing] = {
            listing.token: listing for listing in market.listings
        }
        self._is_moving = False
        self._settlements: list[dict[str, Any]] = []
        self._agenda = Agenda(micros(start))
        self._hours = Timetables(calendar, seed)
        self._board = Board(market, self.listings, calendar, self._hours, seed)
        self._walker = Walker(self._board)
        self._account = Account(terms.cash, terms.holdings, self.leverage)
        self._register = Register(self._agenda, self._account, seed)
        self._wire(trading_day(self._agenda.now_us))

    def _wire(self, day: date) -> None:
        agenda, board, register, faults = self._agenda, self._board, self._register, self.faults
        rates = self.tariff.rates_on(day)
        self._floor = Floor(agenda, board, register, faults, self.terms, self._hold)
        self._desk = Desk(
            agenda, board, register, self._account, self._floor, faults, self.terms, self.listings, rates
        )
        self._rms = RiskDesk(agenda, board, register, self._account, self._floor, self._desk)
        self._shown = Shown(agenda, register, faults, self._account.flows)
        self._candles = Candles(agenda, board, self._hours)
        self._disasters = Disasters(
            agenda, board, faults, self.listings, self._rms.square_off, self._walk_anew
        )
        self._begin(day)

    # Time

    @property
    def now(self) -> datetime:
        return self._agenda.now

    def listen(self, listener: Listener) -> None:
        self._register.listeners.append(listener)

    def watch(self, tickers: Iterable[str]) -> None:
        """These are walked row by row, and listeners hear of each; no others."""
        self._walker.watch([t for t in tickers if t in self.listings], self._agenda.now_us)

    def next_at(self) -> datetime | None:
        """The earliest moment at which something happens by itself."""
        self._disasters.notice()
        us = min(self._walker.next_us, self._agenda.next_us)
        return None if us == NEVER else moment_of(us)

    def advance(self, to: datetime) -> None:
        """Everything up to and including that moment, in order."""
        target_us = micros(to)
        if target_us < self._agenda.now_us:
            raise ValueError(
                f"{to.isoformat()} is before {self.now.isoformat()}: time does not run backwards"
            )
        assert not self._is_moving, "a listener may not move time"
        self._disasters.notice()
        self._is_moving = True
        try:
            self._run(target_us)
        finally:
            self._is_moving = False
        self._agenda.now_us = target_us

    # Orders

    def place(self, request: OrderRequest) -> str:
        """The order's id; raises RefusalError."""
        return self._desk.place(request)

    def modify(self, order_id: str, changes: Changes, *, by_hand: bool = False) -> str:
        return self._desk.modify(order_id, changes, by_hand=by_hand)

    def cancel(self, order_id: str, *, by_hand: bool = False) -> str:
        return self._desk.cancel(order_id, by_hand=by_hand)

    def margin_of(self, request: OrderRequest) -> int:
        """What such an order blocks by itself, in paise."""
        return self._desk.margin_of(request)

    def leverage(self, ticker: str) -> int:
        """Of MIS."""
        return max(1, self.listings[ticker].mis_leverage)

    # Books

    def orders(self) -> list[OrderView]:
        return self._shown.orders()

    def history(self, order_id: str) -> list[OrderView]:
        return self._shown.history(order_id)

    def trades(self) -> list[Trade]:
        return self._shown.trades()

    def flows(self) -> list[Flow]:
        """A row for each ticker and product that was traded today, flat ones too."""
        return self._shown.flows()

    def holdings(self) -> list[Holding]:
        return self._account.holdings()

    def funds(self) -> Funds:
        return self._account.funds(self._register.working(), self._last, self._desk.rates)

    def charges_of_day(self) -> ChargeSplit:
        """Of the orders that were executed today, and of square-offs."""
        return self._account.charges(self._desk.rates)

    # Prices

    def quote(self, ticker: str) -> Quote | None:
        """With our own orders among the others; None where nothing has ever traded."""
        if ticker not in self.listings:
            return None
        found = self._board.quote(ticker, self._agenda.now_us)
        if found is None or ticker not in self._walker.held or found.at.date() != self._board.day:
            return found
        return self._floor.books[ticker].overlay(found)

    def candles(self, ticker: str, minutes: int, first: datetime, last: datetime) -> list[Candle]:
        """Those that start from `first` to `last`; 1440 minutes are a day. The running one is the last."""
        return self._candles.of(self.listings[ticker], minutes, first, last)

    def phase(self, ticker: str) -> PhaseKind | None:
        """What the exchange does with an order in it now; None: nothing, it is closed."""
        return self._floor.phase(ticker)

    # The truth

    def truth(self) -> dict[str, Any]:
        """Everything that happened, as JSON: for tests and for the control address, never for a client."""
        funds = self.funds()
        return {
            "seed": self.seed,
            "now": self.now.isoformat(),
            "day": self._board.day.isoformat(),
            **self._register.truth(),
            "settlements": list(self._settlements),
            "flows": [
                [f.ticker, f.product, f.bought, f.bought_value, f.sold, f.sold_value]
                for f in self._account.flows()
            ],
            "holdings": [[h.ticker, h.qty, h.average] for h in self.holdings()],
            "funds": {
                "opening": funds.opening,
                "blocked": funds.blocked,
                "realised": funds.realised,
                "unrealised": funds.unrealised,
                "charges": funds.charges,
                "available": funds.available,
            },
            "faults_struck": dict(sorted(self.faults.struck.items())),
        }

    # --- how time passes

    def _run(self, target_us: int) -> None:
        agenda, walker = self._agenda, self._walker
        while True:
            row_us, entry_us = walker.next_us, agenda.next_us
            if min(row_us, entry_us) > target_us:
                return
            if row_us < entry_us or (row_us == entry_us and agenda.next_rank > PRICES):
                self._tick(row_us)
            else:
                agenda.run_next()

    def _tick(self, us: int) -> None:
        """One second of the market: own orders first, then whoever watches."""
        walker = self._walker
        self._agenda.now_us = us
        for ticker in walker.take():
            if ticker in walker.held and not self._floor.pass_row(ticker):
                walker.release(ticker)
            if ticker in walker.watched:
                self._tell(ticker)

    def _tell(self, ticker: str) -> None:
        for listener in self._register.listeners:
            listener.ticked(ticker)

    def _begin(self, day: date) -> None:
        """The books of a day are opened."""
        now_us = self._agenda.now_us
        self._register.begin(day)
        self._board.begin(day)
        self._floor.books.clear()
        self._desk.caps.begin_day()
        self._desk.rates = self.tariff.rates_on(day)
        self._walker.begin(midnight_us(day), now_us)
        self._disasters.begin_day()
        for us, mark, symbol_class in self._marks(day):
            if us >= now_us:
                self._agenda.write(us, SESSION, self._marked(mark, symbol_class))
        self._agenda.write(begins_us(day + timedelta(days=1)), SESSION, self._end)

    def _end(self) -> None:
        """Settle the day, and begin the next one."""
        day = self._board.day
        if self._account.positions:
            booked = self._account.settle(self._desk.rates, self._close_of)
            self._settlements.append({"day": day.isoformat(), **booked})
        self._begin(day + timedelta(days=1))

    def _marks(self, day: date) -> list[tuple[int, Mark, SymbolClass]]:
        return sorted(
            (us, mark, symbol_class)
            for symbol_class in SymbolClass
            for us, mark in self._hours.of(day, symbol_class).marks
        )

    def _marked(self, mark: Mark, symbol_class: SymbolClass) -> Callable[[], None]:
        def act() -> None:
            ours = [t for t, listing in self.listings.items() if listing.symbol_class is symbol_class]
            busy = [t for t in ours if self._register.live(t) or self._account.net(t, "MIS")]
            match mark:
                case Mark.OPENING:
                    self._floor.open(busy)
                case Mark.SQUARE_OFF:
                    self._rms.square_off(busy)
                case Mark.STOPS_END:
                    self._floor.end_stops(busy)
                case Mark.CLOSING:
                    self._floor.close(busy)
                    self._print(ours)
                case Mark.OVER:
                    self._floor.end(busy)

        return act

    def _print(self, tickers: list[str]) -> None:
        """The closing auction's price is news for whoever watches."""
        for ticker in sorted(self._walker.watched.intersection(tickers)):
            if not self.listings[ticker].is_index:
                self._tell(ticker)

    def _hold(self, ticker: str) -> None:
        self._walker.hold(ticker, self._agenda.now_us)

    def _walk_anew(self, ticker: str) -> None:
        """Its strip has changed from the next second on."""
        if self._walker.is_walking(ticker):
            self._walker.renew(ticker, self._agenda.now_us)

    def _last(self, ticker: str) -> Paise:
        return self._board.last(ticker, self._agenda.now_us)

    def _close_of(self, ticker: str) -> Paise:
        return self._board.official_close(ticker, self._board.day) or self._last(ticker)
