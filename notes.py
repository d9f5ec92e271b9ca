"""What waits to be written down, and in which transaction does it go? Between a session and its journal.

A fact is noted at once and written with the next record of an order, in one transaction, or when the loop
has a moment. A disk that refuses loses nothing of the order records (order_desk.py keeps and repays those);
notes wait for room, the oldest give way beyond NOTES_MOST, and how many were lost is itself a note.
"""

import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from ledger_facts import AlarmSaid, Fact
from outcome import JournalError
from rulebook.order_records import Record, Severity

NOTES_MOST = 10_000

log = logging.getLogger("journal")


class Writes(Protocol):
    """ledger.Journal.write: one transaction, on disk when it returns."""

    def __call__(self, at: datetime, *facts: Fact) -> int: ...


class Notes:
    """Of one session; the core's thread alone uses it."""

    def __init__(self, write: Writes, now: Callable[[], datetime]) -> None:
        self._write = write
        self._now = now
        self._waiting: deque[Fact] = deque(maxlen=NOTES_MOST)
        self._lost = 0
        self.trouble = ""  # why the journal is behind; empty while it is not

    def add(self, fact: Fact) -> None:
        self._lost += len(self._waiting) == NOTES_MOST
        self._waiting.append(fact)

    def record(self, record: Record) -> None:
        """Of an order, with all that waits; JournalError where the disk refuses."""
        self._commit(record)

    def flush(self) -> bool:
        """Whether nothing waits any more."""
        if not self._waiting:
            return True
        try:
            self._commit()
        except JournalError:  # `trouble` says it, and a later flush tries again
            return False
        return True

    def _commit(self, *records: Record) -> None:
        facts = [*self._waiting, *records]
        if self._lost:
            facts.append(
                AlarmSaid("", f"{self._lost} notes were lost while the disk refused", Severity.WARNING)
            )
        try:
            self._write(self._now(), *facts)
        except JournalError as error:
            if not self.trouble:
                log.critical("%s", error)
            self.trouble = str(error)
            raise
        self._waiting.clear()
        self._lost, self.trouble = 0, ""
