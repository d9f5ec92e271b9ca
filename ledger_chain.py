"""Is a journal as it was written? The chain of HMACs over its entries, and what is wrong where it breaks.

Each entry's code is over the code before it, its own number, moment, kind and text. The first one is tied to
the root: version and identity. The head seals the last number and code, or nobody would notice what was taken
off the end. Here stand the table that this is kept in and the walk that checks it; ledger.py opens files,
writes and takes turns.
"""

import hmac
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

VERSION: Final = 1
PAGE_ENTRIES: Final = 1_000  # read at once: no reader holds up the log's end for longer
SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE root (version INTEGER NOT NULL, begun_at TEXT NOT NULL, mode TEXT NOT NULL, host TEXT NOT NULL,
    user TEXT NOT NULL, mac BLOB NOT NULL);
CREATE TABLE events (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, day TEXT NOT NULL, kind TEXT NOT NULL,
    body TEXT NOT NULL, mac BLOB NOT NULL);
CREATE INDEX events_by_day ON events (day);
CREATE TABLE head (seq INTEGER NOT NULL, seal BLOB NOT NULL);
CREATE TRIGGER no_change BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END;
CREATE TRIGGER no_removal BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'entries are never removed'); END;
"""


@dataclass(frozen=True, slots=True)
class Verified:
    """How far the chain holds: the number of its last sound entry, and what is wrong with the next."""

    entries: int
    broken_at: int | None = None
    why: str = ""


class Link(NamedTuple):
    """What the next entry is tied to: number and code of the last one, or 0 and the root's code."""

    seq: int
    mac: bytes


class Root(NamedTuple):
    """As the table has it."""

    version: int
    begun_at: str
    mode: str
    host: str
    user: str
    mac: bytes


class Head(NamedTuple):
    seq: int
    seal: bytes
    newest: int  # number that is in the table; the same as `seq` in a sound journal


class Row(NamedTuple):
    """As the table has it; in a journal that somebody has changed, of whatever types."""

    seq: int
    at: str
    day: str
    kind: str
    body: str
    mac: bytes


def root_mac(key: bytes, root: Root) -> bytes:
    return _mac(key, b"root\n", root.version, root.begun_at, repr((root.mode, root.host, root.user)))


def seal(key: bytes, last: Link) -> bytes:
    return _mac(key, b"head\n" + last.mac, last.seq)


def added(key: bytes, last: Link, at: str, kind: str, body: str) -> Row:
    """The entry after that one. `at` is in IST, so that it begins with its day."""
    seq = last.seq + 1
    return Row(seq, at, at[:10], kind, body, _mac(key, last.mac, seq, at, kind, body))


def root_of(db: sqlite3.Connection) -> Root | None:
    """None where there is no table of ours yet."""
    known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'root'").fetchone()
    found = (
        db.execute("SELECT version, begun_at, mode, host, user, mac FROM root").fetchone() if known else None
    )
    return None if found is None else Root(*found)


def head_of(db: sqlite3.Connection) -> Head:
    """One statement, so that a writer cannot come between."""
    sql = "SELECT seq, seal, (SELECT ifnull(max(seq), 0) FROM events) FROM head"
    found = db.execute(sql).fetchone()
    if found is None:
        raise sqlite3.DatabaseError("it has lost its head")
    return Head(*found)


def link_at(db: sqlite3.Connection, root: Root, seq: int) -> Link:
    """As it is written there, sound or not."""
    if seq == 0:
        return Link(0, root.mac)
    found = db.execute("SELECT mac FROM events WHERE seq = ?", (seq,)).fetchone()
    return Link(seq, b"" if found is None else found[0])


def paged(
    db: sqlite3.Connection, columns: str, after: int, upto: int, clauses: str = "", values: Sequence[str] = ()
) -> Iterator[tuple[Any, ...]]:
    """In their order, a page at a time; between two pages nothing is held."""
    sql = f"SELECT {columns} FROM events WHERE seq > ? AND seq <= ?{clauses} ORDER BY seq"  # noqa: S608  (no value)
    while after < upto:
        page = min(after + PAGE_ENTRIES, upto)
        yield from db.execute(sql, (after, page, *values)).fetchall()
        after = page


