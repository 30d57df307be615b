"""What comes over the wires of providers, in bounds: a server of models is a stranger, too.

Owns how much of an answer is taken, what a line is, and what is JSON. Before, what a server said without an
end filled a worker's memory, and 200 KB that were compressed took 600 MB of it. Knows no wire.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import httpx
import httpx2

from .faults import garbled

MOST_LINE: Final = 4 * 1024 * 1024
"""Bytes of one line of a stream: pieces are small, and the arguments of a call have a megabyte."""
MOST_STREAM: Final = 256 * 1024 * 1024
"""Bytes of one stream: each word comes with some hundred bytes of its own."""
MOST_BODY: Final = 16 * 1024 * 1024
"""Bytes of an answer in one piece, such as a list of models."""
MOST_VECTORS: Final = 256 * 1024 * 1024
"""Bytes of an answer with vectors: two thousand of four thousand numbers each are 160 MB."""

PLAIN: Final = {"accept-encoding": "identity"}
"""What is asked for: what is compressed can become a thousand times as much."""


def hooks(provider: str) -> dict[str, list[Callable[[Any], Awaitable[None]]]]:
    """Return what a client of httpx or httpx2 does with every answer of a provider: it holds it in bounds."""

    async def bounded(answer: Any) -> None:
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            await answer.aclose()
            raise garbled(provider, "got an answer that is compressed, for which it was not asked")
        path = answer.request.url.path
        if path.endswith(("/embeddings", "/api/embed")):
            answer.stream = _Bounded(provider, answer.stream, MOST_VECTORS, None)
        elif answer.status_code == 200 and path.endswith(("/completions", "/messages", "/chat", "/pull")):
            answer.stream = _Bounded(provider, answer.stream, MOST_STREAM, MOST_LINE)
        else:
            answer.stream = _Bounded(provider, answer.stream, MOST_BODY, None)

    return {"response": [bounded]}


async def lines_of(answer: httpx.Response) -> AsyncIterator[str]:
    """Yield the lines of an answer. The client's own would end at whatever ends a line in a text, too."""
    rest = bytearray()
    async for piece in answer.aiter_bytes():
        rest += piece
        if b"\n" not in piece:
            continue
        *lines, last = bytes(rest).split(b"\n")
        rest[:] = last
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def parsed(text: str) -> Any:
    """Return what a text of JSON says.

    Raises:
        ValueError: it is none, or nests so deep that it cannot be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("expected JSON that nests less deep") from None


class _Bounded(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    """An answer that ends with an error where it is too much."""

    def __init__(self, provider: str, inner: Any, most: int, most_line: int | None) -> None:
        self._provider = provider
        self._inner = inner
        self._most = most
        self._most_line = most_line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = line = 0
        async for piece in self._inner:
            size += len(piece)
            last = piece.rfind(b"\n")
            line = line + len(piece) if last < 0 else len(piece) - last - 1
            if size > self._most:
                raise garbled(self._provider, f"got more than {self._most} bytes")
            if self._most_line is not None and line > self._most_line:
                raise garbled(self._provider, f"got a line of more than {self._most_line} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
