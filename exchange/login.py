"""Who may talk to the exchange, and until when? Request tokens, access tokens and the login page.

The flow is the broker's (kite.md 4): the page asks for user id, password and TOTP, and sends the browser
back with a request_token; the app trades that, with a checksum that only its owner can make, for an access
token. One access token of the app and the user lives at a time. It dies by a newer login, by DELETE
/session/token, and in the morning.

Decided here, because nothing published says it:
- the morning hour is 06:00 sharp, as documented; staff speak of a flush between 06:45 and 07:30;
- a request token lives five minutes ("valid a few minutes"). The one that the ready line hands out lives
  until it is used: at full speed five minutes are over before anybody has read the line;
- a wrong key, checksum or request token is a TokenException with 403; the sentences are second-hand.

This is a door of a playground on loopback. What it checks it checks as the broker does, so that a client's
errors show; it protects nothing, and the page shows what to type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from hashlib import sha256
from html import escape
from random import Random
from string import ascii_letters, digits
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from exchange.nouns import RefusalError
from exchange.web import Answer, Request, Routes, as_text
from rulebook.hours import IST

MORNING = time(6)
REQUEST_TOKEN_LIFE = timedelta(minutes=5)
LOGIN_PATH = "/connect/login"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_LETTERS = ascii_letters + digits
_TOKEN_LETTERS = 32


@dataclass(frozen=True, slots=True)
class User:
    """The account's owner."""

    user_id: str = "LX0001"
    password: str = "loopback"  # noqa: S105  shown on the page
    totp: str = "000000"
    name: str = "Loopback Trader"
    shortname: str = "Loopback"
    email: str = "trader@localhost"


@dataclass(frozen=True, slots=True)
class App:
    """What the owner has registered at the broker's developer site."""

    api_key: str = "loopback_key"
    api_secret: str = "loopback_word"  # noqa: S105  of a playground
    redirect_url: str = ""  # none: the page shows the request_token instead


@dataclass(frozen=True, slots=True)
class Session:
    """What a login has brought."""

    access_token: str
    public_token: str
    enctoken: str
    login_at: datetime
    dies_at: datetime


class Logins:
    """The app, the user, and the tokens that live. Tokens are drawn from the seed."""

    def __init__(self, seed: int, app: App | None = None, user: User | None = None) -> None:
        self.app = app or App()
        self.user = user or User()
        self.session: Session | None = None
        self._draws = Random(f"{seed}:login")
        self._waiting: dict[str, datetime | None] = {}  # request token -> when it is too old

    @property
    def api_key(self) -> str:
        return self.app.api_key

    @property
    def api_secret(self) -> str:
        return self.app.api_secret

    @property
    def user_id(self) -> str:
        return self.user.user_id

    def grant(self, now: datetime) -> str:
        """The request token of the ready line, as if the user had just logged in: it does not age."""
        return self.new_request_token(now, None)

    def new_request_token(self, now: datetime, life: timedelta | None = REQUEST_TOKEN_LIFE) -> str:
        """As the user's login makes one; without a life it waits until it is used."""
        token = self._token()
        self._waiting[token] = None if life is None else now + life
        return token

    def open_session(self, api_key: str, request_token: str, checksum: str, now: datetime) -> Session:
        """Trade a request token; whoever held the access token until now is logged out."""
        if api_key != self.app.api_key:
            raise _refused("Invalid `api_key`.")
        if checksum != checksum_of(api_key, request_token, self.app.api_secret):
            raise _refused("Invalid `checksum`.")
        too_old_at = self._waiting.pop(request_token, now)
        if too_old_at is not None and now >= too_old_at:
            raise _refused("Token is invalid or has expired.")
        self.session = Session(self._token(), self._token(), self._token(), now, next_morning(now))
        return self.session

    def is_live(self, pair: str, now: datetime) -> bool:
        """Whether a request or a stream with this "api_key:access_token" is let in at this moment."""
        if self.session is None or now >= self.session.dies_at:
            return False
        return pair == f"{self.app.api_key}:{self.session.access_token}"

    def close_session(self, api_key: str, access_token: str, now: datetime) -> None:
        """Log out, with the token itself as the proof."""
        self.require(f"{api_key}:{access_token}", now)
        self.kill()

    def require(self, pair: str, now: datetime) -> None:
        if not self.is_live(pair, now):
            raise _refused("Incorrect `api_key` or `access_token`.")

    def kill(self) -> None:
        """The access token dies, whoever holds it."""
        self.session = None

    def log_in_elsewhere(self, now: datetime) -> Session:
        """Another program of the same app logs in: its token lives, ours does not."""
        request_token = self.new_request_token(now)
        proof = checksum_of(self.app.api_key, request_token, self.app.api_secret)
        return self.open_session(self.app.api_key, request_token, proof, now)

    def _token(self) -> str:
        return "".join(self._draws.choices(_LETTERS, k=_TOKEN_LETTERS))


