"""Which day of which journal is asked about, and what does it tell of each bar?

It is the day of the newest session of all journals, or the day that is named, of the journal with the newest
session on it. Journals are only read: a session may be running, or none may ever have run.

A bar's decisions stand in several entries: what they were made of, each considered entry with all its gates,
what was said of everybody. Where a process ended between two of them, the rest is missing and nothing else.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from cli import Run
from ledger import Entry, Follower, journal_paths
from ledger_facts import BarsSeen, Decided, Quiet, SessionBegan
from outcome import DataError
from rulebook.bars import MINUTES
from rulebook.hours import IST

NAMED_MOST = 5  # days, in a sentence


@dataclass(frozen=True, slots=True)
class ToldDay:
    """One journal's entries of one day."""

    path: Path
    day: date
    entries: tuple[Entry, ...]
    others: tuple[Path, ...]  # journals that tell of sessions on that day, too


@dataclass(frozen=True, slots=True)
class ToldBar:
    """One boundary. What a process did not come to write is None, or empty."""

    began: SessionBegan | None
    at: datetime  # when it was written down
    quiet: Quiet | None
    decided: tuple[Decided, ...]
    seen: BarsSeen | None

    @property
    def boundary(self) -> datetime:
        """The bar's end; as it was written where an older journal does not say."""
        told = self.seen.boundary if self.seen else self.quiet.boundary if self.quiet else None
        return told or self.at

    @property
    def opened_at(self) -> datetime:
        told = [fact.bar_opened_at for fact in self.decided]
        return min(told, default=self.quiet.bar_opened_at if self.quiet else self.boundary)

    @property
    def said(self) -> dict[str, tuple[str, float]]:
        """Action and confidence by ticker."""
        found = {each.ticker: (each.action.value, each.confidence) for each in self.decided}
        return {**found, **(self.quiet.said if self.quiet else {})}

    @property
    def tickers(self) -> set[str]:
        """Who is spoken of."""
        ended = self.seen.ended.values() if self.seen else ()
        seen = {name for by_time in ended for bars in by_time.values() for name in bars}
        return {*self.said, *seen, *(self.seen.incomplete if self.seen else ())}


def told_day(run: Run, kinds: Collection[str]) -> ToldDay:
    """DataError where nothing is told; entries of these kinds, in their order."""
    ledger, wanted = run.settings.paths.ledger, run.args.date
    paths = journal_paths(ledger)
    if not paths:
        raise DataError(f"there is no journal under {ledger} yet; the first session begins one")
    newest = {path: began[-1].at for path in paths if (began := _began(path, wanted))}
    if not newest:
        raise DataError(_nothing(paths, wanted))
    path = max(newest, key=newest.__getitem__)
    day = wanted or newest[path].astimezone(IST).date()
    others = tuple(other for other in paths if other != path and _began(other, day))
    return ToldDay(path, day, tuple(Follower(path).entries(day=day, kinds=kinds)), others)


def bars_of(entries: Iterable[Entry]) -> Iterator[ToldBar]:
    """In their order; kinds began, decision, quiet and bars are looked at."""
    began: SessionBegan | None = None
    bar = _Pieces()
    for entry in entries:
        fact = entry.fact
        if isinstance(fact, SessionBegan | BarsSeen):  # whatever is there of the one before is all of it
            yield from bar.whole(began)
            bar = _Pieces()
        match fact:
            case SessionBegan():
                began = fact
            case BarsSeen():
                bar.at, bar.seen = entry.at, fact
            case Decided():
                bar.at, bar.decided = entry.at, [*bar.decided, fact]
            case Quiet():
                bar.at, bar.quiet = entry.at, fact
                yield from bar.whole(began)
                bar = _Pieces()
    yield from bar.whole(began)


@dataclass(slots=True)
class _Pieces:
    """Of one bar, as far as they were met."""

    at: datetime | None = None
    quiet: Quiet | None = None
    decided: list[Decided] = field(default_factory=list)
    seen: BarsSeen | None = None

    def whole(self, began: SessionBegan | None) -> Iterator[ToldBar]:
        if self.at is not None:
            yield ToldBar(began, self.at, self.quiet, tuple(self.decided), self.seen)


def _began(path: Path, day: date | None) -> list[Entry]:
    return list(Follower(path).entries(day=day, kinds=("began",)))


def _nothing(paths: Iterable[Path], wanted: date | None) -> str:
    days = sorted({entry.at.date() for path in paths for entry in _began(path, None)}, reverse=True)
    if not days:
        return "no session has begun yet; the journals tell of none"
    named = ", ".join(map(str, days[:NAMED_MOST]))
    return f"no session on {wanted} is told of; the newest days are {named}: name one with --date"


def was_traded(seen: BarsSeen | None, ticker: str) -> bool | None:
    """In the base bar that ended there; None: it had no bar yet, or nobody wrote that down."""
    if seen is None or not seen.ended:
        return None
    by_time = seen.ended[min(seen.ended, key=MINUTES.__getitem__)]
    numbers = by_time[max(by_time)].get(ticker)
    return None if numbers is None else len(numbers) > 1
