"""fetch.py as its user runs it: from nothing to features, again, interrupted, refused. The exchange is real."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from candle_store import FILLED, origin_of, path_of, read_candles
from processed import path_of as features_of
from tests.conftest import CANARIES, ROOT
from tests.desk import Desk
from tests.local_exchange import Running, local_exchange

pytestmark = pytest.mark.long

TICKERS = ("INFY", "TCS")
MODES = ("kite_sdk", "raw_http")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """After the close, twenty times as fast as life: the broker's three requests a second are sixty."""
    with local_exchange("--symbols", "50", speed="20", start="2026-11-20T17:30") as running:
        yield running


@pytest.fixture(params=MODES)
def desk(request, tmp_path, running) -> Desk:
    running.heal()
    return Desk(tmp_path, running, request.param)


@pytest.fixture
def ours(tmp_path, running) -> Desk:
    """Logged in, one mode: where the transport is not the question."""
    running.heal()
    desk = Desk(tmp_path, running, "raw_http")
    desk.log_in()
    return desk


def test_from_nothing_to_features_and_again_there_is_nothing_to_do(desk):
    desk.log_in()
    first = desk.fetch("index")
    done = desk.fetch("--symbols", ",".join(TICKERS), "--json", "token", "history", "impute")
    again = desk.fetch("--symbols", ",".join(TICKERS), "history", "impute")
    history, imputed = (result["result"] for result in json.loads(done.stdout)["results"][1:])
    config = json.loads((desk.folder / "config.json").read_text())

    assert (0, 0, 0) == (first.returncode, done.returncode, again.returncode), first.stderr + done.stderr
    assert 50 == len(config["tickers"])
    assert "NIFTY 50: 50 tickers from NSE's archive; 50 new, 0 gone" in first.stdout
    assert (4, 4) == (history["requests"], history["files"])
    assert 4 == imputed["feature_files"]
    assert ["nothing to do: 4 files are up to date", "0 bars filled; 0 feature files made anew"] == (
        again.stdout.splitlines()
    )
    for ticker in TICKERS:
        for timeframe in ("5m", "15m"):
            assert FILLED in read_candles(desk.raw, ticker, timeframe).columns
            assert features_of(desk.folder / "data" / "processed", ticker, timeframe).exists()


def test_the_token_is_kept_for_its_owner_alone_and_shown_to_nobody(ours):
    text = (ours.folder / ".env").read_text()
    token = text.partition("ZERODHA_ACCESS_TOKEN=")[2].strip()
    shown = ours.fetch("--fn", "ensure_token", "--verbose")

    assert text.startswith("# mine\nBROKER_MODE=raw_http\n")
    assert 0o600 == (ours.folder / ".env").stat().st_mode & 0o777
    assert f"the access token works (...{token[-4:]})" in shown.stdout
    assert token not in shown.stdout + shown.stderr
    assert not any(canary in text for canary in CANARIES.values())


