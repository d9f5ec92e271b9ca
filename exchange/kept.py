"""Which of the synthetic market's minutes have been made already? A file for each ticker and month.

Two years of fifty stocks are 600 million seconds: half a minute of work on two cores, so what was made is
kept. A shelf is a folder whose name says everything that its files depend on: the version of the process,
the seed, the stocks, the edges and the calendar. Whoever changes one of these looks at another shelf, and
an old file is never read. A file that is torn or of another shape counts as none and is made anew.
"""

import contextlib
import os
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from exchange.edges import Edge, written
from exchange.fixed_point import Ints
from exchange.tapes import MINUTE_S, Bars, midnight_s
from outcome import ConfigError
from rulebook.hours import Calendar

# Raise it with every change of what a seed trades; the golden test of the market asks for it.
PROCESS = 1

DAY_S = 86_400
FILE_TYPE = np.dtype("<i4")  # minutes since 1970, paise and a minute's shares all have room
MONTHS_IN_MEMORY = 64


def shelf_name(seed: int, symbols: int, edges: Sequence[Edge], calendar: Calendar) -> str:
    """The index hangs on how many stocks are listed, and every price on the sessions before it."""
    planted = "+".join(written(edge).replace(":", "-") for edge in edges) or "plain"
    return f"market{PROCESS}-seed{seed}-{symbols}-{planted}-{_digest(calendar)}"


class Shelf:
    """The files of one market."""

    def __init__(self, cache: Path, name: str) -> None:
        self._folder = cache / name
        self._month = lru_cache(MONTHS_IN_MEMORY)(self._read)

    def has(self, ticker: str, month: date) -> bool:
        return self._path(ticker, month).exists()

    def day(self, ticker: str, day: date) -> Bars | None:
        """That day's candles, none on a day without a session; None where its month was not made."""
        month = day.replace(day=1)
        found = self._month(ticker, month)
        if found is None:
            self._month.cache_clear()  # it may be there the next time
            return None
        starts_s = midnight_s(day)
        first, last = np.searchsorted(found.opened_s, (starts_s, starts_s + DAY_S)).tolist()
        return Bars(*(column[first:last] for column in found))

    def put(self, ticker: str, month: date, bars: Bars) -> None:
        """Beside the file and then in its place: a reader sees a whole one or none."""
        path = self._path(ticker, month)
        columns = np.array([bars.opened_s // MINUTE_S, *bars[1:]], FILE_TYPE)
        spare = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with spare.open("wb") as file:
                np.save(file, columns, allow_pickle=False)
            spare.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                spare.unlink(missing_ok=True)
            remedy = "make room there, or name another folder with --cache"
            raise ConfigError(f"{path}: not written ({error.strerror}); {remedy}") from None

    def _read(self, ticker: str, month: date) -> Bars | None:
        try:
            found: Ints = np.load(self._path(ticker, month), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if found.dtype != FILE_TYPE or found.ndim != 2 or len(found) != len(Bars._fields):
            return None
        columns = found.astype(np.int64)
        return Bars(columns[0] * MINUTE_S, *columns[1:])

    def _path(self, ticker: str, month: date) -> Path:
        return self._folder / ticker / f"{month:%Y-%m}.npy"


def month_of(calendar: Calendar, month: date) -> tuple[date, ...]:
    """The sessions of the month that begins on that day."""
    return calendar.sessions_between(month, _next(month) - timedelta(days=1))


def months_between(first: date, last: date) -> list[date]:
    """The first days of all months that these two and the days between them lie in."""
    found, month = [], first.replace(day=1)
    while month <= last:
        found.append(month)
        month = _next(month)
    return found


def _digest(calendar: Calendar) -> str:
    """Of the facts that say when there is a session; sets are sorted, for their order is chance."""
    closures = [
        (day, closure.closes_ist)
        for _, year in sorted(calendar.years.items())
        for day, closure in sorted(year.closures.items())
    ]
    hours = [(row.from_day, sorted(row.classes), row.value) for row in calendar.hours]
    specials = [(day, special.phases) for day, special in sorted(calendar.specials.items())]
    years = sorted(calendar.years)
    return sha256(repr((years, closures, hours, specials)).encode()).hexdigest()[:12]


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
