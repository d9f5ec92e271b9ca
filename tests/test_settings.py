"""config.json: what is accepted, and what a user reads when it is not."""

import json
import os
import resource
import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import date, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcome import ConfigError
from settings import Settings, json_schema, load_config, load_settings, persist_config
from tests.conftest import ROOT

TEMPLATE = json.loads((ROOT / "config.json").read_text())


def written(folder: Path, **changes) -> Path:
    """The template with some top-level keys replaced; None removes a key."""
    config = {k: v for k, v in {**TEMPLATE, **changes}.items() if v is not None}
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


def complaint(path: Path, **kwargs) -> str:
    with pytest.raises(ConfigError) as error:
        load_settings(path, **kwargs)
    return str(error.value).replace(str(path), "config.json")


def test_the_shipped_template_has_the_contract_s_values():
    settings = load_settings(ROOT / "config.json")

    assert "Asia/Kolkata" == settings.timezone
    assert (time(9, 20), time(15, 0), time(15, 8)) == (
        settings.safe_trading_start, settings.safe_trading_end, settings.hard_trading_end,
    )  # fmt: skip
    assert {"5m": 256, "15m": 128} == settings.lookbacks
    assert (1.0, 1.5, 10000.0, 1.0, 3) == (
        settings.trailing_stop_r, settings.initial_stop_atr, settings.capital_per_ticker,
        settings.leverage, settings.max_concurrent_trades,
    )  # fmt: skip
    assert settings.paper_trading is True
    assert (0.05, 10, 250, 15) == (
        settings.winner_min_avg_reward, settings.max_slippage_bps,
        settings.order_min_interval_ms, settings.max_orders_per_minute,
    )  # fmt: skip
    assert (12, 3, 3, 4) == (
        settings.risk.max_trades_per_day, settings.risk.cooldown_bars,
        settings.risk.price_band_atr, settings.risk.min_stop_cost_multiple,
    )  # fmt: skip


def test_values_are_frozen():
    settings = load_settings(ROOT / "config.json")

    with pytest.raises(FrozenInstanceError):
        settings.leverage = 5.0  # type: ignore[misc]


def test_folders_lie_beside_the_file(tmp_path):
    settings = load_settings(written(tmp_path))

    assert tmp_path / "data" / "raw" == settings.paths.raw
    assert tmp_path / "data" / "state" == settings.state


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trailing_stopp_r": 1}, "trailing_stopp_r: unknown key; did you mean trailing_stop_r?"),
        ({"zzz": 1}, "zzz: unknown key; remove it"),
        ({"index": None}, "index: missing; add it: The index whose constituents are traded, e.g. NIFTY50."),
        ({"trailing_stop_r": -1}, "trailing_stop_r: -1 is not allowed; it must be greater than 0"),
        ({"paper_trading": "yes"}, 'paper_trading: "yes" is not allowed; it must be a valid boolean'),
        ({"paper_trading": 1}, "paper_trading: 1 is not allowed; it must be a valid boolean"),
        ({"leverage": 9}, "leverage: 9 is not allowed; it must be less than or equal to 5"),
        ({"leverage": "1"}, 'leverage: "1" is not allowed; it must be a valid number'),
        ({"lookbacks": {"5m": 7, "15m": 128}}, "lookbacks.5m: 7 is not allowed; it must be greater than or equal to 8"),
        ({"timeframes": []}, "timeframes: [] is not allowed; it must have at least 1 item after validation, not 0"),
        ({"timeframes": ["5m", "7m"]}, "timeframes.1: \"7m\" is not allowed; it must be '1m', '3m', '5m', '15m', '1h' or '1d'"),
        ({"safe_trading_start": "9:20"}, 'safe_trading_start: "9:20" is not allowed; wanted: No decision before, HH:MM:SS.'),
        ({"safe_trading_start": "09:20:00Z"}, 'safe_trading_start: "09:20:00Z" is not allowed; wanted: No decision before, HH:MM:SS.'),
        ({"tickers": ["infy"]}, 'tickers.0: "infy" is not allowed; wanted: NSE symbols; `fetch.py index` refreshes them, empty at first.'),
        ({"timezone": "Asia/Bombay2"}, 'timezone: "Asia/Bombay2" is not allowed; wanted: Time zone of every trading window, e.g. Asia/Kolkata; TZ in .env only formats output.'),
        ({"risk": {"max_spread": 3}}, "risk.max_spread: unknown key; did you mean max_spread_bps?"),
        ({"risk": {"min_confidence": 2}}, "risk.min_confidence: 2 is not allowed; it must be less than or equal to 1"),
        ({"paths": {k: v for k, v in TEMPLATE["paths"].items() if k != "raw"}}, "paths.raw: missing; add it: Candles as downloaded."),
        ({"holdout": 5}, "holdout: 5 is not allowed; it must be an object"),
    ],
)  # fmt: skip
def test_each_wrong_key_gets_its_sentence(tmp_path, changes, sentence):
    assert f"config.json has 1 problem:\n  {sentence}" == complaint(written(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"timeframes": ["1m", "5m"], "lookbacks": {"5m": 64}}, "lookbacks: no entry for 1m, which timeframes lists; add it"),
        ({"from_dates": {"5m": "2024-01-01"}}, "from_dates: no entry for 15m, which timeframes lists; add it"),
        ({"timeframes": ["5m", "5m"]}, "timeframes: 5m stands there twice; keep one"),
        ({"tickers": ["TCS", "INFY", "TCS"]}, "tickers: TCS stands there twice; keep one"),
        ({"actions": ["SELL", "BUY", "HOLD"]}, 'actions: ["SELL", "BUY", "HOLD"] is not allowed; it must be ["BUY", "SELL", "HOLD"], in this order'),
        ({"hard_trading_end": "14:59:00"}, "safe_trading_start 09:20:00, safe_trading_end 15:00:00, hard_trading_end 14:59:00: each must be later than the one before"),
        ({"holdout": {}}, 'holdout: write {"start": ..., "end": ...} or {"last_sessions": N}, one of the two'),
        ({"holdout": {"start": "2026-01-01"}}, 'holdout: write {"start": ..., "end": ...} or {"last_sessions": N}, one of the two'),
        ({"holdout": {"start": "2026-03-01", "end": "2026-02-01"}}, "holdout: it ends 2026-02-01, before it starts 2026-03-01"),
        ({"holdout": {"start": "2024-11-01", "end": "2026-02-01"}}, "holdout.start: 2024-11-01 leaves nothing to train on; from_dates begin 2024-11-01"),
        ({"holdout": {"start": "2026-01-01", "end": "2026-12-01"}}, "holdout.end: 2026-12-01 lies in the future; today is 2026-11-20"),
        ({"risk": {"max_notional_per_order": 5000}}, "risk.max_notional_per_order: 5000.0 refuses every trade of capital_per_ticker x leverage = 10000.0"),
        ({"risk": {"max_notional_per_order": 50000, "max_notional_total": 20000}}, "risk.max_notional_per_order: 50000.0 is above risk.max_notional_total, 20000.0"),
        ({"max_concurrent_trades": 13}, "max_concurrent_trades: 13 can never be open at once with risk.max_trades_per_day 12"),
        ({"order_min_interval_ms": 6000}, "max_orders_per_minute: 15 cannot be reached with order_min_interval_ms 6000; at most 10"),
        ({"paths": {**TEMPLATE["paths"], "raw": "data/ledger"}}, "paths: data/ledger is named twice; each needs a folder of its own"),
    ],
)  # fmt: skip
def test_each_contradiction_gets_its_sentence(tmp_path, changes, sentence):
    found = complaint(written(tmp_path, **changes), today=date(2026, 11, 20))

    assert f"config.json has 1 problem:\n  {sentence}" == found


