"""Programs of a sandbox and the network: through the gate, and not otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from shut_in import STRONG, Open, Try

from minoots.contracts.sandboxes import Limits, Tier
from minoots_activities.egress.gate import Attempt
from minoots_activities.sandboxes.tiers import Network, Tiers
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules

pytestmark = [pytest.mark.parametrize("tier", [*STRONG, Tier.VM]), pytest.mark.timeout(300)]

FETCH = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())
except Exception as error:
    print(error)
"""
STRAIGHT = """
import socket
try:
    socket.create_connection(("127.0.0.1", {port}), 2)
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
async def site() -> AsyncIterator[int]:
    """The port of a server of this machine that says hello."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def fetch(box: Try, url: str, **options: Any) -> str:
    """Fetch a page by what the tier has for it; return what was said."""
    if box.sandbox.tier in (Tier.CONTAINER, Tier.VM):
        return (await box.run("wget", "-q", "-O", "-", url, **options)).all
    return (await box.run("python3", "-c", FETCH, url, **options)).all


async def straight(box: Try, port: int) -> str:
    """Connect to a port of the loopback without the gate."""
    if box.sandbox.tier is Tier.VM:
        return (await box.sh(f"nc -w 2 127.0.0.1 {port} < /dev/null && echo connected")).out
    return (await box.python(STRAIGHT.format(port=port))).out


async def test_a_program_reaches_the_hosts_of_its_list_alone(
    open_sandbox: Open, tier: Tier, site: int, images: tuple[str, ...], vm_image: Path
) -> None:
    await open_sandbox(tier)
    heard: list[Attempt] = []
    host = f"127.0.0.1:{site}"

    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    network = Network(
        most=Rules.parse(["*", f"site.test:{site}"]),
        policy=AddressPolicy((ip_network("127.0.0.0/8"),)),
        resolver=resolve,
    )
    tiers = Tiers(vm_image=vm_image, network=network, images=images)
    async with AsyncExitStack() as stack:
        sandbox = await tiers.create(
            tier, "test", Limits(time="60s"), network=[f"site.test:{site}"], heard=heard.append
        )
        stack.push_async_callback(sandbox.destroy)
        box = Try(sandbox)
        assert (await fetch(box, f"http://site.test:{site}/")).strip() == "hello"
        for other in (
            f"http://other.test:{site}/",
            f"http://site.test:{site + 1}/",
        ):
            assert "403" in await fetch(box, other)
        # Around the gate there is nothing: not this machine's loopback, and no name.
        assert "connected" not in await straight(box, site)
        around = await fetch(box, f"http://{host}/", env={"http_proxy": "", "no_proxy": "*"})
        assert "hello" not in around
        assert [attempt.allowed for attempt in heard] == [True, False, False]
        assert sandbox.network is not None
        assert (sandbox.network.allowed, sandbox.network.refused) == (1, 2)


async def test_without_hosts_nothing_listens(open_sandbox: Open, tier: Tier) -> None:
    box = await open_sandbox(tier)
    said = await box.sh("env; cat /proc/net/tcp")
    assert "proxy" not in said.out.lower()
    assert len(said.out.partition("local_address")[2].splitlines()) == 1
    assert box.sandbox.network is None
