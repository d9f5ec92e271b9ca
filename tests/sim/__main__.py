"""How do ten thousand seeds go? `python -m tests.sim --seeds N [--from SEED] [--jobs J]`, or one with --trace."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.sim.life import live
from tests.sim.many import Drawing, outcomes
from tests.sim.plans import Plan, draw, draw_sparse
from tests.sim.report import Sum, lines_of

_TOLD_EVERY = 1_000


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if asked.trace:
            return _trace((draw_sparse if asked.sparse else draw)(asked.first), Path(folder))
        seeds = range(asked.first, asked.first + asked.seeds)
        return _run(seeds, asked.jobs, Path(folder), draw_sparse if asked.sparse else draw)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    made.add_argument("--seeds", type=int, default=200, help="how many")
    made.add_argument("--from", "--seed", dest="first", type=int, default=0, help="the first of them")
    made.add_argument("--jobs", type=int, default=1, help="processes")
    made.add_argument("--sparse", action="store_true", help="faults as rare as faults.md 4 has them")
    made.add_argument("--trace", action="store_true", help="tell everything that happens in that one seed")
    return made


def _run(seeds: range, jobs: int, folder: Path, plan_of: Drawing) -> int:
    total, broken = Sum(), 0
    for outcome in outcomes(seeds, jobs, folder, plan_of):
        total.add(outcome)
        if outcome.violation is not None:
            broken += 1
            _say(f"seed {outcome.seed}: {outcome.violation}\n{outcome.tail}")
            _say(f"replay: python -m tests.sim --seed {outcome.seed} --trace")
        if total.seeds % _TOLD_EVERY == 0 and total.seeds < len(seeds):
            _say(f"up to seed {outcome.seed}: {total.text()}")
    _say(total.text())
    return 1 if broken else 0


def _trace(plan: Plan, folder: Path) -> int:
    told = live(plan.seed, folder / str(plan.seed), plan)
    _say(str(told.plan))
    for line in lines_of(told):
        _say(line)
    _say(f"violations: {[str(wrong) for wrong in told.oracle.violations]}, trace {told.fingerprint()[:16]}")
    return 1 if told.oracle.violations else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
