"""Which program is this process? `python -m bench.engine NAME CANDLES TRADES REPEATS`, started by turns.py.

Runs in our environment or in the peers', so nothing of either is imported before the name is known.

An engine is a function of the path of the candles that answers a Program: how to run the job once,
and how to leave its trades behind. Trades are five columns, whatever they are called in an engine's own
world: ticker, row of the entry, its price, row of the exit, its price, in paise; compare.py holds those of
all engines together. A new peer is a function in peers.py and a line below.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine
from bench.turns import Job

# By name: the file that has it, and its function, which takes the path of the candles.
PROGRAMS = {
    "ours": ("bench.ours", "sma"),
    "bare loop": ("bench.ours", "bare_loop"),
    "rules, dense": ("bench.ours", "rules_dense"),
    "rules, sparse": ("bench.ours", "rules_sparse"),
    "rules, never locked": ("bench.ours", "rules_never_locked"),
    "features, ours": ("bench.features", "ours"),
    "features, polars": ("bench.features", "polars"),
    "features, pandas": ("bench.features", "pandas"),
    "append, ours": ("bench.store", "append_ours"),
    "append, polars": ("bench.store", "append_polars"),
    "load, ours": ("bench.store", "load_ours"),
    "load, polars": ("bench.store", "load_polars"),
    "vectorbt": ("bench.peers", "vectorbt"),
    "backtesting.py": ("bench.peers", "backtesting_py"),
}


@dataclass(frozen=True, slots=True)
class Program:
    """What an engine runs, and how its last result is told as trades (None: it has none to show)."""

    run: Callable[[], Any]
    save: Callable[[Any, Path], None]
    packages: Sequence[str]


def program_of(name: str, candles: Path) -> Program:
    module, function = PROGRAMS[name]
    make: Callable[[Path], Program] = getattr(importlib.import_module(module), function)
    return make(candles)


def job_of(words: Sequence[str]) -> Job:
    """What turns.Engine has put on the command line."""
    engine, candles, trades, repeats = words
    if engine not in PROGRAMS:
        raise SystemExit(f"no engine {engine!r}; known: {', '.join(PROGRAMS)}")
    return Job(engine, Path(candles), Path(trades), int(repeats))


def serve(program: Program, job: Job) -> None:
    """Warm up, say so, and run when told to."""
    # Peers print; whatever they say goes to standard error, the answers have a line of their own.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)

        def answer(**values: Any) -> None:
            answers.write(json.dumps(values) + "\n")
            answers.flush()

        empty_mb = machine.peak_mb()
        cpu_s = time.process_time()
        began = time.perf_counter()
        result = program.run()
        first = {"first_s": time.perf_counter() - began, "first_cpu_s": time.process_time() - cpu_s}
        program.save(result, job.trades)
        answer(versions=machine.versions(program.packages), **first)
        for line in sys.stdin:
            if line.strip() == "end":
                break
            answer(seconds=[_seconds(program.run) for _ in range(job.repeats)])
        answer(peak_mb=machine.peak_mb(), grown_mb=machine.peak_mb() - empty_mb)


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> int:
    """Serve until told to end, or until the driver is gone and with it our standard input.

    The candles are read from the file by each engine for itself: what it keeps of them and in which
    shape is part of its own memory.
    """
    job = job_of(sys.argv[1:])
    try:
        serve(program_of(job.engine, job.candles), job)
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
