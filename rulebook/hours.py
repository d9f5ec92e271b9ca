"""When does NSE trade, for which class of stock, and until when may we?

Dated facts in, sessions and trading windows out. The facts arrive as values (facts.py reads them);
this file knows no file, no clock, no environment and not who asks.

How a fact that is not confirmed is read
----------------------------------------
Rows carry the day they take effect and whether they are confirmed. Exchange and broker announce
changes that move, and second-hand notes of them are wrong at times. So a day is read under every row
that may be in force: the newest confirmed one and each unconfirmed one after it. The reading that
stops trading first wins, whole (a mixture of two tables would describe a day that nobody announced),
and a sentence in `Session.doubts` tells the user. Being flat too early costs a few minutes; being
late costs the broker's fee, or a position whose stop the exchange has just cancelled. Confirming a
row, or deleting it, is an edit of the data.

Unknown is not open: a day in a year without a holiday list raises UnknownYearError. Guessing that a
weekday trades is how one published calendar library came to call every weekday of 2027 a session.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

IST = ZoneInfo("Asia/Kolkata")

# A position that is open two minutes before the broker's square-off is stuck and raises the alarm.
SQUARE_OFF_MARGIN = timedelta(minutes=2)

_DAY = timedelta(days=1)
_SATURDAY = 5


class UnknownYearError(LookupError):
    """The calendar ends before this year; whoever asked must not guess."""

    def __init__(self, year: int) -> None:
        super().__init__(
            f"no NSE calendar for {year}: add config/holidays-{year}.json with the exchange's list"
        )
        self.year = year


class SymbolClass(StrEnum):
    """F&O underlyings close by auction since 2026-08-03; membership changes, so it is asked per day."""

    FNO = "fno"
    OTHER = "other"


class PhaseKind(StrEnum):
    """What the exchange does with an order; only CONTINUOUS matches it at once."""

    PRE_OPEN_ENTRY = "pre_open_entry"
    PRE_OPEN_LIMIT = "pre_open_limit"
    PRE_OPEN_MATCH = "pre_open_match"
    PRE_OPEN_BUFFER = "pre_open_buffer"
    CONTINUOUS = "continuous"
    CLOSING_REFERENCE = "closing_reference"
    CLOSING_ENTRY = "closing_entry"
    CLOSING_LIMIT = "closing_limit"
    CLOSING_MATCH = "closing_match"
    POST_CLOSE = "post_close"


@dataclass(frozen=True, slots=True)
class Phase:
    """Half open: a moment equal to `ends_ist` belongs to what follows."""

    kind: PhaseKind
    starts_ist: time
    ends_ist: time
    may_end_ist: time | None = None  # a random close falls between this and ends_ist


Phases = tuple[Phase, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dated(Generic[T]):
    """A fact and the day from which it holds."""

    from_day: date
    classes: frozenset[SymbolClass]
    value: T
    confirmed: bool
    source: str


@dataclass(frozen=True, slots=True)
class Closure:
    """A row of the exchange's list: closed all day, or closing early."""

    day: date
    label: str
    closes_ist: time | None = None


@dataclass(frozen=True, slots=True)
class YearList:
    """One year's closures; a provisional list lacks what the exchange has not announced yet."""

    year: int
    closures: Mapping[date, Closure]
    provisional: bool
    verified_on: date


