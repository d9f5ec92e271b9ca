"""How is a taught network kept, and how is it known to be whole? Tensors in one file, a card beside it.

Theory of operation
-------------------
NAME holds tensors and nothing else (safetensors): reading it executes no code. NAME.json is the card: what a
person and a loader want to know without reading weights, the sha256 of the weights among it. Two files cannot
be replaced by one rename, so the card decides. New weights are first written beside the old ones under a name
of their own hash, then the card is replaced, and only then do they take their place. Whoever is stopped
before the second step leaves the old pair; after it, the reader finds the weights under either name.

A training's state (optimizer, random numbers) is kept the same way, its plain part as the card's `rest`.
Imports torch only to pack and to unpack: the dashboard reads cards without it.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from files import WriteError, write_atomically
from outcome import DataError

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 1
TRAIN_ANEW = "train anew: python train.py --fn fit"
HASH_IN_NAME = 16  # letters of it: enough to tell weights of one name apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What weights are, where they come from and how they are to be asked."""

    feature_version: int
    features: int  # columns of a bar
    lookbacks: Mapping[str, int]  # the base timeframe first
    settings_hash: str
    rules_hash: str
    first_day: date  # of the data that taught it
    last_day: date
    data_hashes: Mapping[str, str]
    seeds: Sequence[int]
    steps: int
    made_at: datetime
    scores: Mapping[str, float | None] = field(default_factory=dict)
    temperature: float = 1.0  # of the softmax that makes a confidence
    hold: float = 0.0  # added to HOLD there
    margin: float = 0.0  # of R above HOLD, before a trade is asked for
    versions: Mapping[str, str] = field(default_factory=dict)  # of the libraries that taught it
    rest: Mapping[str, Any] = field(default_factory=dict)  # anything plain: what a training goes on with
    model_hash: str = ""  # of the weights' file; `write` knows it

    def __post_init__(self) -> None:
        numbers = (self.temperature, self.hold, self.margin)
        if not (all(map(math.isfinite, numbers)) and self.temperature > 0):
            raise ValueError(f"temperature, hold and margin {numbers}: finite, the first above 0")
        if not self.lookbacks or min(self.lookbacks.values()) < 1 or self.steps < 0:
            raise ValueError(f"lookbacks {dict(self.lookbacks)} after {self.steps} steps: nothing to be read")
        if self.made_at.utcoffset() is None:
            raise ValueError(f"made_at {self.made_at}: times here are aware")


@dataclass(frozen=True, slots=True)
class Stored:
    """Weights that are what their card says, and where they were found."""

    path: Path
    weights: bytes = field(repr=False)
    card: Card


def card_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def is_there(path: Path) -> bool:
    """Whether anything was ever kept under that name, whole or not."""
    return path.exists() or card_path(path).exists()


# --- writing --------------------------------------------------------------------------------------------


def write(path: Path, weights: bytes, card: Card) -> Card:
    """Keep both in the place of what was there; the card as it was written. Raises WriteError."""
    whole = replace(card, model_hash=hashlib.sha256(weights).hexdigest())
    text = _text(whole)  # a mistake in the card leaves everything as it was
    pending = _pending(path, whole.model_hash)
    _make_folder(path.parent)
    try:
        write_atomically(pending, weights)
        write_atomically(card_path(path), text)
    except WriteError:
        if not _is_committed(path, whole):
            _remove(pending)
        raise
    _put_in_place(pending, path)
    for stale in path.parent.glob(f"{path.name}.{'[0-9a-f]' * HASH_IN_NAME}"):
        if stale != pending:
            _remove(stale)
    return whole


def pack(tensors: "Mapping[str, Tensor]") -> bytes:
    """A file's bytes; the same tensors give the same bytes."""
    from safetensors.torch import save

    # Copied, because the format refuses two tensors that share memory.
    return save({name: each.detach().cpu().contiguous().clone() for name, each in tensors.items()})


def _text(card: Card) -> bytes:
    document = {"schema": SCHEMA, **asdict(card)}
    _refuse_other_keys(document)
    # A NaN would be written as a word that no other reader takes for JSON.
    return json.dumps(document, indent=1, default=_plain, allow_nan=False).encode() + b"\n"


def _refuse_other_keys(value: object) -> None:
    """JSON would turn the 0 of {0: ...} into "0" and say nothing, and a training would not go on the same."""
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"a card's keys are text, not {odd[0]!r}")
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            _refuse_other_keys(each)


