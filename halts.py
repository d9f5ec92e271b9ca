"""What keeps a halted day halted, and a day that lost too much locked?

Three small files in the state folder, readable without the journal:

`.killswitch`      anybody's wish to stop. Any file of that name counts, whoever made it and whatever it
                   holds. One that we wrote names its day and ends with it; one that names none (`touch`),
                   or was touched after it was written, halts until it is removed.
`halted.lock`      that the day was halted. It outlives a switch that flickers (faults.md H3).
`daily_loss.lock`  that the day lost too much.

Only `unlock` ends a day's lock before the day is over. What cannot be read counts as locked; a later
day counts, too, because a wall clock can step back. The locks' blocks are laid out at the start of a
session, so that a full disk does not keep a day from being locked (where the file system overwrites in
place). Nothing here raises on the way to a halt: what could not be written comes back as a sentence, to be
said afterwards.
Must not know who halts, and why.
"""

import errno
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from clock import Clock, SystemClock
from files import WriteError, sync_folder, write_atomically
from rulebook.hours import IST

SWITCH: Final = ".killswitch"
HALTED: Final = "halted.lock"
LOSS: Final = "daily_loss.lock"

RECORD_BYTES: Final = 512  # one sector: written in place, it is never seen half
WHY_MOST: Final = 200  # escaped for JSON it is twice as long at worst, and still fits
BLANK: Final = b" " * RECORD_BYTES
LOOK_EVERY_S: Final = 0.05
TOUCHED_S: Final = 2.0  # the coarsest stamp that a file system keeps (FAT)
ENDS: Final = "python trade.py --fn unlock ends it"


