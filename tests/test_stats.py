"""Do the statistics equal the papers that they cite, brute force, and what noise must give?"""

import math
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import luck
import stats
from rulebook.hours import IST
from rulebook.records import ExitReason, Paise, Side
from rulebook.trades import ClosedTrade

DAY = date(2026, 3, 2)
SERIES = st.lists(st.integers(-10_000_000, 10_000_000), min_size=2, max_size=40)
SPREAD = SERIES.filter(lambda days: len(set(days)) > 1)


def trade(net=1_000, risk=10_000, day=DAY, start="10:00", end="11:00", charges=100, **changes) -> ClosedTrade:
    """A long trade of one share at 1,000 rupees; the exit is what gives that net."""
    at = {
        name: datetime.fromisoformat(f"{day} {text}:00").replace(tzinfo=IST)
        for name, text in (("in", start), ("out", end))
    }
    whole: dict[str, Any] = {
        "ticker": "INFY", "side": Side.BUY, "qty": 1, "decided_at": at["in"], "decision_price": Paise(100_000),
        "entered_at": at["in"], "entry_value": 100_000, "initial_stop": Paise(100_000 - risk),
        "exited_at": at["out"], "exit_value": 100_000 + net + charges,
        "intended_exit": Paise(100_000 + net + charges), "reason": ExitReason.CLOCK,
        "worst": Paise(99_000), "best": Paise(101_000), "charges": charges,
    }  # fmt: skip
    return ClosedTrade(**{**whole, **changes})


def known(value: float | None) -> float:
    assert value is not None
    return value


def deflated(daily: Any, trials: int, variance: float | None = None) -> luck.Deflated:
    found = luck.deflated_sharpe(daily, trials, variance)
    assert found is not None
    return found


# --- published examples ----------------------------------------------------------------------------


def test_the_expected_best_of_100_trials_is_that_of_the_paper():
    """Bailey and Lopez de Prado 2014, pp. 9-10: N = 100, V = 1/2 a year, 250 days a year."""
    assert 0.1132 == round(luck.expected_best(100, 0.5 / 250), 4)


@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "published"),
    [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)],
)
def test_the_deflated_sharpe_ratio_is_that_of_the_paper(trials, skew, kurtosis, published):
    """The same pages: an annual ratio of 2.5 over T = 1250 days."""
    benchmark = luck.expected_best(trials, 0.5 / 250)

    found = luck.probabilistic_sharpe(2.5 / math.sqrt(250), benchmark, 1250, skew, kurtosis)

    assert published == round(known(found), 4)


@pytest.mark.parametrize(
    ("observations", "skew", "kurtosis", "published"),
    [(24, 0, 3, 0.982), (24, -2.448, 10.164, 0.913), (36, -2.448, 10.164, 0.953)],
)
def test_the_probabilistic_sharpe_ratio_is_that_of_the_paper(observations, skew, kurtosis, published):
    """Bailey and Lopez de Prado 2012, section 5: a monthly ratio of 0.458; the paper cuts 0.9535 to 0.953."""
    found = luck.probabilistic_sharpe(0.458, 0, observations, skew, kurtosis)

    assert published == pytest.approx(found, abs=6e-4)


