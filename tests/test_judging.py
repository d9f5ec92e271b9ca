"""From a taught network to a winner: judged on the holdout, logged, promoted by evidence, rolled back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import winner  # noqa: E402
from outcome import DataError  # noqa: E402
from tests.conftest import House  # noqa: E402
from tests.test_training import furnish, result, train  # noqa: E402
from train import build_model, evaluate, load_checkpoint, maybe_promote_winner, populate_replay  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.long]
TAUGHT = ("--steps", "200")
STRONG = {
    "capital_per_ticker": 100_000.0,
    "risk": {"min_stop_cost_multiple": 1.0},
    "holdout": {"last_sessions": 24},
}


@pytest.fixture(scope="module")
def strong(tmp_path_factory) -> House:
    """An edge so strong that a short training finds it."""
    house = House(tmp_path_factory.mktemp("strong"))
    furnish(house, days=70, drift_bp=300, **STRONG)
    result(train(house, "fit", *TAUGHT))
    return house


@pytest.fixture(scope="module")
def crowned(strong, tmp_path_factory) -> House:
    """The same after its promotion, whose answer lies beside."""
    house = _copied(strong, tmp_path_factory.mktemp("crowned"))
    (house.folder / "answer.json").write_text(json.dumps(result(train(house, "promote"))))
    return house


@pytest.fixture
def own(strong, tmp_path) -> House:
    """A house of one's own, with what was taught in the other."""
    return _copied(strong, tmp_path)


@pytest.fixture
def kingdom(crowned, tmp_path) -> House:
    return _copied(crowned, tmp_path)


def _copied(house: House, folder: Path) -> House:
    shutil.copytree(house.folder, folder, dirs_exist_ok=True)
    found = House.__new__(House)
    found.folder = folder
    return found


def promotion_of(house: House) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((house.folder / "answer.json").read_text())
    return found


def test_a_network_that_found_the_edge_becomes_the_winner_and_beats_every_baseline(kingdom):
    own, found = kingdom, promotion_of(kingdom)
    metrics = json.loads((own.folder / "models/winner/metrics.json").read_text())
    log = (own.folder / "models/checkpoints/experiments.jsonl").read_text().splitlines()

    assert found["verdict"]["is_promoted"]
    assert {"avg_reward", "evaluated_at", "steps", "model_hash"} <= set(metrics)
    assert metrics["avg_reward"] == found["policy"]["avg_reward"] > 0
    assert (
        metrics["model_hash"]
        == found["model_hash"]
        == winner.load(own.folder / "models/winner").card.model_hash
    )
    assert ["passed"] == [json.loads(line)["outcome"] for line in log]


def test_the_same_model_is_not_better_than_itself_and_another_try_is_counted_once(kingdom):
    own = kingdom
    again = result(train(own, "promote"))
    sentences = [reason["sentence"] for reason in again["verdict"]["reasons"] if not reason["is_met"]]

    assert again["version"] is None
    assert any("more than the current winner's" in sentence for sentence in sentences)
    assert any("after 1 attempt" in r["sentence"] for r in again["verdict"]["reasons"])


def test_a_worse_one_is_refused_and_the_winner_stays(kingdom):
    own, first = kingdom, promotion_of(kingdom)
    train(own, "fit", "--steps", "6", "--seed", "3")
    worse = result(train(own, "promote"))
    text = own.run("train", "--fn", "eval").stdout

    assert worse["version"] is None
    assert first["model_hash"] == winner.load(own.folder / "models/winner").card.model_hash
    assert "winner" in text and "not promoted" in text
    assert "after 2 attempts" in text


def test_rollback_without_an_earlier_winner_says_so(kingdom):
    done = train(kingdom, "rollback")

    assert 5 == done.returncode
    assert "no earlier winner to go back to" in done.stderr


def test_the_contract_s_functions_promote_on_evidence_alone(own, monkeypatch):
    monkeypatch.chdir(own.folder)
    cfg = json.loads(Path("config.json").read_text())
    path = result(train(own, "load_ckpt"))["path"]
    model = build_model(cfg)
    load_checkpoint(model, path)
    metrics = evaluate(model, populate_replay(cfg, holdout=True))

    with pytest.raises(DataError, match="not those of"):
        maybe_promote_winner({**metrics, "avg_reward": 99.0}, path, "models/winner")
    with pytest.raises(DataError, match="no model there"):
        maybe_promote_winner(metrics, "nothing.safetensors", "models/winner")
    assert not winner.is_there(Path("models/winner"))
    assert maybe_promote_winner(metrics, path, "models/winner")
    assert not maybe_promote_winner(metrics, path, "models/winner")


def test_a_rolling_holdout_is_frozen_to_its_dates(own):
    rolling = result(train(own, "eval"))
    found = result(train(own, "roll_holdout"))
    config = json.loads((own.folder / "config.json").read_text())
    days = rolling["policy"]["days"]

    assert {"start": days[0], "end": days[-1]} == found == config["holdout"]
    assert 24 == len(days)
