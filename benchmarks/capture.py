"""Capture: how fast transcripts are read, how soon an append is recorded, what quiet costs."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dev_stacks
import psutil
from capturing import Chat
from dev_stacks import DevStack

from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.lines import lines_from
from minoots_activities.capture.readers import Parsed
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.recovery import records_of
from minoots_activities.capture.registry import Registry
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.workspaces import FILE
from minoots_platform.clock import utc_now
from minoots_platform.collector import leave_alone_what_is_loaded
from minoots_platform.records import Database, conversations, tenants
from minoots_platform.records.migrate import migrate
from minoots_platform.redaction import Found, Policy, Redactor

from .figures import quantile
from .searching import WORDS

SESSION: Final = "11110000-0000-4000-8000-000000000001"
MEGABYTE: Final = 1_000_000
SIZE: Final = 40
ROUNDS: Final = 3
"""Times that a transcript is parsed; the best counts, as others may be using the processor's caches."""


@dataclass(frozen=True)
class Captured:
    """Figures of capture.

    Attributes:
        parse: MB a second, from bytes to events, on one core.
        ingest: MB a second, from a file to rows, redaction included.
        redaction: microseconds for a KB of clean text.
        visible_p50: milliseconds from an append to its text in the recording.
        visible_p95: likewise.
        idle_mb: memory of the watcher with 1,000 quiet sessions.
        idle_share: percent of a core that it takes then.
        idle_stack: percent of a core that the whole stack takes then: with Temporal, gateway and workers.
        idle_without: percent of a core that the stack takes when it captures nothing.
    """

    parse: float
    ingest: float
    redaction: float
    visible_p50: float
    visible_p95: float
    idle_mb: float
    idle_share: float
    idle_stack: float
    idle_without: float


async def measure() -> Captured:
    """Measure everything."""
    leave_alone_what_is_loaded()  # as the processes do that capture
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
        transcript = _transcript(Path(folder) / f"{SESSION}.jsonl", SIZE * MEGABYTE)
        parse = max(_parse(transcript) for _ in range(ROUNDS))
        ingest = await _ingest(transcript, Path(folder), SIZE)
    redaction = _redaction()
    visible = await _visible()
    idle = await _idle()
    return Captured(
        parse=parse,
        ingest=ingest,
        redaction=redaction,
        visible_p50=quantile(visible, 0.5),
        visible_p95=quantile(visible, 0.95),
        idle_mb=idle.watcher_mb,
        idle_share=idle.watcher,
        idle_stack=idle.stack,
        idle_without=idle.without,
    )


def _record(number: int) -> dict[str, Any]:
    """A record as such files hold them: one in three is a tool's result of some KB."""
    text = " ".join(WORDS[(number * 7 + at) % len(WORDS)] for at in range(120))
    kind = ("assistant", "user", "assistant")[number % 3]
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if number % 3 == 1:
        content = [{"type": "tool_result", "tool_use_id": f"toolu_{number - 1}", "content": text * 6}]
    elif number % 3 == 0:
        call = {"command": f"cat logs/{number}.txt", "description": text[:80]}
        content.append({"type": "tool_use", "id": f"toolu_{number}", "name": "Bash", "input": call})
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        usage = {"input_tokens": 5, "cache_read_input_tokens": 9000, "output_tokens": 120}
        message |= {"id": f"msg_{number}", "model": "claude-opus-4-5", "usage": usage}
    return {
        "parentUuid": f"u{number - 1}",
        "isSidechain": False,
        "userType": "external",
        "cwd": "/home/ada/project",
        "sessionId": SESSION,
        "version": "2.1.100",
        "gitBranch": "main",
        "type": kind,
        "message": message,
        "uuid": f"u{number}",
        "timestamp": f"2026-07-01T10:{number // 60 % 60:02}:{number % 60:02}.000Z",
    }


