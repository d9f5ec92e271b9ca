"""What would this strategy have done? Signals, the walk of the rules, and the record that is reported.

`run` answers for one strategy over the holdout; the shipped strategies run beside it as candidates, so
that the report can say how much of the result is choice. `lookahead` recomputes on cut and on altered
futures and compares bit for bit. Knows no command line and writes nothing: train.py does.
"""

import builtins
import dis
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from types import BuiltinFunctionType, CodeType, FunctionType

import numpy as np
from numpy.typing import NDArray

import fast
import market as markets
import strategies
from market import Market
from outcome import DataError, SuiteError
from report_summary import BacktestResult, Candles
from rulebook import tables
from rulebook.charges import Rates, split
from rulebook.records import Bar, ExitReason, Paise, Side
from rulebook.rules import Rules
from rulebook.trades import ClosedTrade
from stats import daily_net_paise
from strategies import Strategy

CUTS = 12  # places at which the future is cut off and altered
BARS_ASKED = 20_000  # of all tickers together, asked one by one in plain Python
WORD = 2**63
PURE = (abs, min, max, int, float, bool, range, round, len)  # of the builtins
REACHING = ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_NAME")
CHARGES = ("brokerage", "stt", "exchange", "sebi", "stamp", "gst", "square_off")


@dataclass(frozen=True, slots=True)
class Ran:
    """One strategy's trades and the walk's tallies."""

    trades: tuple[ClosedTrade, ...]
    tallies: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Span:
    """The days that are judged, both included."""

    first: date
    last: date

    def days_of(self, market: Market) -> list[date]:
        return [day for day in market.days if self.has(day)]

    def has(self, day: date) -> bool:
        return self.first <= day <= self.last


def walk(market: Market, strategy: Strategy, rules: Rules, span: Span) -> Ran:
    """Trades of those days; what came before only warms the strategy and the average range."""
    _refuse_side_channels(strategy)
    heard = range(market.row_of(span.first), market.row_of(span.last + timedelta(days=1)))
    found = fast.backtest(market.table, market.fixed, rules, strategy, market.tickers, heard,
                          market.finer, market.first_fine)  # fmt: skip
    return Ran(tuple(closed_trades(market.tickers, found)), found.tallies)


def run(
    market: Market, strategy: Strategy, rules: Rules, span: Span, settings_hash: str, made_at: datetime
) -> BacktestResult:
    """The whole record of a backtest, candidates included."""
    ran = walk(market, strategy, rules, span)
    days = span.days_of(market)
    candidates = {strategy.name: daily_net_paise(ran.trades, days).astype(float).tolist()}
    for name in strategies.known():
        if name not in candidates:
            other = walk(market, strategies.find(name), rules, span)
            candidates[name] = daily_net_paise(other.trades, days).astype(float).tolist()
    windows = [w for day, w in zip(market.days, market.windows, strict=True) if span.has(day)]
    return BacktestResult(
        strategy=strategy.name,
        parameters=strategy.parameters._asdict(),
        parameters_hash=strategy.hash,
        settings_hash=settings_hash,
        data_span=f"{market.days[0]} to {market.days[-1]}, {len(market.tickers)} tickers",
        days=days,
        open_minutes=max(1, markets.minutes_open(windows)),
        trades=ran.trades,
        trials=len(candidates),
        candidates=candidates,
        charges_by_kind=_charges_by_kind(market, ran.trades),
        counts=_counts(ran.tallies),
        warnings=market.notes,
        capital_paise=rules.capital * rules.max_concurrent,
        candles=lambda ticker, day: _picture(market, ticker, day),
        made_at=made_at,
    )


def closed_trades(tickers: Sequence[str], found: fast.Walked) -> list[ClosedTrade]:
    """Records from the walk's rows, in the order in which the trades were closed."""
    return [_closed_trade(tickers, row, later) for row, later in _with_moves(found)]


def _with_moves(found: fast.Walked) -> Iterator[tuple[list[int], list[tuple[int, int]]]]:
    """Each trade, in order of time, with its stop's moves; those of a ticker stand in that order, too."""
    waiting: dict[int, deque[tuple[int, int]]] = {}
    for s, at_s, stop in found.moves.tolist():
        waiting.setdefault(s, deque()).append((at_s, stop))
    in_order = np.lexsort((found.trades[:, tables.T_TICKER], found.trades[:, tables.T_EXITED]))
    for row in found.trades[in_order].tolist():
        moves, later = waiting.get(row[tables.T_TICKER], deque()), []
        while moves and moves[0][0] <= row[tables.T_EXITED]:
            later.append(moves.popleft())
        yield row, later


