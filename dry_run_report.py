"""What does a dry run say? A table of the account's gates, and for each ticker what stands against it.

Which gates are judged at that hour, and with which exit code it ends, is decided here: dry_run.py has the
theory. Knows no broker and no file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from cli import Answer
from ledger_facts import GateSaid, SaidValue, gate_said
from outcome import ExitCode
from rulebook.gates import GLOBAL_GATES, Verdict
from rulebook.hours import IST
from rulebook.records import Action
from rulebook.situation import NEVER

REPORTED = frozenset({"trading_day", "session_window"})
OF_PRICES = frozenset(
    {"feed", "ticker_feed", "clock_drift", "slippage", "spread", "depth", "price_band", "circuit"}
)
IN_PAISE = frozenset({"margin", "notional_per_order", "notional_total", "circuit"})

Verdicts = Mapping[str, Mapping[Action, tuple[Verdict, ...]]]  # by ticker and side


@dataclass(slots=True)
class Whys:
    """What is known beyond a gate's own sentence; `data` is why a session would not begin at all."""

    gates: dict[str, str | None] = field(default_factory=dict)
    data: str = ""


@dataclass(frozen=True, slots=True)
class Where:
    """When it was asked, and of whom."""

    at: datetime
    host: str
    user: str
    is_trading: bool  # the exchange trades continuously at this hour


@dataclass(frozen=True, slots=True)
class Row:
    """One gate's line."""

    said: GateSaid
    is_judged: bool

    @property
    def stands(self) -> bool:
        return self.is_judged and not self.said.passed

    @property
    def mark(self) -> str:
        if self.said.passed:
            return "ok"
        return "NO" if self.is_judged else "--"

    @property
    def data(self) -> dict[str, Any]:
        return {**asdict(self.said), "judged": self.is_judged}


def is_judged(name: str, is_trading: bool) -> bool:
    return name not in REPORTED and (is_trading or name not in OF_PRICES)


def answer(found: Verdicts, where: Where, whys: Whys) -> Answer:
    """REFUSED where a gate blocks; DATA where none does and a session would not begin for its candles."""
    account = list(_account(found, where, whys))
    tickers = {name: _standing(by_side, where) for name, by_side in found.items()}
    free = [name for name, by_side in tickers.items() if not all(by_side.values())]
    blocking = [row.said for row in account if row.stands] + ([] if free else list(_of_all(tickers)))
    late = ExitCode.DATA if whys.data else ExitCode.DONE
    text = "\n".join(
        [_headline(blocking, where), *map(_line, account), *_ticker_lines(tickers, len(free), whys)]
    )
    data = {
        "mode": "dry-run",
        "at": where.at.astimezone(IST).isoformat(),
        "host": where.host,
        "user": where.user,
        "is_trading": where.is_trading,
        "blocking": [asdict(said) for said in blocking],
        "gates": [row.data for row in account],
        "tickers": {
            name: {action.value: [asdict(said) for said in stands] for action, stands in by_side.items()}
            for name, by_side in tickers.items()
        },
        "candles": whys.data or None,
    }
    return Answer(data, text, ExitCode.REFUSED if blocking else late)


# --- rows -------------------------------------------------------------------------------------------------

Standing = Mapping[Action, list[GateSaid]]  # what stands against one ticker, by side


def _account(found: Verdicts, where: Where, whys: Whys) -> Iterator[Row]:
    """They are the same for every ticker and side."""
    verdicts = next(iter(next(iter(found.values())).values()))
    for verdict in verdicts:
        if verdict.name in GLOBAL_GATES or verdict.name == "session_window":
            yield Row(_said(verdict, whys), is_judged(verdict.name, where.is_trading))


def _said(verdict: Verdict, whys: Whys) -> GateSaid:
    said, why = gate_said(verdict), whys.gates.get(verdict.name)
    if verdict.passed or not why:
        return said
    return GateSaid(said.name, said.value, said.threshold, said.passed, f"{said.sentence} ({why})")


def _standing(by_side: Mapping[Action, tuple[Verdict, ...]], where: Where) -> Standing:
    return {
        action: [
            gate_said(verdict)
            for verdict in verdicts
            if not verdict.passed
            and verdict.name not in GLOBAL_GATES
            and is_judged(verdict.name, where.is_trading)
        ]
        for action, verdicts in by_side.items()
    }


def _of_all(tickers: Mapping[str, Standing]) -> Iterator[GateSaid]:
    """One of each gate that stands against somebody, when somebody is everybody."""
    first: dict[str, GateSaid] = {}
    for by_side in tickers.values():
        for stands in by_side.values():
            for said in stands:
                first.setdefault(said.name, said)
    yield from first.values()


# --- words ------------------------------------------------------------------------------------------------


def _headline(blocking: list[GateSaid], where: Where) -> str:
    found = f"blocked by {', '.join(said.name for said in blocking)}" if blocking else "every gate passes"
    hours = "" if where.is_trading else "; the exchange does not trade now, prices are not judged"
    at = where.at.astimezone(IST)
    return f"dry run at {at:%Y-%m-%d %H:%M:%S} IST, {where.host}, {where.user}: {found}{hours}"


def _line(row: Row) -> str:
    said = row.said
    values = f"{_shown(said.name, said.value)} / {_shown(said.name, said.threshold)}"
    return f"  {row.mark:2}  {said.name:22}  {values:28}  {said.sentence}"


def _shown(name: str, value: SaidValue) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() if value >= NEVER:
            return "never"
        case int() | float():
            return f"{value / 100:.2f}" if name in IN_PAISE else f"{value:.4g}"
    return value[11:19] if name == "session_window" else value


def _ticker_lines(tickers: Mapping[str, Standing], free: int, whys: Whys) -> Iterator[str]:
    yield f"{free} of {len(tickers)} tickers may be entered"
    for name, by_side in sorted(tickers.items()):
        for row in dict.fromkeys(_against(by_side)):
            yield f"  {name:12}  {row}"
    if whys.data:
        yield f"a session would not begin: {whys.data}"


def _against(by_side: Standing) -> Iterator[str]:
    """What stands against both sides is said once."""
    sides = {action: {said.name for said in stands} for action, stands in by_side.items()}
    for action, stands in by_side.items():
        for said in stands:
            is_of_both = all(said.name in names for names in sides.values())
            side = "" if is_of_both else f" ({action} only)"
            values = f"{_shown(said.name, said.value)} / {_shown(said.name, said.threshold)}"
            if not is_of_both or action is next(iter(by_side)):
                yield f"{said.name}{side}: {values}: {said.sentence}"
