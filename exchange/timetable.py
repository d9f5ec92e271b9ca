"""When does the exchange do what on one day, for one class of stock? Phases with their random ends drawn.

rulebook.hours says what is announced; here an announced random close becomes a moment (one for the whole
exchange, from the seed), and phases become the marks at which something is done. A day without a session
has no phases, and so does a day of a year that no calendar knows.

What is taken when (kite.md 6.4): limit and market orders in the first part of an auction, limit orders
alone in its second, everything in continuous trading, nothing in between. The post-close session, at
the closing price, is not traded here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import IntEnum
from functools import lru_cache
from random import Random

from exchange.agenda import SECOND, micros
from rulebook.hours import IST, Calendar, Phase, PhaseKind, Session, SymbolClass, UnknownYearError

OPENING_ENTRY = frozenset({PhaseKind.PRE_OPEN_ENTRY, PhaseKind.PRE_OPEN_LIMIT})
CLOSING_ENTRY = frozenset({PhaseKind.CLOSING_ENTRY, PhaseKind.CLOSING_LIMIT})
AUCTION_ENTRY = OPENING_ENTRY | CLOSING_ENTRY
LIMIT_ONLY = frozenset({PhaseKind.PRE_OPEN_LIMIT, PhaseKind.CLOSING_LIMIT})
ORDERS_TAKEN = AUCTION_ENTRY | {PhaseKind.CONTINUOUS}


class Mark(IntEnum):
    """What is done at a moment; of two at one moment the smaller goes first."""

    OPENING = 1  # the orders of the pre-open session are matched
    SQUARE_OFF = 2
    STOPS_END = 3  # continuous trading of an auction stock is over: untriggered stops are cancelled
    CLOSING = 4  # the closing auction is matched
    OVER = 5  # what is still open is cancelled


@dataclass(frozen=True, slots=True)
class Slot:
    """A phase as it really was that day; half open."""

    kind: PhaseKind
    starts_us: int
    ends_us: int


@dataclass(frozen=True, slots=True)
class Timetable:
    day: date
    session: Session | None
    slots: tuple[Slot, ...]
    marks: tuple[tuple[int, Mark], ...]

    def phase_at(self, us: int) -> PhaseKind | None:
        return next((slot.kind for slot in self.slots if slot.starts_us <= us < slot.ends_us), None)

    def moment(self, mark: Mark) -> int | None:
        """When that is done; None where it is not."""
        return next((us for us, found in reversed(self.marks) if found is mark), None)

    @property
    def opens_us(self) -> int | None:
        return next((slot.starts_us for slot in self.slots if slot.kind is PhaseKind.CONTINUOUS), None)

    @property
    def continuous_ends_us(self) -> int | None:
        return _last_end(self.slots)

    @property
    def label(self) -> str:
        return "" if self.session is None else self.session.label


class Timetables:
    """Each day's, by class; drawn once."""

    def __init__(self, calendar: Calendar, seed: int) -> None:
        self._calendar = calendar
        self._seed = seed
        self.of = lru_cache(maxsize=64)(self._draw)

    def _draw(self, day: date, symbol_class: SymbolClass) -> Timetable:
        try:
            if not self._calendar.is_trading_day(day):
                return Timetable(day, None, (), ())
        except UnknownYearError:
            return Timetable(day, None, (), ())
        session = self._calendar.session_of(day, symbol_class)
        slots = tuple(self._slot(day, phase) for phase in session.phases)
        return Timetable(day, session, slots, tuple(sorted(set(_marks(session, slots)))))

    def _slot(self, day: date, phase: Phase) -> Slot:
        return Slot(phase.kind, _on(day, phase.starts_ist), self._end(day, phase))

    def _end(self, day: date, phase: Phase) -> int:
        """A random close is the same for every stock, hence drawn from the day and the phase alone."""
        last = _on(day, phase.ends_ist)
        if phase.may_end_ist is None:
            return last
        room_s = (last - _on(day, phase.may_end_ist)) // SECOND
        drawn = Random(f"{self._seed}:close:{day}:{phase.kind}:{phase.starts_ist}").randint(0, room_s)
        return last - drawn * SECOND


def _marks(session: Session, slots: tuple[Slot, ...]) -> Iterator[tuple[int, Mark]]:
    for opened in (slot for slot in slots if slot.kind is PhaseKind.CONTINUOUS):
        entered = [slot for slot in slots if slot.kind in OPENING_ENTRY and slot.ends_us <= opened.starts_us]
        if entered:
            yield _matched_at(slots, PhaseKind.PRE_OPEN_MATCH, entered[-1]), Mark.OPENING
    if session.square_off_at is not None:
        yield micros(session.square_off_at), Mark.SQUARE_OFF
    ends_us = _last_end(slots)
    if ends_us is None:
        return
    closing = [slot for slot in slots if slot.kind in CLOSING_ENTRY]
    if closing:
        yield ends_us, Mark.STOPS_END
        ends_us = _matched_at(slots, PhaseKind.CLOSING_MATCH, closing[-1])
        yield ends_us, Mark.CLOSING
    yield ends_us, Mark.OVER


def _matched_at(slots: tuple[Slot, ...], kind: PhaseKind, entered: Slot) -> int:
    """At the start of the phase of that name, or where there is none at the end of the entry."""
    return next(
        (slot.starts_us for slot in slots if slot.kind is kind and slot.starts_us >= entered.ends_us),
        entered.ends_us,
    )


def _last_end(slots: tuple[Slot, ...]) -> int | None:
    return max((slot.ends_us for slot in slots if slot.kind is PhaseKind.CONTINUOUS), default=None)


def _on(day: date, clock: time) -> int:
    return micros(datetime.combine(day, clock, IST))
