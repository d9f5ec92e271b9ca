"""What does a taught network do? Q to actions with a confidence, and what the rule book makes of them.

A trade is asked for where its Q stands above HOLD's by a margin; the margin is chosen on validation days.
Confidence is calibrated there, too: of the decisions at confidence c, a share c should turn out best. It is
the softmax of Q at a temperature, with a constant added for HOLD, both fitted to what was best.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import fast
from block import one_thread_each
from lessons import Lessons, Rows
from network import DuelingDoubleDQN
from rulebook import tables
from rulebook.outcomes import net_r
from sizes import ACTIONS, HOLD

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MARGINS = tuple(round(0.05 * n, 2) for n in range(31))  # of R, above HOLD
WINDOWS_AT_ONCE = 64  # they and what becomes of them fit into the cache of one core
FITTING_STEPS, FITTED, CURVE_LEAST = 60, 1e-9, 1e-9
STEEPNESS_LEAST = 1e-3  # answers that say nothing; the temperature is then 1,000
TINY = 1e-300
TRADES_LEAST = 10  # on validation, for a margin to be believed


@dataclass(frozen=True, slots=True)
class Calibration:
    """How Q becomes a confidence."""

    temperature: float = 1.0
    hold: float = 0.0

    def probabilities(self, q: Floats) -> Floats:
        raised = (q + np.array([0.0, 0.0, self.hold])) / self.temperature
        odds = np.exp(raised - raised.max(axis=-1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Manner:
    """How a network is to be asked; it is kept among the network's own numbers."""

    margin: float = 0.0
    calibration: Calibration = Calibration()

    def give_to(self, network: DuelingDoubleDQN) -> None:
        network.asked = torch.tensor([self.margin, self.calibration.temperature, self.calibration.hold])


def manner_of(network: DuelingDoubleDQN) -> Manner:
    margin, temperature, hold = network.asked.tolist()
    return Manner(round(margin, 4), Calibration(temperature, hold))  # a margin is one of MARGINS


@dataclass(frozen=True, slots=True)
class Score:
    """What trades came to, in R."""

    trades: int
    days: int
    total_r: float
    daily_r: Floats

    @property
    def mean_r(self) -> float:
        return self.total_r / self.trades if self.trades else 0.0

    @property
    def r_a_day(self) -> float:
        return self.total_r / self.days


