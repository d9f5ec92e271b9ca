"""May this trade be opened, and if not, why? Every gate's verdict, every time.

Theory of operation
-------------------
A gate is a function from a Situation to a finding, and a row in the table below. evaluate() asks all of
them in the table's order, whatever the others say, so that whoever trades, explains or shows a page has
the same full list. What a gate cannot know blocks, with a sentence that says what is unknown. A venue
that lacks a thing (a simulated one has no token) says so in `Moment.exempt`; only rows marked
`may_not_apply` may be named there, so that what protects the account cannot be wished away.

Two marks divide the table. `is_per_ticker`: the verdict differs from ticker to ticker; a page shows these
as a matrix below the others. `is_own`: by something of its own the ticker cannot be entered at all in this
bar, whatever the order and however one waits, so it leaves the max-confidence contest before that is held
and the next best may win. A ticker's other gates judge one order at one moment (spread, depth, slippage,
price, cost, limits of value): they block the winner's order and promote nobody, or a flickering quote
would have the second best decision taken. Low confidence is no own gate: takes_part() is the contest's.

To add a gate: a function in account_gates.py or ticker_gates.py, its facts in situation.py, a row here.
Never reads a clock, never asks a venue, never knows who asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rulebook import account_gates as account
from rulebook import ticker_gates as ticker
from rulebook.findings import Finding, Value, sentence
from rulebook.situation import Situation


class Verdict(NamedTuple):
    """One gate's answer. A named tuple: half a hundred tickers times all gates are made at a bar's close."""

    name: str
    value: Value
    threshold: Value
    passed: bool
    template: str
    extras: tuple[Value, ...] = ()

    @property
    def sentence(self) -> str:
        """For the trader; put together only when somebody reads it."""
        return sentence(self.template, self.value, self.threshold, self.extras)


@dataclass(frozen=True, slots=True)
class Gate:
    """A row of the table."""

    name: str
    judge: Callable[[Situation], Finding]
    is_per_ticker: bool = False
    is_own: bool = False
    may_not_apply: bool = False


GATES = (
    Gate("kill_switch", account.kill_switch),
    Gate("no_second_instance", account.no_second_instance, may_not_apply=True),
    Gate("reconciled", account.reconciled),
    Gate("mode", account.mode),
    Gate("trading_day", account.trading_day),
    Gate("calendar_verified", account.calendar_verified),
    Gate("winner", account.winner, may_not_apply=True),
    Gate("token", account.token, may_not_apply=True),
    Gate("feed", account.feed, may_not_apply=True),
    Gate("heartbeat", account.heartbeat, may_not_apply=True),
    Gate("clock_drift", account.clock_drift, may_not_apply=True),
    Gate("daily_loss", account.daily_loss),
    Gate("max_concurrent_trades", account.max_concurrent_trades),
    Gate("max_trades_per_day", account.max_trades_per_day),
    Gate("order_spacing", account.order_spacing, may_not_apply=True),
    Gate("orders_per_minute", account.orders_per_minute, may_not_apply=True),
    Gate("session_window", ticker.session_window, is_per_ticker=True, is_own=True),
    Gate("ticker_feed", ticker.ticker_feed, is_per_ticker=True, is_own=True, may_not_apply=True),
    Gate("warm_up", ticker.warm_up, is_per_ticker=True, is_own=True),
    Gate("settlement", ticker.settlement, is_per_ticker=True, is_own=True),
    Gate("cooldown", ticker.cooldown, is_per_ticker=True, is_own=True),
    Gate("min_confidence", ticker.min_confidence, is_per_ticker=True),
    Gate("lot_size", ticker.lot_size, is_per_ticker=True, is_own=True),
    Gate("cost_in_r", ticker.cost_in_r, is_per_ticker=True),
    Gate("slippage", ticker.slippage, is_per_ticker=True, may_not_apply=True),
    Gate("spread", ticker.spread, is_per_ticker=True, may_not_apply=True),
    Gate("depth", ticker.depth, is_per_ticker=True, may_not_apply=True),
    Gate("price_band", ticker.price_band, is_per_ticker=True, may_not_apply=True),
    Gate("notional_per_order", ticker.notional_per_order, is_per_ticker=True),
    Gate("notional_total", ticker.notional_total, is_per_ticker=True),
    Gate("margin", ticker.margin, is_per_ticker=True, is_own=True, may_not_apply=True),
    Gate("circuit", ticker.circuit, is_per_ticker=True, is_own=True, may_not_apply=True),
)

GATE_NAMES = tuple(gate.name for gate in GATES)
GLOBAL_GATES = tuple(gate.name for gate in GATES if not gate.is_per_ticker)
TICKER_GATES = tuple(gate.name for gate in GATES if gate.is_per_ticker)
OWN_GATES = tuple(gate.name for gate in GATES if gate.is_own)
MAY_NOT_APPLY = frozenset(gate.name for gate in GATES if gate.may_not_apply)

# Names, functions and what is said of one that does not apply: taken apart once, they are read so often.
_ROWS = tuple((g.name, g.judge, Verdict(g.name, None, None, True, "does not apply here")) for g in GATES)


def evaluate(situation: Situation) -> tuple[Verdict, ...]:
    """All verdicts, in the table's order."""
    exempt = situation.moment.exempt
    if not exempt <= MAY_NOT_APPLY:
        wrong = ", ".join(sorted(exempt - MAY_NOT_APPLY))
        raise ValueError(f"{wrong}: no such gate, or one that always applies")
    make = Verdict._make  # the constructor with its named fields takes a fifth of the time more
    return tuple(
        [not_here if name in exempt else make((name, *judge(situation))) for name, judge, not_here in _ROWS]
    )


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether every gate was asked and every one passed; an empty or old list is no permission."""
    return tuple(v.name for v in verdicts) == GATE_NAMES and all(v.passed for v in verdicts)


def blocking(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Those that did not pass, in their order."""
    return tuple(verdict for verdict in verdicts if not verdict.passed)


def leaving(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Why this ticker leaves the contest; empty when it stays in."""
    return tuple(verdict for verdict in verdicts if not verdict.passed and verdict.name in OWN_GATES)
