"""What is fast is the same code: every compiled function is the rule book's own code object."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

import fast
import strategies
from outcome import ConfigError, SuiteError
from rulebook.rules import Rules
from rulebook.walk import walk
from tests.conftest import ROOT
from tests.tables import name_of, random_market


def compiled_under(
    dispatcher: Any, found: dict[tuple[str, str], Any] | None = None
) -> dict[tuple[str, str], Any]:
    """Every compiled function that this one can reach, by module and name."""
    found = {} if found is None else found
    function = dispatcher.py_func
    found[function.__module__, function.__name__] = function
    for name in function.__code__.co_names:
        callee = function.__globals__.get(name)
        if hasattr(callee, "py_func") and (callee.py_func.__module__, callee.py_func.__name__) not in found:
            compiled_under(callee, found)
    return found


def test_each_compiled_function_runs_the_code_object_of_the_rule_book():
    reached = compiled_under(fast.compiled(walk))
    originals = {key: getattr(importlib.import_module(key[0]), key[1]) for key in reached}

    assert len(reached) >= 40
    assert {key[0].split(".")[0] for key in reached} == {"rulebook"}
    assert [] == [
        key for key, function in reached.items() if function.__code__ is not originals[key].__code__
    ]


def test_the_live_book_asks_the_very_functions_that_are_compiled():
    """Rules about stops, exits, entries and the day's loss: the same function objects in both."""
    from rulebook import book, earnings, proposal, rules, stops

    reached = {
        key for key in compiled_under(fast.compiled(walk)) if key[0] in ("rulebook.rules", "rulebook.stops")
    }
    files = (book, earnings, proposal)
    asked = {
        (value.__module__, name)
        for file in files for name, value in vars(file).items() if isinstance(value, FunctionType)
    } | {("rulebook.rules", node.attr)
         for file in files for node in ast.walk(ast.parse(Path(str(file.__file__)).read_text()))
         if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "say"}  # fmt: skip
    by_gates = {"has_free_place", "has_entries_left", "is_rested", "order_fits", "total_fits", "is_worth_its_cost",
                "is_entry_time", "takes_part"}  # fmt: skip
    by_venue = {"worse", "better", "away", "distance"}
    by_nobody = {"are_apart"}  # decides no trade, only who is visited first; test_parity.py holds both orders

    missing = {name for _, name in reached - asked} - by_gates - by_venue - by_nobody
    assert set() == missing
    assert all(hasattr(rules, name) for name in by_gates) and all(hasattr(stops, name) for name in by_venue)


def test_a_rule_is_compiled_once_for_whole_numbers_of_any_width():
    """Each width for itself would take a third more time until the first answer."""
    from numba.core import types

    from rulebook.stops import is_reached

    rule: Any = fast.compiled(is_reached, is_entry=False)
    for width in (types.int8, types.int32, types.int64, types.IntegerLiteral(1)):
        rule.get_call_template((width, types.int64, width), {})

    assert [(types.int64,) * 3] == rule.signatures


def test_only_fast_knows_the_compiler():
    users = [
        path.name
        for path in [*ROOT.glob("*.py"), *(ROOT / "rulebook").glob("*.py"), *(ROOT / "strategies").glob("*.py")]
        if "numba" in {alias.name for node in ast.walk(ast.parse(path.read_text()))
                       if isinstance(node, ast.Import) for alias in node.names}
    ]  # fmt: skip

    assert ["fast.py"] == users


@pytest.mark.parametrize("name", strategies.known())
def test_a_strategy_says_the_same_compiled_and_bar_by_bar(name):
    strategy, market = strategies.find(name), random_market(11, days=3)
    names = [name_of(s) for s in range(3)]
    said = fast.signals(strategy, market.table, names)
    observer = strategies.Observer(strategy)

    from tests.tables import bars_at

    for row in range(len(market.table.close)):
        for ticker, decision in observer.observe(bars_at(market.table, row)).items():
            s = names.index(ticker)

            assert (decision.action.sign, decision.confidence) == (
                said.action[row, s],
                said.confidence[row, s],
            )


