"""What an answer means: a result, or the exception that is the twin of its problem.

Owns reading answers. Knows nothing of retries or of how the answer was fetched.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import httpx
from pydantic import ValidationError

from .call import Call, ModelT, Raw
from .contracts.problems import Problem
from .errors import FAILURES, APIError, FailureKind, ServiceBug
from .retrying import retry_after

_KIND_OF_STATUS: Final = {rule.status: kind for kind, rule in FAILURES.items()}
_GATEWAYS: Final = frozenset({502, 504})


def read(call: Call[ModelT], response: httpx.Response) -> ModelT:
    """Return the result of ``call``.

    Raises:
        APIError: its twin class, for every answer that is not 2xx.
        ServiceBug: for a 2xx answer that is not the model that was expected.
    """
    if not response.is_success:
        raise error_of(response)
    if issubclass(call.result, Raw):
        return call.result(data=response.content)
    try:
        return call.result.model_validate_json(response.content or b"{}")
    except ValidationError as error:
        detail = (
            f"expected {call.result.__name__} from {call.method} {response.url.copy_with(query=None)}; "
            f"got {_excerpt(response)} ({error.error_count()} differences, first: {error.errors()[0]['msg']})"
        )
        raise bug(detail, response.status_code) from error


def error_of(response: httpx.Response) -> APIError:
    """Return the exception for an answer that is not 2xx; its body must have been read."""
    wait = retry_after(response.headers.get("retry-after"))
    problem = _problem(response)
    try:
        kind = FailureKind(problem.kind)
    except ValueError:
        # A newer service may know kinds that this client does not; the status still says enough.
        kind = _kind_of(problem.status)
    return FAILURES[kind].error(problem, wait)


def bug(detail: str, status: int) -> ServiceBug:
    """Return the error for an answer that breaks the contract."""
    remedy = "check that the base URL points at Minoots and that client and service have matching versions"
    return ServiceBug(
        Problem(
            title=FAILURES[FailureKind.BUG].title,
            status=status,
            kind=FailureKind.BUG,
            detail=detail,
            remedy=remedy,
        )
    )


def _problem(response: httpx.Response) -> Problem:
    if response.headers.get("content-type", "").partition(";")[0].strip() == "application/problem+json":
        try:
            return Problem.model_validate_json(response.content)
        except ValidationError:
            pass  # Fall through: a body that only claims to be a problem is shown like any other.
    status = response.status_code
    kind = _kind_of(status)
    return Problem(
        title=FAILURES[kind].title,
        status=status,
        kind=kind,
        detail=f"expected an answer of Minoots from {response.url.copy_with(query=None)}; "
        f"got {status} {_phrase(status)} with {_excerpt(response)}",
        remedy="check that the base URL points at Minoots, and what stands between",
        request_id=response.headers.get("x-request-id"),
    )


def _kind_of(status: int) -> FailureKind:
    if status in _KIND_OF_STATUS:
        return _KIND_OF_STATUS[status]
    if status in _GATEWAYS:
        return FailureKind.UNAVAILABLE
    return FailureKind.INVALID if 400 <= status < 500 else FailureKind.BUG


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no known status)"


def _excerpt(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "no content type")
    text = response.text
    return f"{kind}: {text[:120]!r}{'…' if len(text) > 120 else ''}" if text else f"{kind} and no body"
