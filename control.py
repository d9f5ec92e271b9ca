"""How does another terminal talk to the running trader? By a request at its door, or by a signal.

The door is a Unix socket in the state folder. One line of JSON comes in, goes into the core's inbox, and
is answered when the core has taken it; nothing is written, so a full disk does not matter. (What becomes of
a request that nobody answers is fence.py's.) A signal comes by a file descriptor that the kernel's side of
Python writes to, so that it is heard while the main thread computes. None of it needs the model, the
feed, the disk or the alerts. Must not know what a request does. Deadlines are the machine's: a followed
clock may stand still.
"""

import errno
import json
import os
import selectors
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from clock import Clock, SystemClock
from outcome import ConfigError, RefusedError

DOOR: Final = "trade.sock"  # in the state folder, as the lock is
LOCK: Final = "trade.lock"
ASKS: Final = ("halt", "flatten", "unlock", "ping")
LINE_BYTES: Final = 4096
TEXT_MOST: Final = 400  # of a reason or an answer; escaped for JSON it still fits into a line
PATIENCE_S: Final = 2.0  # trading.md: a trader that has not answered by then is fenced
SILENCE_S: Final = 2.0  # from the call to the end of its line, however slowly it drips
UNTAKEN_S: Final = 10.0  # the core has not taken it, and whoever asked has long acted
CALLERS_MOST: Final = 32  # at a time; beyond, the oldest makes room
RETRY_S: Final = 0.02

MACHINE: Final[Clock] = SystemClock()


class Request:
    """What another terminal wants; whoever carries it out says so by `taken`."""

    def __init__(self, ask: str, why: str, pid: int, line: socket.socket) -> None:
        self.ask = ask
        self.why = why
        self.pid = pid  # by the asker's own word, for the journal
        self._line: socket.socket | None = line
        self._one_answer = threading.Lock()

    def taken(self, text: str) -> bool:
        """Tell the asker in one sentence what was done. False when it is gone: only the deed counts."""
        line = self._let_go()
        return line is not None and _say(line, "taken", text)

    def hang_up(self) -> None:
        line = self._let_go()
        if line is not None:
            line.close()

    @property
    def is_over(self) -> bool:
        return self._line is None

    def _let_go(self) -> socket.socket | None:
        with self._one_answer:
            line, self._line = self._line, None
            return line


