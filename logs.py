"""What is said while a script runs, how does it look, and where does it end up?

One handler on the root logger, so that what other libraries log (httpx and websockets log addresses)
goes the same way: a human line on stderr and, given a folder, a JSON line in a file of the day. Every
text passes redaction.py first. Writing is synchronous: a flood costs time, never memory; and no trouble
with stderr, a disk or a log call reaches the caller, because an exit order must not fail over a log line.
Must not know settings, the environment or the broker: `configure` is handed everything.
"""

import errno
import json
import logging
import math
import os
import stat
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TextIO

from clock import Clock
from redaction import HIDDEN, PROCESS_SECRETS, Redactor, names_a_secret
from rulebook.hours import IST

RETRY_AFTER_S: Final = 60.0  # a full disk costs one failed open a minute, not one a line
NOISY_LOGGERS: Final = ("httpx", "httpcore", "websockets", "urllib3")
MUTED_LOGGERS: Final = ("numba",)  # its DEBUG is the compiler talking to itself, thousands of lines


# --- what a line carries ----------------------------------------------------------------------------

_BOUND: ContextVar[Mapping[str, str]] = ContextVar("bound log ids", default=MappingProxyType({}))


@contextmanager
def bound(*, decision_id: str = "", order_id: str = "") -> Iterator[None]:
    """Every line inside carries these ids; a new thread starts without them, an asyncio task inherits."""
    given = {"decision_id": decision_id, "order_id": order_id}
    token = _BOUND.set({**_BOUND.get(), **{name: value for name, value in given.items() if value}})
    try:
        yield
    finally:
        _BOUND.reset(token)


@dataclass(frozen=True)
class _Line:
    """One record, already redacted; both outputs are made of it, so neither can forget to."""

    at: datetime
    level: str
    logger: str
    message: str
    ids: Mapping[str, str]
    extras: Mapping[str, Any]
    error: str  # one line, for a trader
    traceback: str  # all of it, for whoever mends it


# Set by formatters; standard from 3.12 on; uvicorn's message again; the connection object of websockets.
_NEVER_EXTRA = frozenset({"message", "asctime", "taskName", "color_message", "websocket"})
_NOT_EXTRA = frozenset(vars(logging.makeLogRecord({}))) | _NEVER_EXTRA
_TRACEBACKS = logging.Formatter()


def _line_of(record: logging.LogRecord, at: datetime, redactor: Redactor) -> _Line:
    said = redactor.redact
    error, trace = _failure_of(record)
    return _Line(
        at=at,
        level=record.levelname,
        logger=said(record.name),
        message=said(_message_of(record)),
        ids={name: said(value) for name, value in _BOUND.get().items()},
        extras=_cleaned({k: v for k, v in vars(record).items() if k not in _NOT_EXTRA}, redactor),
        error=said(error),
        traceback=said(trace),
    )


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - any __str__ may run here; what can be said is still said
        return f"{record.msg!r} (its arguments could not be formatted: {type(error).__name__})"


def _failure_of(record: logging.LogRecord) -> tuple[str, str]:
    stack = record.stack_info or ""
    if not record.exc_info or record.exc_info[1] is None:
        return "", "\n".join(filter(None, (record.exc_text, stack)))
    failure = record.exc_info[1]
    trace = _TRACEBACKS.formatException(record.exc_info)
    return "".join(traceback.format_exception_only(failure)), "\n".join(filter(None, (trace, stack)))


def _cleaned(value: Any, redactor: Redactor) -> Any:
    """The same value as JSON has it, without secrets."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (dict, Mapping)):  # dict first: asking the abstract type costs a microsecond
        return {
            redactor.redact(str(key)): HIDDEN if names_a_secret(key) else _cleaned(inner, redactor)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return _cleaned_items(list(value), redactor)
    text = redactor.redact(str(value))
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if is_number and HIDDEN not in text else text


def _cleaned_items(items: list[Any], redactor: Redactor) -> list[Any]:
    if len(items) == 2 and names_a_secret(items[0]):  # a header as a pair
        return [redactor.redact(str(items[0])), HIDDEN]
    return [_cleaned(item, redactor) for item in items]


# --- how a line looks -------------------------------------------------------------------------------

_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


@dataclass(frozen=True)
class _Look:
    zone: tzinfo
    coloured: bool
    tracebacks: bool


def _as_text(line: _Line, look: _Look) -> str:
    at = line.at.astimezone(look.zone)
    clock_text = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {at:%Z}"
    level = line.level
    if look.coloured and level in _COLOURS:
        level = f"\x1b[{_COLOURS[level]}m{level}\x1b[0m"
    # Lists and mappings are for the file.
    pairs = {k: v for k, v in line.extras.items() if isinstance(v, (str, int, float))}
    pairs |= {name.removesuffix("_id"): value for name, value in line.ids.items()}
    tail = "".join(f" {name}={value}" for name, value in pairs.items())
    failure = f"\n{line.traceback}" if look.tracebacks and line.traceback else ""
    if line.error and not failure:
        failure = f" ({' '.join(line.error.split())})"
    return f"{clock_text} {level} {_harmless(line.logger + ' ' + line.message + tail + failure)}"


def _harmless(text: str) -> str:
    """Nothing that a broker's text holds may drive the terminal or pass for a line of ours."""
    if text.isprintable():
        return text
    shown = (c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown).replace("\n", "\n    ")


