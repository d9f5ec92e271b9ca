"""A trader's day with everything that breaks: token, stream, broker, disk, hands, and a process that stands still.

The exchange's own truth decides: no share of ours without a stop, no second entry, nothing of the user's own
touched. Bounds are in its time, which runs twenty times as fast as the machine's: they have room for that.
"""

import resource
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ledger_facts import StateIs  # noqa: E402
from tests.local_exchange import local_exchange  # noqa: E402
from tests.trader_house import (  # noqa: E402
    BARE_MOST_S,
    MACHINE,
    MinuteHouse,
    Trader,
    bare_s,
    by_hand,
    cleared,
    entries,
    now_at,
    open_,
    ours,
    stops,
    trading,
    working,
)

pytestmark = [pytest.mark.long, pytest.mark.torch, pytest.mark.alone, pytest.mark.timeout(300)]

SPEED = 20
SEEN_MOST_S = (
    8.0  # silence of 5 s is said; one second until the next look at it, and two of this machine's load
)
FULL_BYTES = (
    16_384  # of a file: less than the journal has after some orders, more than what is said on stderr
)


@pytest.fixture(scope="module")
def ready(tmp_path_factory) -> Iterator[MinuteHouse]:
    with local_exchange("--symbols", "20", speed=str(SPEED), start="2026-11-20T09:20") as running:
        house = MinuteHouse(tmp_path_factory.mktemp("trader"), running, tickers="INFY,TCS")
        house.configure(max_concurrent_trades=1)  # so that a second entry is one too many
        yield house.prepare()


@pytest.fixture
def house(ready: MinuteHouse, tmp_path: Path) -> Iterator[MinuteHouse]:
    made = ready.copied(tmp_path / "house")
    made.go_live()
    yield made
    ready.running.heal()
    assert ({}, []) == cleared(ready.running), "the next test begins flat"


# --- the way to the broker ----------------------------------------------------------------------------------


def test_a_dead_token_or_stream_stops_entries_at_once_and_touches_no_stop(house):
    running, began = house.running, now_at(house.running)
    silent, closed = {"name": "ws_stall", "value": 20_000}, {"name": "ws_close", "count": 1}
    refused, dead = {"name": "ws_refused", "value": 429}, {"name": "token_dead", "count": 1}
    with trading(house) as trader:
        for faults, sentence in (
            ([silent], "the feed is DEGRADED"),
            ([refused, closed], "the feed is DEGRADED"),
            ([dead], "log in with: python fetch.py --fn login"),
        ):
            stop, since = trader.until_open(), now_at(running)
            running.control("POST", "faults", faults)
            at, why = said_state(trader, "EXITS-ONLY", since)

            assert (at - since).total_seconds() <= SEEN_MOST_S, faults
            assert sentence in why
            assert [stop["order_id"]] == [order["order_id"] for order in stops(running)], faults
            running.heal()
            if dead in faults:
                house.take_token()
            said_state(trader, "RUNNING", at)
        assert 130 == ended(trader)
    assert ({}, []) == (open_(running), working(running))
    assert bare_s(running, began) <= BARE_MOST_S


def test_two_minutes_without_the_broker_end_the_day_and_its_return_closes_what_is_open(house):
    running, began = house.running, now_at(house.running)
    with trading(house) as trader:
        stop = trader.until_open()
        since = now_at(running)
        running.break_with("server_error_before")
        trader.until(lambda: house.facts("halt"))
        halted_after_s = (house.entries("halt")[0].at - since).total_seconds()

        assert 110 <= halted_after_s <= 130
        assert [stop["order_id"]] == [order["order_id"] for order in stops(running)]
        running.heal()
        assert 4 == trader.until_over(), trader.said()
    assert "flat; the session ended by no word of the broker" in trader.said()
    assert ({}, []) == (open_(running), working(running))
    assert 1 == len(entries(running, began))
    assert bare_s(running, began) <= BARE_MOST_S


def test_an_entry_whose_answer_nobody_lived_to_hear_is_adopted_and_protected(house):
    running, began = house.running, now_at(house.running)
    with trading(house) as first:
        first.until(lambda: "the session is awake" in first.said())
        running.break_with("slow", value=60_000, where="POST /orders/*")
        first.until(lambda: ours(running, began))
        first.kill()
        running.heal()
    assert [] == [fact.why for fact in house.facts("order") if fact.why.startswith("Answered")]
    with trading(house) as second:
        stop = second.until_open()
        second.until(lambda: "the session is awake" in second.said())

        assert [stop["order_id"]] == [order["order_id"] for order in working(running)]
        assert 130 == ended(second)
    assert 1 == len(entries(running, began)) == len(house.facts("trade"))


