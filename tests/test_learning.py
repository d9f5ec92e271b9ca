"""Teaching: what a day holds, who is kept apart, what is answered, and that it goes on where it was."""

from dataclasses import replace
from math import nan

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from features import NAMES, mirror  # noqa: E402
from learner import Recipe, Teacher, double_q, mirrored  # noqa: E402
from lessons import Batch, embargo_days, split  # noqa: E402
from network import HOLD, DuelingDoubleDQN, Shape  # noqa: E402
from outcome import DataError  # noqa: E402
from planted import BARS, Kind, market  # noqa: E402
from policy import Calibration, calibrated, calibration_error, q_of, reliability, said, score  # noqa: E402
from tests.lessons_of import CALENDAR, lessons_of  # noqa: E402

pytestmark = pytest.mark.torch
SHAPE = Shape(len(NAMES[2]), {"5m": 16, "15m": 8})
QUICK = Recipe(steps=6, warm_up=2, days_a_step=2, target_every=4)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    planted = market(Kind.SHOCK, 70, 5, CALENDAR, days=48)
    return lessons_of(planted, tmp_path_factory.mktemp("raw"), dict(SHAPE.lookbacks))


@pytest.fixture(scope="module")
def days(lessons):
    return split(lessons, SHAPE, range(42, 48))


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors; more threads only wait for each other, the more so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(seed: int = 1) -> DuelingDoubleDQN:
    torch.manual_seed(seed)
    return DuelingDoubleDQN(SHAPE)


def weights(teacher: Teacher) -> list[float]:
    return [float(x) for p in teacher.network.parameters() for x in p.detach().flatten()]


# --- days -----------------------------------------------------------------------------------------------


def test_days_of_three_purposes_share_none_and_stay_away_from_the_holdout(lessons, days):
    apart = embargo_days(SHAPE, BARS)
    used = np.concatenate([days.training, days.validation])

    assert list(range(42, 48)) == days.holdout.tolist()
    assert len(used) == len(set(used))
    assert days.training.max() < days.validation.min()
    assert used.max() < 42 - apart
    assert 2 == embargo_days(Shape(27, {"5m": 64, "15m": 32}), BARS)
    assert 6 == embargo_days(Shape(27, {"5m": 256, "15m": 128}), BARS)


def test_the_first_days_lack_their_history_and_are_not_used(lessons, days):
    def rows_before(day: int) -> list[int]:
        """How many more than its halo stand before the day's first decision, by timeframe."""
        first = lessons.rows(np.array([day]))[0, 0]
        return [
            int(last[first]) - each.halo
            for last, each in zip(lessons.panel.last, SHAPE.encodings, strict=True)
        ]

    assert min(rows_before(days.training[0])) >= 0
    assert min(rows_before(days.training[0] - 1)) < 0
    assert days.training[0] > 0


def test_too_little_history_is_refused_with_what_is_missing(lessons):
    with pytest.raises(DataError, match=r"\d+ days to learn from, 24 wanted"):
        split(lessons, SHAPE, range(24, 48))


def test_a_holdout_without_its_own_history_is_refused(lessons):
    with pytest.raises(DataError, match="the holdout reaches into days"):
        split(lessons, SHAPE, [0, 1])


def test_a_batch_holds_what_was_closed_by_each_decision(lessons, days):
    batch = lessons.batch(days.training[:2], SHAPE)
    rows = lessons.rows(days.training[:2])
    for number, encoding in enumerate(SHAPE.encodings):
        history, place = batch.histories[number], batch.places[number]
        for bar in (0, 1, 40, BARS - 1):
            at = lessons.panel.last[number][rows[1, bar]]
            read = history[1, :, encoding.halo + int(place[1, bar])]

            assert torch.equal(torch.from_numpy(lessons.panel.features[number][at]), read)
    assert batch.is_there.all()
    assert lessons.outcomes.r[1, rows[0, 20], 3] == batch.r[0, 20, 3, 1]


def test_a_trade_ends_within_its_day(lessons, days):
    batch = lessons.batch(days.training, SHAPE)
    bars = torch.arange(BARS).view(1, BARS, 1, 1).expand_as(batch.exit_bar)

    assert (batch.exit_bar > bars)[batch.is_known].all()
    assert (batch.exit_bar < BARS)[batch.is_known].all()
    assert 0.8 < batch.is_known.float().mean() < 0.95


# --- answers --------------------------------------------------------------------------------------------


