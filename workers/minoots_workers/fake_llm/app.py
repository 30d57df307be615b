"""The stand-in as an application: its wires, and what it has heard."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .anthropic import Anthropic
from .ollama import Ollama
from .openai import OpenAI
from .script import Playing, Script
from .speaking import Heard

_MOST: Final = 1000
"""Requests that are remembered."""


def create_app(script: Script | None = None) -> Starlette:
    """Return an application that plays a script; without one it echoes."""
    heard: deque[Heard] = deque(maxlen=_MOST)
    playing = Playing(script or Script())

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            heard.clear()
            return Response(status_code=204)
        return JSONResponse([asdict(one) for one in heard])

    async def alive(_: Request) -> Response:
        return PlainTextResponse("Ollama is running")

    async def no_json(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": f"the body is no JSON: {error}"}, status_code=400)

    return Starlette(
        routes=[
            Route("/", alive),
            Route("/fake/requests", requests, methods=["GET", "DELETE"]),
            *Ollama(playing, heard).routes(),
            *OpenAI(playing, heard).routes(),
            *Anthropic(playing, heard).routes(),
        ],
        exception_handlers={json.JSONDecodeError: no_json},
    )
