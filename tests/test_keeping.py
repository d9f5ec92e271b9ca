"""The views of a running session: they follow the journal, and what is wrong with them stops nobody."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from clock import SystemClock
from keeping import Keeping
from ledger import Identity, Journal
from ledger_facts import Mark, Marked
from rulebook.hours import IST
from rulebook.records import Paise

CLOCK = SystemClock()
NOON = datetime(2026, 11, 20, 12, tzinfo=IST)
LAG_MOST_S = 20.0  # of a loaded machine; two seconds is the promise


def marked(qty: int) -> Marked:
    return Marked(
        (Mark("INFY", qty, 1500.0, Paise(1_501_00), 100, Paise(1_501_00), Paise(1_499_00), None, None),)
    )


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "ledger", Identity("paper", "127.0.0.1", "LX0001"), b"key", CLOCK) as journal:
        yield journal


def rows(journal: Journal) -> int:
    path = Path(journal.path.parent / "positions.parquet")
    return len(pd.read_parquet(path)) if path.exists() else 0


def until_rows(journal: Journal, count: int) -> int:
    over_at_s = CLOCK.monotonic() + LAG_MOST_S
    while rows(journal) < count and CLOCK.monotonic() < over_at_s:
        CLOCK.wait(0.05)
    return rows(journal)


def test_the_views_follow_while_the_session_runs_and_are_whole_when_it_is_over(journal):
    keeping = Keeping(journal)
    journal.write(NOON, marked(1))

    assert 1 == until_rows(journal, 1)

    journal.write(NOON, marked(2))
    keeping.close()

    assert 2 == rows(journal)


def test_a_folder_in_the_place_of_a_view_is_said_once_and_the_journal_goes_on(journal, caplog):
    (journal.path.parent / "positions.parquet").mkdir()
    keeping = Keeping(journal)
    journal.write(NOON, marked(1))
    keeping.close()

    assert 1 == len([record for record in caplog.records if "the parquet views are behind" in record.message])
    assert 1 == journal.last_seq()
