"""How does a script get at the broker? Its part of `.env`, the addresses, the limits, and one client.

The limits are shared by every process of a login through a folder of its own, so two scripts at once stay
under them together.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Protocol

import locks
from addresses import Addresses, read_addresses
from clock import Clock
from environment import Environment, Secret
from kite.client import KiteClient
from kite.connect import connect
from kite.rates import Rates

if TYPE_CHECKING:
    from settings import Settings

KEYS = (
    "ZERODHA_API_KEY", "ZERODHA_API_SECRET", "ZERODHA_ACCESS_TOKEN", "ZERODHA_REFRESH_TOKEN", "BROKER_MODE",
)  # fmt: skip


class Run(Protocol):
    """cli.Run: the command line's configuration, environment and clock."""

    @property
    def settings(self) -> "Settings": ...
    @property
    def clock(self) -> Clock: ...
    @property
    def environ(self) -> dict[str, str]: ...
    @property
    def config_path(self) -> Path: ...
    def environment(self, *wanted: str) -> Environment: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """A client that is ready to ask, and what a login needs beside it."""

    client: KiteClient
    addresses: Addresses
    environment: Environment
    env_file: Path
    folder: Path  # of that login alone: limits, instruments
    trader: Callable[[], str | None]  # who trades on the token, if anybody does

    @property
    def api_key(self) -> str:
        return revealed(self.environment.secret("ZERODHA_API_KEY"))


def connected(run: Run) -> Connection:
    """ConfigError tells all that is missing in `.env`."""
    environment = run.environment(*KEYS)
    environment.required("BROKER_MODE", "ZERODHA_API_KEY", "ZERODHA_API_SECRET")
    addresses = read_addresses(run.environ)
    api_key = revealed(environment.secret("ZERODHA_API_KEY"))
    token = environment.secret("ZERODHA_ACCESS_TOKEN")
    login = hashlib.sha256(f"{addresses.kite_api} {api_key}".encode()).hexdigest()[:12]
    folder = run.settings.state / "broker" / login
    rates = Rates(folder / "rates", run.clock)
    client = connect(
        environment.text("BROKER_MODE"), addresses, api_key, token.reveal() if token else None,
        run.clock, rates, SystemRandom(),
    )  # fmt: skip
    lock = run.settings.state / "trade.lock"
    return Connection(
        client, addresses, environment, run.config_path.parent / ".env", folder, lambda: _trader(lock)
    )


def _trader(lock: Path) -> str | None:
    found = locks.holder(lock)
    return None if found is None else f"trade.py (pid {found.pid})"


def revealed(secret: Secret | None) -> str:
    assert secret is not None, "required() has been asked before"
    return secret.reveal()
