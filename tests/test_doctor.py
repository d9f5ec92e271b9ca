"""The doctor as its user calls it: a sound installation, every way to break it, and that no check hides another."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from candle_store import path_of
from processed import path_of as features_of
from tests.conftest import ROOT
from tests.desk import Desk
from tests.local_exchange import Running, local_exchange

pytestmark = pytest.mark.long

CHECKS = [
    *("python", "packages", "config.json", ".env", "disk", "folders", "broker", "clock", "token", "nse"),
    *("calendar", "charges", "candles", "features", "winner", "loss limit", "dashboard"),
]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with local_exchange("--symbols", "50", speed="20", start="2026-11-20T17:30") as running:
        yield running


@pytest.fixture(scope="module")
def sound(running, tmp_path_factory) -> Path:
    """Logged in, fetched, with features and a winner."""
    folder: Path = tmp_path_factory.mktemp("sound")
    desk = Desk(folder, running, "raw_http")
    change_config(desk, tickers=["INFY", "TCS"], from_dates={"5m": "2026-11-16", "15m": "2026-11-16"})
    with (folder / ".env").open("a") as file:
        file.write("DAILY_MAX_LOSS_R=3.0\n")
    desk.log_in()
    done = desk.fetch("history", "impute")
    assert done.returncode == 0, done.stderr
    put_winner(desk, b"weights", 0.2)
    return folder


@pytest.fixture
def desk(sound, running, tmp_path) -> Desk:
    running.heal()
    desk = Desk(tmp_path, running, "raw_http")
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    return desk


def change_config(desk: Desk, **values: Any) -> None:
    path = desk.folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def put_winner(desk: Desk, weights: bytes, reward: float) -> None:
    folder = desk.folder / "models" / "winner"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.pt").write_bytes(weights)
    told = {"avg_reward": reward, "model_hash": hashlib.sha256(weights).hexdigest()}
    (folder / "metrics.json").write_text(json.dumps(told))


def told(desk: Desk) -> tuple[int, dict[str, dict[str, Any]]]:
    done = desk.fetch("--fn", "doctor", "--json")
    document = json.loads(done.stdout)
    return done.returncode, {each["check"]: each for each in document["results"][0]["result"]}


def test_a_sound_installation_is_exit_code_0_and_nothing_is_to_be_done(desk):
    code, found = told(desk)
    shown = desk.fetch("--fn", "doctor")

    assert CHECKS == list(found)
    assert dict.fromkeys(CHECKS, "ok") == {name: each["state"] for name, each in found.items()}
    assert (0, 0) == (code, shown.returncode)
    assert "17 checks: 17 ok" == shown.stdout.splitlines()[-1]


def lose_dot_env(desk: Desk) -> None:
    (desk.folder / ".env").unlink()


def show_dot_env_to_all(desk: Desk) -> None:
    (desk.folder / ".env").chmod(0o644)


def drop(name: str) -> Callable[[Desk], None]:
    def drop_line(desk: Desk) -> None:
        lines = (desk.folder / ".env").read_text().splitlines(keepends=True)
        (desk.folder / ".env").write_text("".join(line for line in lines if not line.startswith(name)))
        desk.environ[name] = ""

    return drop_line


def hold_a_dead_token(desk: Desk) -> None:
    desk.environ["ZERODHA_ACCESS_TOKEN"] = "ofYesterday012345"


def move(name: str) -> Callable[[Desk], None]:
    def point_elsewhere(desk: Desk) -> None:
        desk.environ[name] = "http://127.0.0.1:9"

    return point_elsewhere


def go_by_another_clock(desk: Desk) -> None:
    del desk.environ["CLOCK_URL"]


def write_onto_no_disk(desk: Desk) -> None:
    paths = json.loads((desk.folder / "config.json").read_text())["paths"]
    change_config(desk, paths=paths | {"raw": "/proc/raw"})


def misspell_config(desk: Desk) -> None:
    change_config(desk, leverag=2)


def want_another_ticker(desk: Desk) -> None:
    change_config(desk, tickers=["INFY", "TCS", "SBIN"])


def lose_features(desk: Desk) -> None:
    features_of(desk.folder / "data" / "processed", "TCS", "5m").unlink()


def tear_candles(desk: Desk) -> None:
    path_of(desk.raw, "TCS", "5m").write_bytes(b"PAR1 torn")


def swap_the_model(desk: Desk) -> None:
    (desk.folder / "models" / "winner" / "model.pt").write_bytes(b"others")


def lose_the_winner(desk: Desk) -> None:
    (desk.folder / "models" / "winner" / "model.pt").unlink()


def install_another_version(desk: Desk) -> None:
    folder = desk.folder / "shadow" / "h11-0.1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: h11\nVersion: 0.1\n")
    desk.environ["PYTHONPATH"] = f"{folder.parent}{os.pathsep}{os.environ['PYTHONPATH']}"


@pytest.mark.parametrize(
    ("broken", "check", "code", "said", "remedy"),
    [
        (install_another_version, "packages", 1, "h11 0.1 instead of 0.16.0", "make setup"),
        (misspell_config, "config.json", 2, "did you mean leverage?", "mend what it names"),
        (lose_dot_env, ".env", 2, "is missing", "cp .env.example .env && chmod 600 .env"),
        (show_dot_env_to_all, ".env", 2, "others may read it (mode 0644)", "mend what it names"),
        (write_onto_no_disk, "folders", 1, "/proc:", "make /proc writable"),
        (write_onto_no_disk, "disk", 1, "0.0 GiB free", "free at least 1 GiB"),
        (drop("BROKER_MODE"), "broker", 2, "BROKER_MODE is not set", "check .env"),
        (move("KITE_API_URL"), "broker", 4, "could not be reached", "check the internet connection"),
        (go_by_another_clock, "clock", 1, "s from the broker's", "timedatectl set-ntp true"),
        (drop("ZERODHA_ACCESS_TOKEN"), "token", 4, "there is none", "python fetch.py --fn login"),
        (hold_a_dead_token, "token", 4, "TokenException", "python fetch.py --fn login"),
        (move("NSE_URL"), "nse", 4, "could not be reached", "check the internet connection"),
        (
            want_another_ticker,
            "candles",
            5,
            "requests to make: 5m 1",
            "python fetch.py history impute",
        ),
        (want_another_ticker, "features", 5, "SBIN", "fetch.py history impute"),
        (tear_candles, "candles", 5, "TCS", "python fetch.py history impute"),
        (lose_features, "features", 5, "stale or missing: 5m 1 files", "python fetch.py impute"),
        (lose_the_winner, "winner", 5, "no model", "python train.py"),
        (swap_the_model, "winner", 5, "not what its metrics tell of", "rollback"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_broken_is_found_with_its_remedy_and_its_exit_code(desk, broken, check, code, said, remedy):
    broken(desk)
    found_code, found = told(desk)

    assert CHECKS == list(found)
    assert ("wrong", code, code) == (found[check]["state"], found[check]["exit_code"], found_code)
    assert said in found[check]["said"]
    assert remedy in found[check]["remedy"]


def test_what_stops_nobody_deserves_a_look_and_changes_no_exit_code(desk):
    drop("DASHBOARD_AUTH_TOKEN")(desk)
    drop("DAILY_MAX_LOSS_R")(desk)
    put_winner(desk, b"weak", 0.01)
    code, found = told(desk)

    assert {"dashboard", "loss limit", "winner"} == {
        name for name, each in found.items() if each["state"] == "look"
    }
    assert 0 == code


def test_live_trading_without_a_loss_limit_is_wrong(desk):
    drop("DAILY_MAX_LOSS_R")(desk)
    change_config(desk, paper_trading=False)
    code, found = told(desk)

    assert (2, "wrong") == (code, found["loss limit"]["state"])


def test_a_bare_folder_gets_every_check_and_the_worst_class(tmp_path):
    """Nothing but a program: no config.json, no .env, nobody to ask."""
    nowhere = dict.fromkeys(("KITE_API_URL", "KITE_LOGIN_URL", "NSE_URL"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, str(ROOT / "fetch.py"), "--fn", "doctor", "--json"], cwd=tmp_path,
        env={**os.environ, **nowhere, "KITE_WS_URL": "ws://127.0.0.1:9"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    found = {each["check"]: each["state"] for each in json.loads(done.stdout)["results"][0]["result"]}

    assert 2 == done.returncode
    assert CHECKS == list(found)
    assert ("wrong", "wrong", "open", "wrong") == tuple(
        found[n] for n in ("config.json", ".env", "candles", "nse")
    )


def test_the_doctor_writes_nothing_and_takes_no_lock(desk):
    before = {path: path.stat().st_mtime_ns for path in desk.folder.rglob("*") if path.is_file()}
    desk.fetch("--fn", "doctor")
    after = {path: path.stat().st_mtime_ns for path in desk.folder.rglob("*") if path.is_file()}
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}

    assert [] == [path for path in changed if "logs" not in path.parts and "broker" not in path.parts]
