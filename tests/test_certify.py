"""The certificate's own parts: a reference that knows the plant and no future, a network taught for the table."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import reference  # noqa: E402
from cells import Local  # noqa: E402
from certify import RULES, Asked, certificate, lessons_of, table  # noqa: E402
from planted import Kind, market  # noqa: E402
from policy import score  # noqa: E402
from tests.lessons_of import CALENDAR  # noqa: E402

pytestmark = pytest.mark.torch
DAYS = np.arange(30, 40)


def scene(kind: Kind, drift_bp: float):
    planted = market(kind, drift_bp, 3, CALENDAR, days=40)
    return planted, lessons_of(planted)


@pytest.mark.parametrize("kind", list(Kind))
def test_who_knows_the_plant_earns_by_it_and_is_silent_without_one(kind):
    planted, lessons = scene(kind, 70)
    signals = reference.signals(planted, lessons.market, RULES, DAYS, seed=1)
    bare, without = scene(kind, 0)
    silent = reference.signals(bare, without.market, RULES, DAYS, seed=1)

    assert score(lessons, DAYS, signals).r_a_day > 5
    assert not silent.action.any()
    assert not signals.action[: 30 * 75].any(), "nothing is said off the days that were asked for"


def test_the_reference_does_not_see_the_noise_to_come():
    """Other candles from a bar on: until then the same is said, after it not."""
    planted, lessons = scene(Kind.SHOCK, 70)
    row = 33 * 75 + 40
    altered = {name: frame.copy() for name, frame in planted.frames.items()}
    for frame in altered.values():
        frame.loc[row + 1 :, ["open", "high", "low", "close"]] *= 1.02
    other = lessons_of(type(planted)(altered, planted.industries, planted.left, planted.step, planted.sigma))
    first = reference.signals(planted, lessons.market, RULES, DAYS, seed=1)
    second = reference.signals(planted, other.market, RULES, DAYS, seed=1)

    assert np.array_equal(first.action[: row + 1], second.action[: row + 1])
    assert np.array_equal(first.confidence[: row + 1], second.confidence[: row + 1])
    assert first.action[row + 1 :].any()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_row_of_the_table_is_made_once_and_kept(tmp_path):
    told: list[str] = []
    asked = Asked(("shock",), (70.0,), markets=1, seeds=1, removed=0, steps=3, bootstrapped=0)
    first = certificate(asked, tmp_path, Local(1), told.append)
    again = certificate(asked, tmp_path, Local(1), told.append)

    assert first == again
    assert "taught: 1 cells, 1 of them done before" in told
    assert first[0].bound > first[0].reference > first[0].hand > 5 > first[0].taught
    assert "shock" in table(first)
