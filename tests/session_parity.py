"""Where do a session and the backtest of the same day differ, why, and by how many paise? Line by line.

The session's journal gives its trades and what it said at each bar. The same rules are walked over the
broker's candles of that day with those very decisions, so that what is compared is bars, fills and rules, and
not the model; and the model is asked again, in a batch, whether it says the same of the finished candles.

Each difference is one line with its cause and its paise, and the lines add up to the whole difference.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

import fast
from backtest import closed_trades
from fast import Signals
from ledger import Follower
from ledger_facts import Closed, Quiet
from market import Market
from ml import load_winner
from panel import Panel, panel
from rulebook.bars import MINUTES
from rulebook.hours import IST
from rulebook.records import Action, Decision, ExitReason, Side
from rulebook.rules import Rules, is_rested
from rulebook.trades import ClosedTrade
from settings import Settings, load_settings
from study import features_of, market_of

LED = frozenset({ExitReason.STOP, ExitReason.TRAIL})
NEAR = timedelta(minutes=1)  # of two exits: one move of the price
Said = Mapping[int, Mapping[str, Decision]]  # by the opening second of the bar, and ticker


@dataclass(frozen=True)
class Session:
    """What the journal tells of a day."""

    said: Said
    blocked: Mapping[int, Mapping[str, tuple[str, ...]]]  # gates that stood against who would have traded
    trades: tuple[ClosedTrade, ...]


@dataclass(frozen=True)
class Day:
    """One day as it was traded and as it is simulated."""

    market: Market
    session: Session
    backtest: tuple[ClosedTrade, ...]
    rules: Rules


@dataclass(frozen=True)
class Line:
    """A difference: the session's P&L less the backtest's, in paise, and why."""

    ticker: str
    decided_at: datetime
    what: str
    cause: str
    paise: int
    bps: float = 0.0  # of a price; above zero: the session's was the worse one


def session_of(journal: Path, day: date) -> Session:
    facts = [entry.fact for entry in Follower(journal).entries(day=day)]
    quiet = [fact for fact in facts if isinstance(fact, Quiet)]
    said = {
        _second(bar.bar_opened_at): {t: Decision(Action(a), sure) for t, (a, sure) in bar.said.items()}
        for bar in quiet
    }
    blocked = {
        _second(bar.bar_opened_at): {
            t: tuple(gate.name for gate in verdicts if not gate.passed) for t, verdicts in bar.blocked.items()
        }
        for bar in quiet
    }
    return Session(said, blocked, tuple(fact.trade for fact in facts if isinstance(fact, Closed)))


def day_of(folder: Path, journal: Path, day: date, max_loss_r: float = 3.0) -> Day:
    """The session's own rules over the candles on disk, with what it said itself."""
    settings = load_settings(folder / "config.json", today=day)
    found, session = market_of(settings), session_of(journal, day)
    rules = settings.rules(max_loss_r)
    return Day(found, session, tuple(walked(found, session.said, rules, day)), rules)


def walked(market: Market, said: Said, rules: Rules, day: date) -> list[ClosedTrade]:
    shape = market.table.close.shape
    signals = Signals(np.zeros(shape, np.int8), np.zeros(shape, np.float64))
    for opened_s, of_bar in said.items():
        row = int(np.searchsorted(market.table.opened_s, opened_s))
        for ticker, each in of_bar.items():
            s = market.tickers.index(ticker)
            signals.action[row, s], signals.confidence[row, s] = each.action.sign, each.confidence
    ran = fast.simulate(market.table, market.fixed, rules, signals, market.finer, market.first_fine)
    trades = closed_trades(market.tickers, ran)
    return [trade for trade in trades if trade.decided_at.date() == day]


# --- the lines -----------------------------------------------------------------------------------------------


def reconciled(day: Day) -> list[Line]:
    """Every difference; their paise are the whole difference of the two days' net P&L."""
    ours = {_key(trade): trade for trade in day.session.trades}
    theirs = {_key(trade): trade for trade in day.backtest}
    lines: list[Line] = []
    for key in sorted(ours.keys() | theirs.keys(), key=lambda key: (key[2], key[0])):
        if key not in theirs:
            lines.append(_only_in_session(ours[key], day))
        elif key not in ours:
            lines.append(_only_in_backtest(theirs[key], day))
        else:
            lines += _of_pair(ours[key], theirs[key])
    return lines


def pairs(day: Day) -> list[tuple[ClosedTrade, ClosedTrade]]:
    theirs = {_key(trade): trade for trade in day.backtest}
    return [(trade, theirs[_key(trade)]) for trade in day.session.trades if _key(trade) in theirs]


def difference(day: Day) -> int:
    return sum(t.net for t in day.session.trades) - sum(t.net for t in day.backtest)


def _of_pair(ours: ClosedTrade, theirs: ClosedTrade) -> Iterator[Line]:
    sign, at = int(ours.side), (ours.ticker, _decided(ours))
    if ours.qty != theirs.qty:
        yield Line(*at, "quantity", f"{ours.qty} and not {theirs.qty}", ours.net - theirs.net)
        return
    yield Line(
        *at, "entry", "the price of its moment, not the bar's open",
        sign * (theirs.entry_value - ours.entry_value), worse_in_bps(ours, theirs),
    )  # fmt: skip
    yield Line(
        *at, "exit", _why_out(ours, theirs), sign * (ours.exit_value - theirs.exit_value),
        worse_out_bps(ours, theirs),
    )  # fmt: skip
    if ours.charges != theirs.charges:
        yield Line(*at, "charges", "of these other values", theirs.charges - ours.charges)


