"""The journal: what was written comes back, nobody changes it unseen, and no disk and no crash spoils it."""

import argparse
import math
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from cli import Run
from env_file import put_value
from ledger import NAME, Follower, Identity, Journal, backup, journal_folder, journal_paths, verify
from ledger_chain import PAGE_ENTRIES
from ledger_desk import ledger_key, line_of, show_ledger, told, verify_ledger
from ledger_facts import (
    KINDS,
    Closed,
    Decided,
    GateSaid,
    HaltSaid,
    Mark,
    Marked,
    Quiet,
    SessionEnded,
    StateIs,
    decode,
    encode,
    gate_said,
)
from outcome import BusyError, ConfigError, DataError, ExitCode, JournalError
from redaction import redact
from rulebook.gates import Verdict
from rulebook.order_records import Record
from rulebook.records import Action, ExitReason, Paise, Side
from rulebook.trades import ClosedTrade
from tests.conftest import ROOT
from tests.journal_tables import KEY, LIVE, MOMENT, PAPER, alarm, any_of, facts, journal
from tests.paper_tables import HandClock

# --- facts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_fact_comes_back_as_what_it_was(kind):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(any_of(KINDS[kind]))
    def comes_back(fact):
        said = encode(fact)
        back = decode(*said)

        assert said[0] == kind
        assert fact == back
        assert said == encode(back)  # to the last type: 1, 1.0 and True are equal, and not the same

    comes_back()


def test_a_kind_that_was_ever_written_stays():
    assert {
        "order", "began", "ended", "decision", "quiet", "bars", "request", "entered", "trade", "mark", "halt",
        "unlock", "lock", "state", "alarm", "by_hand",
    } == set(KINDS)  # fmt: skip