def _closed_trade(tickers: Sequence[str], r: list[int], later: list[tuple[int, int]]) -> ClosedTrade:
    entered_s, exited_s = r[tables.T_ENTERED], r[tables.T_EXITED]
    return ClosedTrade(
        ticker=tickers[r[tables.T_TICKER]],
        side=Side(r[tables.T_SIGN]),
        qty=r[tables.T_QTY],
        decided_at=_at(r[tables.T_DECIDED]),
        decision_price=Paise(r[tables.T_DECISION]),
        entered_at=_at(entered_s),
        entry_value=r[tables.T_ENTRY],
        initial_stop=Paise(r[tables.T_STOP]),
        exited_at=_at(exited_s),
        exit_value=r[tables.T_OUT],
        intended_exit=Paise(r[tables.T_INTENDED]),
        reason=ExitReason(r[tables.T_REASON]),
        worst=Paise(r[tables.T_WORST]),
        best=Paise(r[tables.T_BEST]),
        charges=r[tables.T_CHARGES],
        stop_path=tuple((_at(at_s), Paise(stop)) for at_s, stop in [(entered_s, r[tables.T_STOP]), *later]),
    )


def _at(epoch_s: int) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def _charges_by_kind(market: Market, trades: Sequence[ClosedTrade]) -> dict[str, int]:
    """By item, each day under its own rates. A day is rounded once, so the sum may differ by some paise."""
    rates = {day: Rates(*market.fixed.rates[n].tolist()) for n, day in enumerate(market.days)}
    sums = dict.fromkeys(CHARGES, 0)
    for day, of_day in groupby(trades, key=lambda trade: markets.ist_date(trade.exited_at)):
        done = list(of_day)
        orders = [order for trade in done for order in _orders(trade)]
        items = split(orders, rates[day], sum(trade.reason is ExitReason.SQUARE_OFF for trade in done))
        for name in CHARGES:
            sums[name] += getattr(items, name)
    return sums


def _orders(trade: ClosedTrade) -> tuple[tuple[Side, int], tuple[Side, int]]:
    return (trade.side, trade.entry_value), (trade.side.opposite, trade.exit_value)


def _counts(tallies: NDArray[np.int64]) -> dict[str, int]:
    return {
        "bars in which both extremes mattered, the worse taken": int(tallies[tables.BOTH_MATTERED]),
        "such bars resolved by the minutes inside": int(tallies[tables.RESOLVED]),
        "days ended by the loss limit": int(tallies[tables.LOCKED_DAYS]),
        "positions squared off by the broker": int(tallies[tables.STUCK]),
    }


def _picture(market: Market, ticker: str, day: date) -> Candles | None:
    if ticker not in market.tickers:
        return None
    bars = market.candles(ticker, day)
    return Candles(*bars) if bars.size else None


# --- nobody sees the future --------------------------------------------------------------------------


def lookahead(market: Market, strategy: Strategy, rules: Rules, seed: int = 0) -> int:
    """How many places were checked; SuiteError names the first bar at which the future was seen."""
    rng = np.random.default_rng(seed)
    rows = market.table.close.shape[0]
    if rows < 2:
        raise DataError("one bar has no future to look at; fetch more candles")
    whole = _signals(strategy, market.table, market.tickers)
    _compare_bar_by_bar(market, strategy, whole)
    walked = fast.simulate(market.table, market.fixed, rules, whole)
    cuts = sorted(rng.choice(np.arange(1, rows), min(CUTS, rows - 1), replace=False).tolist())
    for cut in cuts:
        for what, table in (("cut off", _cut(market, cut)), ("altered", _altered(market, cut, rng))):
            said = _signals(strategy, table, market.tickers)
            _compare(market, strategy, what, whole, said, cut)
            again = fast.simulate(table, market.fixed, rules, said)
            _compare_walks(market, strategy, what, walked, again, cut)
    return len(cuts)


