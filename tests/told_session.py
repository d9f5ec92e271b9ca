"""One real day for whoever asks a journal: two short paper sessions, an eager winner and after it an idle one.

It is made once for all tests, in lock-step, so it is the same each time; the exchange is gone when it is asked.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import checkpoint
import cli
import winner
from ledger import Entry, Follower, Journal, identity_of, journal_paths
from ledger_facts import Fact
from rulebook.hours import IST
from tests.conftest import ROOT
from tests.journal_tables import KEY
from tests.local_exchange import local_exchange
from tests.paper_tables import HandClock
from tests.trader_house import EAGER, IDLE, TraderHouse
from trade import PROGRAM

DAY = "2026-11-20"
NOON = datetime(2026, 11, 20, 12, tzinfo=IST)
TICKERS = "INFY,SBIN,TCS"


def told_house(factory: pytest.TempPathFactory) -> Path:
    return _made(factory.getbasetemp() / "told")


@cache
def _made(folder: Path) -> Path:
    with local_exchange("--symbols", "50", start=f"{DAY}T09:17") as running:
        house = TraderHouse(folder, running, tickers=TICKERS)
        house.prepare(IDLE)
        idle = checkpoint.read(folder / "models" / "winner" / winner.MODEL, "train")
        house.promote(EAGER)
        _traded(house, "09:45:00")
        winner.promote(folder / "models" / "winner", idle, 0.2, NOON, HandClock(NOON))
        _traded(house, "10:00:00")
    return folder


def _traded(house: TraderHouse, end: str) -> None:
    done = house.trade("--paper", "--end", end)
    assert done.returncode == 0, done.stderr


def asked(folder: Path, *args: str) -> cli.Answer:
    """What trade.py answers in that folder; its errors come as they are."""
    config = ("--config", str(folder / "config.json"))
    found: argparse.Namespace = cli.parser(PROGRAM).parse_intermixed_args([*args, *config])
    answer: cli.Answer = found.plan[0].run(cli.Run(found, HandClock(NOON), {}))
    return answer


def printed(folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    """What the script itself does there."""
    return subprocess.run(
        [sys.executable, str(ROOT / "trade.py"), *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
    )


def entries_of(folder: Path) -> list[Entry]:
    return list(Follower(journal_paths(folder / "data" / "ledger")[0]).entries())


def retold(house: Path, folder: Path, change: Callable[[Fact], Fact | None]) -> Path:
    """The same day in another folder, each fact as `change` has it; None leaves it out."""
    shutil.copy(house / "config.json", folder)
    (folder / "models").symlink_to(house / "models")
    (folder / "data").mkdir()
    (folder / "data" / "raw").symlink_to(house / "data" / "raw")
    path = journal_paths(house / "data" / "ledger")[0]
    who = identity_of(path)
    assert who is not None
    place = folder / path.parent.relative_to(house)
    with Journal(place, who, KEY, HandClock(NOON)) as book:
        for at, facts in _changed(entries_of(house), change):
            book.write(at, *facts)
    return folder


def _changed(
    entries: Iterable[Entry], change: Callable[[Fact], Fact | None]
) -> Iterable[tuple[datetime, Any]]:
    for entry in entries:
        fact = change(entry.fact)
        if fact is not None:
            yield entry.at, (fact,)
