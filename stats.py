"""What does a run's record say, and how surely? Ratios with intervals, drawdown, exposure, costs.

Pure functions, each with its formula and its source. A daily series holds the net result of every
session of the span: a day without a trade is a zero, not a gap. Ratios do not change when every day is
divided by the same capital, so paise will do. `None` says that a formula has no answer here (one day, no
spread, no loss); NaN and infinity are refused by name, because they would pass through every one of these
formulas in silence. Randomness comes in as a numpy Generator. Knows no file, no strategy and no clock;
what the number of tries does to a result is luck.py's question.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from rulebook.hours import IST
from rulebook.trades import ClosedTrade, gross_paise

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

DAYS_A_YEAR = 252  # the convention by which daily ratios are annualised; every report states it
LEVEL = 0.90
RESAMPLES = 4_000
CELLS_AT_ONCE = 2_000_000  # bounds the memory of a resampling, whatever the span


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval around it; an end is None where the resamples set no bound."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = LEVEL


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of the equity below its own peak, at days' ends, in the unit of the series."""

    depth: float
    days: int  # under water around that fall, up to the recovery or the last day
    longest_days: int  # the longest time under water; not always around the deepest fall


@dataclass(frozen=True, slots=True)
class CostSplit:
    """Where the plan's money went: planned - entry_slippage - exit_slippage - charges == net, in paise."""

    planned: int
    entry_slippage: int
    exit_slippage: int
    charges: int
    net: int

    @property
    def gross(self) -> int:
        return self.net + self.charges


# --- the daily series and its ratios ---------------------------------------------------------------


def day_of(at: datetime) -> date:
    if at.utcoffset() is None:
        raise ValueError(f"naive time {at}: times here are aware")
    return at.astimezone(IST).date()


def daily_net_paise(trades: Sequence[ClosedTrade], days: Sequence[date]) -> Whole:
    """Net paise of each session, by the day of the exit."""
    place = {day: i for i, day in enumerate(days)}
    if len(place) != len(days):
        raise ValueError("a session stands twice in the list of days")
    net = np.zeros(len(days), dtype=np.int64)
    for trade in trades:
        day = day_of(trade.exited_at)
        if day not in place:
            raise ValueError(f"{trade.ticker}: a trade on {day}, which is not in the list of sessions")
        net[place[day]] += trade.net
    return net


