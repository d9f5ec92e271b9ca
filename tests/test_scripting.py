"""The named functions of trade.py: the rule book's own answers, and trades by a user's script."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import cli
import first_live
import scripting
import trade
from clock import SystemClock
from rulebook.events import Entered
from rulebook.records import Action, Enter, Exit, Side
from tests.conftest import GUARD, ROOT
from tests.local_exchange import Running, local_exchange
from tests.test_book import RULES, Desk, at
from tests.trader_house import TraderHouse

pytestmark = [pytest.mark.long, pytest.mark.torch, pytest.mark.alone, pytest.mark.timeout(300)]

NAMES = (
    "load_winner", "fetch_realtime_quotes", "build_live_features", "infer", "portfolio_state",
    "should_exit_long", "should_exit_short", "can_enter", "enter_trade", "exit_trade", "loop_until",
)  # fmt: skip


def test_trade_gives_every_function_of_the_interface_by_its_name():
    assert [] == [name for name in NAMES if getattr(trade, name) is not getattr(scripting, name)]


def test_a_script_s_run_has_what_the_command_line_without_a_flag_has():
    told = vars(cli.parser(trade.PROGRAM).parse_intermixed_args([]))
    ours = vars(scripting._run().args)

    assert {"mode", "end", "loop_ms", "confirm_live", "config", "json"} <= set(ours)
    assert {name: told[name] for name in ours if name != "level"} == {
        name: value for name, value in ours.items() if name != "level"
    }


# --- the rules --------------------------------------------------------------------------------------------


@given(
    st.sampled_from([Side.BUY, Side.SELL]),
    st.sampled_from(list(Action)),
    st.sampled_from([250, 500, 1_000, 1_500, 2_000]),
    st.integers(9_000, 11_000),
    st.integers(0, 600),
    st.integers(-700, 700),
)
def test_should_exit_answers_what_the_book_does_at_a_bar_s_close(side, said, trail_milli, fill, went, back):
    desk = Desk(RULES._replace(trail_milli=trail_milli))
    (entry,) = desk.close("10:00:00", A=(side.name, 0.9))
    desk.book.on(Entered(at("10:00:01"), "A", entry.qty, entry.qty * fill))
    p = desk.book.positions["A"]
    held = trade.Held("A", side, p.qty, p.entry_value / p.qty / 100, p.stop / 100, 0.0)
    assume(not any(isinstance(answer, Exit) for answer in desk.tick("10:01:00", fill + side * went)))
    held = trade.Held("A", side, held.qty, held.avg_price, held.stop, p.best / 100)
    price = fill + back
    wants = desk.close("10:05:00", price, A=(said.value, 0.1))

    ask = trade.should_exit_long if side is Side.BUY else trade.should_exit_short
    left = any(isinstance(answer, Exit) and answer.ticker == "A" for answer in wants)
    assert left == ask(said.value, price / 100, trail_milli / 1_000, held)


def test_a_long_and_a_short_are_not_mixed_up():
    held = trade.Held("A", Side.SELL, 1, 100.0, 101.0, 100.0)

    with pytest.raises(ValueError, match="held by a SELL"):
        trade.should_exit_long("HOLD", 100.0, 1.0, held)


@given(st.sampled_from(list(Action)), st.integers(0, 4), st.integers(1, 4))
def test_can_enter_answers_what_the_book_s_contest_does(said, active, most):
    assume(active <= most)
    desk = Desk(RULES._replace(max_concurrent=most), tickers="ABCDEF")
    for number, name in enumerate("BCDE"[:active]):
        desk.hold(name, clock=f"10:{5 * number:02d}:00")
    wants = desk.close("11:00:00", A=(said.value, 0.9))

    entered = any(isinstance(answer, Enter) for answer in wants)
    assert entered == trade.can_enter(True, said.value, active, {"max_concurrent_trades": most})
    assert not trade.can_enter(False, said.value, active, {"max_concurrent_trades": most})


class Oracle:
    """An engine that is asked, and remembers."""

    tickers = ("A", "B", "C")
    asked: Any = None

    def decide(self, windows: Any, is_there: Any) -> dict[str, tuple[str, float]]:
        self.asked = (windows, is_there)
        return {name: ("HOLD", 0.5) for name, there in zip(self.tickers, is_there, strict=True) if there}


def test_infer_asks_about_those_whose_features_are_numbers():
    windows = {"5m": np.zeros((4, 3, 2), np.float32), "15m": np.zeros((2, 3, 2), np.float32)}
    windows["15m"][1, 1] = np.nan
    engine = Oracle()

    found = trade.infer(engine, windows)  # type: ignore[arg-type]

    assert {"A": ("HOLD", 0.5), "C": ("HOLD", 0.5)} == found
    assert np.isfinite(engine.asked[0]["15m"]).all()


# --- by a script ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, TraderHouse]]:
    with local_exchange("--symbols", "50", speed="10", start="2026-11-20T09:50") as running:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("ZERODHA_API_KEY", "ZERODHA_API_SECRET", "LEDGER_HMAC_KEY"):
                patch.delenv(name, raising=False)
            house = TraderHouse(tmp_path_factory.mktemp("script") / "house", running).prepare(margin=9.0)
        yield running, house


def script(house: TraderHouse, text: str) -> Any:
    """What it prints as JSON; or the name and words of the error that ended it."""
    body = f"import json\nfrom trade import *\nfrom outcome import *\ntry:\n    found = ({text})\n"
    body += "except SuiteError as error:\n    found = {'error': type(error).__name__, 'text': str(error)}\n"
    body += "print(json.dumps(found, default=str))\n"
    path = os.pathsep.join((str(ROOT), str(GUARD)))
    done = subprocess.run(
        [sys.executable, "-c", body], cwd=house.folder, env={**house.everything(), "PYTHONPATH": path},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def last_price(house: TraderHouse, ticker: str) -> float:
    return float(script(house, f"fetch_realtime_quotes(['{ticker}'])['last'][0]"))


def enter(
    house: TraderHouse, side: str, mode: str, qty: int = 5, away: float = 0.01, ticker: str = "INFY"
) -> Any:
    stop = last_price(house, ticker) * (1 - away if side == "BUY" else 1 + away)
    return script(house, f"enter_trade('{ticker}', '{side}', {qty}, {stop}, '{mode}')")


POSITIONS = "(lambda p: {'ok': p.is_reconciled, 'ours': [[h.ticker, h.side.name, h.qty, h.stop] for h in p.ours], 'foreign': p.foreign})(portfolio_state())"


def test_a_script_sees_quotes_features_and_the_winner_s_word(floor):
    _, house = floor
    text = (
        "(lambda q, e, c: [q.columns.tolist(), q['ticker'].tolist(),"
        " {n: list(w.shape) for n, w in build_live_features(q, c).items()},"
        " infer(e, build_live_features(q, c)), infer(e, build_live_features(q[q['ticker'] == 'TCS'], c))])"
        "(fetch_realtime_quotes(['INFY', 'TCS']), load_winner('models/winner'), {})"
    )
    columns, tickers, shapes, both, one = script(house, text)

    assert ["ticker", "last", "bid", "ask", "depth", "at"] == columns
    assert ["INFY", "TCS"] == tickers
    assert {"5m": [32, 2, 29], "15m": [16, 2, 29]} == shapes
    assert ["INFY", "TCS"] == list(both) and ["TCS"] == list(one)


def test_on_paper_a_script_enters_and_leaves_and_the_broker_hears_nothing(floor):
    running, house = floor
    found = enter(house, "BUY", "paper")
    held = script(house, POSITIONS)
    again = enter(house, "BUY", "paper")
    left = script(house, "exit_trade('INFY', 'paper')")
    left_again = script(house, "exit_trade('INFY', 'paper')")
    flat = script(house, POSITIONS)

    assert {"entry_order_id", "stop_order_id", "avg_fill_price"} == set(found), found
    assert found["entry_order_id"] and found["stop_order_id"] and found["avg_fill_price"] > 0
    ((ticker, side, qty, stop),) = held["ours"]
    assert ("INFY", "BUY", 5, True) == (ticker, side, qty, held["ok"])
    assert 0 < found["avg_fill_price"] - stop
    assert ("RefusedError", True) == (again["error"], "there is a trade in it already" in again["text"])
    assert None is left is left_again
    assert {"ok": True, "ours": [], "foreign": {}} == flat
    assert [] == running.truth()["orders"]
    assert 0 == house.trade("--fn", "ledger_verify").returncode


def test_the_gates_stand_before_a_script_s_entry_too(floor):
    _, house = floor
    too_many = enter(house, "BUY", "paper", qty=500)
    too_near = enter(house, "BUY", "paper", away=0.002)
    wrong_side = script(house, "enter_trade('INFY', 'BUY', 5, 99999.0, 'paper')")

    assert ["RefusedError"] * 3 == [each["error"] for each in (too_many, too_near, wrong_side)]
    assert "500 shares are meant; whole lots of 1 up to" in too_many["text"]
    assert "the round trip costs" in too_near["text"]
    assert "protects no BUY" in wrong_side["text"]


def test_nothing_but_the_configuration_makes_a_script_live(floor):
    _, house = floor

    found = script(house, "enter_trade('INFY', 'BUY', 5, 1.0, 'live')")

    assert "ConfigError" == found["error"]


def test_beside_a_trader_a_script_trades_nothing_and_reads_everything(floor):
    running, house = floor
    trader = house.start("--paper", "--end", "14:30:00")
    try:
        lock = house.folder / "data" / "state" / "trade.lock"
        until_s = time.monotonic() + 60
        while '"pid"' not in (lock.read_text() if lock.exists() else "") and time.monotonic() < until_s:
            running.control("GET", "state")
        entered = script(house, "enter_trade('INFY', 'BUY', 5, 1000.0, 'paper')")
        left = script(house, "exit_trade('INFY', 'paper')")
        seen = script(house, POSITIONS)
    finally:
        trader.send_signal(signal.SIGTERM)
        trader.communicate(timeout=60)

    assert ["BusyError"] * 2 == [entered["error"], left["error"]]
    assert f"pid {trader.pid}" in entered["text"]
    assert seen["ok"]


def test_after_a_halt_a_script_enters_nothing_and_says_how_to_unlock(floor):
    _, house = floor
    (house.folder / "data" / "state" / ".killswitch").touch()
    try:
        found = enter(house, "BUY", "paper")
    finally:
        for name in (".killswitch", "halted.lock"):
            (house.folder / "data" / "state" / name).unlink(missing_ok=True)

    assert "RefusedError" == found["error"]
    assert "python trade.py --fn unlock" in found["text"]


def go_live(running: Running, house: TraderHouse) -> None:
    house.configure(paper_trading=False)
    env = house.folder / ".env"
    if "DAILY_MAX_LOSS_R" not in env.read_text():
        env.write_text(env.read_text() + "DAILY_MAX_LOSS_R=3.0\n")
    host = running.ready["kite_api_url"].removeprefix("http://")
    first_live.confirmed(house.folder / "data" / "state", host, "LX0001", True, SystemClock())


def test_live_entry_and_stop_are_at_the_broker_and_the_exit_is_the_stop_itself(floor):
    running, house = floor
    go_live(running, house)
    found = enter(house, "SELL", "live", ticker="TCS", qty=2)
    before = {order["order_id"]: order for order in running.truth()["orders"]}
    held = script(house, POSITIONS)
    left = script(house, "exit_trade('TCS', 'live')")
    after = {order["order_id"]: order for order in running.truth()["orders"]}

    assert "error" not in found, found
    assert "COMPLETE" == before[found["entry_order_id"]]["status"]
    assert "TRIGGER PENDING" == before[found["stop_order_id"]]["status"]
    assert [["TCS", "SELL", 2]] == [each[:3] for each in held["ours"]]
    assert left is None
    assert set(before) == set(after)
    assert "COMPLETE" == after[found["stop_order_id"]]["status"]


def test_a_session_goes_on_from_what_a_script_has_left(floor):
    """The journal and the broker know it all: the next session holds the position and closes it at its end."""
    running, house = floor
    go_live(running, house)
    found = enter(house, "BUY", "live", ticker="INFY")
    now = datetime.fromisoformat(running.control("GET", "state")["now"])
    done = house.trade("--end", f"{now + timedelta(minutes=5):%H:%M:%S}")

    assert "error" not in found, found
    assert 0 == done.returncode, done.stderr
    assert "INFY closed" in done.stderr
    assert {"COMPLETE"} == {order["status"] for order in running.truth()["orders"]}


def test_after_the_window_a_script_enters_nothing(floor):
    running, house = floor
    go_live(running, house)
    running.until("2026-11-20T15:01")
    found = enter(house, "BUY", "live")

    assert "RefusedError" == found["error"]
    assert "entries are taken from 09:20:00 until before 15:00:00" in found["text"]
