"""How good is a recipe, from fold to fold and from seed to seed? Asked of the days before the holdout alone.

The later half of those days is cut into blocks. Each is held out once from a network that is taught on all
days before it, less an embargo of the longest window; the latest of those are its validation. A recipe's
score is what it earns when things go badly, and not by one lucky seed: of each seed the fold at the worst
quartile, of those the median; net R a day.

Each fold and seed is a cell (cells.py): a function of the study's key, the recipe and the fold. The process
that works it off, here or on another machine, makes the study from the candles that it finds and refuses
when they are others.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cells import Backend, Result, done, sources_hash
from lessons import Split, walks
from outcome import DataError

if TYPE_CHECKING:
    from learner import Recipe
    from study import Study

log = logging.getLogger("train")
QUARTILE = 0.25


@dataclass(frozen=True, slots=True)
class Fold:
    """One network to be taught: the `number`-th of so many folds, by this recipe and its seed."""

    study: str  # its key
    number: int
    folds: int
    recipe: "Recipe"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study is made from; what it is, its key says."""

    config_path: str
    max_loss_r: float


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of it: fold x seed, net R a day on days not taught."""

    blocks: Sequence[tuple[str, str]]  # first and last day of each fold's
    r_a_day: Sequence[Sequence[float]]
    trades: Sequence[Sequence[int]]

    @property
    def score(self) -> float:
        return score(self.r_a_day)


def score(r_a_day: Sequence[Sequence[float]]) -> float:
    """Of fold x seed: the median over seeds of the fold at the worst quartile."""
    worst = np.quantile(np.asarray(r_a_day, np.float64), QUARTILE, axis=0, method="lower")
    return float(np.median(worst))


@dataclass(frozen=True)
class Walker:
    """Walks recipes over one study's folds; cells that were worked off before are not worked off again."""

    study: "Study"
    place: Place
    folds: int
    seeds: int
    folder: Path
    backend: Backend
    told: Callable[[str], None]

    def walk(self, recipe: "Recipe") -> Walk:
        """All at once."""
        cells = [cell for number in range(self.folds) for cell in self._cells(recipe, number)]
        found = self._done(cells)
        rows = [found[first : first + self.seeds] for first in range(0, len(found), self.seeds)]
        days = self.study.lessons.market.days
        blocks = [split.holdout[[0, -1]] for split in splits(self.study, self.folds)]
        return Walk(
            [(days[first].isoformat(), days[last].isoformat()) for first, last in blocks],
            [[each["r_a_day"] for each in row] for row in rows],
            [[each["trades"] for each in row] for row in rows],
        )

    def fold(self, recipe: "Recipe", number: int) -> list[float]:
        """One fold's seeds, net R a day: whoever has seen enough of a recipe asks for no more."""
        return [each["r_a_day"] for each in self._done(self._cells(recipe, number))]

    def _cells(self, recipe: "Recipe", number: int) -> list[Fold]:
        seeds = range(recipe.seed, recipe.seed + self.seeds)
        return [Fold(self.study.key, number, self.folds, replace(recipe, seed=seed)) for seed in seeds]

    def _done(self, cells: Sequence[Fold]) -> list[Result]:
        from fitting import SOURCES

        work, sources = partial(walked, self.place), sources_hash((*SOURCES, "study", "walking"))
        return done(work, cells, sources, self.folder, self.backend, self.told)


# --- a cell -----------------------------------------------------------------------------------------------


def walked(place: Place, cell: Fold) -> Result:
    """What a network earns in its fold's block; on one core, as others are at work beside it."""
    from fitting import judged, taught_alone

    study = _study(place)
    if study.key != cell.study:
        raise DataError(f"{place.config_path}: other settings or candles here than where the work comes from")
    days = splits(study, cell.folds)[cell.number]
    fitting = taught_alone(study.shape, study.lessons, days, cell.recipe)
    found, error = judged(fitting, study.lessons.rows_of(days.holdout))
    return {
        "r_a_day": found.r_a_day, "trades": found.trades, "daily_r": list(found.daily_r),
        "calibration_error": error, "step": fitting.best.step, "validation_r_a_day": fitting.best.r_a_day,
    }  # fmt: skip


@lru_cache(maxsize=1)
def _study(place: Place) -> "Study":
    """A process works off cells of one study, one after the other."""
    from settings import load_settings
    from study import study

    return study(load_settings(Path(place.config_path)), place.max_loss_r, log.debug)


def splits(study: "Study", folds: int) -> list[Split]:
    return walks(study.lessons, study.shape, int(study.split.holdout[0]), folds)