def judged(db: sqlite3.Connection, key: bytes, root: Root, newest: int | None = None) -> Verified:
    """Of all entries, or of the newest; of what a writer adds meanwhile, nothing."""
    head = head_of(db)
    first = last = link_at(db, root, max(0, head.seq - newest) if newest else 0)
    usual, db.text_factory = db.text_factory, _any_text
    try:
        for row in _rows(db, last.seq, head.seq):
            why = _complaint(db, key, root, last, row)
            if why:
                return _broken(last.seq, _of_key(key, root) if last is first else "", why)
            last = Link(row.seq, row.mac)
    except sqlite3.Error as error:
        return _broken(last.seq, f"entry {last.seq + 1} cannot be read ({error})")
    finally:
        db.text_factory = usual
    return _end_judged(key, root, head, last)


def _end_judged(key: bytes, root: Root, head: Head, last: Link) -> Verified:
    """Nothing is missing behind the last entry, and nothing too much."""
    is_sealed = head.seal == seal(key, last)
    if last.seq < head.seq:
        return _broken(last.seq, f"the entries from {last.seq + 1} to {head.seq} were removed")
    if head.newest > head.seq:
        return _broken(last.seq, f"entry {head.seq + 1} was added by somebody else")
    if not is_sealed and last.seq == 0:
        return _broken(0, _of_key(key, root), "all entries were removed")
    if not is_sealed:
        return _broken(last.seq, "entries were removed at its end, or its seal was changed")
    if _of_key(key, root):
        return Verified(last.seq, 0, "its identity was changed")
    return Verified(last.seq)


def _complaint(db: sqlite3.Connection, key: bytes, root: Root, last: Link, row: Row) -> str:
    if row.seq != last.seq + 1:
        return f"entry {last.seq + 1} was removed"
    due = added(key, last, str(row.at), row.kind, row.body)
    if row.mac == due.mac:
        return "" if row.day == due.day else f"entry {row.seq} was changed: it is filed under another day"
    place = _place_of(db, key, root, row)
    if place is None:
        return f"entry {row.seq} was changed, or the one before it was taken out"
    return f"entry {row.seq} is not in its place: it was written as entry {place}"


def _place_of(db: sqlite3.Connection, key: bytes, root: Root, row: Row) -> int | None:
    """Where a row that was moved belongs: behind an entry that is in its place, or was moved along by one."""
    for before in (Link(0, root.mac), *_links(db)):
        for seq in (before.seq, before.seq + 1):
            if row.mac == _mac(key, bytes(before.mac), seq, row.at, row.kind, row.body):
                return seq
    return None


def _of_key(key: bytes, root: Root) -> str:
    is_ours = root.mac == root_mac(key, root)
    return "" if is_ours else "the key is another one than it was begun with (LEDGER_HMAC_KEY in .env)"


def _broken(sound: int, *whys: str) -> Verified:
    """With the first reason that there is."""
    return Verified(sound, sound + 1, next(why for why in whys if why))


def _rows(db: sqlite3.Connection, after: int, upto: int) -> Iterator[Row]:
    return (Row(*found) for found in paged(db, "seq, at, day, kind, body, mac", after, upto))


def _links(db: sqlite3.Connection) -> Iterator[Link]:
    newest = head_of(db).newest
    return (Link(*found) for found in paged(db, "seq, mac", 0, newest, " AND typeof(mac) = 'blob'"))


def _mac(key: bytes, before: bytes, *said: object) -> bytes:
    """No part but the last holds a new line, so no two sayings have the same bytes."""
    return hmac.digest(key, before + "\n".join(map(str, said)).encode("utf-8", "surrogateescape"), "sha256")


def _any_text(stored: bytes) -> str:
    """A text that is none is one that was changed; it must not stop the walk."""
    return stored.decode("utf-8", "surrogateescape")