def test_the_double_q_of_a_small_day_by_hand():
    """Three bars, one ticker. Own choice at bar 1 is SELL, worth 5 to the other network; at bar 2 the end."""
    own = torch.tensor([[[[0.0, 1, 2]], [[0, 9, 1]], [[7, 0, 0]]]])
    other = torch.tensor([[[[1.0, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]]])
    r = torch.tensor([[[[0.5, -0.5]], [[0.25, 0.75]], [[0.0, 0.0]]]])
    ends = torch.tensor([[[[1, 2]], [[2, 2]], [[0, 0]]]])
    known = torch.tensor([[[[True, True]], [[True, True]], [[False, False]]]])
    there = torch.ones(1, 3, 1, dtype=torch.bool)
    batch = Batch([], [], there, r, known, ends, there)

    found = double_q(r, own, other, batch, 0.9)[0, :, 0]

    assert pytest.approx([0.5 + 0.9 * 5, -0.5, 0.9 * 5]) == found[0].tolist()
    assert pytest.approx([0.25, 0.75, 0]) == found[1].tolist()


def test_what_may_not_be_traded_is_not_chosen():
    own = torch.tensor([[[[0.0, 0, 0]], [[9, 9, 0]], [[0, 0, 0]]]])
    other = torch.tensor([[[[0.0, 0, 0]], [[5, 6, 7]], [[0, 0, 0]]]])
    there = torch.ones(1, 3, 1, dtype=torch.bool)
    nothing = torch.zeros(1, 3, 1, 2)
    batch = Batch([], [], there, nothing, nothing > 0, nothing.long(), there)

    assert pytest.approx(0.5 * 7) == double_q(nothing, own, other, batch, 0.5)[0, 0, 0, HOLD].item()


def test_upside_down_and_back_is_the_same_day_and_once_is_another(lessons, days):
    batch = lessons.batch(days.training[:1], SHAPE)
    columns = mirror(2)
    once, twice = mirrored(batch, columns), mirrored(mirrored(batch, columns), columns)

    assert all(torch.equal(a, b) for a, b in zip(batch.histories, twice.histories, strict=True))
    assert torch.equal(batch.r[..., 0], once.r[..., 1])
    assert not torch.equal(batch.histories[0], once.histories[0])


# --- teaching -------------------------------------------------------------------------------------------


def test_a_training_that_was_broken_off_ends_where_a_whole_one_does(lessons, days):
    whole = Teacher(network(), lessons, days, QUICK)
    whole_told = list(whole.steps(9))
    for stop in (2, 7):
        torch.manual_seed(99)
        first = Teacher(network(), lessons, days, QUICK)
        list(first.steps(stop))
        state = first.state()
        again = Teacher(network(2), lessons, days, QUICK)
        again.restore(state)
        told = list(again.steps(9))

        assert whole_told[stop:] == told
        assert weights(whole) == weights(again)


def test_another_seed_is_another_training(lessons, days):
    found = [list(Teacher(network(), lessons, days, replace(QUICK, seed=seed)).steps(3)) for seed in (1, 2)]

    assert found[0] != found[1]
    assert all(np.isfinite(told.loss) and told.gradient > 0 for told in found[0])


def test_it_learns_by_heart_what_it_is_shown_again_and_again(lessons, days):
    few = replace(days, training=days.training[:2])
    recipe = Recipe(steps=60, days_a_step=2, noise=0, drift=0, thinning=0, mirrored=0, warm_up=5,
                    mean_dropout=0, max_dropout=0)  # fmt: skip
    plain = DuelingDoubleDQN(SHAPE)
    told = list(Teacher(plain, lessons, few, recipe).steps(60))

    assert np.mean([each.loss for each in told[-5:]]) < 0.7 * np.mean([each.loss for each in told[:5]])


def test_features_are_scaled_on_training_days_only(lessons, days):
    changed = replace(lessons.panel, features=tuple(x.copy() for x in lessons.panel.features))
    changed.features[0][lessons.rows(days.validation)] = nan
    changed.features[0][lessons.rows(days.holdout)] = nan
    teacher = Teacher(network(), replace(lessons, panel=changed), days, QUICK)

    assert torch.isfinite(teacher.network.center).all()
    assert torch.isfinite(teacher.network.scale).all()


# --- what it then says ----------------------------------------------------------------------------------


def test_a_margin_above_all_says_nothing_and_the_oracle_of_outcomes_earns(lessons, days):
    rows = lessons.rows(days.validation)
    r = np.moveaxis(lessons.outcomes.r[:, rows], 0, -1)
    clairvoyant = np.concatenate([r, np.zeros((*r.shape[:-1], 1))], axis=-1)
    silent = score(lessons, days.validation, said(lessons, days.validation, clairvoyant, 99, Calibration()))
    found = score(lessons, days.validation, said(lessons, days.validation, clairvoyant, 0.5, Calibration()))

    assert (0, 0.0) == (silent.trades, silent.total_r)
    assert found.r_a_day > 3
    assert pytest.approx(found.total_r) == found.daily_r.sum()


def test_confidence_is_fitted_to_how_often_it_is_right(lessons, days):
    rng = np.random.default_rng(1)
    rows = lessons.rows(days.training)
    r = np.moveaxis(lessons.outcomes.r[:, rows], 0, -1)
    q = np.concatenate([r, np.zeros((*r.shape[:-1], 1))], axis=-1) + rng.normal(0, 1.5, (*r.shape[:-1], 3))
    fitted = calibrated(lessons, days.training, q)
    errors = [
        calibration_error(reliability(lessons, days.training, q, each)) for each in (fitted, Calibration())
    ]

    assert errors[0] < 0.05 < errors[1]


def test_answers_cover_the_days_that_are_asked(lessons, days):
    q = q_of(network().eval(), lessons, days.holdout)

    assert (6, BARS, 8, 3) == q.shape
    assert np.isfinite(q).all()