def worse_in_bps(ours: ClosedTrade, theirs: ClosedTrade) -> float:
    """By how much the session's entry was dearer."""
    return 1e4 * ours.side * (ours.entry_value / ours.qty / (theirs.entry_value / theirs.qty) - 1)


def worse_out_bps(ours: ClosedTrade, theirs: ClosedTrade) -> float:
    """By how much the session's exit was cheaper."""
    return -1e4 * ours.side * (ours.exit_value / ours.qty / (theirs.exit_value / theirs.qty) - 1)


def _why_out(ours: ClosedTrade, theirs: ClosedTrade) -> str:
    """The stop rests in steps behind the trail, so which of the two is crossed first is a matter of ticks."""
    reasons, where = {ours.reason, theirs.reason}, f"{_out(ours)}, on the path {_out(theirs)}"
    if len(reasons) == 1 and abs(ours.exited_at - theirs.exited_at) <= NEAR:
        return "the price of its moment, not the path's"
    if reasons <= LED:
        return f"the trail along ticks, not along the path: {where}"
    if ExitReason.LOSS_LOCK in reasons:
        return f"the day was lost on one side only: {where}"
    if reasons & LED:
        return f"the stop was reached on one side only: {where}"
    return ""


def _out(trade: ClosedTrade) -> str:
    return f"{trade.reason.name} at {_clock(trade)}"


def _clock(trade: ClosedTrade) -> str:
    return f"{trade.exited_at.astimezone(IST):%H:%M:%S}"


def _only_in_session(trade: ClosedTrade, day: Day) -> Line:
    return Line(
        trade.ticker, _decided(trade), "only in the session", _why_not(trade, day.backtest, day), trade.net
    )


def _only_in_backtest(trade: ClosedTrade, day: Day) -> Line:
    opened_s = _second(trade.decided_at) - day.market.table.length_s
    gates = day.session.blocked.get(opened_s, {}).get(trade.ticker, ())
    cause = f"the session's gates: {', '.join(gates)}" if gates else _why_not(trade, day.session.trades, day)
    return Line(trade.ticker, _decided(trade), "only in the backtest", cause, -trade.net)


def _why_not(trade: ClosedTrade, others: Sequence[ClosedTrade], day: Day) -> str:
    """Why the other side did not take it: what stood there at that bar; empty where nothing did."""
    at, here = trade.decided_at, day.session.trades if others is day.backtest else day.backtest
    if (stood := _standing(trade.ticker, others, at, day)) != "free":
        return f"the other side still {stood}"
    if sum(_is_held(other, at) for other in others) >= day.rules.max_concurrent:
        return "the other side had no free place"
    said = day.session.said.get(_second(at) - day.market.table.length_s, {})
    for rival, each in said.items():
        is_rival = each.action.sign != 0 and each.confidence >= said[trade.ticker].confidence
        if rival != trade.ticker and is_rival:
            one, other = (_standing(rival, trades, at, day) for trades in (here, others))
            if one != other:
                return f"{rival} was in the contest for this bar: here it {one}, there it {other}"
    return ""


def _standing(ticker: str, trades: Sequence[ClosedTrade], at: datetime, day: Day) -> str:
    mine = [trade for trade in trades if trade.ticker == ticker]
    if any(_is_held(trade, at) for trade in mine):
        return "held it"
    row, length_s = _second(at) // day.market.table.length_s - 1, day.market.table.length_s
    stops = [_second(t.exited_at) // length_s for t in mine if t.reason in LED and t.exited_at <= at]
    return "free" if all(is_rested(row - stopped, day.rules) for stopped in stops) else "rested"


def _is_held(trade: ClosedTrade, at: datetime) -> bool:
    """An exit of a bar's close is under way at that close."""
    return trade.decided_at < at <= trade.exited_at


def report(day: Day) -> str:
    """One JSON object a line, then the sum."""
    lines = reconciled(day)
    rows = [asdict(line) | {"decided_at": line.decided_at.isoformat()} for line in lines]
    rows.append({"what": "sum", "paise": sum(line.paise for line in lines), "difference": difference(day)})
    return "".join(json.dumps(row) + "\n" for row in rows)


# --- the model, asked again -----------------------------------------------------------------------------------


def of_batch(folder: Path, day: date) -> dict[int, dict[str, tuple[str, float]]]:
    """What the winner says of that day's finished candles, by the bar's opening second and ticker."""
    settings = load_settings(folder / "config.json", today=day)
    found, lessons_seen = market_of(settings), _panel_of(settings)
    engine, _ = load_winner(settings.paths.winner, settings, sorted(settings.tickers))
    rows = np.arange(found.row_of(day), found.row_of(day + timedelta(days=1)))
    said = {}
    for row in rows.tolist():
        windows = {}
        for (name, lookback), features, last in zip(
            engine.lookbacks.items(), lessons_seen.features, lessons_seen.last, strict=True
        ):
            windows[name] = features[last[row] - lookback + 1 : last[row] + 1].copy()
        said[int(found.table.opened_s[row])] = engine.decide(windows, lessons_seen.is_there[row].copy())
    return said


def _panel_of(settings: Settings) -> Panel:
    columns, _ = features_of(settings, lambda _: None)
    return panel(columns, {name: 60 * MINUTES[name] for name in columns}, market_of(settings).table.opened_s)


def _decided(trade: ClosedTrade) -> datetime:
    return trade.decided_at.astimezone(IST)


def _key(trade: ClosedTrade) -> tuple[str, Side, int]:
    return trade.ticker, trade.side, _second(trade.decided_at)


def _second(at: datetime) -> int:
    return int(at.timestamp())
