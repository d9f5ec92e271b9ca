"""How are programs timed beside each other on a machine that others use? In turns, each in its own process.

Every engine is a process of its own interpreter: it loads the candles, runs once to warm up, and then
waits for the word. The driver lets each run in turn, so that a slow minute of the machine hits all of
them, and takes ratios within a turn. An engine measures itself, so neither start nor pipe is in a time.

Lines of JSON go between them; the process's end is engine.py.
"""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OURS, PEERS = ROOT / ".venv" / "bin" / "python", ROOT / ".venv-bench" / "bin" / "python"
READY_S, TURN_S = 300, 300


class EngineError(Exception):
    """An engine did not start or stopped answering; the text is its own last line."""


@dataclass(frozen=True, slots=True)
class Job:
    """What an engine is to do: which one, on which candles, where its trades go, how often a turn."""

    engine: str
    candles: Path
    trades: Path
    repeats: int = 1


class Engine:
    """The driver's end: a process that is ready, waiting for its turn."""

    def __init__(self, process: Process, errors: Path, ready: Mapping[str, Any]) -> None:
        self._process = process
        self._errors = errors
        self.ready = ready

    @classmethod
    async def started(cls, python: Path, job: Job, environment: Mapping[str, str] | None = None) -> "Engine":
        """Started and warmed up; `ready` tells its versions and how long the first call took."""
        if not python.exists():
            raise EngineError(f"{python.parent.parent.name} is not there: make bench")
        errors = job.trades.with_suffix(".err")
        command = [str(python), "-W", "ignore", "-m", "bench.engine", job.engine,
                   str(job.candles), str(job.trades), str(job.repeats)]  # fmt: skip
        own = {**os.environ, "NUMBA_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **(environment or {})}
        with errors.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=file, cwd=ROOT, env=own
            )
        engine = cls(process, errors, {})
        engine.ready = await engine._answer(READY_S)
        return engine

    async def turn(self) -> list[float]:
        """Seconds of each run of this turn."""
        await self._say("go")
        return list((await self._answer(TURN_S))["seconds"])

    async def ended(self) -> dict[str, Any]:
        """Its last words: the peak of its memory."""
        await self._say("end")
        last = await self._answer(TURN_S)
        await self._process.wait()
        return last

    async def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()

    async def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        except TimeoutError:
            self._process.kill()
            raise EngineError(f"no answer within {seconds:g} s") from None
        if not line:
            await self._process.wait()
            said = self._errors.read_text(errors="replace").strip().splitlines()
            raise EngineError(said[-1] if said else f"ended with {self._process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        return answer


Times = dict[str, list[float]]  # for each engine the median of each of its turns


Crew = Sequence[Engine]  # several processes of one engine


async def crew(python: Path, job: Job, size: int = 1) -> Crew:
    """Machine code made at run time lies elsewhere in each process, which alone can double a short loop's
    time; so a short one is run in several processes, and their median is its time."""
    return [await Engine.started(python, job) for _ in range(size)]


async def alternate(crews: Mapping[str, Crew], rounds: Mapping[str, int]) -> Times:
    """Every engine in every round, until its own number of rounds is done."""
    times: Times = {name: [] for name in crews}
    for number in range(max((rounds[name] for name in crews), default=0)):
        for name, engines in crews.items():
            if number < rounds[name]:
                times[name].append(median([median(await engine.turn()) for engine in engines]))
    return times


async def peaks_mb(crews: Mapping[str, Crew]) -> dict[str, float]:
    """The most memory of each engine's processes, all of which end here."""
    return {
        name: max([float((await engine.ended())["peak_mb"]) for engine in engines])
        for name, engines in crews.items()
    }


def ratios(times: Times, slower: str, faster: str) -> list[float]:
    """How many times longer, turn by turn: what the machine did to both is gone from it.

    One that is so slow that it had fewer turns is compared with every turn of the other.
    """
    theirs, ours = times[slower], times[faster]
    if len(theirs) < len(ours):
        return [median(theirs) / each for each in ours]
    return [a / b for a, b in zip(theirs, ours, strict=True)]
