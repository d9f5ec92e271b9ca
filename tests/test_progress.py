"""The display of a download: drawn in place on a terminal, in colours or without; plain lines elsewhere."""

import io
import os
import re
from datetime import UTC, datetime

import pytest

from progress import LINE_EVERY_S, Requests

COLOUR = re.compile(r"\x1b\[[0-9;]*[34]8;5|\x1b\[3[0-7]m")
PLAN = {"1m": 4, "1d": 2}


class Stepping:
    """Half a second passes between two looks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        self.seconds += 0.5
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


def drawn(monkeypatch: pytest.MonkeyPatch, *, no_color: bool) -> str:
    """What a terminal gets to see."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    master, slave = os.openpty()
    with (
        os.fdopen(slave, "w") as terminal,
        Requests(PLAN, 3, Stepping(), terminal, is_drawn=True, no_color=no_color) as shown,
    ):
        for name in ("1m", "1m", "1m", "1m", "1d", "1d"):
            shown.done(name)
    seen = b"".join(iter(lambda: _some_of(master), b""))
    os.close(master)
    return seen.decode()


def _some_of(master: int) -> bytes:
    """Nothing when all has been read: Linux answers EIO once nobody holds the other end."""
    try:
        return os.read(master, 1 << 16)
    except OSError:
        return b""


def test_a_terminal_shows_each_timeframe_with_its_count_and_the_rate_against_the_limit(monkeypatch):
    seen = drawn(monkeypatch, no_color=False)

    assert "4/4" in seen and "2/2" in seen
    assert "of 3 requests/s" in seen
    assert COLOUR.search(seen)
    assert seen.endswith("\x1b[2K"), "nothing of it is left behind"


def test_no_color_takes_the_colours_and_leaves_the_display(monkeypatch):
    seen = drawn(monkeypatch, no_color=True)

    assert "4/4" in seen and "of 3 requests/s" in seen
    assert COLOUR.search(seen) is None


def test_elsewhere_there_is_a_plain_line_now_and_then():
    stream, clock = io.StringIO(), Stepping()
    with Requests({"1m": 60, "5m": 0}, 3, clock, stream, is_drawn=False) as shown:
        for _ in range(30):
            shown.done("1m")
    lines = stream.getvalue().splitlines()

    assert 1 <= len(lines) <= clock.seconds / LINE_EVERY_S
    assert re.fullmatch(r"\d+ requests done; left: 1m \d+; \d\.\d of 3 a second; about \d+ min", lines[0])


def test_nothing_to_do_shows_nothing():
    stream = io.StringIO()
    with Requests({}, 3, Stepping(), stream, is_drawn=True):
        pass

    assert "" == stream.getvalue()
