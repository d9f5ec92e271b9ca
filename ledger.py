"""Where is everything written down, so that nobody can change it unseen? One SQLite file for one account.

Theory of operation
-------------------
A journal is a table of entries that are only ever added; ledger_chain.py ties each to the one before it and
the first to the identity, so that a change, a gap and another order are seen where they are. Without the key
none of it can be forged. (That somebody put an older copy of the whole file back, this file alone cannot
show: the broker's books are compared at each start.)

Whoever returns from write() has it on the disk: a write-ahead log with a full sync, one transaction for all
facts of a call. A torn end of that log, after a crash, is cut off by SQLite. There is one writer, by a lock;
readers open the file read-only and in pages, so that none holds the log's end for long. A disk that refuses
spoils nothing: what was not written is not there, and the next write begins where the file ends. Knows no
order and no trade: ledger_facts.py says what is written, ledger_views.py what is made of it.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

import ledger_chain as chain
import locks
from clock import Clock
from files import sync_folder
from ledger_facts import Fact, decode, encode
from outcome import DataError, JournalError
from rulebook.hours import IST

NAME: Final = "journal.sqlite3"
CHECKED_AT_OPENING: Final = 200
BUSY_S: Final = 5.0  # the most that SQLite waits for another handle, such as one that mends a torn log
LOOK: Final = "look with: python trade.py --fn ledger_verify"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]", "::1")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose journal it is. `host` is the broker's, as addresses.Addresses.broker_host gives it."""

    mode: str
    host: str
    user: str

    def __str__(self) -> str:
        return f"{self.mode}, {self.host}, user {self.user}"


@dataclass(frozen=True)
class Entry:
    """One fact as it stands in the journal; it is not read before somebody asks for it."""

    seq: int
    at: datetime
    kind: str
    text: str

    @cached_property
    def fact(self) -> Fact:
        try:
            return decode(self.kind, self.text)
        except (ValueError, LookupError) as error:
            what = str(error).partition("\n")[0]
            raise DataError(
                f"entry {self.seq} of the journal ({self.kind}) is none that this program knows ({what});"
                " run the program that wrote it"
            ) from None


def journal_folder(ledger: Path, identity: Identity) -> Path:
    """Live in the ledger itself; paper, and whatever is on this machine, each apart."""
    host, _, _ = identity.host.rpartition(":")
    local = ["local"] if {host, identity.host} & set(_LOOPBACK) else []
    return ledger.joinpath(*local, *(["paper"] if identity.mode == "paper" else []))


def journal_paths(ledger: Path) -> list[Path]:
    """Of all journals that there are."""
    folders = (ledger, ledger / "paper", ledger / "local", ledger / "local" / "paper")
    return [folder / NAME for folder in folders if (folder / NAME).exists()]


def identity_of(path: Path) -> Identity | None:
    """Whose journal lies there; None where there is none yet."""
    try:
        with ExitStack() as held:
            db = _followed(path, held)
            root = None if db is None else chain.root_of(db)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from None
    return None if root is None else Identity(root.mode, root.host, root.user)


