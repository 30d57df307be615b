"""Bodies that are too large are refused while they arrive, with a problem like every other error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minoots.contracts import FieldProblem
from minoots.errors import FailureKind
from minoots_api.problems import answer


@dataclass(frozen=True)
class Bound:
    """How large a body may be.

    Attributes:
        most: bytes.
        remedy: what to do about one that is larger.
    """

    most: int
    remedy: str = "Send less, and large things by reference: POST /v1/artifacts."


class BodyLimit:
    """Counts the bytes of a request body, whether or not its length was announced.

    Args:
        app: what is served.
        most: for a body.
        larger: for those to certain paths, which read no more of it than they have to.
        larger_below: for those that put something below certain paths, likewise.
    """

    def __init__(
        self, app: ASGIApp, most: Bound, larger: Mapping[str, Bound], larger_below: Mapping[str, Bound]
    ) -> None:
        self._larger_below = larger_below
        self._app = app
        self._most = most
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        bound = self._larger.get(scope["path"], self._most)
        if scope["method"] == "PUT":
            for prefix, larger in self._larger_below.items():
                bound = larger if scope["path"].startswith(prefix) else bound
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced[:18]) > bound.most:
            await self._refuse(request, bound, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > bound.most:
                # An HTTPException is what the framework lets through while it reads a body.
                raise HTTPException(413, bound.remedy)
            return message

        await self._app(scope, counted, send)

    async def _refuse(self, request: Request, bound: Bound, receive: Receive, send: Send) -> None:
        problem = FieldProblem(field="body", expected=f"at most {bound.most} bytes", got="more")
        response = answer(
            request,
            FailureKind.TOO_LARGE,
            f"the body is larger than {bound.most} bytes",
            remedy=bound.remedy,
            errors=[problem],
        )
        await response(request.scope, receive, send)
