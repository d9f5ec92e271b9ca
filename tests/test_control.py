"""Does a halt always come through: at the door, by a signal, by the switch, over a dead trader, into the next day?"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from queue import Queue
from typing import IO

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import control
import fence
import halts
import locks
from clock import SystemClock
from kite.inbox import Inbox
from outcome import BusyError, ConfigError, RefusedError
from rulebook.hours import IST

ROOT = Path(__file__).parent.parent
CLOCK = SystemClock()
SOON_S = 20.0  # a bound for what comes at once, on a machine that does much else
DAY = date(2026, 11, 20)
NEXT_DAY = DAY + timedelta(days=1)
WHEN = datetime(2026, 11, 20, 10, 15, 30, tzinfo=IST)

EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TRADER = """
import os, signal, subprocess, sys
from pathlib import Path
import control, locks
from clock import SystemClock
from kite.inbox import Inbox
state = Path(sys.argv[1])
BEFORE
with locks.held(state / "trade.lock", "trade.py", SystemClock()):
    inbox = Inbox()
    door = control.Door(state / "trade.sock", inbox.put)
    AFTER
    print("open", flush=True)
    while request := inbox.take(60):
        request.taken(f"did {request.ask}: {request.why}")
"""
DEAF = "signal.pthread_kill; sys.stdout.write('open\\n'); sys.stdout.flush(); sys.stdin.read()"


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def into(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin is not None
    return process.stdin


@contextmanager
def running(script: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """A real process that has said its first word, until it is killed."""
    command = [sys.executable, "-c", script, *map(str, args)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as process:
        assert line_of(process) == "open"
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def trader(state: Path, before: str = "", after: str = "") -> Iterator[subprocess.Popen[str]]:
    with running(TRADER.replace("BEFORE", before).replace("AFTER", after), state) as process:
        yield process


@contextmanager
def door(
    path: Path, hear: Callable[[control.Request], None], machine: SystemClock = CLOCK
) -> Iterator[control.Door]:
    opened = control.Door(path, hear, machine)
    try:
        yield opened
    finally:
        opened.close()


def did(request: control.Request) -> None:
    request.taken(f"did {request.ask}: {request.why}")


@contextmanager
def caller(path: Path, words: bytes = b"") -> Iterator[socket.socket]:
    """Somebody who knows the address and perhaps not the protocol."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(SOON_S)
        line.connect(str(path))
        line.sendall(words)
        yield line


def heard_by(line: socket.socket) -> bytes:
    """All that comes until the other side hangs up; it may do so with words of ours unread."""
    heard = b""
    try:
        while data := line.recv(4096):
            heard += data
    except ConnectionResetError:
        pass
    return heard


