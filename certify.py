"""How much of what is there to be earned does a taught network earn? The certificate, on markets of our own.

A planted market is written to disk as a user's candles are and goes the way of all candles: features,
outcomes, training, validation, and at last days that were never seen. Beside the network stand the reference
(what knowing the hidden state earns), a hand rule of a few observables, and a bound for anybody. With the
edge removed the right answer is to promote nothing.

Settings of the certificate: 250 days of 8 stocks, five-minute bars, lookbacks of 64 and 32; 100,000 rupees a
trade and the stop by ATR alone. With 10,000 rupees the stop is four times the costs away, 59 basis points: a
trade then lasts to the day's end, neighbouring bars share all of their future, and little can be learned.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import evaluation
import fast
import promotion
import reference
import yardsticks
from backtest import Span
from candle_store import Origin, replace_candles
from cells import Backend, Result, done, sources_hash
from experiments import Tried
from facts import read_calendar, read_tariff
from features import NAMES
from fitting import SOURCES as OF_A_NETWORK
from fitting import taught_alone
from learner import Recipe
from lessons import Lessons, Split, surprising
from market import Hours, load
from panel import panel
from planted import Kind, Planted, market
from policy import calibration_error, manner_of, q_of, reliability, said, score
from processed import Recipe as Columns
from processed import columns_of
from rulebook.hours import Calendar
from rulebook.rules import Rules
from sessions_grid import Grid, resampled
from sizes import Shape

FACTS = Path(__file__).resolve().parent / "config"
LOOKBACKS, LENGTHS_S = {"5m": 64, "15m": 32}, {"5m": 300, "15m": 900}
RULES = Rules(capital=10_000_000, cost_times_milli=1_000)
HOURS = Hours(time(9, 20), time(15, 0), time(15, 8))
MADE = Origin("planted", datetime(2026, 1, 1, tzinfo=UTC), False)
DAYS = 250
SPLIT = Split(np.arange(16, 170), np.arange(170, 200), np.arange(200, DAYS))
STRONG_BP, WEAK_BP = 70.0, 45.0
LEVEL, RESAMPLES = 0.90, 2_000  # one-sided, of a share
SOURCES = (*OF_A_NETWORK, "certify", "evaluation", "planted", "promotion", "reference", "yardsticks")


@dataclass(frozen=True, slots=True)
class World:
    """One planted market."""

    kind: str
    drift_bp: float
    seed: int


@dataclass(frozen=True, slots=True)
class Teaching:
    """One network taught in it."""

    world: World
    seed: int
    steps: int
    bootstrapped: int


# --- a market as lessons ------------------------------------------------------------------------------------


def lessons_of(planted: Planted, lookbacks: Mapping[str, int] = LOOKBACKS, rules: Rules = RULES) -> Lessons:
    """By files on disk, as a user's candles are."""
    calendar, tariff = read_calendar(FACTS), read_tariff(FACTS)
    fine = Grid(calendar, "5m")
    frames = {"5m": planted.frames, "15m": {n: resampled(f, fine, "15m") for n, f in planted.frames.items()}}
    with TemporaryDirectory() as folder:
        for name, frame in planted.frames.items():
            replace_candles(Path(folder), name, "5m", frame, MADE)
        seen_market = load(Path(folder), list(planted.frames), "5m", HOURS, calendar, tariff)
    columns = {
        name: columns_of(frames[name], Columns(2, bars, Grid(calendar, name), planted.industries))
        for name, bars in lookbacks.items()
    }
    seen = panel(columns, {name: LENGTHS_S[name] for name in lookbacks}, seen_market.table.opened_s)
    outcomes = fast.outcomes(seen_market.table, seen_market.fixed, rules)
    return Lessons(seen_market, seen, rules, outcomes, surprising(seen, 2))


def planted_of(world: World, calendar: Calendar) -> Planted:
    return market(Kind(world.kind), world.drift_bp, world.seed, calendar, days=DAYS)


# --- cells ------------------------------------------------------------------------------------------------


def taught(cell: Teaching) -> Result:
    """What a network taught there earns on days that it never saw, and whether it would be promoted."""
    calendar = read_calendar(FACTS)
    lessons = lessons_of(planted_of(cell.world, calendar))
    recipe = Recipe(steps=cell.steps, bootstrapped=cell.bootstrapped, seed=cell.seed)
    fitting = taught_alone(Shape(len(NAMES[2]), LOOKBACKS), lessons, SPLIT, recipe)
    network = fitting.trainer.network
    network.load_state_dict(fitting.best.weights)
    rows, manner = lessons.rows_of(SPLIT.holdout), manner_of(network)
    q = q_of(network, lessons, rows, threads=1)
    error = calibration_error(reliability(lessons, rows, q, manner.calibration))
    found = evaluation.evaluate(lessons.market, RULES, span_of(lessons), said(lessons, rows, q, manner))
    verdict = promotion.judged(found.policy, None, found.baselines.values(), Tried(1, None))
    return {
        "daily_r": list(found.policy.daily_r), "trades": found.policy.trades,
        "avg_reward": found.policy.avg_reward, "calibration_error": error,
        "promoted": verdict.is_promoted, "reasons": [r.sentence for r in verdict.reasons if not r.is_met],
        "step": fitting.best.step, "looks": [look._asdict() for look in fitting.looks],
        "baselines": {name: each.r_a_day for name, each in found.baselines.items()},
    }  # fmt: skip


