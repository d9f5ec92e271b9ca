"""The names that other code knows: what an engine answers is what the walk was told, for the same moment."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from block import one_thread_each  # noqa: E402
from learner import scale_features  # noqa: E402
from lessons import split  # noqa: E402
from ml import DuelingDoubleDQN, InferenceEngine, make_features  # noqa: E402
from planted import Kind, market  # noqa: E402
from policy import Calibration, Manner, q_of, said  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.lessons_of import CALENDAR, SMALL_SHAPE, small_lessons  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def lessons():
    return small_lessons()


@pytest.fixture(scope="module")
def engine(lessons):
    torch.manual_seed(3)
    network = DuelingDoubleDQN(SMALL_SHAPE)
    scale_features(network, lessons, split(lessons, SMALL_SHAPE, range(42, 48)))
    q = q_of(network, lessons, lessons.rows_of(np.array([20])))
    above = q[..., :2].max(axis=-1) - q[..., 2]
    Manner(round(float(np.median(above)), 3), Calibration(0.7, 0.1)).give_to(network)
    return InferenceEngine(network, lessons.market.tickers)


def windows_at(lessons, row: int):
    seen = lessons.windows(np.array([row]), SMALL_SHAPE)
    return {name: x[0].numpy() for name, x in zip(SMALL_SHAPE.lookbacks, seen, strict=True)}


def test_an_engine_says_what_the_walk_was_told(lessons, engine):
    """But where Q stands on the margin to a hair: sums over one window and over many round differently."""
    rows, tickers = lessons.rows_of(np.array([20, 21])), lessons.market.tickers
    with one_thread_each():
        q = q_of(engine.network, lessons, rows, threads=1)
        found = [engine.decide(windows_at(lessons, row), lessons.panel.is_there[row]) for row in rows]
    signals = said(lessons, rows, q, engine.manner)
    is_clear = np.abs(q[..., :2].max(axis=-1) - q[..., 2] - engine.manner.margin) > 1e-5
    names = {1: "BUY", -1: "SELL", 0: "HOLD"}
    expected = np.vectorize(names.get)(signals.action[rows])
    actions, sure = (np.array([[each[name][n] for name in tickers] for each in found]) for n in (0, 1))
    acted = is_clear & (signals.action[rows] != 0)

    assert expected[is_clear].tolist() == actions[is_clear].tolist()
    assert is_clear.mean() > 0.9
    assert 0 < acted.sum() < acted.size
    assert np.allclose(sure[acted], signals.confidence[rows][acted], atol=1e-6)
    assert ((sure > 1 / 3 - 1e-9) | ~acted).all() and (sure <= 1).all()


def test_who_is_not_there_is_not_answered_for(lessons, engine):
    is_there = lessons.panel.is_there[1600].copy()
    is_there[2] = False

    assert {"STOCK3"} == set(lessons.market.tickers) - set(engine.decide(windows_at(lessons, 1600), is_there))


def test_features_that_are_no_numbers_are_refused_by_name(lessons, engine):
    seen = windows_at(lessons, 1600)
    seen["15m"][3, 2, 1] = np.nan

    with pytest.raises(ValueError, match="features of 15m are no numbers"):
        engine.decide(seen, lessons.panel.is_there[1600])


def test_features_of_frames_are_those_of_the_store(lessons, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = json.loads((ROOT / "config.json").read_text()) | {"lookbacks": dict(SMALL_SHAPE.lookbacks)}
    frames = market(Kind.SHOCK, 70, 5, CALENDAR, days=48).frames
    found = make_features({name: {"5m": frame} for name, frame in frames.items()}, cfg)

    assert ["5m"] == list(found["STOCK4"])
    own = slice(0, 24)  # of the market's columns one needs the industries, which are not in this folder

    assert np.array_equal(lessons.panel.features[0][:, 3, own], found["STOCK4"]["5m"][:, own])
