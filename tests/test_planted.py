"""The market that we plant: candles, and an edge that is there exactly as long as it is said to be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from candle_store import complaint_about
from facts import read_calendar
from planted import BARS, DRIFT_BARS, FIRST_DAY, Kind, Planted, market

CALENDAR = read_calendar(Path(__file__).resolve().parent.parent / "config")


@pytest.fixture(scope="module", params=list(Kind))
def planted(request):
    return market(request.param, 70, 3, CALENDAR, days=60)


def log_closes(planted: Planted) -> Any:
    return np.log(np.stack([frame["close"].to_numpy() for frame in planted.frames.values()], axis=1))


def test_its_candles_are_sound(planted):
    assert [""] * 8 == [complaint_about(frame) or "" for frame in planted.frames.values()]
    assert {60 * BARS} == {len(frame) for frame in planted.frames.values()}
    assert FIRST_DAY.isoformat() <= str(planted.frames["STOCK1"]["timestamp"].iloc[0].date())


def test_the_hidden_drift_is_what_prices_do_next_on_average(planted):
    """Of the bars with drift to come, 70 basis points in all; of the others, nothing."""
    closes = log_closes(planted)
    inside = np.arange(len(closes)) % BARS < BARS - 1
    moves = closes[1:] - closes[:-1]
    coming = (planted.left > 0)[:-1] & inside[:-1, None]
    along = (moves * np.sign(planted.step[:-1]))[coming]
    other = moves[~coming & inside[:-1, None]]
    error = along.std() / np.sqrt(len(along))

    assert pytest.approx(np.abs(planted.step[:-1][coming]).mean(), abs=4 * error) == along.mean()
    assert pytest.approx(0, abs=5 * other.std() / np.sqrt(len(other))) == other.mean()


def test_a_drift_counts_down_and_is_70_basis_points_in_all(planted):
    left, step = planted.left, planted.step
    begins = (left[1:] > 0) & (left[1:] != left[:-1] - 1)

    assert set(left[1:][begins]) <= set(range(DRIFT_BARS[0], DRIFT_BARS[1] + 1))
    assert pytest.approx(70e-4) == np.abs(left * step)[1:][begins].max()
    assert begins.sum() > 300


def test_without_drift_the_same_market_has_no_edge():
    with_edge, without = (market(Kind.SHOCK, bp, 3, CALENDAR, days=20) for bp in (70, 0))

    assert not without.step.any()
    assert with_edge.left.tolist() == without.left.tolist()
    assert (with_edge.frames["STOCK2"]["volume"] == without.frames["STOCK2"]["volume"]).mean() > 0.7


def test_the_same_seed_gives_the_same_market_and_another_one_another():
    first, again, other = (market(Kind.LEAD, 45, seed, CALENDAR, days=5) for seed in (1, 1, 2))

    assert first.frames["STOCK3"].equals(again.frames["STOCK3"])
    assert not first.frames["STOCK3"].equals(other.frames["STOCK3"])


def test_who_follows_a_leader_is_never_the_leader():
    found = market(Kind.LEAD, 70, 1, CALENDAR, days=20)

    assert not found.left[:, [0, 4]].any()
    assert found.left[:, [1, 2, 3, 5, 6, 7]].any(axis=0).all()


def test_a_reversion_goes_back_to_the_average_of_the_day():
    found = market(Kind.REVERSION, 70, 1, CALENDAR, days=60)
    closes = log_closes(found).reshape(60, BARS, 8)
    average = np.cumsum(closes, axis=1) / np.arange(1, BARS + 1)[None, :, None]
    left, step = found.left.reshape(closes.shape), found.step.reshape(closes.shape)
    begins = left >= DRIFT_BARS[0]

    assert (np.sign(average - closes) == np.sign(step))[begins].mean() > 0.9
