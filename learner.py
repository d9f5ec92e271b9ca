"""How is the network taught? Decisions drawn at random, regularised, the same on any number of cores.

Theory of operation
-------------------
First every action is taught what its whole trade earned (HOLD: nothing); no exploration is needed, because
the rule book knows the outcome of what was not done. Then, from those weights, the Double DQN on transitions
of a replay: a trade is one step of its length, the action at its end is chosen by the network and valued by a
copy of it, and HOLD is worth what the next bar is. A day is an episode. Every `target_every` steps the copy
is renewed, and the replay is what it does, with some chance of a random action. Whether this second part pays
is for validation to say (fitting.py).

Overfitting is the whole problem: neighbouring bars share one future. Hence decisions from all over the
history in each step, the market upside down in half of them (prices mirrored, BUY for SELL), noise on every
bar and on whole histories, dropout of what is pooled, weight decay. Bars with surprising volume or range are
drawn more often and get a fixed share of the weight, whatever became of them. Features are scaled on training
days only.

A step is cut into parts of about PART windows, which threads work off; their gradients are added in the
parts' order, and every random number comes from the seed, the step and the part. So a training that was
broken off goes on bit for bit with weights, target and moments alone, and more cores change but the time.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from block import one_thread_each
from descent import Descent
from features import NAMES, Mirror, mirror
from lessons import Batch, Lessons, Rows, Split
from network import DuelingDoubleDQN
from policy import Manner, q_of, said
from replay import Moved, ReplayMemory, backtrace, explored, replayed
from sizes import HOLD, Shape

SCALE_LEAST = 1e-3  # of a column that never varies
PART = 64  # windows; they and what becomes of them fit into the cache of one core
HOT_MOMENTS = 0.5  # of the decisions drawn, in which at least one ticker is hot


@dataclass(frozen=True, slots=True)
class Recipe:
    """What training depends on beside its lessons; the numbers are the best of the few that were tried."""

    steps: int = 2_000  # without a bootstrap
    bootstrapped: int = 500  # steps after those, with one
    batch: int = 256  # tickers' decisions a step
    lr: float = 1e-3
    weight_decay: float = 0.05
    warm_up: int = 50
    huber_delta: float = 5.0
    r_most: float = 5.0
    clip: float = 1.0
    gamma: float = 0.99
    target_every: int = 1_000
    epsilon_first: float = 0.10
    epsilon_last: float = 0.01
    epsilon_steps: int = 50_000
    mean_dropout: float = 0.5  # of what is pooled: means, which tell one day from another, and maxima
    max_dropout: float = 0.2
    noise: float = 0.3  # of a column's deviation, on every bar
    drift: float = 0.0  # the same, on a whole history
    mirrored: float = 0.5
    hot_share: float = 0.25
    seed: int = 0

    def epsilon(self, step: int) -> float:
        """Chance of a random action in the replay of that step."""
        gone = min(1.0, step / self.epsilon_steps)
        return self.epsilon_first + gone * (self.epsilon_last - self.epsilon_first)


# learning.md's own numbers; what they gave on the certificate stands in docs/decisions.md.
GIVEN = replace(Recipe(), batch=512, lr=3e-4, weight_decay=1e-4, huber_delta=1.0, bootstrapped=2_000)


class Told(NamedTuple):
    """Of one step."""

    step: int
    loss: float
    gradient: float
    q_mean: float
    q_most: float


class _Part(NamedTuple):
    """What a part of a step has come to."""

    slopes: Sequence[Tensor]
    loss: float
    q_sum: float
    q_most: float


class Trainer:
    """The state of a training: weights, their copy, how they have moved."""

    def __init__(
        self,
        network: DuelingDoubleDQN,
        lessons: Lessons,
        split: Split,
        recipe: Recipe,
        threads: int | None = None,
    ) -> None:
        self.network, self.lessons, self.recipe = network, lessons, recipe
        self.step = 0
        self.memory: ReplayMemory | None = None
        self._descent = Descent(list(network.parameters()), recipe.weight_decay, recipe.clip)
        self.target = DuelingDoubleDQN(network.shape)
        self._mirror = mirror(version_of(network.shape.features))
        self._rates = _dropout_rates(network.shape, recipe)
        known = (lessons.is_known.any(0)) & lessons.panel.is_there
        self._all_rows = rows = lessons.rows_of(split.training)
        self._rows = rows[known[rows].any(1)]
        self._hot_rows = rows[(known & lessons.hot)[rows].any(1)]
        self.threads = threads or os.cpu_count() or 1
        scale_features(network, lessons, split)

    def steps(self, until: int) -> Iterator[Told]:
        """Teach, step after step."""
        with one_thread_each(), ThreadPoolExecutor(self.threads, "teach") as pool:
            while self.step < until:
                yield self._step(pool)

    def _step(self, pool: ThreadPoolExecutor) -> Told:
        if self.step == self.recipe.steps or self.step % self.recipe.target_every == 0:
            self._renew_target()
        teach = self._taught if self.step < self.recipe.steps else self._bootstrapped
        parts = list(pool.map(lambda part: part(), teach()))
        slopes = [torch.stack(each).sum(0) for each in zip(*(part.slopes for part in parts), strict=True)]
        gradient = self._descent.step(slopes, self._rate())
        self.step += 1
        losses, sums, mosts = ([part[n] for part in parts] for n in (1, 2, 3))
        return Told(self.step, sum(losses), gradient, sum(sums) / len(parts), max(mosts))

    def _rate(self) -> float:
        """Up over the first steps, down along a cosine; the bootstrap goes on at a tenth."""
        recipe = self.recipe
        if self.step >= recipe.steps:
            return recipe.lr / 10
        rise = min(1.0, (self.step + 1) / recipe.warm_up)
        return recipe.lr * rise * 0.5 * (1 + math.cos(math.pi * self.step / recipe.steps))

    def _renew_target(self) -> None:
        self.target.load_state_dict(self.network.state_dict())
        self.memory = None

    def _remembered(self) -> ReplayMemory:
        """What the copy does in the training days; the same, whenever it is asked again."""
        if self.memory is None:
            renewed = max(self.recipe.steps, self.step // self.recipe.target_every * self.recipe.target_every)
            q = q_of(self.target, self.lessons, self._all_rows, self.threads)
            asked = said(self.lessons, self._all_rows, q, Manner())
            rng = np.random.default_rng([self.recipe.seed, renewed])
            chance = self.recipe.epsilon(renewed)
            signals = explored(self.lessons, self._all_rows, asked, chance, rng)
            self.memory = replayed(self.lessons, self._all_rows, signals, self.recipe.seed)
            backtrace(self.memory, self.lessons)
        return self.memory

    # --- all actions, what their trades earned ---

    def _taught(self) -> "Iterator[Any]":
        """The step's parts, each to be called."""
        rows = self._drawn()
        hot = self.lessons.hot[rows]
        share = float(hot.mean())
        wanted = self.recipe.hot_share if share else 0.0
        weight = np.where(hot, wanted / max(share, 1e-9), (1 - wanted) / max(1 - share, 1e-9))
        decided = 2 * self.lessons.is_known_at(rows).any(0).sum() + hot.size
        for number, place in enumerate(self._places(len(rows))):
            weights = torch.from_numpy(weight[place].astype(np.float32) / decided)
            yield lambda at=rows[place], w=weights, n=number: self._outcomes_of(at, w, n)

    def _drawn(self) -> Rows:
        rng = np.random.default_rng([self.recipe.seed, self.step])
        count = max(1, self.recipe.batch // len(self.lessons.market.tickers))
        hot = round(count * HOT_MOMENTS) if len(self._hot_rows) else 0
        return np.concatenate([rng.choice(self._hot_rows, hot), rng.choice(self._rows, count - hot)])

    def _places(self, count: int) -> list[slice]:
        size = max(1, PART // len(self.lessons.market.tickers))
        return [slice(first, first + size) for first in range(0, count, size)]

    def _outcomes_of(self, rows: Rows, weight: Tensor, number: int) -> _Part:
        random = self._random(number)
        batch = self.lessons.batch(rows, self.network.shape)
        batch = mirrored(batch, self._mirror, self._flips(len(rows), random))
        r = batch.r.clamp(-self.recipe.r_most, self.recipe.r_most)
        goal = torch.cat([r, torch.zeros_like(r[..., :1])], dim=-1)
        known = torch.cat([batch.is_known, torch.ones_like(batch.is_there).unsqueeze(-1)], dim=-1)
        q = self._asked(batch, random)
        error = functional.huber_loss(q, goal, delta=self.recipe.huber_delta, reduction="none")
        loss = (error * known * batch.is_there.unsqueeze(-1) * weight.unsqueeze(-1)).sum()
        return self._part_of(loss, q)

    # --- transitions of a replay ---

    def _bootstrapped(self) -> "Iterator[Any]":
        memory = self._remembered()
        rng = np.random.default_rng([self.recipe.seed, self.step])
        count = max(1, self.recipe.batch // len(self.lessons.market.tickers))
        picks = rng.integers(0, len(memory), count)
        for number, place in enumerate(self._places(count)):
            moved = memory.moved(picks[place])
            yield lambda each=moved, n=number: self._double_q_of(each, count, n)

    def _double_q_of(self, moved: Moved, count: int, number: int) -> _Part:
        random, tickers = self._random(number), torch.from_numpy(moved.ticker)
        each = torch.arange(len(tickers))
        batch = self.lessons.batch(moved.row, self.network.shape)
        later = self.lessons.batch(moved.next_row, self.network.shape)
        with torch.no_grad():
            own = self.network(later.windows, later.is_there)
            other = self.target(later.windows, later.is_there)
        value = double_q(own, other, later.is_known)[each, tickers]
        spent = torch.from_numpy(self.recipe.gamma ** (moved.next_row - moved.row)).float()
        reward = torch.from_numpy(moved.reward).clamp(-self.recipe.r_most, self.recipe.r_most)
        goal = reward + spent * value * torch.from_numpy(~moved.done)
        flips = self._flips(len(tickers), random)
        q = self._asked(mirrored(batch, self._mirror, flips), random)
        action = torch.from_numpy(moved.action)
        action = torch.where(flips & (action != HOLD), 1 - action, action)
        chosen = q[each, tickers, action]
        loss = functional.huber_loss(chosen, goal, delta=self.recipe.huber_delta, reduction="sum") / count
        return self._part_of(loss, q)

    # --- what is to be seen, and what is made of it ---

    def _random(self, part: int) -> torch.Generator:
        seed = np.random.SeedSequence([self.recipe.seed, self.step, part]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(seed >> np.uint64(1)))

    def _flips(self, count: int, random: torch.Generator) -> Tensor:
        return torch.rand(count, generator=random) < self.recipe.mirrored

    def _asked(self, batch: Batch, random: torch.Generator) -> Tensor:
        """Q of what is seen through noise, with a part of what is pooled left out."""
        seen = []
        for number, x in enumerate(batch.windows):
            bars = torch.randn(x.shape, generator=random) * self.recipe.noise
            if self.recipe.drift:
                whole = (x.shape[0], 1, *x.shape[2:])
                bars += torch.randn(whole, generator=random) * self.recipe.drift
            seen.append(x + bars / self.network.scale[number])
        chance = torch.rand((*batch.is_there.shape, len(self._rates)), generator=random)
        kept = (chance >= self._rates) / (1 - self._rates)
        found: Tensor = self.network(seen, batch.is_there, kept)
        return found

    def _part_of(self, loss: Tensor, q: Tensor) -> _Part:
        slopes = torch.autograd.grad(loss, list(self.network.parameters()))
        told = q.detach()
        return _Part(slopes, loss.item(), told.mean().item(), told.abs().max().item())

    # --- to and from disk ---

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "target": self.target.state_dict(),
            "moments": self._descent.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self._descent.restore(state["moments"])
        self.memory = None


def double_q(own: Tensor, other: Tensor, is_known: Tensor) -> Tensor:
    """The other network's value of our own choice among what was allowed: decision x ticker."""
    barred = torch.cat([~is_known, torch.zeros_like(is_known[..., :1])], dim=-1)
    choice = own.masked_fill(barred, -torch.inf).argmax(dim=-1, keepdim=True)
    return other.gather(-1, choice).squeeze(-1)


def mirrored(batch: Batch, columns: Mirror, flips: Tensor) -> Batch:
    """Some decisions upside down: what rose has fallen, who bought has sold."""
    sign, place = torch.from_numpy(columns.sign), torch.from_numpy(columns.place)
    at = flips.view(-1, 1, 1)
    windows = [torch.where(at.unsqueeze(-1), (x * sign)[..., place], x) for x in batch.windows]
    r, known = (
        torch.where(at, batch.r.flip(-1), batch.r),
        torch.where(at, batch.is_known.flip(-1), batch.is_known),
    )
    return Batch(windows, batch.is_there, r, known, batch.hot)


def version_of(features: int) -> int:
    """Which version of the features has so many columns."""
    return next(version for version, names in NAMES.items() if len(names) == features)


def scale_features(network: DuelingDoubleDQN, lessons: Lessons, split: Split) -> None:
    """Each column less its mean and over its deviation, of the training days alone."""
    rows = lessons.rows_of(split.training)
    for number, features in enumerate(lessons.panel.features):
        seen = features[np.unique(lessons.panel.last[number][rows])]
        seen = seen[seen.any(axis=-1)]  # a ticker that was not there has no features
        network.center[number] = torch.from_numpy(seen.mean(axis=0))
        network.scale[number] = torch.from_numpy(1 / np.maximum(seen.std(axis=0), SCALE_LEAST))


def _dropout_rates(shape: Shape, recipe: Recipe) -> Tensor:
    parts = [
        [recipe.mean_dropout] * each.channels + [recipe.max_dropout] * each.channels
        for each in shape.encodings
    ]
    return torch.tensor([rate for part in parts for rate in part])
