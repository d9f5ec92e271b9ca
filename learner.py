"""How is the network taught? Days drawn at random, regularised, judged on days that it is not taught with.

Theory of operation
-------------------
First every action is taught what its whole trade earned (HOLD: nothing); no exploration is needed, because
the rule book knows the outcome of what was not done. Then, from those weights, the Double DQN: a trade is one
step of its length, the action of the bar at which it had ended is chosen by the network and valued by a copy
of it that is renewed every `target_every` steps, and HOLD is worth what the next bar is. A day is an episode.
Whether the second part pays is for validation to say.

Overfitting is the whole problem: neighbouring bars share one future. Hence mirrored days (prices upside down,
BUY for SELL), noise on every bar and, because pooling averages that away, on whole histories; dropout of what
is pooled, and of tickers from the market; weight decay; bars with surprising volume or range get a fixed
share of the weight, whatever became of them. Features are scaled on training days only.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from features import NAMES, Mirror, mirror
from lessons import Batch, Lessons, Split
from network import DuelingDoubleDQN

SCALE_LEAST = 1e-3  # of a column that never varies


@dataclass(frozen=True, slots=True)
class Recipe:
    """What training depends on beside its lessons; the numbers are the best of the few that were tried."""

    steps: int = 3_000  # without a bootstrap; what comes after them has one
    days_a_step: int = 3
    lr: float = 3e-3
    weight_decay: float = 0.05
    warm_up: int = 50
    huber_delta: float = 5.0
    r_most: float = 5.0
    clip: float = 1.0
    gamma: float = 0.99
    target_every: int = 1_000
    mean_dropout: float = 0.8  # of what is pooled, means and maxima
    max_dropout: float = 0.2
    noise: float = 0.3  # of a column's deviation, on every bar
    drift: float = 0.3  # the same, on a whole history
    thinning: float = 0.3  # chance of a ticker to be missing from a day's market
    mirrored: float = 0.5
    hot_share: float = 0.25
    seed: int = 0


class Told(NamedTuple):
    """Of one step."""

    step: int
    loss: float
    gradient: float
    q_mean: float
    q_most: float


class Teacher:
    """The state of a training: weights, optimizer, random numbers, the best so far. Resumes bit for bit."""

    def __init__(self, network: DuelingDoubleDQN, lessons: Lessons, split: Split, recipe: Recipe) -> None:
        self.network, self.lessons, self.split, self.recipe = network, lessons, split, recipe
        self.step = 0
        network.dropout.set(recipe.mean_dropout, recipe.max_dropout)
        self.rng = np.random.default_rng(recipe.seed)
        self.noise = torch.Generator().manual_seed(recipe.seed)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
        )
        self.target = DuelingDoubleDQN(network.shape)
        self._mirror = mirror(version_of(network.shape.features))
        self._hot = lessons.hot[lessons.rows(split.training)].mean()
        scale_features(network, lessons, split)
        self._renew_target()

    def steps(self, until: int) -> Iterator[Told]:
        """Teach, step after step."""
        while self.step < until:
            yield self._step()

    def _step(self) -> Told:
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        days = self.rng.choice(self.split.training, min(recipe.days_a_step, len(self.split.training)), False)
        batch = self.lessons.batch(np.sort(days), self.network.shape)
        if self.rng.random() < recipe.mirrored:
            batch = mirrored(batch, self._mirror)
        goal = self._goal(batch)
        self.network.train()
        q = self.network.along(self._disturbed(batch.histories), batch.places, self._thinned(batch.is_there))
        loss = self._loss(q, goal, batch)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        gradient = torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self.optimizer.step()
        self.step += 1
        if self.step % recipe.target_every == 0:
            self._renew_target()
        return Told(self.step, loss.item(), float(gradient), q.mean().item(), q.abs().max().item())

    def _rate(self) -> float:
        """Up over the first steps, down along a cosine; the bootstrap goes on at a tenth."""
        recipe = self.recipe
        if self.step >= recipe.steps:
            return recipe.lr / 10
        rise = min(1.0, (self.step + 1) / recipe.warm_up)
        return recipe.lr * rise * 0.5 * (1 + math.cos(math.pi * self.step / recipe.steps))

    # --- what is to be answered ---

    def _goal(self, batch: Batch) -> Tensor:
        """Day x bar x ticker x action."""
        r = batch.r.clamp(-self.recipe.r_most, self.recipe.r_most)
        if self.step < self.recipe.steps:
            return torch.cat([r, torch.zeros_like(r[..., :1])], dim=-1)
        with torch.no_grad():
            self.network.eval()
            own = self.network.along(batch.histories, batch.places, batch.is_there)
            other = self.target.along(batch.histories, batch.places, batch.is_there)
        return double_q(r, own, other, batch, self.recipe.gamma)

    def _loss(self, q: Tensor, goal: Tensor, batch: Batch) -> Tensor:
        known = torch.cat([batch.is_known, batch.is_known.any(-1, keepdim=True)], dim=-1)
        cold = (1 - self.recipe.hot_share) / (1 - self._hot)
        weight = torch.where(batch.hot, self.recipe.hot_share / max(self._hot, 1e-9), cold)
        error = functional.huber_loss(q, goal, delta=self.recipe.huber_delta, reduction="none")
        return (error * known * weight.unsqueeze(-1)).sum() / known.sum().clamp(min=1)

    def _renew_target(self) -> None:
        self.target.load_state_dict(self.network.state_dict())
        self.target.eval()

    # --- what is to be seen ---

    def _disturbed(self, histories: list[Tensor]) -> list[Tensor]:
        recipe, found = self.recipe, []
        for number, x in enumerate(histories):
            deviation = 1 / self.network.scale[number]
            bars = torch.randn(x.shape, generator=self.noise) * recipe.noise
            whole = torch.randn((*x.shape[:2], 1, x.shape[3]), generator=self.noise) * recipe.drift
            found.append(x + (bars + whole) * deviation)
        return found

    def _thinned(self, is_there: Tensor) -> Tensor:
        days, _, tickers = is_there.shape
        stays = torch.rand((days, 1, tickers), generator=self.noise) >= self.recipe.thinning
        return is_there & stays

    # --- to and from disk ---

    def state(self) -> dict[str, Any]:
        return {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "network": self.network.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
            "noise": self.noise.get_state(),
            "torch": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        self.noise.set_state(state["noise"])
        torch.set_rng_state(state["torch"])


def double_q(r: Tensor, own: Tensor, other: Tensor, batch: Batch, gamma: float) -> Tensor:
    """BUY and SELL: the trade's R and, at the bar of its end, the other network's value of our own choice.
    HOLD: that value one bar later. The day's last bar has nothing after it."""
    barred = torch.cat([~batch.is_known, torch.zeros_like(batch.is_there).unsqueeze(-1)], dim=-1)
    choice = own.masked_fill(barred, -torch.inf).argmax(dim=-1, keepdim=True)
    value = other.gather(-1, choice).squeeze(-1)  # day x bar x ticker
    bars = value.shape[1]
    value[:, -1] = 0.0
    ends = batch.exit_bar.clamp(0, bars - 1)
    at_end = torch.stack([value.gather(1, ends[..., side]) for side in range(2)], dim=-1)
    spent = ends - torch.arange(bars).view(1, bars, 1, 1)
    later = torch.cat([value[:, 1:], value[:, -1:]], dim=1)
    return torch.cat([r + gamma**spent * at_end, gamma * later.unsqueeze(-1)], dim=-1)


def mirrored(batch: Batch, columns: Mirror) -> Batch:
    """The same days upside down: what rose has fallen, who bought has sold."""
    sign, place = torch.from_numpy(columns.sign), torch.from_numpy(columns.place)
    histories = [(x * sign)[..., place] for x in batch.histories]
    return Batch(histories, batch.places, batch.is_there, batch.r.flip(-1), batch.is_known.flip(-1),
                 batch.exit_bar.flip(-1), batch.hot)  # fmt: skip


def version_of(features: int) -> int:
    """Which version of the features has so many columns."""
    return next(version for version, names in NAMES.items() if len(names) == features)


def scale_features(network: DuelingDoubleDQN, lessons: Lessons, split: Split) -> None:
    """Each column less its mean and over its deviation, of the training days alone."""
    rows = np.unique(lessons.rows(split.training))
    for number, (features, last) in enumerate(zip(lessons.panel.features, lessons.panel.last, strict=True)):
        seen = features[np.unique(last[rows])]
        seen = seen[seen.any(axis=-1)]  # a ticker that was not there has no features
        network.center[number] = torch.from_numpy(seen.mean(axis=0))
        network.scale[number] = torch.from_numpy(1 / np.maximum(seen.std(axis=0), SCALE_LEAST))
