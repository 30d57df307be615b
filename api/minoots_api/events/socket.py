"""``/v1/ws``: the log of a tenant over a WebSocket, with commands.

Messages are JSON objects with a ``type``. Each subscription reads the log at its own pace; what is written
waits for the socket, so a reader that takes nothing is cut and told where to resume, and holds nobody up.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Final

from fastapi import WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from minoots.contracts import FieldProblem, Problem
from minoots.contracts.base import check_json
from minoots.contracts.feeds import Authenticate, ClientMessage, Subscribe, parse_message
from minoots.contracts.wording import expected_and_got, findings, place
from minoots.errors import FAILURES, Failure, FailureKind
from minoots_api.gateway import Gateway
from minoots_api.principals import principal_of, principal_of_key
from minoots_api.routing import Router
from minoots_platform.identity import Principal, Scope
from minoots_platform.records import events
from minoots_platform.records.events import EventFilter

from .reading import LogReader
from .socket_commands import carry_out

router = Router()

MAX_SUBSCRIPTIONS: Final = 16
MAX_MESSAGE: Final = 64 * 1024
_PATIENCE: Final = 10.0
"""Seconds for the first message of somebody who sent no key in a header."""

_POLICY, _TOO_SLOW, _GOING = 1008, 1013, 1001


class _Cut(Exception):
    """The socket took nothing for longer than allowed."""


@router.websocket("/v1/ws")
async def feed(socket: WebSocket) -> None:
    """Serve one reader until it goes, is cut, or the gateway stops."""
    gateway: Gateway = socket.app.state.gateway
    await socket.accept()
    metrics = gateway.telemetry.metrics
    metrics.subscriber_joined()
    try:
        await _Session(gateway, socket).run()
    except WebSocketDisconnect:
        pass
    finally:
        metrics.subscriber_left()


class _Session:
    """One connection."""

    def __init__(self, gateway: Gateway, socket: WebSocket) -> None:
        self._gateway = gateway
        self._socket = socket
        self._writing = asyncio.Lock()
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._readers: dict[str, LogReader] = {}
        self._cut = asyncio.Event()

    async def run(self) -> None:
        """Let them in, then read messages until one side ends it."""
        principal = await self._let_in()
        if principal is None:
            return
        reading = asyncio.create_task(self._read(principal))
        ending = asyncio.create_task(self._gateway.key_watch.ended(principal))
        others = (self._gateway.stopping, self._cut)
        ends = [reading, ending, *(asyncio.create_task(one.wait()) for one in others)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._cut.is_set():
                await self._close("cut", _TOO_SLOW)
            elif self._gateway.stopping.is_set():
                await self._close("closing", _GOING)
            elif ending.done() and not reading.done():
                # Whatever is still to be done for them stays undone.
                await self._close("cut", _POLICY)
            if reading.done():
                reading.result()
        finally:
            for task in (*ends, *self._subscriptions.values()):
                task.cancel()
            await asyncio.gather(*ends, *self._subscriptions.values(), return_exceptions=True)

    async def _let_in(self) -> Principal | None:
        try:
            principal = await self._principal()
        except Failure as failure:
            with suppress(_Cut):
                await self._say("error", problem=_problem(failure))
            await self._socket.close(_POLICY)
            return None
        async with self._gateway.database.read() as connection:
            position = await events.last_sequence(connection, principal.tenant)
        await self._say("welcome", tenant=principal.tenant, position=position)
        return principal

    async def _principal(self) -> Principal:
        """Return who it is: by a header, by the first message, or because they are on this machine.

        Raises:
            Failure: unauthenticated.
        """
        headers = self._socket.headers
        if "authorization" in headers or "x-api-key" in headers:
            return await principal_of(self._socket, self._gateway)
        if self._gateway.settings.gateway.allow_dev_tenant:
            with suppress(Failure):
                return await principal_of(self._socket, self._gateway)
        try:
            async with asyncio.timeout(_PATIENCE):
                message = await self._receive()
        except TimeoutError:
            message = None
        if not isinstance(message, Authenticate):
            raise Failure(
                FailureKind.UNAUTHENTICATED,
                "the first message has to bring a key",
                remedy='Send {"type": "authenticate", "key": "mnt_…"}, or an Authorization header.',
            )
        return await principal_of_key(self._socket, self._gateway, message.key.get_secret_value())

    async def _read(self, principal: Principal) -> None:
        while True:
            try:
                message = await self._receive()
                await self._take(principal, message)
            except Failure as failure:
                await self._say("error", problem=_problem(failure))

    async def _take(self, principal: Principal, message: ClientMessage) -> None:
        match message.type:
            case "ping":
                await self._say("pong")
            case "subscribe":
                assert isinstance(message, Subscribe)  # noqa: S101 - told apart by its type
                principal.require(Scope.EVENTS_READ)
                await self._subscribe(principal, message)
            case "unsubscribe":
                task = self._subscriptions.pop(message.id, None)
                self._readers.pop(message.id, None)
                if task is not None:
                    task.cancel()
                await self._say("unsubscribed", id=message.id)
            case "authenticate":
                raise Failure(FailureKind.CONFLICT, "this connection has its key already")
            case _:
                try:
                    answer = await carry_out(self._gateway, principal, message)
                except Failure as failure:
                    await self._say("error", id=message.id, problem=_problem(failure))
                else:
                    await self._say("done", id=message.id, answer=answer)

    async def _subscribe(self, principal: Principal, asked: Subscribe) -> None:
        if asked.id in self._subscriptions:
            raise Failure(FailureKind.CONFLICT, f"there is a subscription {asked.id!r} already")
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise Failure(
                FailureKind.EXHAUSTED, f"a connection has at most {MAX_SUBSCRIPTIONS} subscriptions"
            )
        position = asked.after
        if position is None:
            async with self._gateway.database.read() as connection:
                position = await events.last_sequence(connection, principal.tenant)
        wanted = EventFilter(
            types=tuple(asked.types), subject=asked.subject, labels=tuple(asked.labels.items())
        )
        reader = LogReader(self._gateway, principal.tenant, position, wanted)
        await self._say("subscribed", id=asked.id, position=position)
        self._readers[asked.id] = reader
        self._subscriptions[asked.id] = asyncio.create_task(self._feed(asked.id, principal.tenant, reader))

    async def _feed(self, name: str, tenant: str, reader: LogReader) -> None:
        try:
            with self._gateway.tailer.following(tenant, reading=True) as following:
                while not self._gateway.stopping.is_set():
                    more = True
                    while more and not self._gateway.stopping.is_set():
                        before = reader.position
                        batch = await reader.next(following)
                        more = batch.more
                        if batch.lagged:
                            await self._say("lagged", id=name, position=before)
                        if batch.entries:
                            after, reader.position = reader.position, before
                            await self._send(_events(name, [entry.json for entry in batch.entries]))
                            reader.position = after
                    if not await reader.wait(following):
                        await self._say("alive", id=name, position=reader.position)
        except (_Cut, WebSocketDisconnect, RuntimeError):
            # RuntimeError: starlette's, for a socket that was closed meanwhile.
            self._cut.set()

    async def _receive(self) -> ClientMessage:
        """Return the next message.

        Raises:
            Failure: invalid, for what is none.
        """
        text = await self._socket.receive_text()
        if len(text) > MAX_MESSAGE:
            raise Failure(FailureKind.TOO_LARGE, f"a message has at most {MAX_MESSAGE} characters")
        try:
            value = json.loads(text)
            check_json(value, "message")
            return parse_message(value)
        except ValidationError as error:
            raise _invalid(error) from error
        except (ValueError, RecursionError) as error:
            raise Failure(FailureKind.INVALID, f"the message cannot be read: {error}"[:300]) from error

    async def _say(self, kind: str, **fields: Any) -> None:
        await self._send(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    async def _send(self, text: str) -> None:
        """Write one message.

        Raises:
            _Cut: when the socket takes nothing for too long.
        """
        patience = self._gateway.settings.gateway.stream_send_timeout
        async with self._writing:
            try:
                async with asyncio.timeout(patience):
                    await self._socket.send_text(text)
            except TimeoutError:
                self._cut.set()
                raise _Cut from None

    async def _close(self, kind: str, code: int) -> None:
        resume = {name: reader.position for name, reader in self._readers.items()}
        with suppress(_Cut, RuntimeError, WebSocketDisconnect, TimeoutError):
            await self._say(kind, resume_from=resume)
            async with asyncio.timeout(1):
                await self._socket.close(code)


def _events(name: str, entries: list[str]) -> str:
    # Put together as text: the entries are JSON already, made once for all readers.
    return f'{{"type":"events","id":{json.dumps(name)},"events":[{",".join(entries)}]}}'


def _invalid(error: ValidationError) -> Failure:
    problems = tuple(
        FieldProblem(field=".".join(["message", *place(item)]), expected=expected, got=got)
        for item in findings(error.errors(include_url=False))[:5]
        for expected, got in [expected_and_got(item)]
    )
    return Failure(FailureKind.INVALID, "the message is not valid", errors=problems)


def _problem(failure: Failure) -> dict[str, Any]:
    rule = FAILURES[failure.kind]
    problem = Problem(
        title=rule.title,
        status=rule.status,
        kind=failure.kind,
        detail=failure.detail,
        remedy=failure.remedy,
        errors=failure.errors,
    )
    return problem.model_dump(mode="json", exclude_none=True)
