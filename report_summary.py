"""What does a backtest come to? Its record in; measures, groups, evidence and an honest sentence out.

Every number of a report is worked out here, once; the page, the JSON and the CSV only show them. What
weighs on the verdict: the interval of the net R per trade, the number of trials that were made to find
this strategy, and whether the choice among candidates carries over to days that did not choose.
Knows no file, no HTML and no clock; the resampling is seeded by the record, so a report can be made again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

import luck
import stats
from rulebook.hours import IST
from rulebook.trades import ClosedTrade
from stats import Estimate, Floats, Whole

ASKED = luck.CONFIDENCE  # of the deflated Sharpe ratio, before skill is spoken of
DAYS_LEAST = 20  # with trades; below that a bootstrap over days promises more than it keeps
BLOCK_DAYS_LEAST = 10  # a Sharpe ratio of fewer days ranks noise


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """One ticker's bars of one day: minutes after midnight IST, and prices in paise."""

    minute: npt.ArrayLike
    open: npt.ArrayLike
    high: npt.ArrayLike
    low: npt.ArrayLike
    close: npt.ArrayLike


CandleProvider = Callable[[str, date], Candles | None]  # None: no candles of that ticker and day


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """What a simulation hands to the report."""

    strategy: str
    parameters: Mapping[str, str | int | float | bool]
    parameters_hash: str
    settings_hash: str
    data_span: str
    days: Sequence[date]  # every session that was simulated, in order, traded or not
    open_minutes: int  # of all these sessions together, in which a position could be held
    trades: Sequence[ClosedTrade]
    trials: int = 1  # strategies and settings ever tried on these days, this one included
    candidates: Mapping[str, Sequence[float]] = field(default_factory=dict)  # daily net, aligned with `days`
    charges_by_kind: Mapping[str, int] = field(default_factory=dict)  # paise
    counts: Mapping[str, int] = field(default_factory=dict)  # such as bars of which both extremes mattered
    warnings: Sequence[str] = ()
    capital_paise: int | None = None
    candles: CandleProvider | None = None
    made_at: datetime | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if list(self.days) != sorted(set(self.days)):
            raise ValueError("days: every session once, in order")
        if self.days and self.open_minutes <= 0:
            raise ValueError(f"open_minutes {self.open_minutes}: the sessions have no time")
        if self.capital_paise is not None and self.capital_paise <= 0:
            raise ValueError(f"capital_paise {self.capital_paise}")
        if self.trials < max(1, len(self.candidates)):
            raise ValueError(f"{self.trials} trials, but {len(self.candidates)} candidates are given")
        uneven = [name for name, daily in self.candidates.items() if len(daily) != len(self.days)]
        if uneven:
            raise ValueError(f"candidate {uneven[0]}: a value for each of the {len(self.days)} sessions")


@dataclass(frozen=True, slots=True)
class Measured:
    """A trade with its measures; each is worked out once, for 10,000 trades are measured."""

    number: int  # from 1, in the order given
    trade: ClosedTrade
    day: int  # index of the session
    entered: datetime  # IST
    exited: datetime
    net: int
    r: float
    mae_r: float
    mfe_r: float
    percent_mfe: float
    shortfall_percent: float
    adherence_percent: float


@dataclass(frozen=True, slots=True)
class Group:
    """Trades that have something in common."""

    name: str
    trades: int
    win_rate: float
    mean_r: float
    net: int


@dataclass(frozen=True, slots=True)
class Verdict:
    word: str
    sentence: str


@dataclass(frozen=True, eq=False)  # no slots: a cached property needs a dictionary
class Summary:
    """All that the report says. Built by summarise()."""

    result: BacktestResult
    trades: tuple[Measured, ...]
    daily: Whole  # net paise
    mean_r: Estimate
    sharpe: Estimate
    sortino: Estimate
    deflated: luck.Deflated | None
    overfitting: luck.Overfitting | None

    @cached_property
    def nets(self) -> Whole:
        return np.array([trade.net for trade in self.trades], dtype=np.int64)

    @cached_property
    def win_rate(self) -> float | None:
        return stats.win_rate(self.nets)

    @cached_property
    def profit_factor(self) -> float | None:
        return stats.profit_factor(self.nets)

    @cached_property
    def drawdown(self) -> stats.Drawdown:
        return stats.max_drawdown(self.daily)

    @cached_property
    def exposure(self) -> tuple[float, float]:
        return (
            stats.exposure(self.result.trades, self.result.open_minutes) if self.result.days else (0.0, 0.0)
        )

    @cached_property
    def turnover(self) -> int:
        return stats.turnover_paise(self.result.trades)

    @cached_property
    def costs(self) -> stats.CostSplit:
        return stats.cost_split(self.result.trades)

    @cached_property
    def by_ticker(self) -> list[Group]:
        return grouped(self.trades, lambda t: t.trade.ticker)

    @cached_property
    def by_hour(self) -> list[Group]:
        return grouped(self.trades, lambda t: f"{t.entered:%H}:00")

    @cached_property
    def by_reason(self) -> list[Group]:
        return grouped(self.trades, lambda t: reason_text(t.trade))

    @cached_property
    def traded_days(self) -> int:
        return len({trade.day for trade in self.trades})

    @cached_property
    def verdict(self) -> Verdict:
        return judged(self)


