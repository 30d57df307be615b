"""Connections of a machine's programs: carried to the gate, each by itself, and never more than may be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network

import pytest

from minoots_activities.egress.gate import Attempt, Bounds, Gate
from minoots_activities.sandboxes.port import EndedBefore, NeverStarted
from minoots_activities.vms.frames import MOST_INPUT, Frame, Kind, number_frame, number_of, read_frame
from minoots_activities.vms.guest import Guest
from minoots_activities.vms.relaying import Relay
from minoots_platform.addresses import AddressPolicy
from minoots_platform.network_rules import Rules

SECONDS = 60.0
LARGE = 1_000_000
ECHO = b"CONNECT echo.test:%d HTTP/1.1\r\n\r\n"


class Inside:
    """A machine as far as its end of the wire, which a test speaks itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, kind: Kind, number: int, payload: bytes = b"") -> None:
        self._writer.write(Frame(kind, number, payload).encode())

    async def hear(self) -> Frame:
        async with asyncio.timeout(SECONDS):
            frame = await read_frame(self._reader)
        assert frame is not None
        return frame

    async def ended(self) -> bool:
        """Whether the host lets the machine go."""
        async with asyncio.timeout(SECONDS):
            while await read_frame(self._reader) is not None:
                pass
        return True


@asynccontextmanager
async def machine(gate: Gate) -> AsyncIterator[tuple[Guest, Inside, asyncio.Task[int]]]:
    """A machine that is asked to listen."""
    came: asyncio.Future[Inside] = asyncio.get_running_loop().create_future()

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set_result(Inside(reader, writer))

    server = await asyncio.start_server(come, "127.0.0.1", 0)
    guest = Guest(*await asyncio.open_connection(*server.sockets[0].getsockname()))
    inside = await came
    listening = asyncio.create_task(guest.listen(gate))
    try:
        assert (await inside.hear()).kind is Kind.LISTEN
        yield guest, inside, listening
    finally:
        await gate.aclose()
        guest.close()
        await guest.ended_relaying()
        inside._writer.close()
        server.close()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """The port of a server that says back what it hears."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def gate_to(port: int, heard: list[Attempt] | None = None) -> Gate:
    """The real one, to one port of this machine."""

    async def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    def hear(attempt: Attempt) -> None:
        if heard is not None:
            heard.append(attempt)

    policy = AddressPolicy((ip_network("127.0.0.0/8"),))
    return Gate(Rules.parse([f"echo.test:{port}"]), policy, resolve, Bounds(), hear)


async def test_what_a_program_says_goes_there_and_back_however_much_it_is() -> None:
    heard: list[Attempt] = []
    async with echo() as port, machine(gate_to(port, heard)) as (_, inside, listening):
        inside.say(Kind.LISTENING, 0, number_frame(Kind.LISTENING, 0, 4711).payload)
        assert await listening == 4711
        inside.say(Kind.CONNECT, 7)
        inside.say(Kind.DATA, 7, ECHO % port)
        data = bytes(range(256)) * (LARGE // 256)
        sent = allowed = 0
        back = bytearray()
        begun = ended = False
        while True:
            # As the real guest: never more under way than the host has room for.
            while begun and sent < len(data) and allowed >= 32768:
                piece = data[sent : sent + 32768]
                inside.say(Kind.DATA, 7, piece)
                sent, allowed = sent + len(piece), allowed - len(piece)
            if sent == len(data) and not ended:
                inside.say(Kind.DATA, 7)
                ended = True
            frame = await inside.hear()
            assert frame.run == 7
            if frame.kind is Kind.CLOSED:
                break
            if frame.kind is Kind.TAKEN:
                allowed += number_of(frame)
                continue
            inside.say(Kind.TAKEN, 7, number_frame(Kind.TAKEN, 7, len(frame.payload)).payload)
            back += frame.payload
            if not begun and b"\r\n\r\n" in back:
                begun, allowed = True, MOST_INPUT
                del back[: back.index(b"\r\n\r\n") + 4]
        assert bytes(back) == data
        assert [attempt.allowed for attempt in heard] == [True]


async def test_a_program_that_does_not_read_holds_up_nobody_else() -> None:
    async with echo() as port, machine(gate_to(port)) as (_, inside, _listening):
        for number in (1, 2):
            inside.say(Kind.CONNECT, number)
            inside.say(Kind.DATA, number, ECHO % port)
        # The first takes nothing of what comes back: the host stops at what may be under way.
        for _ in range(2):
            inside.say(Kind.DATA, 1, b"x" * 60000)
        inside.say(Kind.DATA, 2, b"words")
        back = {1: bytearray(), 2: bytearray()}
        while not back[2].endswith(b"words"):
            frame = await inside.hear()
            if frame.kind is Kind.DATA:
                back[frame.run] += frame.payload
        assert len(back[1]) <= MOST_INPUT


async def test_where_it_may_not_go_it_is_told_so_and_the_connection_is_over() -> None:
    async with echo() as port, machine(gate_to(port)) as (_, inside, _listening):
        inside.say(Kind.CONNECT, 1)
        inside.say(Kind.DATA, 1, b"CONNECT other.test:443 HTTP/1.1\r\n\r\n")
        answer = b""
        while (frame := await inside.hear()).kind is not Kind.CLOSED:
            answer += frame.payload if frame.kind is Kind.DATA else b""
        assert answer.startswith(b"HTTP/1.1 403")
        # What is said of it afterwards means nothing.
        inside.say(Kind.DATA, 1, b"more")
        inside.say(Kind.TAKEN, 1, b"\x01\x00\x00\x00")
        inside.say(Kind.CONNECT, 2)
        inside.say(Kind.DATA, 2, b"nonsense\r\n\r\n")
        while (frame := await inside.hear()).kind is not Kind.DATA:
            pass
        assert (frame.run, frame.payload[:12]) == (2, b"HTTP/1.1 400")


async def test_more_connections_than_there_may_be_are_closed_at_once() -> None:
    async with echo() as port, machine(gate_to(port)) as (_, inside, _listening):
        for number in range(1, 66):
            inside.say(Kind.CONNECT, number)
        # The gate takes fewer at a time than that, and closes the rest by itself.
        closed = set()
        while 65 not in closed:
            frame = await inside.hear()
            assert frame.kind is Kind.CLOSED
            closed.add(frame.run)


async def test_a_machine_that_says_that_it_takes_and_does_not_is_not_written_to_without_end() -> None:
    sent: list[Frame] = []
    stuck = asyncio.Event()

    async def drain() -> None:
        stuck.set()
        await asyncio.Event().wait()

    async with echo() as port, asyncio.timeout(SECONDS):
        gate = gate_to(port)
        relay = Relay(gate, sent.append, drain)
        relay.hear(Frame(Kind.CONNECT, 1, b""))
        relay.hear(Frame(Kind.DATA, 1, ECHO % port))
        await stuck.wait()
        relay.hear(Frame(Kind.DATA, 1, b"x" * 60000))
        relay.hear(number_frame(Kind.TAKEN, 1, MOST_INPUT))
        while True:
            if gate.used.received == 60000:
                break
            await asyncio.sleep(0.01)
        assert [frame.kind for frame in sent].count(Kind.DATA) == 1
        await gate.aclose()
        await relay.aclose()


async def test_a_machine_that_sends_more_than_it_may_is_let_go() -> None:
    async with machine(gate_to(1)) as (_, inside, _listening):
        inside.say(Kind.CONNECT, 1)
        for _ in range(3):
            inside.say(Kind.DATA, 1, b"x" * 65536)
        assert await inside.ended()


async def test_a_machine_that_is_answered_and_reads_nothing_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("minoots_activities.vms.guest._MOST_UNREAD", 100_000)
    async with machine(gate_to(1)) as (guest, inside, _listening):
        for way, which in ((inside._writer, socket.SO_RCVBUF), (guest._writer, socket.SO_SNDBUF)):
            way.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, which, 4096)
        number = 0
        async with asyncio.timeout(300):
            while not guest.ended.is_set():
                # Each of these is beyond what there may be, and told so.
                inside.say(Kind.CONNECT, number := number + 1)
                if number % 1000 == 0:
                    with suppress(ConnectionError):
                        await inside._writer.drain()
        assert number > 100_000 // 12


@pytest.mark.parametrize("kind", [Kind.CONNECT, Kind.DATA, Kind.LISTENING])
async def test_a_machine_that_was_not_asked_for_it_is_let_go(kind: Kind) -> None:
    async with machine(gate_to(1)) as (guest, inside, _listening):
        guest._relay = None
        inside.say(kind, 1)
        assert await inside.ended()


async def test_a_machine_that_ends_instead_of_listening_is_no_way_out() -> None:
    async with machine(gate_to(1)) as (guest, inside, listening):
        inside._writer.close()
        with pytest.raises(NeverStarted, match="no loopback"):
            await listening
        with pytest.raises(EndedBefore):
            await guest.run(("true",), lambda stream, data: asyncio.sleep(0), env={})
