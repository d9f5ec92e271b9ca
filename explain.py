"""How is a decision written down, so that a person can ask later why there was or was no trade?

A considered entry keeps every gate's verdict, the network's values and what they were made of. All other
tickers of a bar keep what was said about them, and those that would have traded the gates that stood against.
"""

from collections.abc import Mapping

from ledger_facts import Asked, BarRows, BarsSeen, Decided, GateSaid, Mark, Quiet, gate_said
from order_desk import Sent
from rulebook.events import Considered
from rulebook.gates import Verdict
from rulebook.order_messages import Place
from rulebook.position import Position
from rulebook.records import Bar, Paise
from session_mind import Closed, Rows, Seen


def explained(considered: Considered, closed: Closed | None, model_hash: str) -> Decided:
    """The whole of one decision."""
    said, ticker = considered.decision, considered.ticker
    known = closed.said.get(ticker) if closed else None
    bar = closed.bars.get(ticker) if closed else None
    stamps = dict(closed.stamps) if closed else {}
    return Decided(
        ticker, said.action, said.confidence, known.q if known else (), bar.close if bar else Paise(0),
        bar.opened_at if bar else considered.at, _verdicts(considered.verdicts), considered.entered,
        model_hash, stamps,
    )  # fmt: skip


def quiet(closed: Closed, blocked: Mapping[str, tuple[Verdict, ...]]) -> Quiet:
    """A bar as a whole: what was said of each ticker, and what stood against those that would have traded."""
    opened_at = min((bar.opened_at for bar in closed.bars.values()), default=closed.at)
    said = {
        name: (each.decision.action.value, each.decision.confidence) for name, each in closed.said.items()
    }
    against = {name: _verdicts(verdicts) for name, verdicts in blocked.items()}
    q = {name: tuple(round(value, 6) for value in each.q) for name, each in closed.said.items()}
    return Quiet(opened_at, said, against, closed.at, q)


def bars_seen(seen: Seen) -> BarsSeen:
    """What the decisions were made of, so that a replay can make them again (day_replay.py)."""
    return BarsSeen(seen.at, _rows(seen.ended), _rows(seen.corrected), seen.incomplete, seen.decides)


def asked(sent: Sent) -> Asked:
    """A request, how long it took and what came of it."""
    request, answer = sent.asked, sent.answer
    verb = type(request).__name__.lower()
    ref = request.client_id if isinstance(request, Place) else request.ref
    order_id = getattr(answer, "order_id", None) or getattr(request, "order_id", None)
    text = str(getattr(answer, "text", ""))
    return Asked(ref, verb, request.ticker, order_id, sent.sent_at, answer.at, type(answer).__name__, text)


def mark(p: Position, last: Paise) -> Mark:
    """How an open position stands at that price."""
    value = p.entry_value - p.exit_value
    average = p.entry_value / p.qty / 100 if p.qty else 0.0
    unrealized = p.sign * (last * p.left - value)
    return Mark(
        p.instrument.ticker, p.sign * p.left, average, last, unrealized, Paise(p.best), Paise(p.worst),
        Paise(p.trail) if p.trail else None, Paise(p.resting) if p.resting else None,
    )  # fmt: skip


def _rows(rows: Rows) -> BarRows:
    return {
        timeframe: {at: {name: _numbers(bar) for name, bar in bars.items()} for at, bars in by_time.items()}
        for timeframe, by_time in rows.items()
    }


def _numbers(bar: Bar) -> tuple[int, ...]:
    if bar.filled:
        return (bar.close,)
    return bar.open, bar.high, bar.low, bar.close, bar.volume


def _verdicts(verdicts: tuple[Verdict, ...]) -> tuple[GateSaid, ...]:
    return tuple(gate_said(verdict) for verdict in verdicts)