@pytest.mark.parametrize(
    "fact",
    [
        Quiet(MOMENT.replace(tzinfo=None), {}, {}),
        Quiet(MOMENT, {"INFY": ("BUY", math.nan)}, {}),
        Quiet(MOMENT, {"INFY": ("BUY", math.inf)}, {}),
        StateIs("WALKING", ""),  # type: ignore[arg-type]
        SessionEnded("done", 0, "yes"),  # type: ignore[arg-type]
        HaltSaid(5),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_what_could_not_be_read_back_is_never_written(fact):
    with pytest.raises(ValueError, match=r"."):
        encode(fact)


def test_half_a_character_in_a_broker_s_message_does_not_keep_an_order_out_of_the_journal():
    back = decode(*encode(Record(MOMENT, "refused: \ud83d margin")))

    assert Record(MOMENT, "refused: ? margin") == back


@pytest.mark.parametrize(
    ("value", "said"),
    [(MOMENT, MOMENT.isoformat()), (math.inf, "inf"), (math.nan, "nan"), (1.5, 1.5), (7, 7), (None, None)],
)
def test_a_verdict_is_written_down_whatever_its_value_is(value, said):
    found = gate_said(Verdict("token", value, None, False, "it is {value}"))

    assert GateSaid("token", said, None, False, found.sentence) == found
    assert found == decode("decision", encode_decision(found)).verdicts[0]  # type: ignore[union-attr]


def encode_decision(said: GateSaid) -> str:
    return encode(Decided("INFY", Action.BUY, 0.5, (), Paise(100), MOMENT, (said,), False, "", {}))[1]


# --- writing and reading --------------------------------------------------------------------------------


def test_what_was_written_is_read_in_its_order_by_whoever_asks(tmp_path):
    with journal(tmp_path) as book:
        assert 1 == book.write(MOMENT, alarm("one"))
        assert 3 == book.write(MOMENT, alarm("two"), HaltSaid("three"))
        found = [(e.seq, e.at, e.kind, e.fact) for e in Follower(book.path).entries()]

    assert [
        (1, MOMENT, "alarm", alarm("one")),
        (2, MOMENT, "alarm", alarm("two")),
        (3, MOMENT, "halt", HaltSaid("three")),
    ] == found


def test_the_next_session_goes_on_where_the_last_one_ended(tmp_path):
    with journal(tmp_path) as book:
        book.write(MOMENT, alarm())
    with journal(tmp_path) as book:
        book.write(MOMENT, alarm())

    assert 2 == verify(tmp_path / NAME, KEY).entries


def test_one_asks_for_a_day_for_kinds_and_for_what_is_new(tmp_path):
    late = MOMENT.replace(hour=23, minute=59)  # a day is one of India, not of Greenwich
    with journal(tmp_path) as book:
        book.write(late - timedelta(days=1), alarm(), HaltSaid(""))
        book.write(late, alarm(), HaltSaid(""))
        book.write((late + timedelta(minutes=1)).astimezone(UTC), alarm())
        friday = date(2026, 11, 20)

        assert [3, 4] == [e.seq for e in book.entries(day=friday)]
        assert [4] == [e.seq for e in book.entries(day=friday, kinds=["halt"])]
        assert [4] == [e.seq for e in book.entries(after=3, day=friday)]
        assert [2, 4] == [e.seq for e in book.entries(kinds=["halt"])]
        assert [4, 5] == [e.seq for e in book.entries(after=3)]
        assert [] == list(book.entries(day=date(2026, 12, 24)))
        assert 5 == book.last_seq()


def test_facts_of_one_call_are_written_together_or_not_at_all(tmp_path):
    with journal(tmp_path) as book:
        book.write(MOMENT, alarm())
        with pytest.raises(ValueError, match="valid number"):
            book.write(MOMENT, alarm(), Quiet(MOMENT, {"INFY": ("BUY", math.nan)}, {}))
        book.write(MOMENT, alarm())

        assert [1, 2] == [e.seq for e in book.entries()]


def test_more_than_a_page_is_read_whole(tmp_path):
    count = 2 * PAGE_ENTRIES + 1
    with journal(tmp_path) as book:
        book.write(MOMENT, *[alarm(str(n)) for n in range(count)])

        assert [str(n) for n in range(count)] == [e.fact.text for e in book.entries()]  # type: ignore[union-attr]
        assert count == verify(book.path, KEY).entries


def test_a_commit_waits_for_the_disk(tmp_path):
    with journal(tmp_path) as book:
        mode, sync = (
            book._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        )

    assert ("wal", 2) == (mode, sync)  # 2 is FULL


def test_threads_take_turns(tmp_path):
    with journal(tmp_path) as book:

        def work() -> None:
            for _ in range(10):
                book.write(MOMENT, alarm())

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert (40, None) == (verify(book.path, KEY).entries, verify(book.path, KEY).broken_at)


# --- whose it is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "host", "folder"),
    [
        ("live", "api.kite.trade", "."),
        ("paper", "api.kite.trade", "paper"),
        ("live", "127.0.0.1:9000", "local"),
        ("live", "[::1]:9000", "local"),
        ("paper", "localhost:80", "local/paper"),
        ("paper", "localhost", "local/paper"),
    ],
)
def test_each_account_has_a_folder_of_its_own(tmp_path, mode, host, folder):
    assert tmp_path / folder == journal_folder(tmp_path, Identity(mode, host, "AB1234"))


@pytest.mark.parametrize("other", [replace(LIVE, user="XY"), replace(LIVE, host="sandbox.kite.trade"), PAPER])
def test_the_journal_of_another_account_is_refused(tmp_path, other):
    journal(tmp_path).close()

    with pytest.raises(DataError, match=r"another account .*AB1234.*paths\.ledger"):
        journal(tmp_path, other)


def test_another_key_is_named_as_what_is_wrong(tmp_path):
    with journal(tmp_path) as book:
        book.write(MOMENT, alarm())

    with pytest.raises(DataError, match="LEDGER_HMAC_KEY"):
        journal(tmp_path, key=b"another")
    assert "LEDGER_HMAC_KEY" in verify(tmp_path / NAME, b"another").why


def test_another_key_is_seen_in_an_empty_journal_too(tmp_path):
    journal(tmp_path).close()

    with pytest.raises(DataError, match="LEDGER_HMAC_KEY"):
        journal(tmp_path, key=b"another")


def test_another_version_is_refused_with_what_to_do(tmp_path):
    journal(tmp_path).close()
    tamper(tmp_path, "UPDATE root SET version = 2")

    for ask in (lambda: journal(tmp_path), lambda: list(Follower(tmp_path / NAME).entries())):
        with pytest.raises(DataError, match=r"version 2.*migrate"):
            ask()


def test_there_is_one_writer(tmp_path):
    with journal(tmp_path), pytest.raises(BusyError, match="writer of this journal"):
        journal(tmp_path)

    journal(tmp_path).close()  # and the next one when it has gone


def test_a_refused_start_lets_go_of_the_journal(tmp_path):
    journal(tmp_path).close()
    with pytest.raises(DataError):
        journal(tmp_path, PAPER)

    journal(tmp_path).close()


def test_nobody_else_may_read_it(tmp_path):
    folder = tmp_path / "new" / "ledger"
    with journal(folder) as book:
        book.write(MOMENT, alarm())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}

    assert {NAME, f"{NAME}-wal", f"{NAME}-shm", "journal.lock"} == set(modes)
    assert {0o600} == set(modes.values())
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)


