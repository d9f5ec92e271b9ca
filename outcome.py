"""How can a run end? The exit codes, and the errors that carry them.

Every error that a user may meet is a SuiteError: one sentence that says what is wrong, where
(file, key, symbol) and what to do about it. Its class decides the exit code, so no caller
translates. Anything else that escapes is a bug of ours and is reported as one by cli.py.
Knows no file, no network, no printing.
"""

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Documented in the README; systemd units and timers rely on these numbers."""

    DONE = 0  # also: not a trading day; a session that ended flat
    FAILED = 1  # the work failed; a session that is not flat
    USAGE = 2  # command line or configuration
    REFUSED = 3  # a gate refused the start, or the kill switch or the loss lock ended a flat session
    BROKER = 4  # broker, network or login
    DATA = 5  # data missing or stale
    BUSY = 6  # another instance runs
    INTERRUPTED = 130  # SIGINT or SIGTERM, after halting


class SuiteError(Exception):
    """Base of all errors meant for the user; str(error) is the sentence."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class ConfigError(SuiteError, ValueError):
    """config.json, .env or a fact under config/ is missing, wrong or unreadable."""

    exit_code = ExitCode.USAGE


class RefusedError(SuiteError):
    """A gate said no; nothing was sent."""

    exit_code = ExitCode.REFUSED


class NetworkError(SuiteError):
    """The other side could not be reached, or did not answer as it should."""

    exit_code = ExitCode.BROKER


class DataError(SuiteError):
    """Candles, features or a model are missing, stale or damaged."""

    exit_code = ExitCode.DATA


class JournalError(SuiteError):
    """A fact is not on the disk: entries wait, exits go out all the same."""


class BusyError(SuiteError):
    """Another instance holds the place that this run needs."""

    exit_code = ExitCode.BUSY
