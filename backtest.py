"""What would this strategy have done? Signals, the walk of the rules, and the record that is reported.

`run` answers for one strategy over the holdout; the shipped strategies run beside it as candidates, so
that the report can say how much of the result is choice. `lookahead` recomputes on cut and on altered
futures and compares bit for bit. Knows no command line and writes nothing: train.py does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

import fast
import market as markets
import strategies
from market import Market
from outcome import SuiteError
from report_summary import BacktestResult, Candles
from rulebook import tables
from rulebook.charges import Rates, split
from rulebook.records import ExitReason, Paise, Side
from rulebook.rules import Rules
from rulebook.trades import ClosedTrade
from stats import daily_net_paise
from strategies import Strategy

CUTS = 12  # places at which the future is cut off and altered


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
        return [day for day in market.days if self.first <= day <= self.last]


def walk(market: Market, strategy: Strategy, rules: Rules, span: Span) -> Ran:
    """Trades of those days; what came before only warms the strategy and the average range."""
    said = fast.signals(strategy, market.table, market.tickers)
    said.action[: market.row_of(span.first)] = 0
    said.action[market.row_of(span.last + timedelta(days=1)) :] = 0
    found = fast.simulate(market.table, market.fixed, rules, said, market.finer, market.first_fine)
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
    pictures = markets.daily_candles(market)
    windows = [window for day, window in zip(market.days, market.windows, strict=True) if day in days]
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
        candles=lambda ticker, day: _picture(pictures, ticker, day),
        made_at=made_at,
    )


def closed_trades(tickers: Sequence[str], found: fast.Walked) -> list[ClosedTrade]:
    """Records from the walk's rows, in the order in which the trades were closed."""
    by_ticker: dict[int, list[tuple[int, int]]] = {}
    for s, at_s, stop in found.moves.tolist():
        by_ticker.setdefault(s, []).append((at_s, stop))
    return [_closed_trade(tickers, row, by_ticker) for row in found.trades.tolist()]


def _closed_trade(
    tickers: Sequence[str], row: list[int], moves: Mapping[int, list[tuple[int, int]]]
) -> ClosedTrade:
    r = dict(enumerate(row))
    entered_s, exited_s = r[tables.T_ENTERED], r[tables.T_EXITED]
    later = [move for move in moves.get(r[tables.T_TICKER], ()) if entered_s <= move[0] <= exited_s]
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
    """By item, each day under its own rates."""
    rates = {day: Rates(*market.fixed.rates[n].tolist()) for n, day in enumerate(market.days)}
    sums: dict[str, int] = {}
    for trade in trades:
        day = markets.ist_date(trade.exited_at)
        orders = [(trade.side, trade.entry_value), (trade.side.opposite, trade.exit_value)]
        items = split(orders, rates[day], int(trade.reason is ExitReason.SQUARE_OFF))
        for name in ("brokerage", "stt", "exchange", "sebi", "stamp", "gst", "square_off"):
            sums[name] = sums.get(name, 0) + getattr(items, name)
    return sums


def _counts(tallies: NDArray[np.int64]) -> dict[str, int]:
    return {
        "bars in which both extremes mattered, the worse taken": int(tallies[tables.BOTH_MATTERED]),
        "such bars resolved by the minutes inside": int(tallies[tables.RESOLVED]),
        "days ended by the loss limit": int(tallies[tables.LOCKED_DAYS]),
        "positions squared off by the broker": int(tallies[tables.STUCK]),
    }


def _picture(
    pictures: Mapping[tuple[str, date], NDArray[np.int64]], ticker: str, day: date
) -> Candles | None:
    bars = pictures.get((ticker, day))
    return None if bars is None or not bars.size else Candles(*bars)


# --- nobody sees the future --------------------------------------------------------------------------


def lookahead(market: Market, strategy: Strategy, rules: Rules, seed: int = 0) -> int:
    """How many places were checked; SuiteError names the first bar at which the future was seen."""
    rng = np.random.default_rng(seed)
    rows = market.table.close.shape[0]
    whole = fast.signals(strategy, market.table, market.tickers)
    trades = fast.simulate(market.table, market.fixed, rules, whole).trades
    for cut in sorted(rng.choice(np.arange(1, rows), min(CUTS, rows - 1), replace=False).tolist()):
        for what, table in (("cut off", _cut(market, cut)), ("altered", _altered(market, cut, rng))):
            said = fast.signals(strategy, table, market.tickers)
            _compare(market, strategy, what, whole, said, cut)
            before = fast.simulate(table, market.fixed, rules, said).trades
            _compare_trades(strategy, what, trades, before, int(market.table.opened_s[cut]))
    return int(min(CUTS, rows - 1))


def _cut(market: Market, cut: int) -> tables.Table:
    table = market.table
    return tables.Table._make([*(column[:cut] for column in table[:8]), table.length_s])


def _altered(market: Market, cut: int, rng: np.random.Generator) -> tables.Table:
    """The same past, and a future of other prices and volumes."""
    table = market.table
    factor = rng.uniform(0.5, 2.0)
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


def _compare_trades(
    strategy: Strategy, what: str, whole: NDArray[np.int64], cut: NDArray[np.int64], until_s: int
) -> None:
    """Trades that were over before the cut must be the same rows."""
    ended = [rows[rows[:, tables.T_EXITED] < until_s] for rows in (whole, cut)]
    same = len(ended[0]) <= len(ended[1]) and np.array_equal(ended[0], ended[1][: len(ended[0])])
    if not same:
        raise SuiteError(f"the rules saw the future of {strategy.name}'s trades, {what} at {_at(until_s)}")
