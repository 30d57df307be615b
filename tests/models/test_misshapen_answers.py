"""What a model's server gets wrong: it is read, told to the model, or fails by a kind of the taxonomy."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from model_servers import Opening, asked, caller, entry, model_server, pieces_of, routing, streamed
from serving import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from minoots.contracts.models import ModelErrorKind, ToolCall, ToolSpec
from minoots_activities.models.answering import Answering
from minoots_platform.records import Database
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

TOOL = ToolSpec(name="boil", description="Boils water.", parameters={"type": "object"})
OPENAI = ("compatible", "openai")
BAD = ModelErrorKind.BAD_ANSWER
WRONG = {"prompt_tokens": -1, "completion_tokens": "3"}
PARTLY = {"prompt_tokens": 2, "prompt_tokens_details": 1}
BROKEN = ModelErrorKind.BROKEN_STREAM


def on_ollama(message: Any, **more: Any) -> list[Any]:
    """The lines of an answer of Ollama's."""
    return [{"model": "fake", "message": message, "done": False}, {"model": "fake", "done": True, **more}]


def on_openai(delta: Any, *, usage: Any = None, **more: Any) -> list[Any]:
    """The events of an answer of OpenAI's."""
    choice = {"index": 0, "delta": delta, "finish_reason": "stop", **more}
    return [{"model": "fake", "choices": [choice], "usage": usage}]


def calls_on(wire: str, *functions: Any, ids: tuple[Any, ...] = ()) -> list[Any]:
    """An answer of either wire that calls these."""
    calls: list[Any] = [{"function": function} for function in functions]
    for number, call in enumerate(calls):
        if wire != "ollama":
            call["index"] = number
        if ids:
            call["id"] = ids[number]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    return on_ollama(message) if wire == "ollama" else on_openai(message)


async def answered(opening: Opening, wire: str, raw: list[Any]) -> Answering:
    """What a provider makes of an answer."""
    answering = Answering(1)
    async with (
        model_server(turns=[{"raw": [json.dumps(one) for one in raw]}]) as url,
        opening(wire, url) as provider,
    ):
        for piece in await pieces_of(provider, asked(tools=(TOOL,))):
            answering.take(piece)
    return answering


@pytest.mark.parametrize("wire", ["ollama", *OPENAI])
@pytest.mark.parametrize(
    ("sent", "arguments", "malformed"),
    [
        ("boil it, please", {}, "boil it, please"),
        ('{"cups": 2}', {"cups": 2}, None),
        ('{"cups": ', {}, '{"cups": '),
        ({"cups": 2}, {"cups": 2}, None),
        ([1, 2], {}, "[1, 2]"),
        (7, {}, "7"),
        (None, {}, None),
        ("\ud800", {}, "\ufffd"),
    ],
)
async def test_arguments_of_every_shape_come_as_an_object_or_as_malformed(
    opening: Opening, wire: str, sent: Any, arguments: dict[str, Any], malformed: str | None
) -> None:
    raw = calls_on(wire, {"name": "boil", "arguments": sent})
    [call] = (await answered(opening, wire, raw)).tool_calls()
    assert (call.name, call.arguments, call.malformed) == ("boil", arguments, malformed)


@pytest.mark.parametrize("wire", ["ollama", *OPENAI])
@pytest.mark.parametrize("function", [{}, None, {"name": None}, {"name": ""}, {"name": 5}, "boil"])
async def test_a_call_without_a_name_is_a_bad_answer(opening: Opening, wire: str, function: Any) -> None:
    found = await answered(opening, wire, calls_on(wire, function))
    with pytest.raises(ModelFailure) as failed:
        found.tool_calls()
    assert failed.value.kind is BAD


@pytest.mark.parametrize("wire", OPENAI)
async def test_two_calls_never_have_one_id(opening: Opening, wire: str) -> None:
    boil = {"name": "boil", "arguments": "{}"}
    for ids in (("a", "a", "a"), ("", None, 3), ("call_1_1", "x", "x")):
        found = (await answered(opening, wire, calls_on(wire, boil, boil, boil, ids=ids))).tool_calls()
        assert len({call.id for call in found}) == 3, found


@pytest.mark.parametrize("wire", OPENAI)
async def test_calls_without_an_index_are_told_apart_by_their_names(opening: Opening, wire: str) -> None:
    parts = [
        {"id": "a", "function": {"name": "boil", "arguments": '{"a"'}},
        {"function": {"arguments": ": 1}"}},
        {"id": "b", "function": {"name": "pour", "arguments": "{}"}},
    ]
    found = (await answered(opening, wire, on_openai({"tool_calls": parts}))).tool_calls()
    assert found == (ToolCall(id="a", name="boil", arguments={"a": 1}), ToolCall(id="b", name="pour"))


