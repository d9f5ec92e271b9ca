"""Is there ever a second holder, and does a dead one ever stand in the way?"""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

import locks
from clock import Clock, SystemClock
from outcome import BusyError, ConfigError, ExitCode

ROOT = Path(__file__).parent.parent
CLOCK = SystemClock()

HOLD = """
import os, subprocess, sys
from pathlib import Path
import clock, locks
with locks.held(Path(sys.argv[1]), "fetch.py", clock.SystemClock()):
BEFORE
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_script(before: str = "") -> str:
    return HOLD.replace("BEFORE", textwrap.indent(before, "    "))


@contextmanager
def another_holder(path: Path, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A real process that has the lock, until its stdin closes or it is killed."""
    command = [sys.executable, "-c", hold_script(before), str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def take(path: Path, what: str, clock: Clock) -> None:
    with locks.held(path, what, clock):
        pass


def can_be_taken(path: Path) -> bool:
    try:
        take(path, "fetch.py", CLOCK)
        return True
    except BusyError:
        return False


def test_a_second_instance_is_refused_and_told_who_runs(tmp_path):
    path = tmp_path / "fetch.lock"
    with another_holder(path) as first, pytest.raises(BusyError) as refused:
        take(path, "fetch.py", CLOCK)

    assert f"another fetch.py is running (pid {first.pid}, since " in str(refused.value)
    assert str(refused.value).endswith(" IST); wait for it or stop it")
    assert refused.value.exit_code == ExitCode.BUSY


def test_the_same_process_cannot_hold_it_twice(tmp_path):
    with locks.held(tmp_path / "a.lock", "fetch.py", CLOCK):
        assert not can_be_taken(tmp_path / "a.lock")

    assert can_be_taken(tmp_path / "a.lock")


def test_a_killed_holder_frees_the_lock_at_once(tmp_path):
    path = tmp_path / "fetch.lock"
    with another_holder(path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait()

        assert can_be_taken(path)


def test_a_killed_holder_that_nobody_waited_for_is_not_alive(tmp_path):
    path = tmp_path / "fetch.lock"
    with another_holder(path) as first:
        first.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the process table

        assert locks.holder(path) is None
        assert can_be_taken(path)


def test_a_reader_sees_the_holder_without_taking_the_lock(tmp_path):
    path = tmp_path / "fetch.lock"
    with another_holder(path) as first:
        found = locks.holder(path)

        assert found is not None
        assert (found.pid, found.command) == (first.pid, "fetch.py")
        assert found.since.tzinfo is not None
        assert not can_be_taken(path)


def test_a_released_lock_has_no_holder_though_the_process_lives_and_the_file_stays(tmp_path):
    path = tmp_path / "a.lock"
    with locks.held(path, "fetch.py", CLOCK):
        assert locks.holder(path) is not None

    assert locks.holder(path) is None
    assert path.exists()


def test_an_error_inside_releases_the_lock(tmp_path):
    with pytest.raises(KeyError), locks.held(tmp_path / "a.lock", "fetch.py", CLOCK):
        raise KeyError("x")

    assert can_be_taken(tmp_path / "a.lock")


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells when a process began")
def test_a_pid_that_came_back_is_not_the_holder(tmp_path):
    path = tmp_path / "a.lock"
    with locks.held(path, "fetch.py", CLOCK):
        record = json.loads(path.read_text())
        record["started_ticks"] -= 1
        (tmp_path / "older.lock").write_text(json.dumps(record))

        assert locks.holder(tmp_path / "older.lock") is None


def test_without_a_start_time_the_pid_decides(tmp_path):
    path = tmp_path / "a.lock"
    with locks.held(path, "fetch.py", CLOCK):
        record = {**json.loads(path.read_text()), "started_ticks": None}
    path.write_text(json.dumps(record))

    assert locks.holder(path) is not None

    path.write_text(json.dumps({**record, "pid": 2**22 + 1}))

    assert locks.holder(path) is None


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b"{", b"[]", b'{"pid": 1}', b"\xff\xfe"])
def test_a_damaged_file_names_nobody_and_does_not_block(tmp_path, content):
    path = tmp_path / "a.lock"
    path.write_bytes(content)

    assert locks.holder(path) is None
    assert can_be_taken(path)


