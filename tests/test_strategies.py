"""Does each strategy say what it promises, compiled as interpreted, and is one found, changed and named safely?"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcome import ConfigError, SuiteError
from rulebook.hours import IST
from rulebook.records import Action, Bar, Decision, Paise
from strategies import (
    Observer,
    Observes,
    Strategy,
    find,
    known,
    read_parameters,
    ticker_number,
    with_parameters,
)
from strategies.ensemble import RANGE, TREND, VOLATILE
from tests.conftest import ROOT

MONDAY = date(2024, 1, 1)
SHIPPED = [find(name) for name in known()]
BUY, SELL, HOLD = 1, -1, 0

each_strategy = pytest.mark.parametrize("strategy", SHIPPED, ids=lambda strategy: strategy.name)

# One bar as step takes it: session_bar, open, high, low, close, volume.
Row = tuple[int, int, int, int, int, int]


def answers(strategy: Strategy, rows: list[Row], ticker: str = "INFY") -> list[tuple[int, float]]:
    state = strategy.new_state(ticker)
    return [strategy.step(state, strategy.parameters, *row) for row in rows]


def flat_bars(closes: list[int], volume: int = 100) -> list[Row]:
    """One day of bars that stand still."""
    return [(number, close, close, close, close, volume) for number, close in enumerate(closes)]


def connected(closes: list[int], wick: int = 50) -> list[Row]:
    """One day of bars, each opening where the last one closed."""
    opens = [closes[0], *closes]
    return [(number, last, max(last, close) + wick, min(last, close) - wick, close, 1_000)
            for number, (last, close) in enumerate(zip(opens, closes, strict=False))]  # fmt: skip


def random_rows(seed: int, days: int = 8, bars: int = 75) -> list[Row]:
    """Days with a gap between them; on some the price stands still, is not traded, or leaps."""
    random = np.random.default_rng(seed)
    rows: list[Row] = []
    close = 150_000
    for day in range(days):
        pace = [200, 0, 5_000][day % 3] if day < 4 else 300
        close += int(random.integers(-3_000, 3_000))
        for bar in range(bars):
            last, close = close, max(100, close + int(random.integers(-pace, pace + 1)))
            top = max(last, close) + int(random.integers(0, pace + 1))
            bottom = max(50, min(last, close) - int(random.integers(0, pace + 1)))
            rows.append((bar, last, top, bottom, close, 0 if day == 3 else int(random.integers(0, 10**6))))
    return rows


def bar_of(ticker: str, opened_at: datetime, row: Row, filled: bool = False) -> Bar:
    open_, high, low, close = map(Paise, row[1:5])
    return Bar(ticker, opened_at, open_, high, low, close, row[5], filled)


def at(bar: int, day: date = MONDAY) -> datetime:
    return datetime.combine(day, time(9, 15), IST) + timedelta(minutes=5 * bar)


def days_of(rows: list[Row]) -> Iterator[tuple[datetime, Row]]:
    """Each row with a stamp; a new day where the count restarts."""
    day = MONDAY - timedelta(days=1)
    for row in rows:
        day += timedelta(days=row[0] == 0)
        yield at(row[0], day), row


# --- each strategy says what it promises -----------------------------------------------------------


def test_stay_out_never_says_anything():
    assert {(HOLD, 0.0)} == set(answers(find("stay_out"), random_rows(1)))


def test_buy_and_hold_buys_at_the_first_bar_of_a_day_and_never_else():
    rows = random_rows(1)

    actual = answers(find("buy_and_hold"), rows)

    assert [(BUY, 1.0) if row[0] == 0 else (HOLD, 0.0) for row in rows] == actual


def test_sma_cross_signals_a_cross_once_and_takes_equal_averages_for_below():
    strategy = with_parameters(find("sma_cross"), {"fast": 1, "slow": 2})

    actions = [action for action, _ in answers(strategy, flat_bars([10, 11, 12, 11, 11, 12, 13, 13]))]

    assert [0, 0, 0, SELL, 0, BUY, 0, SELL] == actions


@pytest.mark.parametrize(("fast", "slow"), [(10, 30), (1, 2), (7, 50)])
def test_sma_cross_equals_the_benchmark_s_definition(fast, slow):
    rows = random_rows(2)
    sums = np.concatenate([[0], np.cumsum([row[4] for row in rows])])
    ends = np.arange(slow + 1, len(sums))  # the first comparison is made one bar after the window has filled
    fast_sums, slow_sums = sums[ends] - sums[ends - fast], sums[ends] - sums[ends - slow]
    sides = np.where(fast_sums * slow > slow_sums * fast, 1, -1)
    expected = np.zeros(len(rows), int)
    expected[slow + 1 :] = np.where(sides[1:] != sides[:-1], sides[1:], 0)

    actual = answers(with_parameters(find("sma_cross"), {"fast": fast, "slow": slow}), rows)

    assert expected.tolist() == [action for action, _ in actual]
    assert np.count_nonzero(expected) > 10


def test_vwap_reversion_fades_once_an_excursion():
    # Mean 10000, deviation 100; then bars without volume, which leave both alone.
    rows = flat_bars([9_900, 10_100] * 3)
    rows += [(6 + n, c, c, c, c, 0) for n, c in enumerate([10_300, 10_350, 10_000, 9_700, 9_000, 10_400])]

    actual = answers(find("vwap_reversion"), rows)

    assert [0] * 6 + [SELL, 0, 0, BUY, 0, 0] == [action for action, _ in actual]
    assert [pytest.approx(0.75)] * 2 == [confidence for action, confidence in actual if action]


def test_vwap_reversion_weighs_by_volume_and_starts_afresh_every_day():
    yesterday = flat_bars([50_000, 90_000] * 10)
    heavy, light = (0, 100, 100, 100, 100, 900), (1, 200, 200, 200, 200, 100)
    strategy = find("vwap_reversion")
    state = strategy.new_state("INFY")

    for row in [*yesterday, heavy, light]:
        strategy.step(state, strategy.parameters, *row)

    assert [1_000, 110, 900_000] == pytest.approx(list(state[1:4]))  # volume, VWAP, squared deviations


def test_vwap_reversion_says_nothing_while_it_warms_up_or_has_no_volume_or_spread():
    leap = [100, 102, 100, 5_000, 100, 9_000]

    assert {(HOLD, 0.0)} == set(answers(find("vwap_reversion"), flat_bars(leap)))
    assert {(HOLD, 0.0)} == set(answers(find("vwap_reversion"), flat_bars(leap * 5, volume=0)))
    assert {(HOLD, 0.0)} == set(answers(find("vwap_reversion"), flat_bars([12_345] * 50, volume=7)))


def test_opening_range_follows_a_break_once_a_day_for_each_side():
    day = [(0, 100, 105, 100, 104, 10), (1, 104, 110, 102, 108, 10), (2, 108, 109, 101, 105, 10)]
    day += [(3 + n, c, c, c, c, 10) for n, c in enumerate([110, 111, 90, 98, 130])]
    expected = [(HOLD, 0.0)] * 4 + [(BUY, 0.55), (SELL, 1.0), (HOLD, 0.0), (HOLD, 0.0)]

    actual = answers(find("opening_range"), day * 2)

    assert expected * 2 == actual


def test_opening_range_waits_for_the_volume_it_was_told_to_want():
    strategy = with_parameters(find("opening_range"), {"bars": 2, "volume_times": 1.5})
    rows = [(n, c, c, c, c, v) for n, (c, v) in enumerate([(100, 80), (110, 120), (111, 149), (112, 150)])]

    actions = [action for action, _ in answers(strategy, rows)]

    assert [HOLD, HOLD, HOLD, BUY] == actions


@given(st.lists(st.integers(1, 400), min_size=4, max_size=40))
def test_opening_range_answers_mirrored_prices_with_the_mirrored_action(closes):
    mirrored = [500 - close for close in closes]

    straight = answers(find("opening_range"), flat_bars(closes))

    assert [(-a, c) for a, c in straight] == answers(find("opening_range"), flat_bars(mirrored))


def test_random_policy_acts_on_its_share_of_bars_on_both_sides_with_all_confidences():
    rows = flat_bars([100] * 20_000)

    acts = [
        answer for answer in answers(with_parameters(find("random_policy"), {"rate": 0.1}), rows) if answer[0]
    ]

    assert 2_000 == pytest.approx(len(acts), rel=0.1)
    assert 0.5 == pytest.approx(np.mean([action == BUY for action, _ in acts]), abs=0.05)
    assert 0.5 == pytest.approx(np.mean([confidence for _, confidence in acts]), abs=0.03)


def test_random_policy_is_the_same_for_a_seed_and_ticker_and_another_for_others():
    strategy = with_parameters(find("random_policy"), {"rate": 0.5})
    rows = flat_bars([100] * 400)
    one = answers(strategy, rows)
    others = [answers(strategy, rows, "TCS"), answers(with_parameters(strategy, {"seed": 2}), rows)]

    assert one == answers(strategy, random_rows(1)[:400])  # prices take no part
    assert all(abs(np.corrcoef([a for a, _ in one], [a for a, _ in other])[0, 1]) < 0.15 for other in others)


def explained(rows: list[Row]) -> tuple[list[tuple[int, float]], dict[str, float]]:
    strategy = find("ensemble")
    state = strategy.new_state("INFY")
    said = [strategy.step(state, strategy.parameters, *row) for row in rows]
    assert strategy.explain is not None
    return said, strategy.explain(state, strategy.parameters)


@pytest.mark.parametrize("sign", [BUY, SELL])
def test_ensemble_follows_a_trend(sign):
    said, why = explained(connected([100_000 + sign * 100 * n for n in range(60)]))

    assert (TREND, 1.0, 0.85) == (why["regime"], why["efficiency"], why["trust_in_followers"])
    assert (sign, sign, -sign) == (why["vote_momentum"], why["vote_breakout"], why["vote_rsi"])
    assert (sign, why["confidence"]) == said[-1]
    assert 0.85 - 0.15 == pytest.approx(why["confidence"], abs=0.05)


@pytest.mark.parametrize("sign", [BUY, SELL])
def test_ensemble_fades_the_edge_of_a_range(sign):
    calm = [100_000 + 200 * [0, 1, 0, -1][n % 4] for n in range(60)]
    said, why = explained(connected([*calm, *(100_000 - sign * 100 * n for n in (1, 2, 3, 4, 5))]))

    assert RANGE == why["regime"]
    assert sign == np.sign(why["vote_band"]) == np.sign(why["vote_rsi"]) == -why["vote_breakout"]
    assert sign == said[-1][0]


def test_ensemble_trusts_nobody_and_halves_its_confidence_when_the_market_is_volatile():
    calm = connected([100_000 + n % 2 for n in range(100)], wick=20)
    _, why = explained(calm + [(100 + n, 100_000, 101_000, 99_000, 100_900, 500) for n in range(3)])

    assert (VOLATILE, 0.5) == (why["regime"], why["trust_in_followers"])
    assert abs(why["score"]) / 2 == why["confidence"]


def test_ensemble_takes_a_gap_over_the_night_for_no_move():
    first, second = random_rows(4, days=1), random_rows(5, days=1)
    gap = [(n, o + 20_000, h + 20_000, lo + 20_000, c + 20_000, v) for n, o, h, lo, c, v in second]
    votes = ("vote_momentum", "vote_breakout", "vote_rsi", "vote_band")

    (_, plain), (_, gapped) = explained(first + second), explained(first + gap)

    assert [plain[name] for name in votes] == [gapped[name] for name in votes]


def test_ensemble_stays_finite_when_a_price_moves_that_has_stood_still_for_thousands_of_bars():
    strategy = with_parameters(find("ensemble"), {"window": 2})
    state = strategy.new_state("INFY")

    for row in connected([100, 200], wick=0) + flat_bars([200] * 8_000) + connected([300]):
        strategy.step(state, strategy.parameters, *row)

    assert np.isfinite(state).all()


# --- compiled as interpreted, causal, and calm under hostile bars ------------------------------------


def compiled(function: FunctionType) -> Any:
    """The same code object and, by their names, the functions that it calls."""
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(scope.get(name), FunctionType):
            scope[name] = compiled(scope[name])
    return numba.njit(FunctionType(function.__code__, scope, function.__name__))


def assert_compiles_to_the_same(strategy: Strategy, rows: list[Row]) -> None:
    assert isinstance(strategy.step, FunctionType)
    step = compiled(strategy.step)
    plain, fast = strategy.new_state("INFY"), np.array(strategy.new_state("INFY"))
    for row in rows:
        expected = strategy.step(plain, strategy.parameters, *row)
        actual = step(fast, strategy.parameters, *row)

        assert (expected[0], expected[1].hex()) == (actual[0], actual[1].hex())
        assert plain.tobytes() == fast.tobytes()


@each_strategy
def test_compiled_it_answers_and_remembers_the_same_to_the_last_bit(strategy):
    assert_compiles_to_the_same(strategy, random_rows(6) + random_rows(7))


PRICE = st.one_of(st.integers(1, 10**9), st.just(10_000))
VOLUME = st.one_of(st.just(0), st.integers(0, 10**12))


@st.composite
def hostile_rows(draw: st.DrawFn) -> list[Row]:
    """Any candles at all in days of any length."""
    rows: list[Row] = []
    for length in draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)):
        for bar in range(length):
            open_, close, one, other = draw(st.tuples(PRICE, PRICE, PRICE, PRICE))
            every = (open_, close, one, other)
            rows.append((bar, open_, max(every), min(every), close, draw(VOLUME)))
    return rows


@settings(max_examples=60, deadline=None)
@given(rows=hostile_rows())
def test_whatever_the_bars_every_strategy_answers_an_action_and_a_confidence(rows):
    for strategy in SHIPPED:  # all on the same bars: making them up is what takes the time
        state = strategy.new_state("INFY")
        said = [strategy.step(state, strategy.parameters, *row) for row in rows]

        assert all(action in (BUY, SELL, HOLD) and 0 <= confidence <= 1 for action, confidence in said)
        assert all(type(action) is int and type(confidence) is float for action, confidence in said)
        assert np.isfinite(state).all()
        assert ticker_number("INFY") == state[0]


@each_strategy
@settings(max_examples=25, deadline=None)
@given(seeds=st.tuples(st.integers(0, 99), st.integers(100, 199)), cut=st.integers(0, 150))
def test_bars_after_a_moment_change_nothing_before_it(strategy, seeds, cut):
    known_days, other_days = (list(days_of(random_rows(seed, days=2))) for seed in seeds)
    said = []
    for days in (known_days, known_days[:cut] + other_days[cut:]):
        observer = Observer(strategy)
        said.append([observer.observe({"INFY": bar_of("INFY", *bar)}) for bar in days])

    assert said[0][:cut] == said[1][:cut]


# --- event by event ------------------------------------------------------------------------------------


SPY = """
from typing import NamedTuple