def checksum_of(api_key: str, request_token: str, api_secret: str) -> str:
    return sha256(f"{api_key}{request_token}{api_secret}".encode()).hexdigest()


def next_morning(now: datetime) -> datetime:
    """When a token of this moment dies; one that is born in the morning's second lives a day."""
    here = now.astimezone(IST)
    today = datetime.combine(here.date(), MORNING, IST)
    return today if here < today else today + timedelta(days=1)


def _refused(message: str) -> RefusalError:
    return RefusalError(403, "TokenException", message)


# --- the page --------------------------------------------------------------------------------------


class Timed(Protocol):
    """What has a virtual time."""

    @property
    def now(self) -> datetime: ...


class LoginPage:
    """An ordinary HTML form; the browser leaves it for the app's redirect URL."""

    def __init__(self, logins: Logins, timed: Timed) -> None:
        self._logins = logins
        self._timed = timed
        self.table = [("GET", LOGIN_PATH, self._form), ("POST", LOGIN_PATH, self._log_in)]
        self.endpoints = frozenset(f"{method} {path}" for method, path, _ in self.table)
        self.routes = Routes(self.table)

    def answer(self, asked: Request) -> Answer:
        found = self.routes.find(asked)
        if found is not None:
            return found[1](asked)
        known = self.routes.knows_path(asked)
        return _page("<p>There is nothing here.</p>", 405 if known else 404)

    def _form(self, asked: Request) -> Answer:
        return self._offer({key: asked.one(key) for key in _CARRIED}, "")

    def _log_in(self, asked: Request) -> Answer:
        form = asked.form()
        user = self._logins.user
        typed = tuple(form.get(key, "") for key in ("user_id", "password", "totp"))
        if typed != (user.user_id, user.password, user.totp):
            return self._offer(form, "Invalid user id, password or TOTP.")
        wrong = self._complaint(form)
        if wrong:
            return _page(f"<p>{escape(wrong)}</p>", 400)
        token = self._logins.new_request_token(self._timed.now)
        target = form.get("redirect") or self._logins.app.redirect_url
        if not target:
            return _page(f"<p>Paste this request_token: <code id='request_token'>{token}</code></p>")
        return Answer(302, headers=(("Location", _back_to(target, token, form.get("redirect_params", ""))),))

    def _offer(self, carried: Mapping[str, str], wrong: str) -> Answer:
        complaint = self._complaint(carried)
        if complaint:
            return _page(f"<p>{escape(complaint)}</p>", 400)
        user = self._logins.user
        hidden = "".join(
            f"<input type='hidden' name='{key}' value='{escape(carried.get(key, ''))}'>" for key in _CARRIED
        )
        typed = "".join(
            f"<p><label>{label} <input name='{key}' type='{kind}' value='{escape(value)}'></label></p>"
            for label, key, kind, value in (
                ("User id", "user_id", "text", user.user_id),
                ("Password", "password", "password", user.password),
                ("TOTP", "totp", "text", user.totp),
            )
        )
        note = f"<p role='alert'>{wrong}</p>" if wrong else ""
        form = f"<form method='post' action='{LOGIN_PATH}'>{hidden}{typed}<button>Log in</button></form>"
        return _page(note + form, 403 if wrong else 200)

    def _complaint(self, carried: Mapping[str, str]) -> str:
        if carried.get("api_key") != self._logins.app.api_key:
            return "Invalid `api_key`."
        redirect = carried.get("redirect", "")
        if redirect and not _is_loopback(redirect):
            return "redirect: only an http address on loopback without control characters; tokens stay here"
        return ""


_CARRIED = ("api_key", "redirect", "redirect_params")


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return url.isprintable() and parts.scheme == "http" and parts.hostname in _LOOPBACK
    except ValueError:
        return False


def _back_to(target: str, request_token: str, redirect_params: str) -> str:
    """The redirect URL with the broker's own parameters, the app's echoed behind them."""
    told = [("action", "login"), ("status", "success"), ("request_token", request_token)]
    echoed = parse_qsl(redirect_params, keep_blank_values=True)
    return f"{target}{'&' if '?' in target else '?'}{urlencode([*told, *echoed])}"


def _page(inside: str, status: int = 200) -> Answer:
    title = "The local exchange: log in"
    return as_text(f"<!doctype html><title>{title}</title><h1>{title}</h1>{inside}", status)
