"""The stages of learning as the user types them: each alone, what it makes, what it takes, what it refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import checkpoint  # noqa: E402
from candle_store import replace_candles  # noqa: E402
from facts import read_calendar  # noqa: E402
from planted import Kind, market  # noqa: E402
from sessions_grid import Grid, resampled  # noqa: E402
from tests.conftest import CANARIES, ROOT, House  # noqa: E402
from tests.lessons_of import CALENDAR, ORIGIN  # noqa: E402
from train import build_model, load_checkpoint, load_features, populate_replay  # noqa: E402

pytestmark = pytest.mark.torch
FEW = ("--steps", "8", "--batch-size", "64")


def furnish(house: House, days: int = 44, drift_bp: float = 70, **changes: object) -> dict[str, Any]:
    """Candles of eight planted stocks and a configuration for them."""
    planted = market(Kind.SHOCK, drift_bp, 5, CALENDAR, days=days)
    config: dict[str, Any] = json.loads((house.folder / "config.json").read_text())
    config |= {
        "tickers": list(planted.frames),
        "lookbacks": {"5m": 16, "15m": 8},
        "holdout": {"last_sessions": 6},
    }
    config["from_dates"] = dict.fromkeys(config["from_dates"], "2023-01-02")
    config |= changes
    (house.folder / "config.json").write_text(json.dumps(config))
    raw, grid = house.folder / config["paths"]["raw"], Grid(read_calendar(ROOT / "config"), "5m")
    for name, frame in planted.frames.items():
        replace_candles(raw, name, "5m", frame, ORIGIN)
        replace_candles(raw, name, "15m", resampled(frame, grid, "15m"), ORIGIN)
    return config


@pytest.fixture(scope="module")
def furnished(tmp_path_factory) -> House:
    house = House(tmp_path_factory.mktemp("house"))
    furnish(house)
    return house


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["results"][-1]["result"]
    return found


def train(house: House, function: str, *args: str) -> subprocess.CompletedProcess[str]:
    return house.run("train", "--json", "--fn", function, *args)


# --- each alone, one after the other ------------------------------------------------------------------------


def test_each_stage_makes_what_is_missing_and_takes_what_is_there(furnished):
    features = train(furnished, "make_features")
    first = train(furnished, "backtrace_train")
    fitted = train(furnished, "fit", *FEW)
    again = train(furnished, "fit", *FEW)
    holdout = train(furnished, "backtrace_holdout", *FEW)

    assert {"5m": 44 * 75 * 8, "15m": 44 * 25 * 8} == result(features)["bars"]
    assert "features of 5m: 0 files made, 8 reused" in first.stderr
    assert "said-train.npz: made, by an untaught one, seed 0" in first.stderr
    assert {"R", "MAE(R)", "%MFE", "IS", "plan_adherence"} == set(result(first)["means"])
    assert "teaching: from the beginning to 8" in fitted.stderr
    assert "reused, taught" in again.stderr
    assert result(fitted) == result(again)
    assert f"by the network {result(fitted)['model_hash'][:12]}" in holdout.stderr


def test_what_was_taught_is_a_model_a_card_and_two_curves(furnished):
    found = result(train(furnished, "fit", *FEW))
    card = json.loads(Path(found["card"]).read_text())
    looks = json.loads(Path(found["looks"]).read_text())

    assert {"5m": 16, "15m": 8} == card["lookbacks"]
    assert 2 == card["feature_version"]
    assert len(looks) > 6 and {"step", "loss", "gradient", "q_most", "r_a_day"} <= set(looks[0])
    assert Path(found["picture"]).read_text().startswith("<svg")
    assert checkpoint.read(Path(found["model"])).card.model_hash == found["model_hash"]


def test_the_functions_that_other_code_calls(furnished, monkeypatch):
    monkeypatch.chdir(furnished.folder)
    cfg = json.loads(Path("config.json").read_text())
    path = result(train(furnished, "fit", *FEW))["model"]
    model = build_model(cfg)
    before = [p.clone() for p in model.parameters()]
    load_checkpoint(model, "nothing/of/that/name")
    untouched = [torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    load_checkpoint(model, path)
    memory = populate_replay(cfg, holdout=True)

    assert all(untouched)
    assert not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert (44 * 75, 29) == load_features(cfg)["STOCK3"]["5m"].shape
    assert 6 * 75 * 8 >= len(memory) > 6 * 75 * 5


# --- broken off -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(furnished) -> dict[str, Any]:
    """A training that nobody disturbed."""
    return result(train(furnished, "fit", "--steps", "24", "--batch-size", "64", "--seed", "7"))


@pytest.mark.long
@pytest.mark.parametrize("lines", [1, 3])
def test_a_training_that_was_killed_ends_with_the_same_weights_to_the_bit(tmp_path, furnished, whole, lines):
    path = str(tmp_path / "model.safetensors")
    command = [sys.executable, str(ROOT / "train.py"), "--fn", "fit", "--steps", "24", "--batch-size", "64",
               "--seed", "7", "--checkpoint-path", path]  # fmt: skip
    with subprocess.Popen(
        command, cwd=furnished.folder, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as child:
        assert child.stderr is not None
        seen = 0
        for line in child.stderr:
            assert not any(canary in line for canary in CANARIES.values())
            seen += "validation" in line
            if seen == lines:
                child.send_signal(signal.SIGKILL)
                break
    again = train(
        furnished, "fit", "--steps", "24", "--batch-size", "64", "--seed", "7", "--checkpoint-path", path
    )

    assert "teaching: going on from step" in again.stderr
    assert whole["model_hash"] == result(again)["model_hash"]


# --- refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tickers": []}, "config.json has no tickers"),
        ({"holdout": {"last_sessions": 44}}, "reaches into days whose own history is too short"),
        ({"holdout": {"last_sessions": 25}}, "days to learn from, 24 wanted"),
        ({"lookbacks": {"5m": 2000, "15m": 8}}, "days to learn from, 24 wanted"),
        ({"tickers": ["STOCK1", "NOBODY"]}, "NOBODY"),
    ],
)
def test_what_cannot_be_taught_is_said_in_a_sentence(tmp_path, changes, complaint):
    house = House(tmp_path)
    furnish(house, **changes)
    done = house.run("train", "--fn", "fit", *FEW)

    assert 5 == done.returncode
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_of_other_settings_is_refused_and_named(tmp_path, furnished):
    house = House(tmp_path)
    furnish(house, trailing_stop_r=2.0)
    path = result(train(furnished, "fit", *FEW))["model"]
    done = house.run("train", "--fn", "fit", *FEW, "--checkpoint-path", str(path))

    assert 5 == done.returncode
    assert "taught with other settings, candles or features" in done.stderr


def test_a_torn_model_is_named_with_the_remedy(furnished, tmp_path):
    path = tmp_path / "model.safetensors"
    whole = result(train(furnished, "fit", *FEW, "--checkpoint-path", str(path)))
    path.write_bytes(path.read_bytes()[:-7])
    done = furnished.run("train", "--fn", "fit", *FEW, "--checkpoint-path", str(path))

    assert 5 == done.returncode
    assert "does not match its card's hash" in done.stderr
    assert "remove model.safetensors and model.safetensors.json, then" in done.stderr

    path.unlink()
    checkpoint.card_path(path).unlink()
    again = result(train(furnished, "fit", *FEW, "--checkpoint-path", str(path)))

    assert whole["model_hash"] == again["model_hash"]


def test_one_ticker_is_a_market_of_one(tmp_path):
    house = House(tmp_path)
    furnish(house, tickers=["STOCK1"])

    assert result(train(house, "fit", *FEW))["steps"] > 0


def test_a_ticker_without_data_for_half_the_time_is_not_there_and_disturbs_nobody(tmp_path):
    house = House(tmp_path)
    config = furnish(house)
    raw = house.folder / config["paths"]["raw"]
    planted = market(Kind.SHOCK, 70, 5, CALENDAR, days=44)
    frame = planted.frames["STOCK2"].iloc[22 * 75 :]
    replace_candles(raw, "STOCK2", "5m", frame, ORIGIN)
    replace_candles(raw, "STOCK2", "15m", resampled(frame, Grid(CALENDAR, "5m"), "15m"), ORIGIN)
    found = result(train(house, "fit", *FEW))
    looks = json.loads(Path(found["looks"]).read_text())

    assert np.isfinite([look["loss"] for look in looks]).all()
