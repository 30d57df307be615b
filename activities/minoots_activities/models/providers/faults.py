"""What HTTP and its statuses mean on the way to a model: the part that all wires share.

Owns the mapping to `ModelErrorKind`. What a provider says is shown in part and without secrets; for a refused
key not at all, because providers repeat it.
"""

from __future__ import annotations

import json
import re
from typing import Final

from minoots.contracts.models import ModelErrorKind
from minoots_platform.telemetry import redact_text
from minoots_workflows.models.failures import ModelFailure

_MOST: Final = 300
_CONTEXT: Final = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|prompt is too long|input length|too many tokens", re.I
)
_FILTER: Final = re.compile(r"content[ _-]?(policy|filter|management)|safety|moderation", re.I)
_FUNDS: Final = re.compile(r"insufficient[ _]?(quota|funds|balance)|credit balance|billing", re.I)

_KINDS: Final = {
    400: ModelErrorKind.INVALID,
    401: ModelErrorKind.UNAUTHENTICATED,
    402: ModelErrorKind.OUT_OF_FUNDS,
    403: ModelErrorKind.DENIED,
    404: ModelErrorKind.UNKNOWN_MODEL,
    408: ModelErrorKind.TIMEOUT,
    413: ModelErrorKind.CONTEXT_TOO_LONG,
    422: ModelErrorKind.INVALID,
    429: ModelErrorKind.RATE_LIMITED,
    503: ModelErrorKind.OVERLOADED,
    504: ModelErrorKind.TIMEOUT,
    529: ModelErrorKind.OVERLOADED,
}
_SILENT: Final = frozenset({ModelErrorKind.UNAUTHENTICATED, ModelErrorKind.DENIED})


def of_status(
    provider: str, status: int, said: str = "", code: str | None = None, retry_after: str | None = None
) -> ModelFailure:
    """Return the failure that an HTTP status is, with what the provider said of it."""
    about = f"{code or ''} {said}"
    kind = _KINDS.get(status)
    if kind is None:
        kind = ModelErrorKind.PROVIDER_FAULT if status >= 500 else ModelErrorKind.INVALID
    if kind is ModelErrorKind.INVALID and _CONTEXT.search(about):
        kind = ModelErrorKind.CONTEXT_TOO_LONG
    elif kind is ModelErrorKind.INVALID and _FUNDS.search(about):
        kind = ModelErrorKind.OUT_OF_FUNDS
    elif kind is ModelErrorKind.INVALID and _FILTER.search(about):
        kind = ModelErrorKind.FILTERED
    elif kind is ModelErrorKind.RATE_LIMITED and _FUNDS.search(about):
        kind = ModelErrorKind.OUT_OF_FUNDS
    elif kind is ModelErrorKind.PROVIDER_FAULT and _CONTEXT.search(about):
        kind = ModelErrorKind.CONTEXT_TOO_LONG
    told = "" if kind in _SILENT else shown(said)
    return ModelFailure(
        kind,
        f"{provider} answered {status}{': ' + told if told else ''}",
        retry_after=_seconds(retry_after),
        status=status,
    )


def of_transport(provider: str, error: Exception, *, reached: bool) -> ModelFailure:
    """Return the failure that a connection is which could not be made, or which ended.

    By the name of the error's class: the clients of the wires bring HTTP libraries of their own.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    told = f"{type(error).__name__}{': ' + shown(str(error)) if str(error) else ''}"
    if names & {"ConnectTimeout", "PoolTimeout"}:
        return ModelFailure(ModelErrorKind.UNREACHABLE, f"{provider} cannot be reached in time: {told}")
    if names & {"TimeoutException", "APITimeoutError", "TimeoutError"}:
        return ModelFailure(ModelErrorKind.TIMEOUT, f"{provider} did not answer in time: {told}")
    if reached:
        return ModelFailure(ModelErrorKind.BROKEN_STREAM, f"the answer of {provider} broke off: {told}")
    if names & {"ConnectError", "ConnectionError", "APIConnectionError", "UnsupportedProtocol", "ProxyError"}:
        return ModelFailure(ModelErrorKind.UNREACHABLE, f"{provider} cannot be reached: {told}")
    return ModelFailure(
        ModelErrorKind.PROVIDER_FAULT, f"{provider} ended the connection before it answered: {told}"
    )


def broken(provider: str, why: str) -> ModelFailure:
    """Return the failure of an answer that ended in the middle."""
    return ModelFailure(ModelErrorKind.BROKEN_STREAM, f"the answer of {provider} broke off: {shown(why)}")


def garbled(provider: str, why: str) -> ModelFailure:
    """Return the failure of an answer that is not what the wire says."""
    return ModelFailure(
        ModelErrorKind.BAD_ANSWER, f"expected an answer on the wire of {provider}; {shown(why)}"
    )


def shown(text: str) -> str:
    """Return what may be shown of something that a provider said."""
    return redact_text(" ".join(text.split()))[:_MOST]


def error_in(text: str) -> tuple[str, str | None]:
    """Return what a body says of an error, and its code."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text, None
    return error_of(body) if isinstance(body, dict) else (text, None)


def error_of(body: object) -> tuple[str, str | None]:
    """Return what a parsed body says of an error, and its code."""
    found = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(found, dict):
        code = found.get("code") or found.get("type")
        return str(found.get("message") or found), None if code is None else str(code)
    return str(found), None


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is None or 0 <= value < 86_400 else None
