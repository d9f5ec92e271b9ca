"""Does a day's journal lead to the same decisions again? `--fn replay`: history, model, journal, no broker.

Theory of operation
-------------------
What a decision is made of is the candles before that day, the model, and the bars of that day as they were
known at each boundary. The first two are on disk and the journal has their hashes (SessionBegan); the bars
are in the journal itself (BarsSeen), ours as they were, the broker's from when they had come. So the very
object that decided (mind.Decider) is made anew for each process that ran on that day, shown the same in the
same order, and its decisions are laid beside the ones that were written down.

Of an entry the journal has every gate's verdict. From them follows who had to be considered in each bar (the
surest of those that no gate of their own kept out, rulebook/book.py), and that it was entered if all gates
passed and it had no trade.

Exit code 1 where anything differs; 5 where model or candles are no longer those, for then nothing follows.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

import winner
from cli import Answer, Run
from ledger import Entry
from ledger_facts import BarRows, BarsSeen, Decided, Quiet, SessionBegan
from mind import Decider
from outcome import DataError, ExitCode
from rulebook.bars import MINUTES
from rulebook.gates import OWN_GATES
from rulebook.hours import IST
from rulebook.order_records import Record
from rulebook.orders import Machine
from rulebook.records import Action, Bar, Paise, Phase
from rulebook.rules import prefers
from session_mind import Closed, Rows, Seen
from session_start import frames_before, history_hash
from study import lookbacks, recipes
from told_day import ToldBar, bars_of, told_day, was_traded

KINDS = ("began", "bars", "decision", "quiet", "order")
SAME_WITHIN = 1e-6
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Differs:
    """One decision that is not the same again."""

    boundary: datetime
    ticker: str
    text: str

    def __str__(self) -> str:
        return f"{self.boundary.astimezone(IST):%H:%M:%S} {self.ticker}: {self.text}"


def replay(run: Run) -> Answer:
    """Of --date, or of the newest session's day."""
    told = told_day(run, KINDS)
    bars, asked = list(bars_of(told.entries)), 0
    differences: list[Differs] = []
    for began, of_one in groupby(bars, key=lambda bar: bar.began):
        asked_bars = _asked(list(of_one))
        if asked_bars:
            decider = _decider(run, began, told.day)
            for bar in asked_bars:
                differences += _compared(bar, decider.decide(seen_of(_seen(bar, told.day))))
                asked += len(bar.said)
    differences += entries_that_do_not_follow(told.entries)
    data = {
        "day": str(told.day), "journal": str(told.path), "bars": len(bars), "decisions": asked,
        "differences": [
            {"boundary": each.boundary.isoformat(), "ticker": each.ticker, "text": each.text}
            for each in differences
        ],
    }  # fmt: skip
    counted = f"{told.day}: {asked} decisions of {len(bars)} bars"
    if not differences:
        return Answer(data, f"{counted}: all the same")
    return Answer(
        data, _sorry(run, bars, f"{counted}: {len(differences)} differ", differences), ExitCode.FAILED
    )


def _asked(bars: list[ToldBar]) -> list[ToldBar]:
    """A session that only leaves asks nobody."""
    return [] if all(bar.seen is None and not bar.said for bar in bars) else bars


def _seen(bar: ToldBar, day: date) -> BarsSeen:
    if bar.seen is None:
        raise DataError(
            f"the journal of {day} does not hold the bars that it decided on at {bar.boundary:%H:%M:%S}:"
            " the program that wrote it did not keep them, so that day cannot be replayed"
        )
    return bar.seen


def _sorry(run: Run, bars: list[ToldBar], what: str, differences: list[Differs]) -> str:
    now = hashlib.sha256(run.config_path.read_bytes()).hexdigest()[:16]
    lines = [f"{what}; the first:", *(f"  {each}" for each in differences[:SHOWN])]
    if any(bar.began is not None and bar.began.settings_hash != now for bar in bars):
        lines.append("config.json is not what it was then: put that day's back and replay again")
    return "\n".join(lines)


# --- who decides again --------------------------------------------------------------------------------------


def _decider(run: Run, began: SessionBegan | None, day: date) -> Decider:
    """As that process had it; DataError where it cannot be had."""
    from live_features import LiveFeatures
    from ml import load_winner

    if began is None or not (began.tickers and began.history_hash):
        raise DataError(
            f"the journal of {day} does not say what its decisions rest on: it is of an older version"
        )
    settings, tickers = run.settings, began.tickers
    place = winner.place_of(settings.paths.winner, began.model_hash)
    if place is None:
        raise DataError(
            f"the model that decided on {day} ({began.model_hash[:12]}) is not under {settings.paths.winner}"
            " any more: put it back from a backup"
        )
    engine, found = load_winner(place, settings, tickers)
    base, *others = sorted((str(name) for name in settings.timeframes), key=MINUTES.__getitem__)
    frames = frames_before(settings.paths.raw, tickers, (base, *others), day)
    if history_hash(frames) != began.history_hash:
        raise DataError(
            f"the candles on disk before {day} are not those that it decided with: the broker has changed its"
            f" past, or other timeframes are configured; put {settings.paths.raw} back from a backup"
        )
    features = LiveFeatures(tickers, recipes(settings), lookbacks(settings))
    features.begin(frames)
    return Decider(engine, features, base, {"winner": found.version or ""})


