"""Is this the broker's answer? The envelope around every JSON answer, opened or refused."""

import json
from typing import Any

from kite.errors import BrokerError, damaged, doubtful, error_of
from kite.routes import Call


def opened(call: Call, status: int, body: bytes) -> Any:
    """The `data` of a success; everything else is an error of the tree."""
    answer = _parsed(body)
    if answer is None:
        raise _unreadable(call, status, body)
    if status >= 400 or answer.get("status") == "error" or answer.get("error_type"):
        raise _refusal(call, status, answer)
    if answer.get("status") != "success" or "data" not in answer:
        raise damaged(call.asked, call.route.is_change, f"{status} and neither success nor error")
    return answer["data"]


def text_of(call: Call, content_type: str, body: bytes) -> str:
    """The broker's lists are CSV."""
    if "csv" not in content_type:
        raise damaged(call.asked, call.route.is_change, f"{content_type or 'no type'} instead of CSV")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise damaged(call.asked, call.route.is_change, "CSV that is no UTF-8") from None


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _refusal(call: Call, status: int, answer: dict[str, Any]) -> BrokerError:
    """A status of 200 with an error inside says nothing certain about a change."""
    error_type, message = answer.get("error_type"), answer.get("message")
    if not isinstance(error_type, str) or not isinstance(message, str):
        error_type = error_type if isinstance(error_type, str) else ""
        message = message if isinstance(message, str) else ""
        if 400 <= status < 500 and status not in (403, 429):  # a no without a reason is no proof
            return damaged(call.asked, call.route.is_change, f"{status} without error_type or message")
    return error_of(call.asked, call.route.is_change, status, error_type, message)


def _unreadable(call: Call, status: int, body: bytes) -> BrokerError:
    what = f"{status} with {_kind_of(body)}"
    if status == 403:
        return error_of(call.asked, call.route.is_change, status, "", what)
    if status >= 400:
        return doubtful(call.asked, call.route.is_change, what, is_limit=status == 429)
    return damaged(call.asked, call.route.is_change, what)


def _kind_of(body: bytes) -> str:
    if not body.strip():
        return "an empty body"
    if body.lstrip()[:1] == b"<":
        return "an HTML page"
    return f"{len(body)} bytes that are no JSON object"
