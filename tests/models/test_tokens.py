"""What texts have in tokens is learnt by tenant and model, is kept, and holds no less than is safe."""

from __future__ import annotations

import random

import pytest
from model_servers import MODEL, asked, caller, entry, model_server, routing
from sqlalchemy import func, select
from stacks import TENANT

from minoots.contracts.models import Locality, ModelErrorKind
from minoots_activities.models.tokens import EVERYBODY, Estimates, Size
from minoots_platform.records import Database, schema
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

NAME = ("openai", "gpt")
TEXT = Size(bytes=8_000, messages=1, images=0, tools=False)


def taught(tokens: list[int], tenant: str = TENANT) -> Estimates:
    """Estimates after answers that counted so many tokens in the text."""
    estimates = Estimates()
    for one in tokens:
        estimates.learn(tenant, NAME, TEXT, one)
    return estimates


def test_each_tenant_has_an_estimate_of_its_own() -> None:
    estimates = taught([2_000] * 10)
    for _ in range(10):
        estimates.learn("globex", NAME, TEXT, 4_000)
    assert estimates.likely(TENANT, NAME, TEXT) == pytest.approx(2_000, rel=0.15)
    assert estimates.likely("globex", NAME, TEXT) == pytest.approx(4_000, rel=0.15)


def test_a_tenant_of_whom_nothing_is_known_has_what_all_have() -> None:
    estimates = taught([4_000] * 10)
    assert estimates.likely("globex", NAME, TEXT) == pytest.approx(4_000, rel=0.01)
    assert estimates.likely("globex", ("openai", "other"), TEXT) == pytest.approx(2_000, rel=0.01)


def test_before_enough_is_known_the_bound_is_held() -> None:
    assert Estimates().at_most(TENANT, NAME, TEXT) == TEXT.most
    assert taught([2_000] * 2).at_most(TENANT, NAME, TEXT) == TEXT.most
    assert taught([2_000] * 3).at_most(TENANT, NAME, TEXT) < TEXT.most
    assert taught([2_000] * 9, "globex").at_most(TENANT, NAME, TEXT) == TEXT.most, "that is another's text"


def test_what_is_held_is_never_less_than_was_counted_and_never_more_than_the_bound() -> None:
    chance = random.Random(13)
    for _ in range(200):
        tokens = [chance.randint(700, 8_000) for _ in range(chance.randint(3, 30))]
        held = taught(tokens).at_most(TENANT, NAME, TEXT)
        assert max(tokens[-_recent(tokens) :]) <= held <= TEXT.most


def _recent(tokens: list[int]) -> int:
    """Answers that must still be remembered: the densest text is forgotten slowly."""
    return min(len(tokens), 10)


@pytest.mark.parametrize("count", [97, 2_000_000_000])
def test_what_a_provider_counts_moves_an_estimate_within_bounds(count: int) -> None:
    estimates = taught([count] * 50)
    assert TEXT.bytes / 12 <= estimates.likely(TENANT, NAME, TEXT) <= TEXT.bytes + 8
    assert TEXT.bytes / 12 <= estimates.at_most(TENANT, NAME, TEXT) <= TEXT.most


def test_what_is_known_by_this_process_is_not_overwritten_by_what_was() -> None:
    estimates, before = taught([4_000] * 5), taught([1_000] * 5)
    known = estimates.likely(TENANT, NAME, TEXT)
    estimates.know(before.news())
    assert estimates.likely(TENANT, NAME, TEXT) == known
    assert set(before.news()) == set()


AGENT = Size(bytes=10_000, messages=2, images=0, tools=True, aside=8_000)
"""A question of 2,000 bytes beside tools of 8,000."""


@pytest.mark.parametrize(
    ("size", "evaluated"),
    [
        (AGENT, 2_600),  # as JSON, all of it
        (AGENT, 1_300),  # as declarations of types
        (AGENT, 510),  # not at all, as after a tool's result
        (Size(bytes=6_000, messages=1, images=0, tools=False, aside=5_000), 260),  # a schema is a grammar
        (Size(bytes=1_000, messages=1, images=2, tools=False), 770),  # 256 tokens an image
        (Size(bytes=8_000, messages=1, images=0, tools=False), 1_000),  # indented: eight bytes a token
    ],
)
def test_a_model_that_renders_less_than_was_sent_has_read_all(size: Size, evaluated: int) -> None:
    estimates = Estimates()
    for _ in range(10):
        assert estimates.unread(TENANT, NAME, size, evaluated, 8_192) is None
        estimates.learn(TENANT, NAME, size, evaluated, whole=False)


@pytest.mark.parametrize(
    ("size", "evaluated"),
    [
        (AGENT, 200),
        (Size(bytes=8_000, messages=1, images=0, tools=False), 800),
        (Size(bytes=8_000, messages=1, images=2, tools=False), 800),
        (Size(bytes=64_000, messages=40, images=0, tools=True, aside=8_000), 4_096),
    ],
)
def test_less_than_the_words_alone_is_not_all(size: Size, evaluated: int) -> None:
    assert Estimates().unread(TENANT, NAME, size, evaluated, None) is not None
    assert Estimates().unread(TENANT, NAME, size, evaluated, evaluated) is not None, "the context is full"


def test_of_a_model_that_is_known_a_third_of_the_words_is_missed() -> None:
    known = taught([2_000] * 3)
    assert known.unread(TENANT, NAME, TEXT, 1_300, None) is not None
    assert known.unread(TENANT, NAME, TEXT, 1_500, None) is None
    assert Estimates().unread(TENANT, NAME, TEXT, 1_300, None) is None


def test_tools_that_may_not_have_been_rendered_teach_nothing_of_words() -> None:
    estimates = Estimates()
    for _ in range(10):
        estimates.learn(TENANT, NAME, AGENT, 516, whole=False)
    assert estimates.likely(TENANT, NAME, TEXT) == pytest.approx(2_000, rel=0.02)
    for _ in range(10):
        estimates.learn(TENANT, NAME, AGENT, 5_016, whole=False)
    assert estimates.likely(TENANT, NAME, TEXT) > 2_800, "however they are rendered, the words are denser"


async def test_the_next_worker_knows_what_was_learnt(database: Database, telemetry: Telemetry) -> None:
    long = asked("words of tea " * 400, model=MODEL, locality=Locality.ALLOW_CLOUD)
    async with model_server() as url:
        settings = {
            "providers": [entry("openai", url)],
            "keys": ["openai=sk-test"],
            "budget": {"job_tokens": 4_000, "count": "estimate"},
            "max_tokens": 300,
        }
        free = {**settings, "budget": {}}
        async with routing(database, telemetry, **settings) as opened:
            with pytest.raises(ModelFailure) as failed:
                await opened.router.complete(long, caller(job_id="job_1"))
            assert failed.value.kind is ModelErrorKind.OVER_BUDGET, "nothing is known, so the bound is held"
        async with routing(database, telemetry, **free) as opened:
            for number in range(3):
                await opened.router.complete(long, caller(f"call-{number}"))
        async with database.read() as connection:
            table = schema.model_ratios
            rows = (await connection.execute(select(table).order_by(table.c.tenant))).all()
            assert [(row.tenant, row.answers) for row in rows] == [(EVERYBODY, 3), (TENANT, 3)]
            assert rows[1].least == pytest.approx(4.0, rel=0.05)
        async with routing(database, telemetry, **settings) as opened:
            answer = await opened.router.complete(long, caller("call-4", job_id="job_2"))
            assert answer.usage.input_tokens > 1_000
        async with database.read() as connection:
            assert await connection.scalar(select(func.count()).select_from(schema.model_ratios)) == 2
