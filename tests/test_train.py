"""train.py as the user runs it."""

import json

import pytest

torch = pytest.importorskip("torch")

from settings import load_config  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from train import build_model  # noqa: E402

pytestmark = pytest.mark.torch


def test_the_layer_table_adds_up_to_the_network_that_is_built(house):
    done = house.run("train", "--fn", "build_model", "--json")
    found = json.loads(done.stdout)["results"][0]["result"]
    weights = sum(p.numel() for p in build_model(load_config(ROOT / "config.json")).parameters())

    assert (0, "") == (done.returncode, done.stderr)
    assert weights == found["parameters"] == sum(layer["parameters"] for layer in found["layers"])
    assert found["multiply_adds"] == sum(layer["multiply_adds"] for layer in found["layers"])


def test_the_layer_table_is_for_people_too(house):
    done = house.run("train", "--fn", "build_model")

    assert 0 == done.returncode
    assert "encoder 5m" in done.stdout
    assert "29 -> 87 channels, 4 blocks of kernel 33, pooled over 256" in done.stdout


def test_the_base_timeframe_comes_first_whatever_the_order_in_the_file():
    cfg = load_config(ROOT / "config.json")
    turned = {**cfg, "timeframes": cfg["timeframes"][::-1]}

    assert ["5m", "15m"] == list(build_model(turned).shape.lookbacks)
