"""Putting the gateway together: routes, errors, middleware, around parts that the caller made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from minoots._version import __version__
from minoots_platform.records import tenants

from . import openapi, problems
from .agents import routes as agents
from .connectors import routes as connectors
from .deliveries import routes as deliveries
from .destinations import routes as destinations
from .docs import routes as docs
from .escalations import documents, heartbeats, links
from .escalations import routes as escalations
from .events import routes as events
from .events import socket
from .gateway import Gateway
from .health import routes as health
from .ingest import routes as ingest
from .jobs import artifacts
from .jobs import routes as jobs
from .jobs.artifacts import TOO_LARGE_CONTENT
from .middleware.body_limit import BodyLimit, Bound
from .middleware.context import RequestContext
from .models import routes as models
from .plans import routes as plans
from .principals import DEV_TENANT
from .routing import take_in
from .sandboxes import files as sandbox_files
from .sandboxes import routes as sandboxes
from .schedules import routes as schedules
from .secrets import routes as secrets
from .sessions import routes as sessions
from .sources import routes as sources
from .timers import routes as timers
from .timers import templates

_ROUTES = (
    timers,
    templates,
    schedules,
    plans,
    escalations,
    heartbeats,
    documents,
    links,
    agents,
    connectors,
    events,
    socket,
    deliveries,
    destinations,
    secrets,
    sessions,
    ingest,
    sources,
    jobs,
    artifacts,
    sandboxes,
    sandbox_files,
    models,
    health,
    docs,
)
DESCRIPTION = "Durable time for agents: timers that fire signed webhooks on time and survive anything."


def create_app(gateway: Gateway) -> FastAPI:
    """Return the application that serves ``gateway``."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if gateway.settings.gateway.allow_dev_tenant:
            async with gateway.database.write() as connection:
                await tenants.ensure(connection, DEV_TENANT, gateway.clock())
        yield
        await gateway.drain()
        await gateway.tailer.close()

    app = FastAPI(
        title="Minoots",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        middleware=_middleware(gateway),
    )
    app.state.gateway = gateway
    problems.install(app)
    take_in(app, (routes.router for routes in _ROUTES))
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def _middleware(gateway: Gateway) -> Sequence[Middleware]:
    layers = [Middleware(RequestContext, telemetry=gateway.telemetry)]
    if gateway.settings.gateway.cors_origins:
        layers.append(
            Middleware(
                CORSMiddleware,
                allow_origins=[str(origin).rstrip("/") for origin in gateway.settings.gateway.cors_origins],
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=[
                    "authorization",
                    "content-type",
                    "idempotency-key",
                    "if-match",
                    "last-event-id",
                ],
                expose_headers=["etag", "location", "x-request-id", "retry-after"],
            )
        )
    general, handed_in = gateway.settings.gateway.max_body_bytes, gateway.settings.jobs.max_artifact_bytes
    content = Bound(max(handed_in, general), TOO_LARGE_CONTENT)
    larger = {
        "/v1/ingest": Bound(
            gateway.settings.ingest.max_request_bytes,
            "Send fewer files in one request, or raise ingest.max_request_bytes.",
        ),
        "/v1/artifacts": content,
    }
    layers.append(
        Middleware(
            BodyLimit,
            most=Bound(general),
            larger=larger,
            larger_below={"/v1/sandboxes/": content},
        )
    )
    return layers