class Ahead(SystemClock):
    """The machine's clock, some seconds later than it is."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Still(SystemClock):
    """A clock on which nobody is ever late."""

    def monotonic(self) -> float:
        return 1_000.0


# --- the door ----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", control.ASKS)
def test_a_request_is_heard_in_full_and_answered_with_what_was_done(tmp_path, what):
    heard: Queue[control.Request] = Queue()

    def hear(request: control.Request) -> None:
        heard.put(request)
        did(request)

    with door(tmp_path / "trade.sock", hear):
        answer = control.ask(tmp_path / "trade.sock", what, "the user wants it", SOON_S)
    request = heard.get(timeout=SOON_S)

    assert f"did {what}: the user wants it" == answer
    assert (what, "the user wants it", os.getpid()) == (request.ask, request.why, request.pid)
    assert heard.empty()


def test_another_process_is_asked_and_answers(tmp_path):
    with trader(tmp_path):
        assert "did halt: now" == control.ask(tmp_path / "trade.sock", "halt", "now", SOON_S)


def test_where_nobody_is_nobody_answers(tmp_path):
    assert control.ask(tmp_path / "trade.sock", "halt", "now", patience_s=0.05) is None
    assert control.ask(tmp_path / "none" / "trade.sock", "halt", "now", patience_s=0.05) is None


def test_a_door_that_opens_while_somebody_asks_is_found(tmp_path):
    answers: Queue[str | None] = Queue()
    asking = threading.Event()

    class Told(SystemClock):
        def wait(self, seconds: float) -> None:
            asking.set()
            super().wait(seconds)

    def call() -> None:
        answers.put(control.ask(tmp_path / "trade.sock", "ping", "", SOON_S, Told()))

    threading.Thread(target=call, daemon=True).start()
    assert asking.wait(SOON_S)
    with door(tmp_path / "trade.sock", did):
        assert "did ping: " == answers.get(timeout=SOON_S)


def test_a_core_that_takes_nothing_gives_no_answer_and_an_answer_too_late_reaches_nobody(tmp_path):
    inbox: Inbox[control.Request] = Inbox()
    with door(tmp_path / "trade.sock", inbox.put):
        assert control.ask(tmp_path / "trade.sock", "halt", "now", patience_s=0.2) is None

        late = inbox.take(SOON_S)

        assert late is not None
        assert not late.taken("halted")
        assert not late.taken("halted")


def test_a_request_that_the_core_leaves_lying_is_hung_up_on(tmp_path):
    machine, inbox = Ahead(), Inbox[control.Request]()
    with (
        door(tmp_path / "trade.sock", inbox.put, machine),
        caller(tmp_path / "trade.sock", b'{"ask": "halt", "why": "now", "pid": 1}\n') as first,
    ):
        left = inbox.take(SOON_S)
        machine.ahead_s = control.UNTAKEN_S + 1
        with caller(tmp_path / "trade.sock"):
            assert b"" == heard_by(first)

    assert left is not None and left.is_over


def test_only_the_first_answer_counts(tmp_path):
    said: Queue[bool] = Queue()

    def twice(request: control.Request) -> None:
        said.put(request.taken("first"))
        said.put(request.taken("second"))

    with door(tmp_path / "trade.sock", twice):
        assert "first" == control.ask(tmp_path / "trade.sock", "halt", "now", SOON_S)
        assert [True, False] == [said.get(timeout=SOON_S) for _ in range(2)]


def test_a_path_longer_than_an_address_may_be_works(tmp_path):
    folder = tmp_path.joinpath(*["a long name of a folder" * 2] * 5)
    folder.mkdir(parents=True)
    path = folder / "trade.sock"

    assert len(str(path)) > 200
    with door(path, did):
        assert "did ping: " == control.ask(path, "ping", "", SOON_S)


def test_the_socket_is_for_its_owner_and_goes_with_the_door(tmp_path):
    path = tmp_path / "trade.sock"
    with door(path, did):
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)

    assert not path.exists()


def test_a_dead_trader_s_socket_is_replaced(tmp_path):
    path = tmp_path / "trade.sock"
    with trader(tmp_path) as first:
        first.kill()
        first.wait()

        assert path.is_socket()
        with door(path, did):
            assert "did ping: " == control.ask(path, "ping", "", SOON_S)


def test_what_is_no_socket_is_not_replaced(tmp_path):
    path = tmp_path / "trade.sock"
    path.write_text("somebody's")
    with pytest.raises(
        ConfigError, match=r"no door for halt, .*\(Address already in use\); make .* and move"
    ):
        control.Door(path, did)

    assert "somebody's" == path.read_text()


def test_a_missing_folder_names_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match=r"no door .*\(No such file or directory\); make .*none a local"):
        control.Door(tmp_path / "none" / "trade.sock", did)


@pytest.mark.parametrize(
    "words",
    [
        b"\n",
        b"halt\n",
        b"[]\n",
        b"null\n",
        b"{}\n",
        b'{"ask": "halt"}\n',
        b'{"ask": "halt", "why": 1, "pid": 1}\n',
        b'{"ask": "halt", "why": "x", "pid": "1"}\n',
        b'{"ask": "sell everything", "why": "x", "pid": 1}\n',
        b'{"ask": ["halt"], "why": "x", "pid": 1}\n',
        b"\xff\xfe\x00\n",
        b"[" * 4000 + b"\n",
        b"9" * 4095 + b"\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_answered(tmp_path, words):
    heard: Queue[control.Request] = Queue()
    path = tmp_path / "trade.sock"
    with door(path, heard.put), caller(path, words) as line:
        assert json.loads(heard_by(line))["refused"].startswith("not a request: ask one of halt, flatten, ")
        assert heard.empty()


def test_a_line_without_end_is_refused(tmp_path):
    path = tmp_path / "trade.sock"
    with door(path, did), caller(path) as line:
        try:
            while True:
                line.sendall(b"x" * 4096)
        except (BrokenPipeError, ConnectionResetError):
            answer = heard_by(line)

        assert b"one line of at most 4096 bytes" in answer
        assert "did ping: " == control.ask(path, "ping", "", SOON_S)


def test_no_bytes_silence_the_door(tmp_path):
    path = tmp_path / "trade.sock"
    piece = st.one_of(st.binary(max_size=300), st.sampled_from([b'{"ask":', b'"halt"', b"\n", b"}", b"\0"]))

    @EXAMPLES
    @given(st.lists(piece, max_size=6).map(b"".join))
    @example(b'{"ask": "halt", "why": "\\ud800\\u0000", "pid": -1}\n')
    def holds(words: bytes) -> None:
        with caller(path, words) as line:
            line.shutdown(socket.SHUT_WR)
            answer = json.loads(heard_by(line))

            assert {"refused"} == set(answer) or "did halt: ??" == answer["taken"]
            assert "did ping: " == control.ask(path, "ping", "", SOON_S)

    with door(path, did):
        holds()


def test_who_says_nothing_is_dropped_and_keeps_nobody_waiting(tmp_path):
    machine, path = Ahead(), tmp_path / "trade.sock"
    with door(path, did, machine), caller(path) as silent, caller(path, b'{"ask"') as dripping:
        assert "did ping: " == control.ask(path, "ping", "", SOON_S)

        machine.ahead_s = control.SILENCE_S - 0.5
        dripping.sendall(b":")

        assert "did ping: " == control.ask(path, "ping", "", SOON_S)

        machine.ahead_s = control.SILENCE_S + SOON_S  # more than any wait of this test so far
        assert "did ping: " == control.ask(path, "ping", "", SOON_S)
        assert (b"", b"") == (heard_by(silent), heard_by(dripping))


def test_the_silent_are_dropped_though_nobody_else_comes(tmp_path):
    path = tmp_path / "trade.sock"
    with door(path, did), caller(path) as silent:
        began_s = CLOCK.monotonic()

        assert b"" == heard_by(silent)
        assert 1.5 < CLOCK.monotonic() - began_s < SOON_S


def test_a_crowd_at_the_door_keeps_nobody_out(tmp_path):
    path = tmp_path / "trade.sock"
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(3 * control.CALLERS_MOST)]
    with door(path, did, Still()):
        for line in crowd:
            line.connect(str(path))  # without a time-out it waits for room in the backlog
            line.settimeout(SOON_S)

        assert "did halt: now" == control.ask(path, "halt", "now", SOON_S)
        assert b"" == heard_by(crowd[0])
    for line in crowd:
        line.close()


ASK_AS = """
import os, sys
from pathlib import Path
import control
os.setuid(65534)
try:
    print(control.ask(Path(sys.argv[1]), "halt", "now", 20.0))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused_even_where_the_folder_lets_everybody_in(tmp_path):
    heard: Queue[control.Request] = Queue()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "trade.sock"
        path.parent.chmod(0o755)
        with door(path, heard.put):
            path.chmod(0o666)
            command = [sys.executable, "-c", ASK_AS, str(path)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert "RefusedError the trader refuses: this trader is another user's" in done.stdout, done.stderr
    assert heard.empty()


def test_a_refusal_is_not_taken_for_silence(tmp_path):
    calls = 100
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "trade.sock"))
        other.listen()

        def refuse() -> None:
            for _ in range(calls):
                line, _ = other.accept()
                with line:  # hung up on, often before the caller has spoken
                    line.sendall(b'{"refused": "not now"}\n')

        threading.Thread(target=refuse, daemon=True).start()
        for _ in range(calls):
            with pytest.raises(RefusedError, match="the trader refuses: not now"):
                control.ask(tmp_path / "trade.sock", "halt", "now", SOON_S)


