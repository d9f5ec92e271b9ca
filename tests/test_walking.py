"""Folds and seeds: what is held out from what, what a recipe scores, and the same cells wherever they are done."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from learner import Recipe  # noqa: E402
from lessons import embargo_days, walks  # noqa: E402
from outcome import ConfigError, DataError  # noqa: E402
from tests.conftest import ROOT, House  # noqa: E402
from tests.lessons_of import SMALL_SHAPE, small_lessons  # noqa: E402
from tests.test_training import furnish, result, train  # noqa: E402
from tuning import tune, tuned_recipe  # noqa: E402
from walking import Walk, score  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.long]
FEW = ("--folds", "2", "--seeds", "2", "--steps", "2", "--batch-size", "64", "--jobs", "1")


def extra(name: str):
    """In CI the extra is installed; elsewhere the tests that need it skip where it is not."""
    return __import__(name) if os.environ.get("CI") else pytest.importorskip(name)


def furnished_in(folder: Path) -> House:
    folder.mkdir(exist_ok=True)
    house = House(folder)
    furnish(house, days=70)
    return house


@pytest.fixture(scope="module")
def furnished(tmp_path_factory) -> House:
    return furnished_in(tmp_path_factory.mktemp("house"))


def cells_of(house: House) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((house.folder / "models").rglob("cells/*.json"))}


# --- folds ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lessons():
    return small_lessons(days=70)


@pytest.mark.parametrize("folds", [1, 2, 5])
def test_a_network_is_taught_on_days_before_its_block_and_nobody_sees_the_holdout(lessons, folds):
    apart = embargo_days(lessons, SMALL_SHAPE)
    found = walks(lessons, SMALL_SHAPE, before=60, count=folds)
    blocks = np.concatenate([each.holdout for each in found])

    assert folds == len(found)
    assert blocks.tolist() == sorted(set(blocks.tolist()))
    assert blocks.max() < 60 - apart
    for each in found:
        assert each.training.max() < each.validation.min()
        assert each.validation.max() < each.holdout.min() - apart
        assert len(each.training) >= 20


def test_later_folds_are_taught_on_more(lessons):
    first, *_, last = walks(lessons, SMALL_SHAPE, before=60, count=4)

    assert set(first.training) < set(last.training)


@pytest.mark.parametrize(
    ("before", "folds", "complaint"), [(20, 30, "too few for 30 folds"), (30, 2, "days to learn from")]
)
def test_too_little_history_is_said(lessons, before, folds, complaint):
    with pytest.raises(DataError, match=complaint):
        walks(lessons, SMALL_SHAPE, before, folds)


@pytest.mark.parametrize(
    ("r_a_day", "expected"),
    [
        ([[1.0]], 1.0),
        ([[1.0, 5.0, 2.0]], 2.0),
        ([[4.0], [1.0], [3.0], [2.0]], 1.0),
        ([[5.0], [4.0], [1.0], [3.0], [2.0]], 2.0),
        ([[9.0, -1.0, 3.0], [7.0, 2.0, 1.0]], 1.0),
    ],
)
def test_the_score_is_the_median_over_seeds_of_the_fold_at_the_worst_quartile(r_a_day, expected):
    assert expected == score(r_a_day) == Walk([], r_a_day, []).score


# --- cells ------------------------------------------------------------------------------------------------


def test_a_recipe_is_walked_once_and_its_answer_kept(furnished):
    first = train(furnished, "walk_forward", *FEW)
    cells = cells_of(furnished)
    again = train(furnished, "walk_forward", *FEW)
    other = train(furnished, "walk_forward", *FEW, "--lr", "0.002")

    assert result(first) == result(again) != result(other)
    assert "4 cells, 4 of them done before" in again.stderr
    assert "4 cells, 0 of them done before" in other.stderr
    assert 4 == len(cells) and 8 == len(cells_of(furnished))
    assert [2, 2] == [len(row) for row in result(first)["r_a_day"]]
    assert score(result(first)["r_a_day"]) == result(first)["score"]


def test_ray_makes_the_files_that_processes_make(furnished, tmp_path):
    extra("ray")
    here, there = (furnished_in(tmp_path / name) for name in ("here", "there"))
    train(here, "walk_forward", *FEW)
    on_ray = train(there, "walk_forward", *FEW, "--backend", "ray", "--jobs", "2")

    assert 0 == on_ray.returncode, on_ray.stderr
    assert 4 == len(cells_of(here))
    assert cells_of(here) == cells_of(there)


REFUSED = """
import sys
from functools import partial
from pathlib import Path
from cells import Local, done
from cluster import Cluster
from learner import Recipe
from outcome import ConfigError, DataError
from walking import Fold, Place, walked

backend = Cluster(None, 2) if sys.argv[1] == "ray" else Local(2)
cells = [Fold("another study", number, 2, Recipe(steps=1, bootstrapped=0)) for number in range(2)]
try:
    done(partial(walked, Place("config.json", 3.0)), cells, "sources", Path("cells"), backend, print)
