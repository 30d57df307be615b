"""Ports of the embedded stack: whether they are free, and which are."""

from __future__ import annotations

import socket
from typing import Final

from .faults import PORT_IN_USE, TEMPORAL_UNREACHABLE, StackFault

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 1024


def listen(host: str, port: int, flag: str) -> socket.socket:
    """Return a listening socket.

    Raises:
        StackFault: when the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StackFault(
            PORT_IN_USE,
            f"cannot listen on {host} port {port}: {error.strerror}",
            f"End what listens there, or choose another port: {flag} N (0 takes a free one)",
        ) from error
    listener.listen(_BACKLOG)
    return listener


def free_port(wanted: int, flag: str) -> int:
    """Return ``wanted`` if it is free, or any free port for 0.

    Raises:
        StackFault: when it is taken.
    """
    with listen(LOOPBACK, wanted, flag) as listener:
        port: int = listener.getsockname()[1]
    return port


def require_reachable(address: str) -> None:
    """Make sure that somebody listens at ``address``.

    Raises:
        StackFault: when nobody does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
    except (OSError, ValueError) as error:
        raise StackFault(
            TEMPORAL_UNREACHABLE,
            f"no Temporal server answers at {address}: {error}",
            "Start one there, correct --temporal-address, or leave it out to start the embedded one.",
        ) from error