def _plain(value: object) -> str:
    if isinstance(value, date):  # a moment is one, too
        return value.isoformat()
    raise TypeError(f"a card holds plain values, not {type(value).__name__}")


def _pending(path: Path, model_hash: str) -> Path:
    return path.with_name(f"{path.name}.{model_hash[:HASH_IN_NAME]}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be made ({error.strerror}); make its parent writable") from error


def _put_in_place(pending: Path, path: Path) -> None:
    try:
        pending.replace(path)
    except OSError as error:
        text = f"{pending}: written and found by `read`, but not renamed to {path.name} ({error.strerror})"
        raise WriteError(f"{text}; mend that and write again") from error


def _is_committed(path: Path, card: Card) -> bool:
    try:
        return read_card(path).model_hash == card.model_hash
    except DataError:
        return False


def _remove(path: Path) -> None:
    with suppress(OSError):  # it costs room and misleads nobody
        path.unlink()


# --- reading --------------------------------------------------------------------------------------------


def read(path: Path, remedy: str = TRAIN_ANEW) -> Stored:
    """Weights that match their card, or DataError."""
    card = read_card(path, remedy)
    while (weights := _weights(path, card.model_hash)) is None:
        # Somebody may have written between our two looks; the card tells.
        again = read_card(path, remedy)
        if again.model_hash == card.model_hash:
            raise _unlike(path, remedy)
        card = again
    return Stored(path, weights, card)


def read_card(path: Path, remedy: str = TRAIN_ANEW) -> Card:
    """What is written about the weights of that name; they themselves are not looked at."""
    card = card_path(path)
    try:
        return _card_of(json.loads(card.read_bytes()))
    except FileNotFoundError:
        raise DataError(f"{card}: no card, so nobody knows what {path.name} is; {remedy}") from None
    except OSError as error:
        raise DataError(f"{card}: cannot be read ({error.strerror}); mend that, or {remedy}") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"{card}: no card of ours ({error}); {remedy}") from None


def unpack(stored: Stored, remedy: str = TRAIN_ANEW) -> "dict[str, Tensor]":
    """Its tensors, by name. No code is executed, whatever the bytes are."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(stored.weights)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{stored.path}: corrupt, not tensors ({error}); {remedy}") from None


def require(stored: Stored, feature_version: int, features: int, lookbacks: Mapping[str, int]) -> None:
    """DataError where the weights were made for other inputs than these."""
    card, other = stored.card, f"{TRAIN_ANEW}, or put config.json back to what it was"
    if card.feature_version != feature_version:
        raise DataError(
            f"{stored.path}: made for feature version {card.feature_version}, config.json has "
            f"{feature_version}; {other}"
        )
    if list(card.lookbacks.items()) != list(lookbacks.items()):
        raise DataError(
            f"{stored.path}: made for lookbacks {dict(card.lookbacks)}, config.json has {dict(lookbacks)}; "
            f"{other}"
        )
    if card.features != features:
        raise DataError(
            f"{stored.path}: made for {card.features} features a bar, not {features}; {TRAIN_ANEW}"
        )


def _weights(path: Path, model_hash: str) -> bytes | None:
    """In their place or on the way there, which is why the place is looked at twice."""
    for place in (path, _pending(path, model_hash), path):
        try:
            found = place.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"{place}: cannot be read ({error.strerror}); mend that and try again") from None
        if hashlib.sha256(found).hexdigest() == model_hash:
            return found
    return None


def _unlike(path: Path, remedy: str) -> DataError:
    if path.exists():
        return DataError(f"{path}: does not match its card's hash, damaged or not the same model; {remedy}")
    return DataError(f"{path}: missing, though its card is there; {remedy}")


def _card_of(document: dict[str, Any]) -> Card:
    values = dict(document)
    if (schema := values.pop("schema")) != SCHEMA:
        raise ValueError(f"written by another version of the suite: schema {schema}, not {SCHEMA}")
    names = {each.name for each in fields(Card)}
    if unlike := sorted(names ^ values.keys()):
        raise ValueError(f"missing or unknown: {', '.join(unlike)}")
    for name in ("first_day", "last_day"):
        values[name] = date.fromisoformat(values[name])
    values["made_at"] = datetime.fromisoformat(values["made_at"])
    values["seeds"] = tuple(values["seeds"])
    if len(values["model_hash"]) != hashlib.sha256().digest_size * 2:
        raise ValueError("no sha256 of the weights")
    return Card(**values)
