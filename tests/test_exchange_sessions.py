"""Whole sessions against the local exchange over real sockets, by the broker's own client and by ours."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
import requests
from kiteconnect import KiteConnect, exceptions
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from clock import SystemClock
from exchange.__main__ import ENVIRONMENT
from followed_clock import FollowedClock
from kite.feed import Connected, Disconnected, Feed, LoggedOut, OrderHint, Ticked
from kite.inbox import Inbox
from kite.ticker import Ticker
from kite.wire import FullPacket, decode_frame, is_heartbeat
from outcome import ConfigError, ExitCode, NetworkError
from rulebook.hours import IST
from tests.conftest import ROOT
from tests.local_exchange import ANSWER_S, Running, local_exchange

INFY, RELIANCE = 408065, 738561
PLACE = {"variety": "regular", "exchange": "NSE", "product": "MIS", "validity": "DAY"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """One for the tests that leave nothing behind."""
    with local_exchange("--symbols", "5") as running:
        yield running


@pytest.fixture
def running() -> Iterator[Running]:
    with local_exchange("--symbols", "5") as running:
        yield running


def lowest(kite: KiteConnect) -> float:
    """A price of today at which nothing is bought."""
    return float(kite.quote("NSE:INFY")["NSE:INFY"]["lower_circuit_limit"])


def order_of(kite: KiteConnect, order_id: str) -> Any:
    return next(order for order in kite.orders() if order["order_id"] == order_id)


# --- a day by the official client ----------------------------------------------------------------------


def test_the_official_client_trades_a_whole_session_and_the_books_add_up(running):
    kite = running.logged_in()

    assert running.ready["user_id"] == kite.profile()["user_id"]
    assert "INFY" in {row["tradingsymbol"] for row in kite.instruments("NSE")}

    candles = kite.historical_data(INFY, "2026-11-19 09:15:00", "2026-11-20 15:30:00", "minute")

    assert datetime(2026, 11, 19, 9, 15, tzinfo=IST) == candles[0]["date"]
    assert datetime(2026, 11, 20, 9, 20, tzinfo=IST) == candles[-1]["date"]

    entry = kite.place_order(
        **PLACE, tradingsymbol="INFY", transaction_type="BUY", quantity=100, order_type="MARKET",
        market_protection=-1, tag="rlentry",
    )  # fmt: skip
    running.pass_seconds(3)
    bought = order_of(kite, entry)

    assert ("COMPLETE", 100, "LIMIT", "rlentry") == tuple(
        bought[name] for name in ("status", "filled_quantity", "order_type", "tag")
    )

    trigger = round(bought["average_price"] * 0.995, 1)
    stop = kite.place_order(
        **PLACE, tradingsymbol="INFY", transaction_type="SELL", quantity=100, order_type="SL",
        trigger_price=trigger, price=round(trigger * 0.98, 1), tag="rlstop",
    )  # fmt: skip
    running.pass_seconds(1)

    assert "TRIGGER PENDING" == order_of(kite, stop)["status"]

    kite.modify_order("regular", stop, trigger_price=trigger + 1, price=round(trigger * 0.98, 1))
    running.pass_seconds(1)

    assert trigger + 1 == order_of(kite, stop)["trigger_price"]

    kite.modify_order("regular", stop, order_type="MARKET", market_protection=-1)
    running.pass_seconds(3)

    assert "COMPLETE" == order_of(kite, stop)["status"]
    assert "MODIFIED" in {row["status"] for row in kite.order_history(stop)}

    running.until("2026-11-20T15:45")
    trades = kite.trades()
    (position,) = kite.positions()["net"]
    flow_paise = sum(
        (1 if trade["transaction_type"] == "SELL" else -1)
        * trade["quantity"]
        * round(trade["average_price"] * 100)
        for trade in trades
    )

    assert 0 == position["quantity"]
    assert flow_paise == round(position["pnl"] * 100)
    assert flow_paise == round(kite.margins("equity")["net"] * 100) - 1_000_000_00
    assert {"BUY": 100, "SELL": 100} == {
        side: sum(trade["quantity"] for trade in trades if trade["transaction_type"] == side)
        for side in ("BUY", "SELL")
    }


def test_a_forgotten_position_is_squared_off_by_the_broker_with_its_fee(running):
    kite = running.logged_in()
    kite.place_order(
        **PLACE, tradingsymbol="INFY", transaction_type="BUY", quantity=10, order_type="MARKET",
        market_protection=-1,
    )  # fmt: skip
    running.until("2026-11-20T15:14")
    (position,) = kite.positions()["net"]

    assert 0 == position["quantity"]
    assert 2 == len(kite.orders())

    with pytest.raises(exceptions.KiteException):
        kite.place_order(
            **PLACE, tradingsymbol="INFY", transaction_type="BUY", quantity=10, order_type="MARKET",
            market_protection=-1,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("order", "error", "code"),
    [
        ({"order_type": "MARKET", "quantity": 1}, exceptions.InputException, 400),  # no protection
        ({"order_type": "LIMIT", "quantity": 1, "price": 1600.03}, exceptions.InputException, 400),
        ({"order_type": "LIMIT", "quantity": 1, "price": 9_000}, exceptions.InputException, 400),
        (
            {"order_type": "LIMIT", "quantity": 50_000, "price": 1_600},
            exceptions.GeneralException,
            400,
        ),  # margin
        (
            {"order_type": "LIMIT", "quantity": 1, "price": 1_600, "tag": "x" * 21},
            exceptions.InputException,
            400,
        ),
    ],
)
def test_the_official_client_raises_what_it_raises_at_the_broker(shared_kite, order, error, code):
    with pytest.raises(error) as caught:
        shared_kite.place_order(**PLACE, tradingsymbol="INFY", transaction_type="BUY", **order)

    assert code == caught.value.code


@pytest.fixture(scope="module")
def shared_kite(shared) -> KiteConnect:
    return shared.logged_in()


@pytest.fixture(autouse=True)
def never_too_fast(request) -> None:
    """The shared exchange counts requests by its own clock, which stands still between tests."""
    if "shared" in request.fixturenames or "shared_kite" in request.fixturenames:
        request.getfixturevalue("shared").pass_seconds(2)


def test_the_official_ticker_hears_prices_and_orders(running):
    kite = running.logged_in()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.python_ticker", json.dumps(running.ready), kite.access_token],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as ticker:  # fmt: skip
        assert ticker.stdout is not None
        assert "subscribed\n" == ticker.stdout.readline()
        kite.place_order(
            **PLACE, tradingsymbol="INFY", transaction_type="BUY", quantity=1, order_type="MARKET",
            market_protection=-1, tag="rlhint",
        )  # fmt: skip
        running.pass_seconds(3)
        told = json.loads(ticker.stdout.readline())
        ticker.wait(ANSWER_S)

    assert ("rlhint", "COMPLETE") == (told["order"]["tag"], told["order"]["status"])
    assert (INFY, 5) == (told["tick"]["instrument_token"], len(told["tick"]["depth"]["buy"]))


# --- the stream ----------------------------------------------------------------------------------------


@contextmanager
def following(running: Running) -> Iterator[FollowedClock]:
    with closing(FollowedClock(running.ready["clock_url"])) as clock:
        yield clock


@contextmanager
def listening(running: Running, token: str) -> Iterator[Inbox[Any]]:
    """Our ticker, started, and what it hears."""
    inbox: Inbox[Any] = Inbox()
    with following(running) as clock:
        ready = running.ready
        ticker = Ticker(
            ready["kite_ws_url"], ready["api_key"], lambda: token, Feed(), clock, Random(1), inbox
        )
        ticker.want([INFY, RELIANCE])
        ticker.start()
        try:
            yield inbox
        finally:
            ticker.stop()


def heard(inbox: Inbox[Any], kind: type, times: int = 1) -> list[Any]:
    """Everything until that many of a kind have come."""
    found: list[Any] = []
    while sum(isinstance(item, kind) for item in found) < times:
        item = inbox.take(ANSWER_S)
        assert item is not None, f"no {kind.__name__} among {found}"
        found.append(item)
    return found


def test_our_ticker_hears_prices_and_orders(running):
    kite = running.logged_in()
    with listening(running, kite.access_token) as inbox:
        first = heard(inbox, Ticked, 2)

        assert isinstance(first[0], Connected)
        assert {INFY, RELIANCE} == {item.packet.token for item in first[1:]}

        kite.place_order(
            **PLACE, tradingsymbol="INFY", transaction_type="BUY", quantity=1, order_type="MARKET",
            market_protection=-1, tag="rlhint",
        )  # fmt: skip
        running.pass_seconds(3)
        hint = heard(inbox, OrderHint)[-1]

    assert ("rlhint", "COMPLETE") == (hint.data["tag"], hint.data["status"])


def test_our_ticker_comes_back_with_its_subscription(running):
    with listening(running, running.logged_in().access_token) as inbox:
        heard(inbox, Ticked, 2)
        running.break_with("ws_close", count=1)
        running.pass_seconds(1)
        heard(inbox, Disconnected)
        heard(inbox, Connected)
        running.pass_seconds(60)
        again = heard(inbox, Ticked, 2)

    assert {INFY, RELIANCE} == {item.packet.token for item in again if isinstance(item, Ticked)}


def test_a_dead_token_is_final_for_our_ticker(running):
    running.logged_in()
    with listening(running, "dead") as inbox:
        assert [LoggedOut()] == heard(inbox, LoggedOut)
        assert inbox.take(0.5) is None


def stream(running: Running, token: str) -> Any:
    url = f"{running.ready['kite_ws_url']}/?api_key={running.ready['api_key']}&access_token={token}"
    return connect(url, proxy=None)


def test_a_fourth_stream_is_refused_and_a_newer_login_ends_them_all(running):
    token = running.logged_in().access_token
    with ExitStack() as streams:
        opened = [streams.enter_context(stream(running, token)) for _ in range(3)]
        with pytest.raises(InvalidStatus) as refused, stream(running, token):
            pass

        assert 429 == refused.value.response.status_code

        running.break_with("second_login", count=1)
        kite = KiteConnect(running.ready["api_key"], token, root=running.ready["kite_api_url"])
        with pytest.raises(exceptions.TokenException) as dead:
            kite.profile()

        assert 403 == dead.value.code

        for open_ in opened:
            with pytest.raises(ConnectionClosed):
                while True:
                    open_.recv(timeout=ANSWER_S)
    with pytest.raises(InvalidStatus) as refused, stream(running, token):
        pass

    assert 403 == refused.value.response.status_code


def test_heartbeats_come_every_second_when_nothing_else_does():
    evening = "2026-11-20T18:00"
    with local_exchange("--symbols", "1", start=evening) as running, ExitStack() as streams:
        open_ = streams.enter_context(stream(running, running.logged_in().access_token))
        running.pass_seconds(5)
        beats = [open_.recv(timeout=ANSWER_S) for _ in range(5)]

    assert all(is_heartbeat(beat) for beat in beats)


def test_the_tick_of_the_stream_is_the_quote_of_rest(running):
    kite = running.logged_in()
    with stream(running, kite.access_token) as open_:
        open_.send(json.dumps({"a": "subscribe", "v": [INFY]}))
        open_.send(json.dumps({"a": "mode", "v": ["full", [INFY]]}))
        packets: list[Any] = []
        while not any(isinstance(packet, FullPacket) for packet in packets):
            packets += decode_frame(open_.recv(timeout=ANSWER_S)).packets
    packet = next(packet for packet in packets if isinstance(packet, FullPacket))
    quote = kite.quote("NSE:INFY")["NSE:INFY"]

    assert packet.last == round(quote["last_price"] * 100)
    assert packet.volume == quote["volume"]
    assert [row.price for row in packet.bids] == [
        round(level["price"] * 100) for level in quote["depth"]["buy"] if level["quantity"]
    ]


# --- time ----------------------------------------------------------------------------------------------


def test_a_followed_clock_waits_in_lock_step(running):
    with following(running) as clock:
        before, since_s = clock.now(), clock.monotonic()
        clock.wait(3_600)

        assert timedelta(hours=1) == clock.now() - before
        assert 3_600 == clock.monotonic() - since_s


def test_two_followers_miss_no_moment_of_each_other(running):
    """Each waits for its own beats; the one that is slow to think is waited for."""
    seen: list[tuple[float, str]] = []
    both = threading.Barrier(2)

    def follow(name: str, beat_s: float) -> None:
        at_s = 0.0
        with following(running) as clock:
            clock.idle_until(0.0, follower=name)  # from here on it is waited for
            both.wait()
            while at_s < 70.0:
                at_s += beat_s
                clock.idle_until(at_s, follower=name)
                seen.append((clock.monotonic(), name))
            clock.leave(name)

    threads = [threading.Thread(target=follow, args=beat) for beat in (("slow", 7.0), ("fast", 2.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ANSWER_S)

    assert [7.0 * n for n in range(1, 11)] == [at for at, name in seen if name == "slow"]
    assert [2.0 * n for n in range(1, 36)] == [at for at, name in seen if name == "fast"]


def test_a_follower_that_is_killed_at_work_holds_nobody_up(running):
    """Hanging up is what a killed process does; its word is what time waited for."""
    with following(running) as clock, following(running) as doomed:
        doomed.idle_until(1.0, follower="doomed")
        clock.idle_until(0.0, follower="trader")

        assert ["doomed", "trader"] == running.control("GET", "state")["followers"]

        doomed.close()
        clock.idle_until(60.0, follower="trader")

        assert 60.0 == clock.monotonic()


def test_at_a_rate_the_followed_clock_runs_that_much_faster():
    with local_exchange("--symbols", "1", speed="600") as running, following(running) as clock:
        wall_s, here_s = SystemClock().monotonic(), clock.monotonic()
        clock.wait(120)
        took_s = SystemClock().monotonic() - wall_s

        assert 119 <= clock.monotonic() - here_s
        assert 0.2 <= took_s <= 5


def test_a_clock_that_steps_moves_the_date_and_no_deadline(running):
    with following(running) as clock:
        before, since_s = clock.now(), clock.monotonic()
        running.break_with("clock_step", count=1, value=86_400_000)

        assert timedelta(days=1) == clock.now() - before
        assert since_s == clock.monotonic()


def test_a_clock_elsewhere_is_refused_and_a_dead_one_says_so(running):
    with pytest.raises(ConfigError, match="not http on loopback"):
        FollowedClock("http://192.0.2.1/clock")

    with pytest.raises(NetworkError, match="CLOCK_URL"):
        FollowedClock("http://127.0.0.1:9/clock")


def test_the_broker_tells_its_time_in_every_answer(running):
    answer = requests.get(f"{running.ready['kite_api_url']}/user/profile", timeout=ANSWER_S)

    assert "Fri, 20 Nov 2026 03:50:00 GMT" == answer.headers["Date"]


# --- faults and hands ----------------------------------------------------------------------------------


def test_an_answer_may_be_lost_though_the_order_was_taken(running):
    kite = running.logged_in()
    running.break_with("answer_lost", count=1, where="POST /orders/*")
    with pytest.raises(requests.exceptions.ConnectionError):
        kite.place_order(
            **PLACE, tradingsymbol="INFY", transaction_type="BUY", quantity=1, order_type="LIMIT",
            price=lowest(kite), tag="rllost",
        )  # fmt: skip

    assert ["rllost"] == [order["tag"] for order in kite.orders()]


def test_a_slow_answer_comes_when_its_time_has_come(running):
    kite = running.logged_in()
    running.break_with("slow", count=1, value=3_000, where="GET /user/profile")
    answers: list[Any] = []
    asker = threading.Thread(target=lambda: answers.append(kite.profile()))
    asker.start()
    while running.control("GET", "state")["held_answers"] == 0:
        pass
    running.pass_seconds(2.9)

    assert not answers
    assert 1 == running.control("GET", "state")["held_answers"]

    running.pass_seconds(0.2)
    asker.join(ANSWER_S)

    assert 1 == len(answers)


def test_the_owner_may_trade_by_hand(running):
    kite = running.logged_in()
    order_id = running.control(
        "POST", "hand", {"do": "place", "ticker": "INFY", "side": "BUY", "qty": 5, "order_type": "MARKET"}
    )["order_id"]
    running.pass_seconds(3)

    assert ("COMPLETE", None) == tuple(order_of(kite, order_id)[name] for name in ("status", "tag"))
    assert 5 == kite.positions()["net"][0]["quantity"]


@pytest.mark.parametrize(
    ("method", "path", "body", "complaint"),
    [
        ("POST", "faults", [{"name": "meteor"}], "unknown fault"),
        ("POST", "advance", {"to": "2020-01-01T00:00"}, "does not run backwards"),
        ("POST", "speed", {"speed": "fast"}, "fast"),
        ("POST", "hand", {"do": "pray"}, "none of place, cancel, modify"),
        ("GET", "nothing", None, "no such control"),
    ],
)
def test_a_wrong_control_is_refused_in_a_sentence(shared, method, path, body, complaint):
    data = None if body is None else json.dumps(body).encode()
    answer = requests.request(method, f"{shared.ready['control_url']}/{path}", data=data, timeout=ANSWER_S)

    assert answer.status_code in (400, 404)
    assert complaint in answer.json()["error"]


# --- the command ---------------------------------------------------------------------------------------


def exchange_command(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "exchange", *args], cwd=ROOT, env=os.environ, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip


def test_the_environment_points_the_scripts_at_the_running_exchange(shared):
    port = shared.ready["kite_api_url"].rpartition(":")[2]
    lines = exchange_command("env", "--port", port).stdout.splitlines()

    assert {f"export {name}={shared.ready[key]}" for name, key in ENVIRONMENT.items()} == set(lines)
    assert {
        "kite_api_url", "kite_login_url", "kite_ws_url", "nse_url", "nse_archives_url", "clock_url",
        "control_url", "api_key", "api_secret", "request_token", "user_id",
    } == set(shared.ready)  # fmt: skip


@pytest.mark.parametrize(
    ("args", "code", "complaint"),
    [
        (["env", "--port", "9"], ExitCode.USAGE, "no exchange answers on port 9"),
        (["serve", "--speed", "fast"], ExitCode.USAGE, "neither a number above 0 nor max"),
        (["serve", "--start", "soon"], ExitCode.USAGE, "write 2026-11-20T09:00"),
        (["serve", "--market", "lunar"], ExitCode.USAGE, "synthetic, or recorded:"),
        (["serve", "--faults", "/nowhere.json"], ExitCode.USAGE, "/nowhere.json"),
        (["serve", "--edges", "luck:strong"], ExitCode.USAGE, "luck"),
        ([], ExitCode.USAGE, "required"),
    ],
)
def test_a_wrong_command_is_refused_in_a_sentence(args, code, complaint):
    done = exchange_command(*args)

    assert code == done.returncode
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_said(shared):
    port = shared.ready["kite_api_url"].rpartition(":")[2]
    done = exchange_command("serve", "--port", port)

    assert ExitCode.BUSY == done.returncode
    assert f"port {port} is taken" in done.stderr


def test_the_same_seed_is_the_same_day_over_the_sockets():
    def day() -> Any:
        with local_exchange("--symbols", "2", "--seed", "7") as running:
            kite = running.logged_in()
            for side in ("BUY", "SELL"):
                kite.place_order(
                    **PLACE, tradingsymbol="RELIANCE", transaction_type=side, quantity=50, order_type="MARKET",
                    market_protection=-1, tag=f"rl{side}",
                )  # fmt: skip
                running.pass_seconds(600)
            return running.truth()

    assert day() == day()


def test_a_request_that_is_no_http_is_hung_up_on_and_the_others_live_on(shared):
    port = int(shared.ready["kite_api_url"].rpartition(":")[2])
    for rubbish in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\x00 / HTTP/1.1\r\n\r\n", b"x" * 40_000):
        with socket.create_connection(("127.0.0.1", port), ANSWER_S) as raw:
            raw.sendall(rubbish)

            assert b"" == raw.recv(1)

    assert shared.control("GET", "state")["speed"] == "max"