# --- the user's own hand ------------------------------------------------------------------------------------


def test_a_cancelled_stop_comes_back_and_the_users_own_shares_are_left_alone(house):
    running, began = house.running, now_at(house.running)
    with trading(house) as trader:
        stop = trader.until_open()
        by_hand(running, do="place", ticker=stop["ticker"], side="BUY", qty=7)
        by_hand(running, do="cancel", order_id=stop["order_id"])
        again = trader.until(
            lambda: [each for each in stops(running) if each["order_id"] != stop["order_id"]]
        )

        assert [stop["qty"]] == [each["qty"] for each in again]
        assert 130 == ended(trader)
    assert "was cancelled by another hand" in trader.said()
    assert ({stop["ticker"]: 7}, []) == (open_(running), working(running))
    assert bare_s(running, began) <= BARE_MOST_S
    by_hand(running, do="place", ticker=stop["ticker"], side="SELL", qty=7)


# --- this machine -------------------------------------------------------------------------------------------


def test_with_a_full_disk_nothing_is_entered_and_exits_go_on(house):
    running, began = house.running, now_at(house.running)
    with trading(house) as trader:
        trader.until(lambda: "the session is awake" in trader.said())
        limit_files(trader, FULL_BYTES)
        trader.until(lambda: "EXITS-ONLY: " + str(house.folder) in trader.said())
        full_at = now_at(running)
        trader.until(lambda: now_at(running) >= full_at + timedelta(seconds=130))

        assert [] == ours(running, began), "two bars that would have been trades"
        limit_files(trader, resource.RLIM_INFINITY)
        trader.until_open()
        limit_files(trader, FULL_BYTES)
        assert 130 == ended(trader)
    assert ({}, []) == (open_(running), working(running))
    assert "not written, the disk" in trader.said()
    assert "the journal lacks its end: " in trader.said()
    assert bare_s(running, began) <= BARE_MOST_S

    assert [] == house.facts("trade")
    for name in (".killswitch", "halted.lock"):
        (house.state / name).unlink(missing_ok=True)
    with trading(house) as again:  # there is room again
        again.until_said("trade")
        again.kill()
    assert 1 == len(house.facts("trade")) == len(entries(running, began))


def test_a_process_that_stood_still_for_three_minutes_goes_on_with_its_position(house):
    running, began = house.running, now_at(house.running)
    with trading(house) as trader:
        trader.until_open()
        trader.process.send_signal(signal.SIGSTOP)
        MACHINE.wait(180 / SPEED)
        trader.process.send_signal(signal.SIGCONT)
        since = now_at(running)
        trader.until(lambda: "this process stood still for" in trader.said())
        at, why = said_state(trader, "EXITS-ONLY", since)

        assert "the last heartbeat was" in why
        said_state(trader, "RUNNING", at)
        assert [] == house.facts("halt")
        slept = [fact for entry in house.entries("quiet") if entry.at >= since for fact in [entry.fact]]
        assert [{}, {}, {}] == [dict(fact.said) for fact in slept[:3]], "their bars miss ticks"
        assert 130 == ended(trader)
    assert ({}, []) == (open_(running), working(running))
    assert bare_s(running, began) <= BARE_MOST_S


# --- helpers ------------------------------------------------------------------------------------------------


def said_state(trader: Trader, state: str, since: datetime) -> tuple[datetime, str]:
    """When the session first said so since then, and why."""
    found = trader.until(lambda: [e for e in trader.house.entries("state") if _says(e, state, since)])
    return found[0].at, found[0].fact.why


def _says(entry: Any, state: str, since: datetime) -> bool:
    return isinstance(entry.fact, StateIs) and entry.fact.state == state and entry.at >= since


def ended(trader: Trader) -> int:
    """By a signal."""
    trader.process.send_signal(signal.SIGTERM)
    return trader.until_over()


def limit_files(trader: Trader, most_bytes: int) -> None:
    """As a full disk does, for that process alone."""
    resource.prlimit(trader.process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
