"""How does a paper account outlive the process? One JSON file, replaced whole before anybody gets an answer.

It holds a version, a digest and the account. The digest is over the bytes of the account as they stand in
the file, so that half a file, a flipped bit and a careless edit are all the same thing: damage. A damaged
file is refused with what to do about it; a new account is begun only where there is no file at all, for a
loss that vanishes by itself is the one thing that a paper account must not have.
"""

import re
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from files import write_atomically
from outcome import DataError
from paper_account import Account

if TYPE_CHECKING:
    from pydantic import TypeAdapter

VERSION = 1
_WHOLE = re.compile(rb'\{"version":(\d{1,9}),"sha256":"([0-9a-f]{64})","account":(\{.*\})\}\n', re.DOTALL)


def save(account: Account, path: Path) -> None:
    """On the disk when it returns; raises files.WriteError."""
    concerned = {order.ticker for order in account.orders.values()}
    markets = {ticker: market for ticker, market in account.markets.items() if ticker in concerned}
    body: bytes = _adapter().dump_json(replace(account, markets=markets))
    head = b'{"version":%d,"sha256":"%s","account":' % (VERSION, sha256(body).hexdigest().encode())
    write_atomically(path, head + body + b"}\n")


def load(path: Path) -> Account | None:
    """None where there is none; what is there and cannot be read is never taken for that."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"the paper account {path} cannot be read: {error}; make it your own") from None
    found = _WHOLE.fullmatch(content)
    if found is None:
        raise _damaged(path, "it is no whole file of this suite")
    if int(found[1]) != VERSION:
        raise DataError(
            f"the paper account {path} has version {int(found[1])}, this program reads {VERSION}: run the"
            " program that wrote it, or move the file away to begin a new account"
        )
    if sha256(found[3]).hexdigest().encode() != found[2]:
        raise _damaged(path, "its digest is another one")
    return _read(path, found[3])


def _read(path: Path, body: bytes) -> Account:
    try:
        account: Account = _adapter().validate_json(body, strict=True)
    except ValueError as error:  # pydantic's error is one; it quotes the file at length
        raise _damaged(path, str(error).splitlines()[0]) from None
    return account


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"the paper account {path} is damaged ({why}): put a backup in its place, or move it away to begin a"
        " new account with the configured capital"
    )


@cache
def _adapter() -> "TypeAdapter[Account]":
    """Made once, and not before it is needed: pydantic is slow to import."""
    from pydantic import TypeAdapter

    return TypeAdapter(Account)
