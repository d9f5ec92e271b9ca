"""The house keeps its shape: import directions, budgets, names, locks, documented keys."""

import ast
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

OURS = {path.stem for path in ROOT.glob("*.py")} | {"rulebook", "strategies", "kite", "exchange"}

# Who may import whom (architecture.md). A name on the left imports only what stands on the right.
PLAIN = {"outcome", "clock"}
FACTS = {"facts", "rulebook"}
MAY_IMPORT: dict[str, set[str]] = {
    "rulebook": set(),
    "outcome": set(),
    "clock": set(),
    "redaction": PLAIN,
    "files": PLAIN,
    "locks": PLAIN | {"rulebook"},
    "logs": PLAIN | {"redaction", "rulebook"},
    "sockets": PLAIN,
    "net": PLAIN | {"sockets"},
    "strict_json": PLAIN,
    "facts": PLAIN | {"rulebook", "strict_json"},
    "strategies": PLAIN | {"rulebook"},
    "fast": PLAIN | {"rulebook", "strategies"},
    "candle_store": PLAIN | {"files"},
    "sessions_grid": {"rulebook", "candle_store"},
    "candle_file": PLAIN | {"rulebook", "candle_store", "sessions_grid"},
    "history": PLAIN | {"rulebook", "candle_file"},
    "nse": PLAIN | {"files", "net", "rulebook"},
    "features": set(),
    "among": {"features"},
    "processed": PLAIN | {"among", "files", "candle_store", "fast", "features", "sessions_grid"},
    "planted": {"rulebook", "candle_store", "sessions_grid"},
    "panel": PLAIN | {"processed"},
    "kernels": set(),
    "block": {"fast", "kernels"},
    "sizes": set(),
    "network": {"block", "sizes"},
    "lessons": PLAIN | {"fast", "features", "market", "panel", "rulebook", "sizes"},
    "replay": {"backtest", "fast", "lessons", "rulebook", "sizes"},
    "descent": set(),
    "learner": {"block", "descent", "features", "lessons", "network", "policy", "replay", "sizes"},
    "policy": {"block", "fast", "lessons", "network", "rulebook", "sizes"},
    "fitting": {"learner", "lessons", "network", "policy", "sizes"},
    "looks_picture": {"fitting"},
    "study": PLAIN
    | FACTS
    | {"backtest", "fast", "features", "lessons", "market", "nse", "panel", "processed"}
    | {"sessions_grid", "settings", "sizes"},
    "training": PLAIN
    | {"checkpoint", "fast", "files", "fitting", "learner", "looks_picture", "network", "policy", "replay"}
    | {"study"},
    "reference": {"fast", "market", "planted", "rulebook"},
    "yardsticks": {"fast", "market", "planted", "rulebook"},
    "cells": {"files"},
    "cluster": PLAIN | {"cells"},
    "walking": PLAIN | {"cells", "fitting", "learner", "lessons", "network", "settings", "study"},
    "tuning": PLAIN | {"files", "learner", "walking"},
    "certify": FACTS
    | {"reference"}
    | {"backtest", "candle_store", "cells", "evaluation", "experiments", "fast", "features", "fitting"}
    | {"learner", "lessons", "market", "network", "panel", "planted", "policy", "processed", "promotion"}
    | {"sessions_grid", "sizes", "yardsticks"},
    "judging": PLAIN
    | {"checkpoint", "evaluation", "experiments", "network", "policy", "promotion", "study", "training"}
    | {"winner"},
    "ml": {"checkpoint", "features", "learner", "network", "policy", "processed", "replay", "settings"}
    | {"sizes", "study", "winner"},
    "learning": PLAIN
    | {"cells", "certify", "checkpoint", "cli", "cluster", "judging", "learner", "settings", "study"}
    | {"training", "tuning", "walking", "winner"},
    "data": PLAIN | FACTS | {"settings", "candle_store", "sessions_grid", "processed"},
    "market": PLAIN | {"rulebook", "candle_store"},
    "stats": {"rulebook"},
    "luck": {"stats"},
    "report_summary": {"luck", "stats", "rulebook"},
    "report_candles": {"report_summary", "stats"},
    "report_tables": {"luck", "report_summary", "stats", "rulebook"},
    "report_page": {"report_candles", "report_summary", "report_tables", "stats", "rulebook"},
    "report": {"files", "report_page", "report_summary", "stats", "rulebook"},
    "backtest": PLAIN | {"rulebook", "strategies", "fast", "market", "stats", "report_summary"},
    "checkpoint": PLAIN | {"files"},
    "evaluation": {"backtest", "fast", "luck", "market", "report_summary", "rulebook", "stats", "strategies"},
    "experiments": PLAIN | {"files", "locks"},
    "promotion": {"luck", "report_summary", "stats"},
    "winner": PLAIN | {"checkpoint", "files", "locks"},
    "addresses": PLAIN,
    "followed_clock": PLAIN | {"addresses"},
    "kite": PLAIN | {"net", "rulebook"},
    "login": PLAIN | {"env_file", "rulebook"},
    "order_desk": PLAIN | {"kite", "rulebook"},
    "broker": PLAIN | {"kite", "rulebook"},
    "paper_quotes": {"kite", "rulebook"},
    "paper_account": {"paper_quotes", "kite", "rulebook"},
    "paper_checks": {"paper_account", "paper_quotes", "kite", "rulebook"},
    "paper_book": {"paper_checks", "paper_account", "paper_quotes", "kite", "rulebook"},
    "paper_file": PLAIN | {"files", "paper_account"},
    "paper": PLAIN
    | {"files", "net", "kite", "rulebook", "paper_file", "paper_book", "paper_checks"}
    | {"paper_account", "paper_quotes"},
    "ledger_facts": {"rulebook"},
    "ledger_chain": set(),
    "ledger": PLAIN | {"files", "ledger_chain", "ledger_facts", "locks", "rulebook"},
    "ledger_views": {"files", "ledger", "ledger_facts", "rulebook"},
    "env_file": PLAIN | {"files"},
    "ledger_desk": PLAIN | {"cli", "env_file", "ledger", "ledger_facts", "locks", "redaction", "rulebook"},
    "halts": PLAIN | {"files", "rulebook"},
    "control": PLAIN,
    "fence": PLAIN | {"locks"},
    "live_bars": {"rulebook", "sessions_grid"},
    "live_features": PLAIN | {"among", "fast", "features", "processed", "rulebook", "sessions_grid"},
    "watch_facts": {"paper_quotes", "rulebook"},
    "watch": {"paper_quotes", "rulebook", "watch_facts"},
    "trading_day": {"rulebook", "sessions_grid"},
    "notes": PLAIN | {"ledger_facts", "rulebook"},
    "hands": {"ledger_facts", "notes", "order_desk", "rulebook", "watch"},
    "session_events": PLAIN | {"kite", "rulebook"},
    "session_mind": {"rulebook", "session_events"},
    "session_end": PLAIN
    | {"hands", "ledger_facts", "notes", "rulebook", "session_events", "trading_day", "watch"},
    "session_start": {"candle_store", "hands", "ledger_facts", "rulebook", "sessions_grid"},
    "explain": {"ledger_facts", "order_desk", "rulebook", "session_mind"},
    "session": {"by_hand", "explain", "hands", "kite", "ledger_facts", "paper_quotes", "rulebook"}
    | {"session_end", "session_events", "session_mind", "session_parts", "session_start"},
    "mind": PLAIN
    | {"kite", "live_bars", "live_features", "ml", "rulebook", "session_events", "session_mind"},
    "workers": PLAIN | {"broker", "kite", "rulebook", "session_events"},
    "by_hand": {"ledger_facts", "rulebook"},
    "first_live": PLAIN | {"files"},
    "keeping": PLAIN | {"ledger", "ledger_views"},
    "session_parts": {"notes", "order_desk", "paper_quotes", "rulebook", "session_mind", "session_start"}
    | {"trading_day", "watch"},
    "lock_step": {"followed_clock"},
    "pace": PLAIN
    | {"followed_clock", "kite", "lock_step", "session", "session_end", "session_events", "workers"},
    "emergency": PLAIN | {"cli", "control", "fence", "halts", "ledger_desk", "locks", "rulebook", "stand_in"},
    "stand_in": PLAIN
    | {"cli", "control", "keeping", "kite", "ledger", "locks", "pace", "rulebook"}
    | {"session_end", "session_events", "trading_wiring"},
    "told_day": PLAIN | {"cli", "ledger", "ledger_facts", "rulebook"},
    "reasons": {"ledger_facts", "rulebook", "told_day"},
    "why": PLAIN | {"cli", "ledger", "ledger_facts", "reasons", "rulebook", "told_day"},
    "day_replay": PLAIN
    | {"cli", "ledger", "ledger_facts", "live_features", "mind", "ml", "rulebook", "session_mind"}
    | {"session_start", "study", "told_day", "winner"},
    "trading_wiring": PLAIN
    | FACTS
    | {"candle_store", "cli", "connection", "files", "halts", "kite", "ledger", "ledger_desk"}
    | {"ledger_facts", "live_bars", "live_features", "mind", "ml", "notes", "order_desk", "paper"}
    | {"paper_account", "session", "session_end", "session_events", "session_start", "sessions_grid"}
    | {"pace", "session_mind", "session_parts", "study", "trading_day", "watch", "winner", "workers"},
    "so_far": PLAIN
    | {"broker", "kite", "live_bars", "live_features", "rulebook", "session_events", "session_mind"}
    | {"sessions_grid", "study", "trading_wiring"},
    "looking": PLAIN
    | {"kite", "ledger", "order_desk", "paper", "paper_file", "rulebook", "session_start"}
    | {"trading_wiring"},
    "dry_run_report": PLAIN | {"cli", "ledger_facts", "rulebook"},
    "dry_run": PLAIN
    | FACTS
    | {"cli", "dry_run_report", "halts", "kite", "looking", "notes", "order_desk", "pace", "session"}
    | {"session_end", "session_events", "session_parts", "session_start", "so_far", "trading_wiring"}
    | {"watch", "workers"},
    "positions_now": {"kite", "ledger_facts", "looking", "rulebook", "trading_wiring"},
    "one_shot": {"cli", "kite", "looking", "ml", "rulebook", "so_far", "study", "trading_wiring", "watch"},
    "errands": PLAIN
    | FACTS
    | {"cli", "control", "first_live", "halts", "kite", "locks", "pace", "paper_quotes", "session"}
    | {"session_end", "session_events", "session_parts", "so_far", "trading_wiring", "watch"},
    "scripting": PLAIN
    | {"cli", "control", "errands", "flags", "kite", "locks", "looking", "ml", "one_shot"}
    | {"positions_now", "rulebook", "settings", "trading", "trading_wiring", "watch"},
    "trading": PLAIN
    | {"cli", "control", "dry_run", "first_live", "halts", "keeping", "kite", "ml", "pace", "rulebook"}
    | {"session_end", "session_events", "stand_in", "trading_wiring", "watch"},
    "exchange": PLAIN | FACTS | {"kite", "strict_json", "candle_store"},
    "contradictions": {"settings"},  # for names of types only
    "settings": PLAIN | {"files", "contradictions", "rulebook"},
    "environment": PLAIN | {"settings"},
    "flags": set(),
    "cli": PLAIN | {"settings", "environment", "locks", "logs", "redaction", "followed_clock"},
    "completeness": {"candle_store", "sessions_grid", "rulebook"},
    "progress": PLAIN,
    "connection": PLAIN | {"addresses", "environment", "kite", "locks", "settings"},
    "fetching": PLAIN
    | FACTS
    | {
        "addresses",
        "broker",
        "candle_file",
        "candle_store",
        "cli",
        "connection",
        "completeness",
        "files",
        "history",
        "kite",
    }
    | {"login", "net", "nse", "processed", "progress", "rulebook", "sessions_grid", "settings"},
    "health": PLAIN
    | FACTS
    | {"addresses", "cli", "connection", "environment", "fetching", "login", "net", "nse"},
    "doctor": PLAIN | {"cli", "health"},
    "fetch": PLAIN | {"cli", "flags", "settings", "doctor", "fetching", "data"},
    "train": PLAIN
    | {
        "backtest",
        "checkpoint",
        "cli",
        "evaluation",
        "features",
        "flags",
        "judging",
        "learning",
        "market",
        "network",
    }
    | {"policy", "replay", "report", "rulebook", "settings", "sizes", "strategies", "study", "training"},
    "trade": PLAIN
    | {"cli", "day_replay", "emergency", "flags", "ledger_desk", "one_shot", "positions_now"}
    | {"scripting", "trading", "why"},
    "dashboard": PLAIN | FACTS | {"cli", "flags", "settings", "environment"},
}
HEAVY_MAY_BE_IMPORTED_AT_THE_TOP: dict[str, set[str]] = {
    "net": {"httpx", "httpcore"},  # whoever imports net.py is about to talk
    "sockets": {"httpcore"},
    **{
        name: {"numpy"}
        for name in ("fast", "stats", "luck", "report_summary", "report_candles", "report_page", "backtest")
    },
    **{name: {"numpy"} for name in ("evaluation", "promotion")},
    "market": {"numpy", "pandas"},
    **{name: {"numpy"} for name in ("among", "features", "processed", "sessions_grid", "candle_file")},
    **{name: {"numpy"} for name in ("planted", "panel", "lessons", "walking")},
    "kernels": {"numpy"},
    **{
        name: {"torch"} for name in ("block", "descent", "network")
    },  # whoever imports it is about to learn or to decide
    **{name: {"numpy"} for name in ("live_features", "mind", "session_start", "so_far")},
    **{name: {"numpy"} for name in ("replay", "reference", "yardsticks")},
    "ml": {"torch"},
    **{name: {"numpy", "torch"} for name in ("learner", "policy", "fitting", "training", "certify")},
    "exchange": {"numpy", "h11", "websockets"},
    "kite": {
        "kiteconnect",
        "requests",
        "urllib3",
        "websockets",
    },  # sdk.py and ticker.py, which nobody imports in vain
}
LIGHT = {"annotated_types"}

