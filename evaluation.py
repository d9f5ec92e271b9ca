"""What is a policy worth on days that it was never taught? Its measures, beside what anybody could have done.

The policy comes as signals: an action and a confidence for every bar and ticker. They and the baselines are
walked by the same rules over the same bars of the same days, so that a difference between two records is the
policy's. The random baseline is tuned to trade as often as the policy does, which leaves it everything that
the rules alone earn: stops, trail, costs and the clock. Trades come from backtest.py, their measures from
report_summary.py; here they are put side by side. Judges nothing: promotion.py does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

import backtest
import fast
import luck
import market as markets
import strategies
from backtest import Span
from market import Market
from report_summary import BacktestResult, Group, Summary, summarise
from rulebook.rules import Rules
from rulebook.trades import ClosedTrade
from stats import CostSplit, Drawdown, Estimate
from strategies import Strategy, with_parameters

POLICY = "policy"
RANDOM = "random_policy"
BASELINES = ("stay_out", "buy_and_hold", "sma_cross", "vwap_reversion")
TUNINGS = 18  # halvings of the range of rates: the last ones differ by less than a part in ten thousand
RATE_LEAST = 1e-7  # of bars at which the random policy acts


@dataclass(frozen=True, slots=True)
class Stability:
    """Whether a few days or tickers have earned it all."""

    days_traded: int
    days_up: float | None  # of those, the share that earned something
    tickers_up: float | None  # of the tickers traded
    best_day_r: float
    worst_day_r: float
    first_half_r: float  # a day
    second_half_r: float
    by_ticker: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Measures:
    """One policy's record. Money is paise, R is net of charges and slippage."""

    name: str
    days: tuple[date, ...]
    daily_r: tuple[float, ...]
    daily_net: tuple[int, ...]
    trades: int
    avg_reward: float  # mean net R of the trades; 0 where there is none
    avg_reward_interval: Estimate
    daily_sharpe: float | None  # of `daily_r`, a day's and not a year's: what attempts are compared by
    sharpe: Estimate  # of `daily_net`, of a year, as reports show it
    sortino: Estimate
    win_rate: float | None
    profit_factor: float | None
    max_drawdown: Drawdown
    exposure: float  # share of the time with a position open
    positions: float  # open at a time, on average
    turnover: int
    costs: CostSplit
    stability: Stability

    @property
    def r_a_day(self) -> float:
        return _mean(self.daily_r)

    def as_json(self) -> dict[str, Any]:
        document = asdict(self) | {"r_a_day": self.r_a_day}
        return document | {"days": [day.isoformat() for day in self.days]}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The policy, and the baselines by name."""

    policy: Measures
    baselines: Mapping[str, Measures]
    random_rate: float

    @property
    def random_said(self) -> str:
        """How like the policy the random one is."""
        wanted, got = self.policy.trades, self.baselines[RANDOM].trades
        closeness = "as many as the policy" if got == wanted else f"the policy makes {wanted}"
        return f"the random policy makes {got} trades ({closeness}), acting at {self.random_rate:.4%} of bars"

    def as_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy.as_json(),
            "baselines": {name: each.as_json() for name, each in self.baselines.items()},
            "random": {"rate": self.random_rate, "said": self.random_said},
        }

    def numbers(self) -> dict[str, float]:
        """The policy's, flat; what has no answer (a profit factor without a loser) is left out."""
        p = self.policy
        found = {
            "avg_reward": p.avg_reward, "avg_reward_low": p.avg_reward_interval.low,
            "avg_reward_high": p.avg_reward_interval.high, "trades": p.trades, "days": len(p.days),
            "r_a_day": p.r_a_day, "win_rate": p.win_rate, "profit_factor": p.profit_factor,
            "sharpe": p.sharpe.value, "sortino": p.sortino.value, "daily_sharpe": p.daily_sharpe,
            "max_drawdown_paise": p.max_drawdown.depth, "exposure": p.exposure, "turnover_paise": p.turnover,
            "charges_paise": p.costs.charges, "net_paise": p.costs.net, "days_up": p.stability.days_up,
            "tickers_up": p.stability.tickers_up,
        }  # fmt: skip
        return {name: float(value) for name, value in found.items() if value is not None}