def span_of(lessons: Lessons) -> Span:
    days = lessons.market.days
    return Span(days[int(SPLIT.holdout[0])], days[int(SPLIT.holdout[-1])])


# --- the share --------------------------------------------------------------------------------------------


def share(earned: Sequence[Sequence[float]], possible: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Of what is possible, and its lower bound: each row is a run's days, the same days in both."""
    own, whole = np.asarray(earned), np.asarray(possible)
    rng = np.random.default_rng(0)
    found = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        runs = rng.integers(0, len(own), len(own))
        days = rng.integers(0, own.shape[1], (len(own), own.shape[1]))
        picked = (runs[:, None], days)
        found[n] = own[picked].sum() / whole[picked].sum()
    return float(own.sum() / whole.sum()), float(np.quantile(found, 1 - LEVEL))


# --- the certificate --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of edge at one strength; R a day, on days that were never seen."""

    kind: str
    drift_bp: float
    runs: int
    bound: float
    reference: float
    hand: float  # a rule of a few observables, fitted on the training days
    taught: float
    share: float  # of the reference
    share_low: float
    promoted: int
    calibration_error: float  # the worst run's


@dataclass(frozen=True, slots=True)
class Asked:
    """How much of it."""

    kinds: Sequence[str]
    drifts_bp: Sequence[float]
    markets: int
    seeds: int
    removed: int  # markets without the edge
    steps: int
    bootstrapped: int


def certificate(asked: Asked, folder: Path, backend: Backend, told: Callable[[str], None]) -> list[Row]:
    """Rows of the table; what was done before is not done again."""
    sources, found = sources_hash(SOURCES), []
    for kind in asked.kinds:
        for drift_bp in asked.drifts_bp:
            worlds = [World(kind, drift_bp, seed) for seed in range(1, asked.markets + 1)]
            found.append(_row(worlds, asked, sources, folder, backend, told))
        if asked.removed:
            worlds = [World(kind, 0.0, seed) for seed in range(101, 101 + asked.removed)]
            alone = replace(asked, seeds=1)
            found.append(_row(worlds, alone, sources, folder, backend, told))
    return found


def _row(
    worlds: Sequence[World],
    asked: Asked,
    sources: str,
    folder: Path,
    backend: Backend,
    told: Callable[[str], None],
) -> Row:
    cells = [
        Teaching(world, seed, asked.steps, asked.bootstrapped)
        for world in worlds
        for seed in range(asked.seeds)
    ]
    taught_there = done(taught, cells, sources, folder, backend, told)
    beside = dict(zip(worlds, done(known, worlds, sources, folder, backend, told), strict=True))
    earned = [result["daily_r"] for result in taught_there]
    possible = [beside[cell.world]["daily_r"] for cell in cells]
    bound, of_plant, by_hand = (
        float(np.mean([each[name] for each in beside.values()])) for name in ("bound", "daily_r", "hand")
    )
    of_it = share(earned, possible) if np.sum(possible) > 0 else (0.0, 0.0)
    return Row(
        worlds[0].kind, worlds[0].drift_bp, len(cells), bound, of_plant, by_hand,
        float(np.mean(earned)), *of_it,
        sum(result["promoted"] for result in taught_there),
        max(result["calibration_error"] for result in taught_there),
    )  # fmt: skip


def known(world: World) -> Result:
    """What the reference earns there on the same days, what a rule by hand does, and what nobody can."""
    planted = planted_of(world, read_calendar(FACTS))
    lessons, days = lessons_of(planted), SPLIT.holdout
    seen, industries = lessons.market, planted.industries
    by_plant = reference.signals(planted, seen, RULES, days, world.seed)
    learnt = np.concatenate([SPLIT.training, SPLIT.validation])
    rule = yardsticks.fitted(Kind(world.kind), seen, industries, RULES, learnt)
    by_hand = yardsticks.signals(rule, seen, industries, days)
    return {
        "daily_r": list(score(lessons, days, by_plant).daily_r),
        "hand": list(score(lessons, days, by_hand).daily_r),
        "bound": list(yardsticks.bound(seen, RULES, days)),
    }


def table(rows: Sequence[Row]) -> str:
    """For people."""
    heads = ("edge", "bp", "runs", "bound", "reference", "by hand", "taught", "share", "at least", "promoted",
             "calibration")  # fmt: skip
    lines = ["".join(f"{head:>{12 if n else 10}}" for n, head in enumerate(heads))]
    lines += [
        f"{r.kind:>10}{r.drift_bp:>12.0f}{r.runs:>12}{r.bound:>12.2f}{r.reference:>12.2f}{r.hand:>12.2f}"
        f"{r.taught:>12.2f}{r.share:>12.0%}{r.share_low:>12.0%}{f'{r.promoted} of {r.runs}':>12}"
        f"{r.calibration_error:>12.3f}"
        for r in rows
    ]
    return "\n".join(
        [*lines, "R a day on days never seen; at least: the lower 90 % bound over runs and days"]
    )
