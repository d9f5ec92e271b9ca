"""The daily login: by the broker's page and back over loopback, or pasted; where the token is kept, and until when."""

import re
import socket
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

import locks
import login
from clock import SystemClock
from kite.books import LoggedIn
from kite.errors import LogInAgainError, LoginRefusedError
from outcome import ConfigError, ExitCode, NetworkError
from rulebook.hours import IST
from tests.brokers import MODES, Seat, request_token, seated
from tests.conftest import ROOT
from tests.local_exchange import ANSWER_S, local_exchange
from tests.test_locks import another_holder

TOKEN = "a1B2c3D4" * 4


@pytest.fixture(scope="module")
def seat(tmp_path_factory) -> Iterator[Seat]:
    with (
        local_exchange("--symbols", "1") as running,
        seated(running, tmp_path_factory.mktemp("rates")) as seat,
    ):
        yield seat


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def nobody() -> None:
    return None


# --- the browser's way ---------------------------------------------------------------------------------


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def by_browser(seat: Seat, url: str, back_to: str) -> str:
    """Fill in the broker's form; where it sends the browser."""
    carried = dict(parse_qsl(urlsplit(url).query))
    typed = {"user_id": "LX0001", "password": "loopback", "totp": "000000", "redirect": back_to}
    opener = urllib.request.build_opener(NoRedirect)
    with pytest.raises(urllib.error.HTTPError) as sent_on:
        opener.open(url.partition("?")[0], urlencode({**carried, **typed}).encode(), ANSWER_S)
    with closing(sent_on.value) as answer:
        assert 302 == answer.code
        return str(answer.headers["Location"])


def visit(address: str) -> int:
    """As a browser asks; the status."""
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_S) as page:
            page.read()
            return int(page.status)
    except urllib.error.HTTPError as error:
        with closing(error):
            return error.code


class Catching:
    """catch_redirect in a thread of its own, and what it returned."""

    def __init__(self, state: str, port: int, wait_s: float = 30.0) -> None:
        self.found: list[str] = []
        self.errors: list[Exception] = []
        self._thread = threading.Thread(target=self._catch, args=(state, port, wait_s))
        self._thread.start()
        while self._thread.is_alive() and not is_listening(port):
            pass

    def _catch(self, state: str, port: int, wait_s: float) -> None:
        try:
            self.found.append(login.catch_redirect(state, SystemClock(), port, wait_s))
        except (ConfigError, NetworkError) as error:
            self.errors.append(error)

    def over(self) -> list[str]:
        self._thread.join(ANSWER_S)
        return self.found


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_whole_login_by_page_and_loopback_leaves_the_day_s_token_in_env(seat, tmp_path, mode):
    ready, state, port = seat.running.ready, login.new_state(), free_port()
    catching = Catching(state, port)
    url = login.login_url(ready["kite_login_url"], ready["api_key"], state)
    back = by_browser(seat, url, f"http://127.0.0.1:{port}/")

    assert 400 == visit(f"http://127.0.0.1:{port}/favicon.ico")
    assert 400 == visit(back.replace(state, login.new_state()))
    assert 200 == visit(back)

    (token,) = catching.over()
    env = tmp_path / ".env"
    client = seat.client(mode)
    client.use_token(None)
    session = login.trade_in(client.log_in, ready["api_key"], ready["api_secret"], token, env, nobody)
    client.use_token(session.access_token)

    assert ready["user_id"] == client.user_id()
    assert f"ZERODHA_ACCESS_TOKEN={session.access_token}\n" == env.read_text()
    with pytest.raises(LogInAgainError):
        seat.client(mode).user_id()  # a newer login ends the one before

    seat.token = session.access_token


def test_a_page_that_guesses_logs_nobody_in_and_a_silent_connection_holds_nobody_up():
    state, port = login.new_state(), free_port()
    catching = Catching(state, port)
    base = f"http://127.0.0.1:{port}/?action=login&status=success"
    clock = SystemClock()
    began_s = clock.monotonic()
    with socket.create_connection(("127.0.0.1", port), ANSWER_S):  # a browser's spare one
        wrong = ["", f"&request_token={TOKEN}", f"&request_token={TOKEN}&state=%C3%A9", f"&state={state}",
                 f"&request_token={TOKEN}&state={state[:-1]}", f"&request_token=..%2F&state={state}"]  # fmt: skip

        assert [400] * len(wrong) == [visit(base + query) for query in wrong]
        assert [] == catching.found
        assert 200 == visit(f"{base}&request_token={TOKEN}&state={state}")
        assert [TOKEN] == catching.over()

    assert clock.monotonic() - began_s < login.SILENT_S


def test_nobody_comes_back_and_a_taken_port_are_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"is taken .*; paste the address instead"):
            login.catch_redirect("state", SystemClock(), taken.getsockname()[1])
    with pytest.raises(NetworkError, match="nobody came back within 0 s; log in again, or paste"):
        login.catch_redirect("state", SystemClock(), free_port(), 0.2)


