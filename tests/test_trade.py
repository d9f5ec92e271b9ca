"""A trader's day through the front door: the process, the local exchange, signals and files; nothing broken.

What counts is the exchange's own truth, the exit code, and the sentence that the user reads.
"""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.local_exchange import local_exchange  # noqa: E402
from tests.trader_house import (  # noqa: E402
    BARE_MOST_S,
    MinuteHouse,
    bare_s,
    cleared,
    entries,
    now_at,
    open_,
    ours,
    trading,
    working,
)

pytestmark = [pytest.mark.long, pytest.mark.torch, pytest.mark.alone, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Iterator[MinuteHouse]:
    with local_exchange("--symbols", "20", speed="20", start="2026-11-20T09:20") as running:
        house = MinuteHouse(tmp_path_factory.mktemp("trader"), running, tickers="INFY,TCS")
        house.configure(max_concurrent_trades=1)  # so that a second entry is one too many
        yield house.prepare()


@pytest.fixture
def house(ready: MinuteHouse, tmp_path: Path) -> Iterator[MinuteHouse]:
    yield ready.copied(tmp_path / "house")
    assert ({}, []) == cleared(ready.running), "the next test begins flat"


# --- from the start to the end ------------------------------------------------------------------------------


def test_a_session_on_paper_trades_and_the_broker_hears_of_no_order(house):
    since = now_at(house.running)
    with trading(house, "--paper", "--end", house.in_minutes(9)) as trader:
        trader.until_said("entered")
        second = house.trade("--paper")

        assert 6 == second.returncode, second.stderr
        assert f"pid {trader.process.pid}" in second.stderr
        assert 0 == trader.until_over(), trader.said()
    assert "flat at the end of the session" in trader.said()
    assert [] == ours(house.running, since)
    assert [] == [each for each in house.running.truth()["requests"] if each[1] >= since.isoformat()]
    assert len(house.facts("entered")) == len(house.facts("trade"))
    whole = house.trade("--fn", "ledger_verify")
    assert (0, True) == (whole.returncode, "the chain is whole" in whole.stdout)


def test_a_live_trader_that_is_killed_goes_on_with_the_same_position_until_it_is_flat_at_its_end(house):
    since = now_at(house.running)
    house.go_live()
    with trading(house) as first:
        stop = first.until_open()
        held = open_(house.running)
        first.kill()
    with trading(house) as second:
        second.until(lambda: len(house.facts("began")) > 1)  # it has begun to recover
        second.kill()
    with trading(house, "--end", house.in_minutes(6)) as third:
        third.until(lambda: "the session is awake" in third.said())

        assert held == open_(house.running)
        assert [stop["order_id"]] == [order["order_id"] for order in working(house.running)]
        assert 0 == third.until_over(), third.said()
    assert "flat at the end of the session" in third.said()
    assert [False, True, True] == [fact.is_recovery for fact in house.facts("began")]
    told = [fact.entry_order_id for fact in house.facts("trade")]
    assert [order["order_id"] for order in entries(house.running, since)] == told
    assert bare_s(house.running, since) <= BARE_MOST_S


# --- halted -------------------------------------------------------------------------------------------------


def test_a_signal_closes_what_is_open_and_the_day_stays_halted(house):
    since = now_at(house.running)
    house.go_live()
    with trading(house) as trader:
        trader.until_open()
        trader.process.send_signal(signal.SIGTERM)

        assert 130 == trader.until_over(), trader.said()
    assert ({}, []) == (open_(house.running), working(house.running))
    assert "flat; the session ended by a signal: SIGTERM was received" in trader.said()
    assert bare_s(house.running, since) <= BARE_MOST_S

    again = house.trade()
    assert 3 == again.returncode
    assert "SIGTERM was received; python trade.py --fn unlock ends it" in again.stderr


def test_the_switch_closes_what_is_open_and_keeps_the_day_halted(house):
    house.go_live()
    with trading(house) as trader:
        trader.until_open()
        (house.state / ".killswitch").touch()

        assert 3 == trader.until_over(), trader.said()
    assert ({}, []) == (open_(house.running), working(house.running))
    assert ".killswitch is there: halted until it is removed" in trader.said()

    (house.state / ".killswitch").unlink()  # a switch that flickers was seen all the same
    again = house.trade()
    assert 3 == again.returncode
    assert "python trade.py --fn unlock ends it" in again.stderr


def test_a_lost_day_stays_lost_though_its_lock_is_deleted(house):
    since = now_at(house.running)
    house.go_live(max_loss_r=0.01)
    with trading(house) as trader:
        assert 3 == trader.until_over(90.0), trader.said()
    assert "the day's loss: the day stands at -" in trader.said()
    assert {} == open_(house.running)
    asked = len(ours(house.running, since))

    again = house.trade()
    assert 3 == again.returncode
    assert "daily_loss.lock of 2026-11-20" in again.stderr

    (house.state / "daily_loss.lock").unlink()
    with trading(house) as third:
        assert 3 == third.until_over(), third.said()
    assert "the day's loss: the day stands at -" in third.said()
    assert asked == len(ours(house.running, since))


# --- it does not start --------------------------------------------------------------------------------------


def test_without_a_winner_nobody_trades_and_with_a_poor_one_only_on_paper(house):
    since = now_at(house.running)
    house.go_live()
    folder = house.folder / "models" / "winner"
    house.promote(avg_reward=0.01)
    poor = house.trade()
    assert 3 == poor.returncode, poor.stderr
    assert "the winner earned 0.01 R a trade on the holdout; live trading asks for 0.05 R" in poor.stderr

    (folder / "model.pt").write_bytes((folder / "model.pt").read_bytes()[:-100])
    torn = house.trade()
    assert 3 == torn.returncode, torn.stderr
    shutil.rmtree(folder)
    missing = house.trade("--paper")
    assert 3 == missing.returncode, missing.stderr
    assert "python train.py" in missing.stderr
    assert [] == ours(house.running, since)

    house.promote(avg_reward=0.01)
    with trading(house, "--paper") as trader:
        trader.until_said("entered")
        gates = {gate.name: gate for gate in house.facts("decision")[-1].verdicts}
        assert (0.01, True) == (gates["winner"].value, gates["winner"].passed)
        trader.process.send_signal(signal.SIGINT)
        assert 130 == trader.until_over()


@pytest.mark.parametrize(
    ("without", "code", "sentence"),
    [
        ("BROKER_MODE", 2, "BROKER_MODE is not set: set BROKER_MODE=kite_sdk in .env"),
        ("ZERODHA_ACCESS_TOKEN", 4, "log in with: python fetch.py --fn login"),
        ("DAILY_MAX_LOSS_R", 2, "DAILY_MAX_LOSS_R is not set: 3.0 is usual; live trading asks for it"),
    ],
)
def test_a_line_that_env_lacks_is_named(house, without, code, sentence):
    house.go_live()
    lines = house.env_file.read_text().splitlines()
    house.env_file.write_text("\n".join(line for line in lines if not line.startswith(without)) + "\n")
    done = house.trade()

    assert code == done.returncode, done.stderr
    assert sentence in done.stderr


def test_what_the_calendar_forbids_is_no_failure_and_old_candles_are_one(house):
    """The last of this module: its exchange goes on to Monday."""
    running, found = house.running, []
    house.go_live()
    for moment in ("2026-11-20T15:20", "2026-11-21T10:00", "2026-11-23T10:00"):
        running.until(moment)
        done = house.trade()
        found.append((done.returncode, done.stdout + done.stderr))
    house.take_token()
    stale = house.trade("--paper")

    over, saturday, dead = found
    assert (0, "the session of 2026-11-20 is over for today\n") == over
    assert (0, True) == (saturday[0], "2026-11-21 is no trading day" in saturday[1])
    assert (4, True) == (dead[0], "log in with: python fetch.py --fn login" in dead[1])
    assert 5 == stale.returncode, stale.stderr
    assert "the candles on disk end on 2026-11-20 at 09:" in stale.stderr  # when they were fetched
    assert "python fetch.py history impute" in stale.stderr
