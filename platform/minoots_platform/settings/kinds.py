"""Kinds of values that settings hold beside plain numbers and text.

Owns the reading of one value and the wording of what was expected. Must not know where a value came from.
"""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr


class HasPassword:
    """Marks text that may hold a password (a database URL), so that it is masked wherever it is shown."""


HAS_PASSWORD: Final = HasPassword()


def _network(value: object) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        # ip_network also takes integers, and 1 would then allow 0.0.0.1/32 silently.
        if isinstance(value, str):
            return ip_network(value)
    except ValueError:
        pass
    raise ValueError('a network without host bits, such as "10.0.0.0/8" or "::1/128"')


def _master_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        if len(base64.b64decode(text.encode(), altchars=b"-_", validate=True)) == 32:
            return value
    except (binascii.Error, ValueError):
        pass
    raise ValueError("a Fernet key: 32 random bytes in URL-safe base64, 44 characters")


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return value
    except ValueError:
        pass
    raise ValueError('a URL with scheme and host, such as "https://minoots.example.com"')


def _records_url(value: str) -> str:
    if value.startswith(("sqlite:///", "postgresql+asyncpg://")):
        return value
    raise ValueError('"sqlite:///path" or "postgresql+asyncpg://user:password@host/database"')


def _address(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if separator and host and port.isdecimal() and 0 < int(port) < 65536:
        return value
    raise ValueError('host and port, such as "127.0.0.1:7233"')


def local_path(value: Path) -> Path:
    """Return a path with the home folder that it begins with.

    Raises:
        ValueError: it can be no path: it has a NUL in it, or begins with a home folder of nobody.
    """
    try:
        if "\0" not in str(value):
            return value.expanduser()
    except RuntimeError:
        raise ValueError(f"a path; {value.parts[0]} is nobody's home folder") from None
    raise ValueError("a path; a NUL can be in none")


def _told(value: str) -> str:
    if re.fullmatch(r"(agent|person|rotation):[a-z0-9][a-z0-9_-]{0,62}", value):
        return value
    raise ValueError('who is told, such as "person:ada", "rotation:on-call" or "agent:builder"')


_MCP_TOKEN: Final = re.compile(r"(\*|[a-z0-9][a-z0-9_-]{0,62}) (https?://[!-~]{1,2000}) ([!-~]{1,4096})")


def _mcp_token(value: SecretStr) -> SecretStr:
    if _MCP_TOKEN.fullmatch(value.get_secret_value()):
        return value
    raise ValueError("a tenant or *, the URL of an MCP server, and its token, with single spaces between")


Text = Annotated[str, Field(min_length=1, max_length=1024)]
Port = Annotated[int, Field(ge=0, le=65535)]
LocalPath = Annotated[Path, AfterValidator(local_path)]
HttpUrl = Annotated[str, Field(max_length=2048), AfterValidator(_http_url), HAS_PASSWORD]
RecordsUrl = Annotated[str, Field(max_length=2048), AfterValidator(_records_url), HAS_PASSWORD]
Address = Annotated[str, Field(max_length=512), AfterValidator(_address)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Told = Annotated[str, Field(max_length=80), AfterValidator(_told)]
McpToken = Annotated[SecretStr, AfterValidator(_mcp_token)]
MasterKey = Annotated[SecretStr, AfterValidator(_master_key)]
