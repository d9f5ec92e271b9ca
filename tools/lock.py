"""How are the locks made? `make lock`: requirements*.in -> requirements*.txt, every line by hash.

One file serves Python 3.11 and 3.12 (environment markers where they differ). torch is added by
hand: resolvers see only the CUDA build, and we pin the CPU wheels.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Made by `make lock` from {source}; do not edit. Every line is installed by hash.\n"

# `+cpu` keeps pip from ever choosing an index's CUDA build. The 3.11 wheel was installed and its
# digest computed here; the 3.12 digest is the one that five unrelated public lock files agree on.
TORCH = """\
torch==2.13.0+cpu \\
    --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b \\
    --hash=sha256:4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2
    # via -r requirements.in
"""


def main() -> int:
    runtime = compiled("requirements.in", "--no-emit-package", "torch")
    (ROOT / "requirements.txt").write_text(with_torch(runtime))
    (ROOT / "requirements-dev.txt").write_text(compiled("requirements-dev.in"))
    # After the first, which its source names as a constraint. torch is none of the peers' packages.
    (ROOT / "requirements-bench.txt").write_text(compiled("requirements-bench.in"))
    (ROOT / "requirements-tune.txt").write_text(compiled("requirements-tune.in"))
    return 0


def compiled(source: str, *options: str) -> str:
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header",
               "--universal", "--python-version", "3.11", "--generate-hashes", *options, source]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return HEADER.format(source=source) + done.stdout


def with_torch(lock: str) -> str:
    """Put the torch block where the alphabet wants it."""
    after = re.search(r"^(?=t(?:w|x|y|z)|[u-z])", lock, re.MULTILINE)
    assert after is not None
    return lock[: after.start()] + TORCH + lock[after.start() :]


if __name__ == "__main__":
    sys.exit(main())