class Door:
    """Hears requests on a thread of its own and hands each to `hear` at once.

    Opened by the holder of the trader's lock, first of all, and closed before the lock is given back: so a
    socket file that lies there is a dead trader's and is replaced. Raises ConfigError where there can be
    no door; whoever has positions to protect goes on without one.
    """

    def __init__(self, path: Path, hear: Callable[[Request], None], machine: Clock = MACHINE) -> None:
        self._path, self._hear, self._machine = path, hear, machine
        self._callers: dict[socket.socket, _Caller] = {}
        self._untaken: list[tuple[Request, float]] = []
        self._spare_fd: int | None = None  # for one caller when there are no others left
        self._listener = _bound(path)
        self._woken, self._waker = socket.socketpair()
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._listener, selectors.EVENT_READ)
        self._ready.register(self._woken, selectors.EVENT_READ)
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._waker.send(b".")
        self._thread.join()
        for line in (*self._callers, self._listener, self._woken, self._waker):
            line.close()
        for request, _ in self._untaken:
            request.hang_up()
        self._ready.close()
        if self._spare_fd is not None:
            os.close(self._spare_fd)
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._is_closing:
            self._keep_a_spare()
            for key, _ in self._ready.select(self._idle_s()):
                if key.fileobj is self._listener:
                    self._let_in()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._callers:
                    self._listen_to(key.fileobj)
            self._hang_up_on_the_late()

    def _keep_a_spare(self) -> None:
        if self._spare_fd is None:
            with suppress(OSError):  # there is none left: the next turn tries again
                self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _idle_s(self) -> float | None:
        """Until the first who will be late; None when nobody is there."""
        deadlines_s = [caller.late_at_s for caller in self._callers.values()]
        deadlines_s += [late_at_s for _, late_at_s in self._untaken]
        return max(0.0, min(deadlines_s) - self._machine.monotonic()) if deadlines_s else None

    def _let_in(self) -> None:
        try:
            line, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._give_the_spare_away()
            return
        line.setblocking(False)
        if _uid_of(line) != os.geteuid():
            _say(line, "refused", "this trader is another user's; ask as that user")
            return
        if len(self._callers) >= CALLERS_MOST:
            oldest = next(iter(self._callers))
            self._forget(oldest)
            oldest.close()
        self._callers[line] = _Caller(self._machine.monotonic() + SILENCE_S)
        self._ready.register(line, selectors.EVENT_READ)

    def _give_the_spare_away(self) -> None:
        """The caller still waits at the door, and finds a free descriptor at the next turn."""
        if self._spare_fd is None:
            self._machine.wait(RETRY_S)
            return
        os.close(self._spare_fd)
        self._spare_fd = None
        self._let_in()

    def _listen_to(self, line: socket.socket) -> None:
        caller = self._callers[line]
        try:
            data = line.recv(LINE_BYTES + 1)
        except BlockingIOError:
            return
        except OSError:  # it hung up
            data = b""
        caller.heard += data
        text, newline, _ = caller.heard.partition(b"\n")
        if newline:
            self._forget(line)
            self._take_in(bytes(text), line)
        elif not data or len(caller.heard) > LINE_BYTES:
            self._forget(line)
            _say(line, "refused", f"one line of at most {LINE_BYTES} bytes, please")

    def _take_in(self, text: bytes, line: socket.socket) -> None:
        try:
            request = _request(text, line)
        except (ValueError, TypeError, KeyError, RecursionError):
            _say(line, "refused", f"not a request: ask one of {', '.join(ASKS)}, why, and by which pid")
            return
        if len(self._untaken) >= CALLERS_MOST:
            self._untaken.pop(0)[0].hang_up()
        self._untaken.append((request, self._machine.monotonic() + UNTAKEN_S))
        self._hear(request)

    def _forget(self, line: socket.socket) -> None:
        self._ready.unregister(line)
        del self._callers[line]

    def _hang_up_on_the_late(self) -> None:
        now_s = self._machine.monotonic()
        for line in [line for line, caller in self._callers.items() if caller.late_at_s <= now_s]:
            self._forget(line)
            line.close()
        for request, _ in [each for each in self._untaken if each[1] <= now_s]:
            request.hang_up()
        self._untaken = [each for each in self._untaken if not each[0].is_over]


def ask(
    path: Path, what: str, why: str, patience_s: float = PATIENCE_S, machine: Clock = MACHINE
) -> str | None:
    """What the trader says it did; None when nobody answered in that time. Raises RefusedError.

    Nobody there is asked again until then: a trader that starts opens its door a moment after its lock.
    """
    assert what in ASKS
    words = {"ask": what, "why": _plain(why), "pid": os.getpid()}
    line = json.dumps(words).encode("ascii") + b"\n"
    over_at_s = machine.monotonic() + patience_s
    while (left_s := over_at_s - machine.monotonic()) > 0:
        try:
            return _answer(_called(path, line, over_at_s, machine))
        except (OSError, ValueError):  # nobody there, gone in between, or no sense in it
            machine.wait(min(RETRY_S, left_s))
    return None


