"""Which recipe teaches best here? Optuna proposes, folds and seeds answer, a journal file remembers.

The number of trials is declared before and counts what was tried in earlier runs. The first trial is the
recipe as it stands, so that the search ends with nothing worse by its own measure. A trial that is behind the
median of the others after a fold is given up. No trial sees the holdout: what it is judged by are the folds
before (walking.py). What came out best lies beside the journal; --recipe tuned teaches by it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from files import write_atomically
from outcome import ConfigError, DataError
from walking import Walker, score

if TYPE_CHECKING:
    from optuna import Study as Search
    from optuna import Trial

    from learner import Recipe

JOURNAL, BEST, AS_IT_STANDS = "tuning.journal", "tuned.json", "as it stands"
# From, to, and whether by factors: what regularises, how fast, and what is drawn.
SPACE: Mapping[str, tuple[float, float, bool]] = {
    "lr": (3e-4, 3e-3, True),
    "weight_decay": (1e-3, 0.2, True),
    "noise": (0.0, 0.6, False),
    "mean_dropout": (0.0, 0.7, False),
    "max_dropout": (0.0, 0.4, False),
    "hot_share": (0.0, 0.5, False),
}
PATIENT_TRIALS = 5  # before any is given up


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search has come to."""

    trials: int
    given_up: int
    changes: Mapping[str, float]  # of the recipe
    score: float
    score_before: float  # the recipe as it stood


def tune(walker: Walker, recipe: "Recipe", trials: int, folder: Path, told: Callable[[str], None]) -> Tuned:
    """Search until so many trials are done, those of earlier runs included."""
    for name, (least, most, _) in SPACE.items():
        if not least <= getattr(recipe, name) <= most:
            raise ConfigError(
                f"{name} {getattr(recipe, name)} is not within what is searched, {least} to {most}"
            )
    search = _search(folder / JOURNAL, _name(walker, recipe), recipe)
    while len(_finished(search)) < trials:
        _try(search, walker, recipe, told)
    found = _tuned(search)
    document = {"study": walker.study.key, "changes": dict(found.changes), "score": found.score}
    write_atomically(folder / BEST, json.dumps(document, indent=1).encode() + b"\n")
    return found


def tuned_recipe(recipe: "Recipe", path: Path) -> "Recipe":
    """With what an earlier search found best."""
    if not path.is_file():
        raise DataError(f"{path}: not there; search for a recipe with: python train.py --fn tune")
    try:
        changes = dict(json.loads(path.read_bytes())["changes"])
        if not all(SPACE[name][0] <= value <= SPACE[name][1] for name, value in changes.items()):
            raise ValueError(changes)
        return replace(recipe, **changes)
    except (ValueError, LookupError, TypeError):
        raise DataError(f"{path}: no recipe; remove it and search anew: python train.py --fn tune") from None


# --- the search -------------------------------------------------------------------------------------------


def _search(path: Path, name: str, recipe: "Recipe") -> "Search":
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError:
        raise DataError("--fn tune needs Optuna; install it with: make extra-tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    search = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))), study_name=name, load_if_exists=True,
        direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=PATIENT_TRIALS),
    )  # fmt: skip
    # One seed for every run would draw again what an earlier run has drawn.
    search.sampler = optuna.samplers.TPESampler(seed=recipe.seed + len(search.trials), multivariate=True)
    for trial in search.get_trials(states=[optuna.trial.TrialState.RUNNING]):  # a run that was killed
        search.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    if not any(AS_IT_STANDS in trial.user_attrs and trial.state.name != "FAIL" for trial in search.trials):
        search.enqueue_trial({each: getattr(recipe, each) for each in SPACE}, {AS_IT_STANDS: True})
    return search


def _name(walker: Walker, recipe: "Recipe") -> str:
    """Scores of another study, recipe, or number of folds or seeds are no scores of this search."""
    text = json.dumps([walker.study.key, asdict(recipe), walker.folds, walker.seeds], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _finished(search: "Search") -> "list[Any]":
    from optuna.trial import TrialState

    return list(search.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED]))


def _try(search: "Search", walker: Walker, recipe: "Recipe", told: Callable[[str], None]) -> None:
    from optuna.trial import TrialState

    trial = search.ask()
    candidate = replace(recipe, **_proposed(trial))
    rows: list[list[float]] = []
    for number in range(walker.folds):
        rows.append(walker.fold(candidate, number))
        trial.report(score(rows), number)
        if number + 1 < walker.folds and trial.should_prune():
            search.tell(trial, state=TrialState.PRUNED)
            told(f"trial {trial.number}: given up after {number + 1} of {walker.folds} folds")
            return
    search.tell(trial, score(rows))
    told(f"trial {trial.number}: {score(rows):+.3f} R a day; the best so far {search.best_value:+.3f}")


def _proposed(trial: "Trial") -> dict[str, Any]:
    return {
        name: trial.suggest_float(name, least, most, log=by_factors)
        for name, (least, most, by_factors) in SPACE.items()
    }


def _tuned(search: "Search") -> Tuned:
    finished = _finished(search)
    given_up = sum(trial.state.name == "PRUNED" for trial in finished)
    stands = next(trial for trial in finished if AS_IT_STANDS in trial.user_attrs)
    return Tuned(len(finished), given_up, search.best_params, search.best_value, stands.value)
