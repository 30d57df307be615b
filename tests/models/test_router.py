"""The router against stand-ins: who is asked, who comes next, and what a reader is told of it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from model_servers import asked, caller, entry, heard, model_server, routing, streamed
from stacks import TENANT, eventually

from minoots.contracts import EventType
from minoots.contracts.models import (
    Delta,
    DeltaKind,
    EmbeddingRequest,
    Locality,
    Message,
    ModelAnswer,
    ModelErrorKind,
    ModelRequest,
    OnBreak,
    Role,
    ToolSpec,
)
from minoots_activities.models.providers.ollama import OllamaServer
from minoots_activities.models.providers.ollama_models import loaded, pull
from minoots_platform.records import Database, events, schema
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

K = ModelErrorKind
CLOUD = Locality.ALLOW_CLOUD


def down(times: int | None = None) -> dict[str, Any]:
    return {"fault": {"kind": "status", "status": 503, "message": "overloaded"}, "times": times}


def cut(text: str = "one two three four", **more: Any) -> dict[str, Any]:
    return {"text": text, "fault": {"kind": "cut", "after": 2}, **more}


async def told(database: Database, kind: EventType) -> list[dict[str, Any]]:
    async with database.read() as connection:
        wanted = events.EventFilter(types=(kind.value,))
        page = await events.read(connection, TENANT, after=0, limit=100, wanted=wanted)
    return [event.data for event in page.events]


async def usage(database: Database) -> list[sa.Row[Any]]:
    async with database.read() as connection:
        return list(await connection.execute(sa.select(schema.model_usage)))


async def test_an_answer_comes_in_pieces_and_then_as_a_whole(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    turn = {"when": "tea", "text": "It is hot now.", "thinking": "Water first."}
    async with (
        model_server(turns=[turn]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        pieces, answer = await streamed(opened, asked())
        assert pieces[0].kind is DeltaKind.ATTEMPT
        said = "".join(piece.text for piece in pieces if piece.kind is DeltaKind.TEXT)
        assert said == answer.text == "It is hot now."
        assert answer.thinking == "Water first."
        assert (answer.provider, answer.model, answer.local) == ("ollama", "fake:latest", True)
        assert answer.usage.output_tokens == 6
        assert answer.usage.cost_micros == 0
        assert answer.attempts[-1].number == 1
        assert not answer.fell_back
        assert answer.warnings == ()
        assert answer.timings.first_token_ms is not None
        body = (await heard(url))[-1]["body"]
        assert body["options"]["num_ctx"] == 8192
        assert body["options"]["num_predict"] == 4096
        assert body["keep_alive"] == "5m"
    # Written beside the calls, and at the latest when the router is closed.
    [row] = await usage(sqlite_database)
    assert (row.provider, row.local, row.outcome, row.output_tokens) == ("ollama", True, "answered", 6)


async def test_the_next_provider_answers_and_everybody_is_told(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server(turns=[down()]) as one,
        model_server(turns=[{"text": "Here."}]) as two,
        routing(
            sqlite_database,
            telemetry,
            providers=[entry("ollama", one), entry("openai", two)],
            keys=["openai=sk-test"],
            defaults=["openai=fake:latest"],
        ) as opened,
    ):
        pieces, answer = await streamed(opened, asked(locality=CLOUD))
        assert answer.text == "Here."
        assert answer.fell_back
        assert not answer.local
        assert [(one.provider, one.error) for one in answer.attempts] == [
            ("ollama", K.OVERLOADED),
            ("openai", None),
        ]
        starts = [piece for piece in pieces if piece.kind is DeltaKind.ATTEMPT]
        assert [(piece.attempt, piece.provider, piece.reason, piece.drop) for piece in starts] == [
            (1, "ollama", None, False),
            (2, "openai", "overloaded", False),
        ]
    [event] = await told(sqlite_database, EventType.MODEL_FELL_BACK)
    assert (event["from"], event["to"], event["error"]) == (
        "ollama/fake:latest",
        "openai/fake:latest",
        "overloaded",
    )
    fallbacks = telemetry.registry.get_sample_value(
        "minoots_models_fallbacks_total",
        {"provider": "ollama", "model": "fake:latest", "error": "overloaded"},
    )
    assert fallbacks == 1


async def test_words_of_a_local_request_never_leave(sqlite_database: Database, telemetry: Telemetry) -> None:
    async with (
        model_server(turns=[down()]) as one,
        model_server() as two,
        routing(
            sqlite_database,
            telemetry,
            providers=[entry("ollama", one), entry("compatible", two, "vllm"), entry("openai", two)],
            cloud=["vllm"],
            keys=["openai=sk-test"],
            defaults=["openai=fake:latest", "vllm=fake:latest"],
        ) as opened,
    ):
        with pytest.raises(ModelFailure) as failed:
            await opened.router.complete(asked(), caller())
        assert failed.value.kind is K.OVERLOADED
        reasons = {attempt.provider: attempt.error for attempt in failed.value.attempts}
        assert reasons == {"vllm": K.NOT_ALLOWED, "openai": K.NOT_ALLOWED, "ollama": K.OVERLOADED}
        for provider in ("openai", "vllm"):
            with pytest.raises(ModelFailure, match="local_only") as failed:
                await opened.router.complete(asked(provider=provider), caller())
            assert failed.value.kind is K.NOT_ALLOWED
        with pytest.raises(ModelFailure, match="local_only"):
            await opened.router.complete(asked(provider="openai", model="gpt-5"), caller())
        assert await heard(two) == []


async def test_a_model_of_ollamas_cloud_is_no_local_one(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    models = [{"name": "far:cloud", "remote": True}]
    async with (
        model_server(models=models) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        with pytest.raises(ModelFailure) as failed:
            await opened.router.complete(asked(model="far:cloud"), caller())
        assert failed.value.kind is K.NOT_ALLOWED
        answer = await opened.router.complete(asked(model="far:cloud", locality=CLOUD), caller())
        assert not answer.local


@pytest.mark.parametrize("on_break", [OnBreak.FAIL, OnBreak.RESTART, OnBreak.CONTINUE])
async def test_a_break_in_the_middle_is_dealt_with_as_was_asked(
    sqlite_database: Database, telemetry: Telemetry, on_break: OnBreak
) -> None:
    goes_on = {"when": "Continue exactly", "text": "three four"}
    async with (
        model_server(turns=[goes_on, cut()]) as one,
        model_server(turns=[goes_on, {"text": "one two three four"}]) as two,
        routing(
            sqlite_database, telemetry, providers=[entry("ollama", one, "a"), entry("ollama", two, "b")]
        ) as opened,
    ):
        seen: list[Delta] = []
        answer: ModelAnswer | None = None
        failure: ModelFailure | None = None
        try:
            async for piece in opened.router.stream(asked(on_break=on_break), caller()):
                if isinstance(piece, ModelAnswer):
                    answer = piece
                else:
                    seen.append(piece)
        except ModelFailure as error:
            failure = error
        starts = [piece.drop for piece in seen if piece.kind is DeltaKind.ATTEMPT]
        if on_break is OnBreak.FAIL:
            assert failure is not None
            assert failure.kind is K.BROKEN_STREAM
            assert failure.attempts[-1].broke_off
            assert await heard(two) == []
            return
        assert answer is not None
        assert answer.text == "one two three four"
        assert answer.attempts[0].broke_off
        assert starts == [False, on_break is OnBreak.RESTART]
        # What a reader has who does as told is the answer.
        read = ""
        for piece in seen:
            if piece.kind is DeltaKind.ATTEMPT and piece.drop:
                read = ""
            if piece.kind is DeltaKind.TEXT:
                read += piece.text
        assert read == answer.text
        sent = (await heard(two))[-1]["body"]["messages"]
        assert [message["role"] for message in sent] == (
            ["user"] if on_break is OnBreak.RESTART else ["user", "assistant", "user"]
        )


async def test_one_provider_is_asked_once_more_after_a_break(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server(turns=[cut(times=1), {"text": "whole"}]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        _, answer = await streamed(opened, asked(on_break=OnBreak.RESTART))
        assert answer.text == "whole"
        assert not answer.fell_back
        assert len(answer.attempts) == 2
    async with (
        model_server(turns=[cut()]) as url,
        routing(sqlite_database, telemetry, providers=[f"other:ollama={url}"]) as opened,
    ):
        with pytest.raises(ModelFailure) as failed:
            await streamed(opened, asked(on_break=OnBreak.RESTART))
        assert len(failed.value.attempts) == 2


async def test_who_waits_for_the_whole_has_a_break_made_good(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server(turns=[cut(times=1), {"text": "whole"}]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        assert (await opened.router.complete(asked(), caller())).text == "whole"


@pytest.mark.parametrize(
    ("cloud", "kind", "besides"),
    [
        ({"fault": {"kind": "status", "status": 401}}, K.OVERLOADED, "unauthenticated"),
        ({"fault": {"kind": "status", "status": 402}}, K.OVERLOADED, "out_of_funds"),
        ({"text": "never said"}, K.OVERLOADED, "over_budget"),
        # Nobody else is asked after this one: the request itself is wrong.
        ({"fault": {"kind": "status", "status": 422}}, K.INVALID, "overloaded"),
        ({"text": "a b c d", "fault": {"kind": "cut", "after": 2}}, K.BROKEN_STREAM, "overloaded"),
    ],
)
async def test_a_fallback_that_cannot_answer_ends_no_call_whose_own_model_is_away_for_a_moment(
    sqlite_database: Database, telemetry: Telemetry, cloud: dict[str, Any], kind: K, besides: str
) -> None:
    away = {"fault": {"kind": "status", "status": 503}}
    async with (
        model_server(turns=[away]) as near,
        model_server(turns=[cloud]) as far,
        routing(
            sqlite_database,
            telemetry,
            providers=[f"ollama={near}", f"openai={far}/v1"],
            keys=["openai=sk-test"],
            defaults=["openai=fake"],
            budget={"job_tokens": 10} if besides == "over_budget" else {},
        ) as opened,
    ):
        with pytest.raises(ModelFailure, match=f"besides: {besides}") as failed:
            await streamed(opened, asked(locality=CLOUD), caller(job_id="job_1"))
        assert failed.value.kind is kind


async def test_an_unknown_model_names_the_nearest(sqlite_database: Database, telemetry: Telemetry) -> None:
    models = [{"name": "qwen3:8b"}, {"name": "llama3:latest"}]
    async with (
        model_server(models=models) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        with pytest.raises(ModelFailure, match=r"qwen3:8b") as failed:
            await opened.router.complete(asked(model="quen3:8b"), caller())
        assert failed.value.kind is K.UNKNOWN_MODEL
        with pytest.raises(ModelFailure, match="did you mean ollama") as failed:
            await opened.router.complete(asked(provider="olama"), caller())
        assert failed.value.kind is K.UNKNOWN_PROVIDER


async def test_who_may_not_be_asked_is_not_said_to_lack_a_model(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with model_server() as url:
        providers = [f"ollama={url}", f"desk:compatible={url}/v1"]
        async with routing(sqlite_database, telemetry, providers=providers, cloud=["desk"]) as opened:
            alone = (
                r"no model quen at ollama \(desk may not be asked: the request is local_only\); the nearest"
            )
            with pytest.raises(ModelFailure, match=alone):
                await opened.router.complete(asked(model="quen"), caller())
            with pytest.raises(ModelFailure, match="no model quen at ollama, desk; the nearest"):
                await opened.router.complete(asked(model="quen", locality="allow_cloud"), caller())


async def test_what_is_too_long_is_refused_with_how_much_and_what_would_take_it(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    models = [
        {"name": "small:latest", "context_length": 1024},
        {"name": "vectors:latest", "capabilities": ["embedding"]},
        {"name": "large:latest"},
    ]
    async with (
        model_server(models=models) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        with pytest.raises(
            ModelFailure, match=r"more than the 1024.*ollama/large:latest \(32768\)"
        ) as failed:
            await opened.router.complete(asked("word " * 4000, model="small"), caller())
        assert failed.value.kind is K.CONTEXT_TOO_LONG
        assert "vectors" not in failed.value.detail, "it takes as much, and answers nothing"
        with pytest.raises(ModelFailure, match="more than its context_tokens of 2048") as failed:
            await opened.router.complete(asked("word " * 4000, context_tokens=2048), caller())
        assert failed.value.kind is K.CONTEXT_TOO_LONG
        assert "Send more context_tokens" in failed.value.remedy
        assert not any(one["path"] == "/api/chat" for one in await heard(url))
        # Where none is named and none is the provider's default, one that takes it is chosen.
        assert (await opened.router.complete(asked("word"), caller())).model == "small:latest"
        assert (await opened.router.complete(asked("word " * 4000), caller())).model == "large:latest"


async def test_a_model_is_chosen_by_what_it_can(sqlite_database: Database, telemetry: Telemetry) -> None:
    models = [
        {"name": "vectors:latest", "capabilities": ["embedding"]},
        {"name": "plain:latest", "capabilities": ["completion"]},
        {"name": "able:latest", "capabilities": ["completion", "tools"]},
    ]
    async with (
        model_server(models=models) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        assert (await opened.router.complete(asked(), caller())).model == "plain:latest"
        tools = (ToolSpec(name="boil"),)
        assert (await opened.router.complete(asked(tools=tools), caller())).model == "able:latest"
        with pytest.raises(ModelFailure, match="does not do tools") as failed:
            await opened.router.complete(asked(tools=tools, model="plain"), caller())
        assert failed.value.kind is K.UNSUPPORTED
        vectors = await opened.router.embed(EmbeddingRequest(texts=("a", "b")), caller())
        assert vectors.model == "vectors:latest"
        assert len(vectors.vectors) == 2


async def test_a_provider_without_a_key_is_passed_over_and_says_so(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with routing(sqlite_database, telemetry, providers=["openai"]) as opened:
        with pytest.raises(ModelFailure, match="openai lacks a key") as failed:
            await opened.router.complete(asked(model="gpt-5", locality=CLOUD), caller())
        assert failed.value.kind is K.NOT_CONFIGURED
        assert "MINOOTS_MODELS__KEYS" in failed.value.remedy


async def test_an_alarm_tells_that_a_model_has_not_read_everything(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    long = ModelRequest(
        messages=(Message(role=Role.SYSTEM, text="word " * 4000), Message(role=Role.USER, text="make tea")),
        # The stand-in drops what is beyond this without a word, as the real one does.
        context_tokens=8192,
        max_tokens=64,
    )
    turns = [{"text": "I invent."}]
    async with (
        model_server(turns=turns) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        first = await opened.router.complete(long, caller())
        assert first.warnings == ()
    # Now the server has less than it is asked for.
    cut_off = long.model_copy(update={"context_tokens": None})
    async with (
        _less(turns) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        answer = await opened.router.complete(cut_off, caller("call-2", job_id="job_1"))
        assert "has not read all" in answer.warnings[0]
        [event] = await told(sqlite_database, EventType.MODEL_TRUNCATED)
        assert event["evaluated"] == 256
        assert event["sent_about"] > 4000
    async with (
        _less(turns, refuses=False) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"], on_truncation="fail") as opened,
    ):
        with pytest.raises(ModelFailure) as failed:
            await opened.router.complete(cut_off, caller())
        assert failed.value.kind is K.TRUNCATED


async def test_tools_beside_few_words_raise_no_alarm_and_what_is_cut_off_does(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    tools = tuple(
        ToolSpec(name=f"tool_{number}", description="what it does " * 30, parameters={"type": "object"})
        for number in range(8)
    )
    question = asked("make tea " * 100, tools=tools)
    for url_of, warned in ((model_server(turns=[{"text": "ok"}]), False), (_less([{"text": "ok"}]), True)):
        async with (
            url_of as url,
            routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
        ):
            # The other one looks at so much of it as is less than the words are.
            sent = asked("make tea " * 400, tools=tools) if warned else question
            answer = await opened.router.complete(sent, caller())
            assert bool(answer.warnings) is warned
            if not warned:
                assert answer.usage.input_tokens > 900, "tools are counted, too"


async def test_a_server_that_can_is_told_to_drop_nothing(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    # Too little for the alarm to be sure of it: a few tokens more than the server looks at.
    text = "tea " * 300
    async with (
        _less([{"text": "ok"}]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"], on_truncation="fail") as opened,
    ):
        with pytest.raises(ModelFailure, match="input length exceeds") as failed:
            await opened.router.complete(asked(text), caller())
        assert failed.value.kind is K.CONTEXT_TOO_LONG
        [question] = await heard(url)
        assert question["body"]["truncate"] is False
        assert question["body"]["shift"] is False
    async with (
        _less([{"text": "ok"}]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        answer = await opened.router.complete(asked(text), caller())
        assert "truncate" not in (await heard(url))[-1]["body"]
        assert answer.text == "ok"


def _less(turns: list[dict[str, Any]], **more: Any) -> Any:
    """A server that looks at no more than 256 tokens, whatever it is asked for."""
    return model_server(turns=turns, most_context=256, **more)


async def test_an_answer_that_is_not_of_the_schema_is_none(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    schema_ = {"type": "object", "properties": {"cups": {"type": "integer"}}, "required": ["cups"]}
    turns = [{"text": '{"cups": "two"}', "times": 1}, {"text": '{"cups": 2}'}]
    async with (
        model_server(turns=turns) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        with pytest.raises(ModelFailure, match="cups breaks type") as failed:
            await streamed(opened, asked(json_schema=schema_))
        assert failed.value.kind is K.BAD_ANSWER
        _, answer = await streamed(opened, asked(json_schema=schema_))
        assert answer.text == '{"cups": 2}'
        with pytest.raises(ModelFailure, match=r"json_schema\.type: expected one of") as failed:
            await streamed(opened, asked(json_schema={"type": "nonsense"}))
        assert failed.value.kind is K.INVALID


async def test_a_schema_fetches_nothing(sqlite_database: Database, telemetry: Telemetry) -> None:
    async with model_server() as elsewhere, model_server(turns=[{"text": "{}"}]) as url:
        schema_ = {"$ref": f"{elsewhere}/schema.json"}
        async with routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened:
            with pytest.raises(ModelFailure, match="a place in the schema itself"):
                await opened.router.complete(asked(json_schema=schema_), caller())


@pytest.mark.parametrize("after", [0, 2])
async def test_a_model_that_hangs_is_given_up(
    sqlite_database: Database, telemetry: Telemetry, after: int
) -> None:
    hang = {"text": "one two three", "fault": {"kind": "hang", "after": after}}
    async with (
        model_server(turns=[hang]) as url,
        routing(
            sqlite_database,
            telemetry,
            providers=[f"ollama={url}"],
            first_seconds=0.2 if after == 0 else 30,
            stall_seconds=0.2,
        ) as opened,
    ):
        with pytest.raises(ModelFailure) as failed:
            await streamed(opened, asked())
        assert failed.value.kind is K.TIMEOUT
        deadline = datetime.now(UTC) + timedelta(seconds=0.05)
        with pytest.raises(ModelFailure, match="deadline") as failed:
            await streamed(opened, asked(deadline=deadline))
        assert failed.value.kind is K.TIMEOUT


async def test_who_stops_listening_stops_the_model_and_the_usage_is_kept(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server(turns=[{"text": "one " * 1000, "pace": 0.01}]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        async with aclosing(opened.router.stream(asked(), caller())) as answer:
            async for piece in answer:
                if isinstance(piece, Delta) and piece.kind is DeltaKind.TEXT:
                    break
        assert not (await heard(url))[-1]["complete"]

        seen = asyncio.Event()

        async def listen() -> None:
            async for piece in opened.router.stream(asked(), caller("call-2")):
                if isinstance(piece, Delta) and piece.kind is DeltaKind.TEXT:
                    seen.set()

        task = asyncio.create_task(listen())
        async with asyncio.timeout(20):
            await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def both() -> bool:
            return [row.outcome for row in await usage(sqlite_database)] == ["cancelled", "cancelled"]

        await eventually(both, bool)


async def test_a_model_that_is_pulled_is_found_at_once(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    models = [{"name": "here:latest"}, {"name": "late:latest", "pulled": False}]
    async with (
        model_server(models=models) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        await opened.router.complete(asked(), caller())
        server = opened.providers["ollama"]
        assert isinstance(server, OllamaServer)
        [one async for one in pull(server, "late")]

        async def found() -> str:
            try:
                return (await opened.router.complete(asked(model="late"), caller())).model
            except ModelFailure as failure:
                # Nobody is asked twice within a second what it has.
                return failure.kind.value

        assert await eventually(found, lambda seen: seen != K.UNKNOWN_MODEL.value) == "late:latest"


async def test_models_that_are_to_be_warm_are_in_memory(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server() as url,
        routing(
            sqlite_database, telemetry, providers=[f"ollama={url}"], warm=["ollama=nowhere", "ollama=fake"]
        ) as opened,
    ):
        server = opened.providers["ollama"]
        assert isinstance(server, OllamaServer)

        async def names() -> list[str]:
            return [one.name for one in await loaded(server)]

        # One that cannot be had keeps no other one cold.
        await eventually(names, lambda seen: seen == ["fake:latest"])
        told = [one["body"] for one in await heard(url) if one["path"] == "/api/generate"]
        assert told[-1]["options"] == {"num_ctx": 8192}


async def test_a_cloud_model_without_a_price_says_that_it_counts_for_nothing(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server() as url,
        routing(
            sqlite_database, telemetry, providers=[entry("openai", url)], keys=["openai=sk-test"]
        ) as opened,
    ):
        answer = await opened.router.complete(asked(model="fake:latest", locality=CLOUD), caller())
        assert "no price of openai/fake:latest is known" in answer.warnings[0]
        with pytest.raises(ModelFailure, match="no default model") as failed:
            await opened.router.complete(asked(locality=CLOUD), caller())
        assert failed.value.kind is K.NOT_CONFIGURED
