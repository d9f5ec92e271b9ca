"""Who answers what? The exchange with all its faces: broker, login page, NSE, clock, control, stream.

Sockets are in doors.py, the running of time in server.py. Here a request finds its face, faults meet it on
the way, and what the venue tells goes out on the streams.
"""

from collections.abc import Callable
from datetime import datetime

from exchange.api import Api
from exchange.control import ClockFace, Control
from exchange.disturb import Delivery, Road
from exchange.doors import StreamDoor
from exchange.faults import Faults
from exchange.login import Logins
from exchange.nse import Nse
from exchange.pacing import Pacing
from exchange.stream import Packets, Stream
from exchange.venue import Exchange
from exchange.web import Answer, Request, as_json
from exchange.wires import Wires

Ready = dict[str, str]
SLOW_S = 0.05


class House:
    """One running exchange behind one port."""

    def __init__(
        self,
        exchange: Exchange,
        logins: Logins,
        faults: Faults,
        rate: float | None,
        wall_s: Callable[[], float],
        nudge: Callable[[], None],
    ) -> None:
        self.exchange = exchange
        self.logins = logins
        self._faults = faults
        self._wall_s = wall_s
        self._nudge = nudge  # something may be due sooner than the server sleeps
        self._api = Api(exchange, logins, faults)
        self._nse = Nse(exchange, faults)
        self._road = Road(faults)
        self._packets = Packets()
        self._wires = Wires(exchange, faults, self._new_stream, self._api.order_frame)
        exchange.listen(self._wires)
        self.pacing = Pacing(exchange, self._wires, rate, wall_s())
        self._clock = ClockFace(exchange, faults, self.pacing)
        self._control = Control(exchange, faults, self.pacing, wall_s)
        self.ready: Ready = {}

    def now(self) -> datetime:
        return self.exchange.now

    def keep_up(self) -> None:
        """Everything that is due. What this machine cannot make in time is not owed: at a rate that is too
        high for it, time is slower, and the door stays open."""
        began_s = self._wall_s()
        self.pacing.catch_up(began_s)
        ended_s = self._wall_s()
        if self.pacing.rate is not None and ended_s - began_s > SLOW_S:
            self.pacing.set_rate(self.pacing.rate, ended_s)

    def take(self, asked: Request, deliver: Callable[[Delivery], None]) -> Callable[[], None] | None:
        """Everything that is due by the wall clock happens before the request is looked at."""
        if self.pacing.rate is not None:
            self.keep_up()
        try:
            if asked.path == "/clock":
                return self._clock.take(asked, deliver)
            if asked.path.startswith("/control/"):
                deliver(Delivery(self._controlled(asked)))
            elif self._nse.routes.find(asked) is not None:
                deliver(Delivery(self._nse.answer(asked)))
            else:
                self._send_later_or_now(self._broker(asked), deliver)
            return None
        finally:
            self._wires.drop(lambda token: not self.logins.is_live(token, self.exchange.now))
            self._wires.flush()
            self._nudge()

    def _controlled(self, asked: Request) -> Answer:
        if asked.method == "GET" and asked.path == "/control/ready":
            return as_json(self.ready)
        return self._control.answer(asked)

    def _broker(self, asked: Request) -> Delivery:
        endpoint = self._api.endpoint(asked)
        return self._road.carry(endpoint, self.exchange.now, lambda: self._api.answer(asked))

    def _send_later_or_now(self, delivery: Delivery, deliver: Callable[[Delivery], None]) -> None:
        if delivery.delay:
            self.pacing.later(self.exchange.now + delivery.delay, lambda: deliver(delivery))
        else:
            deliver(delivery)

    # --- the stream ---

    def refuses_stream(self, asked: Request) -> int | None:
        now = self.exchange.now
        fault = self._faults.strikes("ws_refused", now)
        if fault is not None:
            return fault.value or 403
        if not self.logins.is_live(_token(asked), now):
            return 403
        return None if self._wires.connections.may_open(_token(asked)) else 429

    def stream_opened(self, asked: Request, door: StreamDoor) -> None:
        self._wires.opened(door, _token(asked))
        self._nudge()

    def stream_said(self, door: StreamDoor, text: str) -> None:
        self._wires.said(door, text)
        self._nudge()

    def stream_closed(self, door: StreamDoor) -> None:
        self._wires.closed(door)
        self._nudge()

    def _new_stream(self) -> Stream:
        listings = self.exchange.listings_by_token
        return Stream(listings, self.exchange.quote, self._faults, packets=self._packets)


def _token(asked: Request) -> str:
    """As in the header of REST: key and token; the stream carries them in its query."""
    return f"{asked.one('api_key')}:{asked.one('access_token')}"