def test_what_others_may_read_is_closed_to_them_at_the_next_start(tmp_path):
    journal(tmp_path).close()
    tmp_path.chmod(0o755)
    (tmp_path / NAME).chmod(0o644)
    journal(tmp_path).close()

    assert (0o700, 0o600) == (
        stat.S_IMODE(tmp_path.stat().st_mode),
        stat.S_IMODE((tmp_path / NAME).stat().st_mode),
    )


# --- nobody changes it unseen ---------------------------------------------------------------------------


def tamper(folder: Path, *statements: str) -> None:
    """By somebody with the file and without the key."""
    db = sqlite3.connect(folder / NAME)
    db.executescript(
        "DROP TRIGGER IF EXISTS no_change; DROP TRIGGER IF EXISTS no_removal;" + ";".join(statements)
    )
    db.close()


SWAP = "UPDATE events SET seq = -{0} WHERE seq = {0}; UPDATE events SET seq = {0} WHERE seq = {1}; UPDATE events SET seq = {1} WHERE seq = -{0}"
TAMPERED = [
    ("a body", ["UPDATE events SET body = replace(body, 'three', 'drei') WHERE seq = 3"], 3, "entry 3 was changed"),
    ("a moment", ["UPDATE events SET at = replace(at, '10:15', '10:16') WHERE seq = 3"], 3, "entry 3 was changed"),
    ("a kind", ["UPDATE events SET kind = 'by_hand' WHERE seq = 3"], 3, "entry 3 was changed"),
    ("a day", ["UPDATE events SET day = '2026-11-19' WHERE seq = 3"], 3, "another day"),
    ("a code", ["UPDATE events SET mac = zeroblob(32) WHERE seq = 3"], 3, "entry 3 was changed"),
    ("a code that is none", ["UPDATE events SET mac = 5 WHERE seq = 3"], 3, "entry 3 was changed"),
    ("bytes for a text", ["UPDATE events SET body = x'ff' WHERE seq = 3"], 3, "entry 3 was changed"),
    ("no UTF-8", ["UPDATE events SET body = CAST(x'ff' AS TEXT) WHERE seq = 3"], 3, "entry 3 was changed"),
    ("the first taken out", ["DELETE FROM events WHERE seq = 1"], 1, "entry 1 was removed"),
    ("one taken out", ["DELETE FROM events WHERE seq = 3"], 3, "entry 3 was removed"),
    ("one taken out and closed up", ["DELETE FROM events WHERE seq = 3", "UPDATE events SET seq = seq - 1 WHERE seq > 3", "UPDATE head SET seq = 5"], 3, "taken out"),
    ("the last taken off", ["DELETE FROM events WHERE seq > 4"], 5, "from 5 to 6 were removed"),
    ("the last taken off, the head set back", ["DELETE FROM events WHERE seq > 4", "UPDATE head SET seq = 4"], 5, "removed at its end"),
    ("all taken out", ["DELETE FROM events", "UPDATE head SET seq = 0"], 1, "all entries were removed"),
    ("neighbours swapped", [SWAP.format(3, 4)], 3, "written as entry 4"),
    ("two swapped", [SWAP.format(2, 5)], 2, "written as entry 5"),
    ("one added", ["INSERT INTO events SELECT 7, at, day, kind, body, mac FROM events WHERE seq = 6"], 7, "entry 7 was added"),
    ("one added, the head put on", ["INSERT INTO events SELECT 7, at, day, kind, body, mac FROM events WHERE seq = 6", "UPDATE head SET seq = 7"], 7, "entry 7"),
    ("no head", ["DELETE FROM head"], 1, "lost its head"),
    ("the identity", ["UPDATE root SET begun_at = '2020-01-01T00:00:00+05:30'"], 0, "identity was changed"),
    ("no table", ["DROP TABLE events"], 1, "no such table"),
]  # fmt: skip


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """A journal of six entries."""
    folder = tmp_path_factory.mktemp("six")
    with journal(folder) as book:
        book.write(MOMENT, *map(alarm, ("one", "two", "three", "four", "five", "six")))
    return folder


