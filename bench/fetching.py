"""How long is the user's first hour? `fetch.py` from nothing to features, against the broker's rate limit.

The exchange is a process of its own and counts three history requests a second of its clock, as the broker
does. The download is timed twice. At the pace of life it is held against the floor that this limit imposes,
start-up, parsing and writing included, so on a busy machine that figure tells of the machine. In lock-step,
where time stands still while anybody works, it tells of our planning: is the limit ever left unused?
"""

import json
import os
import subprocess
import sys
import time
from datetime import date, datetime
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench.results import Outcome, least, most, row
from bench.turns import ROOT
from tests.desk import Desk
from tests.local_exchange import Running, local_exchange

NAME = "fetch"
TICKERS, PER_SECOND, AFTER_CLOSE = 50, 3, "2026-11-20T17:30"
LAST = date(2026, 11, 20)
PAGE_DAYS = {"1m": 60, "5m": 100, "15m": 200, "1h": 400, "1d": 2_000}  # kite.md 1.4
BAR_WALL, BAR_EACH, BAR_AGAIN_S = 1.05, 0.5, 2.0


class Size(NamedTuple):
    """What is fetched, and how many seconds of the exchange's clock one of ours is."""

    first: date
    timeframes: tuple[str, ...]
    speed: str


FULL = Size(date(2024, 11, 21), ("1m", "5m", "15m", "1h", "1d"), "1")
QUICK = Size(date(2026, 9, 25), ("1m", "5m", "1d"), "1")


class Fetched(NamedTuple):
    requests: int
    wall_s: float  # of the exchange's clock
    cpu_s: float
    features_s: float
    again_s: float


async def measure(quick: bool) -> Outcome:
    size = QUICK if quick else FULL
    with TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "exchange", "history", "--cache", cache, "--symbols", str(TICKERS)]
        subprocess.run(
            [*command, "--first", str(size.first)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        found = _fetched(size, size.speed, cache)
        planned = _fetched(size, "max", cache)
    days = (LAST - size.first).days + 1
    each = TICKERS * sum(ceil(days / PAGE_DAYS[name]) for name in size.timeframes)
    needed = TICKERS * sum(ceil(days / PAGE_DAYS[name]) for name in ("1m", "1d"))
    floor_s = found.requests / PER_SECOND
    rows = [
        row("requests", [found.requests], "requests", f"of {TICKERS} tickers x {', '.join(size.timeframes)}"),
        row("fewest that can do", [needed], "requests", "the finest timeframe, and the day's own candles"),
        row("fetching each timeframe", [each], "requests"),
        row("the limit's floor", [floor_s], "s", f"{PER_SECOND} requests a second"),
        row(
            "index, token and history, from nothing", [found.wall_s], "s", f"the clock at speed {size.speed}"
        ),
        row("the same in lock-step", [planned.wall_s], "s", "only waiting takes time"),
        row(
            "our processor, a request",
            [found.cpu_s / found.requests],
            "s",
            "a third of a second is the limit",
        ),
        row("imputation and features", [found.features_s], "s"),
        row("all of it again", [found.again_s], "s", "nothing to do"),
    ]
    bars = [
        most("requests / the fewest", [found.requests / needed], 1),
        *([] if quick else [most("requests / fetching each timeframe", [found.requests / each], BAR_EACH)]),
        most("wall time / the limit's floor", [found.wall_s / floor_s], BAR_WALL),
        most("in lock-step / the limit's floor", [planned.wall_s / floor_s], BAR_WALL),
        least("in lock-step / the floor: never faster", [planned.wall_s / floor_s], 1 - 3 / found.requests),
        most("all of it again, s", [found.again_s], BAR_AGAIN_S),
    ]  # fmt: skip
    return Outcome(NAME, f"fetch.py: {TICKERS} tickers, {days} days, from nothing to features", rows, bars)


def _fetched(size: Size, speed: str, cache: str) -> Fetched:
    flags = ("--symbols", str(TICKERS), "--cache", cache)
    with local_exchange(*flags, speed=speed, start=AFTER_CLOSE) as running, TemporaryDirectory() as folder:
        desk = _desk(Path(folder), running, size)
        cpu_s, began = _children_s(), _now(running)
        told = _told(desk, "index", "token", "history")
        wall_s, cpu_s = (_now(running) - began).total_seconds(), _children_s() - cpu_s
        requests = told[2]["result"]["requests"]
        if speed == "max":
            return Fetched(requests, wall_s, cpu_s, 0.0, 0.0)
        moments = [time.perf_counter()]
        for stages in (("impute",), ("all",)):
            _told(desk, *stages)
            moments.append(time.perf_counter())
        return Fetched(requests, wall_s, cpu_s, moments[1] - moments[0], moments[2] - moments[1])


def _desk(folder: Path, running: Running, size: Size) -> Desk:
    """Logged in, with a configuration that has no ticker yet."""
    desk = Desk(folder, running, "raw_http")
    desk.environ["PYTHONDONTWRITEBYTECODE"] = ""  # a user's second run finds its modules compiled
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "timeframes": size.timeframes,
        "from_dates": dict.fromkeys(size.timeframes, str(size.first)),
        "lookbacks": dict.fromkeys(size.timeframes, 128),
    }
    (folder / "config.json").write_text(json.dumps(config))
    desk.log_in()
    return desk


def _told(desk: Desk, *stages: str) -> Any:
    done = desk.fetch("--json", *stages)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["results"]


def _now(running: Running) -> datetime:
    return datetime.fromisoformat(running.control("GET", "state")["now"])


def _children_s() -> float:
    """Of all that has ended: the exchange is not among them yet."""
    times = os.times()
    return times.children_user + times.children_system