def _as_json(line: _Line, run_id: str) -> bytes:
    fields: dict[str, Any] = {
        "ts": line.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "level": line.level,
        "logger": line.logger,
        "message": line.message,
        "run_id": run_id,
        **line.ids,
    }
    for name, value in line.extras.items():
        fields[name if name not in fields else f"extra_{name}"] = value
    if line.traceback:
        fields["exception"] = line.traceback
    return json.dumps(fields).encode("ascii") + b"\n"


# --- where it goes ----------------------------------------------------------------------------------


class _DatedFile:
    """FOLDER/YYYY-MM-DD.jsonl, shared by all scripts: each line is one appending write."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._fd: int | None = None
        self._day: date | None = None
        self._lost_lines = 0
        self._retry_at_s = 0.0

    def append(self, line: bytes, at: datetime) -> str:
        """Write the line or drop it; what to tell the trader about that, once an outage."""
        now_s = self._clock.monotonic()
        if self._lost_lines and now_s < self._retry_at_s:
            self._lost_lines += 1
            return ""
        try:
            self._write(line, at.astimezone(IST).date())
        except OSError as error:
            self.close()
            self._lost_lines += 1
            self._retry_at_s = now_s + RETRY_AFTER_S
            reason = f"{self._folder}: the log file cannot be written ({error.strerror}); going on without it"
            return reason if self._lost_lines == 1 else ""
        lost_lines, self._lost_lines = self._lost_lines, 0
        return f"{self._folder}: the log file is written again; {lost_lines} lines lost" if lost_lines else ""

    def _write(self, line: bytes, day: date) -> None:
        if self._fd is None or day != self._day:
            self.close()
            self._fd, self._day = self._open(self._folder / f"{day.isoformat()}.jsonl"), day
        if os.write(self._fd, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self, path: Path) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode):
                if found.st_mode & 0o077:
                    os.fchmod(fd, 0o600)
                # A line torn by a full disk or a power cut must not swallow the next one.
                if found.st_size and os.pread(fd, 1, found.st_size - 1) != b"\n":
                    os.write(fd, b"\n")
        except OSError:
            os.close(fd)
            raise
        return fd

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):  # a quota may show only here; the line is lost either way
                os.close(fd)


class _Outputs(logging.Handler):
    """stderr and the file of the day, from one redacted line."""

    def __init__(
        self,
        clock: Clock,
        run_id: str,
        look: _Look,
        stream: TextIO | None,
        file: _DatedFile | None,
        redactor: Redactor,
    ) -> None:
        super().__init__()
        self._clock, self._run_id, self._look = clock, run_id, look
        self._stream, self._file, self._redactor = stream, file, redactor

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = _line_of(record, self._clock.now(), self._redactor)
            self._say(line)
            notice = self._file.append(_as_json(line, self._run_id), line.at) if self._file else ""
        except Exception as error:  # noqa: BLE001 - a log call must never stop a trade; it is told below
            notice = f"a line of {record.name} could not be logged ({type(error).__name__})"
        if notice:
            warning = logging.makeLogRecord({"name": "logs", "levelname": "WARNING", "msg": notice})
            self._say(_line_of(warning, self._clock.now(), self._redactor))

    def _say(self, line: _Line) -> None:
        stream = self._stream or sys.stderr  # looked up each time: a progress bar puts its own there
        # Closed, full, or busy under a signal handler: there is nowhere left to tell that.
        with suppress(OSError, ValueError, RuntimeError, AttributeError):
            stream.write(_as_text(line, self._look) + "\n")
            stream.flush()

    def close(self) -> None:
        """Undoes configure()."""
        if self._file:
            self._file.close()
        logging.getLogger().removeHandler(self)
        logging.captureWarnings(False)
        super().close()


def configure(
    clock: Clock,
    *,
    level: int = logging.INFO,
    run_id: str = "",
    folder: Path | None = None,
    zone: tzinfo = IST,
    no_color: bool = False,
    term: str = "",
    stream: TextIO | None = None,
    redactor: Redactor = PROCESS_SECRETS,
) -> logging.Handler:
    """Once per process. `no_color` and `term` are the environment's NO_COLOR (set?) and TERM."""
    coloured = _is_terminal(stream or sys.stderr) and not no_color and term != "dumb"
    look = _Look(zone, coloured, tracebacks=level <= logging.DEBUG)
    file = _DatedFile(folder, clock) if folder else None
    outputs = _Outputs(clock, run_id or os.urandom(4).hex(), look, stream, file, redactor)
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, _Outputs)]:
        earlier.close()
    root.addHandler(outputs)
    root.setLevel(level)
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET if level <= logging.DEBUG else logging.WARNING)
    for name in MUTED_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    return outputs


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # a service may start us without stderr