except DataError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_cell_refuses_candles_that_are_not_the_ones_it_was_asked_about(furnished, tmp_path, backend):
    """In a process of its own, as Ray leaves processes of the one that asked behind it."""
    if backend == "ray":
        extra("ray")
    script = tmp_path / "asks.py"
    script.write_text('if __name__ == "__main__":\n' + indent(REFUSED, "    "))
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    found = subprocess.run(
        [sys.executable, str(script), backend], cwd=furnished.folder, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip

    assert "refused: config.json: other settings or candles here" in found.stdout, found.stderr
    assert not list((furnished.folder / "cells").glob("*"))


@dataclass
class Answering:
    """In place of days of teaching: each recipe's score is its learning rate's, and some die at work."""

    dies_at: int | None = None
    folds: int = 1
    seeds: int = 1
    asked: list[Recipe] = field(default_factory=list)
    study: Any = field(default_factory=lambda: SimpleNamespace(key="a study"))

    def fold(self, recipe: Recipe, _: int) -> list[float]:
        self.asked.append(recipe)
        if len(self.asked) == self.dies_at:
            raise KeyboardInterrupt
        return [recipe.lr]


# --- the search -------------------------------------------------------------------------------------------


def test_a_search_that_was_killed_goes_on_to_its_declared_number_of_trials(tmp_path):
    extra("optuna")
    house = furnished_in(tmp_path)
    asked = (
        "--folds",
        "2",
        "--seeds",
        "1",
        "--steps",
        "4",
        "--batch-size",
        "64",
        "--trials",
        "3",
        "--jobs",
        "1",
    )
    command = [sys.executable, str(ROOT / "train.py"), "--fn", "tune", *asked]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as killed:
        assert killed.stderr is not None
        next(line for line in killed.stderr if "trial 0" in line)
        next(line for line in killed.stderr if "1 of 1" in line)  # a fold of the second one
        killed.send_signal(signal.SIGKILL)
    found = result(train(house, "tune", *asked))
    again = result(train(house, "tune", *asked))

    assert 3 == found["trials"]
    assert found["score"] >= found["score_before"]
    assert found == again
    assert {"lr", "weight_decay", "noise"} <= set(found["changes"])
    assert_taught_by(house, found["changes"])


def assert_taught_by(house: House, changes: dict[str, Any]) -> None:
    recipe = tuned_recipe(Recipe(), house.folder / "models/checkpoints/tuned.json")
    fitted = result(train(house, "fit", "--recipe", "tuned", "--steps", "2", "--batch-size", "64"))
    card = json.loads(Path(fitted["card"]).read_text())

    assert replace(Recipe(), **changes) == recipe
    assert recipe.lr == card["rest"]["recipe"]["lr"]


def test_a_search_killed_in_its_first_trial_still_tries_the_recipe_as_it_stands(tmp_path):
    extra("optuna")
    dying: Any = Answering(dies_at=1)
    walker: Any = Answering()
    with pytest.raises(KeyboardInterrupt):
        tune(dying, Recipe(), 2, tmp_path, lambda _: None)
    found = tune(walker, Recipe(), 2, tmp_path, lambda _: None)

    assert Recipe() in walker.asked
    assert np.isfinite(found.score_before) and found.score >= found.score_before
    assert 2 == found.trials


def test_another_recipe_is_another_search(tmp_path):
    extra("optuna")
    walker: Any = Answering()
    other = replace(Recipe(), batch=64)
    tune(walker, Recipe(), 2, tmp_path, lambda _: None)
    tune(walker, other, 2, tmp_path, lambda _: None)

    assert other in walker.asked


def test_a_recipe_outside_of_what_is_searched_is_refused(tmp_path):
    walker: Any = Answering()
    with pytest.raises(ConfigError, match=r"lr 0\.5 is not within what is searched"):
        tune(walker, replace(Recipe(), lr=0.5), 1, tmp_path, lambda _: None)


@pytest.mark.parametrize(
    "text",
    ["{}", "", '{"changes": {"lr": "fast"}}', '{"changes": {"lr": NaN}}', '{"changes": {"steps": 7}}',
     '{"changes": {"lr": 9.0}}', '{"changes": 3}'],
)  # fmt: skip
def test_a_tuned_recipe_that_is_none_is_refused_with_the_remedy(tmp_path, text):
    path = tmp_path / "tuned.json"
    path.write_text(text)

    with pytest.raises(DataError, match="no recipe; remove it and search anew"):
        tuned_recipe(Recipe(), path)


@pytest.mark.parametrize(
    ("asked", "code", "complaint"),
    [
        (("--ray-address", "127.0.0.1:1"), 2, "add --backend ray"),
        (("--ray-address", "127.0.0.1:1", "--backend", "ray"), 4, "no Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_a_cluster_that_cannot_be_had_is_said(furnished, asked, code, complaint):
    extra("ray")
    done_ = train(furnished, "walk_forward", *FEW, "--seed", "50", *asked)

    assert complaint in done_.stderr
    assert code == done_.returncode


def test_without_a_search_there_is_no_tuned_recipe(furnished):
    done_ = train(furnished, "fit", "--recipe", "tuned")

    assert 5 == done_.returncode
    assert "python train.py --fn tune" in done_.stderr
