"""What do the dated facts under config/ say about sessions, holidays and charges?

Reads the JSON files and hands out rulebook values. Everything is checked before anything is used, and
all mistakes are reported at once: a calendar with a typing error trades on the wrong day. Keeps
nothing between calls; knows no network, no clock and no broker.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from outcome import ConfigError, NetworkError
from rulebook.charges import BPS, PARTS, Amounts, Item, Tariff
from rulebook.hours import (
    Calendar,
    Closure,
    Dated,
    Phase,
    PhaseKind,
    Phases,
    Special,
    SymbolClass,
    YearList,
)
from strict_json import Entry, load, one_of, parse_clock, parse_day, parse_flag, parse_list, parse_text

T = TypeVar("T")

SESSIONS = "sessions.json"
CHARGES = "charges.json"
_HOLIDAYS = re.compile(r"holidays-(\d{4})\.json")


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One day on which the shipped list and the exchange's own do not say the same."""

    day: date
    shipped: str
    fetched: str


@dataclass(frozen=True, slots=True)
class Merged:
    """A calendar that follows the exchange's list, and what a person has to look at first."""

    calendar: Calendar
    disagreements: tuple[Disagreement, ...]


def read_calendar(folder: Path) -> Calendar:
    """Raises one ConfigError that lists every mistake in every file."""
    problems: list[str] = []
    lists = [_year_list(path, int(year), problems) for path, year in _holiday_files(folder, problems)]
    calendar = _sessions(folder / SESSIONS, {found.year: found for found in lists}, problems)
    if not problems:
        problems += _contradictions(calendar)
    if problems:
        raise ConfigError("\n".join(problems))
    return calendar


def read_tariff(folder: Path) -> Tariff:
    """Raises one ConfigError that lists every mistake in the file."""
    problems: list[str] = []
    raw = load(folder / CHARGES, problems)
    rows: dict[Item, tuple[Dated[Amounts], ...]] = {}
    if raw is not None:
        top = Entry(raw, str(folder / CHARGES), problems, f"verified_on {' '.join(Item)}")
        top.get("verified_on", parse_day, date.min)
        rows = {item: _charge_rows(top, item) for item in Item}
    if problems:
        raise ConfigError("\n".join(problems))
    return Tariff(rows)


def require_years(calendar: Calendar, first: date, last: date) -> None:
    """Lets a run stop before it starts, instead of at the first day that nobody knows."""
    missing = [year for year in range(first.year, last.year + 1) if year not in calendar.years]
    if missing:
        files = ", ".join(f"config/holidays-{year}.json" for year in missing)
        raise ConfigError(f"{first} to {last} needs the exchange's holiday lists: add {files}")


def with_exchange_list(calendar: Calendar, year: int, closed: Mapping[date, str], fetched_on: date) -> Merged:
    """The exchange's list takes the shipped one's place; where they differ the caller must ask.

    A false holiday has blocked a trading day elsewhere (openalgo issue 1091), and a missed one is worse,
    so neither list is declared right. An empty list is no list: the exchange's endpoint has answered with
    one (archived captures of 2026-09-09).
    """
    if not closed or any(day.year != year for day in closed):
        raise NetworkError(
            f"the exchange's holiday list for {year} is empty or of another year: use no part of it"
        )
    shipped = calendar.years.get(year)
    early = {} if shipped is None else {d: c for d, c in shipped.closures.items() if c.closes_ist is not None}
    closures = early | {day: Closure(day, label) for day, label in closed.items()}
    fetched = YearList(year, closures, provisional=False, verified_on=fetched_on)
    merged = replace(calendar, years={**calendar.years, year: fetched})
    return Merged(merged, tuple(_disagreements(calendar, shipped, closed)))


def _disagreements(
    calendar: Calendar, shipped: YearList | None, closed: Mapping[date, str]
) -> Iterator[Disagreement]:
    if shipped is None:
        return
    for day in sorted(shipped.closures.keys() | closed.keys()):
        ours, theirs = shipped.closures.get(day), closed.get(day)
        special = calendar.specials.get(day)
        if special is not None and special.tradable and theirs is not None:
            yield Disagreement(day, f"a session: {special.label}", f"closed: {theirs}")
        elif day.weekday() >= 5 or special is not None:
            continue  # both lists name weekend holidays as they please; Muhurat days are closed in both
        elif ours is None and not shipped.provisional:
            yield Disagreement(day, "an ordinary session", f"closed: {theirs}")
        elif ours is not None and theirs is None and ours.closes_ist is None:
            yield Disagreement(day, f"closed: {ours.label}", "an ordinary session")
        elif ours is not None and theirs is not None and ours.closes_ist is not None:
            yield Disagreement(day, f"closes at {ours.closes_ist:%H:%M}: {ours.label}", f"closed: {theirs}")


