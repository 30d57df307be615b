"""Transcripts that take long to read: everybody else on the host goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stacks import TENANT

from minoots_activities.capture import parts
from minoots_activities.capture.ingest import Ingest
from minoots_activities.capture.readers.claude import Claude, ClaudeParser
from minoots_activities.capture.readers.gemini import Gemini, GeminiParser
from minoots_activities.capture.roots import ReadRoots
from minoots_platform.clock import utc_now
from minoots_platform.records import Database
from minoots_platform.redaction import Policy, Redactor

UUID = "11110000-0000-4000-8000-000000000001"
AT = "2026-07-01T10:00:00.000Z"
PATIENCE = 60.0


def message(number: int) -> dict[str, Any]:
    return {"id": f"m{number}", "timestamp": AT, "type": "user", "content": f"tea {number}"}


@pytest.fixture
def ingest(database: Database, tmp_path: Path) -> Ingest:
    return Ingest(database, ReadRoots([tmp_path]), Redactor(Policy()), utc_now, tenant=TENANT, host="here")


def beside(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return work that ends only when the loop has gone on beside it."""
    loop = asyncio.get_running_loop()

    def working(*given: Any) -> Any:
        went_on = threading.Event()
        loop.call_soon_threadsafe(went_on.set)
        assert went_on.wait(PATIENCE), "the loop waits for it"
        return work(*given)

    return working


async def test_a_conversation_in_one_file_is_read_and_understood_beside_the_loop(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "session.json"
    path.write_text(json.dumps({"sessionId": "g1", "messages": [message(1), message(2)]}, indent=2))
    monkeypatch.setattr(parts, "_all_of", beside(parts._all_of))
    monkeypatch.setattr(GeminiParser, "feed", beside(GeminiParser.feed))
    assert (await ingest.file(Gemini(), path)).new == 2


async def test_lines_are_read_and_understood_beside_the_loop(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{UUID}.jsonl"
    path.write_text(json.dumps({"type": "user", "uuid": "u1", "message": {"content": "tea"}}) + "\n")
    monkeypatch.setattr(parts, "records_of", beside(parts.records_of))
    monkeypatch.setattr(ClaudeParser, "feed", beside(ClaudeParser.feed))
    assert (await ingest.file(Claude(), path)).new == 1


async def test_a_conversation_in_one_file_is_looked_through_once_a_time(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "session.json"
    path.write_text(json.dumps({"sessionId": "g1", "messages": [message(1)]}, indent=2))
    looked: list[int] = []
    understood = parts.records_of_whole
    monkeypatch.setattr(parts, "records_of_whole", lambda data: looked.append(len(data)) or understood(data))
    assert (await ingest.file(Gemini(), path)).new == 1
    assert looked == [path.stat().st_size]


async def test_of_a_log_only_the_records_are_held(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_of(_: object) -> bytes:
        raise AssertionError("its bytes are held, too")

    monkeypatch.setattr(parts, "_all_of", all_of)
    path = tmp_path / "session.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in ({"sessionId": "g1"}, message(1), message(2))))
    assert (await ingest.file(Gemini(), path)).new == 2
    with path.open("a") as file:
        file.write(json.dumps(message(3)) + "\n")
    assert (await ingest.file(Gemini(), path)).new == 1
    assert (await ingest.file(Gemini(), path)).new == 0


async def test_what_is_damaged_in_a_log_is_counted_once(ingest: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    log = json.dumps({"sessionId": "g1"}) + "\n" + json.dumps(message(1)) + "\n{torn\n"
    path.write_text(log)
    assert (await ingest.file(Gemini(), path)).damaged == 1
    path.write_text(log + json.dumps(message(2)) + "\n")
    assert (await ingest.file(Gemini(), path)).damaged == 1
    path.write_text(log.replace("{torn\n", "") + json.dumps(message(2)) + "\n")
    assert (await ingest.file(Gemini(), path)).damaged == 0
