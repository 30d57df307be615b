"""The router of every feature: routes that refuse query parameters which they do not have.

Owns how a route is made and taken into an application; it must not know what any route does.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection

from minoots.contracts import FieldProblem
from minoots.errors import Failure, FailureKind


class Route(APIRoute):
    """A route that knows what may be asked of it."""

    @cached_property
    def query_names(self) -> tuple[str, ...]:
        """The names of the query parameters that it takes, in order."""
        parameters = get_flat_params(self.dependant)
        return tuple(one.alias for one in parameters if isinstance(one.field_info, Query))


class Router(APIRouter):
    """The routes of one feature."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=Route, dependencies=[Depends(known_parameters)], **options)


def take_in(app: FastAPI, routers: Iterable[Router]) -> None:
    """Serve the routes of ``routers`` by ``app``, as they are.

    ``include_router`` would make each of them a second time for every application, at its first request:
    seconds of processor time, in which nobody is answered.
    """
    for router in routers:
        app.router.routes.extend(router.routes)


def known_parameters(request: HTTPConnection) -> None:
    """Refuse query parameters that the route does not have: a misspelt filter would match everything.

    Raises:
        Failure: invalid, naming the parameter.
    """
    route = request.scope.get("route")
    if not isinstance(route, Route):
        return
    known = route.query_names
    for name in request.query_params:
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "no query parameter here"
            problem = FieldProblem(field=f"query.{name[:60]}", expected=expected, got="an unknown parameter")
            raise Failure(
                FailureKind.INVALID,
                f"there is no query parameter {name[:60]!r} here",
                remedy="Correct its name or leave it out; /docs shows what each route takes.",
                errors=(problem,),
            )
