"""How does a bare machine become a working copy? `make setup` runs this; so do the image and CI.

Needs Python 3.11 or 3.12 and nothing else. Makes a virtual environment and installs the two
hash locks into it. Repeating it is safe: a finished environment is recognised by a stamp that is
written last, an interrupted one is taken up where it stopped, and two runs at once queue up.
"""

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12))

# The one place that names it. Most package indexes carry torch's CUDA build only (gigabytes); the
# CPU wheel that requirements.txt pins by hash is published here. With a GPU, name another:
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cu130
# That build is then outside the hash lock, and the set-up says so.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class SetUpError(Exception):
    """One sentence for the user: what failed and what to do."""


def main() -> int:
    args = arguments()
    try:
        check_python()
        with one_at_a_time(args.venv):
            set_up(args)
    except SetUpError as error:
        print(f"[set-up] failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n[set-up] interrupted; run it again, it goes on where it was", file=sys.stderr)
        return 130
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Install the locked dependencies into a virtual environment."
    )
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where (default: .venv)")
    parser.add_argument("--no-dev", action="store_true", help="leave out what only tests and linters need")
    parser.add_argument("--no-torch", action="store_true", help="leave out torch (train.py will say so)")
    parser.add_argument("--torch-index", default=os.environ.get("TORCH_INDEX", ""), metavar="URL",
                        help="take torch from this index, outside the hash lock (for GPUs)")  # fmt: skip
    return parser.parse_args()


def check_python() -> None:
    if sys.version_info[:2] not in PYTHONS:
        found = ".".join(map(str, sys.version_info[:3]))
        raise SetUpError(f"this is Python {found}; install 3.11 or 3.12 (README, 'Set-up') and run it again")


@contextmanager
def one_at_a_time(venv: Path) -> Iterator[None]:
    with (venv.parent / f"{venv.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is running; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_up(args: argparse.Namespace) -> None:
    stamp = args.venv / "ready"
    wanted = fingerprint(args)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    python = environment(args.venv)
    torch, others = split_torch((ROOT / "requirements.txt").read_text())
    if not args.no_torch:
        install_torch(python, torch, args.torch_index)
    locks = [others] if args.no_dev else [others, (ROOT / "requirements-dev.txt").read_text()]
    say(f"3/3 the other {sum(map(count_pins, locks))} packages")
    pip(python, "\n".join(locks), "--no-deps")
    stamp.write_text(wanted)
    say(f"done: {args.venv}")


def fingerprint(args: argparse.Namespace) -> str:
    """What the environment was made from; another answer means it is stale."""
    parts = [sys.version, str(args.no_dev), str(args.no_torch), args.torch_index]
    files = [ROOT / "requirements.txt", ROOT / "requirements-dev.txt", Path(__file__)]
    return hashlib.sha256("\0".join(parts).encode() + b"".join(f.read_bytes() for f in files)).hexdigest()


def environment(venv: Path) -> Path:
    """The environment's interpreter; a half-made or foreign environment is made anew."""
    python = venv / "bin" / "python"
    version = "import sys, pip; print(sys.version)"
    if python.exists() and output_of([str(python), "-c", version]) == sys.version:
        return python
    say(f"1/3 virtual environment in {venv} (Python {sys.version.split()[0]})")
    shutil.rmtree(venv, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True)
    if made.returncode:
        reason = (made.stdout + made.stderr).strip().splitlines()[:1]
        raise SetUpError(f"no virtual environment: {reason}; on Debian: apt install python3-venv")
    return python


def output_of(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def split_torch(lock: str) -> tuple[str, str]:
    """The lines that pin torch, and the rest."""
    block = re.compile(r"^torch==.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
    found = block.search(lock)
    if not found:
        raise SetUpError("requirements.txt does not pin torch; run: make lock")
    return found.group(), block.sub("", lock)


def install_torch(python: Path, pinned: str, index: str) -> None:
    version = pinned.split("+")[0]
    if index:
        say(f"2/3 {version} from {index}: this build is outside the hash lock")
        pip(python, version, "--index-url", index, hashes=False)
        return
    say("2/3 torch, CPU build (about 200 MB)")
    try:
        pip(python, pinned, "--no-deps")
    except SetUpError:
        say(f"2/3 not among the configured indexes; asking {TORCH_CPU_INDEX}")
        pip(python, pinned, "--no-deps", "--index-url", TORCH_CPU_INDEX)


def pip(python: Path, requirements: str, *options: str, hashes: bool = True) -> None:
    """Install those lines; progress goes to the terminal, the last lines of a failure into the error."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
                   *(["--require-hashes"] if hashes else []), *options, "-r", file.name]  # fmt: skip
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as running:
            assert running.stdout is not None
            tail = follow(running.stdout, total=count_pins(requirements))
    if running.returncode:
        raise SetUpError("pip says: " + " | ".join(tail) + "; check the network and run it again")


def follow(lines: Iterator[str], total: int) -> list[str]:
    """Count packages on one line of the terminal; answer pip's last words."""
    tail: list[str] = []
    seen = 0
    for line in lines:
        tail = [*tail[-3:], line.strip()]
        if line.startswith("Collecting"):
            seen += 1
            if sys.stderr.isatty():
                print(f"\r[set-up] {seen}/{total} {line.split()[1][:50]:50}", end="", file=sys.stderr)
    if seen and sys.stderr.isatty():
        print(file=sys.stderr)
    return tail


def count_pins(lock: str) -> int:
    return len(re.findall(r"^[A-Za-z0-9].*==", lock, re.MULTILINE))


def say(text: str) -> None:
    print(f"[set-up] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