# What the rule book must never touch: it is handed time, randomness and data.
BANNED_IN_THE_RULE_BOOK = {
    "time", "random", "os", "secrets", "uuid", "pathlib", "io", "socket", "threading", "asyncio",
    "subprocess", "logging", "tempfile", "sqlite3", "urllib", "http",
}  # fmt: skip
CLOCK_CALLS = {"now", "today", "utcnow"}

FUNCTION_LINES_MOST, ENTRY_MAIN_LINES_MOST = 50, 70
MODULE_LINES_LEAST, MODULE_LINES_MOST = 60, 400
# Each exception has a name and a reason.
TOO_LONG: dict[str, str] = {}
LOCKS = ("", "-dev", "-bench", "-tune")
TOO_SHORT = {
    "clock.py": "one question, and nothing to merge it with",
    "kite/inbox.py": "one question, and threads meet in it",
    "dashboard.py": "its pages come with a later version",
    "looks_picture.py": "a picture, and nothing to merge it with",
    "descent.py": "one step, and it must not be mixed with what is taught",
    "by_hand.py": "one question, and nothing to merge it with",
    "first_live.py": "one question, and nothing to merge it with",
    "session_parts.py": "one question, and who puts a session together looks for it",
    "env_file.py": "one question, and two files ask it",
    "rulebook/proposal.py": "one question of the book's",
    **{
        f"strategies/{name}.py": "a strategy is as long as its idea"
        for name in ("stay_out", "buy_and_hold", "sma_cross", "random_policy")
    },
}


