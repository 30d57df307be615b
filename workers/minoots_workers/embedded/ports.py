"""Ports of the embedded stack: whether they are free, and which are."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Final

from .faults import PORT_IN_USE, TEMPORAL_UNREACHABLE, StackFault

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 1024
_HIGHEST_PORT: Final = 65535
_QUIET_PORTS: Final = range(20_000, 32_000)
_TRIES: Final = 50


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


def free_ports(wanted: Iterable[tuple[int, str]], claims: ExitStack) -> list[int]:
    """Return a free port for each pair of port and flag, all different; 0 takes any.

    Those that were taken for 0 are no other stack's until ``claims`` is closed, although nobody listens on
    them: a part that is slow to start, or is started again, finds its port as it was.

    Raises:
        StackFault: when one is taken, or asked for twice.
    """
    # All are held until the last is found: else one port could be given to two parts, and the second would
    # die of it again and again.
    with ExitStack() as held:
        listeners = [
            held.enter_context(listen(LOOPBACK, port, flag) if port else listen_anywhere(claims))
            for port, flag in wanted
        ]
        return [int(listener.getsockname()[1]) for listener in listeners]


def listen_anywhere(claims: ExitStack | None = None) -> socket.socket:
    """Return a listening socket on a port that no outgoing connection will be given.

    The system takes those from 32768 up (Linux) or 49152 up (macOS). A part that is started again must find
    its port as it left it; ``claims`` keeps it when the socket is closed.
    """
    for port in random.sample(_QUIET_PORTS, _TRIES):
        with suppress(StackFault, OSError), ExitStack() as claimed:
            claimed.enter_context(_claim(port))
            listener = listen(LOOPBACK, port, "")
            if claims is not None:
                claims.push(claimed.pop_all())
            return listener
    return listen(LOOPBACK, 0, "")


def _claim(port: int) -> socket.socket:
    """Return what keeps other stacks from taking ``port``: the port of the same number that TCP does not use.

    Raises:
        OSError: another stack has claimed it.
    """
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind((LOOPBACK, port))
    except OSError:
        claim.close()
        raise
    return claim


def require_reachable(address: str) -> None:
    """Make sure that somebody listens at ``address``.

    Raises:
        StackFault: when nobody does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise StackFault(
            TEMPORAL_UNREACHABLE,
            f"{address!r} is no address of a Temporal server",
            "Give host and port, such as --temporal-address 127.0.0.1:7233.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
    except OSError as error:
        raise StackFault(
            TEMPORAL_UNREACHABLE,
            f"no Temporal server answers at {address}: {error}",
            "Start one there, correct --temporal-address, or leave it out to start the embedded one.",
        ) from error
