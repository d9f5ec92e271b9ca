"""Is a file ever seen half written, whatever fails or kills the writer, and wherever?"""

import os
import random
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import files
from files import WriteError, write_atomically
from outcome import SuiteError

ROOT = Path(__file__).parent.parent


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_holds_the_bytes_and_is_for_its_owner(tmp_path):
    write_atomically(tmp_path / "a.json", b"one")

    assert (tmp_path / "a.json").read_bytes() == b"one"
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == files.NEW_FILE_MODE
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_a_replaced_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, b"new")

    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_given_mode_wins(tmp_path):
    path = tmp_path / ".env"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomically(path, b"new", mode=0o600)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    target = tmp_path / "real" / "a.json"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link = tmp_path / "a.json"
    link.symlink_to("real/a.json")
    write_atomically(link, b"new")

    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_long_name_is_no_obstacle(tmp_path):
    path = tmp_path / ("n" * 250)
    write_atomically(path, b"x")

    assert path.read_bytes() == b"x"


def test_a_missing_folder_names_the_remedy(tmp_path):
    with pytest.raises(WriteError, match="no such folder: create") as failure:
        write_atomically(tmp_path / "none" / "a.json", b"x")

    assert isinstance(failure.value, SuiteError)
    assert str(tmp_path / "none" / "a.json") in str(failure.value)


def test_a_folder_in_the_way_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(WriteError, match="a folder has that name"):
        write_atomically(tmp_path / "a.json", b"x")

    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_folder_names_the_remedy_and_the_old_file_stands(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match=r"no permission: make .* writable"):
        write_atomically(path, b"new")

    tmp_path.chmod(0o700)
    assert path.read_bytes() == b"old"


LIMITED = """
import resource, sys
from pathlib import Path
import files
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    files.write_atomically(Path(sys.argv[1]), b"n" * 100_000)
except files.WriteError as error:
    print(error)
"""


@pytest.mark.parametrize("limit_bytes", [0, 1, 50_000, 99_999])
def test_a_disk_that_fills_at_any_byte_leaves_the_old_file_and_no_litter(tmp_path, limit_bytes):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", LIMITED, str(path), str(limit_bytes)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30).stdout

    assert "raise the limit (ulimit -f); the old file stands" in said
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.json"]


# The writer hurts itself before its n-th line inside files.py: with a signal, or with an error of the disk.
STEPS = """
import errno, os, signal, sys
from pathlib import Path
import files

path, how = Path(sys.argv[1]), sys.argv[2]
ERRORS = {"full": OSError(errno.ENOSPC, "full"), "broken": OSError(errno.EIO, "broken")}

def hurt_before(step):
    def trace(frame, event, arg):
        nonlocal step
        if frame.f_code.co_filename != files.__file__:
            return None
        if event == "line":
            step -= 1
            if step == 0 and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if step == 0:
                raise ERRORS[how]
        return trace
    sys.settrace(trace)

def attempt(step):
    path.write_bytes(b"o" * 50_000)
    child = os.fork()
    if child == 0:
        hurt_before(step)
        try:
            files.write_atomically(path, b"n" * 70_000)
        except files.WriteError:
            os._exit(1)
        except OSError:
            os._exit(2)  # hurt outside what the writer guards: before its first or after its last act
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    letters = {bytes([byte]) for byte in path.read_bytes()}
    whole = (len(letters), path.stat().st_size) in ((1, 50_000), (1, 70_000))
    litter = len(list(path.parent.iterdir())) - 1
    print(step, code, "whole" if whole else "TORN", min(letters).decode(), litter, flush=True)
    return code

step = 1
while attempt(step) != 0:
    step += 1
    for spare in path.parent.glob(".*.tmp"):
        spare.unlink()
"""


def steps_of(folder: Path, how: str) -> list[list[str]]:
    command = [sys.executable, "-c", STEPS, str(folder / "a.bin"), how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def test_killed_before_any_step_the_file_is_whole(tmp_path):
    steps = steps_of(tmp_path, "kill")

    assert len(steps) > 20
    assert {whole for _, _, whole, _, _ in steps} == {"whole"}
    assert [letter for _, _, _, letter, _ in steps] == sorted(
        (s[3] for s in steps), reverse=True
    )  # o..., n...
    assert {code for _, code, _, _, _ in steps[:-1]} == {"-9"}


@pytest.mark.parametrize("how", ["full", "broken"])
def test_an_error_of_the_disk_at_any_step_leaves_a_whole_file(tmp_path, how):
    steps = steps_of(tmp_path, how)

    assert {whole for _, _, whole, _, _ in steps} == {"whole"}
    assert "1" in {code for _, code, _, _, _ in steps}


REWRITER = """
import sys
from pathlib import Path
import files
path, number = Path(sys.argv[1]), 0
while True:
    number += 1
    files.write_atomically(path, bytes([97 + number % 26]) * (1000 + number * 7919 % 300_000))
    print(number % 10, end="", flush=True)
"""


def test_killed_at_random_moments_the_file_always_holds_one_whole_version(tmp_path):
    path = tmp_path / "a.bin"
    dice = random.Random(20261121)
    for _ in range(12):
        command = [sys.executable, "-c", REWRITER, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.read(dice.randint(1, 12))
            sum(range(dice.randint(0, 20_000)))  # up to about a millisecond further into the next write
            writer.send_signal(signal.SIGKILL)
        found = path.read_bytes()

        assert len(set(found)) == 1
        assert len(found) in {1000 + n * 7919 % 300_000 for n in range(1, 5000) if 97 + n % 26 == found[0]}


def test_two_writers_never_share_a_spare_file(tmp_path):
    path = tmp_path / "a.bin"
    versions = [bytes([letter]) * 30_000 for letter in b"abcd"]

    def rewrite(version: bytes) -> None:
        for _ in range(10):
            write_atomically(path, version)

    threads = [threading.Thread(target=rewrite, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert path.read_bytes() in versions
    assert names_in(tmp_path) == ["a.bin"]
