"""What may a process look at that takes no part? The broker's answers, and the journal of the day.

A trader may run beside it: no lock is taken, no file of his is written, and the client is unable to send an
order, by construction (paper.ReadsOnly).
"""

from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

from clock import SystemClock
from kite.client import READS, Books, KiteClient
from kite.connect import transport
from kite.rates import Rates
from ledger import NAME, Follower, Identity, journal_folder
from order_desk import Submit
from paper import ReadsOnly
from paper_file import load
from rulebook.order_messages import Event
from session_start import Past, past_of
from trading_wiring import Wiring


def reader(w: Wiring) -> KiteClient:
    """Of this login; it reads and can do nothing else."""
    w.user  # noqa: B018  the proof that the token lives, in words that say how to log in
    at = w.at
    way = transport(
        at.environment.text("BROKER_MODE"), at.addresses, at.api_key, SystemClock(), SystemRandom()
    )
    way.use_token(w.token())
    w.held.callback(way.close)
    return KiteClient(ReadsOnly(way), Rates(at.folder / "rates", w.run.clock), w.run.clock, SystemRandom())


def journal_of(w: Wiring, mode: str) -> Path:
    """The folder of that account's journal, whether it has begun or not."""
    who = Identity("live" if mode == "live" else "paper", w.at.addresses.broker_host, w.user)
    return journal_folder(w.run.settings.paths.ledger, who)


def past_of_today(w: Wiring, mode: str) -> Past:
    """What the journal of that account tells of today; read beside whoever writes it."""
    entries = Follower(journal_of(w, mode) / NAME).entries(day=w.day.day)
    return past_of(entry.fact for entry in entries)


def books_of(w: Wiring, mode: str) -> Books:
    """The broker's; on paper those of the account as it was kept last, by whoever trades on it."""
    if mode == "live":
        return reader(w).books(READS)
    account = load(journal_of(w, "paper") / "account.json")
    if account is None or account.day != w.day.day:
        return Books((), (), ())
    rows = tuple(order.row for order in account.orders.values())
    return Books(rows, tuple(account.fills), account.positions())


def reads_only(submit: Submit) -> Submit:
    """A second bolt: what is no read is not even tried."""

    def submitted(work: Callable[[], Event | None], *, is_read: bool) -> None:
        if is_read:
            submit(work, is_read=True)

    return submitted