def test_the_page_s_address_carries_the_key_and_a_state_that_nobody_can_guess():
    states = {login.new_state() for _ in range(50)}
    query = dict(parse_qsl(urlsplit(login.login_url("https://kite.example", "key", "a+b&c")).query))

    assert 50 == len(states)
    assert all(len(state) >= 32 for state in states)
    assert {"v": "3", "api_key": "key", "redirect_params": "state=a%2Bb%26c"} == query


# --- pasted --------------------------------------------------------------------------------------------

BACK = f"http://127.0.0.1:8710/?action=login&status=success&request_token={TOKEN}"


@pytest.mark.parametrize("text", [TOKEN, f"  {TOKEN}\n", f"{BACK}&state=s", f"{BACK}&state=s#end"])
def test_a_pasted_address_or_token_is_taken(text):
    assert TOKEN == login.request_token_in(text, "s")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no request_token"),
        ("http://[", "no request_token"),
        ("http://127.0.0.1:8710/", "no request_token"),
        (BACK.replace("success", "cancelled") + "&state=s", "no request_token"),
        (f"{BACK}&request_token=&state=s", "another state"),
        (f"{BACK}&state=other", "another state"),
        (BACK, "another state"),
        (f"{BACK}&state=\u00e9", "another state"),
    ],
)
def test_what_is_no_answer_to_this_login_is_refused_in_a_sentence(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        login.request_token_in(text, "state" if complaint == "another state" else "s")


# --- what the broker refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrong", ["used", "unknown", "secret", "key"])
def test_a_refused_login_says_what_to_compare_and_writes_nothing(seat, tmp_path, mode, wrong):
    ready, env = seat.running.ready, tmp_path / ".env"
    key, secret = ready["api_key"], ready["api_secret"]
    token = ready["request_token"] + "x" if wrong == "unknown" else request_token(seat.running)
    client = seat.client(mode)
    if wrong == "used":
        seat.token = client.log_in(key, token, login.checksum(key, token, secret)).access_token
    with pytest.raises(
        LoginRefusedError, match=r"log in anew.*ZERODHA_API_KEY and ZERODHA_API_SECRET"
    ) as refused:
        login.trade_in(
            client.log_in,
            key + "x" * (wrong == "key"),
            secret + "x" * (wrong == "secret"),
            token,
            env,
            nobody,
        )

    assert ExitCode.BROKER == refused.value.exit_code
    assert token not in str(refused.value)
    assert not env.exists()


def test_a_request_token_is_good_for_minutes(seat):
    ready, token = seat.running.ready, request_token(seat.running)
    seat.clock.wait(301)
    with pytest.raises(LoginRefusedError):
        seat.client("raw_http").log_in(
            ready["api_key"], token, login.checksum(ready["api_key"], token, ready["api_secret"])
        )


def test_a_login_is_refused_while_a_trader_runs_on_the_token(seat, tmp_path):
    """It would kill the token in use, and with it every exit."""
    lock, ready = tmp_path / "trade.lock", seat.running.ready

    def trader() -> str | None:
        holder = locks.holder(lock)
        return None if holder is None else f"{holder.command} (pid {holder.pid})"

    def trade_in(token: str) -> login.Session:
        client = seat.client("raw_http")
        return login.trade_in(
            client.log_in, ready["api_key"], ready["api_secret"], token, tmp_path / ".env", trader
        )

    token = request_token(seat.running)
    with (
        another_holder(lock),
        pytest.raises(ConfigError, match=r"\(pid \d+\) is running on a live token.*stop it first"),
    ):
        trade_in(token)

    assert seat.trader(seat.client("raw_http")).is_token_valid()

    seat.token = trade_in(token).access_token

    assert seat.trader(seat.client("raw_http")).is_token_valid()


# --- until when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logged_in", "dies"),
    [
        (datetime(2026, 11, 20, 8, 0, tzinfo=IST), datetime(2026, 11, 21, 6, 0, tzinfo=IST)),
        (datetime(2026, 11, 20, 5, 59, 59, tzinfo=IST), datetime(2026, 11, 20, 6, 0, tzinfo=IST)),
        (datetime(2026, 11, 20, 6, 0, tzinfo=IST), datetime(2026, 11, 21, 6, 0, tzinfo=IST)),
        (datetime(2026, 11, 20, 0, 29, tzinfo=UTC), datetime(2026, 11, 20, 6, 0, tzinfo=IST)),
        (datetime(2026, 11, 20, 0, 30, tzinfo=UTC), datetime(2026, 11, 21, 6, 0, tzinfo=IST)),
        (datetime(2026, 12, 31, 23, 0, tzinfo=IST), datetime(2027, 1, 1, 6, 0, tzinfo=IST)),
    ],
)
def test_a_token_dies_in_the_early_morning_of_india(logged_in, dies):
    assert dies == login.dies_at(logged_in)


