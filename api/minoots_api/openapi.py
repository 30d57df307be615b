"""Making the OpenAPI document honest: every problem that a route may answer with, and nothing else."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from minoots.contracts import Problem
from minoots.errors import FAILURES, FailureKind

from .problems import CONTENT_TYPE

_ALWAYS: Final = (
    FailureKind.INVALID,
    FailureKind.UNAUTHENTICATED,
    FailureKind.DENIED,
    FailureKind.UNAVAILABLE,
)
_OF_ONE: Final = (FailureKind.NOT_FOUND,)
_OF_WRITING: Final = (FailureKind.CONFLICT, FailureKind.STALE, FailureKind.TOO_LARGE)


_made: Final[dict[str, Any]] = {}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, made once: all applications of a process have the same routes."""
    if not _made:
        _made.update(_describe(app))
    return _made


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key, mnt_…"}
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _declare(path, method, operation)
    return document


def _declare(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    kinds = list(_ALWAYS) if path.startswith("/v1/") else [FailureKind.INVALID]
    if path == "/metrics":
        kinds += [FailureKind.UNAUTHENTICATED, FailureKind.DENIED, FailureKind.UNAVAILABLE]
    if "{" in path:
        kinds += _OF_ONE
    if method != "get":
        kinds += _OF_WRITING
    for kind in kinds:
        rule = FAILURES[kind]
        responses.setdefault(
            str(rule.status),
            {
                "description": rule.title,
                "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        )
    if path.startswith("/v1/"):
        operation["security"] = [{"key": []}, {}]
