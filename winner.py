"""Which model may trade? The promoted one, whole, with its record and with those that were before it.

Theory of operation
-------------------
    models/winner/model.pt, model.pt.json, metrics.json    links into `current`
    models/winner/current                                  a link to the version in force
    models/winner/history/0007-3f2a.../                    a version: the three files, never changed again

A promotion writes a whole new version and then replaces `current` by one rename, which switches all three
names at once: whoever reads sees the old winner or the new one, also after a crash, a full disk or a power
cut. A rollback is the same rename, to what was in force before. A lock keeps two promotions apart; readers
need none. Files that somebody put there by hand are taken into the history before they are replaced.

Whether a model deserves it is not asked here: promotion.py judges.
"""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import checkpoint
import locks
from checkpoint import Card, Stored, card_path
from clock import Clock
from files import WriteError, sync_folder, write_atomically
from outcome import DataError

MODEL, METRICS = "model.pt", "metrics.json"
NAMES = (MODEL, card_path(Path(MODEL)).name, METRICS)  # written in this order: the last says it is all there
CURRENT, HISTORY, LOCK = "current", "history", "promotion.lock"
PROMOTE = "promote a model: python train.py"
ROLL_BACK = "put the previous one back: python train.py --fn rollback"
BY_HAND = "byhand"
VERSION = re.compile(r"(\d{4,})-[0-9a-z]+")


@dataclass(frozen=True, slots=True)
class Winner:
    """The promoted model, verified."""

    version: str | None  # None: put there by hand
    stored: Stored
    metrics: Mapping[str, Any]

    @property
    def card(self) -> Card:
        return self.stored.card

    @property
    def avg_reward(self) -> float:
        return float(self.metrics["avg_reward"])


# --- reading --------------------------------------------------------------------------------------------


def is_there(folder: Path) -> bool:
    """Whether there is anything of a winner, whole or not."""
    return any((folder / name).exists() for name in NAMES)


def load(folder: Path) -> Winner:
    """The winner in force; DataError names what is missing or does not match."""
    version = _in_force(folder)
    return _load(folder if version is None else folder / HISTORY / version, version)


def place_of(folder: Path, model_hash: str) -> Path | None:
    """Where the model of that hash lies, to be loaded from: in force, or among those that were."""
    for place in (folder, *(folder / HISTORY / version for version in reversed(versions(folder)))):
        with suppress(DataError):
            if _metrics(place / METRICS)["model_hash"] == model_hash:
                return place
    return None


def versions(folder: Path) -> list[str]:
    """All that are whole as far as names tell, the oldest first."""
    found = [path.parent.name for path in (folder / HISTORY).glob(f"*/{METRICS}")]
    return sorted((name for name in found if VERSION.fullmatch(name)), key=_number)


def _load(place: Path, version: str | None) -> Winner:
    model = place / MODEL
    if not model.exists():
        raise DataError(f"{model}: no model; {PROMOTE}")
    metrics = _metrics(place / METRICS)
    stored = checkpoint.read(model, ROLL_BACK)
    if stored.card.model_hash != metrics["model_hash"]:
        raise DataError(f"{place / METRICS}: tells of another model than {MODEL}; {ROLL_BACK}")
    return Winner(version, stored, metrics)


def _metrics(path: Path) -> dict[str, Any]:
    """At least what the contract names, each of its kind."""
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        told["avg_reward"], told["steps"] = float(told["avg_reward"]), int(told["steps"])
        told["model_hash"] = str(told["model_hash"]).removeprefix("sha256:")
        datetime.fromisoformat(told["evaluated_at"])
    except FileNotFoundError:
        raise DataError(f"{path}: missing, so nobody knows what the model is worth; {ROLL_BACK}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); mend that, or {ROLL_BACK}") from None
    except (ValueError, TypeError, LookupError) as error:
        raise DataError(f"{path}: no metrics of a winner ({error}); {ROLL_BACK}") from None
    if not math.isfinite(told["avg_reward"]):
        raise DataError(f"{path}: avg_reward is {told['avg_reward']}, not a number; {ROLL_BACK}")
    return told


def _in_force(folder: Path) -> str | None:
    """The version that the files' names lead to; None where they are files themselves, or are not there."""
    return None if _by_hand(folder) else _current(folder)


def _current(folder: Path) -> str | None:
    try:
        return (folder / CURRENT).readlink().name
    except OSError:
        return None


def _by_hand(folder: Path) -> bool:
    return any((folder / name).exists() and not (folder / name).is_symlink() for name in NAMES)


def _number(version: str) -> int:
    return int(version.split("-")[0])


# --- promoting and rolling back -------------------------------------------------------------------------