@pytest.mark.parametrize("nonsense", [b"", b"\n", b"[]\n", b"{}\n", b"\xff\n", b'{"tak'])
def test_an_answer_without_sense_is_none(tmp_path, nonsense):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "trade.sock"))
        other.listen()

        def answer() -> None:
            line, _ = other.accept()
            with line:
                line.sendall(nonsense)
            other.close()

        threading.Thread(target=answer, daemon=True).start()
        assert control.ask(tmp_path / "trade.sock", "halt", "now", patience_s=0.2) is None


def test_the_door_works_with_a_full_disk(tmp_path):
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    with trader(tmp_path, before=full):
        for _ in range(3):
            assert "did halt: now" == control.ask(tmp_path / "trade.sock", "halt", "now", SOON_S)


NO_DESCRIPTORS = """
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    assert control.ask(state / "trade.sock", "ping", "", 0.05) is None
    inbox.take(60).hang_up()  # by now the door has its spare
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        pass
"""


def test_the_door_keeps_a_descriptor_for_the_caller(tmp_path):
    with trader(tmp_path, after=NO_DESCRIPTORS):
        for _ in range(3):
            assert "did halt: now" == control.ask(tmp_path / "trade.sock", "halt", "now", SOON_S)


def test_closing_hangs_up_on_who_waits(tmp_path):
    inbox: Inbox[control.Request] = Inbox()
    path = tmp_path / "trade.sock"
    with door(path, inbox.put) as opened:
        with caller(path, b'{"ask": "halt", "why": "now", "pid": 1}\n') as waiting, caller(path) as silent:
            request = inbox.take(SOON_S)
            opened.close()

            assert (b"", b"") == (heard_by(waiting), heard_by(silent))
            assert request is not None and not request.taken("too late")
        opened = control.Door(path, inbox.put)
        opened.close()


# --- fencing -----------------------------------------------------------------------------------


def holder_of(state: Path) -> locks.Holder:
    found = locks.holder(state / "trade.lock")
    assert found is not None
    return found


def is_free(lock: Path) -> bool:
    try:
        with locks.held(lock, "trade.py", CLOCK):
            return True
    except BusyError:
        return False


