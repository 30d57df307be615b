"""Names of servers' tools for models, and what of an answer a model is told."""

from __future__ import annotations

import re

import pytest
from mcp import types
from pydantic import ValidationError

from minoots.contracts import AgentJob
from minoots.contracts.sandboxes import Tier
from minoots_activities.jobs.servers.offers import name_for, rule_of
from minoots_activities.jobs.servers.results import Attachment, answer_of


def job(*servers: object) -> AgentJob:
    """A job with servers."""
    return AgentJob.model_validate({"kind": "agent", "task": "x", "mcp": servers})


def test_names_are_those_that_models_take_and_no_two_are_the_same() -> None:
    taken: set[str] = set()
    tools = ["read", "read.file", "read/file", "x" * 100, "x" * 101, "größe"]
    for tool in tools:
        taken.add(name_for("files", tool, taken))
    assert len(taken) == len(tools)
    assert "files__read" in taken
    assert all(re.fullmatch(r"files__[A-Za-z0-9_-]{1,57}", name) for name in taken)
    assert name_for("files", "read.file", set()) == name_for("files", "read.file", taken), (
        "it is the same always"
    )


def test_a_rule_for_a_tool_goes_before_the_one_for_all() -> None:
    rules = [{"name": "*"}, {"name": "read", "approval": "never"}]
    [server] = job({"name": "files", "command": ["x"], "tools": rules}).mcp
    assert [getattr(rule_of(server, name), "approval", None) for name in ("read", "write")] == [
        "never",
        "always",
    ]
    [closed] = job({"name": "files", "command": ["x"], "tools": rules[1:]}).mcp
    assert rule_of(closed, "write") is None


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"name": "files"}, "either command or url"),
        ({"name": "files", "command": ["x"], "url": "https://example.org/"}, "either command or url"),
        ({"name": "a__b", "command": ["x"]}, "lower-case letters"),
        ({"name": "files", "url": "https://ada:secret@example.org/"}, "without user"),
        ({"name": "files", "url": "ftp://example.org/"}, "expected a URL"),
        ({"name": "files", "command": ["x"], "tools": [{"name": "a"}, {"name": "a"}]}, "got two for one"),
        ({"name": "files", "command": ["x"], "annotations": {}}, "Extra inputs"),
    ],
)
def test_what_is_no_server_is_refused(server: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        job(server)
    with pytest.raises(ValidationError, match="different names"):
        job({"name": "files", "command": ["x"]}, {"name": "files", "command": ["y"]})


@pytest.mark.parametrize("tier", list(Tier))
def test_a_server_may_run_in_every_tier(tier: Tier) -> None:
    server = {"name": "files", "command": ["x"]}
    job = AgentJob.model_validate({"kind": "agent", "task": "x", "tier": tier, "mcp": [server]})
    assert job.tier is tier


def test_texts_are_told_and_bytes_become_files() -> None:
    text = types.TextResourceContents(uri="file:///a", text="inner")
    blob = types.BlobResourceContents(uri="file:///b", blob="AAE=", mime_type="application/pdf")
    result = types.CallToolResult(
        content=[
            types.TextContent(text="one"),
            types.ImageContent(data="AAE=", mime_type="image/png"),
            types.AudioContent(data="no base64!", mime_type="audio/wav"),
            types.EmbeddedResource(resource=text),
            types.EmbeddedResource(resource=blob),
            types.ResourceLink(name="c", uri="file:///c"),
        ],
        structured_content={"a": 1},
        is_error=True,
    )
    answer = answer_of(result)
    assert answer.failed
    assert answer.parts == (
        "one",
        Attachment(b"\x00\x01", ".png", "image/png"),
        "(audio/wav: left out, for it is no base64)",
        "inner",
        Attachment(b"\x00\x01", ".pdf", "application/pdf"),
        "(a resource of the server: file:///c)",
    )


def test_what_is_structured_only_is_told_as_json_and_everything_has_a_bound() -> None:
    assert answer_of(types.CallToolResult(content=[], structured_content={"a": 1})).parts == ('{"a": 1}',)
    many = answer_of(types.CallToolResult(content=[types.TextContent(text="x" * 9999)] * 100))
    assert sum(len(str(part)) for part in many.parts) < 300_000
    one = answer_of(types.CallToolResult(content=[types.TextContent(text="x" * 300_000)]))
    assert one.parts == ("x" * 262_144, "(37856 more characters left out)")
    files = answer_of(
        types.CallToolResult(content=[types.ImageContent(data="AA==", mime_type="image/png")] * 20)
    )
    assert sum(isinstance(part, Attachment) for part in files.parts) == 8
    assert files.parts[8] == "(image/png, 1 bytes: left out)"
