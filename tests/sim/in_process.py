"""How does a call reach the local exchange without a socket? A Transport, and the broker behind it.

A Call becomes the request that the exchange's server would have read, takes the road where faults lie, and
what comes back is opened by the code that the real transports use. What a real one makes of a connection
that closes, of half a body, of a redirect or of an answer that takes too long, this one makes of it too.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from exchange.api import Api
from exchange.disturb import Delivery, Road
from exchange.faults import Faults
from exchange.login import Logins, checksum_of
from exchange.nouns import OrderView
from exchange.venue import Exchange
from exchange.web import Request, request
from kite.books import order_row
from kite.envelope import opened, text_of
from kite.errors import BrokerError, NotSentError, damaged, doubtful
from kite.routes import Call
from rulebook.order_messages import OrderRow
from sockets import STANDARD

SILENCE_S = 5.0  # as both transports have it: the answer here comes as a whole, after a silence


class Broker:
    """The exchange's REST interface with its road, and the one login."""

    def __init__(self, exchange: Exchange, seed: int, faults: Faults) -> None:
        self.exchange = exchange
        self.logins = Logins(seed)
        self._api = Api(exchange, self.logins, faults)
        self._road = Road(faults)

    def log_in(self) -> str:
        """A fresh access token; whoever held the last one is out."""
        logins, now = self.logins, self.exchange.now
        granted = logins.grant(now)
        proof = checksum_of(logins.api_key, granted, logins.api_secret)
        return logins.open_session(logins.api_key, granted, proof, now).access_token

    def take(self, asked: Request) -> Delivery:
        endpoint = self._api.endpoint(asked)
        return self._road.carry(endpoint, self.exchange.now, lambda: self._api.answer(asked))

    def frame(self, view: OrderView, status: str) -> OrderRow:
        """What the stream tells of an order."""
        return order_row(self._api.order_frame(view, status))


class Witness(Protocol):
    """Sees every request leave and every answer arrive; the oracle of a simulation."""

    def sent(self, call: Call) -> None: ...
    def answered(self, call: Call, data: Any) -> None: ...
    def failed(self, call: Call, error: BrokerError) -> None: ...


class Unseen:
    """Nobody watches."""

    def sent(self, call: Call) -> None: ...
    def answered(self, call: Call, data: Any) -> None: ...
    def failed(self, call: Call, error: BrokerError) -> None: ...


class InProcess:
    """A Transport. `pass_time` lets the seconds pass that an answer takes; `is_cut` is an unplugged cable."""

    def __init__(
        self,
        broker: Broker,
        pass_time: Callable[[float], None],
        answer_s: Callable[[], float] = lambda: 0.0,
        is_cut: Callable[[datetime], bool] = lambda _: False,
        witness: Witness | None = None,
    ) -> None:
        self._broker = broker
        self._pass_time = pass_time
        self._answer_s = answer_s
        self._is_cut = is_cut
        self._witness = witness or Unseen()
        self._token: str | None = None

    def use_token(self, token: str | None) -> None:
        self._token = token

    def close(self) -> None: ...

    def send(self, call: Call) -> Any:
        try:
            data = self._asked(call)
        except BrokerError as error:
            self._witness.failed(call, error)
            raise
        self._witness.answered(call, data)
        return data

    def _asked(self, call: Call) -> Any:
        if self._is_cut(self._broker.exchange.now):
            raise NotSentError(call.asked, "the broker could not be reached")
        self._witness.sent(call)
        delivery = self._broker.take(self._request(call))
        late_s = self._answer_s() + delivery.delay.total_seconds()
        patience_s = min(call.total_s, SILENCE_S)
        self._pass_time(min(late_s, patience_s))
        if late_s > patience_s or delivery.answer is None or _is_cut_short(delivery):
            raise doubtful(call.asked, call.route.is_change, "no whole answer")
        return _read(call, delivery)

    def _request(self, call: Call) -> Request:
        in_query = call.route.method in ("GET", "DELETE")
        sent = urlencode(dict(call.values), doseq=True)
        target = f"{call.path}?{sent}" if in_query and sent else call.path
        signed = f"token {self._broker.logins.api_key}:{self._token}"
        return request(
            call.route.method, target, {"authorization": signed}, b"" if in_query else sent.encode()
        )


def _is_cut_short(delivery: Delivery) -> bool:
    assert delivery.answer is not None
    return delivery.length not in (None, len(delivery.answer.body))


def _read(call: Call, delivery: Delivery) -> Any:
    answer = delivery.answer
    assert answer is not None
    if 300 <= answer.status < 400:
        raise damaged(call.asked, call.route.is_change, f"sent on with {answer.status}, which is refused")
    if len(answer.body) > STANDARD.body_bytes:
        raise damaged(call.asked, call.route.is_change, "more than an answer may have")
    if call.route.is_csv and answer.status < 400:
        return text_of(call, answer.content_type or "", answer.body)
    return opened(call, answer.status, answer.body)
