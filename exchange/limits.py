"""How often may a client ask? Requests a second by class of endpoint, on the exchange's clock.

| class      | a second | endpoints                                                          |
|------------|----------|--------------------------------------------------------------------|
| quote      | 1        | /quote, /quote/ohlc, /quote/ltp                                    |
| historical | 3        | /instruments/historical/...                                        |
| orders     | 10       | place, modify, cancel: counted by the venue, with its other caps   |
| other      | 10       | everything else; the order book and the trades too (F 4540)        |

Published numbers (kite.md 2: C 52882 of mid-2026, F 11404, F 15912). Data limits belong to the api_key.

UNCONFIRMED, decided here: the broker's window. A sliding second refuses whatever a second of the clock
would refuse, and more, so a client that gets along here gets along with either. A refused request does
not count: whoever waits a second is served, as R5 of the faults expects; it is the venue that counts
refused orders. Several calls at one moment of a lock-step clock are as many calls in one second.
"""

from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum

from exchange.nouns import RefusalError

WINDOW = timedelta(seconds=1)


class Pace(StrEnum):
    """A class of endpoints that share one allowance."""

    QUOTE = "quote"
    HISTORICAL = "historical"
    ORDERS = "orders"
    OTHER = "other"


MOST_A_SECOND: dict[Pace, int] = {Pace.QUOTE: 1, Pace.HISTORICAL: 3, Pace.ORDERS: 10, Pace.OTHER: 10}
COUNTED_BY_THE_VENUE = frozenset({Pace.ORDERS})

ORDER_ENDPOINTS = frozenset(
    {
        "POST /orders/{variety}",
        "PUT /orders/{variety}/{order_id}",
        "DELETE /orders/{variety}/{order_id}",
    }
)


def pace_of(endpoint: str) -> Pace:
    """The class of an endpoint named as the faults name it ("GET /quote/ltp")."""
    if endpoint in ORDER_ENDPOINTS:
        return Pace.ORDERS
    if endpoint.startswith("GET /quote"):
        return Pace.QUOTE
    return Pace.HISTORICAL if endpoint.startswith("GET /instruments/historical/") else Pace.OTHER


class Limits:
    """What each api_key has asked within the last second."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, Pace], deque[datetime]] = {}

    def admit(self, api_key: str, pace: Pace, now: datetime) -> None:
        """Counts the request, or refuses it with 429."""
        if pace in COUNTED_BY_THE_VENUE:
            return
        served = self._served.setdefault((api_key, pace), deque())
        while served and now - served[0] >= WINDOW:
            served.popleft()
        if len(served) >= MOST_A_SECOND[pace]:
            raise RefusalError(429, "NetworkException", "Too many requests")
        served.append(now)
