"""Does every line arrive, on both outputs, without secrets, and without ever hurting the caller?"""

import asyncio
import base64
import io
import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

import logs
from redaction import Redactor

ROOT = Path(__file__).parent.parent
CANARY = "cAn4ry+/Sup3rS3cret=Value"
log = logging.getLogger("trade")


class HandClock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 20, 3, 50, 5, 120_000, tzinfo=UTC)  # 09:20:05.120 IST
        self.elapsed_s = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.elapsed_s

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.elapsed_s += seconds


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def desk(tmp_path):
    """Configures the real logging of this process, and puts it back."""
    clock, stream, redactor = HandClock(), io.StringIO(), Redactor()
    redactor.hide(CANARY)
    folder = tmp_path / "logs"
    state = SimpleNamespace(clock=clock, stream=stream, folder=folder, path=folder / "2026-11-20.jsonl")

    def configure(**changes: Any) -> None:
        logging.getLogger().handlers.clear()  # pytest's own would raise what ours swallow
        given = {"run_id": "r1", "folder": folder, "stream": stream, "redactor": redactor, **changes}
        state.handler = logs.configure(clock, **given)

    state.configure = configure
    state.text = stream.getvalue
    state.lines = lambda: [json.loads(line) for line in state.path.read_text().splitlines()]
    configure()
    yield state
    state.handler.close()
    logging.getLogger().setLevel(logging.WARNING)


def test_a_human_line_reads_as_a_trader_expects(desk):
    log.info("RELIANCE BUY %d @%s", 10, "2950.05", extra={"q": 0.42})

    expected = "09:20:05.120 IST INFO trade RELIANCE BUY 10 @2950.05 q=0.42\n"
    assert expected == desk.text()


def test_the_zone_of_display_is_the_users_and_the_files_is_ist(desk):
    desk.configure(zone=ZoneInfo("America/New_York"))
    log.info("hello")

    assert desk.text().startswith("22:50:05.120 EST INFO")
    assert desk.path.exists()


def test_a_json_line_has_time_level_logger_message_run_and_extras(desk):
    with logs.bound(decision_id="d7"):
        log.warning("moved", extra={"price_paise": 295005, "level": "mine", "book": {"bid": (1, 2)}})

    expected = {
        "ts": "2026-11-20T03:50:05.120000+00:00",
        "level": "WARNING",
        "logger": "trade",
        "message": "moved",
        "run_id": "r1",
        "decision_id": "d7",
        "price_paise": 295005,
        "extra_level": "mine",
        "book": {"bid": [1, 2]},
    }
    assert [expected] == desk.lines()


def test_ids_nest_and_end_with_their_block(desk):
    with logs.bound(decision_id="d7"):
        with logs.bound(order_id="o9"):
            log.info("both")
        log.info("one")
    log.info("none")

    seen = [(line.get("decision_id"), line.get("order_id")) for line in desk.lines()]
    expected = [("d7", "o9"), ("d7", None), (None, None)]
    assert expected == seen
    assert "both decision=d7 order=o9\n" in desk.text()


def test_ids_follow_an_asyncio_task_and_stay_out_of_other_threads(desk):
    async def place() -> None:
        log.info("task")

    async def main() -> None:
        with logs.bound(order_id="o9"):
            task = asyncio.create_task(place())
            thread = threading.Thread(target=log.info, args=("thread",))
            thread.start()
            thread.join()
        await task

    asyncio.run(main())

    seen = {line["message"]: line.get("order_id") for line in desk.lines() if line["logger"] == "trade"}
    expected = {"task": "o9", "thread": None}
    assert expected == seen


def raise_nested() -> None:
    try:
        raise OSError(f"cannot reach wss://ws?access_token={CANARY}")
    except OSError as cause:
        raise ValueError({"inner": CANARY}) from cause


def log_exception(raising: Callable[[], object]) -> None:
    try:
        raising()
    except Exception:
        log.exception("failed with %s", CANARY)


def raise_group() -> None:
    raise ExceptionGroup("several", [ValueError(CANARY), KeyError(CANARY)])


class Awkward:
    def __repr__(self) -> str:
        return f"Awkward({CANARY})"