def test_everything_wrong_is_reported_at_once_contradictions_included(tmp_path):
    found = complaint(written(tmp_path, index=None, leverage=9, zzz=1, hard_trading_end="12:00:00"))

    assert found.startswith("config.json has 4 problems:")
    assert {"index", "leverage", "zzz", "safe_trading_start"} == {
        line.split()[0].rstrip(":") for line in found.splitlines()[1:]
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{\n "a": 1,\n "b" 2}', "config.json:3:6: not JSON: expecting ':' delimiter"),
        ("", "config.json:1:1: not JSON: expecting value"),
        ("[]", "config.json must be one JSON object, {...}"),
        ('{"a": 1, "a": 2}', "config.json cannot be read: the key 'a' stands there twice; keep one"),
        ('{"leverage": NaN}', "config.json cannot be read: NaN is not a number that JSON allows"),
    ],
)
def test_broken_json_is_located(tmp_path, text, sentence):
    path = tmp_path / "config.json"
    path.write_text(text)

    assert sentence == complaint(path)


def test_a_missing_file_names_the_remedy(tmp_path):
    assert "config.json is missing; restore it with: git checkout config.json" == complaint(
        tmp_path / "config.json"
    )


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe{}")

    assert complaint(path).startswith("config.json cannot be read: ")


def test_persisting_what_was_loaded_changes_no_byte(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes((ROOT / "config.json").read_bytes())
    persist_config(load_config(path), path)

    assert (ROOT / "config.json").read_bytes() == path.read_bytes()


def test_persisting_keeps_the_order_of_the_keys_and_their_letters(tmp_path):
    path = written(tmp_path)
    config = {key: TEMPLATE[key] for key in reversed(TEMPLATE)}
    config["index"] = "NIFTY \u20b9"
    persist_config(config, path)

    assert list(config) == list(json.loads(path.read_text("utf-8")))
    assert "\u20b9" in path.read_text("utf-8")


def test_persisting_an_invalid_configuration_is_refused_and_the_old_file_stands(tmp_path):
    path = written(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="leverage"):
        persist_config({**TEMPLATE, "leverage": 0}, path)

    assert before == path.read_bytes()


def test_a_disk_that_fills_while_persisting_leaves_the_old_file(tmp_path):
    """The limit on a file's size fails the write as a full disk does, and binds root too."""
    path = written(tmp_path)
    before = path.read_bytes()
    code = (
        "import json, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "import pydantic; from settings import load_config, persist_config; path = sys.argv[1];"
        "config = load_config(path); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "persist_config(config, path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}"},
    )  # fmt: skip

    assert resource.RLIMIT_FSIZE is not None
    assert done.returncode != 0
    assert "the old file stands" in done.stderr
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_the_published_schema_is_the_one_the_code_makes():
    published = json.loads((ROOT / "config" / "config.schema.json").read_text())

    assert published == json_schema(), "write it anew: make schema"


def test_every_key_of_the_schema_says_what_it_means():
    schema = json_schema()
    sections = [schema, *schema["$defs"].values()]
    silent = [key for part in sections for key, value in part.get("properties", {}).items() if "description" not in value]  # fmt: skip

    assert [] == silent


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(TEMPLATE)) | st.text(max_size=10), value=json_values)
def test_any_value_under_any_key_is_accepted_or_refused_by_name(tmp_path_factory, key, value):
    path = written(tmp_path_factory.mktemp("any"))
    path.write_text(json.dumps({**TEMPLATE, key: value}))
    try:
        accepted = isinstance(load_settings(path), Settings)
    except ConfigError as error:
        accepted = key in str(error)

    assert accepted