def modules() -> list[Path]:
    folders = [ROOT, *(ROOT / name for name in ("rulebook", "strategies", "kite", "exchange", "tools"))]
    return sorted(
        path for folder in folders for path in folder.rglob("*.py") if folder != ROOT or path.parent == ROOT
    )


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(nodes: object) -> set[str]:
    """Top names of what these nodes import."""
    found: set[str] = set()
    for node in nodes:  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    return found


def owner(path: Path) -> str:
    return path.stem if path.parent == ROOT else path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path):
    if owner(path) == "tools":
        assert set() == imported(ast.walk(tree(path))) & OURS
        return

    allowed = MAY_IMPORT[owner(path)] | {owner(path)}

    assert set() == (imported(ast.walk(tree(path))) & OURS) - allowed


def test_the_import_graph_has_no_cycle():
    """Imports for names of types (contradictions of settings) are no edges at run time."""
    edges = {name: targets for name, targets in MAY_IMPORT.items() if name != "contradictions"}
    done: set[str] = set()
    while edges:
        free = {name for name, targets in edges.items() if targets <= done | {"contradictions"}}
        assert free, f"a cycle among {sorted(edges)}"
        done |= free
        edges = {name: targets for name, targets in edges.items() if name not in free}


@pytest.mark.parametrize("path", [p for p in modules() if owner(p) == "rulebook"], ids=lambda p: p.name)
def test_the_rule_book_reads_no_clock_file_environment_or_randomness(path):
    names = imported(ast.walk(tree(path)))
    calls = {node.func.attr for node in ast.walk(tree(path))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}  # fmt: skip

    assert names <= set(sys.stdlib_module_names) | {"rulebook"}
    assert set() == names & BANNED_IN_THE_RULE_BOOK
    assert set() == calls & CLOCK_CALLS
    assert "open(" not in path.read_text()
    assert not re.search(r"\b(paper|backtest|live)\b", strip_comments(path.read_text()), re.IGNORECASE)