@pytest.fixture(params=["by its descriptor", "by its pid"])
def way_of_killing(request, monkeypatch):
    """A kernel or a sandbox without pidfd leaves the pid."""
    if request.param == "by its pid":
        monkeypatch.delattr(os, "pidfd_open")


def test_a_trader_that_does_not_answer_is_killed_and_its_lock_is_free(tmp_path, way_of_killing):
    with trader(tmp_path, after=DEAF) as deaf:
        assert fence.fenced(holder_of(tmp_path), tmp_path / "trade.lock")
        assert is_free(tmp_path / "trade.lock")
        assert -signal.SIGKILL == deaf.wait(SOON_S)


def test_a_frozen_trader_is_fenced(tmp_path):
    with trader(tmp_path) as frozen:
        frozen.send_signal(signal.SIGSTOP)

        assert control.ask(tmp_path / "trade.sock", "halt", "now", patience_s=0.3) is None
        assert fence.fenced(holder_of(tmp_path), tmp_path / "trade.lock")
        assert -signal.SIGKILL == frozen.wait(SOON_S)


def test_a_pid_that_came_back_is_left_alone(tmp_path, way_of_killing):
    with trader(tmp_path) as other:
        known = holder_of(tmp_path)
        assert known.started_ticks is not None
        dead = locks.Holder(known.pid, known.started_ticks - 1, known.command, known.since)
        fence.fenced(dead, tmp_path / "trade.lock")

        assert "did ping: " == control.ask(tmp_path / "trade.sock", "ping", "", SOON_S)
        assert other.poll() is None


def test_who_has_released_the_lock_is_left_alone(tmp_path, way_of_killing):
    lock = tmp_path / "trade.lock"
    release = "import sys, locks, clock, pathlib\nwith locks.held(pathlib.Path(sys.argv[1]), 'trade.py', clock.SystemClock()):\n    print('open', flush=True)\n    sys.stdin.readline()\nprint('released', flush=True)\nsys.stdin.readline()\nprint('alive', flush=True)"
    with running(release, lock) as process:
        holder = holder_of(tmp_path)
        into(process).write("\n")
        into(process).flush()
        assert "released" == line_of(process)

        assert fence.fenced(holder, lock)

        into(process).write("\n")
        into(process).flush()
        assert "alive" == line_of(process)


def test_nobody_is_killed_without_a_start_time_and_never_ourselves(tmp_path):
    with trader(tmp_path) as other:
        known = holder_of(tmp_path)
        unproven = locks.Holder(known.pid, None, known.command, known.since)

        assert not fence.fenced(unproven, tmp_path / "trade.lock")
        assert other.poll() is None
    with locks.held(tmp_path / "ours.lock", "trade.py", CLOCK):
        ours = locks.holder(tmp_path / "ours.lock")

        assert ours is not None
        assert not fence.fenced(ours, tmp_path / "ours.lock")


KEEP_LOCK = """
    fd = next(int(name) for name in os.listdir("/proc/self/fd")
              if os.path.exists(f"/proc/self/fd/{name}") and os.readlink(f"/proc/self/fd/{name}").endswith("trade.lock"))
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], pass_fds=[fd])
"""


def test_a_lock_that_stays_is_no_success(tmp_path):
    """A child was handed the lock: its parent is dead, and still nobody may act."""
    with trader(tmp_path, after=KEEP_LOCK) as first:
        assert not fence.fenced(holder_of(tmp_path), tmp_path / "trade.lock", limit_s=0.3)
        assert -signal.SIGKILL == first.wait(SOON_S)
        assert not is_free(tmp_path / "trade.lock")


def test_a_lock_that_never_was_is_free(tmp_path):
    gone = locks.Holder(2**22 + 1, 1, "trade.py", WHEN)

    assert fence.fenced(gone, tmp_path / "trade.lock")


# --- the whole way -----------------------------------------------------------------------------

A, B = (locks.Holder(pid, pid, "trade.py", WHEN) for pid in (1, 2))


