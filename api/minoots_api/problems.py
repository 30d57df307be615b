"""Errors as RFC 9457 problem details: what was wrong, where, what was expected, what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from minoots.contracts import FieldProblem, Problem
from minoots.contracts.wording import expected_and_got, findings, place
from minoots.errors import FAILURES, Failure, FailureKind
from minoots_platform.telemetry import get_logger, redact_text

CONTENT_TYPE: Final = "application/problem+json"

THROTTLED: Final[dict[int | str, dict[str, Any]]] = {
    429: {
        "description": "Too much is under way or waits",
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""For the description of routes that may say so."""
_KIND_OF_STATUS: Final = {rule.status: kind for kind, rule in FAILURES.items()} | {
    400: FailureKind.INVALID,
    405: FailureKind.INVALID,
    415: FailureKind.INVALID,
}
_TITLES: Final = {
    405: "The method is not possible here",
    415: "The body is of a kind that is not read here",
}
_SHOWN: Final = 100
_MOST_ERRORS: Final = 20
"""An answer must not be many times as large as the request that it refuses."""
_NAMED: Final = re.compile(r"^(?:a key in )?(body(?:\.[^ ]+)?) (?:holds|is) ")


def answer(
    request: Request,
    kind: FailureKind,
    detail: str,
    *,
    remedy: str | None = None,
    errors: Sequence[FieldProblem] = (),
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response for a failure."""
    rule = FAILURES[kind]
    problem = Problem(
        title=_TITLES.get(status or rule.status, rule.title),
        status=status or rule.status,
        kind=kind,
        detail=detail,
        remedy=remedy,
        errors=tuple(errors),
        request_id=request.scope.get("request_id"),
    )
    extra = dict(headers or {})
    if kind is FailureKind.UNAUTHENTICATED:
        extra["www-authenticate"] = 'Bearer realm="minoots"'
    if kind in (FailureKind.UNAVAILABLE, FailureKind.THROTTLED):
        extra.setdefault("retry-after", "1")
    return Response(problem.model_dump_json(exclude_none=True), problem.status, extra, CONTENT_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""
    app.add_exception_handler(Failure, _on_failure)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(sa.exc.DBAPIError, _on_database)
    app.add_exception_handler(sa.exc.TimeoutError, _on_database)
    app.add_exception_handler(ConnectionError, _on_database)
    app.add_exception_handler(RecursionError, _on_recursion)
    app.add_exception_handler(Exception, _on_bug)


async def _on_failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)  # noqa: S101 - registered for nothing else
    headers = None if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return answer(
        request, error.kind, error.detail, remedy=error.remedy, errors=error.errors, headers=headers
    )


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    errors = [_field_problem(item) for item in findings(error.errors())]
    left_out = len(errors) - _MOST_ERRORS
    errors = errors[:_MOST_ERRORS]
    names = ", ".join(dict.fromkeys(item.field for item in errors))
    if left_out > 0:
        names += f" and {left_out} more"
    return answer(
        request,
        FailureKind.INVALID,
        f"the request is not valid: {names}",
        remedy="Correct the fields named in errors; /docs shows what each takes.",
        errors=errors,
    )


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    kind = _KIND_OF_STATUS.get(error.status_code, FailureKind.INVALID)
    detail, remedy, status = str(error.detail), None, error.status_code
    errors: tuple[FieldProblem, ...] = ()
    headers = error.headers
    match status:
        case 404:
            detail = f"there is nothing at {request.url.path[:_SHOWN]}"
            remedy = "/docs lists every route."
        case 405:
            detail = f"{request.method} is not possible at {request.url.path[:_SHOWN]}"
            allowed = ", ".join(_methods(request)) or "GET"
            headers = {"allow": allowed}
            remedy = f"Possible here: {allowed}."
        case 400:
            detail, status = "the body cannot be read", 422
            remedy = "Send JSON in UTF-8 with Content-Type: application/json."
            expected = "JSON in UTF-8, nested at most 64 levels deep"
            errors = (FieldProblem(field="body", expected=expected, got="something else"),)
        case 413:
            # Whoever refuses it says what to do about it: see `BodyLimit`.
            detail, remedy = "the body is too large", detail
            errors = (FieldProblem(field="body", expected="fewer bytes", got="more than allowed"),)
    return answer(request, kind, detail, remedy=remedy, errors=errors, status=status, headers=headers)


def _methods(request: Request) -> list[str]:
    """Return every method of the path; the framework names only those of the first route that it finds."""
    return sorted(
        {
            method
            for route in request.app.routes
            if isinstance(route, APIRoute) and route.path_regex.match(request.url.path)
            for method in route.methods or ()
        }
    )


async def _on_database(request: Request, error: Exception) -> Response:
    get_logger("minoots.gateway").error("records.failed", error=redact_text(str(error))[:500])
    if isinstance(error, sa.exc.DataError | sa.exc.IntegrityError | sa.exc.ProgrammingError):
        return await _on_bug(request, error)
    return answer(
        request,
        FailureKind.UNAVAILABLE,
        "the records cannot be reached at the moment; nothing was changed",
        remedy="Try again; GET /ready shows what is missing.",
    )


async def _on_recursion(request: Request, _: Exception) -> Response:
    problem = FieldProblem(field="body", expected="JSON of at most 64 levels", got="deeper nesting")
    return answer(
        request, FailureKind.INVALID, "the body is nested too deeply", remedy="Flatten it.", errors=[problem]
    )


async def _on_bug(request: Request, error: Exception) -> Response:
    get_logger("minoots.gateway").error(
        "request.failed", error=type(error).__name__, path=request.url.path, exc_info=error
    )
    return answer(
        request,
        FailureKind.BUG,
        "the gateway failed in a way it should not",
        remedy="Report it with the request_id; the log has the rest.",
    )


def _field_problem(item: Mapping[str, Any]) -> FieldProblem:
    location = place(item)
    kind = item["type"]
    message = str(item["msg"]).removeprefix("Value error, ")
    if kind == "json_invalid":
        context = item.get("ctx", {}).get("error", "")
        return FieldProblem(
            field="body", expected="valid JSON", got=f"text that is not JSON: {context}"[:_SHOWN]
        )
    expected, got = expected_and_got(item)
    if named := _NAMED.match(message):
        # Found while looking through the whole body: the text knows the place better than the location.
        location, got = [named[1]], "a value that cannot be kept"
    return FieldProblem(
        field=".".join(location) or "body", expected=expected[:500], got=redact_text(got)[:_SHOWN]
    )
