"""Is a checkpoint ever seen half written, taken for another, or trusted further than its card goes?"""

import hashlib
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoint import Card, card_path, is_there, pack, read, read_card, require, unpack, write
from outcome import DataError, SuiteError
from tests.conftest import ROOT

CARD = Card(
    feature_version=2, features=29, lookbacks={"5m": 64, "15m": 32}, settings_hash="aa", rules_hash="bb",
    first_day=date(2024, 1, 1), last_day=date(2024, 12, 31), data_hashes={"INFY/5m": "cc"}, seeds=(1, 2),
    steps=300, made_at=datetime(2026, 11, 20, 9, tzinfo=UTC), scores={"validation": 0.25, "sharpe": None},
    temperature=0.7, hold=0.1, margin=0.35, versions={"torch": "2.13.0"},
)  # fmt: skip
OLD, NEW = b"the old weights", b"the new weights, which are longer"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- there and back -------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(deadline=None)
@given(
    weights=st.binary(max_size=200),
    margin=st.floats(-5, 5),
    lookbacks=st.dictionaries(st.sampled_from(["1m", "5m", "15m"]), st.integers(8, 999), min_size=1),
    rest=st.dictionaries(st.text(), PLAIN, max_size=4),
)
def test_what_was_kept_is_read_back_to_the_last_bit(tmp_path_factory, weights, margin, lookbacks, rest):
    path = tmp_path_factory.mktemp("kept") / "sub" / "model.pt"
    kept = write(path, weights, replace(CARD, margin=margin, lookbacks=lookbacks, rest=rest))
    found = read(path)

    assert (weights, kept) == (found.weights, found.card)
    assert hashlib.sha256(weights).hexdigest() == found.card.model_hash
    assert list(lookbacks) == list(found.card.lookbacks)
    assert ["model.pt", "model.pt.json"] == names_in(path.parent)


def test_the_card_is_there_to_be_read_by_people(tmp_path):
    write(tmp_path / "model.pt", OLD, CARD)
    told = json.loads((tmp_path / "model.pt.json").read_text())

    assert (2, {"5m": 64, "15m": 32}, "2024-01-01") == (
        told["feature_version"],
        told["lookbacks"],
        told["first_day"],
    )
    assert (0.7, 0.1, 0.35) == (told["temperature"], told["hold"], told["margin"])
    assert "2026-11-20T09:00:00+00:00" == told["made_at"]


def test_a_card_is_read_without_torch_and_numpy(tmp_path):
    write(tmp_path / "model.pt", OLD, CARD)
    text = (
        "import sys, checkpoint, pathlib; checkpoint.read(pathlib.Path(sys.argv[1])); "
        "print({'torch', 'numpy', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path / "model.pt")], cwd=ROOT, capture_output=True, text=True
    )

    assert ("set()\n", "") == (done.stdout, done.stderr)


def test_the_same_network_again_is_only_a_new_card(tmp_path):
    path = tmp_path / "model.pt"
    write(path, OLD, CARD)
    write(path, OLD, replace(CARD, steps=301))

    assert (OLD, 301) == (read(path).weights, read(path).card.steps)


UNWRITABLE: dict[str, dict[str, Any]] = {
    "a key that JSON would turn into text": {"rest": {"optimizer": [{"state": {0: 1.0}}]}},
    "a number that JSON does not have": {"rest": {"best": float("-inf")}},
    "something that is not plain": {"rest": {"rng": object()}},
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_a_card_that_could_not_be_read_back_is_refused_and_the_old_pair_stands(name, tmp_path):
    path = tmp_path / "model.pt"
    write(path, OLD, CARD)
    with pytest.raises((TypeError, ValueError)):
        write(path, NEW, replace(CARD, **UNWRITABLE[name]))

    assert OLD == read(path).weights
    assert ["model.pt", "model.pt.json"] == names_in(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 0.0}, {"hold": float("nan")}, {"margin": float("inf")}, {"lookbacks": {}}, {"steps": -1},
     {"made_at": datetime(2026, 1, 1)}],  # noqa: DTZ001
)  # fmt: skip
def test_a_card_of_no_sense_cannot_be_made(changes):
    with pytest.raises(ValueError, match=r"\w"):
        replace(CARD, **changes)


