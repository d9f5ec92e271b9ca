"""Where are the broker, NSE and the clock? From the environment, checked, before anything is sent anywhere.

Every call to the broker carries a token and may move money, so an address is either the broker's own over
TLS or on this machine: a typing error must not hand a token to a stranger. All of the broker's addresses
are of one kind, for orders to the real one on the clock of a local exchange would be a disaster.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from outcome import ConfigError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# kite.md 1.1, 4, 4.1, 5.1 and 6.1; the sandbox is the broker's own.
BROKER_HOSTS = frozenset(
    {"api.kite.trade", "ws.kite.trade", "kite.zerodha.com", "kite.trade", "sandbox.kite.trade",
     "ws-sandbox.kite.trade"}
)  # fmt: skip
NSE_HOSTS = frozenset(
    {"www.nseindia.com", "nsearchives.nseindia.com", "www.niftyindices.com", "archives.nseindia.com"}
)
DEFAULTS: Mapping[str, str] = {
    "KITE_API_URL": "https://api.kite.trade",
    "KITE_LOGIN_URL": "https://kite.zerodha.com",
    "KITE_WS_URL": "wss://ws.kite.trade",
    "NSE_URL": "https://www.nseindia.com",
    "NSE_ARCHIVES_URL": "https://nsearchives.nseindia.com",
}
CLOCK = "CLOCK_URL"
_BROKERS = ("KITE_API_URL", "KITE_LOGIN_URL", "KITE_WS_URL")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Each without a slash at its end."""

    kite_api: str
    kite_login: str
    kite_ws: str
    nse: str
    nse_archives: str
    clock: str | None
    is_local: bool  # the broker is one on this machine

    @property
    def broker_host(self) -> str:
        """What a journal and a banner call the broker."""
        return urlsplit(self.kite_api).netloc


def read_addresses(environ: Mapping[str, str]) -> Addresses:
    """All mistakes at once."""
    values = {name: (environ.get(name) or default).rstrip("/") for name, default in DEFAULTS.items()}
    problems = [problem for name, url in values.items() if (problem := _complaint(name, url))]
    kinds = {name: _is_loopback(values[name]) for name in _BROKERS}
    if len(set(kinds.values())) > 1:
        problems.append(f"{', '.join(_BROKERS)} are partly on this machine and partly not: set all or none")
    is_local = all(kinds.values())
    clock = environ.get(CLOCK) or None
    if clock is not None and not is_local:
        problems.append(
            f"{CLOCK} is set and the broker is the real one: unset it, the real one has real time"
        )
    if clock is not None and not _is_loopback(clock):
        problems.append(f"{CLOCK} {clock!r} is not on this machine: only a local exchange has a clock")
    if problems:
        raise ConfigError("; ".join(problems))
    api, login, ws, nse, archives = values.values()
    return Addresses(api, login, ws, nse, archives, clock, is_local)


def _complaint(name: str, url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{name} {url!r} is not an address"
    schemes = ("wss", "ws") if name.endswith("_WS_URL") else ("https", "http")
    hosts = BROKER_HOSTS if name in _BROKERS else NSE_HOSTS
    if parts.username or parts.query or parts.fragment:
        return f"{name} may hold a scheme, a host and a port only"
    if _is_loopback(url):
        return None if parts.scheme in schemes else f"{name} {url!r} must begin with {schemes[1]}://"
    if parts.scheme != schemes[0]:
        return f"{name} {url!r} must begin with {schemes[0]}://"
    if parts.hostname not in hosts:
        return f"{name} {url!r} is not one of {', '.join(sorted(hosts))}, nor on this machine"
    return None


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False
