"""RFC 9457 problem details, as every error answer of the service carries them."""

from __future__ import annotations

from .base import View


class FieldProblem(View):
    """One field at fault."""

    field: str
    """Path in the request, such as ``body.actions.0.url`` or ``header.If-Match``."""
    expected: str
    got: str


class Problem(View):
    """Why a request was refused and what to do about it."""

    type: str = "about:blank"
    title: str
    status: int
    kind: str
    """A `minoots.errors.FailureKind`."""
    detail: str
    remedy: str | None = None
    errors: tuple[FieldProblem, ...] = ()
    request_id: str | None = None
