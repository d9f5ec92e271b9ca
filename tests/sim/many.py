"""How do many seeds run? In one process or in several; each outcome is small enough to travel."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.sim.life import live
from tests.sim.plans import Plan, draw
from tests.sim.report import Outcome, outcome_of

_CHUNK = 10


Drawing = Callable[[int], Plan]


def outcomes(seeds: range, jobs: int, folder: Path, plan_of: Drawing = draw) -> Iterator[Outcome]:
    """In the order of the seeds."""
    firsts = list(seeds[::_CHUNK])
    if jobs == 1:
        yield from (outcome for first in firsts for outcome in _chunk(first, seeds, folder, plan_of))
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        count = len(firsts)
        for found in pool.map(_chunk, firsts, [seeds] * count, [folder] * count, [plan_of] * count):
            yield from found


def _chunk(first: int, seeds: range, folder: Path, plan_of: Drawing) -> list[Outcome]:
    wanted = [seed for seed in range(first, first + _CHUNK) if seed in seeds]
    return [outcome_of(live(seed, folder / str(seed), plan_of(seed))) for seed in wanted]
