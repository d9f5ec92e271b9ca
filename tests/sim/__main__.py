"""How do ten thousand seeds go? `python -m tests.sim --seeds N [--from SEED] [--jobs J]`, or one with --trace."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.sim.life import live
from tests.sim.many import outcomes
from tests.sim.report import Sum, lines_of


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if asked.trace:
            return _trace(asked.first, Path(folder))
        return _run(range(asked.first, asked.first + asked.seeds), asked.jobs, Path(folder))


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    made.add_argument("--seeds", type=int, default=200, help="how many")
    made.add_argument("--from", "--seed", dest="first", type=int, default=0, help="the first of them")
    made.add_argument("--jobs", type=int, default=1, help="processes")
    made.add_argument("--trace", action="store_true", help="tell everything that happens in that one seed")
    return made


def _run(seeds: range, jobs: int, folder: Path) -> int:
    total, broken = Sum(), 0
    for outcome in outcomes(seeds, jobs, folder):
        total.add(outcome)
        if outcome.violation is not None:
            broken += 1
            _say(f"seed {outcome.seed}: {outcome.violation}\n{outcome.tail}")
            _say(f"replay: python -m tests.sim --seed {outcome.seed} --trace")
    _say(total.text())
    return 1 if broken else 0


def _trace(seed: int, folder: Path) -> int:
    told = live(seed, folder / str(seed))
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
