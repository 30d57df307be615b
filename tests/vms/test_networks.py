"""Programs of a real machine and the network: much of it, at once, and no more than the gate lets through."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from minoots.contracts.sandboxes import Limits
from minoots_activities.egress.gate import Attempt, Bounds, Gate
from minoots_activities.sandboxes.port import Ended, Program, Sandbox
from minoots_activities.vms.machines import Machines
from minoots_activities.vms.starting import Qemu
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules

pytestmark = pytest.mark.timeout(300)

LARGE = os.urandom(2_000_000)
DEADLINE = 120.0


@pytest.fixture
async def site() -> AsyncIterator[int]:
    """The port of a server that gives much, and tells the hash of what it is given."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            body = LARGE
            if head.startswith(b"PUT"):
                body = hashlib.sha256(await reader.readexactly(len(LARGE))).hexdigest().encode()
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def machine(image: Path, site: int) -> AsyncIterator[tuple[Sandbox, list[Attempt]]]:
    """A machine that may reach the site, and what was tried."""
    heard: list[Attempt] = []

    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    machine = await Machines(Qemu(image)).create("network", Limits(memory_mb=64, disk_mb=16))
    policy = AddressPolicy((ip_network("127.0.0.0/8"),))
    await machine.let_out(Gate(Rules.parse([f"site.test:{site}"]), policy, resolve, Bounds(), heard.append))
    yield machine, heard
    await machine.destroy()


async def said_by(machine: Sandbox, script: str) -> str:
    heard = bytearray()

    async def hear(stream: str, data: bytes) -> None:
        heard.extend(data)

    ran = await machine.exec(Program(("sh", "-c", script), seconds=DEADLINE), hear)
    assert ran.ended is Ended.EXITED, heard
    return heard.decode()


async def test_much_goes_both_ways_and_several_programs_have_it_at_once(
    machine: tuple[Sandbox, list[Attempt]], site: int
) -> None:
    sandbox, heard = machine
    hashed = hashlib.sha256(LARGE).hexdigest()
    three = f"for i in 1 2 3; do (wget -q -O - http://site.test:{site}/ | sha256sum) & done; wait"
    assert (await said_by(sandbox, three)).split() == [hashed, "-"] * 3
    await sandbox.put("large", LARGE)
    head = f"CONNECT site.test:{site} HTTP/1.1\\r\\n\\r\\nPUT / HTTP/1.0\\r\\n\\r\\n"
    # Its own address of the gate is what every program has: the last part of the URL is the port.
    script = f"(printf '{head}'; cat large; sleep 60) | nc 127.0.0.1 ${{http_proxy##*:}} | tail -n 1"
    assert hashed in await said_by(sandbox, f"{script} & wait $!")
    assert [attempt.allowed for attempt in heard] == [True] * 4
    assert sandbox.network is not None
    assert sandbox.network.sent > len(LARGE)
    assert sandbox.network.received > 3 * len(LARGE)


async def test_a_program_that_leaves_its_connections_leaves_room_for_the_next(
    machine: tuple[Sandbox, list[Attempt]], site: int
) -> None:
    sandbox, _ = machine
    # Both times together more than the machine carries at a time; what is left of them is killed.
    leaving = "for i in $(seq 40); do nc 127.0.0.1 ${http_proxy##*:} < /dev/zero > /dev/null & done; sleep 1"
    for _ in range(2):
        await said_by(sandbox, leaving)
    said = await said_by(sandbox, f"wget -q -O - http://site.test:{site}/ | sha256sum")
    assert said.split()[0] == hashlib.sha256(LARGE).hexdigest()
