"""How long does a command take before it does anything? CPU seconds of --help, --version and of our settings.

CPU and not wall time: what others run on the machine is not in it. Each command is started anew; the
first start, which may write .pyc files, is not counted.

The time before a command does anything is what a user feels at each --help, what a timer pays every
morning, and what creeps up unseen with each import at the top of a file. The interpreter alone is timed
beside the commands: nothing of ours can be faster.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL

from bench import machine
from bench.results import Bar, Outcome, Row, most, row
from bench.turns import ROOT

NAME = "startup"
SCRIPTS = ("fetch.py", "train.py", "trade.py", "dashboard.py")
SCRIPT_MOST_S, IMPORT_MOST_S = 0.3, 0.15
ALONE = "python alone"


def commands() -> dict[str, list[str]]:
    """What stands on the command line after the interpreter, by the name in the table."""
    found = {
        f"{script} {option}": [script, option] for script in SCRIPTS for option in ("--help", "--version")
    }
    return found | {"import settings": ["-c", "import settings"], ALONE: ["-c", ""]}


async def measure(quick: bool) -> Outcome:
    """In turns, like all that is compared."""
    rounds = 5 if quick else 15
    seconds: dict[str, list[float]] = {name: [] for name in commands()}
    for number in range(rounds + 1):
        for name, words in commands().items():
            used = await _cpu_s(words)
            if number > 0:
                seconds[name].append(used)
    rows: list[Row] = [row(name, values, "CPU s") for name, values in seconds.items()]
    title = "Start-up time of each script"
    return Outcome(NAME, title, rows, _bars(seconds), ["The interpreter alone is in every figure."])


async def _cpu_s(words: list[str]) -> float:
    before = machine.children_cpu_s()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    code = await process.wait()
    assert code == 0, f"{' '.join(words)} ended with {code}"
    return machine.children_cpu_s() - before


def _bars(seconds: dict[str, list[float]]) -> list[Bar]:
    wanted = {name: SCRIPT_MOST_S for name in seconds if name != ALONE}
    wanted["import settings"] = IMPORT_MOST_S
    return [most(f"{name}, CPU s", seconds[name], limit) for name, limit in wanted.items()]
