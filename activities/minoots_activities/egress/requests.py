"""The first lines of what a program says to its proxy: CONNECT, or a plain HTTP request.

Owns reading and rewriting of one head. Opens nothing.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from minoots_platform.network_rules import plain

MOST_HEAD: Final = 32 * 1024
"""Bytes of a request's line and headers."""
_LINE: Final = re.compile(rb"([A-Z]{1,20}) (\S{1,8192}) HTTP/1\.([01])")
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\]")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOP: Final = frozenset(
    {"connection", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "upgrade"}
)


class BadRequest(Exception):
    """It is no request that the gate takes; the text says why."""


@dataclass(frozen=True)
class Asked:
    """What a program asks for.

    Attributes:
        head: what is sent on in its place; nothing for a tunnel.
        body: how many bytes come after it; ``None`` for a tunnel, which has no end of its own.
    """

    host: str
    port: int
    head: bytes = b""
    body: int | None = None


async def read(reader: asyncio.StreamReader) -> Asked:
    """Read one request.

    Raises:
        BadRequest: it is none, or too long.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        raise BadRequest(f"expected the head of an HTTP request of up to {MOST_HEAD} bytes") from None
    line, *fields = head[:-4].split(b"\r\n")
    found = _LINE.fullmatch(line)
    # What some servers take for the end of a line would hide a second Host, or another length, from us.
    broken = any(one in field for field in fields for one in (b"\r", b"\n", b"\x00"))
    if found is None or broken or any(field[:1] in b" \t" for field in fields):
        raise BadRequest("expected a request of HTTP/1.1")
    method, target = found[1], found[2].decode("latin-1")
    if method == b"CONNECT":
        return Asked(*_authority(target, None))
    return _plain(method, target, fields)


def _plain(method: bytes, target: str, fields: list[bytes]) -> Asked:
    try:
        parts = urlsplit(target)
    except ValueError:
        raise BadRequest("expected a URL of plain HTTP, such as http://example.org/") from None
    if parts.scheme != "http" or parts.username is not None:
        raise BadRequest("expected CONNECT, or a URL of plain HTTP without user, such as http://example.org/")
    host, port = _authority(parts.netloc, 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept, lengths = [], []
    for field in fields:
        name, separator, value = field.partition(b":")
        lower = name.decode("latin-1").lower()
        if not separator or _NAME.fullmatch(name) is None:
            raise BadRequest("expected headers as name: value")
        if lower == "transfer-encoding":
            # Its end would have to be understood here, or a second request could ride along unseen.
            raise BadRequest("expected a body with Content-Length; chunked ones are not taken")
        if lower == "content-length":
            lengths.append(value.strip())
        elif lower not in _HOP:
            kept.append(field)
    if len(set(lengths)) > 1 or any(not (one.isdigit() and len(one) < 16) for one in lengths):
        raise BadRequest("expected one Content-Length of digits")
    if lengths:
        kept.append(b"Content-Length: " + lengths[0])
    # One request a connection, and to the host that was judged, whatever the program's own header says.
    kept += [b"Host: " + parts.netloc.encode("latin-1"), b"Connection: close"]
    head = method + b" " + path.encode("latin-1") + b" HTTP/1.1\r\n" + b"\r\n".join(kept) + b"\r\n\r\n"
    return Asked(host, port, head, int(lengths[0]) if lengths else 0)


def _authority(text: str, port: int | None) -> tuple[str, int]:
    host, separator, digits = text.rpartition(":")
    if not separator or text.endswith("]"):
        host, digits = text, "" if port is None else str(port)
    if _HOST.fullmatch(host) is None or not (digits.isascii() and digits.isdigit() and len(digits) < 6):
        raise BadRequest("expected host and port, such as example.org:443")
    if not 0 < int(digits) < 65536:
        raise BadRequest("expected a port from 1 to 65535")
    return plain(host), int(digits)
