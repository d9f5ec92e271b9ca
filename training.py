"""How do the stages of train.py go together? What each one makes, where it is kept, and what is reused.

Everything that belongs to one study lies in one folder, checkpoints/KEY: what was said in each replay, the
training under way, its looks as JSON and as a picture, and the model. Each stage works in a fresh process: it
makes what it needs and is not there, takes what is there, and says which. A training that was broken off goes
on from its last look; with the same recipe it ends with the same weights, to the bit.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

import checkpoint
import fast
from checkpoint import Card
from clock import Clock
from files import write_atomically
from fitting import Fitting, Look
from learner import Recipe, Told, Trainer, scale_features
from looks_picture import drawn
from network import DuelingDoubleDQN
from outcome import DataError
from policy import signals_of
from replay import ReplayMemory, backtrace, explored, fill
from study import Study, Telling

MODEL, TRAINING, LOOKS = "model.safetensors", "training.safetensors", "looks.json"
OTHER_SETTINGS = "it was taught with other settings, candles or features"


@dataclass(frozen=True)
class Workshop:
    """Where the stages of one study work."""

    study: Study
    recipe: Recipe
    folder: Path
    model_path: Path  # folder / MODEL, or where the user wants it
    clock: Clock
    told: Telling
    minutes: float | None = None
    at_step: Callable[[Told], None] = field(default=lambda _: None)

    @property
    def looks_path(self) -> Path:
        return self.folder / LOOKS

    @property
    def training_path(self) -> Path:
        return self.model_path.with_name(f"{self.model_path.stem}-{TRAINING}")


@dataclass(frozen=True)
class Taught:
    """A network, and where it comes from."""

    network: DuelingDoubleDQN
    card: Card


class Populated(ReplayMemory):
    """A replay that knows what it is of."""

    def __init__(self, study: Study, holdout: bool, seed: int = 0) -> None:
        super().__init__(seed)
        self.study, self.holdout = study, holdout


# --- replays ------------------------------------------------------------------------------------------------


def replay_of(shop: Workshop, holdout: bool) -> Populated:
    """By the network as it is: the taught one where there is one. On training days some actions are left to
    chance; the holdout is walked as it would be traded. What was said is kept, the rest follows from it."""
    study, path = shop.study, shop.folder / f"said-{'holdout' if holdout else 'train'}.npz"
    taught = kept(shop)
    whose = (
        f"the network {taught.card.model_hash[:12]}"
        if taught
        else f"an untaught one, seed {shop.recipe.seed}"
    )
    rows, how = study.rows(holdout), "reused"
    signals = _kept_signals(path, f"{study.key} {whose}")
    if signals is None:
        how = "made"
        signals = signals_of((taught or untaught(shop)).network, study.lessons, rows)
        if not holdout:
            rng = np.random.default_rng(shop.recipe.seed)
            signals = explored(study.lessons, rows, signals, shop.recipe.epsilon(0), rng)
        _keep_signals(path, f"{study.key} {whose}", signals)
    memory = fill(Populated(study, holdout, shop.recipe.seed), study.lessons, rows, signals)
    shop.told(f"{path.name}: {how}, by {whose}: {len(memory):,} transitions, {len(memory.trades):,} trades")
    return memory


def traced(shop: Workshop, holdout: bool) -> Populated:
    """The same, with what each trade came to."""
    memory = replay_of(shop, holdout)
    backtrace(memory, shop.study.lessons)
    return memory


def _kept_signals(path: Path, key: str) -> fast.Signals | None:
    try:
        with np.load(path, allow_pickle=False) as found:
            if str(found["key"]) == key:
                return fast.Signals(found["action"], found["confidence"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # missing, torn or of another kind: made anew
    return None


def _keep_signals(path: Path, key: str, signals: fast.Signals) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, key=np.array(key), action=signals.action, confidence=signals.confidence)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


# --- networks -----------------------------------------------------------------------------------------------


def untaught(shop: Workshop) -> Taught:
    torch.manual_seed(shop.recipe.seed)
    network = DuelingDoubleDQN(shop.study.shape)
    scale_features(network, shop.study.lessons, shop.study.split)
    return Taught(network, _card(shop, 0, {}))


def kept(shop: Workshop) -> Taught | None:
    """The model of this study that is on disk; DataError where it is of another one."""
    if not checkpoint.is_there(shop.model_path):
        return None
    stored = checkpoint.read(shop.model_path, _anew(shop.model_path))
    study, card = shop.study, stored.card
    checkpoint.require(stored, study.feature_version, study.shape.features, study.shape.lookbacks)
    if card.rest.get("study") != study.key:
        raise DataError(f"{shop.model_path}: {OTHER_SETTINGS}; name another --checkpoint-path, or remove it")
    return taught_of(stored, study)


def _anew(path: Path) -> str:
    return f"remove {path.name} and {checkpoint.card_path(path).name}, then: python train.py --fn fit"


def taught_of(stored: checkpoint.Stored, study: Study) -> Taught:
    network = DuelingDoubleDQN(study.shape)
    network.load_state_dict(checkpoint.unpack(stored))
    return Taught(network, stored.card)


def _card(
    shop: Workshop,
    steps: int,
    scores: Mapping[str, float | None],
    asked: Sequence[float] = (0.0, 1.0, 0.0),
    rest: Mapping[str, Any] = MappingProxyType({}),
) -> Card:
    study, (margin, temperature, hold) = shop.study, asked
    first, last = study.taught_from_to
    return Card(
        feature_version=study.feature_version, features=study.shape.features,
        lookbacks=dict(study.shape.lookbacks), settings_hash=study.settings_hash, rules_hash=study.rules_hash,
        first_day=first, last_day=last, data_hashes=study.data_hashes, seeds=[shop.recipe.seed], steps=steps,
        made_at=shop.clock.now(), scores=scores, margin=margin, temperature=temperature, hold=hold,
        versions={"torch": torch.__version__, "numpy": np.__version__}, rest=dict(rest),
    )  # fmt: skip


# --- teaching -----------------------------------------------------------------------------------------------


def fitted(shop: Workshop) -> Taught:
    """From scratch, from the last look of a training that was broken off, or what there is already."""
    fitting = Fitting(_trainer(shop), shop.study.lessons.rows_of(shop.study.split.validation))
    state = _kept_training(shop)
    if state is not None:
        fitting.restore(state)
    if not fitting.is_done:
        _teach(shop, fitting)
    elif kept(shop) is None:
        _save(shop, fitting)  # the model was taken away; its weights are in the training's state, too
    else:
        shop.told(f"{shop.model_path}: reused, taught with the same recipe")
    found = kept(shop)
    assert found is not None
    return found


def _teach(shop: Workshop, fitting: Fitting) -> None:
    at, began_s = fitting.trainer.step, shop.clock.monotonic()
    whence = f"going on from step {at:,}" if at else "from the beginning"
    shop.told(f"teaching: {whence} to {fitting.steps:,}")

    def is_over() -> bool:
        return shop.minutes is not None and shop.clock.monotonic() - began_s >= 60 * shop.minutes

    fitting.run(is_over, lambda each: _save(shop, each), shop.at_step)


def _trainer(shop: Workshop) -> Trainer:
    torch.manual_seed(shop.recipe.seed)
    network = DuelingDoubleDQN(shop.study.shape)
    return Trainer(network, shop.study.lessons, shop.study.split, shop.recipe)


def _save(shop: Workshop, fitting: Fitting) -> None:
    """The best model first: a training's state without it would be of no use."""
    best = fitting.best
    scores = {"validation_r_a_day": best.r_a_day}
    rest = {"study": shop.study.key, "recipe": asdict(shop.recipe)}
    card = _card(shop, best.step, scores, best.weights["asked"].tolist(), rest)
    checkpoint.write(shop.model_path, checkpoint.pack(best.weights), card)
    state = fitting.state()
    plain = {"looks": state["looks"], "best": state["best"], "step": state["trainer"]["step"]}
    checkpoint.write(
        shop.training_path,
        checkpoint.pack(_tensors(state)),
        _card(shop, fitting.trainer.step, scores, rest={**rest, "state": plain}),
    )
    shop.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(shop.looks_path, json.dumps(state["looks"], indent=1).encode())
    write_atomically(shop.looks_path.with_suffix(".svg"), drawn(fitting.looks).encode())
    shop.told(_line(fitting.looks[-1], fitting.steps))