def promote(
    folder: Path, stored: Stored, avg_reward: float, evaluated_at: datetime, clock: Clock,
    told: Mapping[str, Any] = MappingProxyType({}),
) -> str:  # fmt: skip
    """Make it the winner and answer its version. `told`: what else metrics.json is to say.

    BusyError while another promotion runs; WriteError with the old winner in force.
    """
    if not math.isfinite(avg_reward) or evaluated_at.utcoffset() is None:
        raise ValueError(f"avg_reward {avg_reward} at {evaluated_at}: a number, at an aware time")
    metrics = {
        **told,
        "avg_reward": avg_reward,
        "evaluated_at": evaluated_at.isoformat(),
        "steps": stored.card.steps,
        "model_hash": hashlib.sha256(stored.weights).hexdigest(),
    }
    with _alone(folder, clock):
        _adopt(folder)
        metrics["previous"] = _in_force(folder)
        version = _next(folder, metrics["model_hash"][:12])
        with _cleared_on_failure(folder, version):
            _write_version(folder / HISTORY / version, stored, metrics)
            _switch(folder, version)
    return version


def rollback(folder: Path, clock: Clock) -> str:
    """Put the newest whole winner back that was in force before this one, and answer its version."""
    damaged = ""
    with _alone(folder, clock):
        _adopt(folder)
        for version in _earlier(folder):
            try:
                _load(folder / HISTORY / version, version)
            except DataError as error:
                damaged += f"; {error}"
                continue
            _switch(folder, version)
            return version
    raise DataError(
        f"{folder}: no earlier winner to go back to, nothing is changed{damaged}; {PROMOTE}, or, "
        "if this one is damaged, move that folder away to begin without one"
    )


def _earlier(folder: Path) -> Iterator[str]:
    version = _in_force(folder)
    while version is not None and (version := _before(folder, version)) is not None:
        yield version


def _before(folder: Path, version: str) -> str | None:
    """What was in force when this one was promoted; by number where its metrics cannot tell."""
    try:
        previous = json.loads((folder / HISTORY / version / METRICS).read_bytes())["previous"]
    except (OSError, ValueError, TypeError, LookupError):
        return max((v for v in versions(folder) if _number(v) < _number(version)), key=_number, default=None)
    is_older = (
        isinstance(previous, str) and VERSION.fullmatch(previous) and _number(previous) < _number(version)
    )
    return previous if is_older else None


@contextmanager
def _alone(folder: Path, clock: Clock) -> Iterator[None]:
    with locks.held(folder / LOCK, "promotion", clock), _told(folder):
        yield


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """The system's errors in the suite's words."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{folder}: not changed ({error.strerror}); free some space or make it writable, and try again"
        ) from error


@contextmanager
def _cleared_on_failure(folder: Path, version: str) -> Iterator[None]:
    try:
        yield
    except BaseException:  # Ctrl-C too must leave nothing that looks like a version
        if _current(folder) != version:
            shutil.rmtree(folder / HISTORY / version, ignore_errors=True)
        raise


def _write_version(place: Path, stored: Stored, metrics: Mapping[str, Any]) -> None:
    place.mkdir(mode=0o700)
    checkpoint.write(place / MODEL, stored.weights, stored.card)
    write_atomically(place / METRICS, json.dumps(metrics, indent=1, allow_nan=False).encode() + b"\n")
    sync_folder(place.parent)
    _load(place, place.name)  # what cannot be read back never comes into force


def _next(folder: Path, what: str) -> str:
    """The name of a new version; what a crash has left of others is cleared away."""
    history = folder / HISTORY
    history.mkdir(mode=0o700, exist_ok=True)
    found = [path for path in history.iterdir() if VERSION.fullmatch(path.name)]
    for path in found:
        if not ((path / METRICS).exists() or path.name.endswith(BY_HAND)):
            shutil.rmtree(path, ignore_errors=True)
    number = 1 + max((_number(path.name) for path in found), default=0)
    return f"{number:04d}-{what}"


def _switch(folder: Path, version: str) -> None:
    """The names lead to `current`; where that leads is decided by one rename."""
    for name in NAMES:
        if not (folder / name).is_symlink():
            _link(folder / name, f"{CURRENT}/{name}")
    sync_folder(folder)
    _link(folder / CURRENT, f"{HISTORY}/{version}")
    try:
        sync_folder(folder)
    except OSError as error:
        text = f"{folder}: {version} is in force, but a power cut may still undo it ({error.strerror})"
        raise WriteError(text) from error


def _adopt(folder: Path) -> None:
    """Files put there by hand become a version, byte for byte, and then links to it: what is read of them
    stays the same at every step."""
    if not _by_hand(folder):
        return
    version = _next(folder, BY_HAND)
    with _cleared_on_failure(folder, version):
        _copy_version(folder, folder / HISTORY / version)
        current = folder / CURRENT
        if current.is_dir() and not current.is_symlink():  # of a copy that followed the links
            current.rename(folder / HISTORY / _next(folder, BY_HAND))
        _link(current, f"{HISTORY}/{version}")
        sync_folder(folder)
        for name in NAMES:
            _link(folder / name, f"{CURRENT}/{name}")


def _copy_version(folder: Path, place: Path) -> None:
    place.mkdir(mode=0o700)
    for name in NAMES:
        with suppress(FileNotFoundError):
            write_atomically(place / name, (folder / name).read_bytes())
    sync_folder(place.parent)


def _link(path: Path, target: str) -> None:
    """In the place of whatever has that name."""
    spare = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        spare.unlink()
    spare.symlink_to(target)
    spare.replace(path)
