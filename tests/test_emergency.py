"""halt, flatten and unlock from another terminal: of a running trader, of one that was killed, of none at all."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clock import SystemClock

pytest.importorskip("torch")

from tests.local_exchange import Running, local_exchange
from tests.trader_house import TraderHouse

pytestmark = [pytest.mark.long, pytest.mark.torch, pytest.mark.alone, pytest.mark.timeout(300)]
PATIENCE_S = 90.0
MACHINE = SystemClock()
END = ("--end", "14:00:00")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with local_exchange("--symbols", "50", speed="10", start="2026-11-20T09:21") as running:
        yield running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, running: Running) -> TraderHouse:
    folder: Path = tmp_path_factory.mktemp("house")
    house = TraderHouse(folder, running, tickers="INFY,TCS,RELIANCE,SBIN")
    return house.prepare().go_live()


def until(happens: Callable[[], Any], what: str) -> Any:
    over_at_s = MACHINE.monotonic() + PATIENCE_S
    while MACHINE.monotonic() < over_at_s:
        found = happens()
        if found:
            return found
        MACHINE.wait(0.1)  # another process is at work
    raise AssertionError(f"{what} did not happen within {PATIENCE_S} s")


def resting(running: Running) -> list[Any]:
    return [order for order in running.truth()["orders"] if order["status"] == "TRIGGER PENDING"]


def net(running: Running) -> int:
    signed = {"BUY": 1, "SELL": -1}
    return sum(signed[order["side"]] * order["filled"] for order in running.truth()["orders"])


def test_a_halt_without_a_trader_needs_no_login_and_keeps_the_day_halted_until_it_is_unlocked(house):
    halted = house.trade("--fn", "halt")
    refused = house.trade(*END)
    unlocked = house.trade("--fn", "unlock")

    assert (0, "halt: no trader runs, and none has traded today\n") == (halted.returncode, halted.stdout)
    assert 3 == refused.returncode
    assert "python trade.py --fn unlock ends it" in refused.stderr
    assert (0, "unlocked: the next start trades again\n") == (unlocked.returncode, unlocked.stdout)


def test_a_running_trader_flattens_and_goes_on_and_what_a_killed_one_left_is_closed_in_its_place(
    house, running
):
    trader = house.start(*END)
    until(lambda: resting(running), "a stop at the broker")
    flat = house.trade("--fn", "flatten")
    until(lambda: net(running) == 0, "the flatten")

    assert 0 == flat.returncode
    assert flat.stdout.startswith("flatten: leaving ")
    assert trader.poll() is None

    until(lambda: resting(running), "another stop")
    trader.send_signal(signal.SIGKILL)
    trader.communicate()
    halted = house.trade("--fn", "halt")

    assert (0, 0, []) == (halted.returncode, net(running), resting(running)), halted.stderr
    assert "flat; the session ended by a command" in halted.stdout

    refused, unlocked = house.trade(*END), house.trade("--fn", "unlock")

    assert (3, 0) == (refused.returncode, unlocked.returncode)

    verified = house.trade("--fn", "ledger_verify")

    assert "the chain is whole" in verified.stdout


def test_a_trader_that_hangs_is_fenced_and_its_position_closed(house, running):
    trader = house.start(*END)
    until(lambda: resting(running), "a stop at the broker")
    trader.send_signal(signal.SIGSTOP)
    halted = house.trade("--fn", "halt")
    trader.communicate()

    assert -signal.SIGKILL == trader.returncode
    assert (0, 0, []) == (halted.returncode, net(running), resting(running)), halted.stderr
    assert 0 == house.trade("--fn", "unlock").returncode