def test_a_journal_that_nobody_touched_is_whole(six):
    found = verify(six / NAME, KEY)

    assert (6, None, "") == (found.entries, found.broken_at, found.why)


@pytest.mark.parametrize(
    ("what", "statements", "broken_at", "why"), TAMPERED, ids=[row[0] for row in TAMPERED]
)
def test_what_was_changed_is_named_and_not_begun_with(tmp_path, six, what, statements, broken_at, why):
    folder = shutil.copytree(six, tmp_path / "copy")
    tamper(folder, *statements)
    found = verify(folder / NAME, KEY)

    assert broken_at == found.broken_at
    assert why in found.why
    assert max(0, broken_at - 1) == found.entries or broken_at == 0
    with pytest.raises(DataError):
        journal(folder)


def test_an_entry_cannot_be_changed_by_an_oversight(six, tmp_path):
    folder = shutil.copytree(six, tmp_path / "copy")
    db = sqlite3.connect(folder / NAME)
    for statement in ("UPDATE events SET body = ''", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            db.execute(statement)
    db.close()


def test_a_start_looks_at_the_newest_entries_and_verify_at_all(tmp_path):
    with journal(tmp_path) as book:
        book.write(MOMENT, *[alarm(str(n)) for n in range(300)])
    tamper(tmp_path, "UPDATE events SET body = '{}' WHERE seq = 100")
    journal(tmp_path).close()

    assert 100 == verify(tmp_path / NAME, KEY).broken_at
    tamper(tmp_path, "UPDATE events SET body = '{}' WHERE seq = 101")
    with pytest.raises(DataError, match=r"entry 101 .*ledger_verify"):
        journal(tmp_path)


# --- no disk and no crash spoils it ---------------------------------------------------------------------

FULL_DISK = """
import resource, sys
from pathlib import Path
from ledger import verify
from outcome import JournalError
from tests.journal_tables import KEY, MOMENT, alarm, journal
with journal(Path(sys.argv[1])) as book:
    book.write(MOMENT, alarm())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = Path(str(book.path) + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 9_000, hard))
    written = 1
    for tries in range(20):
        try:
            written = book.write(MOMENT, alarm("x" * 2_000), alarm("y" * 2_000))
        except JournalError as error:
            print(error)
            break
    for _ in range(3):  # it stays so
        try:
            book.write(MOMENT, alarm("z" * 5_000))
        except JournalError:
            print("again")
    assert written == verify(book.path, KEY).entries == book.last_seq(), (written, book.last_seq())
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert written + 1 == book.write(MOMENT, alarm("there is room again"))
    assert (written + 1, None) == (verify(book.path, KEY).entries, verify(book.path, KEY).broken_at)
print("whole")
"""


def test_a_disk_that_refuses_spoils_nothing_and_is_written_to_again_when_it_can_be(tmp_path):
    done = python(FULL_DISK, tmp_path)
    lines = done.stdout.splitlines()

    assert "" == done.stderr
    assert NAME in lines[0]
    assert "check it" in lines[0]
    assert ["again", "again", "again", "whole"] == lines[1:]


def python(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def test_a_full_file_system_is_named_with_what_to_do(tmp_path):
    with journal(tmp_path) as book:
        pages = book._db.execute("PRAGMA page_count").fetchone()[0]
        book._db.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        with pytest.raises(JournalError, match="free some space"):
            book.write(MOMENT, alarm("x" * 50_000))
        book._db.execute("PRAGMA max_page_count = 1000000").fetchall()
        book.write(MOMENT, alarm())

        assert (1, None) == (verify(book.path, KEY).entries, verify(book.path, KEY).broken_at)


def test_a_write_that_failed_halfway_leaves_nothing_behind(tmp_path):
    with journal(tmp_path) as book:
        book.write(MOMENT, alarm())
        tamper(tmp_path, "INSERT INTO events SELECT 3, at, day, kind, body, mac FROM events")
        with pytest.raises(JournalError):
            book.write(MOMENT, alarm(), alarm())
        tamper(tmp_path, "DELETE FROM events WHERE seq = 3")
        book.write(MOMENT, alarm(), alarm())

        assert (3, None) == (verify(book.path, KEY).entries, verify(book.path, KEY).broken_at)


ENDLESS = """
import sys
from pathlib import Path
from tests.journal_tables import MOMENT, alarm, journal
book = journal(Path(sys.argv[1]))
while True:
    print(book.write(MOMENT, alarm(), alarm()), flush=True)
"""


def test_what_was_acknowledged_outlives_a_kill(tmp_path):
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    child = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(20)]
        child.kill()
        acknowledged = int((lines + child.stdout.read().splitlines(keepends=True))[-1])
    found = verify(tmp_path / NAME, KEY)  # a reader mends the log, before any writer comes
    with journal(tmp_path) as book:
        book.write(MOMENT, alarm())

    assert acknowledged >= 40
    assert found.broken_at is None
    assert found.entries in (acknowledged, acknowledged + 2)
    assert found.entries + 1 == verify(tmp_path / NAME, KEY).entries


def test_a_torn_end_of_the_log_costs_no_more_than_the_last_call(tmp_path):
    sizes = []
    with journal(tmp_path / "a") as book:
        log = Path(f"{book.path}-wal")
        for _ in range(4):
            book.write(MOMENT, alarm(), alarm())
            sizes.append(log.stat().st_size)
        data, file = log.read_bytes(), book.path.read_bytes()
    for cut in (sizes[-1], sizes[-1] - 1, sizes[-2] + 1, sizes[-2], sizes[-2] - 100, sizes[0]):
        torn = tmp_path / str(cut)
        torn.mkdir(mode=0o700)
        (torn / NAME).write_bytes(file)
        (torn / f"{NAME}-wal").write_bytes(data[:cut])
        found = verify(torn / NAME, KEY)

        assert (2 * sum(size <= cut for size in sizes), None) == (found.entries, found.broken_at)
        journal(torn).close()


@pytest.mark.parametrize(
    "content", [b"no journal at all, but a text of some length", b"SQLite format 3\x00" + b"\x07" * 4_096]
)
def test_a_damaged_file_is_a_sentence_and_never_a_traceback(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)

    with pytest.raises(DataError, match="backup"):
        list(Follower(tmp_path / NAME).entries())
    with pytest.raises(DataError, match="backup"):
        Follower(tmp_path / NAME).last_seq()
    with pytest.raises(DataError, match="backup"):
        journal(tmp_path)
    assert 1 == verify(tmp_path / NAME, KEY).broken_at


def test_pages_that_were_overwritten_are_noticed(tmp_path):
    with journal(tmp_path) as book:
        book.write(MOMENT, *[alarm(str(n)) for n in range(500)])
        book.compact()
    with (tmp_path / NAME).open("r+b") as file:
        file.seek(-4_096 * 3, os.SEEK_END)
        file.write(b"\x5a" * 4_096)

    assert verify(tmp_path / NAME, KEY).broken_at is not None


# --- readers --------------------------------------------------------------------------------------------


def test_before_the_first_start_there_is_nothing_to_read(tmp_path):
    path = tmp_path / "ledger" / NAME

    assert ([], 0) == (list(Follower(path).entries()), Follower(path).last_seq())
    assert (0, None) == (verify(path, KEY).entries, verify(path, KEY).broken_at)
    assert [] == list(tmp_path.iterdir())
    (tmp_path / NAME).touch()  # the writer is just making it
    assert [] == list(Follower(tmp_path / NAME).entries())


def test_a_reader_that_takes_its_time_holds_up_nobody(tmp_path):
    with journal(tmp_path) as book:
        book.write(MOMENT, *[alarm()] * (PAGE_ENTRIES + 5))
        reading = Follower(book.path).entries()
        next(reading)
        book.write(MOMENT, alarm())
        book.compact()

        assert 0 == Path(f"{book.path}-wal").stat().st_size
        assert PAGE_ENTRIES + 4 == sum(1 for _ in reading)  # what stood there when it began


def test_the_journal_reads_as_before_when_it_is_compacted(tmp_path):
    with journal(tmp_path) as book:
        book.write(MOMENT, alarm("one"), alarm("two"))
        before = list(book.entries())
        book.compact()
        book.write(MOMENT, alarm("three"))

        assert [*before, *book.entries(after=2)] == list(book.entries())
        assert 3 == verify(book.path, KEY).entries


# --- backups --------------------------------------------------------------------------------------------


def test_a_backup_is_one_whole_file_from_which_one_can_go_on(tmp_path):
    copy = tmp_path / "copy" / NAME
    copy.parent.mkdir(mode=0o700)
    with journal(tmp_path / "a") as book:
        book.write(MOMENT, alarm("one"), alarm("two"))
        found = backup(book.path, copy, KEY)
        book.write(MOMENT, alarm("three"))

    assert (2, None) == (found.entries, found.broken_at)
    assert [copy.name] == [path.name for path in copy.parent.iterdir()]
    assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
    assert b"\x01\x01" == copy.read_bytes()[18:20]  # it asks for no log beside it
    with journal(copy.parent) as book:
        assert 3 == book.write(MOMENT, alarm("another three"))


def test_a_broken_journal_replaces_no_good_backup(tmp_path, six):
    folder, target = shutil.copytree(six, tmp_path / "copy"), tmp_path / "backup"
    target.write_text("the old one")
    tamper(folder, "DELETE FROM events WHERE seq = 3")

    with pytest.raises(DataError, match="entry 3 was removed"):
        backup(folder / NAME, target, KEY)
    with pytest.raises(DataError, match="no journal"):
        backup(tmp_path / NAME, target, KEY)
    with pytest.raises(DataError, match="not written"):
        backup(six / NAME, tmp_path / "nowhere" / "copy", KEY)
    assert "the old one" == target.read_text()
    assert ["backup", "copy"] == sorted(path.name for path in tmp_path.iterdir())


# --- the key --------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """As cli.py hands it in, beside a config.json and an .env."""
    shutil.copy(ROOT / "config.json", tmp_path)
    args = argparse.Namespace(config=str(tmp_path / "config.json"), date=None, symbol=None)
    return Run(args, HandClock(MOMENT), {})


def test_a_key_is_made_once_and_kept_beside_the_configuration(tmp_path, run):
    env = tmp_path / ".env"
    env.write_bytes(b"# mine\r\nTZ=UTC # where I am\nLEDGER_HMAC_KEY= # made for me\nLOG_LEVEL=INFO")
    env.chmod(0o600)
    made = ledger_key(run).decode()

    assert 64 == len(made)
    assert "***" == redact(made)
    assert made == ledger_key(run).decode()
    assert (
        f"# mine\r\nTZ=UTC # where I am\nLEDGER_HMAC_KEY={made} # made for me\nLOG_LEVEL=INFO".encode()
        == env.read_bytes()
    )
    assert 0o600 == stat.S_IMODE(env.stat().st_mode)


def test_a_key_of_the_environment_is_taken_and_nothing_is_written(tmp_path, run):
    given_one = Run(run.args, run.clock, {"LEDGER_HMAC_KEY": "a key from outside"})

    assert b"a key from outside" == ledger_key(given_one)
    assert not (tmp_path / ".env").exists()


def test_no_key_is_made_for_journals_that_have_one(tmp_path, run):
    journal(journal_folder(run.settings.paths.ledger, PAPER), PAPER).close()

    with pytest.raises(ConfigError, match=r"LEDGER_HMAC_KEY is not set .*paper"):
        ledger_key(run)
    assert not (tmp_path / ".env").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "NAME=new\n"),
        ("OTHER=1", "OTHER=1\nNAME=new\n"),
        ("NAME=old\n", "NAME=new\n"),
        ("export NAME = old # why\n", "export NAME =new # why\n"),
        ("MY_NAME=old\n#NAME=old\n", "MY_NAME=old\n#NAME=old\nNAME=new\n"),
        ("NAME=\r\nX=1\r\n", "NAME=new\r\nX=1\r\n"),
    ],
)
def test_a_value_goes_into_its_line_and_touches_nothing_else(tmp_path, before, after):
    (tmp_path / ".env").write_bytes(before.encode())
    put_value(tmp_path / ".env", "NAME", "new")

    assert after == (tmp_path / ".env").read_bytes().decode()