class PARAMETERS(NamedTuple):
    action: int = 1
    confidence: float = 0.25

def state_size(p):
    return 3

def step(state, p, session_bar, open, high, low, close, volume):
    state[1] = session_bar
    state[2] += 1
    return p.action, p.confidence

def explain(state, p):
    return {"session_bar": state[1], "seen": state[2]}
"""


@pytest.fixture
def spy(tmp_path: Path) -> Path:
    """A file that tells how it was called."""
    path = tmp_path / "spy.py"
    path.write_text(SPY)
    return path


FLAT: Row = (0, 100, 100, 100, 100, 5)


def test_an_observer_answers_every_ticker_with_a_decision():
    observer: Observes = Observer(find("buy_and_hold"))

    decisions = observer.observe({ticker: bar_of(ticker, at(0), FLAT) for ticker in ("INFY", "TCS")})

    assert {"INFY": Decision(Action.BUY, 1.0), "TCS": Decision(Action.BUY, 1.0)} == decisions


@each_strategy
def test_an_observer_says_what_step_says_whoever_else_is_watched(strategy):
    rows, others = random_rows(8, days=3), random_rows(9, days=3)
    observer = Observer(strategy)

    said = [observer.observe({"TCS": bar_of("TCS", when, other), "INFY": bar_of("INFY", when, row)})["INFY"]
            for (when, row), other in zip(days_of(rows), others, strict=True)]  # fmt: skip

    assert answers(strategy, rows) == [(decision.action.sign, decision.confidence) for decision in said]


def test_a_new_ist_date_restarts_the_day_s_count_and_the_memory_stays(spy):
    observer = Observer(find(spy))
    midnight = datetime(2024, 1, 1, 18, 30, tzinfo=UTC)  # in India, already the second
    for when in (midnight - timedelta(minutes=10), midnight - timedelta(minutes=5), midnight):
        observer.observe({"INFY": bar_of("INFY", when, FLAT)})

    assert {"session_bar": 0, "seen": 3} == observer.explain("INFY")
    assert {} == observer.explain("TCS")


def test_a_filled_bar_is_held_and_neither_shown_nor_counted(spy):
    observer = Observer(find(spy))
    said = [
        observer.observe({"INFY": bar_of("INFY", at(bar), FLAT, filled=bar in (0, 2))})["INFY"].action
        for bar in range(4)
    ]

    assert [Action.HOLD, Action.BUY, Action.HOLD, Action.BUY] == said
    assert {"session_bar": 1, "seen": 2} == observer.explain("INFY")


@pytest.mark.parametrize("again", [at(1), at(0)])
def test_a_bar_that_is_not_later_than_the_last_one_is_a_mistake_of_the_caller(spy, again):
    observer = Observer(find(spy))
    observer.observe({"INFY": bar_of("INFY", at(1), FLAT)})

    with pytest.raises(AssertionError, match=r"INFY: .* out of order"):
        observer.observe({"INFY": bar_of("INFY", again, FLAT)})


@pytest.mark.parametrize("wrong", [{"action": 2}, {"confidence": 1.5}, {"action": 0, "confidence": -0.1}])
def test_an_answer_that_is_none_is_refused_with_the_strategy_s_name(spy, wrong):
    observer = Observer(with_parameters(find(spy), wrong))

    with pytest.raises(
        SuiteError, match=r"strategy spy answered .* for INFY at 2024-01-01 09:15.* must be 1, -1 or 0"
    ):
        observer.observe({"INFY": bar_of("INFY", at(0), FLAT)})


# --- finding one, changing one, naming one -----------------------------------------------------------


def test_every_file_of_the_folder_is_known_by_its_name_and_nothing_else_is():
    expected = ("buy_and_hold", "ensemble", "opening_range", "random_policy", "sma_cross", "stay_out",
                "vwap_reversion")  # fmt: skip

    assert expected == known() == tuple(strategy.name for strategy in SHIPPED)


@pytest.mark.parametrize(("name", "sentence"), [
    ("sma_cros", "unknown strategy 'sma_cros'; did you mean sma_cross? known: buy_and_hold, ensemble, .*path"),
    ("zzz", "unknown strategy 'zzz'; known: buy_and_hold"),
    ("__init__", "unknown strategy '__init__'"),
    ("./nowhere.py", "strategy nowhere.py cannot be read: no such file or directory"),
])  # fmt: skip
def test_a_name_that_is_none_is_answered_with_those_that_are(name, sentence):
    with pytest.raises(ConfigError, match=sentence.replace("?", r"\?")):
        find(name)


@pytest.mark.parametrize(("old", "new", "sentence"), [
    ("def step(", "def stop(", r"it lacks step; docs/strategies.md shows how"),
    ("class PARAMETERS", "class Parameters", "it lacks PARAMETERS; "),
    ("(NamedTuple)", "", "PARAMETERS must be a typing.NamedTuple class"),
    ("action: int = 1", "action: int", "PARAMETERS.action has no default; "),
    ("confidence: float = 0.25", "confidence: float = 1", "PARAMETERS.confidence must be an int or a float with"),
    ("action: int = 1", "action: str = 'x'", "PARAMETERS.action must be an int or a float with"),
    ("confidence: float = 0.25", "confidence: float = float('nan')", "PARAMETERS.confidence must be"),
    ("session_bar, open", "open, session_bar", r"step must be a plain function \(state, p, session_bar, open, high,"),
    (", volume):", "):", "step must be a plain function"),
    (", volume):", ", *volume):", "step must be a plain function"),
    ("def state_size(p)", "def state_size()", r"state_size must be a plain function \(p\)"),
    ("return 3", "return 0", "state_size answered 0; cell 0 alone makes 1"),
    ("def explain(state, p)", "def explain(state)", r"explain must be a plain function \(state, p\)"),
    ("state[2] += 1", "state[2] +=", ":13 cannot be loaded: SyntaxError"),
    ("def step", "import nothing_of_that_name\ndef step", "cannot be loaded: ModuleNotFoundError"),
])  # fmt: skip
def test_a_file_that_is_no_strategy_is_refused_in_a_sentence(tmp_path, old, new, sentence):
    assert old in SPY
    path = tmp_path / "mine.py"
    path.write_text(SPY.replace(old, new))

    with pytest.raises(ConfigError, match=sentence) as refusal:
        find(path)

    assert f"strategy {path}" in str(refusal.value) or "strategy mine:" in str(refusal.value)


def test_a_broken_edit_is_refused_again_and_mended_by_the_next(spy):
    find(spy)
    spy.write_text("1 +")
    for _ in range(2):
        with pytest.raises(ConfigError, match="SyntaxError"):
            find(spy)
    spy.write_text(SPY)

    assert "spy" == find(spy).name


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"fats": 5}, "strategy sma_cross: unknown parameter 'fats'; did you mean fast. known: fast, slow"),
    ({"fast": 5.0}, "fast: 5.0 is not a whole number"),
    ({"fast": True}, "fast: True is not a whole number"),
    ({"fast": "5", "slo": 1}, "unknown parameter 'slo'.*; fast: '5' is not a whole number"),
    ({"slow": 10**17}, "slow: 1[0]+ is out of range"),
    ({"fast": 30}, "fast 30 and slow 30 must be 1 <= fast < slow"),
])  # fmt: skip
def test_parameters_that_are_wrong_are_all_named(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        with_parameters(find("sma_cross"), changes)


@pytest.mark.parametrize(("text", "sentence"), [
    ("{", "parameters are not JSON"),
    ("[1]", "must be one JSON object"),
    ('{"k": NaN}', "k: nan is out of range"),
    ('{"k": null}', "k: None is not a number"),
    ('{"k": 0}', "k 0.0 must be above 0"),
])  # fmt: skip
def test_parameters_as_text_are_judged_likewise(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_parameters(find("vwap_reversion"), text)


def test_a_strategy_without_parameters_says_so():
    with pytest.raises(ConfigError, match="unknown parameter 'k'; known: none"):
        with_parameters(find("stay_out"), {"k": 1})


@each_strategy
def test_parameters_go_through_json_and_come_back(strategy):
    back = read_parameters(find(strategy.name), strategy.parameters_json)

    assert strategy.parameters == back.parameters
    assert strategy.hash == back.hash


def test_a_whole_number_for_a_decimal_parameter_is_the_decimal_one():
    changed = with_parameters(find("vwap_reversion"), {"k": 2})

    assert '{"k": 2.0, "warm_bars": 6}' == changed.parameters_json
    assert find("vwap_reversion").hash == changed.hash


def test_the_hash_is_stable_and_changes_with_a_parameter_and_with_the_file(spy):
    first = find(spy)
    changed = with_parameters(first, {"action": -1})
    again = with_parameters(changed, {"action": 1})
    same = find(spy)
    spy.write_text(SPY.replace("+= 1", "+= 2"))  # as many bytes, within the same second
    edited = find(spy)

    assert first.hash == again.hash == same.hash
    assert first.step is same.step  # so a compiler's cache is not asked twice
    assert 3 == len({first.hash, changed.hash, edited.hash})
    assert re.fullmatch("[0-9a-f]{12}", edited.hash)
    assert [1, 2] == [seen_once(strategy) for strategy in (first, edited)]


def seen_once(strategy: Strategy) -> float:
    observer = Observer(strategy)
    observer.observe({"INFY": bar_of("INFY", at(0), FLAT)})
    return observer.explain("INFY")["seen"]


def test_the_hash_is_of_the_bytes_and_the_parameters_and_of_nothing_else(spy, tmp_path):
    moved = tmp_path / "renamed.py"
    moved.write_text(SPY)

    assert find(spy).hash == find(moved).hash
    assert find(spy).hash != replace(find(spy), source=b"").hash


# --- the page on how to write one ----------------------------------------------------------------------


def test_the_example_of_the_page_runs_compiles_and_does_what_it_says(tmp_path):
    page = (ROOT / "docs" / "strategies.md").read_text()
    path = tmp_path / "three_up.py"
    path.write_text(page.split("```python\n")[1].split("```")[0])
    strategy = find(path)

    said = answers(strategy, flat_bars([10, 11, 12, 13, 14, 13, 12, 11]))

    assert [0, 0, 0, BUY, BUY, 0, 0, SELL] == [action for action, _ in said]
    assert_compiles_to_the_same(strategy, random_rows(3, days=2))


def test_the_page_lists_every_strategy_that_is_there():
    page = (ROOT / "docs" / "strategies.md").read_text()

    assert [] == [name for name in known() if f"| `{name}` |" not in page]


def test_parameters_json_is_plain_json():
    assert {"fast": 10, "slow": 30} == json.loads(find("sma_cross").parameters_json)