def test_the_token_of_a_night_dies_at_the_hour_that_was_foretold(tmp_path):
    with (
        local_exchange("--symbols", "1", start="2026-11-20T05:58") as running,
        seated(running, tmp_path) as seat,
    ):
        trader = seat.trader(seat.client("raw_http"))
        left_s = (login.dies_at(seat.clock.now()) - seat.clock.now()).total_seconds()

        assert trader.is_token_valid()

        seat.clock.wait(left_s - 2)

        assert trader.is_token_valid()

        seat.clock.wait(2)

        assert not trader.is_token_valid()
        with pytest.raises(LogInAgainError, match=r"python fetch\.py --fn login"):
            trader.authenticate()


def test_a_token_is_renewed_where_the_account_has_a_refresh_token(seat):
    """Few have one, and the exchange's account has none: its renewal is stood in for here."""
    client = seat.client("raw_http")
    renewed = LoggedIn("LX0001", seat.token, "r" * 32, seat.clock.now())
    client.use_token("dead" * 8)
    trader = seat.trader(client, renew=lambda: renewed.access_token)

    assert not trader.is_token_valid()
    assert seat.token == trader.refresh_token()
    assert trader.is_token_valid()

    with pytest.raises(LogInAgainError, match="this account has no refresh token"):
        seat.trader(client).refresh_token()


# --- where it is kept ----------------------------------------------------------------------------------

EXAMPLE = (ROOT / ".env.example").read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"ZERODHA_ACCESS_TOKEN={TOKEN}\n"),
        ("A=1", f"A=1\nZERODHA_ACCESS_TOKEN={TOKEN}\n"),
        ("ZERODHA_ACCESS_TOKEN=old", f"ZERODHA_ACCESS_TOKEN={TOKEN}"),
        ("# ZERODHA_ACCESS_TOKEN=no\nZERODHA_ACCESS_TOKEN=\nB=2\n", f"# ZERODHA_ACCESS_TOKEN=no\nZERODHA_ACCESS_TOKEN={TOKEN}\nB=2\n"),
        ("export ZERODHA_ACCESS_TOKEN = 'x'  # why\r\nB=2\r\n", f"export ZERODHA_ACCESS_TOKEN ={TOKEN}  # why\r\nB=2\r\n"),
        ("NOT_ZERODHA_ACCESS_TOKEN=1\n", f"NOT_ZERODHA_ACCESS_TOKEN=1\nZERODHA_ACCESS_TOKEN={TOKEN}\n"),
        ("ZERODHA_ACCESS_TOKEN=a\nZERODHA_ACCESS_TOKEN=b\n", f"ZERODHA_ACCESS_TOKEN={TOKEN}\n" * 2),
        (EXAMPLE, EXAMPLE.replace("ZERODHA_ACCESS_TOKEN=\n", f"ZERODHA_ACCESS_TOKEN={TOKEN}\n")),
    ],
)  # fmt: skip
def test_the_token_s_line_alone_changes_and_the_file_is_the_owner_s(tmp_path, before, after):
    env = tmp_path / ".env"
    env.write_bytes(before.encode())
    env.chmod(0o644)
    login.store_token(env, TOKEN)

    assert after.encode() == env.read_bytes()
    assert 0o600 == stat.S_IMODE(env.stat().st_mode)


def test_a_new_file_is_the_owner_s_from_its_first_byte(tmp_path):
    login.store_token(tmp_path / ".env", TOKEN)

    assert 0o600 == stat.S_IMODE((tmp_path / ".env").stat().st_mode)
    assert [".env"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("odd", ["", "x", "a" * 65, "abcdefgh\nEVIL=1", "abc defgh", "\\g<0>abcdef"])
def test_a_token_of_another_form_is_written_nowhere(tmp_path, odd):
    with pytest.raises(NetworkError, match="nothing was written"):
        login.store_token(tmp_path / ".env", odd)

    assert [] == list(tmp_path.iterdir())


def test_a_file_that_is_no_text_is_left_alone(tmp_path):
    env = tmp_path / ".env"
    env.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=re.escape(str(env))):
        login.store_token(env, TOKEN)

    assert b"\xff\xfe" == env.read_bytes()


def test_the_checksum_is_the_sha256_of_key_token_and_secret():
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" == login.checksum("a", "b", "c")


def test_who_has_the_browser_elsewhere_pastes_the_address():
    state = login.new_state()
    lines = iter(
        [None, f"http://127.0.0.1:8710/?request_token=abcdefgh12345678&status=success&state={state}\n"]
    )

    assert "abcdefgh12345678" == login.catch_redirect(
        state, SystemClock(), port=free_port(), typed=lambda: next(lines)
    )
