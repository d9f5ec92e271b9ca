"""How is a file replaced without ever being half written?

A whole new file is written beside the old one, forced to the disk, and renamed over it; then the folder
is forced too, or a power cut could undo the rename. A reader sees the old bytes or the new ones.
Must not know what is inside: whoever writes has validated it.
"""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from outcome import SuiteError

# For a file that did not exist: candles, models and journals concern this user alone.
NEW_FILE_MODE = 0o600


class WriteError(SuiteError):
    """A file could not be replaced; unless the sentence says otherwise, the old one stands untouched."""


def write_atomically(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put `data` in the place of `path`, whole or not at all; a link's target is replaced, not the link.

    The file keeps its mode unless one is given. Raises WriteError.
    """
    target = Path(os.path.realpath(path))
    try:
        spare = _write_spare(target, data, mode)
        _rename(spare, target)
    except OSError as error:
        raise WriteError(
            f"{path}: not written, {_remedy(error, target.parent)}; the old file stands"
        ) from error
    try:
        sync_folder(target.parent)
    except OSError as error:
        text = f"{path}: written, but a power cut may still undo it, {_remedy(error, target.parent)}"
        raise WriteError(text) from error


def _write_spare(target: Path, data: bytes, mode: int | None) -> Path:
    """The new bytes, safe on the disk, in a file of their own in the same folder."""
    wanted_mode = _mode_of(target) if mode is None else mode
    fd, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:60]}.", suffix=".tmp")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, wanted_mode)
            os.fsync(fd)
    except BaseException:  # Ctrl-C too must leave nothing behind
        _remove(name)
        raise
    return Path(name)


def _mode_of(target: Path) -> int:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return NEW_FILE_MODE


def _rename(spare: Path, target: Path) -> None:
    try:
        spare.replace(target)
    except BaseException:
        _remove(str(spare))
        raise


def _remove(name: str) -> None:
    with suppress(OSError):  # the failure that brought us here is the one to report
        Path(name).unlink()


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network file systems cannot sync a folder, and then say so in one of these two ways.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def _remedy(error: OSError, folder: Path) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "disk full: free some space"
        case errno.EFBIG:
            return "file too large for the limit set on it: raise the limit (ulimit -f)"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return f"no permission: make {folder} writable for this user"
        case errno.ENOENT | errno.ENOTDIR:
            return f"no such folder: create {folder}"
        case errno.EISDIR:
            return "a folder has that name: move it away"
        case errno.EIO:
            return "the disk reports an error: check it before you go on"
        case _:
            return f"{error.strerror}: put that right and try again"