SHAPES: dict[str, Callable[[], None]] = {
    "plain": lambda: log.info("secret " + CANARY),
    "argument": lambda: log.info("secret %s", CANARY),
    "two arguments": lambda: log.info("%s and %r", CANARY, CANARY),
    "mapping argument": lambda: log.info("%(a)s", {"a": CANARY}),
    "dict": lambda: log.info("%s", {"x": CANARY}),
    "nested dict": lambda: log.info("%s", {"x": [{"y": (CANARY,)}]}),
    "repr of an object": lambda: log.info("%r", Awkward()),
    "object as the message": lambda: log.info(Awkward()),
    "wrong format": lambda: log.info("%d", CANARY),
    "too many arguments": lambda: log.info("nothing", CANARY),
    "wrong format around it": lambda: log.info(f"{CANARY} %d", "x"),
    "URL": lambda: log.info("GET https://api.kite.trade/x?v=3&access_token=%s", CANARY),
    "URL-encoded": lambda: log.info("GET https://h/?q=%s", quote(CANARY, safe="")),
    "URL in a URL": lambda: log.info("GET https://h/?q=%s", quote(quote(CANARY, safe=""), safe="")),
    "base64": lambda: log.info("basic %s", base64.b64encode(CANARY.encode()).decode()),
    "base64 of a pair": lambda: log.info("Basic %s", base64.b64encode(f"ab:{CANARY}".encode()).decode()),
    "bytes": lambda: log.info("%s", CANARY.encode()),
    "hex": lambda: log.info("%s", CANARY.encode().hex()),
    "JSON": lambda: log.info(json.dumps({"a": CANARY})),
    "JSON in JSON": lambda: log.info(json.dumps(json.dumps({"a": CANARY + '"'}))),
    "header": lambda: log.info("Authorization: token %s:%s", CANARY, CANARY),
    "header pairs": lambda: log.info("%s", [(b"Authorization", b"token " + CANARY.encode())]),
    "cookie": lambda: log.info("Cookie: enctoken=%s; a=b", CANARY),
    "several lines": lambda: log.info("one\n%s\nthree", CANARY),
    "extra": lambda: log.info("x", extra={"note": f"<{CANARY}>"}),
    "extra by key": lambda: log.info("x", extra={"api_secret": "N0tRegistered"}),
    "extra, nested by key": lambda: log.info("x", extra={"h": {"Cookie": ["N0tRegistered"]}}),
    "extra, pairs": lambda: log.info("x", extra={"h": [("X-Api-Key", "N0tRegistered")]}),
    "extra, bytes": lambda: log.info("x", extra={"raw": CANARY.encode()}),
    "extra, object": lambda: log.info("x", extra={"obj": Awkward()}),
    "extra, name of the field": lambda: log.info("x", extra={CANARY: 1}),
    "exception": lambda: log_exception(lambda: int(CANARY)),
    "exception with a cause": lambda: log_exception(raise_nested),
    "exception group": lambda: log_exception(raise_group),
    "stack": lambda: log.info(CANARY, stack_info=True),
    "id": lambda: _bound_line(),
    "logger's name": lambda: logging.getLogger(f"trade.{CANARY}").info("x"),
    "warning": lambda: warnings.warn(CANARY, stacklevel=1),
    "other library": lambda: logging.getLogger("httpx").warning("HTTP Request: GET https://h/?t=%s", CANARY),
    "websockets": lambda: logging.getLogger("websockets.client").error("> GET /?access_token=%s", CANARY),
    "by key only": lambda: log.info("request_token=%s&x=1", "N0tRegistered"),
}


def _bound_line() -> None:
    with logs.bound(order_id=CANARY):
        log.info("x")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_canary_shows_on_neither_output(desk, capfd, shape, level):
    desk.configure(level=level)
    SHAPES[shape]()
    shown = desk.text() + desk.path.read_text() + "".join(capfd.readouterr())

    assert "***" in desk.text() or shape.startswith(("extra", "too many", "wrong format", "stack"))
    assert "***" in desk.path.read_text() or shape in ("wrong format", "too many arguments")
    for leak in (CANARY, quote(CANARY, safe=""), CANARY.encode().hex(), CANARY[:12], "N0tRegistered"):
        assert leak not in shown


