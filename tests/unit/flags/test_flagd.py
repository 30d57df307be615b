"""Flags from a remote source: a server that speaks flagd's own protocol, over a real connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import grpc
import pytest
from openfeature.schemas.protobuf.flagd.evaluation.v2 import evaluation_pb2, evaluation_pb2_grpc

from minoots_platform.flags import TIMERS_ACCEPT, Flags
from minoots_platform.settings import Settings, with_overrides


class Flagd(evaluation_pb2_grpc.ServiceServicer):
    """Answers one flag, for one tenant otherwise than for the rest."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.closing = Event()

    def ResolveBoolean(self, request: Any, context: Any) -> Any:
        tenant = request.context.fields["tenant"].string_value
        self.asked.append((request.flag_key, tenant))
        closed = tenant == "closed"
        return evaluation_pb2.ResolveBooleanResponse(
            value=not closed, reason="TARGETING_MATCH", variant="off" if closed else "on"
        )

    def EventStream(self, request: Any, context: Any) -> Iterator[Any]:
        yield evaluation_pb2.EventStreamResponse(type="provider_ready")
        self.closing.wait(60)


@pytest.fixture
def flagd() -> Iterator[tuple[Flagd, int]]:
    """A server on loopback, and its port."""
    service = Flagd()
    server = grpc.server(ThreadPoolExecutor(4))
    evaluation_pb2_grpc.add_ServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    before = set(threading.enumerate())
    yield service, port
    service.closing.set()
    server.stop(grace=1).wait()
    # The client's own threads end a little later; what they say at that must not fall on another test.
    for thread in set(threading.enumerate()) - before:
        if "(_run)" in thread.name:
            thread.join(5)


async def test_a_remote_source_decides_for_each_tenant(flagd: tuple[Flagd, int]) -> None:
    service, port = flagd
    settings = with_overrides(
        Settings(), {"environment": "dev", "flags": {"provider": "flagd", "host": "127.0.0.1", "port": port}}
    )
    with Flags(settings) as flags:
        # The provider connects in the background; until then the default holds.
        async with asyncio.timeout(30):
            while await flags.timers_accepted("closed"):
                await asyncio.sleep(0.05)
        assert await flags.timers_accepted("open")
    assert (TIMERS_ACCEPT, "open") in service.asked
