"""How does a script make sure that it is the only one of its kind?

The kernel's lock (flock) on a small file decides, so a killed holder leaves nothing stale behind. The
text in the file names the holder; it is a courtesy to people and to the watchdog, never the lock itself.
The file stays: if it were deleted, two scripts could each lock a file of that name.
Must not know what is protected, nor which scripts there are.
"""

import fcntl
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from clock import Clock
from outcome import BusyError, ConfigError
from rulebook.hours import IST

# One size, written in one call and in place: a reader never sees two records mixed, and a start with a
# full disk still finds its block allocated.
RECORD_BYTES: Final = 512

log = logging.getLogger("locks")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock. A process is its pid and its start: pids come back within a day."""

    pid: int
    started_ticks: int | None  # as the kernel counts, since boot; None where it does not tell
    command: str
    since: datetime


@contextmanager
def held(path: Path, what: str, clock: Clock) -> Iterator[None]:
    """Hold the lock as `what` ("fetch.py"), or raise BusyError that says who has it."""
    fd = _open(path)
    try:
        _lock(fd, path, what, clock)
    except BaseException:
        os.close(fd)
        raise
    lock = _HeldLock(fd)
    os.register_at_fork(after_in_child=lock.leave_to_parent)
    try:
        _write_record(fd, path, Holder(os.getpid(), _started_ticks(os.getpid()), what, clock.now()))
        yield
    finally:
        lock.release()


def holder(path: Path) -> Holder | None:
    """Who holds the lock now, without touching it; None when nobody living says so."""
    try:
        written = json.loads(path.read_bytes()[:RECORD_BYTES])
        found = Holder(**{**written, "since": datetime.fromisoformat(written["since"])})
    except (OSError, ValueError, TypeError, KeyError):  # never taken, released, or not ours
        return None
    return found if _is_alive(found) else None


class _HeldLock:
    """The open file that is the lock, in the process that took it."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def leave_to_parent(self) -> None:
        """A forked worker that outlived us would keep the lock; exec closes it by itself."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def release(self) -> None:
        fd, self._fd = self._fd, None
        if fd is None:
            return  # this is a fork that ran out of the block: the lock is its parent's
        with suppress(OSError):  # closing is what frees the lock; the text only goes stale
            os.pwrite(fd, b" " * RECORD_BYTES, 0)
        os.close(fd)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(_unusable(path, error)) from error


def _lock(fd: int, path: Path, what: str, clock: Clock) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BusyError(_busy(holder(path), what, clock.now())) from error
    except OSError as error:
        raise ConfigError(_unusable(path, error)) from error


def _unusable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be locked ({error.strerror}); make {path.parent} a local folder you may write to"


def _busy(other: Holder | None, what: str, now: datetime) -> str:
    if other is None:  # it has locked and not yet signed, or lives where its pid is not ours to see
        return f"another {what} is running; wait for it or stop it"
    since, today = other.since.astimezone(IST), now.astimezone(IST).date()
    moment = f"{since:%H:%M %Z}" if since.date() == today else f"{since:%Y-%m-%d %H:%M %Z}"
    name = f"another {what}" if other.command == what else other.command
    return f"{name} is running (pid {other.pid}, since {moment}); wait for it or stop it"


def _write_record(fd: int, path: Path, me: Holder) -> None:
    text = json.dumps({**asdict(me), "since": me.since.isoformat()}) + "\n"
    record = text.encode("ascii").ljust(RECORD_BYTES)
    assert len(record) == RECORD_BYTES, "the command's name is too long"
    try:
        os.pwrite(fd, record, 0)
    except OSError as error:
        # With a full disk the lock still holds, and whoever restarts must protect open positions.
        log.warning("%s: locked, but the holder could not be written (%s)", path, error.strerror)


def _is_alive(found: Holder) -> bool:
    if found.started_ticks is not None and sys.platform == "linux":
        return _started_ticks(found.pid) == found.started_ticks
    try:
        os.kill(found.pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _started_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)); None without /proc, and for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in field 2 may hold blanks and brackets; counting starts behind its last one.
    fields = text.rpartition(")")[2].split()
    is_gone = fields[0] in "ZX"  # dead and waiting for its parent: its locks are free already
    return None if is_gone else int(fields[19])
