"""May this candidate become the winner? Every condition with its value and its threshold, met or not.

A candidate is judged on days that nobody was taught with, beside the current winner and the baselines on the
same bars. It must be strictly better than the winner, more than any baseline earns, and not luck:

    enough trades on enough days, or an interval over days promises more than it keeps;
    net R a day whose lower bound over days is above zero, and so its difference to the winner's;
    a deflated Sharpe ratio that knows how many candidates were tried.

The bound is a bootstrap-t (Efron and Tibshirani 1993, 12.5), its reach the larger of the one-sided and of the
symmetric quantile (Hall 1988). Measured on 50 days without an edge, 3,000 or more series each, at this level:
a plain percentile interval stands above zero for 1.0 % of normal days, 1.3 % of t(3) and 2.7 % of exponential
ones with the long tail below; this one for 0.2, 0.1 and 0.5 %. Whether a winner may trade live is another
matter, for a gate: winner_min_avg_reward. Pure; knows no file, no market and no network.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np

import luck
import stats
from report_summary import DAYS_LEAST
from stats import Floats, Whole

TRADES_LEAST = 30
LEVEL = 0.995  # two-sided: a candidate without an edge has a chance of 1 in 400 by this condition alone
DEFLATED_LEAST = luck.CONFIDENCE
RESAMPLES = 20_000  # at this level 50 of them lie beyond each end
SEED = 0  # of the resampling: the same record gets the same verdict
ATTEMPTS_KNOWN = 10  # below it their spread is not relied on where it is less than chance alone would make


class Record(Protocol):
    """What is asked of a record; evaluation.Measures has it."""

    @property
    def name(self) -> str: ...
    @property
    def days(self) -> Sequence[date]: ...
    @property
    def daily_r(self) -> Sequence[float]: ...
    @property
    def trades(self) -> int: ...
    @property
    def avg_reward(self) -> float: ...


class Tried(Protocol):
    """How many candidates were ever tried, this one included; experiments.Tried has it."""

    @property
    def count(self) -> int: ...
    @property
    def variance(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Reason:
    """One condition. `value` is None where there is none to be had."""

    name: str
    is_met: bool
    value: float | None
    threshold: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All conditions, met or not."""

    reasons: tuple[Reason, ...]

    @property
    def is_promoted(self) -> bool:
        return all(reason.is_met for reason in self.reasons)

    @property
    def text(self) -> str:
        head = "promoted" if self.is_promoted else "not promoted"
        return "\n".join([head, *(f"  {'yes' if r.is_met else 'NO '} {r.sentence}" for r in self.reasons)])

    def as_json(self) -> dict[str, Any]:
        return {"is_promoted": self.is_promoted, "reasons": [asdict(reason) for reason in self.reasons]}


def judged(candidate: Record, winner: Record | None, baselines: Iterable[Record], tried: Tried) -> Verdict:
    """`winner`: the current one's record on the same days, None where there is none."""
    others = list(baselines)
    if tried.count < 1:
        raise ValueError("no attempt counted: the candidate itself is one")
    for other in [*others, *([winner] if winner else [])]:
        if list(other.days) != list(candidate.days):
            raise ValueError(f"{other.name} was judged on other days than {candidate.name}")
    reasons = [*_enough(candidate), _above_zero(candidate)]
    if winner is not None:
        reasons += _above_winner(candidate, winner)
    reasons += [_deflated(candidate, tried), *(_above_baseline(candidate, other) for other in others)]
    return Verdict(tuple(reasons))


def lower_bound(daily: Sequence[float]) -> float | None:
    """Of the mean of a day, at LEVEL; None where the days have no spread to tell it by."""
    series = stats.finite("daily R", daily)
    spread = float(series.std(ddof=1)) if len(series) > 1 else 0.0
    mean = float(series.mean()) if len(series) else 0.0
    if spread <= 1e-12 * float(np.abs(series).max(initial=0.0)):
        return None

    def t_of(rows: Whole) -> Floats:
        found = series[rows]
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample of one day only: no bound by it
            return np.asarray((found.mean(1) - mean) / found.std(1, ddof=1))

    one_sided = _quantile(t_of, len(series), LEVEL)
    symmetric = _quantile(lambda rows: np.abs(t_of(rows)), len(series), 2 * LEVEL - 1)
    if one_sided is None or symmetric is None:
        return None
    return mean - max(one_sided, symmetric) * spread


