"""The broker's limit under 8 threads in each of 2 processes, on the machine's own clock: used up, never passed."""

import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clock import SystemClock
from kite.rates import LIMITS, Kind, Rates
from tests.conftest import ROOT
from tests.test_rates import most_in_any

pytestmark = pytest.mark.long

THREADS, PROCESSES, SECONDS = 8, 2, 3
CAP = LIMITS[Kind.ORDERS].per_second


def work(folder: Path, over_at_s: float) -> int:
    """How many this process was let do. All are urgent, so the whole cap is theirs."""
    clock = SystemClock()
    rates = Rates(folder, clock)
    done: list[None] = []

    def ask() -> None:
        while clock.monotonic() < over_at_s:
            rates.take(Kind.ORDERS, urgent=True)
            done.append(None)

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done)


def stamps_s(folder: Path) -> list[float]:
    """When each was let go, as the processes have told each other; of a minute, all of them are there."""
    text = (folder / f"{Kind.ORDERS}.stamps").read_bytes()[8:]
    return list(struct.unpack(f"<{len(text) // 8}d", text))


def shared_by_processes(folder: Path) -> tuple[float, int]:
    """How much of the cap was used from the first to the last, and the most of any second."""
    over_at_s = SystemClock().monotonic() + SECONDS + 1.0
    command = [sys.executable, "-m", "tests.test_rates_shared", str(folder), str(over_at_s)]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE) for _ in range(PROCESSES)
    ]
    done = [int(process.communicate(timeout=30)[0]) for process in running]
    went = stamps_s(folder)
    assert sum(done) == len(went), "each was stamped"
    assert min(done) > 0
    return (len(went) - CAP) / (CAP * (went[-1] - went[0])), most_in_any(1.0, went)


def test_the_limit_is_used_up_and_never_passed_by_8_threads_in_2_processes(tmp_path):
    used, most = shared_by_processes(tmp_path)

    assert used >= 0.97
    assert most == CAP


if __name__ == "__main__":
    print(work(Path(sys.argv[1]), float(sys.argv[2])))  # noqa: T201  to the test
