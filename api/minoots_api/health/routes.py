"""``/health``, ``/ready``, ``/metrics``."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import httpx
from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from minoots._version import __version__
from minoots_api.gateway import Gateway, Here
from minoots_api.principals import is_local, principal_of
from minoots_api.routing import Router
from minoots_platform.identity import Scope
from minoots_platform.telemetry import get_logger, merge_expositions, render_metrics
from minoots_platform.telemetry.exposition import CONTENT_TYPE

from .checks import OK, check

router = Router(tags=["health"])

_SCRAPE_PATIENCE: Final = 2.0
# Plain HTTP needs no authorities: to load them at every scrape of every worker held up all other requests.
_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Health(BaseModel):
    """The process lives."""

    status: str
    version: str


class Readiness(BaseModel):
    """Whether timers can be taken and fired, and what is missing."""

    ready: bool
    checks: dict[str, str]


@router.get("/health", response_model=Health)
async def health() -> Health:
    """Tell that the process lives."""
    return Health(status="alive", version=__version__)


@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness}})
async def ready(gateway: Here) -> Response:
    """Tell whether Temporal and the records answer and workers are polling."""
    states = await check(gateway)
    readiness = Readiness(ready=all(state == OK for state in states.values()), checks=states)
    status = 200 if readiness.ready else 503
    return Response(readiness.model_dump_json(), status, media_type="application/json")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, gateway: Here) -> Response:
    """Expose the metrics of this gateway and of the workers that the settings name, for Prometheus."""
    if not is_local(request):
        (await principal_of(request, gateway)).require(Scope.ADMIN)
    own = await asyncio.to_thread(render_metrics, gateway.telemetry)
    expositions: dict[str, str | bytes] = {"gateway": own}
    for number, url in enumerate(gateway.settings.telemetry.worker_metrics_urls):
        text = await _scraped(gateway, url)
        if text is not None:
            expositions[f"worker-{number}"] = text
    return Response(await asyncio.to_thread(merge_expositions, expositions), media_type=CONTENT_TYPE)


async def _scraped(gateway: Gateway, url: str) -> str | None:
    try:
        verify = _NOBODY if url.startswith("http://") else True
        async with httpx.AsyncClient(timeout=_SCRAPE_PATIENCE, trust_env=False, verify=verify) as client:
            return (await client.get(url)).raise_for_status().text
    except httpx.HTTPError as error:
        get_logger("minoots.gateway").warning(
            "metrics.worker_unreachable", url=url, error=type(error).__name__
        )
        return None