def prepare(state: Path) -> str | None:
    """Lay out the locks' blocks while there is room; what is there stays. Answers with what went wrong."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (state / HALTED, state / LOSS):
            if not os.path.lexists(path):
                write_atomically(path, BLANK)
    except (OSError, WriteError) as error:
        return f"a halt may not outlive a crash once the disk is full: {error}"
    return None


def halt(state: Path, day: date, why: str, when: datetime) -> str | None:
    """The day is halted, for every process and every start. None, or why it may be for this process only."""
    record = _record(day, why, when)
    missing = [state / HALTED] if _locked(state / HALTED, day) is None else []
    if _switched_or_gone(state, day) is None:
        missing.append(state / SWITCH)
    troubles = [_put(path, record, when) for path in missing]
    if len(troubles) < 2 or not all(troubles):
        return None
    return f"{'; '.join(filter(None, troubles))}; the halt may not outlive this process"


def lock_for_loss(state: Path, day: date, text: str, when: datetime) -> str | None:
    """No entry on that day any more. None, or why the lock may not outlive this process."""
    if _locked(state / LOSS, day) is not None:
        return None
    trouble = _put(state / LOSS, _record(day, text, when), when)
    return trouble and f"{trouble}; the loss lock may not outlive this process"


def why_halted(state: Path, day: date) -> str | None:
    """The sentence for the gate; None when that day is not halted."""
    return _switched_or_gone(state, day) or _locked(state / HALTED, day)


def why_locked(state: Path, day: date) -> str | None:
    """The same for the loss. The trades of the day still decide: a file that was deleted frees nothing."""
    return _locked(state / LOSS, day)


def is_halted(state: Path, day: date) -> bool:
    return why_halted(state, day) is not None


def is_locked(state: Path, day: date) -> bool:
    return why_locked(state, day) is not None


def unlock(state: Path) -> str | None:
    """End the halt and the lock. None, or what still stands and must be removed by hand."""
    removed = [_removed(state / SWITCH), _freed(state / HALTED), _freed(state / LOSS)]
    return "; ".join(filter(None, removed)) or None


def seen(state: Path) -> bool:
    """Is there a switch at all? One stat: cheap enough for every turn of a loop."""
    return _look(state) is not None


class SwitchWatch:
    """A thread of its own that looks for the switch on the machine's clock, whatever the core is busy with.

    `hear` is told once of each switch that halts that day; one that changes is a new one. A switch that came
    and went between two looks is never seen; one that was seen is told of, though it is gone by then.
    """

    def __init__(
        self, state: Path, day: date, hear: Callable[[str], None], machine: Clock | None = None
    ) -> None:
        self._state, self._day, self._hear = state, day, hear
        self._machine = machine or SystemClock()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="killswitch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closed.set()
        self._thread.join()

    def _watch(self) -> None:
        last = None
        while not self._is_closed.is_set():
            found = _look(self._state)
            if found is not None and found != last:
                self._read()
            last = found
            self._machine.wait(LOOK_EVERY_S)

    def _read(self) -> None:
        try:
            said = _switched(self._state / SWITCH, self._day)
        except FileNotFoundError:
            said = f"{self._state / SWITCH} was there and is gone: halted for the day; {ENDS}"
        if said is not None:
            self._hear(said)


@dataclass(frozen=True, slots=True)
class _Record:
    """What we once wrote into a file."""

    day: date
    why: str
    when: datetime

    def sentence(self, name: str) -> str:
        return f"{name} of {self.day}, {self.when:%H:%M:%S} IST: {self.why}; {ENDS}"


def _look(state: Path) -> tuple[int, int] | None:
    with suppress(OSError):  # of a folder that cannot be looked into, the gate says so; it is no switch
        found = (state / SWITCH).lstat()
        return found.st_ino, found.st_mtime_ns
    return None


def _switched_or_gone(state: Path, day: date) -> str | None:
    try:
        return _switched(state / SWITCH, day)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _switched(path: Path, day: date) -> str | None:
    """Raises FileNotFoundError when there is none."""
    try:
        data, changed_s = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}): halted until it is removed; {ENDS}"
    record = _parsed(data)
    if record is None:
        return f"{path} is there: halted until it is removed; {ENDS}"
    if abs(changed_s - record.when.timestamp()) > TOUCHED_S:
        return f"{path} was touched after it was written: halted until it is removed; {ENDS}"
    return record.sentence(path.name) if record.day >= day else None


def _locked(path: Path, day: date) -> str | None:
    try:
        data, _ = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}): locked; {ENDS}"
    if data and not data.strip():
        return None
    record = _parsed(data)
    if record is None:
        return f"{path} does not say which day it locks: locked; {ENDS}"
    return record.sentence(path.name) if record.day >= day else None


def _read(path: Path) -> tuple[bytes, float]:
    """Never blocks (somebody may have put a pipe there) and follows no link."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return os.read(fd, RECORD_BYTES + 1), os.fstat(fd).st_mtime
    finally:
        os.close(fd)


def _parsed(data: bytes) -> _Record | None:
    try:
        told = json.loads(data)
        day, when = date.fromisoformat(told["day"]), datetime.fromisoformat(told["when"])
        if when.tzinfo is None:
            return None
        return _Record(day, _plain(str(told["why"])), when.astimezone(IST))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None


def _record(day: date, why: str, when: datetime) -> bytes:
    text = json.dumps({"day": day.isoformat(), "why": _plain(why), "when": when.astimezone(IST).isoformat()})
    record = (text + "\n").encode("ascii").ljust(RECORD_BYTES)
    assert len(record) == RECORD_BYTES, "WHY_MOST is too large"
    return record


def _plain(text: str) -> str:
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text[:WHY_MOST])


def _put(path: Path, record: bytes, when: datetime | None) -> str | None:
    """In place, because a new file needs a block of its own. A name without its record is a lock, too."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, flags, 0o600)
        try:
            if os.pwrite(fd, record, 0) < len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(fd, len(record))
            if when is not None:
                os.utime(fd, (when.timestamp(), when.timestamp()))
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(path.parent)
    except OSError as error:
        return f"{path}: not written ({error.strerror})"
    return None


def _freed(path: Path) -> str | None:
    """Blank, and its block kept for the next time; removed where it is no file of ours."""
    if not os.path.lexists(path) or _put(path, BLANK, None) is None:
        return None
    return _removed(path)


def _removed(path: Path) -> str | None:
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileNotFoundError:  # nor is there a state folder
        return None
    except OSError as error:
        return f"{path}: not removed ({error.strerror}); remove it by hand"
    return None