def summarise(result: BacktestResult) -> Summary:
    daily = stats.daily_net_paise(result.trades, result.days)
    trades = _measured(result)
    rng = np.random.default_rng(result.seed)
    rs, places = [trade.r for trade in trades], [trade.day for trade in trades]
    return Summary(
        result=result,
        trades=trades,
        daily=daily,
        mean_r=stats.mean_r_interval(rs, places, len(daily), rng),
        sharpe=stats.sharpe_interval(daily, rng),
        sortino=stats.sortino_interval(daily, rng),
        deflated=luck.deflated_sharpe(daily, result.trials, _variance_of_trials(result)),
        overfitting=_overfitting(result),
    )


def _measured(result: BacktestResult) -> tuple[Measured, ...]:
    place = {day: i for i, day in enumerate(result.days)}
    return tuple(
        Measured(
            number, trade, place[stats.day_of(trade.exited_at)],
            trade.entered_at.astimezone(IST), trade.exited_at.astimezone(IST),
            trade.net, trade.r, trade.mae_r, trade.mfe_r, trade.percent_mfe,
            trade.shortfall_percent, trade.adherence_percent,
        )
        for number, trade in enumerate(result.trades, 1)
    )  # fmt: skip


def _candidates(result: BacktestResult) -> Floats | None:
    if len(result.candidates) < 2:
        return None
    return np.column_stack([stats.finite(f"candidate {n}", d) for n, d in result.candidates.items()])


def _variance_of_trials(result: BacktestResult) -> float | None:
    """Of the daily Sharpe ratios of the candidates given; one that never traded has the ratio 0."""
    matrix = _candidates(result)
    if matrix is None or len(matrix) < 2:
        return None
    ratios = [(stats.sharpe(column) or 0.0) / stats.DAYS_A_YEAR**0.5 for column in matrix.T]
    return float(np.var(ratios, ddof=1))


def _overfitting(result: BacktestResult) -> luck.Overfitting | None:
    matrix = _candidates(result)
    blocks = min(luck.BLOCKS, len(result.days) // BLOCK_DAYS_LEAST // 2 * 2)
    return luck.backtest_overfitting(matrix, blocks) if matrix is not None and blocks >= 4 else None


def grouped(trades: Iterable[Measured], name_of: Callable[[Measured], str]) -> list[Group]:
    """By name; within a group the order does not matter."""
    members: dict[str, list[Measured]] = {}
    for trade in trades:
        members.setdefault(name_of(trade), []).append(trade)
    return [_group(name, members[name]) for name in sorted(members)]


def _group(name: str, trades: Sequence[Measured]) -> Group:
    nets, rs = [trade.net for trade in trades], [trade.r for trade in trades]
    return Group(name, len(trades), stats.win_rate(nets) or 0.0, stats.mean_r(rs) or 0.0, sum(nets))


def reason_text(trade: ClosedTrade) -> str:
    return trade.reason.name.lower().replace("_", " ")


# --- the verdict -----------------------------------------------------------------------------------


def judged(summary: Summary) -> Verdict:
    """What may be said of the strategy, and no more."""
    made, sessions = len(summary.trades), len(summary.result.days)
    if not made:
        return Verdict("No trades", f"No trade was made in {sessions:,} sessions: there is nothing to judge.")
    estimate = summary.mean_r
    if summary.traded_days < DAYS_LEAST or estimate.low is None or estimate.high is None:
        return Verdict(
            "Too few days",
            f"Net R per trade {estimate.value:+.2f} from {_trades(made)} on {_days(summary.traded_days)}: "
            f"too few to judge, at least {DAYS_LEAST} days with trades are needed.",
        )
    head = (
        f"Net R per trade {estimate.value:+.3f}, {estimate.level:.0%} interval "
        f"{estimate.low:+.3f} to {estimate.high:+.3f} ({_trades(made)}, {sessions:,} sessions): "
    ).replace("%", " %")
    if estimate.high < 0:
        return Verdict("Loses", head + "it loses, and not by chance.")
    if estimate.low <= 0:
        return Verdict("Not shown", head + "not distinguishable from zero." + _choice(summary))
    doubt = _doubt(summary) + _choice(summary)
    return Verdict("Doubtful" if doubt else "Above zero", head + "above zero." + doubt)


def _doubt(summary: Summary) -> str:
    """What the number of trials does to a good result."""
    deflated, trials = summary.deflated, summary.result.trials
    if deflated is None or deflated.probability is None:
        return " Its days have no spread, so nothing tells them from luck."
    if deflated.probability >= ASKED:
        return ""
    cause = (
        f"after {trials:,} trials this may be the luck of the best"
        if trials > 1
        else "its days vary too much"
    )
    return f" But the deflated Sharpe ratio is {deflated.probability:.2f} where {ASKED} is asked: {cause}."


def _choice(summary: Summary) -> str:
    found = summary.overfitting
    if found is None or found.probability < 0.5:
        return ""
    return (
        f" Choosing among the {len(summary.result.candidates)} candidates by their past does not carry over "
        f"(probability of overfitting {found.probability:.2f})."
    )


def _trades(count: int) -> str:
    return f"{count:,} trade" + "s" * (count != 1)


def _days(count: int) -> str:
    return f"{count:,} day" + "s" * (count != 1)
