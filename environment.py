"""Which secrets and switches came from outside? .env and the process environment, one loader.

A script names what it wants and gets nothing else, so the dashboard cannot leak a broker secret
that it never held. The process environment beats the file; an empty value counts as unset. The
file is refused while others may read it. Knows config.json not at all.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from outcome import ConfigError
from settings import unknown_key


class Secret:
    """A value that shows itself only to who says so: never in a repr, a log or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


def _any_text(_: str) -> str | None:
    return None


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    return lambda text: None if text in allowed else "it must be " + " or ".join(allowed)


def _positive_number(text: str) -> str | None:
    try:
        sound = 0 < float(text) < float("inf")
    except ValueError:
        sound = False
    return None if sound else "it must be a number above 0"


def _time_zone(text: str) -> str | None:
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError):  # a folder's name, ../.., an unknown zone
        return "it must be a time zone such as Asia/Kolkata"
    return None


@dataclass(frozen=True, slots=True)
class Key:
    """One name of .env: is it secret, what is wrong with a value, how does one get a value?"""

    secret: bool
    complaint: Callable[[str], str | None]
    remedy: str


KEYS: dict[str, Key] = {
    "ZERODHA_API_KEY": Key(True, _any_text, "it is shown by developers.kite.trade for your app"),
    "ZERODHA_API_SECRET": Key(True, _any_text, "it is shown by developers.kite.trade for your app"),
    "ZERODHA_ACCESS_TOKEN": Key(True, _any_text, "log in with: python fetch.py --fn login"),
    "ZERODHA_REFRESH_TOKEN": Key(True, _any_text, "only some account types have one"),
    "BROKER_MODE": Key(False, _one_of("kite_sdk", "raw_http"), "set BROKER_MODE=kite_sdk in .env"),
    "LOG_LEVEL": Key(False, _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "INFO is usual"),
    "TZ": Key(False, _time_zone, "Asia/Kolkata is usual"),
    "DAILY_MAX_LOSS_R": Key(False, _positive_number, "3.0 is usual; live trading asks for it"),
    "DASHBOARD_AUTH_TOKEN": Key(True, _any_text, "make one: openssl rand -hex 32"),
    "LEDGER_HMAC_KEY": Key(True, _any_text, "it is made at the first start"),
}


class Environment:
    """The values of the names that were asked for; any other name is a mistake of ours."""

    def __init__(self, values: Mapping[str, str | None]) -> None:
        self._values = dict(values)

    def text(self, name: str) -> str | None:
        assert not KEYS[name].secret, f"{name} is a secret"
        return self._values[name]

    def secret(self, name: str) -> Secret | None:
        assert KEYS[name].secret, f"{name} is no secret"
        value = self._values[name]
        return None if value is None else Secret(value)

    def required(self, *names: str) -> None:
        """One error for all that is missing."""
        missing = [f"{name} is not set: {KEYS[name].remedy}" for name in names if self._values[name] is None]
        if missing:
            raise ConfigError("; ".join(missing))

    def secrets(self) -> Iterator[Secret]:
        """For the log's redaction."""
        for name, value in self._values.items():
            if KEYS[name].secret and value is not None:
                yield Secret(value)

    def __repr__(self) -> str:
        return f"Environment({', '.join(self._values)})"


def load_environment(wanted: Iterable[str], path: Path, environ: Mapping[str, str]) -> Environment:
    """Only the wanted names, from `environ` first and the file second; all errors at once."""
    from_file = _read(path) if path.exists() else {}
    values = {name: environ.get(name) or from_file.get(name) or None for name in wanted}
    problems = [unknown_key(name, KEYS) for name in from_file if name not in KEYS]
    for name, value in values.items():
        complaint = KEYS[name].complaint(value) if value is not None else None
        if complaint:
            shown = "this value" if KEYS[name].secret else repr(value)
            problems.append(f"{name}: {shown} is not allowed; {complaint}")
    if problems:
        raise ConfigError(f"{path}: " + "; ".join(problems))
    return Environment(values)


def _read(path: Path) -> dict[str, str | None]:
    from dotenv import dotenv_values  # 0.05 s, paid only where there is a file

    try:
        _refuse_if_others_may_read(path)
        with path.open(encoding="utf-8") as file:
            return dict(dotenv_values(stream=file, interpolate=False))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; make it your own: chmod 600 {path}") from None


def _refuse_if_others_may_read(path: Path) -> None:
    status = path.stat()
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(
            f"{path} holds secrets and others may read it (mode {mode:04o}); run: chmod 600 {path}"
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path} belongs to another user; run: sudo chown $USER {path}")
