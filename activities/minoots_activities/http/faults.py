"""What can go wrong between us and a receiver, beyond what httpx already names.

Owns exception classes only. Each is an httpcore error, so that httpcore treats it as one, and an httpx error,
so that a transport may raise it. Their texts are shown to tenants: no addresses that a name resolved to (a
map of somebody's inner network), no headers, no bytes of the other side.
"""

from __future__ import annotations

import httpcore
import httpx


class NameNotFound(httpcore.ConnectError, httpx.ConnectError):
    """The host name has no address."""


class AddressRefused(httpcore.ConnectError, httpx.ConnectError):
    """The host is at an address that the settings do not allow."""


class Unreachable(httpcore.ConnectError, httpx.ConnectError):
    """No address of the host takes connections."""


class TLSFailed(httpcore.ConnectError, httpx.ConnectError):
    """The TLS handshake failed or the certificate is not good for the host."""


class AnswerTooLarge(httpcore.RemoteProtocolError, httpx.RemoteProtocolError):
    """The receiver sent more than is read of one answer, headers included."""


class ClosedUnanswered(httpcore.RemoteProtocolError, httpx.RemoteProtocolError):
    """The connection ended before one byte of an answer came.

    Attributes:
        kept: whether the connection had been open before this request.
    """

    kept: bool = False