@pytest.mark.parametrize(
    ("holders", "answers", "fences", "places", "expected", "steps"),
    [
        # nobody runs: nobody is asked
        ([None], [], [], ["we did"], "we did", "place"),
        # it runs and answers
        ([A], ["it did"], [], [], "it did", "ask"),
        # it is silent: killed, replaced
        ([A, A], [None], [True], ["we did"], "we did", "ask fence place"),
        # it ended while we asked: nobody to kill
        ([A, None, None], [None], [], ["we did"], "we did", "ask place"),
        # another one came while we asked: it has not had its time, and gets it
        ([A, B, B], [None, "it did"], [], [], "it did", "ask ask"),
        ([A, B, B, B], [None, None], [True], ["we did"], "we did", "ask ask fence place"),
        # a supervisor was faster after the kill
        ([A, A, B], [None, "it did"], [True], [None], "it did", "ask fence place ask"),
        # the lock is held and not signed: its holder can be asked, and never killed
        ([None, None], ["it did"], [], [None], "it did", "place ask"),
        ([None] * 5, [None, None], [], [None, None, None], BusyError, "place ask place ask place"),
        # it does not let go of the lock
        ([A, A], [None], [False], [], BusyError, "ask fence"),
        # a new one each time
        ([A, B, A, B, A, B], [None] * 3, [], [], BusyError, "ask ask ask"),
    ],
)
def test_a_request_is_carried_out_by_the_trader_or_in_its_place(
    holders, answers, fences, places, expected, steps
):
    done: list[str] = []
    left = {"ask": iter(answers), "fence": iter(fences), "place": iter(places)}
    holding = iter(holders)

    def step(name: str) -> object:
        done.append(name)
        return next(left[name])

    def in_its_place(what: str) -> str:
        assert what == "halt"
        answer = step("place")
        if answer is None:
            raise BusyError("another trade.py is running")
        return str(answer)

    def run() -> str:
        return fence.carried_out(
            "halt", lambda _: step("ask"), lambda: next(holding), lambda _: bool(step("fence")), in_its_place  # type: ignore[arg-type, return-value]
        )  # fmt: skip

    if expected is BusyError:
        with pytest.raises(BusyError):
            run()
    else:
        assert expected == run()
    assert steps.split() == done


def carried_out_for_real(state: Path) -> str:
    lock = state / "trade.lock"

    def in_its_place(what: str) -> str:
        with locks.held(lock, "trade.py", CLOCK):
            return f"{what} in its place"

    return fence.carried_out(
        "halt",
        lambda what: control.ask(state / "trade.sock", what, "now", patience_s=0.5),
        lambda: locks.holder(lock),
        lambda holder: fence.fenced(holder, lock),
        in_its_place,
    )


def test_a_deaf_trader_is_replaced_a_hearing_one_is_not(tmp_path):
    with trader(tmp_path, after=DEAF) as deaf:
        assert "halt in its place" == carried_out_for_real(tmp_path)
        assert -signal.SIGKILL == deaf.wait(SOON_S)
    with trader(tmp_path) as hearing:
        assert "did halt: now" == carried_out_for_real(tmp_path)
        assert hearing.poll() is None

    assert "halt in its place" == carried_out_for_real(tmp_path)


# --- the day -----------------------------------------------------------------------------------


def write_switch(state: Path, data: bytes) -> None:
    (state / halts.SWITCH).write_bytes(data)


def ours(day: date = DAY, when: str = WHEN.isoformat()) -> bytes:
    return json.dumps({"day": day.isoformat(), "why": "the user", "when": when}).encode()


def test_a_state_without_files_is_neither_halted_nor_locked(tmp_path):
    for state in (tmp_path, tmp_path / "none"):
        assert not halts.is_halted(state, DAY)
        assert not halts.is_locked(state, DAY)
        assert not halts.seen(state)
        assert halts.unlock(state) is None


def test_a_halted_day_stays_halted_until_it_is_over(tmp_path):
    assert halts.prepare(tmp_path) is None
    assert not halts.is_halted(tmp_path, DAY)

    assert halts.halt(tmp_path, DAY, "SIGINT", WHEN) is None
    assert halts.seen(tmp_path)
    assert halts.is_halted(tmp_path, DAY)
    assert not halts.is_halted(tmp_path, NEXT_DAY)
    assert halts.is_halted(tmp_path, DAY - timedelta(days=1))  # a clock that stepped back
    assert not halts.is_locked(tmp_path, DAY)


def test_the_sentence_says_when_why_and_what_ends_it(tmp_path):
    halts.halt(tmp_path, DAY, "SIGINT", WHEN)
    expected = ".killswitch of 2026-11-20, 10:15:30 IST: SIGINT; python trade.py --fn unlock ends it"

    assert expected == halts.why_halted(tmp_path, DAY)


def test_the_switch_says_day_reason_and_moment(tmp_path):
    halts.halt(tmp_path, DAY, "SIGINT", WHEN)

    assert {
        "day": "2026-11-20",
        "why": "SIGINT",
        "when": "2026-11-20T10:15:30+05:30",
    } == json.loads((tmp_path / halts.SWITCH).read_text())
    assert 0o600 == stat.S_IMODE((tmp_path / halts.SWITCH).stat().st_mode)


def test_a_halt_outlives_its_switch(tmp_path):
    halts.halt(tmp_path, DAY, "the switch", WHEN)
    (tmp_path / halts.SWITCH).unlink()

    assert halts.is_halted(tmp_path, DAY)
    assert not halts.is_halted(tmp_path, NEXT_DAY)


def test_a_start_lays_out_nothing_over_a_lock(tmp_path):
    halts.halt(tmp_path, DAY, "SIGINT", WHEN)
    halts.lock_for_loss(tmp_path, DAY, "3.1 R lost", WHEN)
    (tmp_path / halts.SWITCH).unlink()

    assert halts.prepare(tmp_path) is None
    assert halts.is_halted(tmp_path, DAY)
    assert halts.is_locked(tmp_path, DAY)