def test_the_file_has_the_traceback_and_the_trader_one_sentence(desk):
    log_exception(lambda: int("x"))

    assert "Traceback (most recent call last)" in desk.lines()[0]["exception"]
    assert desk.text().count("\n") == 1
    assert "(ValueError: invalid literal for int() with base 10: 'x')" in desk.text()


def test_verbose_shows_the_traceback_to_the_trader_too(desk):
    desk.configure(level=logging.DEBUG)
    log_exception(lambda: int("x"))

    assert "Traceback (most recent call last)" in desk.text()


def test_a_brokers_text_can_neither_forge_a_line_nor_drive_the_terminal(desk):
    log.info("rejected: %s", "no\n09:20:06.000 IST INFO trade all is well\x1b[2J\r")

    assert "\n    09:20:06.000" in desk.text()
    assert "\x1b" not in desk.text() and "\r" not in desk.text()
    assert len(desk.lines()) == 1


@pytest.mark.parametrize(
    ("facts", "is_coloured"), [({}, True), ({"no_color": True}, False), ({"term": "dumb"}, False)]
)
def test_colour_is_for_terminals_that_want_it(desk, facts, is_coloured):
    terminal = Terminal()
    desk.configure(stream=terminal, term=facts.pop("term", "xterm"), **facts)
    log.error("x")

    assert is_coloured == ("\x1b[31mERROR\x1b[0m" in terminal.getvalue())


def test_a_pipe_gets_no_colour(desk):
    log.error("x")

    assert "\x1b" not in desk.text()


def test_noisy_libraries_speak_only_when_asked(desk):
    logging.getLogger("httpx").info("quiet")
    desk.configure(level=logging.DEBUG)
    logging.getLogger("httpx").debug("loud")

    spoken = [line["message"] for line in desk.lines() if line["logger"] == "httpx"]
    expected = ["loud"]
    assert expected == spoken


def test_the_file_changes_at_midnight_in_india(desk):
    desk.clock.at = datetime(2026, 11, 20, 18, 29, 59, 999_999, tzinfo=UTC)
    log.info("before")
    desk.clock.wait(0.000_001)
    log.info("after")

    assert "before" in desk.lines()[-1]["message"] and len(desk.lines()) == 1
    assert "after" in (desk.folder / "2026-11-21.jsonl").read_text()


def test_the_log_is_for_its_owner_alone_even_where_it_was_not(desk):
    desk.folder.mkdir()
    desk.path.touch(mode=0o644)
    log.info("x")

    assert stat.S_IMODE(desk.path.stat().st_mode) == 0o600


def test_a_torn_last_line_does_not_swallow_the_next_one(desk):
    desk.folder.mkdir()
    desk.path.write_bytes(b'{"message": "torn by a power c')
    log.info("whole")

    assert json.loads(desk.path.read_text().splitlines()[1])["message"] == "whole"


def test_a_full_disk_costs_one_warning_and_the_file_comes_back(desk):
    desk.folder.mkdir()
    desk.path.symlink_to("/dev/full")
    for _ in range(50):
        log.info("still trading")

    assert desk.text().count("still trading") == 50
    assert desk.text().count("the log file cannot be written (No space left on device)") == 1

    desk.path.unlink()
    log.info("too early to try again")
    desk.clock.wait(logs.RETRY_AFTER_S)
    log.info("back")

    assert [line["message"] for line in desk.lines()] == ["back"]
    assert "is written again; 51 lines lost" in desk.text()


def test_a_folder_that_cannot_be_is_one_warning(desk, tmp_path):
    (tmp_path / "file").touch()
    desk.configure(folder=tmp_path / "file" / "logs")
    log.info("one")
    log.info("two")

    assert desk.text().count("the log file cannot be written (Not a directory); going on without it") == 1
    assert "one\n" in desk.text() and "two\n" in desk.text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_folder_is_one_warning(desk):
    desk.folder.mkdir(mode=0o500)
    log.info("one")

    assert "the log file cannot be written (Permission denied)" in desk.text()


def test_a_line_cut_off_by_a_limit_is_lost_alone(tmp_path):
    script = """
import logging, resource, sys
from pathlib import Path
import clock, logs
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
logs.configure(clock.SystemClock(), folder=Path(sys.argv[1]))
for number in range(30):
    logging.info("line %d", number)
"""
    done = run_python(script, str(tmp_path))

    assert (done.returncode, done.stderr.count("line "), done.stderr.count("going on without it")) == (
        0,
        30,
        1,
    )