@dataclass(frozen=True, slots=True)
class Special:
    """A session on a day that would be closed, or with hours of its own. No phases: the ordinary hours."""

    day: date
    label: str
    tradable: bool
    confirmed: bool
    source: str
    phases: Phases = ()
    square_off_ist: time | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day as one class of stock sees it."""

    day: date
    symbol_class: SymbolClass
    phases: Phases
    square_off_ist: time | None  # None only where nothing is traded
    label: str = ""
    tradable: bool = True
    early_close: bool = False
    doubts: tuple[str, ...] = ()

    @property
    def confirmed(self) -> bool:
        return not self.doubts

    @property
    def opens_at(self) -> datetime:
        return self._at(_opens(self.phases))

    @property
    def closes_at(self) -> datetime:
        """The end of continuous trading, not of the day."""
        return self._at(_closes(self.phases))

    @property
    def stops_valid_until(self) -> datetime:
        """When continuous trading ends, untriggered stops of auction stocks are cancelled (RZ, Aug 2026)."""
        return self.closes_at

    @property
    def square_off_at(self) -> datetime | None:
        return None if self.square_off_ist is None else self._at(self.square_off_ist)

    def phase_at(self, moment: datetime) -> PhaseKind | None:
        """None in the gaps, before, after and on other days."""
        if ist_day(moment) != self.day:
            return None
        clock = moment.astimezone(IST).time()
        return next((p.kind for p in self.phases if p.starts_ist <= clock < p.ends_ist), None)

    def _at(self, clock: time) -> datetime:
        return datetime.combine(self.day, clock, IST)


@dataclass(frozen=True, slots=True)
class Window:
    """Entries from `start`, exits from `safe_end`, a chase from `hard_end`."""

    start: datetime
    safe_end: datetime
    hard_end: datetime
    pulled: tuple[str, ...] = ()  # one sentence for each value that is not the configured one


@dataclass(frozen=True, slots=True)
class NoWindow:
    """Nothing may be entered in this session, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """Every dated fact about sessions; asks and answers with plain dates."""

    years: Mapping[int, YearList]
    hours: tuple[Dated[Phases], ...]
    square_offs: tuple[Dated[time], ...]
    specials: Mapping[date, Special]

    def is_trading_day(self, day: date) -> bool:
        """True on Muhurat evenings too: `Session.tradable` says whether one may trade."""
        return self.closed_because(day) is None

    def closed_because(self, day: date) -> str | None:
        """The holiday's or the weekday's name, or None when there is a session."""
        closure = self._year(day).closures.get(day)
        if day in self.specials:
            return None
        if closure is not None and closure.closes_ist is None:
            return closure.label
        return f"{day:%A}" if day.weekday() >= _SATURDAY else None

    def is_provisional(self, day: date) -> bool:
        """True where the exchange's own list must be fetched before anyone trades on this calendar."""
        return self._year(day).provisional

    def session_of(self, day: date, symbol_class: SymbolClass) -> Session:
        """Ask is_trading_day first: a closed day has no session and raises ValueError."""
        closed = self.closed_because(day)
        if closed is not None:
            raise ValueError(f"{day} is no trading day: {closed}")
        session = self._ordinary(day, symbol_class)
        closure = self._year(day).closures.get(day)
        if day in self.specials:
            return _as_special(session, self.specials[day])
        if closure is not None and closure.closes_ist is not None:
            return _cut_short(session, closure.label, closure.closes_ist)
        return session

    def next_session(self, day: date) -> date:
        """The first trading day after this one."""
        return next(found for found in self._days_from(day, _DAY) if self.is_trading_day(found))

    def previous_session(self, day: date) -> date:
        """The last trading day before this one."""
        return next(found for found in self._days_from(day, -_DAY) if self.is_trading_day(found))

    def sessions_between(self, first: date, last: date) -> tuple[date, ...]:
        """The trading days of a span, both ends included."""
        span = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return tuple(day for day in span if self.is_trading_day(day))

    def _days_from(self, day: date, step: timedelta) -> Iterator[date]:
        """Endless; leaving the known years raises in is_trading_day."""
        while True:
            day += step
            yield day

    def _year(self, day: date) -> YearList:
        # A datetime is a date to Python and equals none, so every look-up would answer "open".
        assert not isinstance(day, datetime), "a calendar is asked by date: ist_day(moment)"
        if day.year not in self.years:
            raise UnknownYearError(day.year)
        return self.years[day.year]

    def _ordinary(self, day: date, symbol_class: SymbolClass) -> Session:
        hours = _in_force(self.hours, day, symbol_class)
        square_offs = _in_force(self.square_offs, day, symbol_class)
        phases = min((row.value for row in hours), key=_stops_first)
        square_off = min(row.value for row in square_offs)
        doubts = (
            *_doubts(hours, "trading hours", f"a close at {_closes(phases):%H:%M} is assumed"),
            *_doubts(square_offs, "square-off", f"{square_off:%H:%M} is assumed"),
        )
        return Session(day, symbol_class, phases, square_off, doubts=doubts)


def ist_day(moment: datetime) -> date:
    """The exchange's date at this moment; a naive datetime is refused, for it could be any."""
    if moment.utcoffset() is None:
        raise ValueError(f"naive datetime {moment.isoformat()}: times here are aware")
    return moment.astimezone(IST).date()


