"""Names to addresses, once for each connection.

Owns the resolver. Judges nothing and keeps nothing: an answer that was kept could be older than the check.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses as text, best first; raises ``OSError`` or ``UnicodeError`` when there are
none."""

_THREADS: Final = 32


class SystemResolver:
    """The resolver of the operating system (hosts file, DNS, and whatever else it is set up to ask)."""

    def __init__(self) -> None:
        # Threads of its own: asyncio's few default ones would all hang on one dead name server,
        # and every other delivery with them.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="minoots-names")

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """Return the addresses of ``host``, each once, in the order of RFC 6724."""
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
        return tuple(dict.fromkeys(answer))

    def close(self) -> None:
        """Start no more look-ups. Does not wait for those under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(address[0]) for *_, address in found]
