"""Where the service is and how it is spoken to: address, key, timeouts.

Owns the constructor arguments of both clients. Builds requests; sends none.
"""

from __future__ import annotations

import os
import platform
import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, TypedDict

import httpx

from . import tracing
from ._version import __version__
from .call import Call, Pairs, header_text, invalid
from .errors import ConnectionFailed

DEFAULT_URL: Final = "http://127.0.0.1:4000"
DEFAULT_TIMEOUT: Final = 30.0
DEFAULT_RETRIES: Final = 3
CONNECT_TIMEOUT: Final = 5.0
"""A gateway that is there accepts within milliseconds; longer waits only hide that it is not."""

USER_AGENT: Final = f"minoots-python/{__version__} (Python {platform.python_version()})"


class Options(TypedDict, total=False):
    """What both clients take besides the base URL and the outbox."""

    api_key: str | None
    """Default: the variable ``MINOOTS_API_KEY``."""
    timeout: float
    """Seconds for one try of a call (30)."""
    retries: int
    """Further tries after the first one (3); 0 for none."""


@dataclass(frozen=True)
class Connection:
    """A checked address and how to speak to it."""

    base_url: str
    api_key: str | None = field(repr=False)
    timeout: float
    retries: int

    @classmethod
    def of(
        cls,
        base_url: str | None,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
    ) -> Connection:
        """Return the connection for a client's arguments and the environment.

        Raises:
            InvalidRequest: for a URL that is no http or https address, a key that fits no header, or a
                timeout or number of retries out of range.
        """
        url = (base_url or os.environ.get("MINOOTS_URL") or DEFAULT_URL).rstrip("/")
        _check_url(url)
        key = api_key or os.environ.get("MINOOTS_API_KEY") or None
        if key is not None:
            header_text("api_key", key)
        if not 0 < timeout <= 86_400:
            raise invalid("timeout", "seconds above 0, up to a day", repr(timeout))
        if retries < 0:
            raise invalid("retries", "0 or more", repr(retries))
        return cls(url, key, timeout, retries)

    @property
    def client_options(self) -> dict[str, Any]:
        """Arguments of the ``httpx`` client that belongs to this connection."""
        url = httpx.URL(self.base_url)
        options: dict[str, Any] = {"timeout": self.timeouts(0.0)}
        if _is_loopback(url.host):
            # A proxy from the environment cannot reach this machine's own loopback, so it is not asked there.
            options["trust_env"] = False
            if url.scheme == "http":
                # To load the authorities takes longer than most calls, and nobody asks for them.
                options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return options

    def request(self, call: Call[Any]) -> httpx.Request:
        """Return the request for ``call``, in the current trace."""
        headers = dict(self.headers)
        headers.update({"Accept": "application/json", **dict(tracing.current()), **dict(call.headers)})
        what: dict[str, Any] = {"content": call.content}
        if call.files:
            form = [("file", (file.name, file.content, file.media_type)) for file in call.files]
            what = {"data": {"about": (call.content or b"{}").decode()}, "files": form}
        elif call.body is not None:
            headers["Content-Type"] = "application/json"
        elif call.raw is not None:
            headers["Content-Type"] = "application/octet-stream"
        return httpx.Request(
            call.method,
            self.base_url + call.path,
            params=list(call.query),
            **what,
            headers=headers,
            extensions={"timeout": self.timeouts(call.patience).as_dict()},
        )

    def stream_request(
        self, path: str, query: Pairs, last_event_id: str | None, silence: float
    ) -> httpx.Request:
        """Return the request for a stream of events that may be silent for ``silence`` seconds."""
        headers = {**dict(self.headers), "Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        timeout = httpx.Timeout(silence, connect=min(CONNECT_TIMEOUT, self.timeout))
        return httpx.Request(
            "GET",
            self.base_url + path,
            params=list(query),
            headers=headers,
            extensions={"timeout": timeout.as_dict()},
        )

    def failed(self, error: httpx.TransportError, tries: int) -> ConnectionFailed:
        """Return the error for a service that could not be reached."""
        times = "1 try" if tries == 1 else f"{tries} tries"
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx.TimeoutException):
            reason = f"no answer in time ({type(error).__name__}, timeout {self.timeout:g} s)"
        return ConnectionFailed(
            f"expected Minoots at {self.base_url}; got no answer in {times}: {reason}\n"
            "  is `minoots dev` running? Start it, or name another address by MINOOTS_URL, base_url or --url"
        )

    def timeouts(self, patience: float) -> httpx.Timeout:
        """Return the timeouts of one try that the service may hold back for ``patience`` seconds."""
        return httpx.Timeout(self.timeout + patience, connect=min(CONNECT_TIMEOUT, self.timeout))

    @property
    def headers(self) -> Pairs:
        """Headers of every request."""
        own = (("User-Agent", USER_AGENT),)
        return own if self.api_key is None else (*own, ("Authorization", f"Bearer {self.api_key}"))


def _check_url(url: str) -> None:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise invalid(
            "base_url", f"an http or https address such as {DEFAULT_URL}; {error}", repr(url)
        ) from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise invalid("base_url", f"an http or https address such as {DEFAULT_URL}", repr(url))
    if parsed.userinfo:
        raise invalid(
            "base_url", "no user or password in the URL; give the key as api_key", "one with a user"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