class Journal:
    """The only writer. Several threads may share it: they take turns."""

    def __init__(self, folder: Path, identity: Identity, key: bytes, clock: Clock) -> None:
        self.path = folder / NAME
        self.identity = identity
        self._key = key
        self._turn = Lock()
        with ExitStack() as held:
            held.enter_context(locks.held(folder / "journal.lock", "writer of this journal", clock))
            try:
                self._db = held.enter_context(closing(_opened(self.path)))
                self._last: chain.Link | None = self._admitted(clock.now())
            except (sqlite3.Error, OSError) as error:
                raise _unreadable(self.path, error) from None
            self._held = held.pop_all()

    def write(self, at: datetime, *facts: Fact) -> int:
        """All of them or none, on the disk when it returns; the last one's number. Raises JournalError."""
        assert at.utcoffset() is not None, "a naive moment in the journal"
        moment = at.astimezone(IST).isoformat()
        texts = [encode(fact) for fact in facts]
        with self._turn:
            try:
                self._last = self._added(moment, texts)
            except BaseException as error:
                self._last = None  # whether it got there, only the file can say
                if isinstance(error, sqlite3.Error):
                    raise _not_written(self.path, error) from error
                raise
            return self._last.seq

    def entries(
        self, after: int = 0, day: date | None = None, kinds: Collection[str] = ()
    ) -> Iterator[Entry]:
        return Follower(self.path).entries(after, day, kinds)

    def last_seq(self) -> int:
        return Follower(self.path).last_seq()

    def compact(self) -> None:
        """At the end of a day: what is in the log goes into the file. Raises JournalError."""
        with self._turn:
            try:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._db.execute("PRAGMA optimize").fetchall()
            except sqlite3.Error as error:
                raise _not_written(self.path, error) from error

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _admitted(self, now: datetime) -> chain.Link:
        """The journal's end, if it is ours and sound."""
        root = chain.root_of(self._db) or self._begun(now)
        _refuse_other_version(self.path, root)
        kept = Identity(root.mode, root.host, root.user)
        if kept != self.identity:
            raise DataError(
                f"{self.path} is the journal of another account ({kept}), this one is {self.identity}: move"
                " that folder away, or name another one as paths.ledger in config.json"
            )
        found = chain.judged(self._db, self._key, root, CHECKED_AT_OPENING)
        if found.broken_at is not None:
            raise DataError(
                f"{self.path}: {found.why}; {LOOK}, then put a backup in its place, or move that folder away"
                " to begin a new journal"
            )
        return self._end()

    def _begun(self, now: datetime) -> chain.Root:
        """A new journal, whole or not at all."""
        who, begun_at = self.identity, now.astimezone(IST).isoformat()
        root = chain.Root(chain.VERSION, begun_at, who.mode, who.host, who.user, b"")
        root = root._replace(mac=chain.root_mac(self._key, root))
        self._db.executescript(chain.SCHEMA)
        self._db.execute("INSERT INTO root VALUES (?, ?, ?, ?, ?, ?)", root)
        self._db.execute("INSERT INTO head VALUES (0, ?)", (chain.seal(self._key, chain.Link(0, root.mac)),))
        self._db.execute("COMMIT")
        sync_folder(self.path.parent)
        return root

    def _added(self, moment: str, texts: list[tuple[str, str]]) -> chain.Link:
        """One transaction."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            last = self._last or self._end()
            for kind, text in texts:
                row = chain.added(self._key, last, moment, kind, text)
                db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
                last = chain.Link(row.seq, row.mac)
            db.execute("UPDATE head SET seq = ?, seal = ?", (last.seq, chain.seal(self._key, last)))
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # an error of the disk may have ended it already
                db.execute("ROLLBACK")
            raise
        return last

    def _end(self) -> chain.Link:
        root = chain.root_of(self._db)
        assert root is not None, "it was begun"
        return chain.link_at(self._db, root, chain.head_of(self._db).seq)


class Follower:
    """Reads only, by its very handle; while the writer writes, and before there is anything to read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(
        self, after: int = 0, day: date | None = None, kinds: Collection[str] = ()
    ) -> Iterator[Entry]:
        """Those that stand there when the first is asked for. DataError where the file is damaged."""
        try:
            with ExitStack() as held:
                db = _followed(self.path, held)
                if db is not None:
                    yield from _selected(db, after, day, kinds)
        except (sqlite3.Error, ValueError) as error:
            raise _unreadable(self.path, error) from None

    def last_seq(self) -> int:
        """0 where there is none."""
        try:
            with ExitStack() as held:
                db = _followed(self.path, held)
                return 0 if db is None else chain.head_of(db).seq
        except sqlite3.Error as error:
            raise _unreadable(self.path, error) from None


def verify(path: Path, key: bytes) -> chain.Verified:
    """The whole chain, from the first entry to the last."""
    try:
        with ExitStack() as held:
            db = _followed(path, held)
            root = None if db is None else chain.root_of(db)
            return chain.Verified(0) if db is None or root is None else chain.judged(db, key, root)
    except sqlite3.Error as error:
        return chain.Verified(0, 1, f"the file is damaged ({error})")


