"""Which clients listen to the stream, and what are they sent now? All open streams of the exchange.

The venue says what happened, each Stream decides what its client gets and when, a door carries it. The
account's order frames go to every stream of the user, as the broker does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from exchange.doors import StreamDoor
from exchange.faults import Faults
from exchange.nouns import OrderView
from exchange.stream import Connections, Stream


class Floor(Protocol):
    """What streams need of the venue."""

    @property
    def now(self) -> datetime: ...
    def watch(self, tickers: Iterable[str]) -> None: ...


@dataclass(slots=True)
class _Open:
    door: StreamDoor
    stream: Stream
    token: str
    sent: int = 0


class Wires:
    """The open streams, by door."""

    def __init__(
        self,
        floor: Floor,
        faults: Faults,
        make_stream: Callable[[], Stream],
        spelled: Callable[[OrderView, str], dict[str, Any]],
    ) -> None:
        self._floor = floor
        self._faults = faults
        self._make_stream = make_stream
        self._spelled = spelled
        self._open: dict[int, _Open] = {}
        self.connections = Connections()

    # --- what the door says ---

    def opened(self, door: StreamDoor, token: str) -> None:
        self.connections.opened(token)
        self._open[door.port] = _Open(door, self._make_stream(), token)
        self.flush()

    def said(self, door: StreamDoor, text: str) -> None:
        open_ = self._open.get(door.port)
        if open_ is None:
            return
        open_.stream.received(text, self._floor.now)
        self._floor.watch({ticker for o in self._open.values() for ticker in o.stream.tickers})
        self.flush()

    def closed(self, door: StreamDoor) -> None:
        gone = self._open.pop(door.port, None)
        if gone is not None:
            self.connections.closed(gone.token)

    def drop(self, is_dead: Callable[[str], bool]) -> None:
        """Hang up on every stream whose token has died."""
        for open_ in list(self._open.values()):
            if is_dead(open_.token):
                open_.door.close()
                self.closed(open_.door)

    # --- what the venue says ---

    def ticked(self, ticker: str) -> None:
        for open_ in self._open.values():
            open_.stream.ticked(ticker)

    def order_updated(self, order: OrderView, status: str) -> None:
        for open_ in self._open.values():
            open_.stream.order_updated(self._spelled(order, status), self._floor.now)

    # --- what pacing asks ---

    def next_due(self) -> datetime | None:
        now = self._floor.now
        dues = [due for o in self._open.values() if (due := o.stream.next_due(now)) is not None]
        return min(dues, default=None)

    def flush(self) -> None:
        now = self._floor.now
        for open_ in list(self._open.values()):
            if self._faults.strikes("ws_close", now):
                open_.door.close()
                self.closed(open_.door)
                continue
            for frame in open_.stream.due(now):
                open_.sent += 1
                open_.door.send(frame)

    def frames_sent(self, port: int) -> int:
        """On the connection of that port; an unknown one has been sent nothing more."""
        open_ = self._open.get(port)
        return -1 if open_ is None else open_.sent
