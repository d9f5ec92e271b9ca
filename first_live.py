"""May this installation trade live? The first time a person must say so, in so many words.

A typed word at a terminal, or the flag that a unit carries; kept in the state folder for this broker host and
user, so that a new account is asked for again. Nothing else makes it live, and live never becomes paper.
"""

import json
import sys
from pathlib import Path
from typing import Final

from clock import Clock
from files import write_atomically
from outcome import RefusedError

NAME: Final = "live_confirmed.json"
WORD: Final = "LIVE"


def confirmed(state: Path, host: str, user: str, by_flag: bool, clock: Clock) -> None:
    """Returns where it was said before, or is said now; else RefusedError."""
    path, who = state / NAME, f"{user} at {host}"
    known = _known(path)
    if who in known:
        return
    if not by_flag and not _typed(who):
        raise RefusedError(
            f"the first live session of {who} on this installation wants to be confirmed: type {WORD} at a"
            " terminal, or start it once with --confirm-live"
        )
    known[who] = clock.now().isoformat()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, json.dumps(known, indent=1).encode() + b"\n", mode=0o600)


def _typed(who: str) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"The first LIVE session of {who} here: real orders, real money. Type {WORD} to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == WORD


def _known(path: Path) -> dict[str, str]:
    """A file that cannot be read confirms nothing."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
