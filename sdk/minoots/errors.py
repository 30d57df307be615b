"""Everything that can go wrong, as one closed set and one table.

`FAILURES` decides for each kind whether a retry may help, the HTTP status, who has to act and which exception
the SDK raises. The service raises `Failure`; the SDK raises the twin `APIError` class.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from .contracts.problems import FieldProblem, Problem


class FailureKind(StrEnum):
    """The closed set of kinds of failure."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    STALE = "stale"
    TOO_LARGE = "too_large"
    THROTTLED = "throttled"
    EXHAUSTED = "exhausted"
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    BUG = "bug"


class MinootsError(Exception):
    """Base of everything that Minoots raises on purpose."""


class ConnectionFailed(MinootsError):
    """The service could not be reached, or broke off before it answered."""


class WaitTimeout(MinootsError):
    """What was waited for did not happen in the time given."""


class APIError(MinootsError):
    """The service answered with a problem.

    Attributes:
        problem: the whole answer (RFC 9457).
        retry_after: seconds to wait before another try, where the service said so.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        self.problem = problem
        self.retry_after = retry_after
        super().__init__(_text(problem))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status


class InvalidRequest(APIError):
    """A field is not what was expected; ``problem.errors`` names it."""


class Unauthenticated(APIError):
    """No key, or one that is unknown, expired or revoked."""


class Denied(APIError):
    """The key lacks a scope."""


class NotFound(APIError):
    """No such thing, or not one of yours."""


class Conflict(APIError):
    """The thing is in a state that does not allow this."""


class Stale(APIError):
    """It changed since you looked (``If-Match``)."""


class TooLarge(APIError):
    """The body is larger than allowed."""


class Throttled(APIError):
    """Too much at once; wait ``retry_after`` seconds."""


class Exhausted(APIError):
    """A quota or budget is used up."""


class Cancelled(APIError):
    """The work was cancelled."""


class Unavailable(APIError):
    """The service cannot do it at the moment."""


class ServiceBug(APIError):
    """The service failed in a way it should not; report ``problem.request_id``."""


@dataclass(frozen=True)
class FailureRule:
    """One row of the table."""

    status: int
    retry: bool
    """Whether the same request may succeed later without anybody changing it."""
    acts: Literal["caller", "operator", "maintainers"]
    title: str
    error: type[APIError]


FAILURES: Final[dict[FailureKind, FailureRule]] = {
    FailureKind.INVALID: FailureRule(422, False, "caller", "The request is not valid", InvalidRequest),
    FailureKind.UNAUTHENTICATED: FailureRule(
        401, False, "caller", "A valid API key is needed", Unauthenticated
    ),
    FailureKind.DENIED: FailureRule(403, False, "caller", "The key does not allow this", Denied),
    FailureKind.NOT_FOUND: FailureRule(404, False, "caller", "Not found", NotFound),
    FailureKind.CONFLICT: FailureRule(409, False, "caller", "The state does not allow this", Conflict),
    FailureKind.STALE: FailureRule(412, False, "caller", "It has changed in the meantime", Stale),
    FailureKind.TOO_LARGE: FailureRule(413, False, "caller", "The body is too large", TooLarge),
    FailureKind.THROTTLED: FailureRule(429, True, "caller", "Too many requests", Throttled),
    FailureKind.EXHAUSTED: FailureRule(402, False, "caller", "A quota is used up", Exhausted),
    FailureKind.CANCELLED: FailureRule(410, False, "caller", "It was cancelled", Cancelled),
    FailureKind.UNAVAILABLE: FailureRule(503, True, "operator", "Not available at the moment", Unavailable),
    FailureKind.BUG: FailureRule(500, True, "maintainers", "A defect in Minoots", ServiceBug),
}


class Failure(MinootsError):
    """Raised inside the service: a kind, what is wrong, and what to do about it."""

    def __init__(
        self,
        kind: FailureKind,
        detail: str,
        *,
        remedy: str | None = None,
        errors: tuple[FieldProblem, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.remedy = remedy
        self.errors = errors
        self.retry_after = retry_after
        """Seconds after which another try may do, where that is known."""


def _text(problem: Problem) -> str:
    lines = [f"{problem.status} {problem.kind}: {problem.detail}"]
    lines += [f"  {error.field}: expected {error.expected}; got {error.got}" for error in problem.errors]
    if problem.remedy:
        lines.append(f"  {problem.remedy}")
    return "\n".join(lines)
