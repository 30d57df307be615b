"""Bodies that are too large are refused while they arrive, with a problem like every other error."""

from __future__ import annotations

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minoots.contracts import FieldProblem
from minoots.errors import FailureKind
from minoots_api.problems import answer


class BodyLimit:
    """Counts the bytes of a request body, whether or not its length was announced."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced[:18]) > self._most:
            await self._refuse(request, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most:
                # An HTTPException is what the framework lets through while it reads a body.
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)

    async def _refuse(self, request: Request, receive: Receive, send: Send) -> None:
        problem = FieldProblem(field="body", expected=f"at most {self._most} bytes", got="more")
        response = answer(
            request,
            FailureKind.TOO_LARGE,
            f"the body is larger than {self._most} bytes",
            remedy="Send less, and large things by reference.",
            errors=[problem],
        )
        await response(request.scope, receive, send)
