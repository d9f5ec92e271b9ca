"""How is a JSON file of facts read strictly, so that one run names every mistake in it?

An Entry notes what is wrong with a key, and where it stands, and goes on to the next; whoever reads
raises once at the end. Knows no fact: which files there are and what they mean is facts.py.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, time
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Entry:
    """One JSON object and where it stands; notes what is wrong and goes on to the next key."""

    def __init__(self, raw: Any, where: str, problems: list[str], keys: str) -> None:
        self.raw: dict[str, Any] = raw if isinstance(raw, dict) else {}
        self.where = where
        self.problems = problems
        if not isinstance(raw, dict):
            self.wrong("is not an object")
        for key in sorted(self.raw.keys() - keys.split()):
            self.wrong(f"unknown key {key!r}; allowed are {', '.join(keys.split())}")

    def wrong(self, what: str) -> None:
        self.problems.append(f"{self.where}: {what}")

    def has(self, key: str) -> bool:
        return key in self.raw

    def get(self, key: str, parse: Callable[[Any], T], otherwise: T) -> T:
        """The stand-in only lets the reading go on: facts with problems are never handed out."""
        if key not in self.raw:
            self.wrong(f"{key!r} is missing")
            return otherwise
        try:
            return parse(self.raw[key])
        except ValueError as error:
            self.wrong(f"{key!r} {error}")
            return otherwise

    def maybe(self, key: str, parse: Callable[[Any], T]) -> T | None:
        return self.get(key, parse, None) if self.has(key) else None

    def each(self, key: str, keys: str) -> Iterator["Entry"]:
        nothing: list[Any] = []
        for index, raw in enumerate(self.get(key, parse_list, nothing)):
            yield Entry(raw, f"{self.where}: {key}[{index}]", self.problems, keys)


def load(path: Path, problems: list[str]) -> Any:
    """None where there is nothing to check; what is missing inside would only hide that."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_key_once)
    except FileNotFoundError:
        problems.append(f"{path}: does not exist; restore it from the release")
    except (OSError, ValueError) as error:
        problems.append(f"{path}: cannot be read: {error}")
    return None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands there twice, json keeps the last and says nothing."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"an object has a key twice: {', '.join(key for key, _ in pairs)}")
    return found


def parse_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {value!r}; write a text")
    return value


def parse_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {value!r}; write true or false")
    return value


def parse_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("is not a list")
    return value


def parse_day(value: Any) -> date:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise ValueError(f"is {value!r}; write YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is {value!r}, a date that does not exist") from None


def parse_clock(value: Any) -> time:
    if not isinstance(value, str) or not re.fullmatch(r"\d\d:\d\d", value):
        raise ValueError(f"is {value!r}; write HH:MM")
    try:
        return time.fromisoformat(value)
    except ValueError:
        raise ValueError(f"is {value!r}, a time that does not exist") from None


def one_of(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"is {value!r}; allowed are {', '.join(allowed)}")
        return str(value)

    return parse
