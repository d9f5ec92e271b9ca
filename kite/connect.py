"""Which of the two transports does this process use? BROKER_MODE says so; here is the one door to both.

`kite_sdk` asks through the broker's own client, `raw_http` through ours; everything above the transport is
the same code, and one contract suite runs over both. Each is imported where it is chosen, so that a process
of one mode never loads the other: no kiteconnect and no twisted behind `raw_http`.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Protocol

from clock import Clock, SystemClock
from kite.client import KiteClient
from kite.rates import Rates
from kite.routes import Transport
from outcome import ConfigError

USER_AGENT: Final = "rl-trader"


class Whereabouts(Protocol):
    """addresses.Addresses: checked, so that no token goes to a stranger."""

    @property
    def kite_api(self) -> str: ...


def connect(
    mode: str | None,
    addresses: Whereabouts,
    api_key: str,
    token: str | None,
    clock: Clock,
    rates: Rates,
    rng: Random,
) -> KiteClient:
    """A client that is ready to ask; without a token it can log in and nothing else.

    How often one may ask is counted by the broker's clock, which may be a followed one. How long an answer
    may take is this machine's time: at sixty times the pace of life, ten seconds would be over at once.
    """
    client = KiteClient(transport(mode, addresses, api_key, SystemClock(), rng), rates, clock, rng)
    client.use_token(token)
    return client


def transport(mode: str | None, addresses: Whereabouts, api_key: str, clock: Clock, rng: Random) -> Transport:
    """That of the mode; there is no default, for a guess would choose what code meets the money."""
    made = _MADE.get(mode or "")
    if made is None:
        said = "is not set" if not mode else f"{mode!r} is not allowed"
        raise ConfigError(f"BROKER_MODE {said}: set BROKER_MODE=kite_sdk or BROKER_MODE=raw_http in .env")
    return made(addresses.kite_api, api_key, clock, rng)


def _official(root: str, api_key: str, clock: Clock, rng: Random) -> Transport:  # noqa: ARG001  as _own
    from kite.sdk import SdkTransport

    return SdkTransport(root, api_key, clock)


def _own(root: str, api_key: str, clock: Clock, rng: Random) -> Transport:
    from kite.raw_http import RawHttp
    from net import Http

    return RawHttp(root, api_key, Http(USER_AGENT, clock, rng), clock)


_MADE: Mapping[str, Callable[[str, str, Clock, Random], Transport]] = {
    "kite_sdk": _official,
    "raw_http": _own,
}
