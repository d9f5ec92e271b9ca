"""Replay and fitting: what is remembered of a policy, and which weights of a training are kept."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from block import one_thread_each  # noqa: E402
from fitting import PATIENCE, Fitting, Look, judged  # noqa: E402
from learner import Recipe, Trainer  # noqa: E402
from lessons import split  # noqa: E402
from network import DuelingDoubleDQN  # noqa: E402
from policy import Manner, said, score  # noqa: E402
from replay import Place, ReplayMemory, Transition, backtrace, explored, replayed  # noqa: E402
from sizes import HOLD  # noqa: E402
from tests.lessons_of import SMALL_SHAPE, small_lessons  # noqa: E402

pytestmark = pytest.mark.torch
QUICK = Recipe(steps=5, bootstrapped=0, warm_up=2, batch=64)


@pytest.fixture(scope="module")
def lessons():
    return small_lessons()


@pytest.fixture(scope="module")
def days(lessons):
    return split(lessons, SMALL_SHAPE, range(42, 48))


@pytest.fixture(scope="module")
def rows(lessons, days):
    return lessons.rows_of(days.training)


@pytest.fixture(scope="module")
def signals(lessons, rows):
    """Of somebody who is right rather often."""
    r = np.moveaxis(lessons.outcomes.r[:, rows], 0, -1)
    q = np.concatenate([r, np.zeros((*r.shape[:-1], 1))], axis=-1)
    return said(lessons, rows, q + np.random.default_rng(2).normal(0, 1, q.shape), Manner(1.0))


@pytest.fixture(scope="module")
def memory(lessons, rows, signals):
    found = replayed(lessons, rows, signals, seed=3)
    backtrace(found, lessons)
    return found


@pytest.fixture(autouse=True)
def one_thread():
    with one_thread_each():
        yield


# --- what is remembered -----------------------------------------------------------------------------------


def test_the_rewards_of_all_trades_are_what_the_rule_book_paid(lessons, days, signals, memory):
    found = score(lessons, days.training, signals)
    traded = memory.column("action") != HOLD

    assert found.trades == len(memory.trades) == traded.sum() > 50
    assert pytest.approx(found.total_r, rel=1e-5) == memory.column("reward")[traded].sum()
    assert not memory.column("reward")[~traded].any()


def test_a_ticker_goes_from_one_transition_to_the_next_through_its_day(lessons, rows, memory):
    """No bar is left out and none is decided twice, whatever was traded."""
    row, after, ticker, done = (memory.column(name) for name in ("row", "next_row", "ticker", "done"))
    for s in range(len(lessons.market.tickers)):
        order = np.argsort(row[ticker == s])
        starts, ends, over = (x[ticker == s][order] for x in (row, after, done))
        goes_on = over[:-1] == 0

        assert np.array_equal(ends[:-1][goes_on], starts[1:][goes_on])
        assert set(rows[np.append(np.diff(lessons.market.table.day[rows]) > 0, True)]) == set(ends[over == 1])


def test_the_steps_of_a_trade_add_up_to_its_r_and_its_measures_are_there(memory):
    for number in np.flatnonzero(memory.column("action") != HOLD)[:40]:
        transition = memory[int(number)]
        meta = transition.meta

        assert (
            pytest.approx(transition.reward, abs=1e-5)
            == sum(meta["step_rewards"])
            == pytest.approx(meta["R"])
        )
        assert {"R", "MAE(R)", "%MFE", "IS", "plan_adherence"} <= set(meta)
        assert len(meta["step_rewards"]) <= transition.next_state.row - transition.state.row + 1
        assert meta["plan_adherence"] == 100


def test_a_decision_is_remembered_where_its_outcome_is_known(lessons, memory):
    """The bar is the one at whose close it was decided: alone in the account, the trade earned as much."""
    picks = np.flatnonzero(memory.column("action") != HOLD)
    side, row, ticker = (memory.column(name)[picks] for name in ("action", "row", "ticker"))
    alone = lessons.outcomes.r[side, row, ticker]

    reasons = [memory[int(pick)].meta["exit_reason"] for pick in picks]
    undisturbed = np.array([reason in ("STOP", "TRAIL", "CLOCK") for reason in reasons])

    assert undisturbed.sum() > 20, "the rest was closed by signals"
    assert np.allclose(alone[undisturbed], memory.column("reward")[picks][undisturbed], atol=1e-4)


def test_twenty_bytes_are_kept_of_a_transition(memory):
    assert 20 == sum(memory.column(name).itemsize for name in
                     ("row", "next_row", "ticker", "action", "reward", "done", "trade"))  # fmt: skip


def test_what_others_push_comes_back_as_it_was_and_nothing_after_clear():
    memory = ReplayMemory()
    given = Transition(Place(5, 1), 0, 1.5, Place(9, 1), False, {"R": 1.5})
    memory.push(given)

    assert [given] * 3 == memory.sample(3)
    memory.clear()
    assert 0 == len(memory)


@pytest.mark.parametrize("after", [Place(9, 2), Place(4, 1)])
def test_a_transition_into_another_ticker_or_the_past_is_refused(after):
    with pytest.raises(ValueError, match="goes on in its own ticker"):
        ReplayMemory().push(Transition(Place(5, 1), 0, 1.5, after, False))


def test_some_actions_are_left_to_chance_and_the_rest_stays(lessons, rows, signals):
    def changed(epsilon: float) -> float:
        found = explored(lessons, rows, signals, epsilon, np.random.default_rng(1))
        outside = np.setdiff1d(np.arange(len(signals.action)), rows)

        assert np.array_equal(found.action[outside], signals.action[outside])
        return float((found.confidence[rows] != signals.confidence[rows]).mean())

    assert 0 == changed(0)
    assert pytest.approx(0.1, abs=0.02) == changed(0.1)


# --- which weights are kept ---------------------------------------------------------------------------------


def fitting_of(lessons, days, recipe: Recipe = QUICK) -> Fitting:
    torch.manual_seed(1)
    trainer = Trainer(DuelingDoubleDQN(SMALL_SHAPE), lessons, days, recipe, threads=1)
    return Fitting(trainer, lessons.rows_of(days.validation))


def run(fitting: Fitting, steps: int = 10**9) -> Fitting:
    fitting.run(lambda: fitting.trainer.step >= steps, lambda _: None, lambda _: None)
    return fitting


def test_the_weights_of_the_best_look_are_the_ones_that_are_judged(lessons, days):
    fitting = run(fitting_of(lessons, days))
    best = max(fitting.looks, key=lambda look: look.r_a_day)
    found, _ = judged(fitting, lessons.rows_of(days.validation))

    assert 5 == len(fitting.looks) == fitting.looks[-1].step
    assert (best.step, best.r_a_day) == (fitting.best.step, fitting.best.r_a_day)
    assert pytest.approx(best.r_a_day) == found.r_a_day


def test_it_goes_on_from_a_look_to_where_a_whole_training_ends(lessons, days):
    whole = run(fitting_of(lessons, days))
    saved = run(fitting_of(lessons, days), steps=3).state()
    again = fitting_of(lessons, days)
    again.restore(saved)
    run(again)

    assert whole.looks == again.looks
    assert all(torch.equal(whole.best.weights[name], again.best.weights[name]) for name in whole.best.weights)


def test_it_ends_when_nothing_gets_better(lessons, days):
    fitting = fitting_of(lessons, days)
    fitting.looks = [Look(step, 0, 0, 0, 0, -1, 0, 0, 0) for step in range(1, PATIENCE)]
    fitting.best.r_a_day = 1e9

    assert not fitting.is_tired()
    assert 3 == run(fitting).trainer.step, "not in the first half of five"
    assert 3 == run(fitting).trainer.step, "what has been given up is not taken up again"


def test_silence_is_better_than_losses(lessons, days):
    """Where every margin loses, the widest is taken and nothing is traded."""
    fitting = fitting_of(lessons, days, replace(QUICK, steps=1))
    with torch.no_grad():
        fitting.trainer.network.advantage[-1].bias += torch.tensor([-9.0, -9.0, 9.0])
    run(fitting)

    assert (0, 0.0) == (fitting.looks[-1].trades, fitting.looks[-1].r_a_day)