@pytest.mark.parametrize(
    ("wire", "raw", "text", "counts"),
    [
        ("ollama", on_ollama({"content": None, "thinking": None, "tool_calls": None}), "", (None, None)),
        ("ollama", on_ollama(None), "", (None, None)),
        ("ollama", on_ollama({"content": 5}), "5", (None, None)),
        ("ollama", on_ollama({"content": "\ud800x"}), "\ufffdx", (None, None)),
        ("ollama", on_ollama({"content": "x"}, prompt_eval_count="9", eval_count=-3), "x", (None, None)),
        ("ollama", on_ollama({"content": "x"}, done_reason={}, prompt_eval_count=2.0), "x", (2, None)),
        *((wire, raw, text, counts) for wire in OPENAI for raw, text, counts in [
            (on_openai({"content": None, "tool_calls": None}), "", (None, None)),
            (on_openai(None), "", (None, None)),
            (on_openai({"content": 5}), "5", (None, None)),
            (on_openai({"content": "\ud800x"}), "\ufffdx", (None, None)),
            (on_openai({"content": "x"}, finish_reason=["stop"]), "x", (None, None)),
            (on_openai({"content": "x"}, usage=WRONG), "x", (None, None)),
            (on_openai({"content": "x"}, usage="many"), "x", (None, None)),
            (on_openai({"content": "x"}, usage=PARTLY), "x", (2, None)),
        ]),
    ],
)  # fmt: skip
async def test_what_can_be_read_is_read(
    opening: Opening, wire: str, raw: list[Any], text: str, counts: tuple[int | None, int | None]
) -> None:
    found = await answered(opening, wire, raw)
    assert (found.text, found.tool_calls()) == (text, ())
    assert found.done is not None
    assert (found.done.input_tokens, found.done.output_tokens) == counts


@pytest.mark.parametrize(
    ("wire", "raw", "kind"),
    [
        ("ollama", [[]], BAD),
        ("ollama", [None], BAD),
        ("ollama", ["x"], BAD),
        ("ollama", on_ollama({"tool_calls": "boil"}), BAD),
        ("ollama", on_ollama({"tool_calls": ["boil"]}), BAD),
        ("ollama", [{"error": {"message": "no"}}], BAD),
        ("ollama", [{"message": {"content": "x"}}], BROKEN),
        *((wire, raw, kind) for wire in OPENAI for raw, kind in [
            ([{"choices": "none"}], BAD),
            ([{"choices": ["none"]}], BAD),
            (on_openai({"tool_calls": "boil"}), BAD),
            (on_openai({"tool_calls": ["boil"]}), BAD),
            ([{"choices": []}], BROKEN),
            ([{"choices": None}], BROKEN),
            ([{}], BROKEN),
            ([{"error": 5}], ModelErrorKind.PROVIDER_FAULT),
        ]),
        ("compatible", [[]], BAD),
        ("compatible", [None], BAD),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_a_failure_of_the_taxonomy(
    database: Database, telemetry: Telemetry, wire: str, raw: list[Any], kind: ModelErrorKind
) -> None:
    async with model_server(turns=[{"raw": [json.dumps(one) for one in raw]}]) as url:
        more = {"providers": [entry(wire, url)], "keys": [f"{wire}=sk-x"], "defaults": [f"{wire}=fake"]}
        async with routing(database, telemetry, **more) as opened:
            with pytest.raises(ModelFailure) as failed:
                await streamed(opened, asked(tools=(TOOL,), locality="allow_cloud"), caller())
    assert failed.value.attempts[-1].error is kind, failed.value.attempts


def answering(**answers: Any) -> AbstractAsyncContextManager[str]:
    """A server that answers each path, by its last part, with one text of JSON."""

    async def told(request: Request) -> Response:
        found = answers[request.url.path.rpartition("/")[2]]
        return Response(json.dumps(found), media_type="application/json")

    return serving(Starlette(routes=[Route("/{path:path}", told, methods=["GET", "POST"])]))


@pytest.mark.parametrize("rows", [7, "none", ["fake"], [None]])
async def test_lists_of_models_that_are_none_are_a_bad_answer(opening: Opening, rows: Any) -> None:
    async with answering(tags={"models": rows}, models={"data": rows}) as url:
        for wire in ("ollama", "compatible"):
            async with opening(wire, url) as provider:
                with pytest.raises(ModelFailure) as failed:
                    await provider.models()
                assert failed.value.kind is BAD


async def test_what_is_told_of_models_is_taken_for_what_it_can_be(opening: Opening) -> None:
    tags = {"models": [{"name": "a:latest", "digest": 5}, {"name": None}, {}]}
    about = {"model_info": {"general.architecture": "x", "x.context_length": "4096"}, "capabilities": [{}, 5]}
    listed = [{"id": "a", "max_model_len": "many", "meta": []}, {"id": 7}, {}]
    async with answering(tags=tags, show=about, models={"data": listed}) as url:
        for wire, name in (("ollama", "a:latest"), ("compatible", "a")):
            async with opening(wire, url) as provider:
                [found] = await provider.models()
                assert (found.name, found.context, found.digest) == (name, None, None)
    nothing: list[dict[str, Any]] = [{"model_info": None}, {"model_info": "x", "capabilities": "all"}]
    for one in nothing:
        async with answering(tags=tags, show=one) as url, opening("ollama", url) as provider:
            assert [model.context for model in await provider.models()] == [None]


@pytest.mark.parametrize("vectors", [[7], [["x"]], [None], [], "none"])
async def test_vectors_that_are_none_are_a_bad_answer(opening: Opening, vectors: Any) -> None:
    rows = [{"index": 0, "embedding": one} for one in vectors] if isinstance(vectors, list) else vectors
    async with answering(embed={"embeddings": vectors}, embeddings={"data": rows}) as url:
        for wire in ("ollama", "compatible"):
            async with opening(wire, url) as provider:
                with pytest.raises(ModelFailure) as failed:
                    await provider.embed("a", ["x"], None)
                assert failed.value.kind is BAD
