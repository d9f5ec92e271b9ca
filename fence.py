"""What becomes of a request when the running trader does not answer? It is fenced, and replaced.

One writer at a time (trading.md, "Halting"): exactly the process that holds the lock is killed, by pid and
start time, and nobody acts before the kernel has its lock back. Whatever it was doing, its stops rest
at the broker, and whoever starts next recovers. Must not know what a request does, nor how it is asked.
"""

import fcntl
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import locks
from clock import Clock, SystemClock
from outcome import BusyError

GONE_S: Final = 5.0  # from SIGKILL to a free lock
LOOK_EVERY_S: Final = 0.02
ROUNDS: Final = 3  # a supervisor may start the next trader between our look and our act

MACHINE: Final[Clock] = SystemClock()


def carried_out(
    what: str,
    asked: Callable[[str], str | None],
    held_by: Callable[[], locks.Holder | None],
    fence: Callable[[locks.Holder], bool],
    in_its_place: Callable[[str], str],
) -> str:
    """What came of a request: the running trader's answer, or ours after we took its place.

    `in_its_place` takes the lock itself and raises BusyError when somebody else was faster: then that one
    is asked. Only who has had the whole time to answer is fenced. A switch that must hold against a trader
    which a supervisor starts in between is to be written before (halts.halt).
    """
    is_held = False  # by somebody who has not signed the lock (a full disk): known by BusyError only
    for rounds_left in reversed(range(ROUNDS)):
        holder = held_by()
        if holder is not None or is_held:
            answer = asked(what)
            if answer is not None:
                return answer
            if held_by() != holder:
                continue
        if holder is not None and not fence(holder):
            raise BusyError(_unfenced(holder))
        try:
            return in_its_place(what)
        except BusyError:
            is_held = True
            if not rounds_left:
                raise
    raise BusyError(f"the trader changes hands faster than it answers; {what} again")


def fenced(holder: locks.Holder, lock: Path, limit_s: float = GONE_S, machine: Clock = MACHINE) -> bool:
    """Kill exactly that process and wait for its lock; True when it holds the lock no more.

    By pid and start time: a pid that came back is left alone, and so is whoever has released the lock.
    Without a start time (no /proc) nothing proves who it is, and nobody is killed.
    """
    if holder.started_ticks is None or holder.pid == os.getpid():
        return False
    over_at_s = machine.monotonic() + limit_s
    _kill(holder, lock, limit_s)
    while not _is_free_of(holder, lock):
        if machine.monotonic() >= over_at_s:
            return False
        machine.wait(LOOK_EVERY_S)
    return True


def _kill(holder: locks.Holder, lock: Path, limit_s: float) -> None:
    """The descriptor holds on to one process; only then is compared who it is."""
    fd = _pidfd(holder.pid)
    try:
        if locks.holder(lock) != holder:
            return
        with suppress(ProcessLookupError, PermissionError):  # the lock will tell
            if fd is None:
                os.kill(holder.pid, signal.SIGKILL)
                return
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            gone = select.poll()
            gone.register(fd, select.POLLIN)
            gone.poll(limit_s * 1000)
    finally:
        if fd is not None:
            os.close(fd)


def _pidfd(pid: int) -> int | None:
    """None before Linux 5.3, where a sandbox forbids it, and of a process that is gone."""
    if not hasattr(os, "pidfd_open"):
        return None
    with suppress(OSError):
        return os.pidfd_open(pid)
    return None


def _is_free_of(holder: locks.Holder, lock: Path) -> bool:
    """Free, or already somebody else's."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return locks.holder(lock) not in (None, holder)
    finally:
        os.close(fd)
    return True


def _unfenced(holder: locks.Holder) -> str:
    return (
        f"{holder.command} (pid {holder.pid}) neither answers nor gives its lock back; "
        f"kill -9 {holder.pid} and ask again: its stops rest at the broker"
    )
