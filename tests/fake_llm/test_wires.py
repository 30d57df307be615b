"""The stand-in through the real clients of Ollama and OpenAI: what they are told, and how it fails."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import ollama
import openai
import pytest
from model_servers import model_server
from stacks import eventually

MODEL = "fake"
ASKED = [{"role": "user", "content": "make tea"}]
TOOL = {"name": "boil", "arguments": {"litres": 1}}
Serving = Callable[..., AbstractAsyncContextManager[str]]

CLIENTS: list[ollama.AsyncClient] = []
"""Open ones of the test that runs; closed before its server."""


@pytest.fixture
def serving() -> Serving:
    """Serves a script on a free port."""

    @asynccontextmanager
    async def serve(**script: Any) -> AsyncIterator[str]:
        async with model_server(**script) as url:
            yield url
            while CLIENTS:
                await CLIENTS.pop().close()

    return serve


def native(url: str, timeout: float = 10) -> ollama.AsyncClient:
    CLIENTS.append(ollama.AsyncClient(url, timeout=timeout, trust_env=False))
    return CLIENTS[-1]


@asynccontextmanager
async def compatible(url: str, key: str = "any") -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=10) as client:
        yield client


async def streamed(url: str, **more: Any) -> list[ollama.ChatResponse]:
    return [part async for part in await native(url).chat(MODEL, ASKED, stream=True, **more)]


# Ollama


async def test_an_answer_is_said_word_by_word_and_counted(serving: Serving) -> None:
    async with serving(turns=[{"when": "tea", "text": "It is hot now.", "thinking": "Water first."}]) as url:
        *parts, last = await streamed(url)
        assert "".join(part.message.content or "" for part in parts) == "It is hot now."
        assert "".join(part.message.thinking or "" for part in parts) == "Water first."
        assert last.done
        assert (last.done_reason, last.eval_count) == ("stop", 6)
        whole = await native(url).chat(MODEL, ASKED)
        assert (whole.message.content, whole.message.thinking) == ("It is hot now.", "Water first.")


async def test_tools_are_called_and_turns_follow_one_another(serving: Serving) -> None:
    turns = [{"tool_calls": [TOOL], "times": 1}, {"text": "Done: {last}"}]
    async with serving(turns=turns) as url:
        first = await native(url).chat(MODEL, ASKED)
        [call] = first.message.tool_calls or ()
        assert (call.function.name, call.function.arguments) == ("boil", {"litres": 1})
        told = {"role": "tool", "content": "boiled", "tool_name": "boil"}
        second = await native(url).chat(MODEL, [*ASKED, first.message, told])
        assert second.message.content == "Done: boiled"


async def test_what_is_beyond_the_context_is_dropped_without_a_word(serving: Serving) -> None:
    long = [{"role": "user", "content": "tea " * 10_000}]
    async with serving() as url:
        short = await native(url).chat(MODEL, long)
        assert short.prompt_eval_count == 4096
        wide = await native(url).chat(MODEL, long, options={"num_ctx": 32_768})
        assert wide.prompt_eval_count is not None
        assert wide.prompt_eval_count > 10_000


async def test_a_script_may_leave_the_tag_of_a_model_out(serving: Serving) -> None:
    turns = [{"model": "small", "text": "I am small."}, {"model": "big:1b", "text": "I am big."}]
    async with serving(models=[{"name": "small"}, {"name": "big:1b"}], turns=turns) as url:
        assert [one.model for one in (await native(url).list()).models] == ["small:latest", "big:1b"]
        for name in ("small", "small:latest"):
            assert (await native(url).chat(name, ASKED)).message.content == "I am small."
            async with compatible(url) as client:
                answer = await client.chat.completions.create(model=name, messages=ASKED)
                assert answer.choices[0].message.content == "I am small."
        async with compatible(url) as client:
            assert [one.id async for one in client.models.list()] == ["big:1b", "small"]
        assert (await native(url).chat("big:1b", ASKED)).message.content == "I am big."
        with pytest.raises(ollama.ResponseError):
            await native(url).chat("big", ASKED)


PICTURE = "iVBORw0KGgo" * 8_000
"""A picture's bytes, as base64: no model reads them as words."""