def test_a_halt_outlives_its_lock(tmp_path):
    halts.halt(tmp_path, DAY, "the switch", WHEN)
    (tmp_path / halts.HALTED).unlink()

    assert halts.is_halted(tmp_path, DAY)


def test_unlock_frees_the_day_and_keeps_the_blocks(tmp_path):
    halts.prepare(tmp_path)
    blocks = {name: (tmp_path / name).stat().st_ino for name in (halts.HALTED, halts.LOSS)}
    halts.halt(tmp_path, DAY, "SIGINT", WHEN)
    halts.lock_for_loss(tmp_path, DAY, "3.1 R lost", WHEN)

    assert halts.unlock(tmp_path) is None
    assert not halts.seen(tmp_path)
    assert not halts.is_halted(tmp_path, DAY)
    assert not halts.is_locked(tmp_path, DAY)
    assert blocks == {name: (tmp_path / name).stat().st_ino for name in blocks}
    assert [halts.RECORD_BYTES] * 2 == [(tmp_path / name).stat().st_size for name in blocks]


def test_the_first_reason_of_a_day_stands(tmp_path):
    halts.halt(tmp_path, DAY, "first", WHEN)
    halts.halt(tmp_path, DAY, "second", WHEN)
    halts.lock_for_loss(tmp_path, DAY, "first", WHEN)
    halts.lock_for_loss(tmp_path, DAY, "second", WHEN)

    assert all(
        ": first; " in str(why) for why in (halts.why_halted(tmp_path, DAY), halts.why_locked(tmp_path, DAY))
    )


