"""What can a session be told from outside, beside the stream and the machine's own events?

Answers of the broker that a worker fetched, words of the user from another terminal, the switch, a signal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kite.books import CandleRow, Quoted
from kite.feed import News
from outcome import ExitCode
from rulebook.order_messages import Event
from rulebook.records import Paise, Side


class Why(StrEnum):
    """Who halted; it decides with which code a flat session ends."""

    SWITCH = "the kill switch"
    COMMAND = "a command"
    SIGNAL = "a signal"
    LOSS = "the day's loss"
    FLATTEN = "flatten"
    BROKER = "no word of the broker"
    CONTRADICTION = "broker and journal differ"
    DEFECT = "a defect of ours"

    @property
    def code(self) -> ExitCode:
        return _CODES[self]


_CODES = {
    Why.SWITCH: ExitCode.REFUSED,
    Why.COMMAND: ExitCode.REFUSED,
    Why.SIGNAL: ExitCode.INTERRUPTED,
    Why.LOSS: ExitCode.REFUSED,
    Why.FLATTEN: ExitCode.DONE,
    Why.BROKER: ExitCode.BROKER,
    Why.CONTRADICTION: ExitCode.FAILED,
    Why.DEFECT: ExitCode.FAILED,
}


@dataclass(frozen=True, slots=True)
class Quotes:
    """REST quotes that were asked for; None: the request failed."""

    asked: tuple[str, ...]
    found: Mapping[str, Quoted] | None


@dataclass(frozen=True, slots=True)
class Cash:
    began_s: float
    free: Paise


@dataclass(frozen=True, slots=True)
class Leverages:
    """By ticker and side, in thousandths."""

    found: Mapping[tuple[str, Side], int]


@dataclass(frozen=True, slots=True)
class Candles:
    """The broker's own bars of today, by ticker; the newest may be unfinished."""

    timeframe: str
    asked: tuple[datetime, datetime]  # openings, both included
    found: Mapping[str, tuple[CandleRow, ...]]


@dataclass(frozen=True, slots=True)
class TokenIs:
    """What the broker says about our token."""

    is_valid: bool


@dataclass(frozen=True, slots=True)
class Beat:
    """An authenticated read came back; it tells of the moment at which it began."""

    began_s: float


@dataclass(frozen=True, slots=True)
class Halt:
    """No entries, flat, and no more today."""

    why: Why
    text: str
    taken: Callable[[str], object] | None = None  # who asked is told what was done


@dataclass(frozen=True, slots=True)
class Flatten:
    """Flat now; entries stay open, unless the session `ends` with it."""

    text: str
    taken: Callable[[str], object] | None = None
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Unlock:
    """The user takes a halt or a lost day back: from the next session on this machine's state is free."""

    text: str
    taken: Callable[[str], object] | None = None


SessionEvent = (
    News | Event | Quotes | Cash | Leverages | Candles | TokenIs | Beat | Halt | Flatten | Unlock
)  # fmt: skip
