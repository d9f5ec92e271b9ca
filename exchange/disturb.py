"""What goes wrong between the broker and us on the way of one request? Nothing, unless a fault strikes.

A request is carried out or not, and its answer arrives whole, damaged, late or never: the rows R1 to R10
of faults.md 4. Sockets are the server's: this file says what to send, when, and whether to close.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from exchange.faults import Fault, Faults
from exchange.web import HTML, JSON, Answer, as_text, envelope

HUNG_UP = None
_CUT = 2  # a truncated body is half of the whole


@dataclass(frozen=True, slots=True)
class Delivery:
    """An answer on its way; without one the connection closes. `length` is what the header promises."""

    answer: Answer | None
    delay: timedelta = timedelta(0)
    length: int | None = None


class Road:
    """The way between a client and the broker's REST interface."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._limited_until: dict[str, datetime] = {}

    def carry(self, endpoint: str, now: datetime, run: Callable[[], Answer]) -> Delivery:
        """Take a request there, have it carried out, and bring the answer back."""
        lost = self._on_the_way_there(endpoint, now)
        if lost is not None:
            return lost
        answer = run()
        back = self._on_the_way_back(answer, endpoint, now)
        slow = self._faults.strikes("slow", now, endpoint)
        return replace(back, delay=timedelta(milliseconds=slow.value)) if slow else back

    def _on_the_way_there(self, endpoint: str, now: datetime) -> Delivery | None:
        """What an answer looks like when the request never reached the broker's books."""
        strikes = self._faults.strikes
        if strikes("request_lost", now, endpoint):
            return Delivery(HUNG_UP)
        limited = strikes("rate_limited", now, endpoint)
        if limited:
            self._limited_until[endpoint] = now + timedelta(milliseconds=limited.value)
        if limited or now < self._limited_until.get(endpoint, now):
            return Delivery(envelope(429, "NetworkException", "Too many requests"))
        if strikes("server_error_before", now, endpoint):
            return Delivery(envelope(503, "NetworkException", "OMS is temporarily unavailable"))
        if strikes("redirect", now, endpoint):
            portal = (("Location", "http://127.0.0.1:9/portal"),)
            return Delivery(as_text("<html>Sign in to the network</html>", 302, HTML, portal))
        return None

    def _on_the_way_back(self, answer: Answer, endpoint: str, now: datetime) -> Delivery:
        """The broker has done what was asked; what of its answer arrives?"""
        for name, instead in _SAID_INSTEAD.items():
            if self._faults.strikes(name, now, endpoint):
                return Delivery(instead)
        for name in _SPOILS:
            fault = self._faults.strikes(name, now, endpoint)
            if fault is not None:
                return _spoilt(answer, fault)
        return Delivery(answer)


# --- damages ---------------------------------------------------------------------------------------

# Carried out, and yet no success arrives.
_SAID_INSTEAD: dict[str, Answer | None] = {
    "answer_lost": HUNG_UP,
    # Seen in 2021 although the order was there seconds later (kite.trade comment 35732).
    "timed_out_400": envelope(400, "OrderException", "Order request timed out. Please check the order book."),
    "server_error_after": envelope(503, "NetworkException", "Gateway timed out"),
    "html_body": as_text("<html><head><title>502 Bad Gateway</title></head></html>", 502),
    "no_error_type": envelope(500, None, "Something unexpected happened"),
}


def _spoilt(answer: Answer, fault: Fault) -> Delivery:
    """The true answer, damaged."""
    match fault.name:
        case "empty_body":
            return Delivery(replace(answer, body=b""))
        case "truncated_body":
            half = answer.body[: len(answer.body) // _CUT]
            return Delivery(replace(answer, body=half), length=len(answer.body))
        case "no_content_type":
            return Delivery(replace(answer, content_type=None))
        case "huge_body":
            return Delivery(replace(answer, body=answer.body + b" " * (fault.value * 1_000_000)))
        case "wrong_types" if answer.content_type == JSON:
            return Delivery(replace(answer, body=json.dumps(_twisted(json.loads(answer.body))).encode()))
    return Delivery(answer)


_SPOILS = ("empty_body", "truncated_body", "no_content_type", "huge_body", "wrong_types")


def _twisted(value: Any) -> Any:
    """Numbers as text, texts as numbers, lists as objects: the shape stays, the types do not."""
    if isinstance(value, dict):
        return {key: item if key == "status" else _twisted(item) for key, item in value.items()}
    if isinstance(value, list):
        return {str(index): _twisted(item) for index, item in enumerate(value)}
    if isinstance(value, bool) or value is None:
        return "maybe"
    return str(value) + "x" if isinstance(value, int | float) else len(value)