@pytest.mark.parametrize(
    ("data", "touched_s", "today", "tomorrow"),
    [
        (b"", 0, True, True),  # touch
        (b"\n", 0, True, True),  # echo
        (b" " * 512, 0, True, True),
        (b"stop!", 0, True, True),
        (b"\xff\xfe\x00", 0, True, True),
        (b"[" * 500, 0, True, True),
        (b"{}", 0, True, True),
        (ours(), 0, True, False),
        (ours().ljust(512), 0, True, False),
        (ours() + b"x" * 2000, 0, True, True),
        (ours(NEXT_DAY), 0, True, True),
        (ours(when="2026-11-20T10:15:30"), 0, True, True),  # which 10:15?
        (ours(when="9999-12-31T23:59:59+00:00"), 0, True, True),
        (ours(), 3600, True, True),  # touch on one that lay there
        (ours(DAY - timedelta(days=3)), 0, False, False),
        (ours(DAY - timedelta(days=3)), 86_400 * 3, True, True),
        (ours(DAY - timedelta(days=3)), -86_400, True, True),  # copied from elsewhere: who knows
    ],
)
def test_any_switch_counts_but_one_of_ours_for_an_earlier_day(tmp_path, data, touched_s, today, tomorrow):
    write_switch(tmp_path, data)
    written_s = WHEN.timestamp() + touched_s
    os.utime(tmp_path / halts.SWITCH, (written_s, written_s))

    assert (today, tomorrow) == (halts.is_halted(tmp_path, DAY), halts.is_halted(tmp_path, NEXT_DAY))
    assert halts.seen(tmp_path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize("make", [make_folder, make_pipe, make_dangling_link])
@pytest.mark.parametrize("name", [halts.SWITCH, halts.HALTED, halts.LOSS])
def test_what_is_no_file_counts_too_and_blocks_nobody(tmp_path, make, name):
    make(tmp_path / name)

    assert name == halts.LOSS or halts.is_halted(tmp_path, DAY)
    assert name != halts.LOSS or halts.is_locked(tmp_path, DAY)
    halts.halt(tmp_path, DAY, "SIGINT", WHEN)
    halts.lock_for_loss(tmp_path, DAY, "3.1 R lost", WHEN)
    assert halts.is_halted(tmp_path, DAY)
    assert halts.is_locked(tmp_path, DAY)

    trouble = halts.unlock(tmp_path)

    assert (trouble is None) == (make is not make_folder)
    assert trouble is None or "remove it by hand" in trouble
    assert (trouble is None) == (not halts.is_halted(tmp_path, DAY) and not halts.is_locked(tmp_path, DAY))


def test_a_halt_leaves_a_switch_of_the_user_as_it_is(tmp_path):
    write_switch(tmp_path, b"")
    halts.halt(tmp_path, DAY, "the switch", WHEN)

    assert b"" == (tmp_path / halts.SWITCH).read_bytes()
    assert halts.is_halted(tmp_path, NEXT_DAY)


def test_a_halt_takes_the_place_of_an_earlier_day_s(tmp_path):
    halts.halt(tmp_path, DAY, "yesterday", WHEN)
    halts.halt(tmp_path, NEXT_DAY, "today", WHEN + timedelta(days=1))

    assert ": today; " in str(halts.why_halted(tmp_path, NEXT_DAY))
    assert not halts.is_halted(tmp_path, NEXT_DAY + timedelta(days=1))


def test_a_loss_locks_its_day_only(tmp_path):
    assert halts.lock_for_loss(tmp_path, DAY, "3.1 R lost", WHEN) is None
    assert halts.is_locked(tmp_path, DAY)
    assert not halts.is_locked(tmp_path, NEXT_DAY)
    assert not halts.is_halted(tmp_path, DAY)


@EXAMPLES
@given(st.binary(max_size=600))
@example(ours(when="2026-11-20T10:15:30"))  # which 10:15?
@example(ours())
@example(ours(NEXT_DAY))
@example(b"")
@example(halts.BLANK)
def test_a_lock_frees_a_day_only_when_it_is_blank_or_an_earlier_day_s(tmp_path, data):
    for name in (halts.HALTED, halts.LOSS):
        (tmp_path / name).write_bytes(data)
    is_blank = data != b"" and data.strip() == b""

    assert (not is_blank) == halts.is_locked(tmp_path, DAY) == halts.is_halted(tmp_path, DAY)
    assert (not is_blank and data != ours()) == halts.is_locked(tmp_path, NEXT_DAY)


@EXAMPLES
@given(st.text())
@example('"' * 1000)
@example("\\" * 1000)
@example("\ud800\n\x1b[31m")
def test_any_reason_fits_and_comes_back_plain(tmp_path, why):
    halts.unlock(tmp_path)

    assert halts.lock_for_loss(tmp_path, DAY, why, WHEN) is None
    told = str(halts.why_locked(tmp_path, DAY))
    assert f": {why[: halts.WHY_MOST]}; " in told or "?" in told
    assert halts.RECORD_BYTES == (tmp_path / halts.LOSS).stat().st_size
    assert told.isascii() and told.isprintable()


def test_what_cannot_be_written_is_told_and_raises_nothing(tmp_path):
    state = tmp_path / "file"
    state.write_text("")

    assert "may not outlive a crash" in str(halts.prepare(state))
    assert "the halt may not outlive this process" in str(halts.halt(state, DAY, "SIGINT", WHEN))
    assert "the loss lock may not outlive this process" in str(halts.lock_for_loss(state, DAY, "x", WHEN))


# A file system of 64 KiB of our own, filled up: exit code 77 where the machine lets us mount none.
FULL_DISK = """
import ctypes, os, sys
from datetime import date, datetime
from pathlib import Path
import halts
from rulebook.hours import IST
state, is_prepared = Path(sys.argv[1]), sys.argv[2] == "prepared"
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
if (libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
        or libc.mount(b"none", bytes(state), b"tmpfs", 0, b"size=64k")):
    sys.exit(77)
if is_prepared:
    assert halts.prepare(state) is None
try:
    with open(state / "filler", "wb", buffering=0) as filler:
        while filler.write(b"x" * 512):
            pass
except OSError:
    pass
day, when = date(2026, 11, 20), datetime(2026, 11, 20, 10, 15, tzinfo=IST)
print(halts.halt(state, day, "SIGINT", when))
print(halts.lock_for_loss(state, day, "3.1 R lost", when))
print(halts.is_halted(state, day), halts.is_locked(state, day), halts.seen(state))
print(halts.unlock(state), halts.is_halted(state, day), halts.is_locked(state, day))
"""


@pytest.mark.parametrize("start", ["prepared", "unprepared"])
def test_a_full_disk_keeps_no_day_from_being_halted_and_locked(tmp_path, start):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), start]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if done.returncode == 77:
        pytest.skip("may mount no file system here")
    halted, locked, stands, freed = done.stdout.splitlines()

    assert ("None", "None") == (halted, locked) or start == "unprepared"
    assert "No space left on device" in halted or start == "prepared"
    assert "True True True" == stands  # a name without its record is a lock, too
    assert "None False False" == freed


# --- the switch, seen --------------------------------------------------------------------------


class Turns(SystemClock):
    """A clock whose waits end when the test says so: one look of the watch at a time."""

    def __init__(self) -> None:
        self._looked, self._look = threading.Semaphore(0), threading.Semaphore(0)
        self.waited_s = 0.0

    def wait(self, seconds: float) -> None:
        self.waited_s += seconds
        self._looked.release()
        self._look.acquire()

    def first(self) -> None:
        assert self._looked.acquire(timeout=SOON_S)

    def next(self) -> None:
        self._look.release()
        self.first()

    def let_go(self) -> None:
        self._look.release()


@contextmanager
def watch(state: Path, day: date = DAY) -> Iterator[tuple[Turns, list[str]]]:
    turns, heard = Turns(), list[str]()
    watching = halts.SwitchWatch(state, day, heard.append, turns)
    try:
        turns.first()
        yield turns, heard
    finally:
        turns.let_go()
        watching.close()


