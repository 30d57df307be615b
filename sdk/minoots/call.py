"""One request of the API as a value: what is sent, and what comes back.

Owns how arguments become paths, queries and bodies. Sends nothing: `operations` build, `flow` performs.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from .contracts.base import Part, View
from .contracts.problems import FieldProblem, Problem
from .contracts.wording import expected_and_got, findings, place
from .errors import FAILURES, FailureKind, InvalidRequest

ModelT = TypeVar("ModelT", bound=BaseModel)
PartT = TypeVar("PartT", bound=Part)
Pairs = tuple[tuple[str, str], ...]

KEY_HEADER: Final = "Idempotency-Key"
_HEADER_TEXT: Final = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class File:
    """A file that goes with a request."""

    name: str
    content: bytes
    media_type: str


class Raw(View):
    """An answer that is no JSON: the bytes as they are."""

    data: bytes


class Nothing(View):
    """An answer that says nothing but that it was done."""


@dataclass(frozen=True)
class Call(Generic[ModelT]):
    """One request, and the model of its answer."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    result: type[ModelT]
    query: Pairs = ()
    body: Mapping[str, Any] | None = None
    raw: bytes | None = None
    """Sent as it is, in place of ``body``."""
    files: tuple[File, ...] = ()
    """With any, the request is a form, and ``body`` its part ``about``."""
    headers: Pairs = ()
    idempotent: bool = True
    """Whether it may be sent again after a 500."""
    patience: float = 0.0
    """Seconds that the service may hold the answer back, on top of the client's timeout."""

    @property
    def content(self) -> bytes | None:
        """The body as it is sent: the same bytes for the same body."""
        if self.body is None:
            return self.raw
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()

    def with_query(self, **values: str) -> Call[ModelT]:
        """Return the same call with these query parameters put in or replaced."""
        kept = tuple(pair for pair in self.query if pair[0] not in values)
        return replace(self, query=kept + tuple(values.items()))


def get(path: str, result: type[ModelT], **query: object) -> Call[ModelT]:
    """Return a call that reads."""
    return Call("GET", path, result, query=pairs(query))


def post(
    path: str,
    result: type[ModelT],
    body: Mapping[str, Any] | None = None,
    *,
    idempotency_key: str | None = None,
    idempotent: bool = True,
) -> Call[ModelT]:
    """Return a call that does something once, however often it is sent."""
    return Call("POST", path, result, body=body, headers=key_header(idempotency_key), idempotent=idempotent)


def key_header(key: str | None) -> Pairs:
    """Return the ``Idempotency-Key`` header: ``key``, or a random one that all tries of the call share."""
    return ((KEY_HEADER, header_text("header.Idempotency-Key", key or secrets.token_hex(16))),)


def header_text(field: str, value: str) -> str:
    """Return ``value`` if it can stand in a header as it is.

    Raises:
        InvalidRequest: for spaces, line ends and anything that is not ASCII. A key read from a file with its
            line end would otherwise fail deep inside the HTTP library.
    """
    if not _HEADER_TEXT.fullmatch(value):
        raise invalid(
            field, "1 to 255 ASCII characters without spaces or line ends", f"{len(value)} characters"
        )
    return value


def path(template: str, **ids: str) -> str:
    """Return ``template`` with every id quoted, so that no id can reach another route.

    Raises:
        InvalidRequest: for an empty id and for ``.`` and ``..``, which URLs swallow.
    """
    for name, value in ids.items():
        if value in ("", ".", ".."):
            raise invalid(f"path.{name}", "an id", repr(value))
    return template.format(**{name: quote(value, safe="") for name, value in ids.items()})


def pairs(values: Mapping[str, object]) -> Pairs:
    """Return query parameters as text: no ``None``; mappings become ``name=key:value``, lists repeat."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            found += [(name, f"{key}:{item}") for key, item in value.items()]
        else:
            many = value if isinstance(value, list | tuple | set | frozenset) else (value,)
            found += [(name, one.isoformat() if isinstance(one, datetime) else str(one)) for one in many]
    return tuple(found)


def body_of(part: Part) -> dict[str, Any]:
    """Return what was set of ``part`` as JSON values.

    Defaults are left out: an older service refuses fields that it does not know.
    """
    return part.model_dump(mode="json", exclude_unset=True)


def checked(build: Callable[..., PartT], **values: Any) -> PartT:
    """Return ``build(**values)``.

    Raises:
        InvalidRequest: the error that the service would have answered, before anything is sent.
    """
    try:
        return build(**values)
    except ValidationError as error:
        raise invalid_fields(error) from error


def invalid_fields(error: ValidationError) -> InvalidRequest:
    """Return the error that the service would have answered for these fields."""
    return InvalidRequest(_problem(_fields(error)))


def invalid(field: str, expected: str, got: str) -> InvalidRequest:
    """Return the error for one argument that is not what was expected."""
    return InvalidRequest(_problem((FieldProblem(field=field, expected=expected, got=got),)))


def _problem(errors: tuple[FieldProblem, ...]) -> Problem:
    rule = FAILURES[FailureKind.INVALID]
    detail = "the arguments are not valid; nothing was sent"
    return Problem(
        title=rule.title, status=rule.status, kind=FailureKind.INVALID, detail=detail, errors=errors
    )


def _fields(error: ValidationError) -> tuple[FieldProblem, ...]:
    return tuple(
        FieldProblem(field=".".join(("body", *place(item))), expected=expected, got=got)
        for item in findings(error.errors(include_url=False))
        for expected, got in [expected_and_got(item)]
    )
