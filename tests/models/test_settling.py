"""What providers tell is not believed blindly: odd counts, odd ends and odd words leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from model_servers import asked, caller
from stacks import TENANT

from minoots.contracts.models import FinishReason, Locality, ModelErrorKind
from minoots_activities.models.choosing import Candidate
from minoots_activities.models.opening import Opened, open_router
from minoots_activities.models.providers import anthropic, openai_wire
from minoots_activities.models.providers.compatible import vectors_of
from minoots_activities.models.providers.faults import of_status
from minoots_activities.models.providers.installed import provider_kinds
from minoots_activities.models.providers.provider import (
    Call,
    Done,
    FoundModel,
    Patience,
    Piece,
    Provider,
    ProviderKind,
    Text,
    Vectors,
    count_of,
)
from minoots_activities.models.remembering import MOST
from minoots_activities.models.tokens import Estimates, Size
from minoots_platform.models import Catalogue, load_catalogue
from minoots_platform.records import Database, breakers, budgets, usage
from minoots_platform.settings import ProviderSpec, Settings
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

K = ModelErrorKind
ODD: list[Any] = [{}, [], "12", -5, float("nan"), float("inf"), 10**30, True, None]
SECRET = "the-words-of-another-tenant"


@pytest.mark.parametrize("told", ODD)
def test_what_is_no_count_was_not_told(told: Any) -> None:
    assert count_of(told) is None
    reading = openai_wire.Reading("openai")
    list(reading.pieces({"choices": [{"delta": {"content": "tea"}, "finish_reason": "stop"}]}))
    list(
        reading.pieces(
            {
                "usage": {
                    "prompt_tokens": told,
                    "completion_tokens": told,
                    "prompt_tokens_details": {"cached_tokens": told},
                }
            }
        )
    )
    assert reading.done() == Done(FinishReason.STOP)
    assert list(reading.pieces({"usage": {"prompt_tokens": 3, "prompt_tokens_details": told}})) == []
    assert reading.done().input_tokens == 3
    vectors = {"data": [{"index": 0, "embedding": [1]}], "usage": {"prompt_tokens": told}}
    assert vectors_of("openai", vectors, 1).input_tokens is None
    assert vectors_of("openai", {**vectors, "usage": told}, 1).input_tokens is None
    assert anthropic._numbers({"input_tokens": told}) == anthropic._numbers(told) == {}


def test_a_count_with_a_fraction_is_a_whole_one() -> None:
    assert count_of(12.5) == 12


class _Scripted(Provider):
    """A plug-in whose answers a test makes."""

    def __init__(
        self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience, answer: Callable[[], list[Any]]
    ) -> None:
        super().__init__(spec, catalogue, patience)
        self._answer = answer

    async def models(self) -> tuple[FoundModel, ...]:
        return (FoundModel("fake"),)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        for piece in self._answer():
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def embed(self, model: str, texts: Sequence[str], dimensions: int | None) -> Vectors:
        raise NotImplementedError


class _Kind(ProviderKind):
    kind = "openai"

    def __init__(self, answer: Callable[[], list[Any]]) -> None:
        self._answer = answer

    def open(self, spec: ProviderSpec, catalogue: Catalogue, patience: Patience) -> Provider:
        return _Scripted(spec, catalogue, patience, self._answer)


@asynccontextmanager
async def scripted(
    database: Database, telemetry: Telemetry, answer: Callable[[], list[Any]]
) -> AsyncIterator[Opened]:
    models = {
        "providers": ["cloud:openai=https://models.invalid"],
        "keys": ["cloud=sk-test"],
        "defaults": ["cloud=fake"],
        "locality": "allow_cloud",
        "budget": {"day_tokens": 100_000},
        "breaker": {"minimum": 2, "failure_rate": 0.5, "open_seconds": 60, "window": 60},
    }
    settings = Settings.model_validate({"models": models})
    async with open_router(
        settings, database, telemetry, look=False, kinds={"openai": _Kind(answer)}
    ) as opened:
        yield opened


async def complete(opened: Opened) -> str:
    try:
        await opened.router.complete(asked(locality=Locality.ALLOW_CLOUD), caller())
    except ModelFailure as failure:
        return failure.kind.value
    return "answered"


async def tokens(database: Database) -> int:
    async with database.read() as connection:
        assert (await connection.execute(sa.select(budgets.HELD))).all() == []
        took, _ = await usage.so_far(connection, tenant=TENANT, key=None, job_id=None, day=None)
    return took


@pytest.mark.parametrize("told", [{}, -500, float("nan"), 10**30])
async def test_odd_counts_are_settled_and_give_nothing_back(
    sqlite_database: Database, telemetry: Telemetry, told: Any
) -> None:
    def answer() -> list[Any]:
        return [Text("tea"), Done(input_tokens=told, output_tokens=told, cached_tokens=told)]

    async with scripted(sqlite_database, telemetry, answer) as opened:
        assert await complete(opened) == "answered"
    assert await tokens(sqlite_database) > 0


async def test_an_answer_that_had_begun_is_paid_whatever_ends_it(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    before = True

    def answer() -> list[Any]:
        failure = ModelFailure(K.FILTERED, "it stops here")
        return [failure] if before else [Text("one two"), failure]

    async with scripted(sqlite_database, telemetry, answer) as opened:
        assert await complete(opened) == K.FILTERED.value
        assert await tokens(sqlite_database) == 0
        before = False
        assert await complete(opened) == K.FILTERED.value
        assert await tokens(sqlite_database) > 0


async def test_a_breaker_tells_no_tenant_what_a_provider_said_to_another(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with scripted(
        sqlite_database, telemetry, lambda: [of_status("cloud", 502, f"cannot read {SECRET}")]
    ) as opened:
        assert [await complete(opened) for _ in range(2)] == [K.PROVIDER_FAULT.value] * 2
        with pytest.raises(ModelFailure) as stopped:
            await opened.router.complete(asked(), caller(tenant="globex"))
        assert stopped.value.kind is K.CIRCUIT_OPEN
        assert "provider_fault, status 502" in stopped.value.detail
        assert SECRET not in stopped.value.detail
    async with sqlite_database.read() as connection:
        [held] = await breakers.held(connection)
    assert SECRET not in (held.reason or "")


async def test_names_that_a_tenant_invents_leave_nothing_for_ever(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    catalogue = load_catalogue(None)
    [spec] = Settings.model_validate(
        {"models": {"providers": ["openai"], "keys": ["openai=sk"], "defaults": ["openai=mine"]}}
    ).models.specs()
    provider = provider_kinds()["openai"].open(spec, catalogue, Patience())
    labels = []
    for name in ("invented", "mine"):
        model = await provider.look(name)
        assert model is not None
        labels.append(Candidate(provider, model, None, None).label)
    assert labels == [("openai", "other"), ("openai", "mine")]

    estimates, size = Estimates(), Size(bytes=4000, messages=1, images=0, tools=False)
    for number in range(MOST + 5):
        estimates.learn("acme", ("openai", f"invented-{number}"), size, 500)
    assert len(estimates._learnt) == MOST
    assert estimates.likely("acme", ("openai", f"invented-{MOST + 4}"), size) < 1000
