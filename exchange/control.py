"""What may a person or a test do to the exchange from outside? Look, move the clock, break things, trade.

The clock address tells followers the time and hears that they are idle; the control address shows the
broker's truth and takes faults and the account owner's own orders. None of it exists at the broker.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from exchange import faults as fault_lists
from exchange.disturb import Delivery
from exchange.faults import Faults
from exchange.nouns import Changes, OrderRequest, RefusalError
from exchange.pacing import Idle, Pacing
from exchange.venue import Exchange
from exchange.web import Answer, Request, Routes, as_json
from outcome import ConfigError
from rulebook.hours import IST
from rulebook.records import OrderType, Paise, Side

LOCK_STEP = "max"


class Control:
    """The control address."""

    def __init__(
        self, exchange: Exchange, faults: Faults, pacing: Pacing, wall_s: Callable[[], float]
    ) -> None:
        self._exchange = exchange
        self._faults = faults
        self._pacing = pacing
        self._wall_s = wall_s
        self.routes = Routes(
            [
                ("GET", "/control/state", self._state),
                ("GET", "/control/truth", lambda _: as_json(self._exchange.truth())),
                ("POST", "/control/advance", self._advance),
                ("POST", "/control/speed", self._speed),
                ("GET", "/control/faults", self._faults_on),
                ("POST", "/control/faults", self._break),
                ("DELETE", "/control/faults", self._heal),
                ("DELETE", "/control/faults/{name}", self._heal),
                ("POST", "/control/hand", self._hand),
            ]
        )

    def answer(self, asked: Request) -> Answer:
        found = self.routes.find(asked)
        if found is None:
            return _wrong(f"no such control: {asked.method} {asked.path}", 404)
        _, handler, names = found
        try:
            return handler(asked, **names)
        except (ConfigError, ValueError, KeyError, TypeError) as error:
            return _wrong(f"{asked.method} {asked.path}: {error!r}", 400)
        except RefusalError as error:
            return _wrong(f"{error.error_type}: {error.message}", error.status)

    def _state(self, _: Request) -> Answer:
        pacing = self._pacing
        return as_json(
            {
                "now": self._exchange.now.isoformat(),
                "speed": LOCK_STEP if pacing.rate is None else pacing.rate,
                "followers": sorted(pacing.followers),
                "held_answers": pacing.held,
                "faults_on": [fault_lists.written(fault) for fault in self._faults.on()],
                "faults_struck": self._faults.struck,
            }
        )

    def _advance(self, asked: Request) -> Answer:
        """{"to": ISO 8601} or {"seconds": n}: to that moment, whether or not followers are idle."""
        body = _body(asked)
        now = self._exchange.now
        to = _moment(body["to"]) if "to" in body else now + timedelta(seconds=float(body["seconds"]))
        if to < now:
            raise ValueError(f"{to.isoformat()} is before {now.isoformat()}: time does not run backwards")
        self._pacing.move_to(to)
        if self._pacing.rate is not None:
            self._pacing.set_rate(self._pacing.rate, self._wall_s())
        return self._state(asked)

    def _speed(self, asked: Request) -> Answer:
        speed = _body(asked)["speed"]
        self._pacing.set_rate(read_speed(str(speed)), self._wall_s())
        return self._state(asked)

    def _faults_on(self, _: Request) -> Answer:
        return as_json([fault_lists.written(fault) for fault in self._faults.on()])

    def _break(self, asked: Request) -> Answer:
        for fault in fault_lists.read(asked.body.decode(), "request"):
            self._faults.add(fault)
        return self._faults_on(asked)

    def _heal(self, asked: Request, name: str | None = None) -> Answer:
        self._faults.clear(name)
        return self._faults_on(asked)

    def _hand(self, asked: Request) -> Answer:
        """What the owner of the account does in the broker's own app."""
        body = _body(asked)
        match body["do"]:
            case "place":
                order_id = self._exchange.place(_by_hand(body))
            case "cancel":
                order_id = self._exchange.cancel(body["order_id"], by_hand=True)
            case "modify":
                order_id = self._exchange.modify(body["order_id"], _changes(body), by_hand=True)
            case other:
                raise ValueError(f"do: {other!r} is none of place, cancel, modify")
        return as_json({"order_id": order_id})


class ClockFace:
    """The clock address: tells the time, and in lock-step hears who is idle until when."""

    def __init__(self, exchange: Exchange, faults: Faults, pacing: Pacing) -> None:
        self._exchange = exchange
        self._faults = faults
        self._pacing = pacing
        self._stepped = timedelta(0)
        self._since = exchange.now

    def take(self, asked: Request, deliver: Callable[[Delivery], None]) -> Callable[[], None] | None:
        """GET tells; POST answers when `until` is there; DELETE ends a follower."""
        if asked.method == "POST":
            return self._wait(asked, deliver)
        if asked.method == "DELETE":
            self._pacing.leave(asked.one("follower"))
        deliver(Delivery(as_json(self._told())))
        return None

    def _told(self) -> dict[str, Any]:
        now = self._exchange.now
        fault = self._faults.strikes("clock_step", now)
        if fault is not None:
            self._stepped += timedelta(milliseconds=fault.value)
        return {
            "now": (now + self._stepped).isoformat(),
            "rate": self._pacing.rate or 0.0,
            "lock_step": self._pacing.rate is None,
            "monotonic": (now - self._since).total_seconds(),
            "held": self._pacing.held,
        }

    def _wait(self, asked: Request, deliver: Callable[[Delivery], None]) -> Callable[[], None] | None:
        """`until` counts on the monotonic scale, so that a stepped clock moves no deadline."""
        try:
            body = _body(asked)
            until = self._since + timedelta(seconds=float(body["until"]))
            name, outstanding = body.get("follower"), int(body.get("outstanding", 0))
            heard = {int(port): int(frames) for port, frames in body.get("heard", {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            deliver(Delivery(_wrong(f"clock: {error!r}", 400)))
            return None
        word = Idle(
            until,
            lambda: deliver(Delivery(as_json(self._told() | {"sent": self._pacing.sent(heard)}))),
            name, outstanding, heard,
        )  # fmt: skip
        self._pacing.idle(word)
        return lambda: self._pacing.gone(word)


def read_speed(text: str) -> float | None:
    """A rate, or None for lock-step."""
    if text == LOCK_STEP:
        return None
    speed = float(text)
    if not 0 < speed <= 100_000:
        raise ValueError(f"speed {text}: a number above 0, or {LOCK_STEP}")
    return speed


def _body(asked: Request) -> dict[str, Any]:
    body = json.loads(asked.body or b"{}")
    if not isinstance(body, dict):
        raise ValueError(f"{asked.path} wants a JSON object")
    return body


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=IST) if moment.tzinfo is None else moment.astimezone(IST)


def _by_hand(body: dict[str, Any]) -> OrderRequest:
    return OrderRequest(
        ticker=body["ticker"],
        side=Side[body["side"]],
        qty=int(body["qty"]),
        product=body.get("product", "MIS"),
        order_type=OrderType(body.get("order_type", "MARKET")),
        price=_paise(body, "price"),
        trigger=_paise(body, "trigger"),
        placed_by_hand=True,
    )


def _changes(body: dict[str, Any]) -> Changes:
    return Changes(body.get("qty"), _paise(body, "price"), trigger=_paise(body, "trigger"))


def _paise(body: dict[str, Any], key: str) -> Paise | None:
    return None if body.get(key) is None else Paise(int(body[key]))


def _wrong(message: str, status: int) -> Answer:
    return as_json({"error": message}, status)