def _holiday_files(folder: Path, problems: list[str]) -> Iterator[tuple[Path, str]]:
    found = sorted((path, match[1]) for path in folder.glob("*") if (match := _HOLIDAYS.fullmatch(path.name)))
    if not found:
        problems.append(f"{folder}: no holidays-<year>.json; restore them from the release")
    for (_, year), (path, following) in pairwise(found):
        if int(following) != int(year) + 1:
            problems.append(f"{path}: the year after {year} is missing, and a calendar has no gaps")
    yield from found


def _year_list(path: Path, year: int, problems: list[str]) -> YearList:
    raw = load(path, problems)
    if raw is None:
        return YearList(year, {}, provisional=True, verified_on=date.min)
    top = Entry(raw, str(path), problems, "verified_on provisional source NSE")
    top.get("source", parse_text, "")
    closures: dict[date, Closure] = {}
    for row in top.each("NSE", "date weekday label session close source"):
        closure = _closure(row)
        if closure.day.year != year:
            row.wrong(f"{closure.day} is not in {year}")
        if closure.day in closures:
            row.wrong(f"{closure.day} stands there twice")
        closures[closure.day] = closure
    verified_on = top.get("verified_on", parse_day, date.min)
    return YearList(year, closures, top.get("provisional", parse_flag, False), verified_on)


def _closure(row: Entry) -> Closure:
    day = _dated(row)
    row.maybe("source", parse_text)
    closes = row.maybe("close", parse_clock)
    early = row.get("session", one_of("closed", "early_close"), "closed") == "early_close"
    if early != row.has("close"):
        row.wrong("'close' (HH:MM) belongs to session 'early_close', and only there")
    return Closure(day, row.get("label", parse_text, ""), closes)


def _sessions(path: Path, years: Mapping[int, YearList], problems: list[str]) -> Calendar:
    raw = load(path, problems)
    if raw is None:
        return Calendar(years, (), (), {})
    top = Entry(raw, str(path), problems, "verified_on hours square_off special")
    top.get("verified_on", parse_day, date.min)
    common = "from classes confirmed source"
    hours = [_row(entry, _table(entry), _some(entry)) for entry in top.each("hours", f"{common} phases")]
    square_offs = [
        _row(entry, entry.get("at", parse_clock, time.min), _some(entry))
        for entry in top.each("square_off", f"{common} at")
    ]
    specials: dict[date, Special] = {}
    for entry in top.each("special", "date weekday label tradable confirmed source phases square_off"):
        special = _special(entry)
        if special.day in specials:
            entry.wrong(f"{special.day} stands there twice")
        specials[special.day] = special
    calendar = Calendar(years, tuple(hours), tuple(square_offs), specials)
    first = date(min(years, default=date.max.year), 1, 1)
    for key, rows in (("hours", hours), ("square_off", square_offs)):
        problems += (f"{path}: {key}: {fault}" for fault in _row_faults(rows, first))
    return calendar


def _row(entry: Entry, value: T, classes: frozenset[SymbolClass]) -> Dated[T]:
    return Dated(
        entry.get("from", parse_day, date.min),
        classes,
        value,
        entry.get("confirmed", parse_flag, False),
        entry.get("source", parse_text, ""),
    )


def _some(entry: Entry) -> frozenset[SymbolClass]:
    return entry.get("classes", _classes, frozenset())


def _row_faults(rows: list[Dated[Any]], first: date) -> Iterator[str]:
    """Every class has one answer per date, and a confirmed one from the first year on."""
    for symbol_class in SymbolClass:
        days = [row.from_day for row in rows if symbol_class in row.classes]
        for earlier, later in pairwise(days):
            if later <= earlier:
                yield f"{symbol_class}: {later} stands after {earlier}; one row per day, in order"
        sure = [row.from_day for row in rows if symbol_class in row.classes and row.confirmed]
        if not sure or min(sure) > first:
            yield f"{symbol_class}: needs a confirmed row from {first} or earlier"


def _special(entry: Entry) -> Special:
    phases = _table(entry) if entry.has("phases") else ()
    special = Special(
        _dated(entry),
        entry.get("label", parse_text, ""),
        entry.get("tradable", parse_flag, False),
        entry.get("confirmed", parse_flag, False),
        entry.get("source", parse_text, ""),
        phases,
        entry.maybe("square_off", parse_clock),
    )
    if special.tradable and phases and special.square_off_ist is None:
        entry.wrong("a session with hours of its own needs 'square_off' (HH:MM) before it may be tradable")
    if not phases and special.square_off_ist is not None:
        entry.wrong("'square_off' belongs to 'phases'; without them the ordinary one holds")
    return special


def _table(entry: Entry) -> Phases:
    phases = tuple(_phase(row) for row in entry.each("phases", "kind start end random_from"))
    for first, second in pairwise(phases):
        if second.starts_ist < first.ends_ist:
            entry.wrong(f"phase {second.kind} starts at {second.starts_ist:%H:%M}, before {first.kind} ends")
    if PhaseKind.CONTINUOUS not in {phase.kind for phase in phases}:
        entry.wrong("'phases' has no continuous trading")
    return phases