@pytest.mark.parametrize(
    ("path", "image"),
    [
        ("/api/chat", {"images": [PICTURE]}),
        ("/v1/chat/completions", {"type": "image_url", "image_url": {"url": PICTURE}}),
        ("/v1/messages", {"type": "image", "source": {"type": "base64", "data": PICTURE}}),
    ],
)
async def test_tools_are_counted_and_an_image_is_so_many_tokens(
    serving: Serving, path: str, image: dict[str, Any]
) -> None:
    tools = [{"name": "boil", "description": "water " * 400}]
    alone = {"role": "user", "content": "tea"}
    seen = {**alone, **image} if "images" in image else {**alone, "content": [image]}
    async with (
        serving(turns=[{"text": "ok"}]) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as one,
    ):

        async def counted(message: dict[str, Any], **more: Any) -> int:
            body = {"model": MODEL, "messages": [message], "stream": True, "max_tokens": 9, **more}
            body |= {"stream_options": {"include_usage": True}}
            told = (await one.post(path, json=body)).text
            found = re.search(r'"(?:prompt_eval_count|prompt_tokens|input_tokens)": (\d+)', told)
            assert found is not None, told
            return int(found[1])

        plain = await counted(alone)
        assert plain < 50
        assert plain + 600 <= await counted(alone, tools=tools) < plain + 700
        assert plain + 1_450 <= await counted(seen) < plain + 1_550
        if path == "/v1/messages":
            assert plain + 600 <= await counted(alone, system="water " * 400) < plain + 700


async def test_models_are_listed_shown_loaded_unloaded_pulled_and_deleted(serving: Serving) -> None:
    models = [
        {"name": "fake:latest"},
        {"name": "other:1b", "pulled": False, "context_length": 2048, "capabilities": ["completion"]},
    ]
    async with serving(models=models) as url:
        client = native(url)
        assert [one.model for one in (await client.list()).models] == ["fake:latest"]
        assert (await client.ps()).models == []
        loaded = await client.chat(MODEL, [], keep_alive="1m")
        assert loaded.done_reason == "load"
        [running] = (await client.ps()).models
        assert running.model == "fake:latest"
        assert (await client.chat(MODEL, [], keep_alive=0)).done_reason == "unload"
        assert (await client.ps()).models == []
        with pytest.raises(ollama.ResponseError) as missing:
            await client.chat("other:1b", ASKED)
        assert missing.value.status_code == 404
        told = [part async for part in await client.pull("other:1b", stream=True)]
        assert told[-1].status == "success"
        assert max(part.completed or 0 for part in told) == told[1].total
        shown = await client.show("other:1b")
        assert shown.capabilities == ["completion"]
        assert (shown.modelinfo or {})["fake.context_length"] == 2048
        await client.delete("other:1b")
        assert [one.model for one in (await client.list()).models] == ["fake:latest"]
        pulling = await client.pull("nobody", stream=True)
        with pytest.raises(ollama.ResponseError, match="file does not exist"):
            [part async for part in pulling]


async def test_vectors_are_the_same_for_the_same_text_and_near_for_like_ones(serving: Serving) -> None:
    async with serving() as url:
        texts = ["green tea", "black tea", "a bicycle", "green tea"]
        green, black, wheels, again = (await native(url).embed("fake-embed", texts)).embeddings
        assert green == again
        assert len(green) == 64

        def near(one: Any, other: Any) -> float:
            return sum(a * b for a, b in zip(one, other, strict=True))

        assert near(green, black) > near(green, wheels)
        assert near(green, green) == pytest.approx(1)


@pytest.mark.parametrize(("status", "retry"), [(429, 7), (500, None), (503, None)])
async def test_an_error_before_the_answer_has_its_status(
    serving: Serving, status: int, retry: int | None
) -> None:
    fault = {"kind": "status", "status": status, "message": "busy", "retry_after": retry}
    async with serving(turns=[{"fault": fault}]) as url:
        with pytest.raises(ollama.ResponseError, match="busy") as raised:
            await streamed(url)
        assert raised.value.status_code == status
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{url}/api/chat", json={"model": MODEL, "messages": ASKED})
        assert answer.headers.get("retry-after") == (None if retry is None else "7")


async def test_an_error_in_the_middle_comes_in_an_answer_that_began_well(serving: Serving) -> None:
    turn = {"text": "one two three", "fault": {"kind": "error", "after": 2, "message": "out of memory"}}
    async with serving(turns=[turn]) as url:
        said: list[str | None] = []

        async def listen() -> None:
            async for part in await native(url).chat(MODEL, ASKED, stream=True):
                said.append(part.message.content)

        with pytest.raises(ollama.ResponseError, match="out of memory"):
            await listen()
        assert said == ["one ", "two "]


