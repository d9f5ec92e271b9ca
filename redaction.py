"""What must never be seen, and how is it taken out of a text?

By value: every secret that was loaded is registered with `hide` and reads *** from then on, in whatever
spelling. By name: what a text assigns to something called access_token, password, Cookie and the like,
also when nobody registered it (a token that the broker has just sent). `redact` does both.
Must not know who asks: logs.py puts every line through it, cli.py every error.
"""

import json
import math
import re
from base64 import b64encode
from collections.abc import Iterator
from threading import Lock
from typing import Final

from outcome import ConfigError

HIDDEN: Final = "***"
SECRET_CHARS_MIN: Final = 6  # shorter values occur in ordinary words and numbers, which would be blanked


class Redactor:
    """The secrets of one process, and the one way to take them out of a text."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spellings: frozenset[str] = frozenset()
        # Replaced whole and never changed in place, so that redact() needs no lock.
        self._literals: tuple[str, ...] = ()
        self._patterns: tuple[tuple[str, re.Pattern[str]], ...] = ()

    def hide(self, secret: str) -> None:
        """From now on this value, also URL-encoded, escaped, in base64 or hex, reads ***."""
        value = secret.strip()
        if len(value) < SECRET_CHARS_MIN:
            raise ConfigError(
                f"a secret of fewer than {SECRET_CHARS_MIN} characters cannot be kept out of the logs "
                "without blanking ordinary text; use a longer one"
            )
        with self._lock:
            self._spellings |= _spellings(value)
            # Longest first: a secret that contains another one is blanked whole.
            ordered = sorted(self._spellings, key=len, reverse=True)
            self._patterns = tuple((_anchor(text), _pattern(text)) for text in ordered if not _is_plain(text))
            self._literals = tuple(text for text in ordered if _is_plain(text))

    def redact(self, text: str) -> str:
        """The text without hidden values, and without whatever is named like a secret."""
        by_value = self._without_values(text)
        by_name = _without_named(by_value)
        # Again: a *** put in by name could complete a hidden value that itself contains asterisks.
        return by_name if by_name is by_value else self._without_values(by_name)

    def _without_values(self, text: str) -> str:
        before = ""
        while before != text:  # until still, for the same reason; each round makes the text shorter
            before = text
            # Substring search first: it rules out the 70 spellings of 8 secrets in 2 us a line.
            for anchor, pattern in self._patterns:
                if anchor in text:
                    text = pattern.sub(HIDDEN, text)
            for literal in self._literals:
                if literal in text:
                    text = text.replace(literal, HIDDEN)
        return text


PROCESS_SECRETS: Final = Redactor()
hide: Final = PROCESS_SECRETS.hide
redact: Final = PROCESS_SECRETS.redact


def names_a_secret(key: object) -> bool:
    """Is this the name (of a field, a header) that a secret goes by?"""
    text = key.decode("latin-1") if isinstance(key, bytes) else str(key)
    return _ENDS_IN_NAME.search(text) is not None


def _spellings(value: str) -> frozenset[str]:
    raw = value.encode("utf-8", "surrogatepass")
    return frozenset({value, raw.hex(), raw.hex().upper(), b64encode(raw).decode(), *_base64_cores(raw)})


def _base64_cores(raw: bytes) -> Iterator[str]:
    """The characters that depend on the secret alone, whatever stands beside it (`user:SECRET`)."""
    for shift_bytes in range(3):
        coded = b64encode(bytes(shift_bytes) + raw).decode()
        core = coded[math.ceil(shift_bytes * 8 / 6) : (shift_bytes + len(raw)) * 8 // 6]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))


def _is_plain(text: str) -> bool:
    """ASCII letters and digits, which no encoder rewrites."""
    return text.isascii() and text.isalnum()


def _anchor(text: str) -> str:
    """A part that no encoder rewrites: where it is missing, the whole is."""
    runs: list[str] = re.findall(r"[A-Za-z0-9]*", text)
    return max(runs, key=len)


def _pattern(text: str) -> re.Pattern[str]:
    """Finds the text however each of its characters is escaped, also mixed and more than once."""
    # A run of backslashes is one part: each escaping doubles it, and one by one they would backtrack.
    parts = re.findall(r"\\+|[^\\]", text)
    return re.compile("".join(map(_any_escape, parts)))


def _any_escape(run: str) -> str:
    char = run[0]
    if char == "\\":
        return rf"(?:\\{{{len(run)},}}|(?i:(?:%(?:25)*5C){{{len(run)}}}))"
    if _is_plain(char):
        return char
    encoded = char.encode("utf-8", "surrogatepass")
    escapes = {
        json.dumps(char)[1:-1],
        char.encode("unicode_escape").decode(),
        "".join(f"\\x{byte:02x}" for byte in encoded),
    }
    spelt = ["".join(f"%(?:25)*{byte:02x}" for byte in encoded)]
    spelt += [rf"(?<=\\){_after_backslash(text)}" for text in escapes if text.startswith("\\")]
    plus = r"|\+" if char == " " else ""
    return rf"\\*(?:{re.escape(char)}|(?i:{'|'.join(spelt)}){plus})"


def _after_backslash(escape: str) -> str:
    return r"\\+".join(re.escape(part) for part in escape[1:].split("\\"))


# By key. instrument_token and exchange_token are public numbers that a trader needs to read.
_NAME = (
    r"(?:(?<!instrument)(?<!instrument_)(?<!exchange_)(?<!exchange)token"
    r"|secret|passw(?:or)?d|checksum|(?:api|hmac)[_\- ]?key|authorization|cookies?)"
)
_WORTH_A_LOOK = ("token", "secret", "passw", "checksum", "key", "authorization", "cookie", "bearer", "://")
# "access_token: missing" is a sentence that the trader must be able to read, not a header.
_VERDICT = r"(?!(?:missing|empty|expired|invalid|required|rejected|not|is|must|none|null)(?=[\s,;)\]}&]|\Z))"
_QUOTED = r"(?P<open>b?(?P<quote>\\*[\"']))(?:(?!(?<!\\)(?P=quote)).)*"
_ASSIGNED = r"\\*[\"']?\s*(?:=>|=|:|%(?:25)*3D)\s*+"
_NAMED: Final = (
    # A header's value has blanks and semicolons inside: it goes to the end of the line.
    rf"(?P<head>(?:authorization|cookies?){_ASSIGNED})(?:{_QUOTED}|[\[({{][^\])}}]*|{_VERDICT}[^\r\n]+)",
    rf"(?P<head>{_NAME}{_ASSIGNED})(?:{_QUOTED}|[\[({{][^\])}}]*"
    rf"|{_VERDICT}(?:(?:bearer|basic|token)\s+)?[^\s&,;\"'\])}}>]+)",
    rf"(?P<head>\(b?[\"'][\w-]{{0,40}}?{_NAME}[\"'],\s*){_QUOTED}",  # a header as h11 and httpcore log it
    r"(?P<head>\btoken\s+)[\w-]{6,}:[\w-]{6,}(?P<open>)",  # Kite's scheme without the header's name
    r"(?P<head>\bbearer\s+)[^\s\"',;]+(?P<open>)",
    r"(?P<head>://)[^/\s@:]*:[^/\s@]+(?=@)(?P<open>)",  # https://user:password@proxy
)
_NAMED_PATTERNS: Final = tuple(re.compile(text, re.IGNORECASE | re.DOTALL) for text in _NAMED)
_ENDS_IN_NAME: Final = re.compile(_NAME + r"\Z", re.IGNORECASE)


def _without_named(text: str) -> str:
    lowered = text.lower()
    if not any(map(lowered.__contains__, _WORTH_A_LOOK)):  # the patterns would cost 25 us a line
        return text
    for pattern in _NAMED_PATTERNS:
        text = pattern.sub(rf"\g<head>\g<open>{HIDDEN}", text)
    return text