def _phase(row: Entry) -> Phase:
    kind = PhaseKind(row.get("kind", one_of(*PhaseKind), "continuous"))
    starts, ends = row.get("start", parse_clock, time.min), row.get("end", parse_clock, time.max)
    may_end = row.maybe("random_from", parse_clock)
    if not starts < ends:
        row.wrong(f"ends at {ends:%H:%M}, which is not after its start at {starts:%H:%M}")
    if may_end is not None and not starts < may_end < ends:
        row.wrong(f"'random_from' {may_end:%H:%M} is not inside the phase")
    return Phase(kind, starts, ends, may_end)


def _dated(row: Entry) -> date:
    """A weekday beside the date, as the exchange prints it, catches a slipped digit."""
    day = row.get("date", parse_day, date.min)
    weekday = row.maybe("weekday", parse_text)
    if weekday is not None and day != date.min and weekday != f"{day:%A}":
        row.wrong(f"{day} is a {day:%A}, not a {weekday}")
    return day


def _contradictions(calendar: Calendar) -> Iterator[str]:
    """What only shows when files meet: times of the day that trading hours do not contain."""
    for year in calendar.years.values():
        for closure in year.closures.values():
            if closure.closes_ist is not None and closure.day in calendar.specials:
                yield f"{closure.day}: both a special session and an early close; keep one"
            elif closure.closes_ist is not None and closure.closes_ist <= _opening(calendar, closure.day):
                yield f"{closure.day}: closes at {closure.closes_ist:%H:%M}, before trading opens"
    for special in calendar.specials.values():
        if special.day.year not in calendar.years:
            yield f"special session on {special.day}: add holidays-{special.day.year}.json"
        end = max((p.ends_ist for p in special.phases if p.kind is PhaseKind.CONTINUOUS), default=time.max)
        if special.square_off_ist is not None and special.square_off_ist > end:
            yield f"special session on {special.day}: squares off at {special.square_off_ist:%H:%M}, too late"


def _opening(calendar: Calendar, day: date) -> time:
    rows = (row for row in calendar.hours if row.from_day <= day)
    return max(p.starts_ist for row in rows for p in row.value if p.kind is PhaseKind.CONTINUOUS)


def _classes(value: Any) -> frozenset[SymbolClass]:
    names = [one_of(*SymbolClass)(name) for name in parse_list(value)]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"is {value!r}; name each class once")
    return frozenset(SymbolClass(name) for name in names)


def _charge_rows(top: Entry, item: Item) -> tuple[Dated[Amounts], ...]:
    """Charges know no classes of stock."""
    keys = f"from confirmed source {' '.join(_AMOUNTS[item])}"
    rows = tuple(_row(row, _amounts(row, item), frozenset(SymbolClass)) for row in top.each(item.value, keys))
    if top.raw.get(item) == []:
        top.wrong(f"{item}: needs a row")
    for earlier, later in pairwise(row.from_day for row in rows):
        if later <= earlier:
            top.wrong(f"{item}: {later} stands after {earlier}; one row per day, in order")
    return rows


def _amounts(row: Entry, item: Item) -> Amounts:
    return tuple(row.get(key, parse, 0) for key, parse in _AMOUNTS[item].items())


def _percent(parts: int, most: int) -> Callable[[Any], int]:
    """A text, because the float 0.00307 is not 0.00307; `parts` is what 100 % is in the unit of the rule."""

    def parse(value: Any) -> int:
        if not isinstance(value, str) or not re.fullmatch(r"\d{1,3}(\.\d+)?", value):
            raise ValueError(f'is {value!r}; write a text such as "0.00307"')
        exact = Decimal(value) * parts / 100
        if exact != int(exact):
            raise ValueError(f"is {value!r}, which is not a whole number of parts in {parts:,}")
        if Decimal(value) > most:
            raise ValueError(f"is {value!r}; at most {most} is possible")
        return int(exact)

    return parse


def _rupees(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10_000:
        raise ValueError(f"is {value!r}; write whole rupees, 0 to 10000")
    return value * 100


def _zero_or_one(value: Any) -> int:
    return int(parse_flag(value))


_OF_VALUE = _percent(PARTS, most=1)  # what charges.py multiplies within int64
_AMOUNTS: dict[Item, dict[str, Callable[[Any], int]]] = {
    Item.BROKERAGE: {"percent": _OF_VALUE, "max_rupees": _rupees},
    Item.STT: {"percent": _OF_VALUE},
    Item.EXCHANGE: {"percent": _OF_VALUE},
    Item.SEBI: {"percent": _OF_VALUE},
    Item.STAMP: {"percent": _OF_VALUE},
    Item.GST: {"percent": _percent(BPS, most=100), "on_sebi_fee": _zero_or_one},
    Item.SQUARE_OFF: {"rupees": _rupees},
}
