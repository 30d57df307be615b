"""What providers send and what they make of the answer, through their real clients against the stand-in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from model_servers import WIRES, Opening, asked, heard, model_server, pieces_of

from minoots.contracts.models import (
    Capability,
    FinishReason,
    Message,
    ModelErrorKind,
    ModelRequest,
    Role,
    ToolCall,
    ToolSpec,
)
from minoots_activities.models.answering import Answering
from minoots_activities.models.providers.anthropic import body
from minoots_activities.models.providers.ollama import OllamaServer
from minoots_activities.models.providers.ollama_models import health, loaded, pull, unload, warm_up
from minoots_activities.models.providers.provider import Call, Done, Piece, Text, Thinking
from minoots_workflows.models.failures import ModelFailure

NESTED = {
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"cup": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 1}},
                "required": ["cup"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["steps"],
    "additionalProperties": False,
}
TOOL = ToolSpec(name="boil", description="Boils water.", parameters=NESTED)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


def whole(pieces: list[Piece]) -> Answering:
    answering = Answering(1)
    for piece in pieces:
        answering.take(piece)
    return answering


@pytest.mark.parametrize("wire", WIRES)
async def test_text_thinking_and_counts_come_on_every_wire(opening: Opening, wire: str) -> None:
    turn = {"text": "It is hot now.", "thinking": "Water first."}
    async with model_server(turns=[turn]) as url, opening(wire, url) as provider:
        pieces = await pieces_of(provider, asked(), max_tokens=50)
        assert len([piece for piece in pieces if isinstance(piece, Text)]) == 4
        assert "".join(piece.text for piece in pieces if isinstance(piece, Thinking)) == "Water first."
        done = pieces[-1]
        assert isinstance(done, Done)
        assert done.finish is FinishReason.STOP
        assert done.input_tokens
        assert done.output_tokens == 6


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_that_is_cut_by_its_bound_says_so(opening: Opening, wire: str) -> None:
    async with model_server(turns=[{"text": "one two three four"}]) as url, opening(wire, url) as provider:
        pieces = await pieces_of(provider, asked(), max_tokens=2)
        assert whole(pieces).text == "one two "
        assert pieces[-1].finish is FinishReason.LENGTH  # type: ignore[union-attr]


@pytest.mark.parametrize("wire", WIRES)
async def test_tools_are_sent_as_they_stand_and_their_calls_come_back(opening: Opening, wire: str) -> None:
    turn = {"tool_calls": [{"name": "boil", "arguments": {"steps": [{"cup": 2}]}}, {"name": "pour"}]}
    async with model_server(turns=[turn]) as url, opening(wire, url) as provider:
        pieces = await pieces_of(provider, asked(tools=(TOOL,)))
        calls = whole(pieces).tool_calls()
        assert [(call.name, call.arguments) for call in calls] == [
            ("boil", {"steps": [{"cup": 2}]}),
            ("pour", {}),
        ]
        assert pieces[-1].finish is FinishReason.TOOL_CALLS  # type: ignore[union-attr]
        [tool] = (await heard(url))[-1]["body"]["tools"]
        # Every keyword, however deep: a client that models schemas drops those that it does not know.
        sent = tool["input_schema"] if wire == "anthropic" else tool["function"]["parameters"]
        assert sent == NESTED


@pytest.mark.parametrize("wire", ["compatible", "openai", "anthropic"])
async def test_arguments_that_are_no_json_are_kept_as_they_came(opening: Opening, wire: str) -> None:
    turn = {"tool_calls": [{"name": "boil", "arguments": '{"steps": ['}]}
    async with model_server(turns=[turn]) as url, opening(wire, url) as provider:
        [call] = whole(await pieces_of(provider, asked(tools=(TOOL,)))).tool_calls()
        assert call.arguments == {}
        assert call.malformed == '{"steps": ['


@pytest.mark.parametrize("wire", WIRES)
async def test_results_of_tools_and_images_are_sent(opening: Opening, wire: str) -> None:
    image = "a" * 64
    request = ModelRequest(
        messages=(
            Message(role=Role.SYSTEM, text="You make tea."),
            Message(role=Role.USER, text="make tea", images=(image,)),
            Message(role=Role.ASSISTANT, tool_calls=(ToolCall(id="c1", name="boil", arguments={"a": 1}),)),
            Message(role=Role.TOOL, tool_call_id="c1", name="boil", text="it boils"),
        )
    )
    async with model_server(turns=[{"when": "it boils", "text": "Done."}]) as url, opening(wire, url) as one:
        assert whole(await pieces_of(one, request, images={image: PNG})).text == "Done."
        body = (await heard(url))[-1]["body"]
        sent = json.dumps(body["messages"])
        assert "iVBORw0KGgo" in sent
        assert "it boils" in sent
        assert '"a": 1' in sent or '\\"a\\": 1' in sent
        assert "You make tea." in json.dumps(body)


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_of_a_schema_is_text_on_every_wire(opening: Opening, wire: str) -> None:
    schema = {"type": "object", "properties": {"cups": {"type": "integer"}}, "required": ["cups"]}
    turn: dict[str, Any] = {"text": '{"cups": 2}'}
    if wire == "anthropic":
        turn = {"text": "I answer.", "tool_calls": [{"name": "answer", "arguments": {"cups": 2}}]}
    async with model_server(turns=[turn]) as url, opening(wire, url) as provider:
        pieces = await pieces_of(provider, asked(json_schema=schema))
        text = whole(pieces).text
        assert json.loads(text.removeprefix("I answer.")) == {"cups": 2}
        assert whole(pieces).tool_calls() == ()
        assert pieces[-1].finish is FinishReason.STOP  # type: ignore[union-attr]


@pytest.mark.parametrize("wire", ["compatible", "openai", "anthropic"])
async def test_what_was_read_before_is_told_apart(opening: Opening, wire: str) -> None:
    async with model_server(turns=[{"text": "x", "cached": 3}]) as url, opening(wire, url) as provider:
        done = (await pieces_of(provider, asked("a" * 400)))[-1]
        assert isinstance(done, Done)
        assert done.cached_tokens == 3
        assert (done.input_tokens or 0) > 100


@pytest.mark.parametrize("wire", ["ollama", "compatible", "openai"])
async def test_texts_become_vectors_in_their_order(opening: Opening, wire: str) -> None:
    async with model_server() as url, opening(wire, url) as provider:
        both = await provider.embed("fake-embed:latest", ["tea", "coffee"], None)
        [tea] = (await provider.embed("fake-embed:latest", ["tea"], None)).vectors
        assert both.vectors[0] == tea
        assert both.vectors[0] != both.vectors[1]
        assert both.input_tokens


async def test_anthropic_makes_no_vectors(opening: Opening) -> None:
    async with opening("anthropic", "http://127.0.0.1:9") as provider:
        with pytest.raises(ModelFailure) as failed:
            await provider.embed("any", ["tea"], None)
        assert failed.value.kind is ModelErrorKind.UNSUPPORTED


async def test_what_only_its_native_api_understands_is_sent_to_ollama(opening: Opening) -> None:
    async with model_server() as url, opening("ollama", url, keep_alive="-1") as provider:
        request = asked(think=False, temperature=0.5, seed=7, stop=("END",))
        await pieces_of(provider, request, context_tokens=12_288, max_tokens=99)
        [told] = await heard(url)
        assert told["path"] == "/api/chat"
        body = told["body"]
        assert body["think"] is False
        assert body["keep_alive"] == -1
        assert body["options"] == {
            "num_ctx": 12_288,
            "num_predict": 99,
            "temperature": 0.5,
            "seed": 7,
            "stop": ["END"],
        }


async def test_closing_an_answer_stops_the_model(opening: Opening) -> None:
    async with model_server(turns=[{"text": "one " * 500, "pace": 0.01}]) as url:
        for wire in WIRES:
            async with opening(wire, url) as provider:
                stream = provider.stream(
                    _call(asked()),
                )
                assert await anext(stream)
                await stream.aclose()
        told = await heard(url)
        assert len(told) == 4
        assert not any(one["complete"] for one in told)


def _call(request: ModelRequest) -> Any:
    from minoots_activities.models.providers.provider import Call

    return Call("fake:latest", request, request.messages, max_tokens=600)


MODELS = [
    {"name": "small:latest", "context_length": 4096},
    {"name": "eyes:latest", "capabilities": ["completion", "vision"]},
    {"name": "vectors:latest", "capabilities": ["embedding"]},
    {"name": "far:cloud", "remote": True},
    {"name": "named:20b-cloud"},
    {"name": "away:latest", "pulled": False, "size": 1000},
]


def digest(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


async def test_ollama_says_what_its_models_can_and_which_run_elsewhere(opening: Opening) -> None:
    async with model_server(models=MODELS) as url, opening("ollama", url) as provider:
        found = {model.name: model for model in await provider.models()}
        assert "away:latest" not in found
        small = found["small:latest"]
        assert small.context == 4096
        assert small.capabilities is not None
        assert Capability.TOOLS in small.capabilities
        assert Capability.JSON in small.capabilities
        assert small.digest == digest("small:latest")
        assert found["eyes:latest"].can(frozenset({Capability.IMAGES, Capability.TOOLS})) == {
            Capability.TOOLS
        }
        assert found["vectors:latest"].capabilities == {Capability.EMBEDDING}
        assert [name for name, model in found.items() if model.remote] == ["far:cloud", "named:20b-cloud"]
        assert (await provider.look("small")) == small


async def test_a_model_is_pulled_with_progress_warmed_up_and_let_go(opening: Opening) -> None:
    pins = [f"ollama/away={digest('away:latest')[:12]}"]
    async with model_server(models=MODELS) as url, opening("ollama", url, pins=pins) as provider:
        assert isinstance(provider, OllamaServer)
        told = [one async for one in pull(provider, "away")]
        assert [(one.completed, one.total) for one in told if one.total] == [
            (0, 1000),
            (500, 1000),
            (1000, 1000),
        ]
        assert told[-1].status == "success"
        there = await warm_up(provider, "away", 4096)
        assert there.name == "away:latest"
        assert there.until is not None
        before = len(await heard(url))
        assert await warm_up(provider, "away") == there
        assert len(await heard(url)) == before
        state = await health(provider)
        assert [one.name for one in state.loaded] == ["away:latest"]
        assert state.version
        await unload(provider, "away")
        assert await loaded(provider) == ()


async def test_another_digest_than_the_pinned_one_is_refused(opening: Opening) -> None:
    pins = [f"ollama/away=sha256:{'0' * 64}"]
    async with model_server(models=MODELS) as url, opening("ollama", url, pins=pins) as provider:
        assert isinstance(provider, OllamaServer)
        with pytest.raises(ModelFailure, match="pinned") as failed:
            [one async for one in pull(provider, "away")]
        assert failed.value.kind is ModelErrorKind.DENIED
        with pytest.raises(ModelFailure) as failed:
            [one async for one in pull(provider, "nowhere")]
        assert failed.value.kind is ModelErrorKind.UNKNOWN_MODEL


async def test_an_own_catalogue_goes_on_top_of_the_one_that_comes_along(tmp_path: Path) -> None:
    from datetime import date

    from minoots_platform.models import load_catalogue

    path = tmp_path / "models.toml"
    path.write_text(
        '[[model]]\nprovider = "vllm"\nname = "qwen*"\ncontext = 1000\n'
        "prices = [{ from = 2026-01-01, input = 1.5, output = 3 }, { from = 2026-06-01, input = 1 }]\n"
    )
    catalogue = load_catalogue(path)
    assert catalogue.price("vllm", "compatible", "qwen3", date(2025, 12, 31)) is None
    then = catalogue.price("vllm", "compatible", "qwen3", date(2026, 5, 31))
    assert then is not None
    # 19.5 millionths: never less than what was used.
    assert then.cost(input_tokens=7, output_tokens=3) == 20
    now = catalogue.price("vllm", "compatible", "qwen3", date(2026, 6, 1))
    assert now is not None
    assert now.cost(input_tokens=7, output_tokens=3) == 7
    cloud = catalogue.price("openai", "openai", "gpt-5-mini", date(2026, 1, 1))
    assert cloud is not None
    assert cloud.cost(input_tokens=1000, output_tokens=0, cached=800) == 70


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_headers_in_the_environment_are_not_sent(
    opening: Opening, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in ("ORG_ID", "PROJECT_ID", "API_KEY", "ADMIN_KEY", "AUTH_TOKEN", "PROFILE"):
        monkeypatch.setenv(f"{kind.upper()}_{name}", "not-for-you")
    monkeypatch.setenv(f"{kind.upper()}_CUSTOM_HEADERS", "x-theirs: not-for-you")
    async with echoing() as (url, seen), opening(kind, url) as provider:
        with pytest.raises(ModelFailure):
            await pieces_of(provider, asked())
        assert "sk-test" in seen[0]
        assert "not-for-you" not in seen[0]


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that fails whatever it is asked, and remembers the heads of the requests."""
    seen: list[str] = []

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(fail, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


def test_anthropic_thinks_where_nothing_that_it_thought_is_missing() -> None:
    user = Message(role=Role.USER, text="make tea")
    called = Message(role=Role.ASSISTANT, tool_calls=(ToolCall(id="c1", name="boil"),))
    result = Message(role=Role.TOOL, text="hot", tool_call_id="c1")
    said = Message(role=Role.ASSISTANT, text="It is hot.")

    def body_of(*messages: Message, **more: Any) -> dict[str, Any]:
        request = ModelRequest(messages=messages, think=True, temperature=0.5, **more)
        return body(Call("claude", request, request.messages, max_tokens=4096))

    for messages in ((user,), (user, called, result, said, user)):
        told = body_of(*messages)
        assert told["thinking"]["budget_tokens"] == 2048
        assert "temperature" not in told, "it is refused beside thinking"
    for messages in ((user, called, result), (user, called, result, user)):
        told = body_of(*messages)
        assert "thinking" not in told
        assert told["temperature"] == 0.5


async def test_a_key_in_the_environment_is_not_shown_to_any_server(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "not-for-you")
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    async with model_server() as url, opening("ollama", url, "") as provider:
        assert isinstance(provider, OllamaServer)
        assert "authorization" not in provider.client._client.headers
        assert await provider.models()
