"""Which calls does the broker know, and what does each of them do? One table for both transports.

The names are the official client's own, so that `kite_sdk` can hand a call to it and `raw_http` can send
the same one; a test compares the paths. What is not here cannot be asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kite.rates import Kind

Value = str | int | float | Sequence[str]


@dataclass(frozen=True, slots=True)
class Route:
    """One entry: `is_change` is what may not be repeated, `is_csv` what is no JSON."""

    name: str
    method: str
    path: str
    kind: Kind
    is_change: bool = False
    is_csv: bool = False
    is_json: bool = False  # of the body


def _order(name: str, method: str, path: str) -> Route:
    return Route(name, method, path, Kind.ORDERS, is_change=True)


def _read(name: str, path: str, kind: Kind = Kind.OTHER) -> Route:
    return Route(name, "GET", path, kind)


SESSION = Route("api.token", "POST", "/session/token", Kind.OTHER, is_change=True)
LOG_OUT = Route("api.token.invalidate", "DELETE", "/session/token", Kind.OTHER, is_change=True)
RENEW = Route("api.token.renew", "POST", "/session/refresh_token", Kind.OTHER, is_change=True)
PROFILE = _read("user.profile", "/user/profile")
MARGINS = _read("user.margins", "/user/margins")
ORDERS = _read("orders", "/orders")
ORDER = _read("order.info", "/orders/{order_id}")
TRADES = _read("trades", "/trades")
POSITIONS = _read("portfolio.positions", "/portfolio/positions")
HOLDINGS = _read("portfolio.holdings", "/portfolio/holdings")
PLACE = _order("order.place", "POST", "/orders/{variety}")
MODIFY = _order("order.modify", "PUT", "/orders/{variety}/{order_id}")
CANCEL = _order("order.cancel", "DELETE", "/orders/{variety}/{order_id}")
INSTRUMENTS = Route("market.instruments", "GET", "/instruments/{exchange}", Kind.OTHER, is_csv=True)
HISTORY = _read("market.historical", "/instruments/historical/{instrument_token}/{interval}", Kind.HISTORY)
QUOTE = _read("market.quote", "/quote", Kind.QUOTES)
OHLC = _read("market.quote.ohlc", "/quote/ohlc", Kind.QUOTES)
LTP = _read("market.quote.ltp", "/quote/ltp", Kind.QUOTES)
# They compute and change nothing, though they are POST: they may be repeated.
ORDER_MARGINS = Route("order.margins", "POST", "/margins/orders", Kind.OTHER, is_json=True)
ORDER_CHARGES = Route("order.contract_note", "POST", "/charges/orders", Kind.OTHER, is_json=True)

ALL = (
    SESSION, LOG_OUT, RENEW, PROFILE, MARGINS, ORDERS, ORDER, TRADES, POSITIONS, HOLDINGS, PLACE, MODIFY,
    CANCEL, INSTRUMENTS, HISTORY, QUOTE, OHLC, LTP, ORDER_MARGINS, ORDER_CHARGES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `names` fill the path, `values` the query or the form, `document` is a JSON body."""

    route: Route
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    document: Any = None
    urgent: bool = False
    total_s: float = 10.0

    @property
    def asked(self) -> str:
        """What errors call it; never the query, which may hold a token."""
        return f"{self.route.method} {self.path}"

    @property
    def path(self) -> str:
        return self.route.path.format(**self.names)


class Transport(Protocol):
    """Sends one call once and returns the `data` of the answer (text for CSV), or raises a BrokerError."""

    def send(self, call: Call) -> Any: ...

    def use_token(self, token: str | None) -> None:
        """What every call after this is signed with."""

    def close(self) -> None: ...