@pytest.mark.parametrize(
    ("periods", "skew", "kurtosis", "years"),
    [(252, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_record_needed_is_that_of_the_paper(periods, skew, kurtosis, years):
    """The same paper, section 6: an annual ratio of 2 told from 1 with 95 %, by the frequency of the returns."""
    needed = luck.minimum_track_record(2 / math.sqrt(periods), 1 / math.sqrt(periods), skew, kurtosis)

    assert years == round(known(needed) / periods, 2)


# --- other routes to the same numbers --------------------------------------------------------------


@given(SPREAD)
def test_sharpe_is_the_mean_over_the_standard_deviation_by_plain_python(days):
    assert stats.sharpe(days) == pytest.approx(mean(days) / stdev(days) * math.sqrt(252), rel=1e-9, abs=1e-9)


@given(SPREAD)
def test_sortino_divides_by_the_root_mean_square_of_the_losing_days(days):
    root = math.sqrt(sum(min(day, 0) ** 2 for day in days) / len(days))
    expected = mean(days) / root * math.sqrt(252) if root else None

    assert expected == (
        pytest.approx(stats.sortino(days), rel=1e-9, abs=1e-9) if root else stats.sortino(days)
    )


@given(SPREAD, st.integers(1, 1_000_000))
def test_ratios_do_not_depend_on_the_capital_that_days_are_divided_by(days, capital):
    assert stats.sharpe(days) == pytest.approx(
        stats.sharpe([day / capital for day in days]), rel=1e-6, abs=1e-9
    )


@given(SERIES)
def test_the_drawdown_is_the_worst_of_all_pairs_of_days(days):
    equity = [sum(days[:i]) for i in range(len(days) + 1)]
    falls = [before - after for before, after in combinations(equity, 2)]
    found = stats.max_drawdown(days)

    assert max(0, *falls) == found.depth
    assert found.days <= found.longest_days <= len(days)


@given(SERIES)
def test_days_under_water_are_those_below_an_earlier_peak(days):
    run = longest = equity = peak = 0
    for net in days:
        equity += net
        peak = max(peak, equity)
        run = run + 1 if equity < peak else 0
        longest = max(longest, run)

    assert longest == stats.max_drawdown(days).longest_days


@given(SPREAD)
def test_moments_are_those_of_plain_python(days):
    mu, n = mean(days), len(days)
    m2, m3, m4 = (sum((day - mu) ** k for day in days) / n for k in (2, 3, 4))
    found = luck.moments(days)
    assert found is not None
    ratio, skew, kurtosis = found

    assert ratio == pytest.approx(mu / stdev(days), abs=1e-9)
    assert skew == pytest.approx(m3 / m2**1.5, abs=1e-6)
    assert kurtosis == pytest.approx(m4 / m2**2, abs=1e-6)


def ratio(rows: list[list[float]], n: int) -> float:
    return mean(row[n] for row in rows) / stdev(row[n] for row in rows)


def brute_force_overfitting(matrix: list[list[float]], blocks: int) -> float:
    """The paper's steps one after the other: split, choose, rank, count."""
    size = len(matrix) // blocks
    found = []
    for inside in combinations(range(blocks), blocks // 2):
        here = [row for b in range(blocks) if b in inside for row in matrix[b * size : (b + 1) * size]]
        there = [row for b in range(blocks) if b not in inside for row in matrix[b * size : (b + 1) * size]]
        best = max(range(len(matrix[0])), key=lambda n: ratio(here, n))
        ratios = [ratio(there, n) for n in range(len(matrix[0]))]
        rank = 1 + sum(r < ratios[best] for r in ratios)
        share = rank / (len(ratios) + 1)
        found.append(0.5 if share == 0.5 else float(math.log(share / (1 - share)) < 0))
    return mean(found)


@pytest.mark.parametrize(("blocks", "candidates"), [(4, 3), (4, 4), (6, 5), (8, 6)])
def test_overfitting_by_block_sums_equals_the_paper_s_steps_by_brute_force(blocks, candidates):
    matrix = np.random.default_rng(blocks).normal(0.02, 1, (blocks * 6, candidates))

    assert luck.backtest_overfitting(matrix, blocks).probability == pytest.approx(
        brute_force_overfitting(matrix.tolist(), blocks)
    )


def test_days_that_do_not_divide_into_blocks_are_all_used():
    matrix = np.random.default_rng(2).normal(size=(67, 6))
    halves = luck.backtest_overfitting(matrix, 4)

    assert math.comb(4, 2) == len(halves.logits)
    assert halves.probability == luck.backtest_overfitting(matrix * 7 + 0.0, 4).probability


# --- what noise must give --------------------------------------------------------------------------


def test_overfitting_of_pure_noise_is_a_coin_s_toss():
    rng = np.random.default_rng(11)
    found = [luck.backtest_overfitting(rng.normal(size=(160, 10)), 8).probability for _ in range(150)]

    assert mean(found) == pytest.approx(0.5, abs=0.05)


def test_one_candidate_with_skill_among_noise_is_not_overfitted():
    matrix = np.random.default_rng(12).normal(size=(480, 20))
    matrix[:, 7] += 0.4

    assert luck.backtest_overfitting(matrix).probability < 0.01


def test_equal_candidates_tell_nothing():
    column = np.random.default_rng(13).normal(size=(64, 1))

    assert 0.5 == luck.backtest_overfitting(np.repeat(column, 5, axis=1), 8).probability


def test_a_candidate_that_never_trades_has_its_place_in_the_ranking():
    """Zero is better than losing: the stay-out is chosen, and is the best on the other half too."""
    losing = np.random.default_rng(14).normal(-1, 0.1, size=(64, 3))
    found = luck.backtest_overfitting(np.column_stack([losing, np.zeros(64)]), 8)

    assert (0.0, 0.0) == (found.probability, found.loss_share)


def test_the_best_of_many_noise_trials_looks_skilled_alone_and_is_rejected_when_deflated():
    """Alone it passes 95 % in 1 - 0.95^50 = 92 % of searches; the correction must bring that below 5 %."""
    rng = np.random.default_rng(15)
    alone = corrected = 0
    for _ in range(300):
        trials = rng.normal(size=(250, 50))
        ratios = trials.mean(0) / trials.std(0, ddof=1)
        found = deflated(trials[:, ratios.argmax()], 50, float(ratios.var(ddof=1)))
        alone += known(found.probability_of_one) > 0.95
        corrected += known(found.probability) > 0.95

    assert 0.85 < alone / 300 < 0.98
    assert corrected / 300 <= 0.05


def test_a_single_noise_trial_passes_as_often_as_stated():
    days = np.random.default_rng(16).normal(size=(3_000, 120))
    passed = mean(known(deflated(row, 1).probability) > 0.95 for row in days)

    assert passed == pytest.approx(0.05, abs=0.012)


def test_the_expected_best_is_near_the_mean_of_simulated_maxima():
    simulated = np.random.default_rng(17).normal(size=(4_000, 40)).max(1).mean()

    assert luck.expected_best(40, 1.0) == pytest.approx(simulated, rel=0.03)


# --- intervals -------------------------------------------------------------------------------------


def test_an_interval_of_the_mean_of_r_covers_the_truth_as_often_as_it_says():
    """90 trades on 60 days that share a day's luck; single trades resampled would cover far less."""
    rng = np.random.default_rng(18)
    covered = 0
    for _ in range(250):
        place = np.sort(rng.integers(0, 60, 240))
        rs = 0.1 + rng.normal(0, 1, 60)[place] + rng.normal(0, 0.5, 240)
        found = stats.mean_r_interval(rs, place, 60, rng, resamples=600)
        covered += known(found.low) <= 0.1 <= known(found.high)

    assert 0.85 <= covered / 250 <= 0.95


def test_resampled_days_are_runs_of_the_mean_length_asked_for():
    rows = np.concatenate(list(stats.resampled_days(50, np.random.default_rng(19), 2_000, 5.0)))
    goes_on = (rows[:, 1:] - rows[:, :-1]) % 50 == 1
    used = np.bincount(rows.ravel(), minlength=50) / rows.size

    assert 1 - 1 / 5 + 1 / 5 / 50 == pytest.approx(goes_on.mean(), abs=0.01)
    assert used == pytest.approx(np.full(50, 1 / 50), abs=0.003)


def test_resampling_in_parts_has_every_row():
    parts = list(stats.resampled_days(300, np.random.default_rng(1), 10, 4, cells_at_once=1_000))

    assert [3, 3, 3, 1] == [len(part) for part in parts]


@settings(max_examples=25)
@given(SPREAD, st.integers(0, 1_000))
def test_the_same_seed_gives_the_same_interval_and_it_is_in_order(days, seed):
    first, second = (stats.sharpe_interval(days, np.random.default_rng(seed)) for _ in range(2))

    assert first == second
    assert first.low is None or first.high is None or first.low <= first.high


def test_blocks_widen_the_interval_of_days_that_repeat_each_other():
    days = np.repeat(np.random.default_rng(20).normal(size=60), 5)
    wide, narrow = (
        stats.interval(
            lambda rows: days[rows].mean(1),
            float(days.mean()),
            300,
            np.random.default_rng(1),
            mean_block=block,
        )
        for block in (10, 1)
    )

    assert known(wide.high) - known(wide.low) > 1.5 * (known(narrow.high) - known(narrow.low))


def test_a_resample_without_a_losing_day_leaves_the_upper_end_open():
    found = stats.sortino_interval([5, 5, 5, 5, -1], np.random.default_rng(1))

    assert found.low is not None
    assert found.high is None


# --- defined answers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "days", [[], [5], [3, 3, 3], [0, 0], [0.1] * 30], ids=["none", "one", "equal", "zeros", "floats"]
)
def test_days_without_spread_have_no_ratio_no_interval_and_no_luck(days):
    rng = np.random.default_rng(1)

    assert stats.sharpe(days) is None
    assert stats.Estimate(None) == stats.sharpe_interval(days, rng)
    assert luck.deflated_sharpe(days, 5) is None


def test_days_that_all_win_have_no_sortino_and_no_drawdown():
    assert stats.sortino([1, 2, 3]) is None
    assert stats.Drawdown(0.0, 0, 0) == stats.max_drawdown([1, 2, 3])


def test_no_trades_have_no_answers_and_no_costs():
    assert [None, None, None] == [stats.mean_r([]), stats.win_rate([]), stats.profit_factor([])]
    assert stats.Estimate(None) == stats.mean_r_interval([], [], 10, np.random.default_rng(1))
    assert stats.CostSplit(0, 0, 0, 0, 0) == stats.cost_split([])
    assert (0.0, 0.0) == stats.exposure([], 375)


def test_all_winners_have_no_profit_factor_and_a_zero_is_no_winner():
    assert stats.profit_factor([1, 2]) is None
    assert 2 / 3 == stats.win_rate([1, 2, 0])
    assert 1.5 == stats.profit_factor([3, -2, 0])


def test_trades_of_one_day_have_a_mean_but_no_interval():
    assert stats.Estimate(0.5) == stats.mean_r_interval([1, 0], [3, 3], 10, np.random.default_rng(1))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "ask",
    [
        stats.sharpe, stats.sortino, stats.max_drawdown, stats.mean_r, stats.win_rate, stats.profit_factor, luck.moments,
        lambda days: luck.deflated_sharpe(days, 3), lambda days: stats.sharpe_interval(days, np.random.default_rng(1)),
        lambda days: luck.backtest_overfitting(np.array([days] * 10).T.repeat(3, 0), 2),
        lambda days: stats.mean_r_interval(days, [0, 1, 2], 3, np.random.default_rng(1)),
        lambda days: luck.probabilistic_sharpe(days[1], 0, 10), lambda days: luck.minimum_track_record(0.1, 0, days[1]),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_by_name(ask, bad):
    with pytest.raises(ValueError, match=r"^(daily|R|net|returns|ratio, skew, kurtosis): value .*(nan|inf)"):
        ask([1.0, bad, 2.0])


def test_excess_kurtosis_is_refused_because_it_is_not_what_the_formula_means():
    with pytest.raises(ValueError, match="excess kurtosis"):
        luck.probabilistic_sharpe(0.1, 0, 100, 0, 0)


def test_a_ratio_below_its_benchmark_needs_no_length():
    assert luck.minimum_track_record(0.1, 0.1) is None


def test_one_trial_has_nothing_to_be_deflated_by():
    found = deflated([1, 2, -1, 3], 1)

    assert 0.0 == found.benchmark
    assert found.probability_of_one == found.probability


def test_without_the_trials_spread_chance_alone_is_taken():
    days = [1, 2, -1, 3, 0]

    assert luck.expected_best(9, 1 / 4) == deflated(days, 9).benchmark


@pytest.mark.parametrize(("shape", "blocks"), [((40, 1), 4), ((40, 3), 5), ((7, 3), 4), ((40, 3), 0)])
def test_a_matrix_that_cannot_be_split_is_refused(shape, blocks):
    with pytest.raises(ValueError, match="cannot be split"):
        luck.backtest_overfitting(np.zeros(shape), blocks)


# --- trades ----------------------------------------------------------------------------------------


def test_a_session_without_a_trade_is_a_day_of_zero():
    days = [DAY + timedelta(k) for k in range(3)]
    made = [trade(net=500), trade(net=-200), trade(net=70, day=days[2])]

    assert [300, 0, 70] == stats.daily_net_paise(made, days).tolist()


def test_a_trade_counts_on_its_day_in_india_wherever_its_time_was_written():
    late = trade(exited_at=datetime(2026, 3, 1, 20, 0, tzinfo=UTC))

    assert [1_000] == stats.daily_net_paise([late], [DAY]).tolist()


def test_a_trade_outside_the_sessions_or_a_day_given_twice_is_refused():
    with pytest.raises(ValueError, match="not in the list of sessions"):
        stats.daily_net_paise([trade()], [DAY + timedelta(1)])
    with pytest.raises(ValueError, match="twice"):
        stats.daily_net_paise([], [DAY, DAY])
    with pytest.raises(ValueError, match="naive"):
        stats.day_of(datetime(2026, 3, 2))  # noqa: DTZ001


def test_exposure_counts_overlapping_trades_once_and_positions_each():
    made = [
        trade(start="10:00", end="11:00"),
        trade(start="10:30", end="11:30"),
        trade(start="13:00", end="13:30"),
    ]

    assert [120 / 375, 150 / 375] == pytest.approx(stats.exposure(made, 375))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 70)), max_size=8))
