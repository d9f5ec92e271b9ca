"""Our client of the broker, over either transport, before a running local exchange."""

import http.client
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode, urlsplit

import login
from broker import ZerodhaClient
from kite.client import KiteClient
from kite.instruments import Master
from kite.rates import Kind, Limit, Rates
from kite.raw_http import RawHttp
from kite.routes import Transport
from kite.sdk import SdkTransport
from net import Http
from rulebook.order_messages import Cancel, Modify, Place
from rulebook.records import tag_of
from sockets import Bounds
from tests.local_exchange import ANSWER_S, Running

Limits = dict[Kind, Limit]

MODES = ("kite_sdk", "raw_http")
SILENCE_S = 5.0
BODY_MOST = 1_500_000
TICKER = "RELIANCE"  # the one that an exchange of one symbol has


class Hands:
    """The control address over one connection: a table of a thousand cells asks it often."""

    def __init__(self, running: Running) -> None:
        parts = urlsplit(running.ready["control_url"])
        assert parts.hostname is not None
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_S)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        self._connection.request(method, f"{self._path}/{path}", data)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)

    def close(self) -> None:
        self._connection.close()


class DrivenClock:
    """Waiting moves the exchange's own time; reading it asks nobody."""

    def __init__(self, hands: Hands, shift: timedelta = timedelta(0)) -> None:
        self._hands = hands
        self._began = datetime.fromisoformat(hands.control("GET", "state")["now"]) + shift
        self.elapsed_s = 0.0

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.elapsed_s)

    def monotonic(self) -> float:
        return self.elapsed_s + 1_000.0

    def wait(self, seconds: float) -> None:
        seconds = round(seconds + 5e-7, 6)  # the exchange counts microseconds
        self._hands.control("POST", "advance", {"seconds": seconds})
        self.elapsed_s += seconds


@dataclass
class Kept:
    """Intents as a ledger keeps them: they outlive the client."""

    asked: list[Place | Modify | Cancel] = field(default_factory=list)

    def record(self, asked: Place | Modify | Cancel) -> None:
        self.asked.append(asked)

    def knows(self, client_id: str) -> bool:
        return any(isinstance(asked, Place) and asked.client_id == client_id for asked in self.asked)


def transport(
    mode: str, root: str, api_key: str, clock: Any, silence_s: float = SILENCE_S, body_most: int = BODY_MOST
) -> Transport:
    """As kite.connect makes it, with other bounds."""
    if mode == "kite_sdk":
        return SdkTransport(root, api_key, clock, silence_s, body_most)
    bounds = Bounds(silence_s=silence_s, connect_s=silence_s, body_bytes=body_most)
    return RawHttp(root, api_key, Http("suite/1", clock, Random(7), bounds), clock)


def request_token(running: Running) -> str:
    """As the user gets one: by the form of the login page."""
    form = {
        "api_key": running.ready["api_key"],
        "user_id": "LX0001",
        "password": "loopback",
        "totp": "000000",
    }
    url = f"{running.ready['kite_login_url']}/connect/login"
    with urllib.request.urlopen(url, urlencode(form).encode(), timeout=ANSWER_S) as page:
        found = re.search(rb"id='request_token'>(\w+)<", page.read())
    assert found is not None
    return found[1].decode()


@dataclass
class Seat:
    """One who trades at the exchange; all of its clients share limits, intents and login."""

    running: Running
    hands: Hands
    folder: Path
    clock: DrivenClock
    kept: Kept = field(default_factory=Kept)
    token: str = ""
    master: Master | None = None
    transports: dict[Any, Transport] = field(default_factory=dict)

    def client(self, mode: str, root: str = "", limits: Limits | None = None, **bounds: Any) -> KiteClient:
        """Transports are kept: making one reads the list of authorities, which takes longer than a call."""
        key = (mode, root, *sorted(bounds.items()))
        if key not in self.transports:
            ready = self.running.ready
            at = root or ready["kite_api_url"]
            self.transports[key] = transport(mode, at, ready["api_key"], self.clock, **bounds)
        self.transports[key].use_token(self.token)
        return KiteClient(self.transports[key], Rates(self.folder, self.clock, limits), self.clock, Random(7))

    def log_in(self) -> None:
        ready = self.running.ready
        token = request_token(self.running)
        client = self.client("raw_http")
        proof = login.checksum(ready["api_key"], token, ready["api_secret"])
        self.token = client.log_in(ready["api_key"], token, proof).access_token

    def trader(
        self,
        client: KiteClient,
        renew: Callable[[], str] | None = None,
        load: Callable[[], Master] | None = None,
    ) -> ZerodhaClient:
        return ZerodhaClient(client, self.clock, self.kept, 50.0, renew, load or self.instruments)

    def instruments(self) -> Master:
        """The list is the same for all."""
        if self.master is None:
            self.master = self.client("raw_http").master()
        return self.master

    def truth(self) -> Any:
        return self.hands.control("GET", "truth")

    def break_with(self, fault: str, **more: Any) -> None:
        self.hands.control("POST", "faults", [{"name": fault, **more}])

    def heal(self) -> None:
        self.hands.control("DELETE", "faults")

    def held(self, ticker: str = TICKER) -> int:
        """By the broker's truth."""
        return held_in(self.truth(), ticker)

    def orders_of(self, client_id: str) -> list[Any]:
        return orders_in(self.truth(), client_id)

    # --- the owner's own hand ---

    def by_hand(self, side: str, qty: int, **more: Any) -> str:
        order = {"do": "place", "ticker": TICKER, "side": side, "qty": qty, **more}
        order_id: str = self.hands.control("POST", "hand", order)["order_id"]
        self.clock.wait(1)
        return order_id

    def tidy(self, truth: Any = None) -> None:
        """No fault, no open order, no position; `truth` as it is once everything has arrived."""
        self.heal()
        if truth is None:
            self.clock.wait(1)
            truth = self.truth()
        open_ = [order for order in truth["orders"] if order["status"] in ("OPEN", "TRIGGER PENDING")]
        for order in open_:
            self.hands.control("POST", "hand", {"do": "cancel", "order_id": order["order_id"]})
        if open_:
            self.clock.wait(1)
        for ticker, _, bought, _, sold, _ in truth["flows"]:
            if bought != sold:
                self.by_hand("SELL" if bought > sold else "BUY", abs(bought - sold), ticker=ticker)


@contextmanager
def seated(running: Running, folder: Path, shift: timedelta = timedelta(0)) -> Iterator[Seat]:
    """`shift`: how wrong the clock of our machine is."""
    hands = Hands(running)
    seat = Seat(running, hands, folder, DrivenClock(hands, shift))
    seat.log_in()
    try:
        yield seat
    finally:
        hands.close()
        for way in seat.transports.values():
            way.close()


def held_in(truth: Any, ticker: str = TICKER) -> int:
    return sum(flow[2] - flow[4] for flow in truth["flows"] if flow[0] == ticker)


def orders_in(truth: Any, client_id: str) -> list[Any]:
    return [order for order in truth["orders"] if order["tag"] == tag_of(client_id)]
