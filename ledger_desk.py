"""What does trade.py say of the journals? Whether their chains hold, and what stands in them; and their key.

All journals under paths.ledger are looked at, whichever account they are of, and whether somebody is trading
or not: these are readers. What an entry says to a person is one line; programs get the whole of it by --json.
"""

import json
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, Final

import locks
from cli import Answer, Run
from env_file import put_value
from ledger import Entry, Follower, Journal, identity_of, journal_paths, verify
from ledger_facts import (
    AlarmSaid,
    Asked,
    BarsSeen,
    Closed,
    Decided,
    Fact,
    HaltSaid,
    LossLocked,
    Marked,
    Noticed,
    Opened,
    Quiet,
    SessionBegan,
    SessionEnded,
    StateIs,
    Unlocked,
)
from outcome import BusyError, ConfigError, ExitCode
from redaction import hide
from rulebook.order_records import Order, Record
from rulebook.records import Action

KEY: Final = "LEDGER_HMAC_KEY"
SHOWN: Final = 200
KEY_BYTES: Final = 32
_WAITS, _WAIT_S = 50, 0.1  # a key is made in milliseconds


def ledger_key(run: Run) -> bytes:
    """The key of all journals; made at the first start, and kept in `.env` beside config.json."""
    ledger = run.settings.paths.ledger
    found = _key(run)
    if found is not None:
        return found
    with ExitStack() as held:
        _take_turn(held, ledger / "key.lock", run)
        return _key(run) or _made_key(run, ledger)


def verify_ledger(run: Run) -> Answer:
    """`--fn ledger_verify`: exit code 1 where a chain is broken."""
    paths = journal_paths(run.settings.paths.ledger)
    if not paths:
        return _nothing(run)
    run.environment(KEY).required(KEY)
    found = {str(path): verify(path, _key(run) or b"") for path in paths}
    lines = [
        f"{path}: {one.entries} entries, the chain is whole"
        if one.broken_at is None
        else f"{path}: BROKEN at entry {one.broken_at} ({one.entries} before it are sound): {one.why};"
        " keep a copy of that folder, put a backup in its place and compare with the broker's books"
        for path, one in found.items()
    ]
    data = [
        {"journal": path, "entries": one.entries, "broken_at": one.broken_at, "why": one.why}
        for path, one in found.items()
    ]
    is_whole = all(one.broken_at is None for one in found.values())
    return Answer(data, "\n".join(lines), ExitCode.DONE if is_whole else ExitCode.FAILED)


def show_ledger(run: Run) -> Answer:
    """`--fn ledger_show`: the newest entries, or those of --date, or of --symbol, or of both."""
    paths = journal_paths(run.settings.paths.ledger)
    if not paths:
        return _nothing(run)
    day, ticker = getattr(run.args, "date", None), getattr(run.args, "symbol", None)
    lines: list[str] = []
    data: list[dict[str, Any]] = []
    for path in paths:
        entries = list(_chosen(Follower(path), day, ticker))
        lines += [f"{path}: {len(entries)} entries shown", *map(line_of, entries)]
        data += [
            {"journal": str(path), "seq": entry.seq, "at": entry.at.isoformat(), "kind": entry.kind,
             "fact": json.loads(entry.text)}
            for entry in entries
        ]  # fmt: skip
    return Answer(data, "\n".join(lines))


def write_unlocked(run: Run, text: str) -> None:
    """Into every journal that there is: whose day it was does not matter any more."""
    for path in journal_paths(run.settings.paths.ledger):
        who = identity_of(path)
        if who is not None:
            with Journal(path.parent, who, ledger_key(run), run.clock) as journal:
                journal.write(run.clock.now(), Unlocked(text))


def line_of(entry: Entry) -> str:
    """For people: when, what kind, which ticker, and one sentence."""
    ticker, sentence = told(entry.fact)
    one_line = " ".join(sentence.split())  # a broker's text may have several
    return f"{entry.seq:>7}  {entry.at:%Y-%m-%d %H:%M:%S} IST  {entry.kind:8}  {ticker:10}  {one_line}"


def told(fact: Fact) -> tuple[str, str]:
    """Its ticker, where it has one, and the sentence."""
    match fact:
        case Record() | Asked():
            return _of_order(fact)
        case Decided() | Quiet() | BarsSeen():
            return _of_decision(fact)
        case Opened() | Closed() | Marked():
            return _of_position(fact)
        case AlarmSaid():
            return fact.ticker, f"{fact.severity.name}: {fact.text}"
        case Noticed():
            return fact.ticker, f"by hand: {fact.text}"
    return "", _of_session(fact)


def _of_order(fact: Record | Asked) -> tuple[str, str]:
    if isinstance(fact, Asked):
        took_ms = (fact.answered_at - fact.sent_at).total_seconds() * 1_000
        order = f" of order {fact.order_id}" if fact.order_id else ""
        return fact.ticker, f"{fact.verb}{order}: {fact.outcome} after {took_ms:.0f} ms{_dashed(fact.text)}"
    ticker = next((part.ticker for part in (fact.unit, *fact.orders) if part is not None), "")
    halted = ["halted"] if fact.halted else []
    return ticker, "; ".join([fact.why, *map(_order_words, fact.orders), *halted])


