"""Why was there a trade at a time, or none? `--fn why`, from the journal alone, in plain words.

A moment means the bar that had ended by then, though it is decided about a second later. Without --at it is
the newest. With --symbol: what was said of that ticker in that bar, each gate that stood against it, who was
taken instead, what became of the trade. Without: how the session stood, and a line for each ticker that would
have traded. It only reads; a session may be running.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from cli import Answer, Run
from ledger import Entry
from ledger_facts import (
    AlarmSaid,
    Closed,
    Fact,
    GateSaid,
    HaltSaid,
    LossLocked,
    Noticed,
    Opened,
    SessionBegan,
    SessionEnded,
    StateIs,
    Unlocked,
)
from outcome import ConfigError
from reasons import Reason, reason_of
from rulebook.hours import IST
from rulebook.records import Action, ExitReason
from told_day import ToldBar, ToldDay, bars_of, told_day

KINDS = (
    "began", "ended", "decision", "quiet", "bars", "entered", "trade", "halt", "unlock", "lock", "state",
    "alarm", "by_hand",
)  # fmt: skip
WORDS_SHOWN = 3  # of alarms and what was done by hand, the newest
LEFT_BY = {
    ExitReason.STOP: "its stop was hit",
    ExitReason.TRAIL: "the price crossed the trail",
    ExitReason.TARGET: "its target was reached",
    ExitReason.SIGNAL: "the opposite was decided",
    ExitReason.CLOCK: "the trading hours ended",
    ExitReason.LOSS_LOCK: "the day had lost too much",
    ExitReason.HALT: "it was halted",
    ExitReason.SQUARE_OFF: "the broker squared it off",
    ExitReason.EXTERNAL: "it was closed by hand",
    ExitReason.UNPROTECTED: "its stop could not be placed",
}


def why(run: Run) -> Answer:
    """Exit code 5 where no journal tells of it, 2 for a ticker that no session watched."""
    told = told_day(run, KINDS)
    at = datetime.combine(told.day, run.args.at, IST) if run.args.at else None
    bars = [bar for bar in bars_of(told.entries) if at is None or bar.boundary <= at]
    then = _then(told.entries, at)
    bar = bars[-1] if bars else None
    head = f"{told.day} {_clock(at)}, {_session_words(then)}" if at else f"{told.day}, {_session_words(then)}"
    data: dict[str, Any] = {
        "day": str(told.day), "at": at and at.isoformat(), "journal": str(told.path),
        "session": None if then.began is None else asdict(then.began), "state": then.state,
        "state_why": then.state_why, "halted": then.halted, "lost": then.lost,
    }  # fmt: skip
    if run.args.symbol:
        ticker = _known(run.args.symbol, told)
        lines, more = _of_ticker(ticker, bar, then, told)
    else:
        lines, more = _of_session(bar, then, told)
    lines = [head, *lines, *(f"{path} tells of sessions on that day, too" for path in told.others)]
    return Answer(data | more, "\n".join(lines))


# --- how things stood ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Then:
    """What a moment had behind it."""

    began: SessionBegan | None = None
    began_at: datetime | None = None
    ended: SessionEnded | None = None
    ended_at: datetime | None = None
    state: str | None = None
    state_why: str = ""
    halted: str = ""
    lost: str = ""
    open: dict[str, tuple[datetime, Opened]] = field(default_factory=dict)  # by position
    closed: list[Closed] = field(default_factory=list)
    words: list[tuple[datetime, str, str]] = field(default_factory=list)  # when, of whom, what

    def take(self, at: datetime, fact: Fact) -> None:
        match fact:
            case SessionBegan() | SessionEnded() | StateIs():
                self._take_session(at, fact)
            case HaltSaid():
                self.halted = fact.text
            case LossLocked():
                self.lost = f"the day was lost at {fact.milli_r / 1_000:+.2f} R, net Rs {fact.net / 100:.2f}"
            case Unlocked():
                self.halted = self.lost = ""
            case Opened():
                self.open[fact.position_id] = at, fact
            case Closed():
                self.open.pop(fact.position_id, None)
                self.closed.append(fact)
            case AlarmSaid():
                self.words.append((at, fact.ticker, f"{fact.severity.name}: {fact.text}"))
            case Noticed():
                self.words.append((at, fact.ticker, f"by hand: {fact.text}"))

    def _take_session(self, at: datetime, fact: SessionBegan | SessionEnded | StateIs) -> None:
        match fact:
            case SessionBegan():
                self.began, self.began_at, self.ended, self.state, self.state_why = fact, at, None, None, ""
            case SessionEnded():
                self.ended, self.ended_at = fact, at
            case StateIs():
                self.state, self.state_why = fact.state, fact.why


def _then(entries: Sequence[Entry], at: datetime | None) -> Then:
    then = Then()
    for entry in entries:
        if at is None or entry.at <= at:
            then.take(entry.at, entry.fact)
    return then


def _session_words(then: Then) -> str:
    if then.began is None or then.began_at is None:
        return "before the first session of that day had begun"
    who = f"{then.began.mode} session at {then.began.host}, begun {_clock(then.began_at)}"
    if then.ended is not None and then.ended_at is not None:
        return f"{who}, over since {_clock(then.ended_at)}: {then.ended.reason}"
    return f"{who}, {then.state or 'not awake yet'}{': ' + then.state_why if then.state_why else ''}"


def _standing(then: Then) -> Iterator[str]:
    """What stands against every entry, whoever it is."""
    if then.halted:
        yield f"halted: {then.halted}"
    if then.lost:
        yield then.lost


def _said_of(then: Then, ticker: str | None) -> list[str]:
    told = [each for each in then.words if ticker in (None, each[1])]
    return [
        f"{_clock(at)} {of + ' ' if of and not ticker else ''}{text}" for at, of, text in told[-WORDS_SHOWN:]
    ]


# --- the whole session --------------------------------------------------------------------------------------


def _of_session(bar: ToldBar | None, then: Then, told: ToldDay) -> tuple[list[str], dict[str, Any]]:
    lines = [*_standing(then), *(f"open: {_open_words(*each)}" for each in then.open.values())]
    if then.closed:
        total = sum(each.trade.r for each in then.closed)
        lines.append(f"{_count(len(then.closed), 'trade')} closed by then, {total:+.2f} R together")
    lines += _said_of(then, None)
    if bar is None:
        return [*lines, _too_early(told)], {"bar": None, "tickers": []}
    reasons = [reason_of(name, bar) for name in sorted(bar.tickers)]
    wishes = [each for each in reasons if each.action not in (None, Action.HOLD)]
    holds = sum(each.action == Action.HOLD for each in reasons)
    quiet = [each for each in reasons if each.action is None]
    lines.append(
        f"{_bar_words(bar)}: {len(wishes)} would have traded, {holds} HOLD, {len(quiet)} not decided"
    )
    lines += [f"  {_whole_words(each)}" for each in wishes]
    lines += [f"  {each.ticker}: {each.sentence}" for each in quiet]
    if not reasons:
        lines.append(f"  {_nobody(bar)}")
    return lines, {"bar": _bar_data(bar), "tickers": [each.data() for each in reasons]}


def _nobody(bar: ToldBar) -> str:
    if bar.began is not None and not bar.began.model_hash:
        return "it was a session that only closes what is open: it decides nothing"
    return "nothing was decided, for no bar of anybody had ended"


# --- one ticker ---------------------------------------------------------------------------------------------


def _of_ticker(
    ticker: str, bar: ToldBar | None, then: Then, told: ToldDay
) -> tuple[list[str], dict[str, Any]]:
    data: dict[str, Any] = {"symbol": ticker}
    held = [each for each in then.open.values() if each[1].ticker == ticker]
    lines = [f"a trade was open: {_open_words(*each)}, {_became(each[1], told)}" for each in held]
    lines = [*lines, *_standing(then), *_said_of(then, ticker)]
    if bar is None:
        return [f"{ticker}: no trade, for {_too_early(told)}", *lines], data | {"bar": None}
    reason = reason_of(ticker, bar)
    first = f"{ticker}, {_bar_words(bar)}: {_said_words(reason)}; {reason.sentence}"
    trade, became = _trade_of(bar, reason, told)
    gates = [f"  {gate.name}: {gate.sentence}{_limits_words(gate)}" for gate in reason.against]
    data |= {"bar": _bar_data(bar), **reason.data(), "trade": trade, "open": [asdict(o) for _, o in held]}
    return [first, *gates, *([became] if became else []), *lines], data


def _trade_of(bar: ToldBar, reason: Reason, told: ToldDay) -> tuple[dict[str, Any] | None, str]:
    """What the entry of that bar led to."""
    if not reason.entered:
        return None, ""
    for entry in told.entries:
        fact = entry.fact
        if isinstance(fact, Opened) and fact.ticker == reason.ticker and fact.decided_at == bar.boundary:
            words = f"it became a trade: {_open_words(entry.at, fact)}, {_became(fact, told)}"
            return {"opened": asdict(fact), "closed": _closed_data(fact, told)}, words
    return None, (
        "no share is known to have come of it: the order was cancelled, refused or is still waiting;"
        f" its life: python trade.py --fn ledger_show --date {told.day} --symbol {reason.ticker}"
    )


def _became(opened: Opened, told: ToldDay) -> str:
    closed = _closing_of(opened, told)
    if closed is None:
        return "open as far as the journal tells"
    trade = closed.trade
    words = LEFT_BY[trade.reason]
    return f"closed {_clock(trade.exited_at)} because {words}: {trade.r:+.2f} R, net Rs {trade.net / 100:.2f}"


def _closing_of(opened: Opened, told: ToldDay) -> Closed | None:
    facts = (entry.fact for entry in told.entries)
    return next((f for f in facts if isinstance(f, Closed) and f.position_id == opened.position_id), None)


def _closed_data(opened: Opened, told: ToldDay) -> dict[str, Any] | None:
    closed = _closing_of(opened, told)
    if closed is None:
        return None
    trade = closed.trade
    return {
        "at": trade.exited_at.isoformat(),
        "reason": trade.reason.name,
        "r": trade.r,
        "net_paise": trade.net,
    }


def _known(symbol: str, told: ToldDay) -> str:
    """As it is written in the journal."""
    watched: set[str] = set()
    for bar in bars_of(told.entries):
        watched |= bar.tickers
    facts = [entry.fact for entry in told.entries]
    for fact in facts:
        watched |= set(fact.tickers) if isinstance(fact, SessionBegan) else set()
        watched |= {fact.ticker} if isinstance(fact, Opened | AlarmSaid | Noticed) and fact.ticker else set()
    name = symbol.strip().upper()
    if name in watched:
        return name
    meant = get_close_matches(name, watched, n=1)
    hint = f" (did you mean {meant[0]}?)" if meant else ""
    raise ConfigError(
        f"{symbol!r} was watched by no session of {told.day}{hint}; --symbol takes one of:"
        f" {', '.join(sorted(watched)) or 'none'}"
    )


# --- words --------------------------------------------------------------------------------------------------


def _too_early(told: ToldDay) -> str:
    first = next(bars_of(told.entries), None)
    if first is None:
        return "no bar was decided on that day; the first one is a bar's length after the session began"
    return f"no bar had ended by then; the first was decided at {_clock(first.at)}: ask for a time after that"


def _bar_words(bar: ToldBar) -> str:
    opened, ended = bar.opened_at.astimezone(IST), bar.boundary.astimezone(IST)
    return f"bar {opened:%H:%M} to {ended:%H:%M}, decided {_clock(bar.at)}"


def _bar_data(bar: ToldBar) -> dict[str, Any]:
    return {
        "opened_at": bar.opened_at.isoformat(), "boundary": bar.boundary.isoformat(),
        "decided_at": bar.at.isoformat(),
    }  # fmt: skip


def _whole_words(reason: Reason) -> str:
    against = "; ".join(f"{gate.name}: {gate.sentence}" for gate in reason.against)
    return f"{reason.ticker}: {_said_words(reason)}; {reason.sentence}{f' ({against})' if against else ''}"


def _said_words(reason: Reason) -> str:
    if reason.action is None:
        return "nothing was said"
    values = ", ".join(f"{name} {value:+.4f}" for name, value in zip(Action, reason.q, strict=False))
    expected = f" (R expected: {values})" if values else ""
    return f"{reason.action} with confidence {reason.confidence:.4f}{expected}"


def _limits_words(gate: GateSaid) -> str:
    return f" (value {gate.value}, threshold {gate.threshold})"


def _open_words(at: datetime, fact: Opened) -> str:
    return f"{fact.side.name} {fact.qty} {fact.ticker} at {fact.avg_fill_price:.2f} since {_clock(at)}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(IST):%H:%M:%S}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
