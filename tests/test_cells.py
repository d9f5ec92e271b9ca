"""Cells: what was done is not done again, by whom and where makes no difference, and a share has its bound."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cells import Local, done, key_of, sources_hash


@dataclass(frozen=True)
class Cell:
    number: int
    log: str


def squared(cell: Cell) -> dict[str, Any]:
    with Path(cell.log).open("a") as log:
        log.write(f"{cell.number}\n")
    return {"square": cell.number**2}


def failing(cell: Cell) -> dict[str, Any]:
    if cell.number == 2:
        raise ZeroDivisionError("cell 2")
    return squared(cell)


def run(work, cells: Sequence[Cell], folder: Path, jobs: int = 1, sources: str = "s"):
    return done(work, cells, sources, folder / "cells", Local(jobs), lambda _: None)


def cells_of(folder: Path, count: int = 4) -> list[Cell]:
    return [Cell(number, str(folder / "log")) for number in range(count)]


def worked(folder: Path) -> list[int]:
    return sorted(int(line) for line in (folder / "log").read_text().split())


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_cell_is_worked_once_however_often_it_is_asked_for(tmp_path, jobs):
    first = run(squared, cells_of(tmp_path), tmp_path, jobs)
    again = run(squared, cells_of(tmp_path, 6), tmp_path, jobs)

    assert [{"square": n * n} for n in range(4)] == first == again[:4]
    assert [0, 1, 2, 3, 4, 5] == worked(tmp_path)


def test_what_was_done_before_a_failure_stays_done(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(failing, cells_of(tmp_path), tmp_path)

    assert [0, 1] == worked(tmp_path)
    assert 2 == len(list((tmp_path / "cells").glob("*.json")))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"result": 3}', '{"cell": {}}'])
def test_a_torn_or_foreign_file_counts_as_none(tmp_path, content):
    run(squared, cells_of(tmp_path, 1), tmp_path)
    (path,) = (tmp_path / "cells").glob("*.json")
    path.write_text(content)

    assert [{"square": 0}] == run(squared, cells_of(tmp_path, 1), tmp_path)
    assert [0, 0] == worked(tmp_path)
    assert {"number": 0, "log": str(tmp_path / "log")} == json.loads(path.read_text())["cell"]


def test_other_sources_or_other_work_are_other_results(tmp_path):
    cell = Cell(1, "")
    keys = {key_of(squared, cell, "a"), key_of(squared, cell, "b"), key_of(failing, cell, "a"),
            key_of(squared, Cell(2, ""), "a")}  # fmt: skip

    assert 4 == len(keys)
    assert sources_hash(["cells"]) == sources_hash(["cells"]) != sources_hash(["cells", "rulebook"])


def test_a_share_is_of_sums_and_its_bound_lies_below_it():
    pytest.importorskip("torch")
    from certify import share

    rng = np.random.default_rng(1)
    possible = rng.normal(10, 3, (9, 50))
    earned = 0.8 * possible + rng.normal(0, 2, possible.shape)
    found, low = share(earned.tolist(), possible.tolist())
    exact = share((0.5 * possible).tolist(), possible.tolist())

    assert pytest.approx(0.8, abs=0.03) == found
    assert found - 0.1 < low < found
    assert pytest.approx((0.5, 0.5)) == exact
