"""fetch.py when things go wrong: a full disk, a kill, a second one, a sleep, another time zone, a strange answer.

Whatever happens, a file of candles is the one before or the one after, and the next run ends where an
undisturbed one does.
"""

import hashlib
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import pandas as pd
import pytest

from candle_store import path_of, read_candles
from tests.conftest import ROOT
from tests.desk import Desk
from tests.local_exchange import Running, local_exchange

pytestmark = pytest.mark.long

TICKERS = ("INFY", "TCS", "SBIN")
HISTORY = ("--symbols", ",".join(TICKERS), "history")
ZONES = ("Asia/Kolkata", "UTC", "America/New_York")
HISTORY_GET = "GET /instruments/historical/*"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with local_exchange("--symbols", "50", speed="20", start="2026-11-20T17:30") as running:
        yield running


@pytest.fixture
def desk(tmp_path, running) -> Desk:
    running.heal()
    desk = Desk(tmp_path / "mine", running, "raw_http")
    desk.log_in()
    return desk


@pytest.fixture
def undisturbed(desk, tmp_path, running) -> Desk:
    """What a run comes to that nothing happens to; the same login."""
    other = Desk(tmp_path / "other", running, "raw_http")
    (other.folder / ".env").write_bytes((desk.folder / ".env").read_bytes())
    assert other.fetch(*HISTORY).returncode == 0
    return other


def frames(desk: Desk) -> dict[tuple[str, str], pd.DataFrame]:
    """All that is on disk; DataError where one file is not whole."""
    places = [(ticker, timeframe) for ticker in TICKERS for timeframe in ("5m", "15m")]
    return {place: read_candles(desk.raw, *place) for place in places if path_of(desk.raw, *place).exists()}


def same(one: Desk, other: Desk) -> bool:
    mine, theirs = frames(one), frames(other)
    return mine.keys() == theirs.keys() and all(mine[place].equals(theirs[place]) for place in mine)


def is_part_of(found: dict[tuple[str, str], pd.DataFrame], whole: Desk) -> bool:
    """Every file a whole page more or less, nothing in it that does not belong there."""
    every = frames(whole)
    return all(
        frame.merge(every[place], how="left", indicator=True)["_merge"].eq("both").all()
        for place, frame in found.items()
    )


