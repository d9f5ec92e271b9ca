"""Is the taught network good enough? Evaluated on the holdout beside the baselines, judged, promoted or not.

Every look at the holdout is written into the experiment log before its verdict is used, so that who tries
often enough is told that he did. The current winner is asked about the same days by the same rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import checkpoint
import evaluation
import experiments
import promotion
import winner
from evaluation import Evaluation, Measures
from experiments import Attempt
from network import DuelingDoubleDQN
from outcome import DataError
from policy import signals_of
from promotion import Verdict
from study import Study
from training import Taught, Workshop, fitted, kept, taught_of

LOG = "experiments.jsonl"
WINNER = "winner"


@dataclass(frozen=True)
class Judged:
    """A candidate on the holdout."""

    taught: Taught
    evaluation: Evaluation
    winner: Measures | None
    verdict: Verdict
    notes: Sequence[str]  # what is wrong with the log
    attempt: int  # its line there


def log_path(shop: Workshop) -> Path:
    """One log for all studies: whoever turns a setting and tries again has tried twice."""
    return shop.folder.parent / LOG


def evaluated(shop: Workshop, network: DuelingDoubleDQN) -> Evaluation:
    study = shop.study
    signals = signals_of(network, study.lessons, study.rows(holdout=True))
    return evaluation.evaluate(study.lessons.market, study.lessons.rules, study.span, signals)


def judged(shop: Workshop, winner_folder: Path) -> Judged:
    """The verdict on what is taught, by whatever recipe, and its line in the log."""
    taught = kept(shop) or fitted(shop)
    found = evaluated(shop, taught.network)
    current = _current(shop, winner_folder)
    attempt = _attempt(shop, taught, found, "", ())
    tried = experiments.attempts(log_path(shop), attempt)
    verdict = promotion.judged(found.policy, current, found.baselines.values(), tried)
    refused = [reason.sentence for reason in verdict.reasons if not reason.is_met]
    outcome = "passed" if verdict.is_promoted else "refused"
    number = experiments.add(log_path(shop), _attempt(shop, taught, found, outcome, refused), shop.clock)
    return Judged(taught, found, current, verdict, tried.notes, number)


def promoted(shop: Workshop, winner_folder: Path) -> tuple[Judged, str | None]:
    """The verdict, and the version that is in force by it, if it is."""
    found = judged(shop, winner_folder)
    if not found.verdict.is_promoted:
        return found, None
    stored = checkpoint.read(shop.model_path)
    told = {
        "holdout": found.evaluation.numbers(),
        "verdict": found.verdict.as_json(),
        "attempt": found.attempt,
    }
    reward = found.evaluation.policy.avg_reward
    return found, winner.promote(winner_folder, stored, reward, shop.clock.now(), shop.clock, told)


def _current(shop: Workshop, folder: Path) -> Measures | None:
    """The current winner's record on the same days; none where there is no winner."""
    if not winner.is_there(folder):
        return None
    study, found = shop.study, winner.load(folder)
    try:
        checkpoint.require(found.stored, study.feature_version, study.shape.features, study.shape.lookbacks)
    except DataError as error:
        raise DataError(
            f"the winner cannot be asked about these days ({error}); move {folder} away to begin without one"
        ) from None
    return _measured(study, taught_of(found.stored, study).network)


def _measured(study: Study, network: DuelingDoubleDQN) -> Measures:
    signals = signals_of(network, study.lessons, study.rows(holdout=True))
    return evaluation.measured(study.lessons.market, study.lessons.rules, study.span, signals, WINNER)


def _attempt(
    shop: Workshop, taught: Taught, found: Evaluation, outcome: str, reasons: Sequence[str]
) -> Attempt:
    study, card = shop.study, taught.card
    inputs = {
        "settings": study.settings_hash,
        "rules": study.rules_hash,
        "data": ",".join(study.data_hashes.values()),
    }
    return Attempt(
        model_hash=card.model_hash, inputs=inputs, seed=card.seeds[0], steps=card.steps,
        first_day=study.span.first, last_day=study.span.last, daily_sharpe=found.policy.daily_sharpe,
        scores=found.numbers(), outcome=outcome, reasons=reasons,
    )  # fmt: skip