# --- what trade.py says ---------------------------------------------------------------------------------


@pytest.fixture
def two(run):
    """A live and a paper journal, with their key."""
    key = ledger_key(run)
    for who in (LIVE, PAPER):
        with Journal(journal_folder(run.settings.paths.ledger, who), who, key, HandClock(MOMENT)) as book:
            book.write(MOMENT - timedelta(days=1), alarm("yesterday"), alarm("of another", ticker="TCS"))
            book.write(MOMENT, *[alarm(f"number {n}") for n in range(250)], HaltSaid("the file\nappeared"))
    return journal_paths(run.settings.paths.ledger)


@pytest.mark.parametrize("ask", [verify_ledger, show_ledger])
def test_without_a_journal_that_is_said_and_nothing_is_wrong(run, ask):
    answer = ask(run)

    assert ([], ExitCode.DONE) == (answer.data, answer.code)
    assert "no journal" in answer.text


def test_every_journal_is_verified_and_a_broken_one_fails(run, two):
    sound = verify_ledger(run)
    tamper(two[1].parent, "DELETE FROM events WHERE seq = 3")
    broken = verify_ledger(run)

    assert (ExitCode.DONE, ExitCode.FAILED) == (sound.code, broken.code)
    assert [str(path) for path in two] == [one["journal"] for one in sound.data]
    assert [(253, None), (2, 3)] == [(one["entries"], one["broken_at"]) for one in broken.data]
    assert "entry 3 was removed" in broken.text