def _line(look: Look, steps: int) -> str:
    return (
        f"step {look.step:,} of {steps:,}: loss {look.loss:.4f}, gradient {look.gradient:.2f}, |Q| up to "
        f"{look.q_most:.1f}; validation {look.r_a_day:+.2f} R a day in {look.trades} trades, "
        f"margin {look.margin}"
    )


def _kept_training(shop: Workshop) -> dict[str, Any] | None:
    """What a training of the same study and recipe had come to."""
    if not checkpoint.is_there(shop.training_path):
        return None
    stored = checkpoint.read(shop.training_path, _anew(shop.training_path))
    rest = stored.card.rest
    if rest["study"] != shop.study.key:
        raise DataError(
            f"{shop.training_path}: {OTHER_SETTINGS}; name another --checkpoint-path, or remove it"
        )
    if rest["recipe"] != asdict(shop.recipe):
        shop.told("the training that is there had another recipe (steps, rates, seed): from the beginning")
        return None
    tensors = checkpoint.unpack(stored)
    plain = rest["state"]
    trainer = {
        "step": plain["step"],
        "network": _under("network", tensors),
        "target": _under("target", tensors),
        "moments": _under("moments", tensors),
    }
    return {
        "trainer": trainer,
        "looks": plain["looks"],
        "best": plain["best"],
        "weights": _under("best", tensors),
    }


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    trainer = state["trainer"]
    parts = {"network": trainer["network"], "target": trainer["target"], "moments": trainer["moments"],
             "best": state["weights"]}  # fmt: skip
    return {f"{part}/{name}": each for part, tensors in parts.items() for name, each in tensors.items()}


def _under(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{part}/"): each for name, each in tensors.items() if name.startswith(f"{part}/")
    }