def strip_comments(source: str) -> str:
    """Code alone: the rule book must not know its caller, its prose may name them."""
    parsed = ast.parse(source)
    for node in ast.walk(parsed):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(parsed)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_heavy_is_imported_at_the_top_of_a_file(path):
    outside = imported(tree(path).body) - set(sys.stdlib_module_names) - OURS - LIGHT

    assert outside <= HEAVY_MAY_BE_IMPORTED_AT_THE_TOP.get(owner(path), set())


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_within_their_budgets(path):
    name = str(path.relative_to(ROOT))
    lines = path.read_text().count("\n")
    functions = [n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    sizes = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions}
    too_long = {f: size for f, size in sizes.items()
                if size > (ENTRY_MAIN_LINES_MOST if f == "main" else FUNCTION_LINES_MOST)}  # fmt: skip

    assert {} == {f: size for f, size in too_long.items() if f"{name}:{f}" not in TOO_LONG}
    assert lines <= MODULE_LINES_MOST or name in TOO_LONG
    assert (
        lines >= MODULE_LINES_LEAST
        or name in TOO_SHORT
        or path.name == "__init__.py"
        or owner(path) == "tools"
    )
    assert ast.get_docstring(tree(path)), "the first lines say which question the file answers"


def test_no_exception_from_a_budget_has_outlived_its_reason():
    short = {name for name in TOO_SHORT if (ROOT / name).read_text().count("\n") < MODULE_LINES_LEAST}

    assert set(TOO_SHORT) == short
    assert all((ROOT / name.split(":")[0]).exists() for name in TOO_LONG)


