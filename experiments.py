"""How many candidates were ever tried? One line for each, only ever added, and a line that is gone is missed.

Who tries often enough finds a fine record in noise; luck.py can say how fine, if it is told the true count.
So each evaluation on the holdout adds one JSON line, in one write that is forced to the disk: its number, the
hashes of what it was made of, its scores, and the hash of the line before. A line that was changed or taken
out breaks that chain and leaves a hole in the numbers; lines taken off the end are known by a second small
file, the head, with the last number and hash. A line that a crash has torn, and one that is gone, count as
attempts: somebody has made them. The same weights judged on the same data twice are one attempt.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import variance
from typing import NamedTuple

import locks
from clock import Clock
from files import WriteError, write_atomically
from outcome import BusyError, DataError

FIRST = "0" * 64  # where there is no line before
WAITS, WAIT_S = 50, 0.1  # a line is written in milliseconds; an evaluation takes minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A candidate that was looked at on the days that judge it."""

    model_hash: str
    inputs: Mapping[str, str]  # hashes by name: settings, data, code
    seed: int
    steps: int
    first_day: date  # of the days that judged it
    last_day: date
    daily_sharpe: float | None  # of a day; None where its days have no spread
    scores: Mapping[str, float]
    outcome: str  # what came of it, such as "passed" or "refused"
    reasons: Sequence[str] = ()

    @property
    def key(self) -> str:
        """The same for the same weights on the same data."""
        looked_at = [self.model_hash, self.inputs.get("data"), str(self.first_day), str(self.last_day)]
        return json.dumps(looked_at)


@dataclass(frozen=True, slots=True)
class Tried:
    """What the log tells, and what is wrong with it."""

    count: int
    variance: float | None  # of the daily Sharpe ratios; None of fewer than two
    notes: tuple[str, ...] = ()


def attempts(path: Path, candidate: Attempt | None = None) -> Tried:
    """What was tried so far; with `candidate`, as if its line stood there already."""
    log = _read(path)
    ratios = dict(log.ratios)
    if candidate is not None:
        ratios[candidate.key] = candidate.daily_sharpe or 0.0
    spread = variance(ratios.values()) if len(ratios) > 1 else None
    return Tried(len(ratios) + log.unknown, spread, log.notes)


def add(path: Path, attempt: Attempt, clock: Clock) -> int:
    """Write its line and answer its number. WriteError where it could not be written."""
    with _locked(path, clock):
        log = _read(path)
        number = log.last_number + 1
        told = {"number": number, "at": clock.now().isoformat(), "before": log.last_hash, **asdict(attempt)}
        line = json.dumps(told, default=str, allow_nan=False).encode()
        _append(path, (b"" if log.is_ended else b"\n") + line + b"\n")
        write_atomically(_head_path(path), f"{number} {_hash(line)}\n".encode())
    return number


# --- reading --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Log:
    ratios: Mapping[str, float]  # by attempt
    unknown: int  # attempts of which only the place is left
    last_number: int
    last_hash: str
    is_ended: bool  # the last line has its newline
    notes: tuple[str, ...]


def _read(path: Path) -> _Log:
    data = _bytes(path)
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    ratios: dict[str, float] = {}
    notes: list[str] = []
    hashes = {0: FIRST}
    unknown, number, before = 0, 0, FIRST
    for place, line in enumerate(lines, 1):
        told = _told(line)
        number += 1
        if told is None:
            unknown += 1
            notes.append(f"{path}:{place}: no whole line, torn by a crash or damaged; counted as an attempt")
        else:
            gone = max(0, told.number - number)
            if told.before != before:
                notes.append(_broken(path, place, gone))
            unknown, number = unknown + gone, number + gone
            ratios[told.key] = told.ratio
        before = hashes[number] = _hash(line)
    head = _head(path)
    if head.number >= number:  # the next line goes on from what was written, not from what was made of it
        before = head.hash
    gone = max(0, head.number - number)
    notes += _of_head(path, head, hashes, number)
    is_ended = not data or data.endswith(b"\n")
    return _Log(ratios, unknown + gone, number + gone, before, is_ended, tuple(notes))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}), so nobody knows how many candidates were tried; "
            "mend that before you go on"
        ) from None


class _Told(NamedTuple):
    """What is asked of a line."""

    number: int
    before: str
    key: str
    ratio: float


def _told(line: bytes) -> _Told | None:
    """None where it does not answer."""
    try:
        document = json.loads(line)
        number, _, before = (document.pop(name) for name in ("number", "at", "before"))
        attempt = Attempt(**document)
        ratio = float(attempt.daily_sharpe or 0.0)
        return _Told(int(number), before, attempt.key, ratio) if math.isfinite(ratio) else None
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _broken(path: Path, place: int, gone: int) -> str:
    if gone:
        return f"{path}:{place}: {_lines(gone)} removed before this one; counted as attempts all the same"
    return f"{path}:{place}: not the line that was written after the one before it; one of them was changed"


class _Head(NamedTuple):
    """The last number and its line's hash, as they were written."""

    number: int
    hash: str


def _head(path: Path) -> _Head:
    try:
        number, last = _head_path(path).read_text().split()
        return _Head(int(number), last)
    except (OSError, ValueError):
        return _Head(-1, "")


def _of_head(path: Path, head: _Head, hashes: Mapping[int, str], number: int) -> Iterator[str]:
    """What the head knows and the log no longer has. A crash between the two leaves the log one ahead."""
    if head.number < 0 and number > 1:
        yield f"{_head_path(path)}: missing or damaged, so lines taken off the end would not be noticed"
    if head.number > number:
        yield f"{path}: {_lines(head.number - number)} removed at the end; counted as attempts all the same"
    if 0 <= head.number <= number and hashes.get(head.number) != head.hash:
        yield f"{path}: line {head.number} was changed after it was written"


def _lines(count: int) -> str:
    return "1 line was" if count == 1 else f"{count} lines were"


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


# --- writing --------------------------------------------------------------------------------------------


@contextmanager
def _locked(path: Path, clock: Clock) -> Iterator[None]:
    """Waits a moment: whoever else holds it is writing one line."""
    lock = path.with_name(f"{path.name}.lock")
    with ExitStack() as held:
        for _ in range(WAITS):
            with suppress(BusyError):
                held.enter_context(locks.held(lock, "writer of the experiment log", clock))
                break
            clock.wait(WAIT_S)
        else:
            held.enter_context(
                locks.held(lock, "writer of the experiment log", clock)
            )  # its error says who has it
        yield


def _append(path: Path, data: bytes) -> None:
    """One write, on the disk before anything is made of it; what did not fit is taken back."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            if os.write(fd, data) < len(data):
                os.ftruncate(fd, size)
                raise OSError(0, "disk full: free some space")
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise WriteError(
            f"{path}: the attempt is not logged ({error.strerror}); nothing is promoted"
        ) from error
