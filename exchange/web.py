"""What is a request, what is an answer, which path means what? HTTP as values; server.py owns the sockets."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

JSON = "application/json"
HTML = "text/html; charset=utf-8"
CSV = "text/csv"

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request; the names of headers are in lower case, the target is split and unquoted."""

    method: str
    path: str
    query: Pairs
    headers: Mapping[str, str]
    body: bytes = b""

    def one(self, name: str, default: str = "") -> str:
        """The last value of that name in the query."""
        return dict(self.query).get(name, default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]

    def form(self) -> dict[str, str]:
        """The body as a browser and the broker's clients send it."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; no content type leaves the header out."""

    status: int
    body: bytes = b""
    content_type: str | None = JSON
    headers: Pairs = ()


Handler = Callable[..., Answer]


def request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    parts = urlsplit(target)
    return Request(
        method, unquote(parts.path), tuple(parse_qsl(parts.query, keep_blank_values=True)), headers, body
    )


def as_json(value: Any, status: int = 200, headers: Pairs = ()) -> Answer:
    return Answer(status, json.dumps(value, separators=(",", ":")).encode(), JSON, headers)


def as_text(text: str, status: int = 200, content_type: str = HTML, headers: Pairs = ()) -> Answer:
    return Answer(status, text.encode(), content_type, headers)


def envelope(status: int, error_type: str | None, message: str) -> Answer:
    """The broker's way of saying no."""
    error: dict[str, Any] = {"status": "error", "message": message, "data": None}
    return as_json(error if error_type is None else {**error, "error_type": error_type}, status)


class Routes:
    """Paths with {names} in them; the first that fits is taken."""

    def __init__(self, table: Sequence[tuple[str, str, Handler]]) -> None:
        self._rows = [(method, _pattern(path), path, handler) for method, path, handler in table]

    def find(self, asked: Request) -> tuple[str, Handler, dict[str, str]] | None:
        """The endpoint's name as faults know it ("POST /orders/{variety}"), its handler, and the names."""
        for method, pattern, path, handler in self._rows:
            if method == asked.method and (match := pattern.fullmatch(asked.path)):
                return f"{method} {path}", handler, match.groupdict()
        return None

    def knows_path(self, asked: Request) -> bool:
        """Whether another method would have been right."""
        return any(pattern.fullmatch(asked.path) for _, pattern, _, _ in self._rows)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
