"""How long does a whole session take in lock-step, and does it grow? trade.py and the exchange by sockets.

A paper session of a whole day, as fast as the machine allows: the exchange's time moves on when the trader
has nothing to do. Meanwhile its memory, threads and file handles are read from outside, against simulated
time. The first half hour warms up: ranges, caches, and the journal's own. The last samples are left out, for
then it is ending.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import linear_regression

from bench.results import Outcome, most, row
from bench.turns import ROOT
from exchange.synthetic import SyntheticMarket
from facts import read_calendar
from rulebook.hours import IST
from tests.local_exchange import Running, local_exchange
from tests.trader_house import TraderHouse

NAME = "session"
STARTS = "2026-11-20T09:14:30"
WARM_S = 1_800.0  # of simulated time
LOOK_S = 0.5  # of this machine
ENDING = 6  # samples
TICK_S = os.sysconf("SC_CLK_TCK")
MB = 1_024.0  # kB, as /proc tells them


@dataclass(frozen=True, slots=True)
class Sample:
    """Of the trader's process; `at_s` of simulated time since the session's start."""

    at_s: float
    rss_mb: float
    threads: int
    handles: int


@dataclass(frozen=True, slots=True)
class Ran:
    seconds: float
    trader_cpu_s: float
    exchange_cpu_s: float
    samples: list[Sample]

    @property
    def warm(self) -> list[Sample]:
        return [each for each in self.samples[:-ENDING] if each.at_s >= WARM_S]

    @property
    def growth_mb(self) -> float:
        """Per simulated hour."""
        hours = [each.at_s / 3_600 for each in self.warm]
        return linear_regression(hours, [each.rss_mb for each in self.warm]).slope


async def measure(quick: bool) -> Outcome:
    count, end = (5, "11:30:00") if quick else (50, "15:08:00")
    ran = _session(count, end)
    warm, last = ran.warm[0], ran.warm[-1]
    rows = [
        row(f"09:14:30 to {end}, {count} tickers", [ran.seconds], "s", "start and recovery included"),
        row("simulated seconds in one of the machine's", [last.at_s / ran.seconds], ""),
        row("processor time of trade.py", [ran.trader_cpu_s], "s"),
        row("processor time of the exchange", [ran.exchange_cpu_s], "s"),
        row("memory of trade.py at the end", [last.rss_mb], "MB"),
        row("its growth after half an hour", [ran.growth_mb], "MB per simulated hour"),
        row("threads at the end", [float(last.threads)], ""),
        row("file handles at the end", [float(last.handles)], ""),
    ]
    bars = [
        most("growth of memory, MB per simulated hour", [ran.growth_mb], 1),
        most("threads at the end beyond those after half an hour", [float(last.threads - warm.threads)], 0),
        most("file handles beyond those after half an hour", [float(last.handles - warm.handles)], 0),
    ]
    notes = ["The inbox cannot grow: in lock-step it is empty before time moves on (pace.py)."]
    return Outcome(NAME, "A session in lock-step", rows, bars, notes=notes)


def _session(count: int, end: str) -> Ran:
    with (
        tempfile.TemporaryDirectory() as folder,
        local_exchange("--symbols", "50", start="2026-11-20T09:12") as running,
    ):
        house = TraderHouse(Path(folder) / "house", running, tickers=",".join(_tickers(count)))
        house.prepare()
        running.until(STARTS)
        command = [sys.executable, str(ROOT / "trade.py"), "--paper", "--loop-ms", "1000", "--end", end]
        with (Path(folder) / "err").open("w") as errors:
            began_s, exchange_s = time.monotonic(), _cpu_s(running.process.pid)
            process = subprocess.Popen(  # noqa: S603  our own script
                command, cwd=house.folder, env=house.everything(), stdout=errors, stderr=errors
            )
            samples, cpu_s = _watched(process, running)
        if process.returncode != 0:
            sys.exit((Path(folder) / "err").read_text()[-2_000:])
        seconds = time.monotonic() - began_s
        return Ran(seconds, cpu_s, _cpu_s(running.process.pid) - exchange_s, samples)


def _tickers(count: int) -> list[str]:
    market = SyntheticMarket(1, read_calendar(ROOT / "config"), 50)
    shares = [each.ticker for each in market.listings if not each.is_index]
    return shares[:count]


def _watched(process: "subprocess.Popen[bytes]", running: Running) -> tuple[list[Sample], float]:
    """Until it ends; and the processor time that it took."""
    samples, cpu_s = [], 0.0
    while process.poll() is None:
        for sample in _sample(process.pid, running):
            samples.append(sample)
            cpu_s = _cpu_s(process.pid)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
    return samples, cpu_s


def _sample(pid: int, running: Running) -> Iterator[Sample]:
    """None where it ends meanwhile."""
    now = datetime.fromisoformat(running.control("GET", "state")["now"])
    at_s = (now - datetime.fromisoformat(STARTS).replace(tzinfo=IST)).total_seconds()
    try:
        told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        handles = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    if "VmRSS" in told:
        yield Sample(at_s, int(told["VmRSS"].split()[0]) / MB, int(told["Threads"]), handles)


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK_S
