"""``/docs``, the files it is made of, and the description of every route that it shows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from minoots_api.routing import Router

router = Router(include_in_schema=False)

_STATIC: Final = Path(__file__).parent / "static"


@router.get("/")
async def root() -> Response:
    """Lead people to the page."""
    return RedirectResponse("/docs")


@router.get("/openapi.json")
async def description(request: Request) -> Response:
    """Serve the OpenAPI document."""
    # Made when it is first asked for: that takes a second, in which others are answered as well.
    kept = request.app.state
    if not hasattr(kept, "openapi"):
        kept.openapi = await asyncio.to_thread(lambda: json.dumps(request.app.openapi()).encode())
    return Response(kept.openapi, media_type="application/json")


@router.get("/docs")
async def page() -> Response:
    """Show every route, with an example for each."""
    return FileResponse(_STATIC / "docs.html", media_type="text/html")


@router.get("/docs/docs.js")
async def script() -> Response:
    """Serve the page's script."""
    return FileResponse(_STATIC / "docs.js", media_type="text/javascript")


@router.get("/docs/docs.css")
async def style() -> Response:
    """Serve the page's style."""
    return FileResponse(_STATIC / "docs.css", media_type="text/css")