def _order_words(order: Order) -> str:
    terms = order.terms
    price = terms.trigger if terms.is_stop else terms.price
    at = "" if price is None else f" at {_rupees(price)}"
    done = f", {order.filled} filled" if order.filled else ""
    name = f"{order.purpose.lower()} {order.side.name} {terms.qty} {terms.order_type}{at}"
    return f"{name} is {order.status.name}{done}{_dashed(order.refusal)}"


def _of_decision(fact: Decided | Quiet | BarsSeen) -> tuple[str, str]:
    if isinstance(fact, BarsSeen):
        ended, mended = (
            sum(len(bars) for by_time in rows.values() for bars in by_time.values())
            for rows in (fact.ended, fact.corrected)
        )
        return "", f"until {fact.boundary:%H:%M}: {ended} ended, {mended} put right by the broker's candles"
    if isinstance(fact, Quiet):
        wanted = [_wish(fact, ticker, said) for ticker, (said, _) in fact.said.items() if said != Action.HOLD]
        return "", f"{len(fact.said)} tickers{_dashed(', '.join(wanted) or 'all hold')}"
    missed = [said.sentence for said in fact.verdicts if not said.passed]
    what = "entered" if fact.entered else f"not entered: {'; '.join(missed) or 'it has a trade already'}"
    return fact.ticker, f"{fact.action} {fact.confidence:.2f} at {_rupees(fact.close)}, {what}"


def _wish(fact: Quiet, ticker: str, said: str) -> str:
    against = [verdict.name for verdict in fact.blocked.get(ticker, ()) if not verdict.passed]
    return f"{ticker} {said}{' (against it: ' + ', '.join(against) + ')' if against else ''}"


def _of_position(fact: Opened | Closed | Marked) -> tuple[str, str]:
    match fact:
        case Opened():
            rests = f"stop {fact.stop_order_id} rests {_rupees(fact.distance)} away"
            return fact.ticker, f"{fact.side.name} {fact.qty} at {fact.avg_fill_price:.2f}; {rests}"
        case Closed():
            trade = fact.trade
            gain = f"net {_rupees(trade.net)}, {trade.r:+.2f} R"
            return trade.ticker, f"closed {trade.qty} by {trade.reason.name}: {gain}"
    held = ", ".join(f"{mark.ticker} {mark.qty:+d} ({_rupees(mark.unrealized)})" for mark in fact.positions)
    return "", held or "flat"


def _of_session(fact: Fact) -> str:
    match fact:
        case SessionBegan():
            how = ", recovering" if fact.is_recovery else ""
            return f"{fact.mode} session at {fact.host} for {fact.user} (pid {fact.pid}){how}"
        case SessionEnded():
            return f"{fact.reason}; {'flat' if fact.is_flat else 'NOT FLAT'}, exit code {fact.code}"
        case HaltSaid() | Unlocked():
            return fact.text
        case LossLocked():
            return f"no entry on {fact.day}: {fact.milli_r / 1_000:+.2f} R, net {_rupees(fact.net)}"
        case StateIs():
            return f"{fact.state}{_dashed(fact.why)}"
    raise AssertionError(f"no sentence for {type(fact).__name__}")


def _rupees(paise: int) -> str:
    return f"{paise / 100:.2f}"


def _dashed(text: str) -> str:
    return f" - {text}" if text else ""


# --- which entries --------------------------------------------------------------------------------------


def _chosen(follower: Follower, day: date | None, ticker: str | None) -> Iterator[Entry]:
    """A day whole; else the newest."""
    if day is not None:
        return (entry for entry in follower.entries(day=day) if ticker is None or _is_about(entry, ticker))
    if ticker is None:
        return follower.entries(follower.last_seq() - SHOWN)
    return iter(deque((entry for entry in follower.entries() if _is_about(entry, ticker)), SHOWN))


def _is_about(entry: Entry, ticker: str) -> bool:
    """It names that ticker, among others perhaps; the text is searched first, most do not hold it at all."""
    return f'"{ticker}"' in entry.text


def _nothing(run: Run) -> Answer:
    where = run.settings.paths.ledger
    return Answer([], f"there is no journal under {where} yet; the first session begins one")


# --- the key --------------------------------------------------------------------------------------------


def _key(run: Run) -> bytes | None:
    found = run.environment(KEY).secret(KEY)
    return None if found is None else found.reveal().encode()


def _take_turn(held: ExitStack, lock: Path, run: Run) -> None:
    """Two first starts at once must not make two keys."""
    for left in reversed(range(_WAITS)):
        try:
            held.enter_context(locks.held(lock, "maker of the journals' key", run.clock))
            return
        except BusyError:
            if not left:
                raise
            run.clock.wait(_WAIT_S)


def _made_key(run: Run, ledger: Path) -> bytes:
    paths = journal_paths(ledger)
    if paths:
        raise ConfigError(
            f"{KEY} is not set and {paths[0]} was begun with one: put that line back into .env from a backup,"
            " or move the journal's folder away to begin a new one"
        )
    made = secrets.token_hex(KEY_BYTES)
    hide(made)
    put_value(run.config_path.parent / ".env", KEY, made)
    return made.encode()