def asked(run: Run, **args: object) -> list[str]:
    changed = argparse.Namespace(**{**vars(run.args), **args})
    return show_ledger(Run(changed, run.clock, run.environ)).text.splitlines()


def test_the_newest_entries_are_shown_of_each_journal(run, two):
    lines = asked(run)

    assert 2 * (1 + 200) == len(lines)
    assert "    253  2026-11-20 10:15:00 IST  halt                  the file appeared" == lines[-1]
    assert "     54  2026-11-20 10:15:00 IST  alarm     INFY        WARNING: number 51" == lines[1]


def test_one_asks_for_a_day_or_a_ticker_or_both(run, two):
    thursday = date(2026, 11, 19)

    assert 2 * (1 + 2) == len(asked(run, date=thursday))
    assert 2 * (1 + 1) == len(asked(run, date=thursday, symbol="TCS"))
    assert 2 * (1 + 1) == len(asked(run, symbol="TCS"))
    assert 2 * (1 + 200) == len(asked(run, symbol="INFY"))
    assert 2 == len(asked(run, symbol="SBIN"))


def test_programs_get_the_whole_fact(run, two):
    last = show_ledger(run).data[-1]

    assert {
        "journal": str(two[1]), "seq": 253, "at": MOMENT.isoformat(), "kind": "halt", "fact": {"text": "the file\nappeared"},
    } == last  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(facts())
def test_every_fact_has_its_sentence(fact):
    ticker, sentence = told(fact)

    assert isinstance(ticker, str)
    assert isinstance(sentence, str)


def test_a_sentence_says_what_happened(run, tmp_path):
    trade = any_trade()
    mark = Mark("INFY", -10, 1500.0, Paise(149000), 10_000, Paise(149000), Paise(150500), None, Paise(151000))
    with journal(tmp_path / "a") as book:
        book.write(MOMENT, Marked((mark,)), Marked(()), Closed("p", "1", "2", 1500.0, trade))
        lines = [line_of(entry)[42:].strip() for entry in book.entries()]

    assert ["INFY -10 (100.00)", "flat", "INFY        closed 10 by STOP: net -120.00, -1.20 R"] == lines


def any_trade() -> ClosedTrade:
    return ClosedTrade(
        "INFY", Side.BUY, 10, MOMENT, Paise(150_000), MOMENT, 1_500_000, Paise(149_000), MOMENT, 1_490_000,
        Paise(149_000), ExitReason.STOP, Paise(149_000), Paise(150_500), 2_000,
    )  # fmt: skip
