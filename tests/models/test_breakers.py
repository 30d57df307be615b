"""Breakers: a model that fails too often is left alone by every process, and tried again by one of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from model_servers import Moving, asked, caller, heard, model_server, routing

from minoots.contracts import CircuitPolicy
from minoots.contracts.models import ModelErrorKind
from minoots_activities.models.breakers import Breakers, Pass, Stopped
from minoots_activities.models.opening import Opened
from minoots_platform.records import Database, breakers
from minoots_platform.settings import Settings
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

K = ModelErrorKind
KEY = ("ollama", "fake:latest")
BREAKER = {"minimum": 3, "failure_rate": 0.5, "open_seconds": 10, "window": 60}


def down(times: int | None = None) -> dict[str, Any]:
    return {"fault": {"kind": "status", "status": 500}, "times": times}


async def outcome(opened: Opened, call: str = "call-1") -> str:
    try:
        await opened.router.complete(asked(), caller(call))
    except ModelFailure as failure:
        return failure.kind.value
    return "answered"


async def chats(url: str) -> int:
    return len([one for one in await heard(url) if one["path"] == "/api/chat"])


async def test_a_failing_model_is_left_alone_tried_once_and_asked_again(
    database: Database, telemetry: Telemetry
) -> None:
    clock = Moving()
    async with (
        model_server(turns=[down(4)]) as url,
        routing(database, telemetry, clock=clock, providers=[f"ollama={url}"], breaker=BREAKER) as opened,
    ):
        assert [await outcome(opened) for _ in range(3)] == [K.PROVIDER_FAULT.value] * 3
        assert await outcome(opened) == K.CIRCUIT_OPEN.value
        assert await chats(url) == 3
        gauge = {"provider": "ollama", "model": "fake:latest"}
        assert telemetry.registry.get_sample_value("minoots_models_breaker", gauge) == 1
        # Its time comes; the one who tries fails, and it is left alone for twice as long.
        clock.now += timedelta(seconds=10)
        assert await outcome(opened) == K.PROVIDER_FAULT.value
        clock.now += timedelta(seconds=19)
        assert await outcome(opened) == K.CIRCUIT_OPEN.value
        assert await chats(url) == 4
        clock.now += timedelta(seconds=1)
        assert await outcome(opened) == "answered"
        assert await outcome(opened) == "answered"
        assert telemetry.registry.get_sample_value("minoots_models_breaker", gauge) == 0


async def test_every_process_leaves_the_same_model_alone(database: Database, telemetry: Telemetry) -> None:
    clock = Moving()
    settings = {"clock": clock, "breaker": BREAKER}
    async with model_server(turns=[down()]) as url:
        settings["providers"] = [f"ollama={url}"]
        async with (
            routing(database, telemetry, **settings) as one,
            routing(database, telemetry, **settings) as other,
        ):
            # Each sees too few by itself; together they are enough.
            assert await outcome(one) == K.PROVIDER_FAULT.value
            assert await outcome(other) == K.PROVIDER_FAULT.value
            assert await outcome(one) == K.PROVIDER_FAULT.value
            await other.breakers.refresh()
            assert await outcome(other) == K.CIRCUIT_OPEN.value
            # Of all that ask when its time has come, in both processes, one tries.
            clock.now += timedelta(seconds=10)
            many = await asyncio.gather(
                *(outcome(opened, f"call-{number}") for number in range(10) for opened in (one, other))
            )
            assert sorted(many) == [K.CIRCUIT_OPEN.value] * 19 + [K.PROVIDER_FAULT.value]
            assert await chats(url) == 4


def breakers_of(database: Database, clock: Moving) -> Breakers:
    return Breakers(database, Settings.model_validate({"models": {"breaker": BREAKER}}).models, clock)


async def opened_breakers(database: Database, clock: Moving) -> Breakers:
    found = breakers_of(database, clock)
    for _ in range(3):
        await found.failed(KEY, Pass(), "it is down")
    return found


async def test_what_went_well_counts_too(database: Database) -> None:
    found = breakers_of(database, Moving())
    for _ in range(7):
        await found.answered(KEY, Pass())
    for _ in range(6):
        assert await found.failed(KEY, Pass(), "down") is None
    assert await found.failed(KEY, Pass(), "down") is not None


async def test_failures_of_long_ago_count_no_more(database: Database) -> None:
    clock = Moving()
    found = breakers_of(database, clock)
    await found.failed(KEY, Pass(), "down")
    await found.failed(KEY, Pass(), "down")
    clock.now += timedelta(seconds=61)
    assert await found.failed(KEY, Pass(), "down") is None
    assert isinstance(await found.gate(KEY), Pass)


async def test_another_one_tries_when_the_first_has_died(database: Database) -> None:
    clock = Moving()
    dead = await opened_breakers(database, clock)
    clock.now += timedelta(seconds=10)
    assert await dead.gate(KEY) == Pass(probe=True)
    living = breakers_of(database, clock)
    assert isinstance(await living.gate(KEY), Stopped)
    # Alive, it says so; then nothing more is heard of it.
    await dead.keep()
    clock.now += timedelta(seconds=14)
    await living.refresh()
    assert isinstance(await living.gate(KEY), Stopped)
    clock.now += timedelta(seconds=2)
    await living.refresh()
    assert await living.gate(KEY) == Pass(probe=True)
    assert await living.answered(KEY, Pass(probe=True))
    await dead.refresh()
    assert await dead.gate(KEY) == Pass()
    for one in (dead, living):
        await one.close()


async def test_others_wait_for_one_that_tries_as_long_again_as_it_has_taken(database: Database) -> None:
    clock = Moving()
    trying = await opened_breakers(database, clock)
    # Its time came long ago, and nobody has asked since: that is not how long it has been tried.
    clock.now += timedelta(hours=1)
    assert await trying.gate(KEY) == Pass(probe=True)
    other = breakers_of(database, clock)

    async def waits() -> float:
        await other.refresh()
        stopped = await other.gate(KEY)
        assert isinstance(stopped, Stopped)
        assert stopped.until is not None
        assert "being tried again" in stopped.reason
        return (stopped.until - clock.now).total_seconds()

    assert await waits() == 0.5
    waited = []
    for taken in (2, 4, 8):
        clock.now += timedelta(seconds=taken)
        await trying.keep()
        waited.append(await waits())
    assert waited == [2, 6, 14]
    clock.now += timedelta(seconds=10)
    assert await waits() == 5, "then it may have died"
    for one in (trying, other):
        await one.close()


async def test_of_several_that_are_left_alone_the_soonest_counts(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    clock = Moving()
    policy = CircuitPolicy(window=timedelta(minutes=1), minimum=1, open_for=timedelta(seconds=10))
    async with model_server() as url:
        providers = [f"near:ollama={url}", f"far:ollama={url}"]
        for name, trips in (("near", 1), ("far", 3)):
            for number in range(trips):
                async with sqlite_database.write() as connection:
                    more: Any = {"well": 0, "reason": "x", "probe": number > 0, "policy": policy}
                    await breakers.unwell(connection, name, "fake:latest", **more, now=clock.now)
        async with routing(sqlite_database, telemetry, clock=clock, providers=providers) as opened:
            with pytest.raises(ModelFailure) as failed:
                await opened.router.complete(asked(), caller())
        assert failed.value.kind is K.CIRCUIT_OPEN
        assert failed.value.retry_after == 10


async def test_an_attempt_that_says_nothing_lets_another_one_try(database: Database) -> None:
    clock = Moving()
    found = await opened_breakers(database, clock)
    clock.now += timedelta(seconds=10)
    passed = await found.gate(KEY)
    assert passed == Pass(probe=True)
    await found.nothing(KEY, Pass(probe=True))
    await found.refresh()
    assert await found.gate(KEY) == Pass(probe=True)
    await found.close()


async def test_a_healthy_model_writes_nothing(sqlite_database: Database, telemetry: Telemetry) -> None:
    async with (
        model_server() as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"]) as opened,
    ):
        for _ in range(3):
            await opened.router.complete(asked(), caller())
        async with sqlite_database.read() as connection:
            count = await connection.exec_driver_sql("SELECT count(*) FROM model_breakers")
            assert count.scalar_one() == 0


@pytest.mark.parametrize("kind", ["refused", "busy"])
async def test_what_is_no_fault_of_the_model_does_not_count_against_it(
    sqlite_database: Database, telemetry: Telemetry, kind: str
) -> None:
    turn = {"fault": {"kind": "status", "status": 400 if kind == "refused" else 429}}
    async with (
        model_server(turns=[turn]) as url,
        routing(sqlite_database, telemetry, providers=[f"ollama={url}"], breaker=BREAKER) as opened,
    ):
        seen = {await outcome(opened) for _ in range(6)}
        assert seen == {K.INVALID.value if kind == "refused" else K.RATE_LIMITED.value}


async def test_a_row_stays_small(database: Database) -> None:
    clock = Moving()
    policy = CircuitPolicy(minimum=1000)
    for _ in range(100):
        clock.now += timedelta(seconds=3)
        async with database.write() as connection:
            await breakers.unwell(
                connection, *KEY, well=1, reason="x", probe=False, policy=policy, now=clock.now
            )
    async with database.read() as connection:
        row = (await connection.execute(breakers.TABLE.select())).one()
    assert len(row.slices) <= 12
    assert sum(one[0] for one in row.slices.values()) == 2 * sum(one[1] for one in row.slices.values())


async def test_rows_of_models_that_nobody_asks_for_are_forgotten(database: Database) -> None:
    clock = Moving()
    found = await opened_breakers(database, clock)
    await found.failed(("ollama", "invented"), Pass(), "down")
    clock.now += timedelta(hours=23)
    await found.failed(("ollama", "late"), Pass(), "down")
    await found.forget()
    await found.refresh()
    assert found.held() == {KEY}
    clock.now += timedelta(hours=2)
    await found.forget()
    await found.refresh()
    assert found.held() == frozenset()
    async with database.read() as connection:
        assert [row.model for row in await connection.execute(breakers.TABLE.select())] == ["late"]
    await found.close()