def finite(name: str, values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise ValueError(f"{name}: value {place} is {array[place]}, not a number to reckon with")
    return array


def sharpe(daily: npt.ArrayLike) -> float | None:
    """sqrt(252) x mean / standard deviation (n - 1) of daily net. Sharpe (1966, 1994), no risk-free rate."""
    series = finite("daily", daily)
    return _number(_sharpe_rows(series)) if len(series) > 1 else None


def sortino(daily: npt.ArrayLike) -> float | None:
    """sqrt(252) x mean / sqrt(mean of min(day, 0)^2): the target is zero. Sortino and Price (1994)."""
    series = finite("daily", daily)
    return _number(_sortino_rows(series)) if len(series) > 1 else None


def max_drawdown(daily: npt.ArrayLike) -> Drawdown:
    """The start counts as a peak of zero, so a run that only loses has a drawdown too."""
    equity = np.concatenate([[0.0], np.cumsum(finite("daily", daily))])
    below = np.maximum.accumulate(equity) - equity
    peaks = np.flatnonzero(below == 0)
    ends = np.append(peaks[1:], len(below))
    under_water = ends - peaks - 1
    spell = int(np.searchsorted(peaks, int(below.argmax()), side="right")) - 1
    return Drawdown(float(below.max()), int(under_water[spell]), int(under_water.max()))


def _sharpe_rows(rows: Floats) -> Floats:
    return _ratio(rows.mean(-1), rows.std(-1, ddof=1), rows)


def _sortino_rows(rows: Floats) -> Floats:
    return _ratio(rows.mean(-1), np.sqrt((np.minimum(rows, 0) ** 2).mean(-1)), rows)


def _ratio(mean: Floats, spread: Floats, rows: Floats) -> Floats:
    """Annualised; without spread infinite with the mean's sign, NaN where nothing happened at all."""
    noise = 1e-12 * np.abs(rows).max(-1)  # what rounding alone leaves of a constant series
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(math.sqrt(DAYS_A_YEAR) * mean / np.where(spread > noise, spread, 0.0))


def _number(value: npt.ArrayLike) -> float | None:
    number = float(np.asarray(value))
    return number if math.isfinite(number) else None


# --- trades ----------------------------------------------------------------------------------------


def mean_r(rs: npt.ArrayLike) -> float | None:
    """Expectancy: the mean of net R per trade."""
    values = finite("R", rs)
    return float(values.mean()) if len(values) else None


def win_rate(nets: npt.ArrayLike) -> float | None:
    """The share of trades that earned something after costs; a zero is no win."""
    values = finite("net", nets)
    return float((values > 0).mean()) if len(values) else None


def profit_factor(nets: npt.ArrayLike) -> float | None:
    """What the winners brought over what the losers cost; None without a loser."""
    values = finite("net", nets)
    lost = -float(values[values < 0].sum())
    return float(values[values > 0].sum()) / lost if lost > 0 else None


def exposure(trades: Sequence[ClosedTrade], open_minutes: float) -> tuple[float, float]:
    """The share of the sessions' minutes with a position open, and the mean number of open positions."""
    if not open_minutes > 0:
        raise ValueError(f"open_minutes {open_minutes}: the sessions have no time")
    held = [trade.exited_at - trade.entered_at for trade in trades]
    whole = timedelta(minutes=open_minutes)
    return float(_covered(trades) / whole), float(sum(held, timedelta()) / whole)


def _covered(trades: Sequence[ClosedTrade]) -> timedelta:
    """The length of the union of the holding times."""
    total, until = timedelta(), None
    for start, end in sorted((trade.entered_at, trade.exited_at) for trade in trades):
        begin = start if until is None else max(start, until)
        if end > begin:
            total, until = total + (end - begin), end
    return total


def turnover_paise(trades: Sequence[ClosedTrade]) -> int:
    """The value of everything bought and sold."""
    return sum(trade.entry_value + trade.exit_value for trade in trades)


def cost_split(trades: Sequence[ClosedTrade]) -> CostSplit:
    """Implementation shortfall in its parts (Perold 1988): the prices decided on against those got."""
    entry = sum(t.side * (t.entry_value - t.decision_price * t.qty) for t in trades)
    leave = sum(t.side * (t.intended_exit * t.qty - t.exit_value) for t in trades)
    gross = sum(gross_paise(t.side, t.entry_value, t.exit_value) for t in trades)
    charges = sum(t.charges for t in trades)
    return CostSplit(gross + entry + leave, entry, leave, charges, gross - charges)


# --- intervals -------------------------------------------------------------------------------------


def block_length(days: int) -> float:
    """The cube root of the days: the order of length that is best for a variance (Politis and White 2004)."""
    return float(max(1, round(days ** (1 / 3))))


def resampled_days(
    days: int, rng: np.random.Generator, resamples: int, mean_block: float, cells_at_once: int = CELLS_AT_ONCE
) -> Iterator[Whole]:
    """Indices of days, a resample a row, some rows at a time. Stationary bootstrap (Politis and Romano 1994).

    From one day to the next a resample goes on with the day that followed, or with probability
    1 / mean_block jumps to any day; after the last comes the first. A mean block of 1 draws single days.
    """
    if mean_block < 1:
        raise ValueError(f"mean_block {mean_block}: a block holds at least one day")
    at_once = max(1, cells_at_once // days)
    steps = np.arange(days)
    for first in range(0, resamples, at_once):
        shape = (min(at_once, resamples - first), days)
        jumps = rng.random(shape) * mean_block < 1
        jumps[:, 0] = True
        origin = np.maximum.accumulate(np.where(jumps, steps, 0), axis=1)
        landed = np.take_along_axis(rng.integers(days, size=shape), origin, axis=1)
        yield (landed + steps - origin) % days


def interval(
    statistic: Callable[[Whole], Floats], value: float | None, days: int, rng: np.random.Generator,
    *, level: float = LEVEL, resamples: int = RESAMPLES, mean_block: float | None = None,
) -> Estimate:  # fmt: skip
    """Percentile interval (Efron 1979) of a statistic of days; it is handed rows of their indices.

    Order statistics, not interpolated: a resample without a losing day may be infinite.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not within (0, 1)")
    if value is None or days < 2:
        return Estimate(value, level=level)
    block = block_length(days) if mean_block is None else mean_block
    values = np.concatenate([statistic(rows) for rows in resampled_days(days, rng, resamples, block)])
    known = values[~np.isnan(values)]
    if not len(known):
        return Estimate(value, level=level)
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail], method="inverted_cdf")
    return Estimate(value, _number(low), _number(high), level)


def sharpe_interval(daily: npt.ArrayLike, rng: np.random.Generator, level: float = LEVEL) -> Estimate:
    series = finite("daily", daily)
    return interval(lambda rows: _sharpe_rows(series[rows]), sharpe(series), len(series), rng, level=level)


def sortino_interval(daily: npt.ArrayLike, rng: np.random.Generator, level: float = LEVEL) -> Estimate:
    series = finite("daily", daily)
    return interval(lambda rows: _sortino_rows(series[rows]), sortino(series), len(series), rng, level=level)


def mean_r_interval(
    rs: npt.ArrayLike, day_of_trade: npt.ArrayLike, days: int, rng: np.random.Generator,
    *, level: float = LEVEL, resamples: int = RESAMPLES, mean_block: float = 1.0,
) -> Estimate:  # fmt: skip
    """Net R per trade, resampled by whole days, since trades of one day share its market.

    The cluster bootstrap (Davison and Hinkley 1997, 3.8) of the ratio of two sums over days: R and trades.
    A resample without a trade says nothing and is left out.
    """
    values, place = finite("R", rs), np.asarray(day_of_trade, dtype=np.int64)
    if len(values) != len(place):
        raise ValueError(f"{len(values)} values of R, but days for {len(place)} trades")
    sums = np.bincount(place, values, days)
    counts = np.bincount(place, minlength=days)

    def mean(rows: Whole) -> Floats:
        trades = counts[rows].sum(1)
        return np.where(trades > 0, sums[rows].sum(1) / np.maximum(trades, 1), np.nan)

    has_spread = np.count_nonzero(counts) > 1  # one day of trades resamples to itself: no interval
    return interval(
        mean, mean_r(values), days if has_spread else 1, rng,
        level=level, resamples=resamples, mean_block=mean_block,
    )  # fmt: skip