async def test_a_cut_ends_the_connection_and_garbage_is_no_json(serving: Serving) -> None:
    turns = [
        {"text": "one two", "fault": {"kind": "cut", "after": 1}, "times": 1},
        {"text": "one two", "fault": {"kind": "garbage", "after": 1}, "times": 1},
    ]
    async with serving(turns=turns) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            await streamed(url)
        with pytest.raises(json.JSONDecodeError):
            await streamed(url)


async def test_a_hang_lasts_until_the_client_gives_up(serving: Serving) -> None:
    turn = {"text": "one two", "fault": {"kind": "hang", "after": 1}}
    async with serving(turns=[turn]) as url:
        hanging = await native(url, timeout=0.3).chat(MODEL, ASKED, stream=True)
        with pytest.raises(httpx.ReadTimeout):
            [part async for part in hanging]
        async with httpx.AsyncClient(trust_env=False) as http:

            async def heard() -> Any:
                return (await http.get(f"{url}/fake/requests")).json()

            [one] = await eventually(heard, lambda told: bool(told and told[0]["ended_at"]))
        assert (one["pieces"], one["complete"]) == (1, False)


# OpenAI


async def test_the_same_turns_are_said_on_the_other_wire(serving: Serving) -> None:
    turns = [{"tool_calls": [TOOL], "times": 1}, {"text": "It is hot now."}]
    async with serving(turns=turns) as url, compatible(url) as client:
        first = await client.chat.completions.create(model=MODEL, messages=ASKED)
        [call] = first.choices[0].message.tool_calls or ()
        assert (call.function.name, json.loads(call.function.arguments)) == ("boil", {"litres": 1})
        assert first.choices[0].finish_reason == "tool_calls"
        stream = await client.chat.completions.create(
            model=MODEL, messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(said) == "It is hot now."
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 4


async def test_errors_are_those_that_its_client_knows(serving: Serving) -> None:
    turns = [
        {"fault": {"kind": "status", "status": 429, "retry_after": 3}, "times": 1},
        {"fault": {"kind": "status", "status": 503}, "times": 1},
        {"text": "one two", "fault": {"kind": "error", "after": 1, "message": "gone"}},
    ]
    models = [{"name": "fake:latest", "context_length": 64}]
    async with serving(turns=turns, api_key="right", models=models) as url:
        async with compatible(url, "wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        async with compatible(url, "right") as client:
            assert [model.id async for model in await client.models.list()] == ["fake:latest"]
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(model="nobody", messages=ASKED)
            message = {"role": "user", "content": "tea " * 100}
            with pytest.raises(openai.BadRequestError) as long:
                await client.chat.completions.create(model=MODEL, messages=[message])
            assert long.value.code == "context_length_exceeded"
            with pytest.raises(openai.RateLimitError) as busy:
                await client.chat.completions.create(model=MODEL, messages=ASKED)
            assert busy.value.response.headers["retry-after"] == "3"
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model=MODEL, messages=ASKED)
            stream = await client.chat.completions.create(model=MODEL, messages=ASKED, stream=True)
            with pytest.raises(openai.APIError, match="gone"):
                [chunk async for chunk in stream]


async def test_a_model_answers_to_the_name_that_the_script_gives_it(serving: Serving) -> None:
    turns = [{"model": "gpt", "text": "I am gpt."}]
    async with serving(models=[{"name": "gpt"}], turns=turns) as url, compatible(url) as client:
        [name] = [model.id async for model in await client.models.list()]
        done = await client.chat.completions.create(model=name, messages=ASKED)
        assert done.choices[0].message.content == "I am gpt."
        for asked in (name, f"{name}:latest"):
            assert (await native(url).chat(asked, ASKED)).message.content == "I am gpt."


async def test_fewer_words_than_there_are_is_an_end_by_length(serving: Serving) -> None:
    async with serving(turns=[{"text": "one two three"}]) as url, compatible(url) as client:
        done = await client.chat.completions.create(model=MODEL, messages=ASKED, max_tokens=2)
        assert done.choices[0].finish_reason == "length"
        short = await native(url).chat(MODEL, ASKED, options={"num_predict": 2})
        assert (short.done_reason, short.eval_count) == ("length", 2)
        assert short.message.content == "one two "


async def test_vectors_are_had_on_the_other_wire_too(serving: Serving) -> None:
    async with serving() as url, compatible(url) as client:
        found = await client.embeddings.create(model="fake-embed", input=["tea"], encoding_format="float")
        [vector] = (await native(url).embed("fake-embed", "tea")).embeddings
        assert found.data[0].embedding == pytest.approx(list(vector))