@pytest.mark.parametrize(
    ("without", "code", "sentence"),
    [
        ("BROKER_MODE", 2, "BROKER_MODE is not set: set BROKER_MODE=kite_sdk in .env"),
        ("ZERODHA_API_KEY", 2, "ZERODHA_API_KEY is not set: it is shown by developers.kite.trade"),
    ],
)
def test_what_is_missing_is_named(ours, without, code, sentence):
    ours.environ.pop(without, None)
    text = (ours.folder / ".env").read_text()
    (ours.folder / ".env").write_text(
        text.replace("BROKER_MODE=raw_http\n", "") if without == "BROKER_MODE" else text
    )
    environ = {name: value for name, value in ours.everything().items() if name != without}
    done = subprocess.run(
        [sys.executable, str(ROOT / "fetch.py"), "token"], cwd=ours.folder, env=environ,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert code == done.returncode
    assert sentence in done.stderr


def test_without_a_token_it_says_how_to_log_in(tmp_path, running):
    done = Desk(tmp_path, running, "raw_http").fetch("token")

    assert 2 == done.returncode
    assert "log in with: python fetch.py --fn login" in done.stderr


def test_a_dead_token_is_exit_code_4_and_says_how_to_log_in(ours):
    ours.running.break_with("second_login", count=1)
    done = ours.fetch("--symbols", "INFY", "history")

    assert 4 == done.returncode
    assert "log in with: python fetch.py --fn login" in done.stderr


def test_an_address_that_is_not_the_broker_s_is_refused(ours):
    ours.environ["KITE_API_URL"] = "https://api.kite.trade.evil.example"
    done = ours.fetch("token")

    assert 2 == done.returncode
    assert "KITE_API_URL" in done.stderr


def test_an_unknown_ticker_fails_and_the_others_are_complete(ours):
    done = ours.fetch("--symbols", "INFY,NOSUCH", "--interval", "15m", "history")

    assert done.returncode != 0
    assert "1 of 2 tickers are not complete: NOSUCH" in done.stderr
    assert 25 * 20 < len(read_candles(ours.raw, "INFY", "15m"))


def test_killed_at_any_moment_it_goes_on_where_it_was(ours):
    """Each kill comes a little later; what is on disk can be read, and in the end nothing is missing."""
    args = [sys.executable, str(ROOT / "fetch.py"), "--symbols", "INFY,TCS", "history"]
    for _ in range(4):
        process = subprocess.Popen(args, cwd=ours.folder, env=ours.everything(), stderr=subprocess.DEVNULL)
        try:
            process.wait(1.2)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for ticker in TICKERS:
            if path_of(ours.raw, ticker, "5m").exists():
                assert len(read_candles(ours.raw, ticker, "5m"))
    done = ours.fetch("--symbols", "INFY,TCS", "history")
    fresh = ours.folder / "fresh"
    fresh.mkdir()
    other = Desk(fresh, ours.running, "raw_http")
    (fresh / ".env").write_bytes((ours.folder / ".env").read_bytes())
    other.fetch("--symbols", "INFY,TCS", "history")

    assert 0 == done.returncode
    for ticker in TICKERS:
        assert read_candles(other.raw, ticker, "5m").equals(read_candles(ours.raw, ticker, "5m"))


def test_where_candles_are_from_stands_beside_them(ours):
    ours.fetch("--symbols", "INFY", "--interval", "5m", "history")
    origin = origin_of(ours.raw, "INFY", "5m")

    assert origin is not None
    assert ("Kite Connect", "2026-11-02") == (origin.source, str(origin.asked_from))


def test_coverage_tells_what_is_whole_and_what_is_not(ours):
    ours.fetch("--symbols", "INFY", "history")
    text = ours.fetch("--symbols", "INFY,TCS", "--fn", "coverage").stdout
    told = json.loads(ours.fetch("--symbols", "INFY,TCS", "--fn", "coverage", "--json").stdout)
    infy, *_, tcs = told["results"][0]["result"]

    assert "5m: 1 of 2 tickers have every bar of every session" in text
    assert "  TCS: nothing on disk; get it with: python fetch.py history" in text
    assert (infy["sessions"], []) == (infy["whole"], infy["gaps"])
    assert "missing" == tcs["gaps"][0]["cause"]


def test_the_functions_that_other_code_calls(ours):
    code = """
import fetch, json
from datetime import datetime, timezone
start, end = (datetime(2026, 11, 19, hour, 45, tzinfo=timezone.utc) for hour in (3, 9))
found = fetch.fetch_history("INFY", "5m", start, end)
print(json.dumps([
    fetch.ensure_access_token()[-4:], len(found), fetch.existing_range("INFY", "5m")[0] is None,
    fetch.save_history(found, "INFY", "5m").name, len(fetch.impute(found)),
    fetch.existing_range("INFY", "5m")[0].isoformat(), len(fetch.get_index_tickers_from_nse("NIFTY50")),
    fetch.sync_instruments_cache().endswith("instruments"),
]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ours.folder,
        env={**ours.everything(), "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    token, bars, was_empty, name, whole, first, index, is_cached = json.loads(done.stdout or done.stderr)

    assert 4 == len(token)
    assert (72, True, "5m.parquet", 72) == (bars, was_empty, name, whole)
    assert ("2026-11-19T03:45:00+00:00", 50, True) == (first, index, is_cached)