def test_a_switch_is_heard_once(tmp_path):
    with watch(tmp_path) as (turns, heard):
        turns.next()

        assert [] == heard

        (tmp_path / halts.SWITCH).touch()
        turns.next()
        turns.next()

        assert [f"{tmp_path}/.killswitch is there: halted until it is removed; {halts.ENDS}"] == heard
        assert pytest.approx(4 * halts.LOOK_EVERY_S) == turns.waited_s


def test_a_switch_that_was_there_before_is_heard(tmp_path):
    (tmp_path / halts.SWITCH).touch()
    with watch(tmp_path) as (_, heard):
        assert 1 == len(heard)


def test_a_switch_that_comes_back_is_heard_again(tmp_path):
    with watch(tmp_path) as (turns, heard):
        for _ in range(2):
            (tmp_path / halts.SWITCH).touch()
            turns.next()
            (tmp_path / halts.SWITCH).unlink()
            turns.next()

        assert 2 == len(heard)


def test_yesterday_s_switch_is_not_heard_until_somebody_touches_it(tmp_path):
    halts.halt(tmp_path, DAY, "yesterday", WHEN)
    with watch(tmp_path, NEXT_DAY) as (turns, heard):
        turns.next()

        assert [] == heard

        (tmp_path / halts.SWITCH).touch()
        turns.next()

        assert ["was touched after it was written" in said for said in heard] == [True]


def test_a_folder_that_is_gone_is_no_switch(tmp_path):
    with watch(tmp_path / "none") as (turns, heard):
        turns.next()

        assert [] == heard


def test_the_switch_is_heard_on_the_machine_s_clock(tmp_path):
    heard: Queue[str] = Queue()
    watching = halts.SwitchWatch(tmp_path, DAY, heard.put)
    (tmp_path / halts.SWITCH).touch()

    assert heard.get(timeout=SOON_S)
    watching.close()


# --- signals -----------------------------------------------------------------------------------

LISTENER = """
import os, signal, sys, time
import control
from kite.inbox import Inbox
inbox = Inbox()
with control.signals(inbox.put):
    print("open", flush=True)
    BODY
AFTER
"""


@contextmanager
def listener(body: str, after: str = "") -> Iterator[subprocess.Popen[str]]:
    with running(LISTENER.replace("BODY", body).replace("AFTER", after)) as process:
        yield process


TELL = """
    while name := inbox.take(60):
        print(name, flush=True)
"""


def test_signals_are_heard_by_name_and_no_number_of_them_ends_the_process(tmp_path):
    with listener(TELL) as process:
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
            assert number.name == line_of(process)

        assert process.poll() is None


COMPUTE = """
    import numpy as np
    many = np.random.default_rng(7).random(12_000_000)
    print("computing", flush=True)
    heard = []
    control_hear = inbox.put
    np.sort(many, kind="heapsort")
    ended_s = time.monotonic()
    print(*[ended_s - at_s > 0.1 for at_s in stamps], flush=True)
"""
STAMPED = LISTENER.replace("inbox = Inbox()", "stamps = []").replace(
    "inbox.put", "lambda name: stamps.append(time.monotonic())"
)


def test_a_signal_is_heard_while_the_main_thread_is_within_one_long_call_of_numpy(tmp_path):
    body = COMPUTE.replace("    heard = []\n    control_hear = inbox.put\n", "")
    with running(STAMPED.replace("BODY", body).replace("AFTER", "")) as process:
        assert "computing" == line_of(process)
        process.send_signal(signal.SIGTERM)

        assert "True" == line_of(process)


def test_after_the_block_signals_mean_what_they_meant(tmp_path):
    for number, code in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)):
        after = "print('over', flush=True)\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nsys.stdin.read()"
        with listener("pass", after) as process:
            assert "over" == line_of(process)
            process.send_signal(number)

            assert code == process.wait(SOON_S)


FORK = """
    child = os.fork()
    if child == 0:
        signal.pause()
    print("forked", flush=True)
    sys.stdin.readline()
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
    print(inbox.take(0.2), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print(inbox.take(60), flush=True)
"""


def test_a_forked_worker_dies_of_its_signal_and_halts_nobody(tmp_path):
    with listener(FORK) as process:
        assert "forked" == line_of(process)
        into(process).write("\n")
        into(process).flush()

        assert [str(-signal.SIGTERM), "None", "SIGTERM"] == [line_of(process) for _ in range(3)]


def test_signals_are_as_before_when_the_block_ends_with_an_error():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.set_wakeup_fd(-1)
    with pytest.raises(KeyError), control.signals(Queue[str]().put):
        raise KeyError("x")

    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert -1 == signal.set_wakeup_fd(-1)
    assert not [each for each in threading.enumerate() if each.name == "signals"]
