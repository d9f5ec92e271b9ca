"""Teaching: what a day holds, who is kept apart, what is answered, and that it goes on where it was."""

from dataclasses import replace
from math import nan

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from block import one_thread_each  # noqa: E402
from features import mirror  # noqa: E402
from learner import GIVEN, Recipe, Trainer, double_q, mirrored  # noqa: E402
from lessons import embargo_days, split  # noqa: E402
from network import DuelingDoubleDQN  # noqa: E402
from outcome import DataError  # noqa: E402
from planted import BARS  # noqa: E402
from policy import (  # noqa: E402
    Calibration,
    Manner,
    calibrated,
    calibration_error,
    q_of,
    reliability,
    said,
    score,
)
from rulebook.outcomes import NO_TRADE  # noqa: E402
from sizes import Shape  # noqa: E402
from tests.lessons_of import SMALL_SHAPE as SHAPE  # noqa: E402
from tests.lessons_of import small_lessons  # noqa: E402

pytestmark = pytest.mark.torch
QUICK = Recipe(steps=6, bootstrapped=0, warm_up=2, batch=128, target_every=4)


@pytest.fixture(scope="module")
def lessons():
    return small_lessons()


@pytest.fixture(scope="module")
def days(lessons):
    return split(lessons, SHAPE, range(42, 48))


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors; more threads only wait for each other, the more so on a busy machine."""
    with one_thread_each():
        yield


def network(seed: int = 1) -> DuelingDoubleDQN:
    torch.manual_seed(seed)
    return DuelingDoubleDQN(SHAPE)


def weights(trainer: Trainer) -> list[float]:
    return [float(x) for p in trainer.network.parameters() for x in p.detach().flatten()]


# --- days -----------------------------------------------------------------------------------------------


def test_days_of_three_purposes_share_none_and_stay_away_from_the_holdout(lessons, days):
    apart = embargo_days(lessons, SHAPE)
    used = np.concatenate([days.training, days.validation])

    assert list(range(42, 48)) == days.holdout.tolist()
    assert len(used) == len(set(used))
    assert days.training.max() < days.validation.min()
    assert used.max() < 42 - apart
    assert 2 == embargo_days(lessons, Shape(29, {"5m": 64, "15m": 32}))
    assert 6 == embargo_days(lessons, Shape(29, {"5m": 256, "15m": 128}))


def test_the_first_days_lack_their_history_and_are_not_used(lessons, days):
    def bars_at(day: int) -> list[int]:
        """How many bars of each timeframe its first decision could look back on."""
        first = lessons.rows_of(np.array([day]))[0]
        return [int(last[first]) + 1 for last in lessons.panel.last]

    wanted = [each.lookback for each in SHAPE.encodings]

    assert all(has >= want for has, want in zip(bars_at(days.training[0]), wanted, strict=True))
    assert any(has < want for has, want in zip(bars_at(days.training[0] - 1), wanted, strict=True))
    assert days.training[0] > 0


def test_too_little_history_is_refused_with_what_is_missing(lessons):
    with pytest.raises(DataError, match=r"\d+ days to learn from, 24 wanted"):
        split(lessons, SHAPE, range(24, 48))


def test_a_holdout_without_its_own_history_is_refused(lessons):
    with pytest.raises(DataError, match="the holdout reaches into days"):
        split(lessons, SHAPE, [0, 1])


def test_a_batch_holds_what_was_closed_by_each_decision(lessons, days):
    rows = lessons.rows_of(days.training)[[0, 1, 40, 77]]
    batch = lessons.batch(rows, SHAPE)
    for number, encoding in enumerate(SHAPE.encodings):
        for place, row in enumerate(rows):
            last = lessons.panel.last[number][row]
            closes_s = lessons.panel.opened_s[row] + 300
            expected = lessons.panel.features[number][last - encoding.lookback + 1 : last + 1]

            assert np.array_equal(expected, batch.windows[number][place].numpy())
            assert closes_s - {"5m": 300, "15m": 900}[encoding.timeframe] >= opened(lessons, number)[last]
    assert batch.is_there.all()
    assert lessons.outcomes.r[1, rows[2], 3] == batch.r[2, 3, 1]


def opened(lessons, number: int):
    """Opening seconds of a timeframe's rows: every bar of these markets is there."""
    base = lessons.panel.opened_s
    return base if number == 0 else base[::3]


def test_a_trade_ends_within_its_day(lessons):
    known, day = lessons.is_known, lessons.market.table.day
    side, row, ticker = np.nonzero(known)
    ends = lessons.outcomes.exit_row[side, row, ticker]

    assert (ends > row).all()
    assert (day[ends] == day[row]).all()
    assert (lessons.outcomes.exit_row[~known] == NO_TRADE).all()
    assert 0.8 < known.mean() < 0.95


# --- answers --------------------------------------------------------------------------------------------


def test_the_choice_is_the_networks_and_the_value_its_copys():
    own = torch.tensor([[[0.0, 9, 1], [7, 0, 0]]])
    other = torch.tensor([[[4.0, 5, 6], [7, 8, 9]]])
    allowed = torch.ones(1, 2, 2, dtype=torch.bool)

    assert [[5, 7]] == double_q(own, other, allowed).tolist()
    assert [[6, 9]] == double_q(own, other, ~allowed).tolist(), "what may not be traded is not chosen"


