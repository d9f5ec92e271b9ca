"""A dry run through the front door, at every hour; and what it makes of verdicts."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import dry_run_report as report
from looking import reads_only
from rulebook.gates import GATE_NAMES, Verdict
from rulebook.hours import IST
from rulebook.records import Action
from tests.local_exchange import Running, local_exchange
from tests.trader_house import TraderHouse

pytestmark = [pytest.mark.long, pytest.mark.torch, pytest.mark.alone, pytest.mark.timeout(300)]

AT = datetime(2026, 11, 20, 11, 0, tzinfo=IST)
OPEN = report.Where(AT, "127.0.0.1:1", "LX0001", is_trading=True)
SHUT = report.Where(AT, "127.0.0.1:1", "LX0001", is_trading=False)


def verdicts(**failing: float) -> tuple[Verdict, ...]:
    """All gates pass but these, at those values."""
    return tuple(
        Verdict(
            name, failing.get(name, 1.0), 7.0, name not in failing, "it is {value:g}; {threshold:g} may be"
        )
        for name in GATE_NAMES
    )


def both(**failing: float) -> dict[Action, tuple[Verdict, ...]]:
    return dict.fromkeys((Action.BUY, Action.SELL), verdicts(**failing))


def said(found: report.Verdicts, where: report.Where = OPEN, **more: Any) -> Any:
    return report.answer(found, where, report.Whys(**more))


# --- the report -------------------------------------------------------------------------------------------


def test_where_every_gate_passes_the_code_is_0_and_all_gates_of_the_account_are_shown():
    answer = said({"INFY": both(), "TCS": both()})

    assert 0 == answer.code
    assert [] == answer.data["blocking"]
    assert {"kill_switch", "winner", "feed", "session_window"} < {row["name"] for row in answer.data["gates"]}
    assert "every gate passes" in answer.text and "2 of 2 tickers may be entered" in answer.text


def test_a_gate_of_the_account_blocks_and_is_named_with_value_threshold_and_sentence():
    answer = said({"INFY": both(winner=3.5)})

    assert 3 == answer.code
    assert answer.data["blocking"] == [
        {"name": "winner", "value": 3.5, "threshold": 7.0, "passed": False, "sentence": "it is 3.5; 7 may be"}
    ]
    assert "  NO  winner                  3.5 / 7                       it is 3.5; 7 may be" in answer.text


def test_what_is_known_beyond_the_gate_is_said_behind_its_sentence():
    answer = said(
        {"INFY": both(winner=3.5)}, gates={"winner": "model.pt: no model", "token": "not asked for"}
    )

    assert "it is 3.5; 7 may be (model.pt: no model)" in answer.text
    assert "not asked for" not in answer.text


@pytest.mark.parametrize("name", sorted(report.REPORTED))
def test_day_and_window_are_reported_and_never_judged(name):
    answer = said({"INFY": both(**{name: 3.5})})

    assert 0 == answer.code
    assert f"  --  {name}" in answer.text


@pytest.mark.parametrize("name", sorted(report.OF_PRICES))
def test_prices_are_judged_while_they_move_and_reported_while_they_do_not(name):
    found = {"INFY": both(**{name: 3.5})}

    assert 3 == said(found, OPEN).code
    assert 0 == said(found, SHUT).code


@pytest.mark.parametrize("name", sorted(set(GATE_NAMES) - report.REPORTED - report.OF_PRICES))
def test_every_other_gate_is_judged_at_every_hour(name):
    found = {"INFY": both(**{name: 3.5})}

    assert 3 == said(found, OPEN).code == said(found, SHUT).code


def test_a_ticker_is_kept_out_alone_and_told():
    answer = said({"INFY": both(spread=32.0), "TCS": both()})

    assert 0 == answer.code
    assert "1 of 2 tickers may be entered" in answer.text
    assert "  INFY          spread: 32 / 7: it is 32; 7 may be" in answer.text
    assert ["spread"] == [each["name"] for each in answer.data["tickers"]["INFY"]["BUY"]]
    assert {"BUY": [], "SELL": []} == answer.data["tickers"]["TCS"]


def test_one_side_that_may_be_entered_is_enough():
    one_side = {Action.BUY: verdicts(depth=5.0), Action.SELL: verdicts()}

    assert 0 == said({"INFY": one_side}).code
    assert "depth (BUY only): 5 / 7" in said({"INFY": one_side}).text


def test_when_no_ticker_is_left_their_gates_block():
    answer = said({"INFY": both(spread=32.0), "TCS": both(cooldown=1.0)})

    assert 3 == answer.code
    assert ["spread", "cooldown"] == [each["name"] for each in answer.data["blocking"]]


def test_candles_that_are_missing_are_code_5_unless_a_gate_blocks_as_well():
    assert 5 == said({"INFY": both()}, data="the candles on disk end nowhere").code
    assert 3 == said({"INFY": both(winner=1.0)}, data="the candles on disk end nowhere").code


def test_what_is_no_read_is_not_even_tried():
    tried: list[bool] = []
    submit = reads_only(lambda _, *, is_read: tried.append(is_read))

    submit(lambda: None, is_read=False)
    submit(lambda: None, is_read=True)

    assert [True] == tried


# --- through the front door -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, TraderHouse]]:
    """In the middle of a trading day, at ten times the pace of life."""
    with local_exchange("--symbols", "50", speed="10", start="2026-11-20T10:58") as running:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("ZERODHA_API_KEY", "ZERODHA_API_SECRET", "LEDGER_HMAC_KEY"):
                patch.delenv(name, raising=False)
            house = TraderHouse(tmp_path_factory.mktemp("trader") / "house", running).prepare()
        yield running, house


def looked(house: TraderHouse) -> tuple[int, dict[str, Any]]:
    done = house.trade("--dry-run", "--json", timeout_s=120.0)
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert document["results"], done.stderr
    assert done.returncode == document["exit_code"]
    return done.returncode, document["results"][0]["result"]


def blocked_by(data: dict[str, Any]) -> list[str]:
    return [each["name"] for each in data["blocking"]]


def forget_the_halt(house: TraderHouse) -> None:
    for name in (".killswitch", "halted.lock"):
        (house.folder / "data" / "state" / name).unlink(missing_ok=True)


@pytest.mark.parametrize("mode", ["raw_http", "kite_sdk"])
def test_a_dry_run_passes_in_the_middle_of_a_day_and_leaves_nothing_behind(floor, mode):
    running, house = floor
    env = house.folder / ".env"
    before = env.read_text()
    env.write_text(before.replace("BROKER_MODE=raw_http", f"BROKER_MODE={mode}"))
    try:
        code, data = looked(house)
    finally:
        env.write_text(before)

    assert [] == blocked_by(data)
    assert 0 == code
    assert data["is_trading"]
    assert {"INFY": {"BUY": [], "SELL": []}, "TCS": {"BUY": [], "SELL": []}} == data["tickers"]
    assert [] == running.truth()["orders"]
    assert [] == list((house.folder / "data").rglob("journal*")) + list(
        (house.folder / "data").rglob("account*")
    )


def test_without_a_winner_it_is_refused(floor):
    _, house = floor
    models = house.folder / "models"
    aside = models.rename(house.folder / "aside")
    try:
        code, data = looked(house)
    finally:
        aside.rename(models)

    assert 3 == code
    assert ["winner"] == blocked_by(data)
    assert "no model; promote a model: python train.py" in data["blocking"][0]["sentence"]


def test_a_torn_winner_is_refused(floor):
    _, house = floor
    model = house.folder / "models" / "winner" / "model.pt"
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    try:
        code, data = looked(house)
    finally:
        model.write_bytes(whole)

    assert (3, ["winner"]) == (code, blocked_by(data))


def test_a_winner_below_the_threshold_is_refused_with_both_numbers(floor):
    _, house = floor
    house.promote(avg_reward=0.049)
    try:
        code, data = looked(house)
    finally:
        house.promote()

    assert (3, ["winner"]) == (code, blocked_by(data))
    assert (0.049, 0.05) == (data["blocking"][0]["value"], data["blocking"][0]["threshold"])


def test_a_frozen_market_is_noticed_and_waited_for_no_longer_than_the_patience(floor):
    running, house = floor
    running.break_with("frozen_price")
    began_s = time.monotonic()
    try:
        code, data = looked(house)
    finally:
        running.heal()

    assert 3 == code
    assert {"feed", "clock_drift"} <= set(blocked_by(data))
    assert 40 > time.monotonic() - began_s


@pytest.mark.parametrize("where", ["GET /user/margins*", "GET /orders", "GET /instruments/historical*"])
def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_the_network_contract_says(floor, where):
    running, house = floor
    running.break_with("slow", where=where, value=3_000_000)
    began_s = time.monotonic()
    try:
        code, data = looked(house)
    finally:
        running.heal()

    assert 3 == code
    assert data["blocking"]
    assert 100 > time.monotonic() - began_s


def test_beside_a_trader_it_says_so_and_disturbs_nobody(floor):
    running, house = floor
    trader = house.start("--paper", "--end", "14:00:00")
    try:
        lock = house.folder / "data" / "state" / "trade.lock"
        waited_until_s = time.monotonic() + 60
        while (
            '"pid"' not in (lock.read_text() if lock.exists() else "") and time.monotonic() < waited_until_s
        ):
            running.control("GET", "state")
        code, data = looked(house)
        is_running = trader.poll() is None
    finally:
        trader.send_signal(signal.SIGTERM)
        _, errors = trader.communicate(timeout=60)
        forget_the_halt(house)

    assert 3 == code
    assert ["no_second_instance"] == blocked_by(data)
    assert f"trade.py (pid {trader.pid})" in data["blocking"][0]["sentence"]
    assert is_running
    assert 130 == trader.returncode, errors


def test_a_day_that_was_halted_stays_so_and_the_gate_says_by_whom(floor):
    _, house = floor
    switch = house.folder / "data" / "state" / ".killswitch"
    switch.touch()
    try:
        code, data = looked(house)
    finally:
        forget_the_halt(house)

    assert 3 == code
    assert ["kill_switch"] == blocked_by(data)
    assert ".killswitch is there" in data["blocking"][0]["sentence"]


def test_after_the_close_prices_are_reported_and_not_judged(floor):
    running, house = floor
    running.until("2026-11-20T16:30")
    code, data = looked(house)

    assert (0, []) == (code, blocked_by(data))
    assert not data["is_trading"]
    assert {"feed": (False, False), "session_window": (False, False)} == {
        row["name"]: (row["judged"], row["passed"])
        for row in data["gates"]
        if row["name"] in ("feed", "session_window")
    }


def test_with_a_dead_token_nothing_is_asked_and_it_says_how_to_log_in(floor):
    running, house = floor
    running.until("2026-11-21T10:00")
    done = house.trade("--dry-run")

    assert 4 == done.returncode
    assert "log in with: python fetch.py --fn login" in done.stderr


def test_on_a_day_off_the_label_is_reported_and_old_candles_are_code_5_until_they_are_fetched(floor):
    running, house = floor
    running.until("2026-11-21T10:30")
    house.log_in()
    code, data = looked(house)
    fetched = house.fetch("history", "impute")
    code_then, then = looked(house)

    day = next(row for row in data["gates"] if row["name"] == "trading_day")
    assert (False, False) == (day["passed"], day["judged"])
    assert "Saturday" in day["sentence"]
    assert (5, []) == (code, blocked_by(data))
    assert "the candles on disk end on 2026-11-20 at " in data["candles"]
    assert 0 == fetched.returncode
    assert (0, [], None) == (code_then, blocked_by(then), then["candles"])


def test_before_the_open_it_passes(tmp_path: Path):
    with local_exchange("--symbols", "50", speed="10", start="2026-11-20T08:30") as running:
        house = TraderHouse(tmp_path / "house", running).prepare()
        code, data = looked(house)

    assert (0, []) == (code, blocked_by(data))
    assert not data["is_trading"]