def q_of(network: DuelingDoubleDQN, lessons: Lessons, rows: Rows, threads: int | None = None) -> Floats:
    """Decision x ticker x action."""

    def of_part(part: Rows) -> torch.Tensor:
        with torch.no_grad():  # of this thread
            found: torch.Tensor = network(
                lessons.windows(part, network.shape), torch.from_numpy(lessons.panel.is_there[part])
            )
        return found

    size = max(1, WINDOWS_AT_ONCE // len(lessons.market.tickers))
    parts = [rows[first : first + size] for first in range(0, len(rows), size)]
    with one_thread_each(), ThreadPoolExecutor(threads or os.cpu_count() or 1, "ask") as pool:
        return torch.cat(list(pool.map(of_part, parts))).numpy().astype(np.float64)


def said(lessons: Lessons, rows: Rows, q: Floats, manner: Manner) -> fast.Signals:
    """For the whole table: silence but at those decisions."""
    shape = lessons.market.table.close.shape
    signals = fast.Signals(np.zeros(shape, np.int8), np.zeros(shape))
    side = q[..., :HOLD].argmax(axis=-1)
    above = q[..., :HOLD].max(axis=-1) - q[..., HOLD]
    action = np.where(above > manner.margin, 1 - 2 * side, 0)
    sure = np.take_along_axis(manner.calibration.probabilities(q), side[..., None], axis=-1)[..., 0]
    there = lessons.panel.is_there[rows]
    signals.action[rows] = np.where(there, action, 0)
    signals.confidence[rows] = np.where(there, sure, 0.0)
    return signals


def signals_of(network: DuelingDoubleDQN, lessons: Lessons, rows: Rows) -> fast.Signals:
    """What it says when it is asked in its own manner."""
    return said(lessons, rows, q_of(network, lessons, rows), manner_of(network))


def score(lessons: Lessons, days: Ints, signals: fast.Signals) -> Score:
    """Walked by the rules, contest and limits included."""
    market = lessons.market
    walked = fast.simulate(
        market.table, market.fixed, lessons.rules, signals, market.finer, market.first_fine
    )
    trades = walked.trades
    r = net_r(trades.T)
    row = np.searchsorted(market.table.opened_s, trades[:, tables.T_DECIDED]) - 1
    daily = np.bincount(np.searchsorted(days, market.table.day[row]), weights=r, minlength=len(days))
    return Score(len(r), len(days), float(r.sum()), daily.astype(np.float64))


def best_margin(lessons: Lessons, days: Ints, q: Floats, calibration: Calibration) -> tuple[float, Score]:
    """On these days, whose decisions `q` is of; the widest where none earns anything in enough trades."""
    rows = lessons.rows_of(days)
    scores = {
        margin: score(lessons, days, said(lessons, rows, q, Manner(margin, calibration)))
        for margin in MARGINS
    }
    believed = {
        margin: found
        for margin, found in scores.items()
        if found.trades >= TRADES_LEAST and found.r_a_day > 0
    }
    margin = max(believed, key=lambda each: believed[each].r_a_day, default=MARGINS[-1])
    return margin, scores[margin]


def calibrated(lessons: Lessons, rows: Rows, q: Floats) -> Calibration:
    """By likelihood of what turned out best; of bars at which anything was allowed."""
    answers, best = _what_was_best(lessons, rows, q)
    seen = np.stack([answers, np.broadcast_to(np.arange(ACTIONS) == HOLD, answers.shape)], axis=-1)
    weights = np.array([1.0, 0.0])
    for _ in range(FITTING_STEPS):
        sure, slope, curve = _likelihood(seen, best, weights)
        step = np.linalg.solve(curve + CURVE_LEAST * np.eye(2), slope)
        while not _likelihood(seen, best, weights - step)[0] <= sure and np.abs(step).max() > FITTED:
            step /= 2
        if np.abs(step).max() <= FITTED:
            break
        weights -= step
    temperature = 1 / max(weights[0], STEEPNESS_LEAST)
    return Calibration(float(temperature), float(weights[1] * temperature))


def _likelihood(seen: Floats, best: Ints, weights: Floats) -> tuple[float, Floats, Floats]:
    """Of what was best, negative and its mean; how it slopes and how it curves (it is convex)."""
    raised = seen @ weights
    chance = np.exp(raised - raised.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    here = np.arange(len(best))
    mean = np.einsum("na,nak->nk", chance, seen)
    slope = (mean - seen[here, best]).mean(axis=0)
    curve = np.einsum("na,nak,nal->kl", chance, seen, seen) / len(best) - mean.T @ mean / len(best)
    return float(-np.log(np.maximum(chance[here, best], TINY)).mean()), slope, curve


def reliability(lessons: Lessons, rows: Rows, q: Floats, calibration: Calibration, bins: int = 10) -> Floats:
    """By tenth of confidence: decisions, their mean confidence, and the share of them that was best."""
    answers, best = _what_was_best(lessons, rows, q)
    sure = calibration.probabilities(answers)
    chosen = sure.argmax(axis=-1)
    confidence, right = sure.max(axis=-1), chosen == best
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=each, minlength=bins) for each in (confidence, right)]
    return np.stack([count, *(each / np.maximum(count, 1) for each in sums)], axis=1)


def calibration_error(curve: Floats) -> float:
    """Expected: the bins' distances, each with its share of the decisions."""
    count = curve[:, 0]
    return float((count * np.abs(curve[:, 1] - curve[:, 2])).sum() / max(count.sum(), 1))


def _what_was_best(lessons: Lessons, rows: Rows, q: Floats) -> tuple[Floats, Ints]:
    known = lessons.is_known_at(rows).all(axis=0)
    r = np.moveaxis(lessons.outcomes.r[:, rows], 0, -1)[known]
    earned = np.concatenate([r, np.zeros((len(r), ACTIONS - HOLD), r.dtype)], axis=-1)
    return q[known].astype(np.float64), earned.argmax(axis=-1)
