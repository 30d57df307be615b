"""`minoots export`, against a gateway with a session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dev_stacks import MINOOTS
from gateways import Door

from minoots.contracts.conversations import ConversationEvent, ConversationEventKind, ToolUse
from minoots_platform.cli.export import write_whole
from minoots_platform.records import conversations
from minoots_platform.records.conversations import Whose

DEV = "dev"
NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)
Kind = ConversationEventKind


async def put(door: Door) -> str:
    """Keep a session of a few events."""
    events = [
        ConversationEvent(id="e1", kind=Kind.USER, ts=NOW, text="<script>alert(1)</script> & tea"),
        ConversationEvent(id="e2", kind=Kind.THINKING, ts=NOW, text="hm"),
        ConversationEvent(
            id="e3",
            kind=Kind.TOOL_CALL,
            ts=NOW,
            tool=ToolUse(call_id="c", name="Bash", input={"a": "</pre>"}),
        ),
        ConversationEvent(
            id="e4", kind=Kind.TOOL_RESULT, ts=NOW, tool=ToolUse(call_id="c", output="x" * 9000)
        ),
        ConversationEvent(id="e5", kind=Kind.ASSISTANT, ts=NOW, text="done", model="claude-opus-4-5"),
    ]
    async with door.gateway.database.write() as connection:
        conversation = await conversations.ensure(connection, DEV, Whose("claude", "s1"), NOW)
        await conversations.keep(connection, conversation, events, {}, NOW)
    return str(conversation.id)


async def export(door: Door, *arguments: str, cwd: Path) -> tuple[int, str, str]:
    """Run the command to its end."""
    process = await asyncio.create_subprocess_exec(
        MINOOTS,
        *("--url", door.url, "export", *arguments),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def test_a_session_is_exported_as_markdown(door: Door, tmp_path: Path) -> None:
    await put(door)
    code, text, error = await export(door, "s1", "--tools", cwd=tmp_path)
    assert code == 0, error
    assert text.startswith("---\nid: ")
    assert "  - claude-opus-4.5\n" in text.split("---")[1], "the head knows who spoke"
    assert text.count("x" * 9000) == 1, "there is no file beside, so all of it is shown"


async def test_a_session_is_exported_as_lines_that_can_be_read_back(door: Door, tmp_path: Path) -> None:
    await put(door)
    code, text, error = await export(door, "claude/s1", "-f", "jsonl", cwd=tmp_path)
    assert code == 0, error
    assert [json.loads(line)["id"] for line in text.splitlines()] == ["e1", "e2", "e3", "e4", "e5"]


async def test_a_page_holds_what_was_said_as_text_alone(door: Door, tmp_path: Path) -> None:
    await put(door)
    code, told, error = await export(door, "s1", "-f", "html", "-o", "s1.html", "--tools", cwd=tmp_path)
    assert (code, told) == (0, ""), error
    page = (tmp_path / "s1.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; tea" in page
    assert page.count("</pre>") == page.count("<pre>")
    assert "default-src 'none'" in page


async def test_a_file_that_is_there_is_not_replaced_unasked(door: Door, tmp_path: Path) -> None:
    await put(door)
    (tmp_path / "mine.md").write_text("mine")
    code, _, error = await export(door, "s1", "-o", "mine.md", cwd=tmp_path)
    assert (code, (tmp_path / "mine.md").read_text()) == (2, "mine")
    assert "--force" in error
    assert (await export(door, "s1", "-o", "mine.md", "--force", cwd=tmp_path))[0] == 0


def test_an_export_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    def breaking() -> Iterator[str]:
        yield "half"
        raise ConnectionError("the gateway went away")

    old = tmp_path / "old.md"
    old.write_text("old")
    for output in (old, tmp_path / "new.md"):
        with pytest.raises(ConnectionError):
            write_whole(output, breaking())
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("old.md", "old")]
    write_whole(old, ["wh", "ole"])
    assert (old.read_text(), old.stat().st_mode & 0o777) == ("whole", 0o600)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [(("nobody",), 3, "minoots sessions list"), (("s1", "-f", "pdf"), 2, "markdown")],
)
async def test_what_cannot_be_exported_is_told(
    door: Door, tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    await put(door)
    left, _, error = await export(door, *arguments, cwd=tmp_path)
    assert left == code
    assert told in " ".join(error.split())
