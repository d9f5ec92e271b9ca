"""No test leaves the machine: sockets reach loopback only, and no foreign name is resolved.

Python imports a file of this name at start when its folder is on the path. conftest.py puts it
there, so the guard holds in every process that a test starts, and imports it for its own.
"""

import socket
from ipaddress import ip_address
from typing import Any


class OutsideWorldError(AssertionError):
    """A test tried to leave the machine."""


def _refuse_the_outside(host: object, what: str) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in ("localhost", "", None):
        return
    try:
        inside = ip_address(str(name)).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise OutsideWorldError(f"a test tried to {what} {name}")


def _guarded(real: Any) -> Any:
    def connecting(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_the_outside(address[0], "connect to")
        return real(self, address)

    return connecting


def _resolving(real: Any) -> Any:
    def resolving(host: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_the_outside(host, "resolve")
        return real(host, *args, **kwargs)

    return resolving


socket.socket.connect = _guarded(socket.socket.connect)  # type: ignore[method-assign]
socket.socket.connect_ex = _guarded(socket.socket.connect_ex)  # type: ignore[method-assign]
socket.getaddrinfo = _resolving(socket.getaddrinfo)