def trading_window(
    session: Session,
    *,
    start_ist: time,
    safe_end_ist: time,
    hard_end_ist: time,
    margin: timedelta = SQUARE_OFF_MARGIN,
) -> Window | NoWindow:
    """The configured window, pulled in to what this session allows and never pushed out.

    The room between safe end and hard end is what the user gives the exits, so it is kept: where the
    hard end moves in, the safe end moves with it.
    """
    if not session.tradable or session.square_off_at is None:
        return NoWindow(f"{session.label} on {session.day} is a session that is not traded")
    start, safe, hard = (_on(session.day, clock) for clock in (start_ist, safe_end_ist, hard_end_ist))
    room = max(hard - safe, timedelta())
    kept = f"exits keep {_minutes(room)} before the hard end" if room else "it is no later than the hard end"
    begin = max(start, session.opens_at)
    end, why_end = _flat_by(session, hard, margin)
    leave = min(safe, end - room)
    pulled = (
        _pulled("safe_trading_start", start, begin, "continuous trading opens then"),
        _pulled("safe_trading_end", safe, leave, kept),
        _pulled("hard_trading_end", hard, end, why_end),
    )
    if begin >= leave:
        return NoWindow(f"nothing is left of {session.day}: entries from {begin:%H:%M} until {leave:%H:%M}")
    return Window(begin, leave, end, tuple(sentence for sentence in pulled if sentence))


def _flat_by(session: Session, hard: datetime, margin: timedelta) -> tuple[datetime, str]:
    assert session.square_off_at is not None
    less = f"less a margin of {_minutes(margin)}"
    square_off = (
        session.square_off_at - margin,
        f"the broker squares off {session.symbol_class} stocks at {session.square_off_at:%H:%M}, {less}",
    )
    close = (
        session.closes_at - margin,
        f"continuous trading in {session.symbol_class} stocks ends at {session.closes_at:%H:%M}, {less}",
    )
    return min((hard, ""), square_off, close, key=lambda limit: limit[0])


def _pulled(name: str, configured: datetime, effective: datetime, why: str) -> str:
    if configured == effective:
        return ""
    return f"{name} {configured:%H:%M:%S} becomes {effective:%H:%M:%S}: {why}"


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:g} minutes"


def _on(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, IST)


def _in_force(rows: tuple[Dated[T], ...], day: date, symbol_class: SymbolClass) -> tuple[Dated[T], ...]:
    """The newest confirmed row and every unconfirmed one after it: see the top of the file."""
    begun = [row for row in rows if symbol_class in row.classes and row.from_day <= day]
    newest_first = sorted(begun, key=lambda row: row.from_day, reverse=True)
    sure = next((index for index, row in enumerate(newest_first) if row.confirmed), None)
    assert sure is not None, f"no confirmed fact for {symbol_class} on {day}: facts.py checks the first rows"
    return tuple(newest_first[: sure + 1])


def _stops_first(phases: Phases) -> tuple[time, timedelta]:
    opens = _opens(phases)
    return _closes(phases), -timedelta(hours=opens.hour, minutes=opens.minute)


def _doubts(rows: tuple[Dated[T], ...], what: str, reading: str) -> tuple[str, ...]:
    return tuple(
        f"{what} of {'/'.join(sorted(row.classes))} stocks from {row.from_day}:"
        f" not confirmed ({row.source}), so {reading}"
        for row in reversed(rows)
        if not row.confirmed
    )


def _as_special(session: Session, special: Special) -> Session:
    """Without phases of its own a special session is an ordinary day on an unusual date (the Budget)."""
    square_off = special.square_off_ist if special.phases else session.square_off_ist
    doubt = f"the {special.label} session of {special.day} is not confirmed ({special.source})"
    return replace(
        session,
        phases=special.phases or session.phases,
        square_off_ist=square_off,
        label=special.label,
        tradable=special.tradable,
        doubts=(*(() if special.phases else session.doubts), *(() if special.confirmed else (doubt,))),
    )


def _cut_short(session: Session, label: str, closes: time) -> Session:
    """No broker has published a square-off for such a day: it keeps its distance from the close."""
    kept = tuple(
        replace(phase, ends_ist=min(phase.ends_ist, closes))
        for phase in session.phases
        if phase.starts_ist < closes
    )
    assert session.square_off_ist is not None
    distance = session.closes_at - _on(session.day, session.square_off_ist)
    square_off = min((_on(session.day, closes) - distance).time(), session.square_off_ist)
    doubt = f"{label}: the close at {closes:%H:%M} is announced, a square-off at {square_off:%H:%M} assumed"
    return replace(
        session,
        phases=kept,
        square_off_ist=square_off,
        label=label,
        early_close=True,
        doubts=(*session.doubts, doubt),
    )


def _continuous(phases: Phases) -> Phases:
    found = tuple(phase for phase in phases if phase.kind is PhaseKind.CONTINUOUS)
    assert found, "facts.py admits no table without continuous trading"
    return found


def _opens(phases: Phases) -> time:
    return _continuous(phases)[0].starts_ist


def _closes(phases: Phases) -> time:
    return _continuous(phases)[-1].ends_ist
