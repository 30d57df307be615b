"""What can go wrong between us and a receiver, beyond what httpx already names.

Owns exception classes, and what each is called. Each is an httpcore error, so that httpcore treats it as
one, and an httpx error, so that a transport may raise it. Their texts are shown to tenants: no addresses that
a name resolved to (a map of somebody's inner network), no headers, no bytes of the other side.
"""

from __future__ import annotations

import httpcore
import httpx

from minoots.contracts import AttemptError


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


def explain(error: httpx.TransportError | httpx.InvalidURL | UnicodeError) -> tuple[AttemptError, str]:
    """Return what an error is called in attempts, and what is said of it."""
    match error:
        case NameNotFound():
            return AttemptError.DNS, str(error)
        case AddressRefused():
            return AttemptError.BLOCKED, str(error)
        case TLSFailed():
            return AttemptError.TLS, str(error)
        case Unreachable():
            return AttemptError.CONNECT, str(error)
        case ClosedUnanswered() | AnswerTooLarge():
            return AttemptError.PROTOCOL, str(error)
        case httpx.InvalidURL():
            return AttemptError.DNS, "the url names no host that can be resolved"
        case httpx.ConnectError():
            return AttemptError.CONNECT, "the connection failed"
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol() | UnicodeError():
            return AttemptError.PROTOCOL, "the url or a header cannot be written as HTTP/1.1"
        case httpx.RemoteProtocolError():
            return AttemptError.PROTOCOL, "the answer is not HTTP/1.1"
        case _:
            return AttemptError.PROTOCOL, "the receiver broke the connection off"