def evaluate(market: Market, rules: Rules, span: Span, said: fast.Signals) -> Evaluation:
    """Everything about these days; what is said outside of them is not heard."""
    policy = measured(market, rules, span, said)
    strategy, trades = random_like(market, rules, span, policy.trades)
    baselines = {
        name: measures(market, span, name, backtest.walk(market, strategies.find(name), rules, span).trades)
        for name in BASELINES
    }
    baselines[RANDOM] = measures(market, span, RANDOM, trades)
    return Evaluation(policy, baselines, strategy.parameters.rate)


def measured(market: Market, rules: Rules, span: Span, said: fast.Signals, name: str = POLICY) -> Measures:
    """Of one policy alone, such as the current winner."""
    heard = slice(market.row_of(span.first), market.row_of(span.last + timedelta(days=1)))
    action = np.zeros_like(said.action)
    action[heard] = said.action[heard]
    found = fast.simulate(market.table, market.fixed, rules, fast.Signals(action, said.confidence),
                          market.finer, market.first_fine)  # fmt: skip
    return measures(market, span, name, backtest.closed_trades(market.tickers, found))


def random_like(
    market: Market, rules: Rules, span: Span, trades: int
) -> tuple[Strategy, Sequence[ClosedTrade]]:
    """The random policy that makes as many trades as can be had by its rate, and those trades.

    Its draws are nested: a higher rate acts wherever a lower one does. So trades rise with the rate, but for
    where one more action keeps the next ones out, and halving finds a rate that is close.
    """
    random = strategies.find(RANDOM)
    low, high = RATE_LEAST, 1.0
    best = with_parameters(random, {"rate": 0.0})
    made: Sequence[ClosedTrade] = ()
    for _ in range(TUNINGS):
        if len(made) == trades:
            break
        rate = (low * high) ** 0.5
        tried = with_parameters(random, {"rate": rate})
        found = backtest.walk(market, tried, rules, span).trades
        if abs(len(found) - trades) < abs(len(made) - trades):
            best, made = tried, found
        low, high = (rate, high) if len(found) < trades else (low, rate)
    return best, made


def measures(market: Market, span: Span, name: str, trades: Sequence[ClosedTrade]) -> Measures:
    """What these trades, made on these days, come to."""
    summary = summarise(_result(market, span, name, trades))
    daily_r = _daily_r(summary)
    exposure, positions = summary.exposure
    shape = luck.moments(daily_r)
    return Measures(
        name=name,
        days=tuple(summary.result.days),
        daily_r=daily_r,
        daily_net=tuple(int(net) for net in summary.daily),
        trades=len(summary.trades),
        avg_reward=summary.mean_r.value or 0.0,
        avg_reward_interval=summary.mean_r,
        daily_sharpe=shape[0] if shape else None,
        sharpe=summary.sharpe,
        sortino=summary.sortino,
        win_rate=summary.win_rate,
        profit_factor=summary.profit_factor,
        max_drawdown=summary.drawdown,
        exposure=exposure,
        positions=positions,
        turnover=summary.turnover,
        costs=summary.costs,
        stability=_stability(summary, daily_r),
    )


def _result(market: Market, span: Span, name: str, trades: Sequence[ClosedTrade]) -> BacktestResult:
    windows = [w for day, w in zip(market.days, market.windows, strict=True) if span.has(day)]
    return BacktestResult(
        strategy=name, parameters={}, parameters_hash="", settings_hash="", data_span="",
        days=span.days_of(market), open_minutes=max(1, markets.minutes_open(windows)), trades=trades,
    )  # fmt: skip


def _daily_r(summary: Summary) -> tuple[float, ...]:
    sums = np.zeros(len(summary.daily))
    for trade in summary.trades:
        sums[trade.day] += trade.r
    return tuple(sums.tolist())


def _stability(summary: Summary, daily_r: Sequence[float]) -> Stability:
    traded = sorted({trade.day for trade in summary.trades})
    half = len(daily_r) // 2
    tickers = tuple(summary.by_ticker)
    return Stability(
        days_traded=len(traded),
        days_up=_share([daily_r[day] > 0 for day in traded]),
        tickers_up=_share([group.net > 0 for group in tickers]),
        best_day_r=max(daily_r, default=0.0),
        worst_day_r=min(daily_r, default=0.0),
        first_half_r=_mean(daily_r[:half]),
        second_half_r=_mean(daily_r[half:]),
        by_ticker=tickers,
    )


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
