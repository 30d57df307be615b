"""The routes of the gateway: what each takes, without asking the description of all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI

from minoots_api.app import create_app
from minoots_api.routing import Route
from minoots_platform.settings import Settings


def application() -> FastAPI:
    gateway: Any = SimpleNamespace(settings=Settings(), telemetry=None)
    return create_app(gateway)


def test_the_query_parameters_of_each_route_are_those_of_its_description() -> None:
    app = application()
    described = app.openapi()["paths"]
    seen = 0
    for route in app.routes:
        if not isinstance(route, Route) or not route.include_in_schema:
            continue
        for method in route.methods or ():
            parameters = described[route.path_format][method.lower()].get("parameters", ())
            names = [one["name"] for one in parameters if one["in"] == "query"]
            assert list(route.query_names) == names, (method, route.path_format)
            seen += len(names)
    assert seen > 50


def test_the_routes_are_the_same_objects_in_every_application() -> None:
    first, second = (
        {id(route) for route in app.routes if isinstance(route, Route)}
        for app in (application(), application())
    )
    assert first == second
    assert len(first) > 50