def _transcript(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        number = 0
        while file.tell() < size:
            file.write(json.dumps(_record(number)).encode() + b"\n")
            number += 1
    return path


def _parse(transcript: Path) -> float:
    reader = Claude()
    identity = reader.identify(transcript, {"sessionId": SESSION})
    if identity is None:
        raise RuntimeError("the benchmark's transcript is none")
    parser, parsed, batch = reader.parser(identity), Parsed(), []
    began = time.process_time()
    with transcript.open("rb") as file:
        for line in lines_from(file, 0):
            batch += records_of(line.data).records
            if len(batch) == 500:
                parser.feed(batch, parsed)
                parsed.drafts.clear()
                batch = []
    parser.feed(batch, parsed)
    return transcript.stat().st_size / MEGABYTE / (time.process_time() - began)


async def _ingest(transcript: Path, folder: Path, size: float) -> float:
    async with Database(f"sqlite:///{folder / 'records.db'}") as database:
        await migrate(database)
        async with database.write() as connection:
            await tenants.ensure(connection, "dev", utc_now())
        roots, redactor = ReadRoots([folder]), Redactor(Policy())
        ingest = Ingest(database, roots, redactor, utc_now, tenant="dev", host="bench")
        began = time.perf_counter()
        done = await ingest.file(Claude(), transcript)
        took = time.perf_counter() - began
    if done.new < 1_000:
        raise RuntimeError(f"expected 1,000 events; got {done.new}")
    return size / took


def _redaction() -> float:
    redactor, text = Redactor(Policy()), " ".join(WORDS * 50)
    rounds = 400
    began = time.process_time()
    for _ in range(rounds):
        redactor.text(text, Found())
    return (time.process_time() - began) * 1e6 / rounds / (len(text) / 1000)


@contextmanager
def _capturing(sessions: int = 0) -> Iterator[tuple[DevStack, Path, Path]]:
    """Yield a stack that captures, its folder of transcripts, and a workspace."""
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as name:
        folder = Path(name)
        transcripts, workspace = folder / "transcripts", folder / "workspace"
        for number in range(sessions):
            chat = _chat(transcripts, number + 10)
            chat.say("hello", datetime.now(UTC) - timedelta(hours=2))
        transcripts.mkdir(exist_ok=True)
        workspace.mkdir()
        (workspace / FILE).write_text('id = "wsp_0123456789abcdef"\n')
        Registry(folder / "registry.json").add("notes", workspace)
        config = folder / "minoots.toml"
        config.write_text(
            'schema_version = 2\n[capture]\nenabled = true\nhost = "bench"\nproviders = ["claude"]\n'
            f'roots = ["claude={transcripts}"]\nregistry = "{folder / "registry.json"}"\n'
        )
        stack = dev_stacks.start(folder, "--config", str(config))
        try:
            yield stack, transcripts, workspace
        finally:
            stack.stop()
            stack.close()


def _chat(transcripts: Path, number: int) -> Chat:
    session = f"{number:08d}-0000-4000-8000-000000000001"
    return Chat(transcripts / f"p{number % 20}" / f"{session}.jsonl", session)


async def _visible(appends: int = 100) -> list[float]:
    """Milliseconds from each append to its text in the recording."""
    with _capturing() as (_, transcripts, workspace):
        chat, file = _chat(transcripts, 1), workspace / "chat.md"
        chat.say("::record-notes chat.md")
        async with asyncio.timeout(30):
            while not file.exists():
                await asyncio.sleep(0.01)
        took = []
        for number in range(appends):
            await asyncio.sleep(0.1)
            began = time.perf_counter()
            chat.answer(f"answer {number}.")
            async with asyncio.timeout(10):
                while f"answer {number}." not in file.read_text():
                    await asyncio.sleep(0.001)
            took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


@dataclass(frozen=True)
class _Idle:
    """What a stack costs in which nothing happens: processor time in percent of a core."""

    watcher_mb: float
    watcher: float
    stack: float
    without: float


async def _idle(sessions: int = 1000) -> _Idle:
    """Measure a stack that watches so many quiet sessions, and one that captures nothing."""
    with tempfile.TemporaryDirectory(prefix="minoots-bench-") as folder:
        stack = dev_stacks.start(Path(folder))
        try:
            without = sum((await _quiet(stack)).values())
        finally:
            stack.stop()
            stack.close()
    with _capturing(sessions) as (stack, _, _):
        async with Database(f"sqlite:///{stack.folder / 'data' / 'minoots.db'}") as database:
            async with asyncio.timeout(900):
                while True:
                    async with database.read() as connection:
                        read = len(await conversations.files_of(connection, "dev", "bench")) >= sessions
                        if read and not await conversations.behind(connection, "dev", "bench", 1):
                            break
                    await asyncio.sleep(0.5)
        shares = await _quiet(stack)
        watcher = stack.pid("watch")
        return _Idle(
            watcher_mb=psutil.Process(watcher).memory_info().rss / MEGABYTE,
            watcher=shares[watcher],
            stack=sum(shares.values()),
            without=without,
        )


async def _quiet(stack: DevStack) -> dict[int, float]:
    """Return the share of a core that each process takes, once what was begun before has ended.

    To start, and to read a thousand sessions, leaves work behind. It has ended when the whole stack takes no
    tenth of a core for five seconds; a stack that never comes to rest is measured as it is.
    """
    for _ in range(24):
        if sum((await _shares(stack, 5)).values()) < 10:
            break
    return await _shares(stack, 30)


async def _shares(stack: DevStack, seconds: float) -> dict[int, float]:
    """Return percent of a core, by process."""
    family = stack.family()
    before, began = [_busy(process) for process in family], time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    return {
        process.pid: 100 * (_busy(process) - was) / took for process, was in zip(family, before, strict=True)
    }


def _busy(process: psutil.Process) -> float:
    """Return the seconds that a process has kept a processor busy."""
    times = process.cpu_times()
    return float(times.user + times.system)
