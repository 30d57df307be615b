"""One bad file does not keep the watcher from the others."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
import zstandard
from stacks import eventually

from minoots_activities.capture import compressed
from minoots_activities.capture.readers.claude import Claude
from minoots_activities.capture.readers.codex import Codex
from minoots_activities.capture.readers.goose import Goose
from minoots_activities.capture.roots import ReadRoots
from minoots_activities.capture.sources import Source
from minoots_activities.capture.watcher import Watcher
from minoots_workflows.capture.contracts import CaptureStart, FileChanged


def watcher(told: list[str], *sources: Source) -> Watcher:
    async def tell(start: CaptureStart, file: FileChanged) -> None:
        told.append(file.path)

    roots = ReadRoots(source.root for source in sources)
    return Watcher(sources, roots, tell, tenant="acme", host="here", settle=0.01, rescan=0.2, idle=60)


def claude(folder: Path, number: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{number:08}-0000-4000-8000-000000000000.jsonl"
    path.write_text('{"type": "user", "message": {"content": "hello"}}\n')
    return path


async def test_a_database_that_never_answers_keeps_nobody_waiting(tmp_path: Path) -> None:
    goose, other = tmp_path / "goose", tmp_path / "claude"
    goose.mkdir()
    with sqlite3.connect(goose / "sessions.db") as made:
        made.execute(
            "CREATE VIEW sessions AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c "
            "WHERE x < 12000000) SELECT 'a' AS id, 'b' AS updated_at FROM c"
        )
        made.execute("CREATE TABLE messages (id, session_id, content_json)")
    claude(other, 1)
    told: list[str] = []
    seen = watcher(told, Source(Goose(), goose.resolve()), Source(Claude(), other.resolve()))
    running = asyncio.create_task(seen.run({}))
    late = claude(other, 2)

    async def has_told() -> bool:
        return str(late.resolve()) in told

    try:
        await eventually(has_told, bool)
    finally:
        running.cancel()


async def test_a_bomb_is_not_expanded_to_find_out_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "codex"
    folder.mkdir()
    bomb = folder / "rollout-2026-07-01T10-00-00-019b0000-0000-7000-8000-00000000000a.jsonl.zst"
    writer = zstandard.ZstdCompressor(level=3)
    with bomb.open("wb") as file, writer.stream_writer(file, closefd=False) as stream:
        for _ in range(256):
            stream.write(b"\n" * (1 << 20))
    times = 0
    expand = compressed._expand

    def counting(*given: object) -> None:
        nonlocal times
        times += 1
        # A quarter of a GiB stands for the 4 GiB that are taken.
        expand(given[0], given[1], given[2], 200 << 20)  # type: ignore[arg-type]

    async def _times() -> int:
        return times

    monkeypatch.setattr(compressed, "_expand", counting)
    seen = watcher([], Source(Codex(), folder.resolve()))
    running = asyncio.create_task(seen.run({}))
    try:
        await eventually(_times, bool)
        await asyncio.sleep(1)  # several looks
    finally:
        running.cancel()
    assert times == 1, "it is looked at again when it is another"