def test_a_closed_stderr_still_leaves_the_file(desk):
    closed = io.StringIO()
    desk.configure(stream=closed)
    closed.close()
    log.info("kept")

    assert desk.lines()[0]["message"] == "kept"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_program_without_a_usable_stderr_runs_to_its_end(tmp_path, redirection):
    script = """
import logging, sys
from pathlib import Path
import clock, logs
logs.configure(clock.SystemClock(), folder=Path(sys.argv[1]))
logging.info("kept")
print("done", flush=True)
"""
    command = ["sh", "-c", f'exec "$0" "$@" {redirection}', sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)

    assert done.stdout == "done\n"
    assert "kept" in next(tmp_path.iterdir()).read_text()


def test_an_object_that_cannot_be_shown_hurts_nobody(desk):
    class Broken:
        def __str__(self):
            raise RuntimeError(CANARY)

    class BrokenError(Exception):
        def __str__(self):
            raise RuntimeError(CANARY)

    desk.configure()
    log.info("%s", Broken())
    log.info("x", extra={"broken": Broken()})
    log.warning("kept", exc_info=BrokenError())

    assert "could not be formatted: RuntimeError" in desk.text()
    assert "WARNING trade kept (" in desk.text()
    assert "a line of trade could not be logged (RuntimeError)" in desk.text()
    assert CANARY not in desk.text()


# In a process of its own: pytest keeps what is logged in this one, and half a surrogate pair cannot be reported.
WRITER = """
import json, logging, sys
from pathlib import Path
import clock, logs
the_clock = clock.SystemClock()
logs.configure(the_clock, folder=Path(sys.argv[2]), level=logging.INFO)
for text in json.loads(Path(sys.argv[1]).read_text()):
    logging.info("%s", text, extra={"nan": float("nan"), "inf": float("inf"), "at": the_clock.now()})
"""


def written_by_processes(folder: Path, texts: list[str], count: int) -> list[dict[str, Any]]:
    asked, logs_folder = folder / "texts.json", folder / "logs"
    asked.write_text(json.dumps(texts))
    command = [sys.executable, "-c", WRITER, str(asked), str(logs_folder)]
    writers = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) for _ in range(count)]
    assert [0] * count == [writer.wait(timeout=30) for writer in writers]
    lines = [line for path in logs_folder.iterdir() for line in path.read_bytes().split(b"\n")[:-1]]
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


def test_every_line_is_one_json_document_whatever_it_holds(tmp_path):
    texts = ["\ud800 lone", "nul \0", "line \u2028 separator", "emoji \U0001f600", '"quoted"', "a\nb"]

    assert texts == [line["message"] for line in written_by_processes(tmp_path, texts, count=1)]


def test_processes_share_the_file_of_the_day_without_tearing_lines(tmp_path):
    lines = written_by_processes(tmp_path, ["x" * (number * 7 % 900) for number in range(300)], count=3)

    assert 900 == len(lines)
    assert 3 == len({line["run_id"] for line in lines})


def test_what_libraries_hang_on_a_record_for_themselves_is_left_out(desk):
    log.info("x", extra={"websocket": object(), "color_message": "%s x"})

    assert desk.text().endswith("INFO trade x\n")
    assert not {"websocket", "color_message"} & set(desk.lines()[0])


def test_configuring_again_replaces_and_closing_removes(desk):
    desk.configure()
    log.info("once")

    assert desk.text().count("once") == 1

    desk.handler.close()

    assert not [handler for handler in logging.getLogger().handlers if handler is desk.handler]


def test_a_line_on_both_outputs_costs_microseconds(desk):
    for number in range(8):
        desk.handler._redactor.hide(f"{number}secretOf32CharactersOrSo{number:06d}")
    began_s = time.process_time()
    for _ in range(500):
        log.info("RELIANCE BUY %d @%s", 10, "2950.05", extra={"q": 0.42})
    cost_us = (time.process_time() - began_s) / 500 * 1e6

    assert (
        cost_us < 500
    )  # 60 us where it was measured, a third of it logging's own; the rest is for slow and busy machines


def run_python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