def test_exposure_equals_counting_minutes_one_by_one(spans):
    start = datetime(2026, 3, 2, 9, 15, tzinfo=IST)
    made = [
        trade(entered_at=start + timedelta(minutes=a), exited_at=start + timedelta(minutes=a + n))
        for a, n in spans
    ]
    minutes = {minute for a, n in spans for minute in range(a, a + n)}

    assert [len(minutes) / 375, sum(n for _, n in spans) / 375] == pytest.approx(stats.exposure(made, 375))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Side),
            *[st.integers(90_000, 110_000)] * 4,
            st.integers(1, 50),
            st.integers(0, 5_000),
        ),
        max_size=6,
    )
)
def test_the_parts_of_the_costs_add_up_for_both_sides(rows):
    made = [
        trade(
            side=side, qty=qty, decision_price=decided, entry_value=got * qty, exit_value=left * qty, intended_exit=intended,
            initial_stop=Paise(got - side * 1_000), charges=charges,
        )
        for side, decided, got, left, intended, qty, charges in rows
    ]  # fmt: skip
    split = stats.cost_split(made)
    planned = sum(t.side * (t.intended_exit - t.decision_price) * t.qty for t in made)

    assert planned == split.planned
    assert split.net == split.planned - split.entry_slippage - split.exit_slippage - split.charges
    assert sum(t.net for t in made) == split.net == split.gross - split.charges
    assert sum(t.shortfall_percent * t.risk / 100 for t in made) == pytest.approx(planned - split.net)
    assert sum(t.entry_value + t.exit_value for t in made) == stats.turnover_paise(made)