def test_no_file_of_the_root_is_named_like_a_standard_module():
    assert set() == {path.stem for path in ROOT.glob("*.py")} & set(sys.stdlib_module_names)


def test_folders_of_data_are_not_packages():
    """data.py beside data/ works only while data/ has no __init__.py."""
    assert [] == [name for name in ("data", "models", "config") if (ROOT / name / "__init__.py").exists()]


def keys(schema: dict[str, Any], part: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in part.get("properties", {}).items():
        reference = value.get("$ref") or next((v.get("$ref") for v in value.get("allOf", [])), None)
        inner = schema["$defs"][reference.split("/")[-1]] if reference else {}
        found += keys(schema, inner, f"{prefix}{name}.") if inner.get("properties") else [prefix + name]
    return found


def test_every_key_of_the_configuration_stands_in_the_readme():
    schema = json.loads((ROOT / "config" / "config.schema.json").read_text())
    readme = (ROOT / "README.md").read_text()

    assert [] == [key for key in keys(schema, schema) if f"`{key}`" not in readme]


def test_every_exit_code_stands_in_the_readme():
    from outcome import ExitCode

    readme = (ROOT / "README.md").read_text()

    assert [] == [
        int(code) for code in ExitCode if not re.search(rf"^\| {int(code)} \|", readme, re.MULTILINE)
    ]


def test_every_file_of_the_root_stands_in_the_readme_s_table():
    readme = (ROOT / "README.md").read_text()

    assert [] == [path.name for path in ROOT.glob("*.py") if f"`{path.name}`" not in readme]


@pytest.mark.parametrize("name", [f"requirements{each}.txt" for each in LOCKS])
def test_every_line_of_a_lock_is_one_exact_version_with_hashes(name):
    text = re.sub(r"\\\n", " ", (ROOT / name).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    pinned = re.compile(
        r"^[a-z0-9-]+==[\w.+]+( ; [^=<>!~]+[=<>!~]+ '[\w.]+'( and [^-]+)?)?( +--hash=sha256:[0-9a-f]{64})+$"
    )

    assert [] == [line[:80] for line in lines if not pinned.match(line)]


@pytest.mark.parametrize("name", [f"requirements{each}.in" for each in LOCKS])
def test_every_choice_is_exact_has_a_reason_and_stands_in_its_lock(name):
    lines = [
        line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith(("#", "-c"))
    ]
    lock = (ROOT / name.replace(".in", ".txt")).read_text()
    self_evident = {"mypy==2.4.1", "pandas-stubs==3.1.0.261029", "pytest==9.2.0", "ruff==0.17.5"}

    assert [] == [line for line in lines if "#" not in line and line.strip() not in self_evident]
    assert [] == [line for line in lines if f"\n{line.split('#')[0].strip()}" not in lock]


def test_torch_is_the_cpu_wheel_by_its_hash():
    lock = (ROOT / "requirements.txt").read_text()
    block = lock[lock.index("\ntorch==2.13.0") :].split("\n    # via")[0]

    assert "sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b" in block
    assert "nvidia" not in lock


def test_each_lint_exception_has_a_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text()
    config = tomllib.loads(text)["tool"]["ruff"]["lint"]
    lines = {
        rule: next(line for line in text.splitlines() if f'"{rule}"' in line) for rule in config["ignore"]
    }

    assert [] == [rule for rule, line in lines.items() if "#" not in line]


def test_nothing_that_looks_like_a_secret_is_in_the_sources():
    shapes = re.compile(r"(?i)(api_secret|access_token|hmac_key)\s*[=:]\s*['\"]?[a-z0-9]{24,}")
    sources = [*ROOT.glob("*.py"), *ROOT.glob("*.json"), ROOT / ".env.example", *modules()]

    assert [] == [str(path) for path in sources if shapes.search(path.read_text())]