# --- tensors --------------------------------------------------------------------------------------------


@pytest.mark.torch
def test_tensors_of_every_kind_come_back_as_they_were(tmp_path):
    import torch

    base = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "weights": base, "shared": base[:1], "turned": base.T, "step": torch.tensor(7.0), "half": base.bfloat16(),
        "rng": torch.get_rng_state(), "whole": torch.tensor([2**62]), "flags": torch.tensor([True, False]),
        "nothing": torch.zeros(0, 3), "learned": torch.nn.Parameter(base),
    }  # fmt: skip
    write(tmp_path / "model.pt", pack(tensors), CARD)
    found = unpack(read(tmp_path / "model.pt"))

    assert tensors.keys() == found.keys()
    assert all(torch.equal(tensors[name], found[name]) for name in tensors)
    assert all(tensors[name].dtype == found[name].dtype for name in tensors)


@pytest.mark.torch
def test_the_same_tensors_are_the_same_bytes_in_whatever_order():
    import torch

    a, b = torch.ones(3), torch.zeros(2)

    assert pack({"a": a, "b": b}) == pack({"b": b.clone(), "a": a.clone()})
    assert pack({"a": a, "b": b}) != pack({"a": a, "b": b + 1})


class Bomb:
    """Unpickled it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.mkdir, (self.target,)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["pickle", "text", "empty", "half"])
def test_what_is_not_tensors_is_refused_by_name_and_nothing_of_it_is_executed(kind, tmp_path):
    import torch

    whole = pack({"a": torch.ones(99)})
    weights = {
        "pickle": pickle.dumps(Bomb(tmp_path / "ran")),
        "text": b"hello",
        "empty": b"",
        "half": whole[:100],
    }[kind]
    path = tmp_path / "model.pt"
    write(path, weights, CARD)
    with pytest.raises(
        DataError, match=r"model\.pt: corrupt, not tensors .*train anew: python train\.py --fn fit"
    ):
        unpack(read(path))

    assert not (tmp_path / "ran").exists()
    pickle.loads(weights if kind == "pickle" else pickle.dumps(Bomb(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


# --- damage ---------------------------------------------------------------------------------------------


def edit(path: Path, **changes: object) -> None:
    card = card_path(path)
    card.write_text(json.dumps({**json.loads(card.read_text()), **changes}))


def without(path: Path, key: str) -> None:
    told = json.loads(card_path(path).read_text())
    del told[key]
    card_path(path).write_text(json.dumps(told))


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no card": (lambda path: card_path(path).unlink(), r"model\.pt\.json: no card, so nobody knows what model\.pt is"),
    "no weights": (lambda path: path.unlink(), r"model\.pt: missing, though its card is there"),
    "other weights": (lambda path: path.write_bytes(NEW), r"model\.pt: does not match its card's hash"),
    "a flipped bit": (lambda path: path.write_bytes(b"\x01" + OLD[1:]), r"does not match its card's hash"),
    "cut short": (lambda path: path.write_bytes(OLD[:-1]), r"does not match its card's hash"),
    "a torn card": (lambda path: card_path(path).write_bytes(card_path(path).read_bytes()[:99]), r"no card of ours"),
    "a list for a card": (lambda path: card_path(path).write_text("[]"), r"no card of ours"),
    "text for a number": (lambda path: edit(path, steps="many"), r"no card of ours"),
    "no temperature at all": (lambda path: edit(path, temperature=0), r"no card of ours \(temperature"),
    "a word for a number": (lambda path: edit(path, margin=float("nan")), r"no card of ours \(temperature, hold and margin"),
    "no such day": (lambda path: edit(path, last_day="2024-13-01"), r"no card of ours"),
    "a key that lacks": (lambda path: without(path, "margin"), r"missing or unknown: margin"),
    "a key too many": (lambda path: edit(path, marjin=1), r"missing or unknown: marjin"),
    "a card of another version": (lambda path: edit(path, schema=2), r"written by another version of the suite: schema 2"),
    "no hash": (lambda path: edit(path, model_hash=""), r"no sha256 of the weights"),
    "a folder for weights": (folder_instead, r"model\.pt: cannot be read \(Is a directory\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_pair_ends_with_the_file_and_the_remedy(name, tmp_path):
    path = tmp_path / "model.pt"
    write(path, OLD, CARD)
    damage, sentence = DAMAGE[name]
    damage(path)
    with pytest.raises(DataError, match=sentence) as failure:
        read(path)

    assert str(tmp_path) in str(failure.value)
    assert "train anew: python train.py --fn fit" in str(failure.value) or "mend that" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_the_remedy_is_the_caller_s(tmp_path):
    with pytest.raises(DataError, match="; go back"):
        read(tmp_path / "model.pt", "go back")


def test_nothing_there_is_told_from_something_broken(tmp_path):
    path = tmp_path / "model.pt"
    before = is_there(path)
    write(path, OLD, CARD)
    path.unlink()

    assert (False, True) == (before, is_there(path))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ((1, 29, {"5m": 64, "15m": 32}), r"made for feature version 2, config\.json has 1; train anew"),
        (
            (2, 29, {"5m": 64, "15m": 16}),
            r"made for lookbacks .*'15m': 32.*, config\.json has .*'15m': 16.*train anew",
        ),
        ((2, 29, {"5m": 64}), r"made for lookbacks"),
        ((2, 29, {"15m": 32, "5m": 64}), r"made for lookbacks"),
        ((2, 28, {"5m": 64, "15m": 32}), r"made for 29 features a bar, not 28"),
    ],
)
def test_weights_for_other_inputs_are_refused(asked, sentence, tmp_path):
    write(tmp_path / "model.pt", OLD, CARD)
    stored = read(tmp_path / "model.pt")
    with pytest.raises(DataError, match=sentence):
        require(stored, *asked)

    require(stored, 2, 29, {"5m": 64, "15m": 32})


# --- stopped on the way ---------------------------------------------------------------------------------

# Runs `action` on copies of a folder, each time with another one of the operating system's calls failing, or
# being the process's last. What goes through C (the bytes of a file) is limited by the tests further down.
HARNESS = """
import os, shutil, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import checkpoint, locks, winner, experiments  # before any call is counted
from clock import SystemClock

