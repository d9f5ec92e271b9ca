"""Is today's list of instruments on disk already? Kept once a day, trusted only whole and of the right day.

The broker makes the list anew at about 08:30 and serves yesterday's until then (kite.md 1.3), so what was
asked for at 08:00 is not today's. The file opens with a line that names the day and the checksum of what
follows; a file that is torn, changed, older or from the future is as good as none. It is replaced whole, so
two scripts that begin at once disturb each other no more than by a second download.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from clock import Clock
from kite.errors import CorruptError
from kite.instruments import Master, MasterError, read_master
from rulebook.hours import IST

OUT_IST: Final = time(8, 30)


@dataclass(frozen=True, slots=True)
class Lists:
    """As the broker sends them: the shares of NSE, and the contracts on them."""

    nse: str
    nfo: str


Download = Callable[[], Lists]
Write = Callable[[Path, bytes], None]  # whole or not at all: files.write_atomically


def list_day(now: datetime) -> date:
    """Of which day the list is that the broker serves at that moment."""
    here = now.astimezone(IST)
    return here.date() if here.time() >= OUT_IST else here.date() - timedelta(days=1)


def sync(path: Path, download: Download, clock: Clock, write: Write, force: bool = False) -> Master:
    """The day's instruments: from the disk where they are there, else from the broker, and then kept."""
    day = list_day(clock.now())
    kept = None if force else read(path, day)
    if kept is not None:
        return kept
    lists = download()
    try:
        master = read_master(day, lists.nse, lists.nfo)
    except MasterError as error:
        raise CorruptError("GET /instruments", str(error)) from None
    write(path, _packed(day, lists))
    return master


def read(path: Path, day: date) -> Master | None:
    """What is kept, if it is whole and of that day."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        told = json.loads(head)
        if told["day"] != day.isoformat() or told["sha256"] != hashlib.sha256(body).hexdigest():
            return None
        nse, nfo = body[: told["nse_bytes"]], body[told["nse_bytes"] :]
        return read_master(day, nse.decode(), nfo.decode())
    except (OSError, ValueError, KeyError, TypeError):  # MasterError is a ValueError
        return None


def _packed(day: date, lists: Lists) -> bytes:
    nse, nfo = lists.nse.encode(), lists.nfo.encode()
    head = {
        "day": day.isoformat(),
        "nse_bytes": len(nse),
        "sha256": hashlib.sha256(nse + nfo).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + nse + nfo