def seen_of(fact: BarsSeen) -> Seen:
    """What explain.bars_seen wrote down."""
    return Seen(fact.boundary, _rows(fact.ended), _rows(fact.corrected), fact.incomplete, fact.decides)


def _rows(rows: BarRows) -> Rows:
    return {
        timeframe: {at: {name: _bar(name, at, n) for name, n in bars.items()} for at, bars in by_time.items()}
        for timeframe, by_time in rows.items()
    }


def _bar(ticker: str, opened_at: datetime, numbers: tuple[int, ...]) -> Bar:
    if len(numbers) == 1:
        price = Paise(numbers[0])
        return Bar(ticker, opened_at, price, price, price, price, 0, filled=True)
    o, h, low, c, volume = numbers
    return Bar(ticker, opened_at, Paise(o), Paise(h), Paise(low), Paise(c), volume)


# --- what differs -------------------------------------------------------------------------------------------


def _compared(bar: ToldBar, again: Closed) -> Iterator[Differs]:
    """A process that ended before it had written everything is held to what it wrote."""
    said = {name: (each.decision.action.value, each.decision.confidence) for name, each in again.said.items()}
    names = {*bar.said, *said} if bar.quiet is not None else set(bar.said)
    for name in sorted(names):
        if not _is_same(bar.said.get(name), said.get(name)):
            then, now = _words(bar.said.get(name)), _words(said.get(name))
            yield Differs(bar.boundary, name, f"{then} was said, and now {now}")
    for fact in bar.decided:
        if bar.quiet is not None and not _is_same(
            (fact.action.value, fact.confidence), bar.quiet.said.get(fact.ticker)
        ):
            yield Differs(bar.boundary, fact.ticker, "it was considered for what was not said of it")


def _is_same(one: tuple[str, float] | None, other: tuple[str, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return one[0] == other[0] and abs(one[1] - other[1]) <= SAME_WITHIN


def _words(said: tuple[str, float] | None) -> str:
    return "nothing" if said is None else f"{said[0]} {said[1]:.7f}"


# --- what was entered ---------------------------------------------------------------------------------------


def entries_that_do_not_follow(entries: Iterable[Entry]) -> Iterator[Differs]:
    """Where the journalled verdicts ask for another entry than the one that was made."""
    machine, bar = Machine(), _Contest(frozenset(), None, [])
    for entry in entries:
        match entry.fact:
            case Record() as record:
                machine.fold(record)
            case BarsSeen() as seen:
                bar = _Contest(_busy(machine), seen, [])
            case Decided() as fact:
                bar.considered.append(fact)
                if fact.entered != _may_enter(fact, machine):
                    yield Differs(bar.boundary(entry), fact.ticker, _entry_words(fact, machine))
            case Quiet() as quiet:
                yield from bar.differs(quiet, bar.boundary(entry))
                bar = _Contest(_busy(machine), None, [])


def _busy(machine: Machine) -> frozenset[str]:
    return frozenset(name for name in machine.units if machine.phase(name) is not Phase.FLAT)


def _may_enter(fact: Decided, machine: Machine) -> bool:
    is_free = fact.ticker not in _busy(machine)
    return is_free and all(each.passed for each in fact.verdicts)


def _entry_words(fact: Decided, machine: Machine) -> str:
    against = "; ".join(each.sentence for each in fact.verdicts if not each.passed)
    has = "it had a trade" if fact.ticker in _busy(machine) else "it had no trade"
    was = "it was entered" if fact.entered else "it was not entered"
    return f"{was}, though {has} and {against or 'every gate passed'}"


@dataclass(frozen=True, slots=True)
class _Contest:
    """One bar's, as far as it is told. `busy`: who had a trade before."""

    busy: frozenset[str]
    seen: BarsSeen | None
    considered: list[Decided]

    def boundary(self, entry: Entry) -> datetime:
        return self.seen.boundary if self.seen else entry.at

    def differs(self, quiet: Quiet, at: datetime) -> Iterator[Differs]:
        """Everybody surer than the one that was considered must have been kept out by a gate of its own."""
        against = {name: {gate.name for gate in gates} for name, gates in quiet.blocked.items()}
        if any("daily_loss" in names for names in against.values()):
            return  # the day was lost: there is no contest
        chosen = [fact.ticker for fact in self.considered]
        waiting = {
            name: sure
            for name, (action, sure) in quiet.said.items()
            if action != Action.HOLD
            and was_traded(self.seen, name) is not False
            and "min_confidence" not in against.get(name, ())
        }
        while waiting:
            name = self._preferred(waiting)
            waiting.pop(name)
            if name in chosen:
                return
            if not against.get(name, set()) & set(OWN_GATES):
                instead = f"{chosen[0]} was considered" if chosen else "nobody was considered"
                yield Differs(at, name, f"it was the surest that no gate of its own kept out, and {instead}")
                return
        if chosen:
            yield Differs(at, chosen[0], "it was considered, and took no part in the contest")

    def _preferred(self, waiting: Mapping[str, float]) -> str:
        best, best_sure, is_best_free = "", -1.0, False
        for name, sure in sorted(waiting.items()):
            if not best or prefers(sure, name not in self.busy, best_sure, is_best_free):
                best, best_sure, is_best_free = name, sure, name not in self.busy
        return best
