"""Who keeps the parquet views up to date while a session runs, and tidies the journal when it is over?

A thread of its own reads the journal as any other reader does, once in EVERY_S of this machine, and writes
what has come since. Nothing that trades waits for it: what goes wrong here is said once and tried again. At
the end the views are brought up to the last entry, and the journal's log goes into its file.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from clock import Clock, SystemClock
from ledger import Follower, Journal
from ledger_views import Views
from outcome import SuiteError

EVERY_S: Final = 1.0  # the views may lag two seconds

log = logging.getLogger("ledger")


class Keeping:
    """Of one journal. Started at once, ended by close()."""

    def __init__(self, journal: Journal, machine: Clock | None = None) -> None:
        self._journal = journal
        self._machine = machine or SystemClock()
        self._is_over = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="views", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The last entry is in the views, and the log in the journal's file."""
        self._is_over.set()
        self._thread.join()
        try:
            self._journal.compact()
        except SuiteError as error:
            log.warning("%s", error)

    def _run(self) -> None:
        views = Views(self._journal.path.parent)
        follower = Follower(self._journal.path)
        self._try(lambda: views.catch_up(follower))
        while not self._is_over.is_set():
            self._machine.wait(EVERY_S)
            self._try(lambda: views.update(follower.entries(views.after)))
        self._try(lambda: views.update(follower.entries(views.after)))

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (SuiteError, OSError) as error:
            if str(error) != self._trouble:
                log.warning("the parquet views are behind: %s", error)
            self._trouble = str(error)
        else:
            self._trouble = ""
