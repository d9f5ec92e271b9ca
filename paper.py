"""How does one trade without trading? The broker's client, whose orders are filled on paper by real quotes.

PaperClient is a KiteClient: whoever uses one (broker.ZerodhaClient, order_desk.Desk) uses this one alike.
What it reads comes from the broker; orders, trades, positions and money are its own (paper_book.py), filled
by the quotes that are handed in: by quoted() from the stream, and by itself from each answer to quotes().

It is unable to send an order, by construction and not by care: all that it has of the broker is a ReadsOnly,
and that passes on nothing but the reads of kite/routes.py. Logging in changes something too, so that is done
elsewhere. A method that KiteClient learns tomorrow is a read, or is refused.

An order, a modification, a cancel and a fill are on the disk (paper_file.py) before anybody hears of them,
and a process that is killed and started again goes on where it stood. When the disk refuses, an entry is not
taken; stops, exits and fills go on in memory, as in a live session, and `unkept` says so. Threads may share
it: one lock, and never a request under it. Waits for nothing, reads no clock but the one handed in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from clock import Clock
from files import WriteError
from kite import routes
from kite.books import PositionRow, Quoted
from kite.client import ONCE, READS, Books, KiteClient
from kite.errors import BrokerError, NotSentError, RejectedError
from kite.instruments import Master
from kite.rates import Rates
from kite.routes import Call, Transport
from net import Schedule
from outcome import DataError
from paper_account import Account, PaperTerms
from paper_book import PaperBook
from paper_checks import check_known
from paper_file import load, save
from paper_quotes import Doubt, Quote, QuoteRefused, Screen, of_rest
from rulebook.hours import ist_day
from rulebook.order_messages import Cancel, Modify, OrderRow, Place
from rulebook.order_records import Refusal
from rulebook.records import Instrument, Paise

ALLOWED = frozenset(route for route in routes.ALL if not route.is_change)
KEPT_EVERY = timedelta(seconds=60)  # last prices of what is open, for a square-off that nobody is there for


class ReadsOnly:
    """A Transport that is unable to change anything: what is no read that we know is not sent."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, call: Call) -> Any:
        if call.route not in ALLOWED:
            raise RejectedError(call.asked, "this program trades on paper and only reads", Refusal.OTHER)
        return self._transport.send(call)

    def use_token(self, token: str | None) -> None:
        self._transport.use_token(token)

    def close(self) -> None:
        self._transport.close()


class PaperClient(KiteClient):
    """`list_of_today` gives the instruments; `tell` hears of refused quotes, once for each reason."""

    def __init__(
        self, transport: Transport, rates: Rates, clock: Clock, rng: Random, terms: PaperTerms, path: Path,
        list_of_today: Callable[[], Master] | None = None, tell: Callable[[QuoteRefused], None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(ReadsOnly(transport), rates, clock, rng)
        self._now = clock.now
        self._terms = terms
        self._path = path
        self._list_of_today = list_of_today or super().master
        self._tell = tell
        self._master: Master | None = None
        self._lock = Lock()
        self._screen = Screen()
        self.unkept = ""  # why the account is not on the disk as it is here
        now = clock.now()
        self._account = self._found(now)
        self._save(self._account, now)

    # --- what is the broker's: orders and money ---

    def place(self, asked: Place) -> str:
        try:
            instrument = self._instrument(asked.ticker)
        except BrokerError as error:
            raise NotSentError(f"place {asked.ticker} on paper", f"no instruments: {error.what}") from None
        if instrument is None:
            raise RejectedError(
                f"place {asked.ticker} on paper", "there is no such share today", Refusal.OTHER
            )
        with self._changing(asked.urgent) as book:
            return book.place(asked, instrument)

    def modify(self, asked: Modify) -> str:
        with self._changing(asked.urgent) as book:
            return book.modify(asked)

    def cancel(self, asked: Cancel) -> str:
        with self._changing(asked.urgent) as book:
            return book.cancel(asked)

    def books(self, schedule: Schedule = ONCE) -> Books:  # noqa: ARG002  nothing here is better the second time
        with self._changing() as book:
            account = book.account
            rows = tuple(order.row for order in account.orders.values())
            return Books(rows, tuple(account.fills), account.positions())

    def orders(self, schedule: Schedule = READS) -> tuple[OrderRow, ...]:
        return self.books(schedule).orders

    def positions(self, schedule: Schedule = READS) -> tuple[PositionRow, ...]:
        return self.books(schedule).positions

    def modifications(self, order_id: str) -> int:
        with self._changing() as book:
            return check_known(f"order {order_id}", book.account.orders.get(order_id)).modifications

    def cash(self) -> Paise:
        """What is free for new orders; when all is flat, all that there is."""
        with self._changing() as book:
            return Paise(book.account.free(self._terms))

    # --- what is the market's: quotes and instruments ---

    def quoted(self, quote: Quote) -> bool:
        """A quote has been seen. True where an order has changed: a reason to read the books."""
        instrument = self._instrument(quote.ticker)
        if instrument is None:
            return False  # an index; it is watched and not traded
        told = None
        with self._changing() as book:
            before = book.account.revision
            doubt = book.see(quote, instrument)
            if doubt is None:
                self._screen.believed(quote.ticker)
            else:
                told = self._screen.doubted(quote.ticker, doubt, book.now)
            is_changed = book.account.revision != before
        if told is not None and self._tell is not None:
            self._tell(told)
        return is_changed

    def quotes(self, tickers: Sequence[str]) -> dict[str, Quoted]:
        found = super().quotes(tickers)
        for quote in found.values():
            self.quoted(of_rest(quote))
        return found

    def master(self) -> Master:
        """Of today; read once."""
        if self._master is None or self._master.day != ist_day(self._now()):
            self._master = self._list_of_today()
        return self._master

    @property
    def refused_quotes(self) -> Mapping[Doubt, int]:
        """How many, by reason."""
        with self._lock:
            return dict(self._screen.refused)

    # --- one change ---

    @contextmanager
    def _changing(self, urgent: bool = True) -> Iterator[PaperBook]:
        """A copy of the account as it is by now; it takes the account's place unless the work raises."""
        with self._lock:
            book = PaperBook(self._account.copy(), self._terms, self._now())
            book.catch_up()
            yield book
            self._keep(book.account, book.now, urgent)
            self._account = book.account

    def _keep(self, account: Account, now: datetime, urgent: bool) -> None:
        is_due = now - self._kept_at >= KEPT_EVERY and account.is_open
        if account.revision == self._kept_revision and not is_due:
            return
        try:
            self._save(account, now)
        except WriteError as error:
            if not urgent:
                raise NotSentError("an order on paper", str(error)) from None
            self.unkept = str(error)

    def _save(self, account: Account, now: datetime) -> None:
        save(account, self._path)
        self._kept_at, self._kept_revision, self.unkept = now, account.revision, ""

    def _found(self, now: datetime) -> Account:
        """As the last process left it, with what has happened since; or a new one where there is no file."""
        today = ist_day(now)
        account = load(self._path)
        if account is None:
            return Account(today, self._terms.capital)
        if account.day > today:
            raise DataError(
                f"the paper account {self._path} is of {account.day}, and today is {today}: set the clock"
                " right, or move the file away to begin a new account"
            )
        PaperBook(account, self._terms, now).catch_up()
        return account

    def _instrument(self, ticker: str) -> Instrument | None:
        share = self.master().shares.get(ticker)
        return None if share is None else share.instrument