def test_a_lock_never_taken_has_no_holder(tmp_path):
    assert locks.holder(tmp_path / "none" / "a.lock") is None


def test_a_started_program_does_not_inherit_the_lock(tmp_path):
    path = tmp_path / "fetch.lock"
    start = "subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], close_fds=False)"
    with another_holder(path, start) as first:
        first.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)

        assert can_be_taken(path)


FORK_AND_LEAVE = """
if os.fork() == 0:
    sys.exit(0)
os.wait()
"""

FORK_AND_STAY = """
ready, say_ready = os.pipe()
if os.fork() == 0:
    os.write(say_ready, b".")
    os.read(0, 1)
    os._exit(0)
os.read(ready, 1)
"""


def test_a_forked_worker_that_leaves_the_block_does_not_release_its_parents_lock(tmp_path):
    path = tmp_path / "fetch.lock"
    with another_holder(path, FORK_AND_LEAVE) as first:
        found = locks.holder(path)

        assert not can_be_taken(path)
        assert found is not None and found.pid == first.pid


def test_a_forked_worker_that_outlives_its_parent_does_not_keep_the_lock(tmp_path):
    path = tmp_path / "fetch.lock"
    with another_holder(path, FORK_AND_STAY) as first:
        first.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)

        assert can_be_taken(path)


class ClockAt(SystemClock):
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


@pytest.mark.parametrize(
    ("asked", "hour_utc", "expected"),
    [
        ("fetch.py", 9, "another fetch.py is running (pid {}, since 09:14 IST); wait for it or stop it"),
        ("fetch.py", 20, "another fetch.py is running (pid {}, since 2026-11-20 09:14 IST); wait for it"),
        ("train.py", 9, "fetch.py is running (pid {}, since 09:14 IST); wait for it or stop it"),
    ],
)
def test_the_sentence_names_the_holder_and_when_it_began(tmp_path, asked, hour_utc, expected):
    began, later = (datetime(2026, 11, 20, hour, 44, tzinfo=UTC) for hour in (3, hour_utc))
    held, refusal = locks.held(tmp_path / "a.lock", "fetch.py", ClockAt(began)), pytest.raises(BusyError)
    with held, refusal as refused:
        take(tmp_path / "a.lock", asked, ClockAt(later))

    assert str(refused.value).startswith(expected.format(os.getpid()))


def test_a_holder_that_has_not_signed_yet_still_refuses(tmp_path):
    path = tmp_path / "a.lock"
    with locks.held(path, "fetch.py", CLOCK):
        path.write_bytes(b"")
        with pytest.raises(BusyError, match=r"^another fetch\.py is running; wait for it or stop it$"):
            take(path, "fetch.py", CLOCK)


def test_the_folder_is_made_and_the_file_is_for_its_owner(tmp_path):
    path = tmp_path / "run" / "locks" / "a.lock"
    with locks.held(path, "fetch.py", CLOCK):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_place_that_cannot_hold_a_lock_names_the_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be locked \(File exists\); make .* a local folder"):
        take(tmp_path / "file" / "a.lock", "fetch.py", CLOCK)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_folder_names_the_remedy(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="Permission denied"):
        take(tmp_path / "a.lock", "fetch.py", CLOCK)


def test_a_full_disk_does_not_keep_a_script_from_locking(tmp_path):
    path = tmp_path / "fetch.lock"
    script = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n" + hold_script()
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, cwd=ROOT, input="", capture_output=True, text=True, timeout=30)

    assert (done.returncode, done.stdout) == (0, "held\n")
    assert "locked, but the holder could not be written (File too large)" in done.stderr


def test_a_restart_on_a_full_disk_finds_its_block_still_allocated(tmp_path):
    path = tmp_path / "a.lock"
    with locks.held(path, "fetch.py", CLOCK):
        pass

    assert path.stat().st_size == locks.RECORD_BYTES
