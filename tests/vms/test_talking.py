"""Programs in a machine that are talked with while they run, servers of tools among them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp import Client

from minoots.contracts.sandboxes import Limits
from minoots_activities.jobs.servers.programs import Spoken, spoken_with
from minoots_activities.sandboxes.port import Ended, Program, Sandbox, Stream
from minoots_activities.vms import machines
from minoots_activities.vms.starting import Qemu

pytestmark = pytest.mark.timeout(300)

LIMITS = Limits(memory_mb=64, disk_mb=16, output_kb=1024, processes=32)
DEADLINE = 120.0
"""Seconds that nothing here needs, unless something is broken."""

SERVER = r"""
say() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
tools='{"name":"shout","description":"Say it loudly.","inputSchema":{"type":"object"}}'
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  version=$(printf '%s' "$line" | sed -n 's/.*"protocolVersion":"\([^"]*\)".*/\1/p')
  text=$(printf '%s' "$line" | sed -n 's/.*"text":"\([^"]*\)".*/\1/p' | tr a-z A-Z)
  info='"capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}'
  case "$line" in
    *'"method":"initialize"'*) say "\"result\":{\"protocolVersion\":\"$version\",$info}";;
    *'"method":"tools/list"'*) say "\"result\":{\"tools\":[$tools]}";;
    *'"method":"tools/call"'*) say "\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"$text\"}]}";;
    *'"id"'*) say '"error":{"code":-32601,"message":"no such method"}';;
  esac
done
echo "the shop closes" >&2
"""


@pytest.fixture(scope="module")
async def machine(image: Path) -> AsyncIterator[Sandbox]:
    """A machine for all tests here."""
    machine = await machines.Machines(Qemu(image)).create("talking", LIMITS)
    yield machine
    await machine.destroy()


async def test_a_program_hears_what_is_said_while_it_runs_and_ends_with_it(machine: Sandbox) -> None:
    heard, came = bytearray(), asyncio.Event()

    async def output(stream: Stream, data: bytes) -> None:
        heard.extend(data)
        came.set()

    async def talk() -> AsyncIterator[bytes]:
        # Nothing is said before what was said last is answered; the last of it is more than one frame has.
        for answered, said in enumerate((b"one", b"three", b"x" * 70_000), start=1):
            yield said + b"\n"
            while heard.count(b".") < answered:
                came.clear()
                await came.wait()

    script = 'read -r first; echo "$first"; while read -r line; do echo "${#line} ."; done; echo over'
    program = Program(("sh", "-c", script), stdin=b"zero\n", source=talk())
    async with asyncio.timeout(DEADLINE):
        ran = await machine.exec(program, output)
    assert (ran.ended, ran.exit_code) == (Ended.EXITED, 0)
    assert bytes(heard) == b"zero\n3 .\n5 .\n70000 .\nover\n"


async def test_one_that_ends_before_all_was_said_holds_up_nobody(machine: Sandbox) -> None:
    async def talk() -> AsyncIterator[bytes]:
        yield b"hello\n"
        await asyncio.Event().wait()

    async def output(stream: Stream, data: bytes) -> None:
        assert data == b"hello\n"

    async with asyncio.timeout(DEADLINE):
        ran = await machine.exec(Program(("head", "-n", "1"), source=talk()), output)
    assert ran.exit_code == 0


async def test_a_server_of_tools_in_a_machine_is_spoken_with(machine: Sandbox) -> None:
    spoken = Spoken()

    async def output(stream: Stream, data: bytes) -> None:
        """What it writes beside its messages is in `spoken`, too."""

    async with asyncio.timeout(DEADLINE):
        way = spoken_with(machine, Program(("sh", "-c", SERVER)), spoken, output)
        async with Client(way, cache=None) as client:
            [tool] = (await client.list_tools()).tools
            assert tool.name == "shout"
            answer = await client.call_tool("shout", {"text": "tea"})
            assert [part.text for part in answer.content if part.type == "text"] == ["TEA"]
    assert spoken.fault is None
    assert spoken.ran is not None
    assert spoken.ran.exit_code == 0
    assert spoken.last_words() == "the shop closes"