@contextmanager
def signals(hear: Callable[[str], None]) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM do nothing but call `hear` with their name, each time, on a thread.

    A Python handler runs in the main thread between two byte codes: after 100 ms of numpy that is too late,
    and within the inbox's lock it is too early. The kernel's byte is there at once. However often
    somebody presses Ctrl-C, the process goes on closing positions: the core hears of each press and can say
    what is still open, but impatience leaves nothing naked. SIGKILL remains; stops rest at the broker.
    """
    assert threading.current_thread() is threading.main_thread(), "only there Python lets signals be set"
    ears = _Ears(hear)
    os.register_at_fork(
        before=ears.hold_back, after_in_parent=ears.let_through, after_in_child=ears.leave_to_parent
    )
    try:
        yield
    finally:
        ears.close()


@dataclass
class _Caller:
    """Somebody at the door who has not finished a line."""

    late_at_s: float
    heard: bytearray = field(default_factory=bytearray)


def _bound(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as address:
            if path.is_socket():
                path.unlink()
            os.fchmod(listener.fileno(), 0o600)  # bind makes the file with the socket's own mode
            listener.bind(address)
        listener.listen(CALLERS_MOST)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{path}: no door for halt, flatten and unlock ({error.strerror}); "
            f"make {path.parent} a local folder with room for it, and move away what has that name"
        ) from error
    return listener


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A socket's address is 107 bytes at most, a folder's path may be longer: name it by its descriptor."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def _uid_of(line: socket.socket) -> int:
    """The kernel's word (unix(7)), given when the caller connected."""
    _, uid, _ = struct.unpack("iII", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def _request(text: bytes, line: socket.socket) -> Request:
    words = json.loads(text)
    ask, why, pid = words["ask"], words["why"], words["pid"]
    if ask not in ASKS or not isinstance(why, str) or not isinstance(pid, int):
        raise ValueError("not of this protocol")
    return Request(ask, _plain(why), pid, line)


def _plain(text: str) -> str:
    """One line of plain signs: it ends up in a journal and on a terminal."""
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text[:TEXT_MOST])


def _say(line: socket.socket, kind: str, text: str) -> bool:
    """Once, without waiting, and hang up: the answer is shorter than any socket's buffer."""
    try:
        line.send(json.dumps({kind: _plain(text)}).encode("ascii") + b"\n", socket.MSG_DONTWAIT)
    except OSError:
        return False
    finally:
        line.close()
    return True


def _called(path: Path, words: bytes, over_at_s: float, machine: Clock) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, _short(path) as address:
        line.settimeout(_left_s(over_at_s, machine))
        line.connect(address)
        with suppress(BrokenPipeError, ConnectionResetError):  # it has refused before it listened: read why
            line.sendall(words)
        heard = bytearray()
        while b"\n" not in heard:
            line.settimeout(_left_s(over_at_s, machine))
            data = line.recv(LINE_BYTES)
            if not data:
                raise ConnectionError("it hung up")
            heard += data
        return bytes(heard)


def _left_s(over_at_s: float, machine: Clock) -> float:
    left_s = over_at_s - machine.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _answer(line: bytes) -> str:
    words = json.loads(line)
    if isinstance(words, dict) and "refused" in words:
        raise RefusedError(f"the trader refuses: {words['refused']}")
    if not isinstance(words, dict) or "taken" not in words:
        raise ValueError("not of this protocol")
    return str(words["taken"])


class _Ears:
    """The way of a signal: kernel, socket pair, thread, `hear`. Made in the main thread, as Python wants."""

    NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear
        self._listening, self._kernels = socket.socketpair()
        self._kernels.setblocking(False)
        self._is_on = True
        self._of_fork = threading.local()  # two threads may fork at a time
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()
        self._fd_before = signal.set_wakeup_fd(self._kernels.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _stay) for number in self.NUMBERS}

    def close(self) -> None:
        if self._is_on:
            self._restore()
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread, after what it still has to hear
            self._thread.join()
            self._listening.close()

    def hold_back(self) -> None:
        """A worker's signal waits until it no longer has its parent's ears."""
        if self._is_on:
            self._of_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.NUMBERS)

    def let_through(self) -> None:
        mask = self._of_fork.__dict__.pop("mask", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def leave_to_parent(self) -> None:
        """A forked worker dies of its signals; over the inherited socket they would halt its parent."""
        if self._is_on:
            self._restore()
        self.let_through()

    def _restore(self) -> None:
        self._is_on = False
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._fd_before)
        self._kernels.close()

    def _listen(self) -> None:
        names = {int(number): number.name for number in self.NUMBERS}
        while heard := self._listening.recv(64):
            for number in heard:
                if number in names:
                    self._hear(names[number])


def _stay(_: int, __: FrameType | None) -> None:
    """The thread has heard it; a call that the signal broke off goes on by itself (PEP 475)."""