def test_a_strategy_that_answers_nonsense_is_refused(tmp_path):
    path = tmp_path / "loud.py"
    path.write_text(
        '"""Too sure."""\nfrom typing import NamedTuple\n\n\nclass PARAMETERS(NamedTuple):\n    """None."""\n\n\n'
        "def state_size(p):\n    return 1\n\n\n"
        "def step(state, p, session_bar, open, high, low, close, volume):\n    return 1, 1.5\n"
    )
    market = random_market(1)
    with pytest.raises(SuiteError, match="strategy loud answered something else"):
        fast.signals(strategies.find(path), market.table, ["A", "B", "C"])


def strategy_with(folder, step: str) -> strategies.Strategy:
    path = folder / "mine.py"
    path.write_text(
        '"""Mine."""\nimport math\nfrom typing import NamedTuple\n\n\nclass PARAMETERS(NamedTuple):\n'
        '    """None."""\n\n    by: int = 0\n\n\ndef state_size(p):\n    return 1\n\n\n'
        f"def step(state, p, session_bar, open, high, low, close, volume):\n{step}"
    )
    return strategies.find(path)


@pytest.mark.parametrize(
    "step",
    [
        "    seen = {}\n    seen[close] = 1\n    return len(seen), 0.5\n",
        "    return 1, 0.1 * len([open, close])\n",
        "    return 1, unknown(close)\n",
        "    return 1\n",
        '    return "BUY", 1.0\n',
        "    import math\n    return 1, math.sqrt(close)\n",
    ],
)
def test_a_step_that_cannot_be_compiled_is_told_as_a_matter_of_its_file(tmp_path, step):
    strategy = strategy_with(tmp_path, step)
    with pytest.raises(
        ConfigError, match=r"mine\.py.*: step cannot be compiled; it may use .*strategies\.md"
    ):
        fast.signals(strategy, random_market(1).table, ["A", "B", "C"])


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("    return 1, 1.0 / p.by\n", "division by zero"),
        ("    return 1, close % p.by\n", "modulo by zero"),
        ("    if close > p.by:\n        raise ValueError('too dear')\n    return 1, 1.0\n", "too dear"),
    ],
)
def test_a_step_that_fails_on_a_bar_is_told_as_a_matter_of_its_file(tmp_path, step, said):
    strategy = strategy_with(tmp_path, step)
    with pytest.raises(ConfigError, match=rf"mine\.py: step failed with .*{said}; ask for that case"):
        fast.signals(strategy, random_market(1).table, ["A", "B", "C"])


def test_room_for_trades_grows_until_they_fit():
    market = random_market(5, days=2)
    rules = Rules(
        capital=10**6,
        stop_bps=20,
        cost_times_milli=0,
        cooldown_bars=0,
        max_trades_per_day=10**6,
        max_loss_milli=0,
    )
    said = fast.Signals(market.action, market.confidence)
    found = fast.simulate(market.table, market.fixed, rules, said)
    tight = fast.simulate(market.table, market.fixed, rules, said, room=1)

    assert len(found.trades) > 10
    assert np.array_equal(found.trades, tight.trades)
    assert np.array_equal(found.moves, tight.moves)


def test_an_edited_source_is_compiled_anew(tmp_path):
    """numba's own cache would not notice a change in a callee of another file."""
    code = "import fast, sys; print(fast.sources_hash())"
    before = fast.sources_hash()
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("fast.py", "outcome.py", "among.py", "features.py", "kernels.py"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for folder in ("rulebook", "strategies"):
        (copy / folder).mkdir()
        for path in (ROOT / folder).glob("*.py"):
            (copy / folder / path.name).write_bytes(path.read_bytes())
    env = {**os.environ, "PYTHONPATH": str(copy)}
    same = subprocess.run([sys.executable, "-c", code], cwd=copy, env=env, capture_output=True, text=True)
    (copy / "rulebook" / "stops.py").write_bytes(
        (ROOT / "rulebook" / "stops.py").read_bytes() + b"\n# edited\n"
    )
    edited = subprocess.run([sys.executable, "-c", code], cwd=copy, env=env, capture_output=True, text=True)

    assert before == same.stdout.strip()
    assert before != edited.stdout.strip()
