"""A server of models that means harm, or is broken: it takes little of a worker."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from model_servers import WIRES, Opening, asked, caller, entry, pieces_of, routing, streamed

from minoots.contracts.models import MAX_TEXT, ModelErrorKind
from minoots_activities.models.answering import Answering
from minoots_activities.models.providers.provider import Text, ToolPart
from minoots_activities.models.providers.wire import MOST_LINE, parsed
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

BAD = ModelErrorKind.BAD_ANSWER
LINES = ("ollama", "compatible", "openai")
DEEP = "[" * 100_000 + "]" * 100_000


class Raw:
    """A server that answers each request with the bytes that it was given, and counts what it could send."""

    def __init__(self, head: str, body: Iterable[bytes]) -> None:
        self.head = head
        self.body = body
        self.asked: list[str] = []
        self.sent = 0
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            for field in head.lower().split("\r\n"):
                if field.startswith("content-length:"):
                    await reader.readexactly(int(field.partition(":")[2]))
            self.asked.append(head.partition("\r\n")[0])
            writer.write(f"HTTP/1.1 {self.head}\r\nConnection: close\r\n\r\n".encode())
            for piece in self.body:
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
        except (ConnectionError, asyncio.IncompleteReadError):
            # Whoever asked has had enough.
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw(head: str, body: Iterable[bytes] = ()) -> AsyncIterator[Raw]:
    """Serve bytes."""
    found = Raw(head, body)
    server = await asyncio.start_server(found.take, "127.0.0.1", 0)
    async with server:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield found


def answer(wire: str, message: dict[str, Any]) -> bytes:
    """A whole answer, in UTF-8 as it is."""
    if wire == "ollama":
        return json.dumps({"message": message, "done": True}, ensure_ascii=False).encode() + b"\n"
    chunk = {"choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\ndata: [DONE]\n\n"


async def failure_of(opening: Opening, wire: str, server: Raw) -> ModelFailure:
    """Why a provider gives no answer."""
    async with opening(wire, server.url) as provider:
        with pytest.raises(ModelFailure) as failed:
            await pieces_of(provider, asked())
    return failed.value


@pytest.mark.parametrize("wire", LINES)
async def test_what_ends_a_line_in_a_text_ends_none_of_the_wire(opening: Opening, wire: str) -> None:
    words = "a\u2028b\u0085c\u2029d\x7f"
    async with (
        raw("200 OK", [answer(wire, {"content": words})]) as server,
        opening(wire, server.url) as provider,
    ):
        pieces = await pieces_of(provider, asked())
    assert [piece.text for piece in pieces if isinstance(piece, Text)] == [words]


@pytest.mark.parametrize("wire", WIRES)
async def test_a_line_without_an_end_is_not_kept(opening: Opening, wire: str) -> None:
    piece = b"x" * 65_536
    async with raw("200 OK\r\nContent-Type: text/event-stream", [b"data: ", *[piece] * 1600]) as server:
        failure = await failure_of(opening, wire, server)
        assert (failure.kind, str(MOST_LINE) in failure.detail) == (BAD, True), failure
    # What was on its way when the line became too long is in buffers of the machine.
    assert server.sent < 64 * 1024 * 1024


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_that_is_compressed_is_not_unpacked(opening: Opening, wire: str) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(b"data: " + b"x" * 100_000_000) + packer.flush()
    async with raw("200 OK\r\nContent-Encoding: gzip", [packed]) as server:
        failure = await failure_of(opening, wire, server)
    assert (failure.kind, "compressed" in failure.detail) == (BAD, True), failure


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_answer_sends_words_to_another_server(opening: Opening, wire: str, status: int) -> None:
    async with (
        raw("200 OK", [answer(wire, {"content": "mine"})]) as other,
        raw(f"{status} go on\r\nLocation: {other.url}/v1") as server,
    ):
        failure = await failure_of(opening, wire, server)
        assert str(status) in failure.detail, failure
        assert (len(server.asked), other.asked) == (1, [])


@pytest.mark.parametrize("wire", ["ollama", "compatible"])
@pytest.mark.parametrize("status", ["200 OK", "500 no"])
async def test_lists_and_errors_have_an_end_and_a_depth(
    database: Database, telemetry: Telemetry, wire: str, status: str
) -> None:
    deep = f'{{"models": {DEEP}, "data": {DEEP}, "error": {DEEP}}}'.encode()
    for body in ([deep], [b" " * 65_536] * 1600):
        async with (
            raw(status, body) as server,
            routing(database, telemetry, providers=[entry(wire, server.url)]) as opened,
        ):
            with pytest.raises(ModelFailure):
                await streamed(opened, asked(model="fake"), caller())
            # Whoever looks every now and then goes on with the next one.
            await opened.shelf.look()


@pytest.mark.parametrize("wire", ["ollama", "compatible"])
async def test_arguments_that_nest_too_deep_come_back_to_the_model(opening: Opening, wire: str) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "boil", "arguments": DEEP}}
    answering = Answering(1)
    async with (
        raw("200 OK", [answer(wire, {"tool_calls": [call]})]) as server,
        opening(wire, server.url) as provider,
    ):
        for piece in await pieces_of(provider, asked()):
            answering.take(piece)
    [found] = answering.tool_calls()
    assert (found.arguments, found.malformed) == ({}, DEEP)
    with pytest.raises(ValueError, match="deep"):
        parsed(DEEP)


def test_an_answer_holds_so_much_and_no_more() -> None:
    answering = Answering(1)
    for _ in range(8):
        answering.take(Text("x" * (MAX_TEXT // 8)))
    with pytest.raises(ModelFailure) as failed:
        answering.take(Text("x"))
    assert failed.value.kind is BAD
    answering = Answering(1)
    for index in range(1024):
        answering.take(ToolPart(index, "{}", f"c{index}", "boil"))
    with pytest.raises(ModelFailure) as failed:
        answering.take(ToolPart(1024, "{}", "more", "boil"))
    assert failed.value.kind is BAD


@pytest.mark.parametrize("ids", [("call_1_1", None), ("call_1_2", "a", "a"), ("call_1_1", "call_1_1", "")])
def test_two_calls_have_two_ids_also_where_one_looks_like_ours(ids: tuple[str | None, ...]) -> None:
    answering = Answering(1)
    for index, told in enumerate(ids):
        answering.take(ToolPart(index, "{}", told, "boil"))
    found = [call.id for call in answering.tool_calls()]
    assert len(set(found)) == len(ids), found
