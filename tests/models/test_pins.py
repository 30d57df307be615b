"""A pinned model is the one that is pinned, or is not used; that another one answers instead is told."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
from model_servers import asked, caller, entry, heard, model_server, routing
from sqlalchemy import select

from minoots.contracts import EventType
from minoots.contracts.models import Delta, DeltaKind, EmbeddingRequest, ModelAnswer, ModelErrorKind
from minoots_activities.models.pins import require_pinned
from minoots_activities.models.providers.ollama import OllamaServer
from minoots_activities.models.providers.ollama_models import loaded, warm_up
from minoots_platform.records import Database, schema
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

DIGEST = hashlib.sha256(b"fake:latest").hexdigest()
OTHER = "0" * 12
CHANGING = [{"name": "fake:latest", "changes": True}]


async def pull(url: str, model: str = "fake") -> None:
    """Pull the model at a server, past us."""
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.post(f"{url}/api/pull", json={"model": model, "stream": False})).raise_for_status()


async def fallbacks(database: Database) -> list[dict[str, Any]]:
    """What was told of fallbacks."""
    query = select(schema.events.c.data).where(schema.events.c.type == EventType.MODEL_FELL_BACK.value)
    async with database.read() as connection:
        return list((await connection.execute(query)).scalars())


@pytest.mark.parametrize("pinned", ["fake", "fake:latest"])
async def test_a_model_that_was_pulled_anew_is_refused_by_the_next_call(
    sqlite_database: Database, telemetry: Telemetry, pinned: str
) -> None:
    pins = [f"ollama/{pinned}=sha256:{DIGEST}"]
    async with (
        model_server(models=CHANGING) as url,
        # What there is would be looked at once an hour.
        routing(
            sqlite_database, telemetry, providers=[f"ollama={url}"], pins=pins, look_seconds=3600
        ) as opened,
    ):
        assert (await opened.router.complete(asked(model="fake"), caller())).model == "fake:latest"
        await pull(url)
        before = len(await heard(url))
        for model in ("fake", None):
            with pytest.raises(ModelFailure, match="which is pinned; ollama has") as failed:
                await opened.router.complete(asked(model=model), caller())
            assert failed.value.kind is ModelErrorKind.DENIED
            assert "models.pins" in failed.value.remedy
        assert len(await heard(url)) == before, "nothing was sent to it"


async def test_that_another_model_answers_in_its_place_is_told(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server() as url,
        model_server() as other,
        routing(
            sqlite_database,
            telemetry,
            providers=[f"ollama={url}", entry("compatible", other)],
            pins=[f"ollama/fake={OTHER}"],
        ) as opened,
    ):
        answer = await opened.router.complete(asked(model="fake"), caller(job_id="job_1"))
        assert answer.provider == "compatible"
        assert answer.fell_back
        assert [(one.number, one.provider, one.error) for one in answer.attempts] == [
            (0, "ollama", ModelErrorKind.DENIED),
            (1, "compatible", None),
        ]
        [told] = await fallbacks(sqlite_database)
        assert told["from"] == "ollama/fake"
        assert told["error"] == "denied"
        assert await heard(url) == []


@pytest.mark.parametrize("on_break", ["fail", "restart", "continue"])
async def test_an_answer_of_a_model_that_was_changed_meanwhile_is_not_used(
    sqlite_database: Database, telemetry: Telemetry, on_break: str
) -> None:
    """A pull between the look at the digest and the end of the answer: nobody knows which model it was."""
    turns = [{"text": "words of whichever it was", "model": "fake:latest"}]
    async with (
        model_server(models=CHANGING, turns=turns) as url,
        model_server(turns=[{"text": "sound words"}]) as other,
        routing(
            sqlite_database,
            telemetry,
            providers=[f"ollama={url}", entry("compatible", other)],
            pins=[f"ollama/fake={DIGEST}"],
        ) as opened,
    ):
        request = asked(model="fake", on_break=on_break)
        pieces: list[Delta] = []
        answer: ModelAnswer | None = None
        failed: ModelFailure | None = None
        try:
            async for one in opened.router.stream(request, caller()):
                if isinstance(one, ModelAnswer):
                    answer = one
                else:
                    if one.text and one.attempt == 1 and len(await heard(url)) == 1 and not pieces[-1].text:
                        await pull(url)
                    pieces.append(one)
        except ModelFailure as error:
            failed = error
        attempts = failed.attempts if failed is not None else answer.attempts if answer is not None else ()
        first = attempts[0]
        assert (first.number, first.error) == (1, ModelErrorKind.DENIED)
        assert "changed while it answered" in str(first.detail)
        if on_break == "fail":
            assert answer is None
            assert failed is not None
            assert "models.pins" in str(failed.remedy)
        else:
            assert answer is not None
            assert (answer.provider, answer.text) == ("compatible", "sound words"), "nothing of it is kept"
            assert [one.drop for one in pieces if one.kind is DeltaKind.ATTEMPT] == [False, True]
        assert len(await heard(url)) == 1, "it is not asked again"


async def test_vectors_of_a_model_that_was_changed_meanwhile_are_not_used(
    sqlite_database: Database, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [{"name": "vec:latest", "capabilities": ["embedding"], "changes": True}]
    digest = hashlib.sha256(b"vec:latest").hexdigest()
    async with (
        model_server(models=models) as url,
        routing(
            sqlite_database, telemetry, providers=[f"ollama={url}"], pins=[f"ollama/vec={digest}"]
        ) as opened,
    ):
        asks = OllamaServer.embed

        async def embed_and_pull(self: OllamaServer, *given: Any) -> Any:
            found = await asks(self, *given)
            await pull(url, "vec")
            return found

        monkeypatch.setattr(OllamaServer, "embed", embed_and_pull)
        with pytest.raises(ModelFailure, match="changed while it answered") as failed:
            await opened.router.embed(EmbeddingRequest(texts=("x",), model="vec"), caller())
        assert failed.value.kind is ModelErrorKind.DENIED


async def test_one_that_cannot_be_held_against_its_pin_is_not_asked(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server() as url,
        routing(
            sqlite_database,
            telemetry,
            providers=[entry("compatible", url), "ollama=http://127.0.0.1:9"],
            pins=[f"compatible/fake={DIGEST}", f"ollama/fake={DIGEST}"],
        ) as opened,
    ):
        with pytest.raises(ModelFailure, match="tells no digest") as failed:
            await opened.router.complete(asked(model="fake", provider="compatible"), caller())
        assert failed.value.kind is ModelErrorKind.DENIED
        assert await heard(url) == []
        with pytest.raises(ModelFailure) as failed:
            await opened.router.complete(asked(model="fake", provider="ollama"), caller())
        assert failed.value.kind is ModelErrorKind.UNREACHABLE
        assert [one for one in failed.value.attempts if one.number] == []


async def test_calls_at_the_same_time_ask_once_what_there_is(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with (
        model_server() as url,
        routing(
            sqlite_database, telemetry, providers=[f"ollama={url}"], pins=[f"ollama/fake={DIGEST}"]
        ) as opened,
    ):
        asking = (opened.router.complete(asked(model="fake"), caller(f"call-{n}")) for n in range(20))
        answers = await asyncio.gather(*asking)
        assert {answer.model for answer in answers} == {"fake:latest"}


async def test_a_model_of_another_digest_is_not_warmed_up() -> None:
    async with model_server(models=CHANGING) as url:
        models = {"providers": [f"ollama={url}"], "pins": [f"ollama/fake={DIGEST}"]}
        (spec,) = Settings.model_validate({"models": models}).models.specs()
        from minoots_activities.models.providers.ollama import Ollama
        from minoots_activities.models.providers.provider import Patience
        from minoots_platform.models import Catalogue

        server = Ollama().open(spec, Catalogue(()), Patience())
        assert isinstance(server, OllamaServer)
        try:
            assert (await warm_up(server, "fake")).digest == DIGEST
            await pull(url)
            with pytest.raises(ModelFailure, match="pinned"):
                await warm_up(server, "fake")
            assert [one.name for one in await loaded(server)] == ["fake:latest"]
        finally:
            await server.close()


def test_twelve_digits_or_more_pin_a_model() -> None:
    models = {"pins": [f"ollama/fake=sha256:{DIGEST[:12]}"]}
    (spec,) = Settings.model_validate({"models": models}).models.specs()
    for name in ("fake", "fake:latest"):
        require_pinned(spec, name, DIGEST)
        require_pinned(spec, name, f"sha256:{DIGEST}")
        with pytest.raises(ModelFailure, match=rf"of the digest {DIGEST[:12]}, .* has 111111111111"):
            require_pinned(spec, name, "1" * 64)
    require_pinned(spec, "fake:8b", "1" * 64)