CALLS = ("open", "fsync", "replace", "rename", "symlink", "mkdir", "unlink", "rmdir", "fchmod", "write", "ftruncate")
base, out, how, action = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
seen = [0]

def stopped_at(number, real):
    def call(*args, **named):
        seen[0] += 1
        if seen[0] == number:
            if how == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(how, os.strerror(how))
        return real(*args, **named)
    return call

for number in range(1, 1000):
    folder = out / f"{number:03d}"
    shutil.copytree(base, folder, symlinks=True)
    child = os.fork()
    if child == 0:
        for name in CALLS:
            setattr(os, name, stopped_at(number, getattr(os, name)))
        try:
            exec(action)
        except Exception as error:
            Path(out, f"{number:03d}.said").write_text(f"{type(error).__name__}: {error}")
        os._exit(0 if seen[0] >= number else 99)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 99:
        break
"""


def stopped_everywhere(base: Path, out: Path, how: int, action: str) -> Iterator[tuple[Path, str]]:
    """The folders that `action` (Python, about `folder`) left, stopped at each call in turn; and what it said.
    `how` is an errno, or 0 to be killed. The last one was not stopped."""
    out.mkdir()
    command = [sys.executable, "-c", HARNESS, str(base), str(out), str(how), action]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    folders = sorted(path for path in out.iterdir() if path.is_dir())

    assert (0, "") == (done.returncode, done.stderr)
    assert 5 < len(folders) < 999
    for folder in folders:
        said = folder.with_name(f"{folder.name}.said")
        yield folder, said.read_text() if said.exists() else ""


KILLED, NO_SPACE, BAD_DISK = 0, 28, 5
WRITE_NEW = (
    "card = checkpoint.read_card(folder / 'model.pt')\n"
    f"checkpoint.write(folder / 'model.pt', {NEW!r}, card)"
)  # fmt: skip


@pytest.mark.parametrize("how", [KILLED, NO_SPACE, BAD_DISK])
def test_whatever_call_it_is_stopped_at_the_old_pair_or_the_new_one_is_whole(how, tmp_path):
    base = tmp_path / "base"
    write(base / "model.pt", OLD, CARD)
    found = []
    for folder, said in stopped_everywhere(base, tmp_path / "out", how, WRITE_NEW):
        weights = read(folder / "model.pt").weights
        found.append(weights)
        litter = [name for name in names_in(folder) if name not in ("model.pt", "model.pt.json")]

        assert weights in (OLD, NEW)
        assert how == KILLED or [] == litter or (weights == NEW and len(litter) == 1)
        assert said.startswith("WriteError: ") or (said == "" and (weights == NEW or how == KILLED))
        write(folder / "model.pt", b"the next", CARD)
        assert b"the next" == read(folder / "model.pt").weights

    assert {OLD, NEW} == set(found)
    assert how != KILLED or found == sorted(found, key=[OLD, NEW].index), "once it is there it stays"


def test_the_weights_that_a_crash_left_on_their_way_are_found_and_then_cleared_away(tmp_path):
    path = tmp_path / "model.pt"
    write(path, OLD, CARD)
    kept = write(path, NEW, CARD)
    path.rename(tmp_path / f"model.pt.{kept.model_hash[:16]}")
    path.write_bytes(OLD)

    assert NEW == read(path).weights
    write(path, OLD, CARD)
    assert OLD == read(path).weights
    assert ["model.pt", "model.pt.json"] == names_in(tmp_path)


LIMITED = """
import resource, sys
from pathlib import Path
import checkpoint
path = Path(sys.argv[1])
card = checkpoint.read_card(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    checkpoint.write(path, b"n" * int(sys.argv[3]), card)
except checkpoint.WriteError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "size"), [(0, 99), (1, 99), (98, 99), (300, 99), (5_000, 100_000)])
def test_a_file_that_does_not_fit_leaves_the_old_pair_and_no_litter(limit, size, tmp_path):
    """At 300 bytes it is the card that does not."""
    path = tmp_path / "model.pt"
    write(path, OLD, CARD)
    command = [sys.executable, "-c", LIMITED, str(path), str(limit), str(size)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30).stdout

    assert "raise the limit (ulimit -f); the old file stands" in said
    assert OLD == read(path).weights
    assert ["model.pt", "model.pt.json"] == names_in(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(SuiteError, match=r"models.*cannot be made"):
        write(tmp_path / "models" / "model.pt", OLD, CARD)


def test_who_reads_while_another_writes_gets_a_whole_pair(tmp_path):
    path, stop = tmp_path / "model.pt", threading.Event()
    pairs = [(bytes([n]) * 50, replace(CARD, steps=n)) for n in range(4)]
    write(path, *pairs[0])

    def rewrite() -> None:
        for turn in range(40):
            write(path, *pairs[turn % 4])
        stop.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = []
    while not stop.is_set():
        found = read(path)
        seen.append(found.weights[0] == found.card.steps)
    writer.join()

    assert len(seen) > 5
    assert all(seen)


def test_the_card_alone_tells_of_the_newest(tmp_path):
    write(tmp_path / "a", OLD, CARD)
    write(tmp_path / "a.b", NEW, replace(CARD, steps=5))

    assert (300, 5) == (read_card(tmp_path / "a").steps, read_card(tmp_path / "a.b").steps)
    assert OLD == read(tmp_path / "a").weights
