"""How is a decision written down, so that a person can ask later why there was or was no trade?

A considered entry keeps every gate's verdict, the network's values and what they were made of. All other
tickers of a bar keep what was said about them, and those that would have traded the gates that stood against.
"""

from collections.abc import Mapping

from ledger_facts import Decided, GateSaid, Mark, Quiet, gate_said
from rulebook.events import Considered
from rulebook.gates import Verdict
from rulebook.position import Position
from rulebook.records import Paise
from session_mind import Closed


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
    return Quiet(opened_at, said, {name: _verdicts(verdicts) for name, verdicts in blocked.items()})


def mark(p: Position, last: Paise) -> Mark:
    """How an open position stands at that price."""
    value = p.entry_value - p.exit_value
    average = p.entry_value / p.qty / 100 if p.qty else 0.0
    unrealized = p.sign * (last * p.left - value)
    return Mark(
        p.instrument.ticker, p.sign * p.left, average, last, unrealized, Paise(p.best), Paise(p.worst),
        Paise(p.trail) if p.trail else None, Paise(p.resting) if p.resting else None,
    )  # fmt: skip


def _verdicts(verdicts: tuple[Verdict, ...]) -> tuple[GateSaid, ...]:
    return tuple(gate_said(verdict) for verdict in verdicts)
