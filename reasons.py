"""Why was a ticker entered in a bar, or why not? From what stands in the journal of that bar.

The best of those that would trade is considered, unless a gate of its own kept it out of the contest
(rulebook/book.py). A trade needs all gates; what stood against the others is known as it was after that.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ledger_facts import Decided, GateSaid
from rulebook.gates import OWN_GATES
from rulebook.records import Action
from told_day import ToldBar, was_traded


@dataclass(frozen=True, slots=True)
class Reason:
    """What was said of a ticker in a bar, and why it was entered or not."""

    ticker: str
    action: str | None  # None: nothing was decided
    confidence: float | None
    q: tuple[float, ...]
    entered: bool
    sentence: str
    against: tuple[GateSaid, ...] = ()
    instead: str | None = None  # who was taken

    def data(self) -> dict[str, Any]:
        return asdict(self) | {"q": dict(zip(Action, self.q, strict=False))}


def reason_of(ticker: str, bar: ToldBar) -> Reason:
    action, sure = bar.said.get(ticker, (None, None))
    decided = next((fact for fact in bar.decided if fact.ticker == ticker), None)
    q = decided.q if decided else bar.quiet.q.get(ticker, ()) if bar.quiet else ()
    if action is None:
        return Reason(ticker, None, None, (), False, _why_undecided(ticker, bar))
    if decided is not None:
        return _of_considered(decided, action)
    if action == Action.HOLD:
        return Reason(ticker, action, sure, q, False, "no trade: neither side was worth more than waiting")
    against = bar.quiet.blocked.get(ticker, ()) if bar.quiet else ()
    sentence, instead = _why_not_considered(ticker, against, bar)
    return Reason(ticker, action, sure, q, False, sentence, tuple(against), instead)


def _of_considered(fact: Decided, action: str) -> Reason:
    against = tuple(gate for gate in fact.verdicts if not gate.passed)
    sentence = "it was the surest that could be entered, and these gates stood against it"
    if fact.entered:
        sentence = "it was entered: it was the surest, and every gate passed"
    elif not against:
        sentence = "no new trade: it was the surest, and had a trade already"
    return Reason(fact.ticker, action, fact.confidence, fact.q, fact.entered, sentence, against)


def _why_not_considered(ticker: str, against: Sequence[GateSaid], bar: ToldBar) -> tuple[str, str | None]:
    names = {gate.name for gate in against}
    chosen = next(iter(bar.decided), None)
    if was_traded(bar.seen, ticker) is False:
        return "no trade: nobody traded it in that bar, and such a bar enters nothing", None
    if "daily_loss" in names:
        return "no trade: the day had lost what it may", None
    if "min_confidence" in names:
        return "no trade: it took no part in the contest", None
    if names & set(OWN_GATES):
        return "no trade: it could not be entered at all in that bar", None
    if chosen is None:
        return "no trade; the journal does not say why", None
    beyond = "; once that was done these stood against it, too" if against else ""
    surer = _surer(chosen, bar.said[ticker][1])
    return f"no trade: {chosen.ticker} {surer} and was {_what_of(chosen)}{beyond}", chosen.ticker


def _what_of(chosen: Decided) -> str:
    if chosen.entered:
        return "entered"
    names = ", ".join(gate.name for gate in chosen.verdicts if not gate.passed)
    return f"considered, but {f'{names} stood against it' if names else 'had a trade already'}"


def _surer(chosen: Decided, sure: float) -> str:
    if chosen.confidence == sure:
        return f"was as sure ({sure:.4f}) and comes first"
    return f"was surer ({chosen.confidence:.4f} against {sure:.4f})"


def _why_undecided(ticker: str, bar: ToldBar) -> str:
    seen = bar.seen
    if bar.quiet is None:
        return "the process ended while it decided, and what was said of it was not written down"
    if bar.began is not None and not bar.began.model_hash:
        return "not decided: the session only closed what was open"
    if seen is None:
        return "not decided; the journal does not say why"
    if not seen.decides:
        return "not decided: the program was held up, and decides on the newest bar only"
    if ticker in seen.incomplete:
        return "not decided: ticks of a bar of today were missed and the broker's candle had not come yet"
    if was_traded(bar.seen, ticker) is None:
        return "not decided: it had not traded yet on that day"
    return (
        "not decided: its features are no numbers, for its history is too short or its candles want mending"
    )
