"""When is a training good enough to stop, and which of its weights are the ones? Validation days say.

Every so many steps the network is asked about days that it is not taught with: its confidence is fitted,
the margin is chosen, the rule book trades. The weights that earned most a day are kept; after `PATIENCE`
such looks without a better one, or when its steps or its time are over, the training ends. Everything that
it needs to go on is handed to `saved` at every look, and what comes back from disk goes on bit for bit.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from learner import Recipe, Told, Trainer
from lessons import Lessons, Rows, Split
from network import DuelingDoubleDQN
from policy import (
    Manner,
    Score,
    best_margin,
    calibrated,
    calibration_error,
    manner_of,
    q_of,
    reliability,
    said,
    score,
)
from sizes import Shape

# What a taught network depends on beside its lessons' candles, rules and settings.
SOURCES = (
    "rulebook", "among", "block", "descent", "fast", "features", "fitting", "kernels", "learner", "lessons",
    "market", "network", "panel", "policy", "processed", "replay", "sessions_grid", "sizes",
)  # fmt: skip
PATIENCE = 6
LOOKS = 12  # in a whole training


class Look(NamedTuple):
    """What validation said at a step; the loss and the rest are means since the look before."""

    step: int
    loss: float
    gradient: float
    q_mean: float
    q_most: float
    r_a_day: float
    trades: int
    margin: float
    calibration_error: float


@dataclass
class Best:
    """The weights that earned most, with how they are to be asked among them."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    r_a_day: float = -np.inf
    step: int = 0


class Fitting:
    """A training under way."""

    def __init__(self, trainer: Trainer, validation: Rows) -> None:
        self.trainer = trainer
        self.looks: list[Look] = []
        self.best = Best()
        self._rows = validation
        self._days = np.unique(trainer.lessons.market.table.day[validation])
        self._since: list[Told] = []
        recipe = trainer.recipe
        self.steps = recipe.steps + recipe.bootstrapped
        self.every = max(1, self.steps // LOOKS)

    def run(
        self, is_over: Callable[[], bool], saved: Callable[["Fitting"], None], told: Callable[[Told], None]
    ) -> None:
        """To the end, or until `is_over` between two steps; the last step is always looked at."""
        if self.is_tired():  # it was stopped, and is asked to go on
            return
        for each in self._steps(is_over):
            self._since.append(each)
            told(each)
            if self.trainer.step % self.every == 0:
                self._look()
                saved(self)
                if self.is_tired():
                    return
        if self._since:
            self._look()
            saved(self)

    def _steps(self, is_over: Callable[[], bool]) -> Iterator[Told]:
        for each in self.trainer.steps(self.steps):
            yield each
            if is_over():
                return

    @property
    def is_done(self) -> bool:
        return self.trainer.step >= self.steps or self.is_tired()

    def is_tired(self) -> bool:
        """Whether nothing has got better for too long. Not in the first half, where chance has it that a
        network which knows nothing yet has a good look; nor before anything was earned at all."""
        after = [look for look in self.looks if look.step > self.best.step]
        is_late = 2 * self.trainer.step >= self.steps
        return is_late and self.best.r_a_day > 0 and len(after) >= PATIENCE

    def _look(self) -> None:
        lessons, network = self.trainer.lessons, self.trainer.network
        q = q_of(network, lessons, self._rows, self.trainer.threads)
        calibration = calibrated(lessons, self._rows, q)
        margin, found = best_margin(lessons, self._days, q, calibration)
        error = calibration_error(reliability(lessons, self._rows, q, calibration))
        loss, gradient, q_mean = (float(np.mean([told[n] for told in self._since])) for n in (1, 2, 3))
        most = max(told.q_most for told in self._since)
        step = self.trainer.step
        self.looks.append(
            Look(step, loss, gradient, q_mean, most, found.r_a_day, found.trades, margin, error)
        )
        self._since = []
        if found.r_a_day > self.best.r_a_day:
            Manner(margin, calibration).give_to(network)
            weights = {name: each.clone() for name, each in network.state_dict().items()}
            self.best = Best(weights, found.r_a_day, step)

    # --- to and from disk ---

    def state(self) -> dict[str, Any]:
        best = {"r_a_day": self.best.r_a_day, "step": self.best.step}
        return {
            "trainer": self.trainer.state(), "looks": [look._asdict() for look in self.looks], "best": best,
            "weights": self.best.weights,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """As of a look: that is when it is saved."""
        self.trainer.restore(state["trainer"])
        self.looks = [Look(**look) for look in state["looks"]]
        self.best = Best(dict(state["weights"]), **state["best"])
        self._since = []


def taught_alone(shape: Shape, lessons: Lessons, split: Split, recipe: Recipe) -> Fitting:
    """A whole training on one core, of which nothing is kept: others are at work beside it."""
    torch.manual_seed(recipe.seed)
    trainer = Trainer(DuelingDoubleDQN(shape), lessons, split, recipe, threads=1)
    fitting = Fitting(trainer, lessons.rows_of(split.validation))
    fitting.run(lambda: False, lambda _: None, lambda _: None)
    return fitting


def judged(fitting: Fitting, rows: Rows) -> tuple[Score, float]:
    """What the best weights earn at other decisions, and how far their confidence is from the truth there."""
    lessons, network = fitting.trainer.lessons, fitting.trainer.network
    network.load_state_dict(fitting.best.weights)
    q, manner = q_of(network, lessons, rows, fitting.trainer.threads), manner_of(network)
    days = np.unique(lessons.market.table.day[rows])
    found = score(lessons, days, said(lessons, rows, q, manner))
    return found, calibration_error(reliability(lessons, rows, q, manner.calibration))
