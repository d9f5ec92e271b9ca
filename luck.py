"""Is a good record skill, or the best of many tries? PSR, deflated Sharpe, track record, overfitting.

Every look at the same days is a trial; who tries enough finds a fine curve in noise. These are the
published corrections, with the papers' own symbols in the docstrings. Ratios here are per observation
(a day), never annualised. `None` says that a formula has no answer. Pure; knows no file, no trade, no clock.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from stats import CELLS_AT_ONCE, DAYS_A_YEAR, Floats, finite, sharpe

BLOCKS = 16  # 12,870 splits, the number that the authors of the method work with
CONFIDENCE = 0.95
EULER = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Deflated:
    """A daily Sharpe ratio judged by how many were tried."""

    sharpe: float
    benchmark: float  # what the best of so many worthless trials is expected to show
    probability: float | None  # the deflated Sharpe ratio
    probability_of_one: float | None  # the same had this been the only trial: PSR(0)
    days: int
    days_needed: float | None  # to tell this ratio from the benchmark; None where it lies below
    trials: int
    skew: float
    kurtosis: float


@dataclass(frozen=True, slots=True, eq=False)  # an array does not compare to one answer
class Overfitting:
    """How often the best candidate of one half of the days does worse than the middle on the other."""

    probability: float
    loss_share: float  # of the splits whose chosen candidate lost money on the other half
    logits: Floats


def moments(daily: npt.ArrayLike) -> tuple[float, float, float] | None:
    """Sharpe ratio per day, skewness m3 / m2^1.5, kurtosis m4 / m2^2 (a normal has 3)."""
    series = finite("daily", daily)
    ratio = sharpe(series)
    if ratio is None:
        return None
    z = (series - series.mean()) / series.std()
    return ratio / math.sqrt(DAYS_A_YEAR), float((z**3).mean()), float((z**4).mean())


def probabilistic_sharpe(
    ratio: float, benchmark: float, observations: int, skew: float = 0.0, kurtosis: float = 3.0
) -> float | None:
    """The probability that the true ratio exceeds the benchmark; both per observation.

    Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)).
    Bailey and Lopez de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15 (2), 2012, eq. 11.
    """
    spread = _spread_of_ratio(ratio, skew, kurtosis)
    if observations < 2 or spread <= 0:
        return None
    return _NORMAL.cdf((ratio - benchmark) * math.sqrt((observations - 1) / spread))


def minimum_track_record(
    ratio: float, benchmark: float, skew: float = 0.0, kurtosis: float = 3.0, confidence: float = CONFIDENCE
) -> float | None:
    """Observations until the ratio is told from the benchmark; None where it does not exceed it.

    1 + (1 - skew SR + (kurtosis - 1) / 4 SR^2) (z / (SR - SR*))^2; the same paper, eq. 13.
    """
    if ratio <= benchmark:
        return None
    return (
        1 + _spread_of_ratio(ratio, skew, kurtosis) * (_NORMAL.inv_cdf(confidence) / (ratio - benchmark)) ** 2
    )


def _spread_of_ratio(ratio: float, skew: float, kurtosis: float) -> float:
    """The variance of an estimated Sharpe ratio times n - 1 (Mertens 2002)."""
    finite("ratio, skew, kurtosis", [ratio, skew, kurtosis])
    if kurtosis < 1 + skew**2 - 1e-9 * (1 + skew**2):
        raise ValueError(f"no distribution has skewness {skew} and kurtosis {kurtosis}: excess kurtosis?")
    return 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2


def expected_best(trials: int, variance: float) -> float:
    """The Sharpe ratio that the best of so many worthless trials is expected to show.

    sqrt(V) ((1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e))), g = 0.5772...; zero for a single trial.
    Bailey and Lopez de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (5), 2014, eq. 1.
    """
    if trials < 1 or not 0 <= variance < math.inf:
        raise ValueError(f"{trials} trials with a variance of {variance}")
    if trials == 1:
        return 0.0
    inner, outer = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - EULER) * inner + EULER * outer)


def deflated_sharpe(
    daily: npt.ArrayLike, trials: int, variance: float | None = None, confidence: float = CONFIDENCE
) -> Deflated | None:
    """PSR against expected_best: the same paper, eq. 2. None where the series has no Sharpe ratio.

    `variance` is that of the trials' daily Sharpe ratios. Where they were not kept, 1 / (n - 1) stands in:
    what chance alone makes of worthless independent trials.
    """
    series = finite("daily", daily)
    shape = moments(series)
    if shape is None:
        return None
    ratio, skew, kurtosis = shape
    days = len(series)
    benchmark = expected_best(trials, 1 / (days - 1) if variance is None else variance)
    return Deflated(
        ratio, benchmark,
        probabilistic_sharpe(ratio, benchmark, days, skew, kurtosis),
        probabilistic_sharpe(ratio, 0.0, days, skew, kurtosis),
        days, minimum_track_record(ratio, benchmark, skew, kurtosis, confidence), trials, skew, kurtosis,
    )  # fmt: skip


def backtest_overfitting(returns: npt.ArrayLike, blocks: int = BLOCKS) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    `returns` has a row a day and a column a candidate. The days are cut into blocks; for every half of
    the blocks the candidate with the best Sharpe ratio is ranked on the other half: w = rank / (N + 1),
    logit = ln(w / (1 - w)). The answer is the share of logits below zero; the exact middle counts half.
    Bailey, Borwein, Lopez de Prado, Zhu, The Probability of Backtest Overfitting (2015), section 2.
    """
    matrix = finite("returns", returns)
    if matrix.ndim != 2 or matrix.shape[1] < 2 or blocks < 2 or blocks % 2 or len(matrix) < 2 * blocks:
        raise ValueError(f"returns of shape {matrix.shape} cannot be split into {blocks} blocks of days")
    halves = list(combinations(range(blocks), blocks // 2))
    chosen = np.zeros((len(halves), blocks))
    chosen[np.arange(len(halves))[:, None], halves] = 1
    parts = np.array_split(chosen, len(chosen) * matrix.shape[1] // CELLS_AT_ONCE + 1)
    ranks, got = (np.concatenate(both) for both in zip(*(_tried(matrix, p) for p in parts), strict=True))
    share = ranks / (matrix.shape[1] + 1)
    below = np.where(share == 0.5, 0.5, share < 0.5)
    return Overfitting(float(below.mean()), float((got < 0).mean()), np.log(share / (1 - share)))


def _tried(matrix: Floats, chosen: Floats) -> tuple[Floats, Floats]:
    """For each row of chosen blocks: the winner's rank and its Sharpe ratio on the blocks not chosen."""
    there = _sharpe_of_blocks(matrix, 1 - chosen)
    winner = _sharpe_of_blocks(matrix, chosen).argmax(1)
    got = there[np.arange(len(there)), winner]
    same = (there == got[:, None]).sum(1)
    return (there < got[:, None]).sum(1) + (same + 1) / 2, got


def _sharpe_of_blocks(matrix: Floats, chosen: Floats) -> Floats:
    """From the blocks' sums alone; around the mean of each column, or squares would cancel."""
    edges = np.linspace(0, len(matrix), chosen.shape[1] + 1).astype(np.int64)
    centre = matrix.mean(0)
    moved = matrix - centre
    days = (chosen @ np.diff(edges))[:, None]
    sums = chosen @ np.add.reduceat(moved, edges[:-1], axis=0)
    squares = chosen @ np.add.reduceat(moved**2, edges[:-1], axis=0)
    mean = centre + sums / days
    spread = np.sqrt(np.maximum(squares - sums**2 / days, 0) / (days - 1))
    size = np.abs(matrix).max(0)
    flat = spread <= 1e-9 * size
    mean = np.where(np.abs(mean) <= 1e-12 * size, 0.0, mean)
    # A candidate that never trades has the ratio 0. Rounded, so that equal candidates tie.
    ratio = np.divide(mean, spread, out=np.where(mean == 0, 0.0, np.copysign(np.inf, mean)), where=~flat)
    return np.asarray(np.round(ratio, 12), dtype=np.float64)
