"""How does a person log in at the broker, and where is the day's token kept?

The exchange demands a login by hand each day (kite.md 4): the browser shows the broker's page, which sends it
back to this machine with a `request_token` that is good once and for minutes, and the token it is exchanged
for lives until the early morning. The way back carries a random state of ours, so that no other page can log
this suite in as somebody else. Where no browser can come back (a server over ssh), the address it was sent
to is pasted.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from clock import Clock
from env_file import put_value
from outcome import ConfigError, NetworkError
from rulebook.hours import IST

REDIRECT_PORT: Final = 8710  # register http://127.0.0.1:8710/ as your app's redirect URL
TOKEN_DIES_IST: Final = time(6, 0)  # documented; seen between 06:45 and 07:30 as well
WAIT_S: Final = 300.0
SILENT_S: Final = 5.0
LOOK_S: Final = 0.1
_TOKEN = re.compile(r"[A-Za-z0-9]{8,64}")
_PAGE = b"<!doctype html><title>Logged in</title><p>Done. You may close this page.</p>"


def new_state() -> str:
    return secrets.token_urlsafe(24)


def login_url(login_root: str, api_key: str, state: str) -> str:
    """What the browser opens; `redirect_params` come back with it."""
    query = {"v": "3", "api_key": api_key, "redirect_params": urlencode({"state": state})}
    return f"{login_root}/connect/login?{urlencode(query)}"


def checksum(api_key: str, request_token: str, api_secret: str) -> str:
    return hashlib.sha256(f"{api_key}{request_token}{api_secret}".encode()).hexdigest()


def dies_at(logged_in_at: datetime) -> datetime:
    """The early morning after."""
    ist = logged_in_at.astimezone(IST)
    today = datetime.combine(ist.date(), TOKEN_DIES_IST, IST)
    return today if ist < today else today + timedelta(days=1)


def request_token_in(text: str, state: str | None) -> str:
    """From a pasted address, or the bare token; with a state, an address must carry it."""
    text = text.strip()
    if _TOKEN.fullmatch(text):
        return text
    found = _query_of(text)
    if found.get("status", "success") != "success" or not _TOKEN.fullmatch(found.get("request_token", "")):
        raise ConfigError("no request_token in that; paste the whole address that the browser ended at")
    if state is not None and not secrets.compare_digest(found.get("state", "").encode(), state.encode()):
        raise ConfigError("that address is not the answer to this login (another state); begin again")
    return found["request_token"]


def _query_of(text: str) -> dict[str, str]:
    try:
        return {name: values[-1] for name, values in parse_qs(urlsplit(text).query).items()}
    except ValueError:  # no address at all
        return {}


def nothing_typed() -> str | None:
    """For where nobody sits at a terminal."""
    return None


def catch_redirect(
    state: str,
    clock: Clock,
    port: int = REDIRECT_PORT,
    wait_s: float = WAIT_S,
    typed: Callable[[], str | None] = nothing_typed,
) -> str:
    """Listen on loopback until the browser comes back with the right state; its request_token.

    `typed` is asked now and then: who has the browser elsewhere pastes the address that it ended at.
    A person is waited for, so the clock is this machine's. Browsers open connections that they may need
    and say nothing on them: each has a thread, and is dropped after a while.
    """
    caught: list[str] = []

    class Catcher(BaseHTTPRequestHandler):
        timeout = SILENT_S

        def do_GET(self) -> None:
            try:
                found = request_token_in(self.path, state)
            except ConfigError as error:
                self.send_error(400, str(error))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(_PAGE)
            caught.append(found)

        def log_message(self, format: str, *args: object) -> None:
            """The address holds the token: nothing is logged."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Catcher)
    except OSError as error:
        raise ConfigError(f"port {port} is taken ({error.strerror}); paste the address instead") from None
    with server:
        server.timeout = LOOK_S
        over_s = clock.monotonic() + wait_s
        while not caught:
            if clock.monotonic() > over_s:
                raise NetworkError(f"nobody came back within {wait_s:.0f} s; log in again, or paste")
            server.handle_request()
            if (text := typed()) is not None:
                return request_token_in(text, state)
    return caught[0]


def store_token(env_file: Path, token: str) -> None:
    """Into its line of `.env`, the rest untouched to the byte, readable by the owner alone."""
    if not _TOKEN.fullmatch(token):
        raise NetworkError("the broker gave an access token of another form; nothing was written")
    put_value(env_file, "ZERODHA_ACCESS_TOKEN", token)


class Session(Protocol):
    """What the broker gives for a request_token; kite.books.LoggedIn."""

    @property
    def access_token(self) -> str: ...


LogIn = Callable[[str, str, str], Session]


def trade_in(
    log_in: LogIn,
    api_key: str,
    api_secret: str,
    request_token: str,
    env_file: Path,
    trader: Callable[[], str | None],
) -> Session:
    """The request_token for the day's access token, kept in `.env`. `log_in` is KiteClient.log_in or .renew
    (with a refresh token in the request_token's place); `trader` names who trades on the present token."""
    refuse_while_trading(trader)
    session = log_in(api_key, request_token, checksum(api_key, request_token, api_secret))
    store_token(env_file, session.access_token)
    return session


def refuse_while_trading(trader: Callable[[], str | None]) -> None:
    """A new login kills the token in use, and with it every exit of a running trader."""
    who = trader()
    if who is not None:
        raise ConfigError(f"{who} is running on a live token, which a login would kill; stop it first")
