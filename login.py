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
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from clock import Clock
from files import write_atomically
from outcome import ConfigError, NetworkError
from rulebook.hours import IST

REDIRECT_PORT: Final = 8710  # register http://127.0.0.1:8710/ as your app's redirect URL
TOKEN_DIES_IST: Final = time(6, 0)  # documented; seen between 06:45 and 07:30 as well
WAIT_S: Final = 300.0
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
    found = {name: values[-1] for name, values in parse_qs(urlsplit(text).query).items()}
    if found.get("status", "success") != "success" or not _TOKEN.fullmatch(found.get("request_token", "")):
        raise ConfigError("no request_token in that; paste the whole address that the browser ended at")
    if state is not None and not secrets.compare_digest(found.get("state", ""), state):
        raise ConfigError("that address is not the answer to this login (another state); begin again")
    return found["request_token"]


def catch_redirect(state: str, clock: Clock, port: int = REDIRECT_PORT, wait_s: float = WAIT_S) -> str:
    """Listen on loopback until the browser comes back with the right state; its request_token."""
    caught: list[str] = []

    class Catcher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                caught.append(request_token_in(self.path, state))
            except ConfigError as error:
                self.send_error(400, str(error))
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(_PAGE)

        def log_message(self, format: str, *args: object) -> None:
            """The address holds the token: nothing is logged."""

    try:
        server = HTTPServer(("127.0.0.1", port), Catcher)
    except OSError as error:
        raise ConfigError(f"port {port} is taken ({error.strerror}); paste the address instead") from None
    with server:
        server.timeout = 0.5
        over_s = clock.monotonic() + wait_s
        while not caught:
            if clock.monotonic() > over_s:
                raise NetworkError(f"nobody came back within {wait_s:.0f} s; log in again, or paste")
            server.handle_request()
    return caught[0]


def store_token(env_file: Path, token: str) -> None:
    """Into its line of `.env`, the rest untouched, readable by the owner alone."""
    if not _TOKEN.fullmatch(token):
        raise NetworkError("the broker gave an access token of another form; nothing was written")
    line = f"ZERODHA_ACCESS_TOKEN={token}"
    text = env_file.read_text() if env_file.exists() else ""
    changed, count = re.subn(r"(?m)^ZERODHA_ACCESS_TOKEN=.*$", line, text)
    if count == 0:
        changed = text + ("" if not text or text.endswith("\n") else "\n") + line + "\n"
    write_atomically(env_file, changed.encode(), mode=0o600)


def refuse_while_trading(trader: Callable[[], str | None]) -> None:
    """A new login kills the token in use, and with it every exit of a running trader."""
    who = trader()
    if who is not None:
        raise ConfigError(f"{who} is running on a live token, which a login would kill; stop it first")