def _compare_bar_by_bar(market: Market, strategy: Strategy, whole: fast.Signals) -> None:
    """Handed one bar after the other it cannot see ahead, and a cell that it does not have is an error."""
    observer, table = strategies.Observer(strategy), market.table
    for row in range(min(len(table.close), BARS_ASKED // len(market.tickers) + 1)):
        bars = _bars_at(market, row)
        try:
            said = observer.observe(bars)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise SuiteError(
                f"strategy {strategy.name}: at {_opened(market, row)}: {type(error).__name__}: {error}"
            ) from None
        for s, ticker in enumerate(market.tickers):
            answer = (int(whole.action[row, s]), float(whole.confidence[row, s]))
            if ticker in said and answer != (said[ticker].action.sign, said[ticker].confidence):
                raise SuiteError(
                    f"strategy {strategy.name} answers {answer} for {ticker} at {_opened(market, row)} when "
                    f"compiled, and {said[ticker]} when asked bar by bar"
                )


def _bars_at(market: Market, row: int) -> dict[str, Bar]:
    """What was traded in this row, as live trading is told of it."""
    opened_at, columns = _opened(market, row), market.table[:5]
    return {
        ticker: Bar(ticker, opened_at, *(int(column[row, s]) for column in columns))  # type: ignore[arg-type]
        for s, ticker in enumerate(market.tickers)
        if market.table.close[row, s] != 0
    }


def _cut(market: Market, cut: int) -> tables.Table:
    table = market.table
    return tables.Table._make([*(column[:cut] for column in table[:8]), table.length_s])


def _altered(market: Market, cut: int, rng: np.random.Generator) -> tables.Table:
    """The same past, and a future of other prices and volumes: no move of the old one is left in it."""
    table = market.table
    factor = rng.uniform(0.5, 2.0, (len(table.close) - cut, 1))
    prices = []
    for column in table[:4]:
        other = column.copy()
        other[cut:] = np.where(column[cut:] == 0, 0, np.maximum(1, column[cut:] * factor))
        prices.append(other)
    volume = table.volume.copy()
    volume[cut:] = rng.permutation(volume[cut:])
    return tables.Table._make([*prices, volume, *table[5:]])


def _compare(
    market: Market, strategy: Strategy, what: str, whole: fast.Signals, said: fast.Signals, cut: int
) -> None:
    differs = (whole.action[:cut] != said.action[:cut]) | (whole.confidence[:cut] != said.confidence[:cut])
    if differs.any():
        row, s = np.argwhere(differs)[0]
        raise SuiteError(
            f"strategy {strategy.name} saw the future: with what follows {_opened(market, cut)} {what}, "
            f"its answer for {market.tickers[s]} at {_opened(market, row)} changes"
        )


def _opened(market: Market, row: int) -> datetime:
    return _at(int(market.table.opened_s[row]))


def _compare_walks(
    market: Market, strategy: Strategy, what: str, whole: fast.Walked, again: fast.Walked, cut: int
) -> None:
    """What was over before the cut must be the same: trades to the last column, and moves of stops."""
    until_s = int(market.table.opened_s[cut - 1]) + market.table.length_s
    before, after = (
        (
            walked.trades[walked.trades[:, tables.T_EXITED] < until_s],
            walked.moves[walked.moves[:, 1] < until_s],
        )
        for walked in (whole, again)
    )
    if not all(np.array_equal(one, other) for one, other in zip(before, after, strict=True)):
        raise SuiteError(f"the rules saw the future of {strategy.name}'s trades, {what} at {_at(until_s)}")


# --- nor anything else but its bars ------------------------------------------------------------------


def _signals(strategy: Strategy, table: tables.Table, tickers: Sequence[str]) -> fast.Signals:
    _refuse_side_channels(strategy)
    return fast.signals(strategy, table, tickers)


def _refuse_side_channels(strategy: Strategy) -> None:
    """Only of a strategy that can know nothing but its bars: a tape kept in the file would not be noticed
    by any comparison, for it says the same whatever is done to the future that it is shown."""
    assert isinstance(strategy.step, FunctionType)
    found = next(_side_channels(strategy.step), None)
    if found:
        raise SuiteError(
            f"strategy {strategy.name}: {found}; a step may use whole and decimal constants, plain functions "
            "of its file and math, and nothing that could hold the future (docs/strategies.md)"
        )


def _side_channels(function: FunctionType, above: tuple[FunctionType, ...] = ()) -> Iterator[str]:
    """What this function and those that it calls could know beyond their arguments."""
    name = function.__name__
    if function in above:
        yield f"{name} calls itself"
        return
    if function.__closure__ or function.__defaults__ or function.__kwdefaults__:
        yield f"{name} remembers values of its own (a closure, or a default of an argument)"
    for how, used in sorted(_reached(function.__code__)):
        value = function.__globals__.get(used, getattr(builtins, used, None))
        if how != "LOAD_GLOBAL":
            yield f"{name} writes or imports {used}"
        elif isinstance(value, FunctionType) and value.__module__.split(".")[0] in fast.OURS:
            yield from _side_channels(value, (*above, function))
        elif value is math:
            yield from _added_to_math(function.__code__)
        elif not (_is_number(value) or _is_pure(value)):
            kind = "which nobody knows" if value is None else f"of type {type(value).__name__}"
            yield f"{name} uses {used}, {kind}"


def _reached(code: CodeType) -> set[tuple[str, str]]:
    """Names that are neither arguments nor locals, and how they are used."""
    found = {
        (each.opname, str(each.argval)) for each in dis.get_instructions(code) if each.opname in REACHING
    }
    return found.union(*(_reached(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _added_to_math(code: CodeType) -> Iterator[str]:
    for name in code.co_names:
        value = vars(math).get(name)
        if value is not None and type(value) is not float and not _is_pure(value):
            yield f"math.{name} is no function of the library"


def _is_number(value: object) -> bool:
    """One that fits into 64 bits: a longer one could be a tape."""
    return type(value) in (float, bool) or (type(value) is int and -WORD <= value < WORD)


def _is_pure(value: object) -> bool:
    """Of math, or one of the few builtins that reckon."""
    is_of_math = isinstance(value, BuiltinFunctionType) and value.__module__ == "math"
    return is_of_math or any(value is each for each in PURE)