def _quantile(statistic: Callable[[Whole], Floats], days: int, level: float) -> float | None:
    rng = np.random.default_rng(SEED)
    found = stats.interval(statistic, 0.0, days, rng, level=level, resamples=RESAMPLES, mean_block=1.0)
    return found.high


# --- conditions -----------------------------------------------------------------------------------------


def _enough(candidate: Record) -> Iterator[Reason]:
    trades, traded = candidate.trades, sum(1 for r in candidate.daily_r if r != 0)
    yield Reason(
        "trades", trades >= TRADES_LEAST, trades, TRADES_LEAST,
        f"{trades} trades in {len(candidate.days)} sessions; at least {TRADES_LEAST} are needed",
    )  # fmt: skip
    yield Reason(
        "days", traded >= DAYS_LEAST, traded, DAYS_LEAST,
        f"{traded} sessions with trades; at least {DAYS_LEAST} are needed",
    )  # fmt: skip


def _above_zero(candidate: Record) -> Reason:
    low = lower_bound(candidate.daily_r)
    return _bounded("above zero", f"net R a day {_mean(candidate):+.3f}", low)


def _above_winner(candidate: Record, winner: Record) -> Iterator[Reason]:
    mine, its = float(candidate.avg_reward), float(winner.avg_reward)
    yield Reason(
        "avg_reward", mine > its, mine, its,
        f"mean net R per trade {mine:+.4f}; more than the current winner's {its:+.4f} is needed",
    )  # fmt: skip
    apart = [one - other for one, other in zip(candidate.daily_r, winner.daily_r, strict=True)]
    head = f"net R a day more than the current winner's: {_mean(candidate) - _mean(winner):+.3f}"
    yield _bounded("above winner", head, lower_bound(apart))


def _bounded(name: str, head: str, low: float | None) -> Reason:
    if low is None:
        return Reason(name, False, None, 0.0, f"{head}; the days have no spread to tell it from luck by")
    return Reason(
        name, low > 0, low, 0.0,
        f"{head}, not below {low:+.3f} ({LEVEL:.1%} interval over days); above 0 is needed",
    )  # fmt: skip


def _deflated(candidate: Record, tried: Tried) -> Reason:
    chance = 1 / max(1, len(candidate.days) - 1)
    spread = tried.variance
    if spread is not None and tried.count < ATTEMPTS_KNOWN:
        spread = max(spread, chance)
    found = luck.deflated_sharpe(candidate.daily_r, tried.count, spread)
    attempts = "1 attempt" if tried.count == 1 else f"{tried.count} attempts"
    if found is None or found.probability is None:
        head = f"no deflated Sharpe ratio after {attempts}"
        return Reason("deflated Sharpe", False, None, DEFLATED_LEAST, f"{head}; {DEFLATED_LEAST} is needed")
    value = found.probability
    return Reason(
        "deflated Sharpe", value >= DEFLATED_LEAST, value, DEFLATED_LEAST,
        f"deflated Sharpe ratio {value:.3f} after {attempts}; at least {DEFLATED_LEAST} is needed",
    )  # fmt: skip


def _above_baseline(candidate: Record, other: Record) -> Reason:
    mine, its = _mean(candidate), _mean(other)
    return Reason(
        f"above {other.name}", mine > its, mine, its,
        f"net R a day {mine:+.3f}; more than {other.name}'s {its:+.3f} is needed",
    )  # fmt: skip


def _mean(record: Record) -> float:
    return math.fsum(record.daily_r) / max(1, len(record.daily_r))
