"""How do many seeds run? In one process or in several; each outcome is small enough to travel."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.sim.life import live
from tests.sim.report import Outcome, outcome_of

_CHUNK = 10


def outcomes(seeds: range, jobs: int, folder: Path) -> Iterator[Outcome]:
    """In the order of the seeds."""
    firsts = list(seeds[::_CHUNK])
    if jobs == 1:
        yield from (outcome for first in firsts for outcome in _chunk(first, seeds, folder))
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(_chunk, firsts, [seeds] * len(firsts), [folder] * len(firsts)):
            yield from found


def _chunk(first: int, seeds: range, folder: Path) -> list[Outcome]:
    wanted = [seed for seed in range(first, first + _CHUNK) if seed in seeds]
    return [outcome_of(live(seed, folder / str(seed))) for seed in wanted]