def begun(desk: Desk, *args: str, most_bytes: int | None = None) -> "subprocess.Popen[str]":
    limited = (
        None if most_bytes is None else partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most_bytes,) * 2)
    )
    return subprocess.Popen(
        [sys.executable, str(ROOT / "fetch.py"), *args], cwd=desk.folder, env=desk.everything(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limited,
    )  # fmt: skip


def wait_until(process: "subprocess.Popen[str]", is_so: Callable[[], bool]) -> None:
    """Before that process ends."""
    while not is_so():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError("it ended first")


def test_whichever_write_finds_no_room_the_files_are_whole_and_the_next_run_completes_them(desk, undisturbed):
    """The kernel refuses to let any file grow beyond a limit, which rises from nothing to enough for all."""
    sizes = sorted(path.stat().st_size for path in undisturbed.raw.rglob("*.parquet"))
    codes = []
    for most_bytes in [0, 511, *(size - 1 for size in sizes)]:
        process = begun(desk, *HISTORY, most_bytes=most_bytes)
        _, said = process.communicate(timeout=60)
        codes.append(process.returncode)
        last = said.strip().splitlines()[-1]

        assert "Traceback" not in said and last.startswith("fetch.py: "), said
        assert is_part_of(frames(desk), undisturbed)
        assert [] == list(desk.raw.rglob("*.tmp"))
    assert set(codes) <= {1, 2}
    assert desk.fetch(*HISTORY).returncode == 0
    assert same(desk, undisturbed)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_every_file_is_an_old_one_or_a_new_one(desk, undisturbed, seed):
    rng, kills = Random(seed), 0
    for _ in range(6):
        process = begun(desk, *HISTORY)
        try:
            process.wait(rng.uniform(0.6, 2.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()

        assert is_part_of(frames(desk), undisturbed)
    done = desk.fetch(*HISTORY)

    assert kills > 0
    assert 0 == done.returncode, done.stderr
    assert same(desk, undisturbed)


def test_of_two_at_once_the_second_is_exit_code_6_and_the_first_completes(desk, undisturbed):
    desk.running.break_with("slow", value=60_000, where=HISTORY_GET)  # three seconds of ours
    first = begun(desk, *HISTORY)
    lock = desk.folder / "data" / "state" / "fetch.lock"
    wait_until(first, lambda: lock.exists() and lock.read_text().strip() != "")
    second = desk.fetch(*HISTORY)
    reading = desk.fetch("--fn", "load_config")
    desk.running.heal()
    first.communicate(timeout=60)

    assert (6, 0, 0) == (second.returncode, reading.returncode, first.returncode)
    assert "another fetch.py is running" in second.stderr
    assert same(desk, undisturbed)


def test_a_laptop_that_slept_through_the_night_says_log_in_and_then_completes(desk, undisturbed):
    """The clock jumps past the hour at which the broker ends the token."""
    with local_exchange("--symbols", "50", speed="20", start="2026-11-19T17:30") as running:
        sleeper = Desk(desk.folder.parent / "sleeper", running, "raw_http")
        sleeper.log_in()
        running.break_with("slow", value=40_000, where=HISTORY_GET)
        process = begun(sleeper, *HISTORY)
        wait_until(process, path_of(sleeper.raw, "INFY", "5m").exists)
        running.control("POST", "advance", {"to": "2026-11-20T17:00+05:30"})
        running.heal()
        _, said = process.communicate(timeout=60)
        told_to_log_in = process.returncode
        between = frames(sleeper)
        sleeper.log_in()
        again = sleeper.fetch(*HISTORY)

        assert 4 == told_to_log_in and "log in with: python fetch.py --fn login" in said
        assert is_part_of(between, undisturbed)
        assert 0 == again.returncode, again.stderr
        assert same(sleeper, undisturbed)


def test_a_host_in_any_time_zone_stores_the_same(desk, tmp_path, running):
    """Files, their bytes, the report of gaps and the features."""
    found = {}
    for zone in ZONES:
        other = Desk(tmp_path / zone.replace("/", "-"), running, "raw_http")
        (other.folder / ".env").write_bytes((desk.folder / ".env").read_bytes())
        other.environ["TZ"] = zone
        flags = ("--symbols", "INFY")
        assert other.fetch(*flags, "--to", "2026-11-19", "history", "impute").returncode == 0
        gaps = json.loads(other.fetch(*flags, "--fn", "coverage", "--json").stdout)["results"]
        data = other.folder / "data"
        files = sorted([*(data / "raw").rglob("*.parquet"), *(data / "processed").rglob("*.parquet")])
        found[zone] = (
            [(path.relative_to(data), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files],
            gaps,
        )

    assert 4 == len(found["UTC"][0])
    assert found["Asia/Kolkata"] == found["UTC"] == found["America/New_York"]


@pytest.mark.parametrize("disaster", ["html_body", "empty_body", "truncated_body", "wrong_types", "redirect"])
def test_a_strange_answer_once_or_always(desk, undisturbed, disaster):
    """Once is asked again, or said and asked again by the next run; always is exit code 4 and touches nothing."""
    desk.running.break_with(disaster, where=HISTORY_GET)
    always = desk.fetch("--symbols", "INFY", "--interval", "15m", "history")
    nothing = frames(desk)
    desk.running.heal()
    desk.running.break_with(disaster, where=HISTORY_GET, count=1)
    codes = [desk.fetch(*HISTORY).returncode, desk.fetch(*HISTORY).returncode]

    assert 4 == always.returncode, always.stderr
    assert {} == nothing
    assert codes in ([0, 0], [4, 0])
    assert same(desk, undisturbed)


def rewrite_list(desk: Desk, old: str, new: str) -> None:
    """Of the day's instruments, as if the broker had sent them so."""
    path = next((desk.folder / "data" / "state" / "broker").rglob("instruments"))
    head, _, body = path.read_bytes().partition(b"\n")
    told = json.loads(head)
    nse, nfo = body[: told["nse_bytes"]], body[told["nse_bytes"] :]
    lists = [part.replace(f",{old},".encode(), f",{new},".encode()) for part in (nse, nfo)]
    assert lists[0] != nse
    told |= {"nse_bytes": len(lists[0]), "sha256": hashlib.sha256(b"".join(lists)).hexdigest()}
    path.write_bytes(json.dumps(told).encode() + b"\n" + b"".join(lists))


@pytest.mark.parametrize(
    ("symbol_today", "sentence"),
    [
        ("SBIN-BE", "SBIN is traded as SBIN-BE today, without intraday margin; leave it out"),
        ("SBINNEW", "SBIN is not in the list of 2026-11-20; look for its symbol on the exchange's site"),
    ],
)
def test_a_symbol_that_was_renamed_or_moved_to_trade_for_trade_is_named(
    desk, undisturbed, symbol_today, sentence
):
    desk.fetch("--symbols", "INFY", "history")
    rewrite_list(desk, "SBIN", symbol_today)
    done = desk.fetch(*HISTORY)
    found = frames(desk)

    assert done.returncode != 0
    assert f"1 of 3 tickers are not complete: SBIN: {sentence}" in done.stderr
    assert {("INFY", "5m"), ("INFY", "15m"), ("TCS", "5m"), ("TCS", "15m")} == found.keys()
    assert is_part_of(found, undisturbed)