def backup(journal: Path, target: Path, key: bytes) -> chain.Verified:
    """A copy as of now, while a writer writes or not. It takes the target's place if its chain is whole."""
    spare = target.with_name(f".{target.name}.tmp")
    try:
        with ExitStack() as held:
            source = _followed(journal, held)
            if source is None:
                raise DataError(f"{journal}: there is no journal to copy")
            _copy(source, spare)
        found = verify(spare, key)
        if found.broken_at is not None:
            raise DataError(f"{journal}: not copied, for {found.why}; {LOOK}")
        spare.replace(target)
        sync_folder(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise DataError(f"{target}: not written, {_remedy(error)}") from error
    finally:
        for name in (spare, *(spare.with_name(spare.name + end) for end in ("-wal", "-shm"))):
            name.unlink(missing_ok=True)
    return found


# --- the file -------------------------------------------------------------------------------------------


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False,
    )  # fmt: skip


def _opened(path: Path) -> sqlite3.Connection:
    """For the writer, readable by nobody else."""
    path.parent.chmod(0o700)
    _make(path)
    db = _connected(path, "rw")
    try:
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise sqlite3.OperationalError(f"no write-ahead log on this file system, but {mode}")
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def _make(path: Path) -> None:
    """SQLite gives its log the mode of the file."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def _followed(path: Path, held: ExitStack) -> sqlite3.Connection | None:
    """None before there is a journal. One handle for one reading: the file may be put back from a backup."""
    if not path.exists():
        return None
    db = held.enter_context(closing(_connected(path, "ro")))
    root = chain.root_of(db)
    if root is None:
        return None
    _refuse_other_version(path, root)
    return db


def _selected(
    db: sqlite3.Connection, after: int, day: date | None, kinds: Collection[str]
) -> Iterator[Entry]:
    clauses, values, upto = "", list[str](), chain.head_of(db).seq
    if day is not None:
        clauses, values = " AND day = ?", [day.isoformat()]
        first, last = db.execute("SELECT min(seq), max(seq) FROM events WHERE day = ?", values).fetchone()
        after, upto = max(after, (first or 1) - 1), min(upto, last or 0)
    if kinds:
        clauses += f" AND kind IN ({', '.join('?' * len(kinds))})"
        values += kinds
    for seq, at, kind, text in chain.paged(db, "seq, at, kind, body", after, upto, clauses, values):
        yield Entry(seq, datetime.fromisoformat(at).astimezone(IST), kind, text)


def _copy(source: sqlite3.Connection, spare: Path) -> None:
    """Into one file without a log, on the disk when it returns."""
    _make(spare)
    with closing(_connected(spare, "rw")) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    fd = os.open(spare, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- what is said when it does not go -------------------------------------------------------------------


def _refuse_other_version(path: Path, root: chain.Root) -> None:
    if root.version != chain.VERSION:
        raise DataError(
            f"{path} has version {root.version}, this program reads {chain.VERSION}:"
            " run the program that wrote it, or bring it up to date with: python trade.py --fn migrate"
        )


def _not_written(path: Path, error: sqlite3.Error) -> JournalError:
    return JournalError(f"{path}: not written, {_remedy(error)}; entries wait, exits do not")


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be used as a journal: {_remedy(error)}")


def _remedy(error: Exception) -> str:
    """By SQLite's primary code, which is the last byte of the one it gives."""
    match getattr(error, "sqlite_errorcode", -1) & 0xFF:
        case sqlite3.SQLITE_FULL:
            what = "disk full: free some space"
        case sqlite3.SQLITE_IOERR:
            what = "the disk reports an error: check it, and its space and limits"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            what = "no permission: make file and folder writable for this user"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            what = "another program holds it: close that"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            what = "it is damaged: put a backup in its place, or move it away to begin a new one"
        case _:
            what = "put that right and try again"
    return f"{what} ({error})"
