"""How do a client and the broker's WebSocket speak beside the ticks? JSON texts, in both directions.

A client subscribes, unsubscribes and sets modes; the server tells of orders and errors. The server's texts
carry a `type`; a client ignores the types that it does not know, for the broker adds some. Whatever comes
in is a record or WireError: no text of anybody raises anything else.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from kite.wire import MOST_UINT32, Flaw, Mode, WireError

_MODES = frozenset(Mode)


class Subscribe(NamedTuple):
    tokens: tuple[int, ...]


class Unsubscribe(NamedTuple):
    tokens: tuple[int, ...]


class SetMode(NamedTuple):
    mode: Mode
    tokens: tuple[int, ...]


Request = Subscribe | Unsubscribe | SetMode


class Text(NamedTuple):
    """A server's: of kind order (data is an object), error, message, or another."""

    kind: str
    data: Any


def subscribe_text(tokens: Iterable[int]) -> str:
    return json.dumps({"a": "subscribe", "v": list(tokens)})


def unsubscribe_text(tokens: Iterable[int]) -> str:
    return json.dumps({"a": "unsubscribe", "v": list(tokens)})


def mode_text(mode: Mode, tokens: Iterable[int]) -> str:
    return json.dumps({"a": "mode", "v": [mode.value, list(tokens)]})


def server_text(kind: str, data: Any) -> str:
    return json.dumps({"type": kind, "data": data}, allow_nan=False)


def read_request(text: str | bytes) -> Request:
    """What a client asks for."""
    match _json(text):
        case {"a": "subscribe", "v": tokens}:
            return Subscribe(_tokens(tokens))
        case {"a": "unsubscribe", "v": tokens}:
            return Unsubscribe(_tokens(tokens))
        case {"a": "mode", "v": [str(mode), tokens]} if mode in _MODES:
            return SetMode(Mode(mode), _tokens(tokens))
    raise WireError(Flaw.TEXT, f"{_short(text)}: subscribe, unsubscribe or mode, with its tokens")


def read_text(text: str | bytes) -> Text:
    """What a server says."""
    match _json(text):
        case {"type": "order", "data": dict(order)}:
            return Text("order", order)
        case {"type": str(kind), **rest} if kind != "order":
            return Text(kind, rest.get("data"))
    raise WireError(Flaw.TEXT, f"{_short(text)}: no type, or an order without an object")


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8, and [[[[...
        raise WireError(Flaw.TEXT, f"{_short(text)}: {error!r:.80}") from None


def _tokens(found: Any) -> tuple[int, ...]:
    if not isinstance(found, list) or not all(type(n) is int and 0 < n <= MOST_UINT32 for n in found):
        raise WireError(Flaw.TEXT, f"tokens are a list of whole numbers: {repr(found)[:80]}")
    return tuple(found)


def _short(text: str | bytes) -> str:
    return repr(text[:80])