def test_upside_down_and_back_is_the_same_and_once_is_another(lessons, days):
    batch = lessons.batch(lessons.rows_of(days.training)[:2], SHAPE)
    flips = torch.tensor([True, False])
    once = mirrored(batch, mirror(2), flips)
    twice = mirrored(once, mirror(2), flips)

    assert all(torch.equal(a, b) for a, b in zip(batch.windows, twice.windows, strict=True))
    assert torch.equal(batch.r[0, :, 0], once.r[0, :, 1])
    assert torch.equal(batch.r[1], once.r[1])
    assert not torch.equal(batch.windows[0][0], once.windows[0][0])
    assert torch.equal(batch.windows[0][1], once.windows[0][1])


# --- teaching -------------------------------------------------------------------------------------------


def trainer_of(lessons, days, recipe: Recipe = QUICK, seed: int = 1, threads: int = 1) -> Trainer:
    return Trainer(network(seed), lessons, days, recipe, threads)


@pytest.mark.parametrize("bootstrapped", [0, 7])
def test_a_training_that_was_broken_off_ends_where_a_whole_one_does(lessons, days, bootstrapped):
    recipe = replace(QUICK, bootstrapped=bootstrapped)
    whole = trainer_of(lessons, days, recipe)
    steps = recipe.steps + bootstrapped
    whole_told = list(whole.steps(steps))
    for stop in (2, steps - 3):
        torch.manual_seed(99)
        first = trainer_of(lessons, days, recipe)
        list(first.steps(stop))
        again = Trainer(network(2), lessons, days, recipe)
        again.restore(first.state())
        told = list(again.steps(steps))

        assert whole_told[stop:] == told
        assert weights(whole) == weights(again)


def test_more_threads_change_nothing_but_time(lessons, days):
    one, three = trainer_of(lessons, days, threads=1), trainer_of(lessons, days, threads=3)

    assert list(one.steps(4)) == list(three.steps(4))
    assert weights(one) == weights(three)


def test_another_seed_is_another_training(lessons, days):
    found = [list(trainer_of(lessons, days, replace(QUICK, seed=seed)).steps(3)) for seed in (1, 2)]

    assert found[0] != found[1]
    assert all(np.isfinite(told.loss) and told.gradient > 0 for told in found[0])


def test_it_learns_by_heart_what_it_is_shown_again_and_again(lessons, days):
    few = replace(days, training=days.training[:1])
    recipe = Recipe(steps=150, noise=0, mirrored=0, warm_up=5, mean_dropout=0, max_dropout=0, lr=3e-3)
    told = list(trainer_of(lessons, few, recipe).steps(150))

    assert np.mean([each.loss for each in told[-9:]]) < 0.7 * np.mean([each.loss for each in told[:9]])


def test_the_bootstrap_goes_by_the_copy_that_is_renewed(lessons, days):
    recipe = replace(QUICK, steps=0, bootstrapped=4, target_every=100, gamma=1.0)
    losses = []
    for raised in (0.0, 3.0):
        trainer = trainer_of(lessons, days, recipe)
        list(trainer.steps(1))
        trainer.target.state_dict()["value.2.bias"] += raised
        losses.append(next(trainer.steps(2)).loss)

    assert losses[1] > losses[0] + 1, "a copy that promises 3 R more asks for 3 R more"


def test_epsilon_falls_along_its_steps_and_stays(lessons):
    assert [0.10, 0.055, 0.01, 0.01] == [
        pytest.approx(GIVEN.epsilon(step)) for step in (0, 25_000, 50_000, 90_000)
    ]


def test_features_are_scaled_on_training_days_only(lessons, days):
    changed = replace(lessons.panel, features=tuple(x.copy() for x in lessons.panel.features))
    changed.features[0][lessons.rows_of(days.validation)] = nan
    changed.features[0][lessons.rows_of(days.holdout)] = nan
    trainer = trainer_of(replace(lessons, panel=changed), days)

    assert torch.isfinite(trainer.network.center).all()
    assert torch.isfinite(trainer.network.scale).all()


# --- what it then says ----------------------------------------------------------------------------------


def clairvoyant(lessons, rows, noise: float = 0.0):
    r = np.moveaxis(lessons.outcomes.r[:, rows], 0, -1)
    q = np.concatenate([r, np.zeros((*r.shape[:-1], 1))], axis=-1)
    return q + np.random.default_rng(1).normal(0, noise, q.shape) if noise else q


def test_a_margin_above_all_says_nothing_and_the_oracle_of_outcomes_earns(lessons, days):
    rows = lessons.rows_of(days.validation)
    q = clairvoyant(lessons, rows)
    silent = score(lessons, days.validation, said(lessons, rows, q, Manner(99)))
    found = score(lessons, days.validation, said(lessons, rows, q, Manner(0.5)))

    assert (0, 0.0) == (silent.trades, silent.total_r)
    assert found.r_a_day > 3
    assert pytest.approx(found.total_r) == found.daily_r.sum()


def test_confidence_is_fitted_to_how_often_it_is_right(lessons, days):
    rows = lessons.rows_of(days.training)
    q = clairvoyant(lessons, rows, noise=1.5)
    fitted = calibrated(lessons, rows, q)
    errors = [calibration_error(reliability(lessons, rows, q, each)) for each in (fitted, Calibration())]

    assert errors[0] < 0.05 < errors[1]


def test_answers_cover_the_decisions_that_are_asked_on_any_number_of_threads(lessons, days):
    rows = lessons.rows_of(days.holdout)
    q = q_of(network().eval(), lessons, rows, threads=1)

    assert (6 * BARS, 8, 3) == q.shape
    assert np.isfinite(q).all()
    assert np.array_equal(q, q_of(network().eval(), lessons, rows, threads=3))
