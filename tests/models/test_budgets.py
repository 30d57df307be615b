"""Budgets: whatever asks at once, and whoever dies, no more is taken than there is."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from model_servers import Moving, asked, caller, entry, model_server, routing
from stacks import TENANT

from minoots.contracts.models import Budget, Locality, ModelErrorKind
from minoots_activities.models.opening import Opened
from minoots_platform.ids import new_id
from minoots_platform.records import Database, budgets, model_rates, schema, usage
from minoots_platform.settings import RateSpec
from minoots_platform.telemetry import Telemetry
from minoots_workflows.models.failures import ModelFailure

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOLD = timedelta(seconds=60)
CLOUD = Locality.ALLOW_CLOUD


def account(tokens: int | None = None, micros: int | None = None, **more: Any) -> budgets.Account:
    return budgets.Account(
        **{
            "kind": "tenant",
            "tenant": TENANT,
            "subject": "",
            "day": "2026-11-22",
            "tokens": tokens,
            "micros": micros,
            **more,
        }
    )


def spending(call: str, tokens: int, micros: int = 0) -> budgets.Spending:
    return budgets.Spending(TENANT, "key_ada", "job_1", call, "openai", "gpt", tokens, micros)


def took(tokens_in: int, tokens_out: int = 0, micros: int = 0, **more: Any) -> usage.NewUsage:
    return usage.NewUsage(
        **{
            "id": new_id("use", NOW),
            "tenant": TENANT,
            "call_id": "c",
            "key": "key_ada",
            "job_id": "job_1",
            "provider": "openai",
            "model": "gpt",
            "local": False,
            "outcome": "answered",
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "cached_tokens": 0,
            "cost_micros": micros,
            "first_token_ms": 1,
            "total_ms": 2,
            "at": NOW,
            **more,
        }
    )


async def reserve(
    database: Database, wanted: budgets.Spending, *accounts: budgets.Account, now: datetime = NOW
) -> str | budgets.Refused:
    async with database.write() as connection:
        return await budgets.reserve(connection, wanted, accounts, now, HOLD)


async def settle(database: Database, reservation: str, row: usage.NewUsage, *, paid: bool = True) -> None:
    async with database.write() as connection:
        await budgets.settle(
            connection, reservation, usage.NewUsage(**{**vars(row), "id": reservation}), NOW, paid=paid
        )


async def state(database: Database, one: budgets.Account) -> budgets.State:
    async with database.read() as connection:
        return await budgets.state(connection, one)


async def test_what_is_held_counts_and_what_was_not_needed_comes_back(database: Database) -> None:
    one = account(tokens=100)
    first = await reserve(database, spending("a", 60), one)
    assert isinstance(first, str)
    second = await reserve(database, spending("b", 41), one)
    assert isinstance(second, budgets.Refused)
    assert (second.limit, second.left, second.wanted) == (100, 40, 41)
    await settle(database, first, took(10, 5))
    assert await state(database, one) == budgets.State(15, 0, 0, 0)
    assert isinstance(await reserve(database, spending("b", 85), one), str)


async def test_a_call_that_was_not_made_takes_nothing(database: Database) -> None:
    one = account(tokens=100)
    held = await reserve(database, spending("a", 60), one)
    assert isinstance(held, str)
    await settle(database, held, took(0), paid=False)
    assert await state(database, one) == budgets.State(0, 0, 0, 0)
    async with database.read() as connection:
        assert (await connection.execute(sa.select(schema.model_usage))).all() == []


async def test_fifty_at_once_cannot_overspend_by_one_token(database_url: str) -> None:
    one, whole = account(tokens=1000), account(tokens=10_000, kind="all", tenant=None)
    other = account(tokens=700, kind="key", subject="key_ada")
    async with Database(database_url, pool_size=10) as a, Database(database_url, pool_size=10) as b:

        async def call(number: int) -> bool:
            database = (a, b)[number % 2]
            # In another order every time: nobody may wait for somebody who waits for him.
            accounts = [(one, whole, other), (other, one, whole), (whole, other, one)][number % 3]
            for repeat in range(4):
                held = await reserve(database, spending(f"{number}-{repeat}", 37), *accounts)
                if isinstance(held, budgets.Refused):
                    return False
                await asyncio.sleep(0)
                await settle(database, held, took(20 + number % 18))
            return True

        async with asyncio.timeout(100):
            done = await asyncio.gather(*(call(number) for number in range(50)))
        assert not all(done)
        # Some were refused for what others only held: one after the other, what is left is used up.
        number = 50
        while await call(number):
            number += 1
        last = await state(a, other)
        assert 700 - 37 < last.used_tokens <= 700
        assert last.held_tokens == 0
        async with a.read() as connection:
            total = await connection.execute(
                sa.select(sa.func.sum(usage.TABLE.c.input_tokens + usage.TABLE.c.output_tokens))
            )
            assert total.scalar_one() == last.used_tokens
        assert (await state(a, one)).used_tokens == (await state(a, whole)).used_tokens == last.used_tokens


@pytest.mark.parametrize(("limit", "answered"), [(250, 25), (249, 24)])
async def test_fifty_at_once_use_a_budget_to_its_last_token_and_no_further(
    database_url: str, limit: int, answered: int
) -> None:
    """Each takes all that it holds, ten tokens: so one token more or less is one call more or less."""
    mine = account(tokens=limit)
    async with Database(database_url, pool_size=10) as a, Database(database_url, pool_size=10) as b:

        async def call(number: int) -> bool:
            database = (a, b)[number % 2]
            held = await reserve(database, spending(f"{number}", 10), mine)
            if isinstance(held, budgets.Refused):
                return False
            await asyncio.sleep(0)
            await settle(database, held, took(10))
            return True

        async with asyncio.timeout(100):
            done = await asyncio.gather(*(call(number) for number in range(50)))
        assert sum(done) == answered
        last = await state(a, mine)
        assert (last.used_tokens, last.held_tokens) == (answered * 10, 0)


async def test_what_the_dead_hold_is_charged_in_full_and_corrected_when_they_were_not(
    database: Database,
) -> None:
    one = account(tokens=100, micros=1000)
    held = await reserve(database, spending("a", 60, 500), one)
    assert isinstance(held, str)
    async with database.write() as connection:
        assert await budgets.expire(connection, NOW + timedelta(seconds=59)) == 0
        await budgets.renew(connection, [held], NOW + timedelta(seconds=50), HOLD)
        assert await budgets.expire(connection, NOW + timedelta(seconds=109)) == 0
        assert await budgets.expire(connection, NOW + timedelta(seconds=111)) == 1
        assert await budgets.expire(connection, NOW + timedelta(seconds=112)) == 0
    assert await state(database, one) == budgets.State(60, 500, 0, 0)
    await settle(database, held, took(10, 5, 70))
    assert await state(database, one) == budgets.State(15, 70, 0, 0)
    async with database.read() as connection:
        [row] = await connection.execute(sa.select(schema.model_usage))
    assert (row.outcome, row.input_tokens, row.cost_micros, row.charged) == ("answered", 10, 70, None)


async def test_a_repeated_call_charges_what_the_dead_one_held(database: Database) -> None:
    one = account(tokens=100)
    assert isinstance(await reserve(database, spending("a", 40), one), str)
    again = await reserve(database, spending("a", 60), one)
    assert isinstance(again, str)
    assert await state(database, one) == budgets.State(40, 0, 60, 0)
    await settle(database, again, took(30))
    refused = await reserve(database, spending("a", 40), one)
    assert isinstance(refused, budgets.Refused)
    assert refused.left == 30


async def test_a_limit_that_is_set_late_counts_what_was_used_before(database: Database) -> None:
    async with database.write() as connection:
        await usage.add(
            connection,
            [
                took(70, 10),
                took(999, id=new_id("use", NOW), local=True),
                took(500, id=new_id("use", NOW), at=NOW - timedelta(days=1)),
            ],
        )
    refused = await reserve(database, spending("b", 21), account(tokens=100))
    assert isinstance(refused, budgets.Refused)
    assert refused.used == 80
    assert isinstance(await reserve(database, spending("b", 20), account(tokens=100)), str)


# Through the router

PRICES = """
[[model]]
provider = "openai"
name = "fake:latest"
context = 32768
capabilities = ["completion", "tools", "json"]
prices = [{ from = 2026-01-01, input = 1, output = 10 }]
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> str:
    path = tmp_path / "models.toml"
    path.write_text(PRICES)
    return str(path)


def paid(url: str, catalogue: str, **budget: Any) -> dict[str, Any]:
    return {
        "providers": [entry("openai", url)],
        "keys": ["openai=sk-test"],
        "defaults": ["openai=fake:latest"],
        "catalogue": catalogue,
        "locality": "allow_cloud",
        "budget": budget,
    }


async def total(database: Database) -> tuple[int, int]:
    async with database.read() as connection:
        return await usage.so_far(connection, tenant=TENANT, key=None, job_id=None, day=None)


async def outcome(opened: Opened, call: str, **more: Any) -> str:
    try:
        await opened.router.complete(asked(max_tokens=20), caller(call, **more))
    except ModelFailure as failure:
        return failure.kind.value
    return "answered"


async def test_fifty_jobs_at_once_stay_within_the_budget(
    database: Database, telemetry: Telemetry, catalogue: str
) -> None:
    turns = [{"text": "word " * 15}]
    async with (
        model_server(turns=turns) as url,
        routing(
            database, telemetry, clock=Moving(NOW), **paid(url, catalogue, tenant_day_tokens=1500)
        ) as opened,
    ):
        async with asyncio.timeout(100):
            many = await asyncio.gather(
                *(outcome(opened, f"call-{number}", job_id=f"job_{number}") for number in range(50))
            )
        assert set(many) == {"answered", ModelErrorKind.OVER_BUDGET.value}
        tokens, micros = await total(database)
        assert tokens <= 1500
        assert micros > 0
        # What was held and not needed is there again: now one after the other, until no more fits.
        number = 0
        while await outcome(opened, f"later-{number}") == "answered":
            number += 1
        tokens, _ = await total(database)
        assert 1500 - 200 < tokens <= 1500
        async with database.read() as connection:
            held = (
                await connection.execute(sa.select(sa.func.count()).select_from(budgets.HELD))
            ).scalar_one()
        assert held == 0
        assert (await state(database, account())).used_tokens == tokens


async def test_free_local_models_are_never_held_back(sqlite_database: Database, telemetry: Telemetry) -> None:
    async with (
        model_server() as url,
        routing(
            sqlite_database,
            telemetry,
            providers=[f"ollama={url}"],
            budget={"day_tokens": 1, "job_cost": 0, "key_day_cost": 0},
        ) as opened,
    ):
        none = Budget(tokens=1, cost_micros=0)
        assert await outcome(opened, "a", job_id="job_1", budget=none) == "answered"


@pytest.mark.parametrize(
    ("budget", "of_job", "words"),
    [
        ({"day_tokens": 10}, None, "everybody for today"),
        ({"key_day_cost": 0.0001}, None, "this key for today"),
        ({"tenant_day_tokens": 10}, None, "this tenant for today"),
        ({"job_tokens": 10}, None, "this job"),
        ({}, Budget(cost_micros=100), r"0.000100 USD that this job"),
        ({"job_tokens": 10**9}, Budget(tokens=10), "this job"),
    ],
)
async def test_a_refusal_says_whose_budget_it_is_and_how_much_is_left(
    sqlite_database: Database,
    telemetry: Telemetry,
    catalogue: str,
    budget: dict[str, Any],
    of_job: Budget | None,
    words: str,
) -> None:
    async with (
        model_server() as url,
        routing(sqlite_database, telemetry, **paid(url, catalogue, **budget)) as opened,
    ):
        with pytest.raises(ModelFailure, match=words) as failed:
            await opened.router.complete(asked(), caller(job_id="job_1", budget=of_job))
        assert failed.value.kind is ModelErrorKind.OVER_BUDGET
        assert "are left" in failed.value.detail


async def test_what_costs_too_much_is_done_by_a_local_model(
    sqlite_database: Database, telemetry: Telemetry, catalogue: str
) -> None:
    async with model_server() as url:
        settings = paid(url, catalogue, key_day_tokens=10)
        settings |= {"providers": [entry("openai", url), entry("ollama", url)], "policy": "as_listed"}
        async with routing(sqlite_database, telemetry, **settings) as opened:
            answer = await opened.router.complete(asked(), caller())
            assert (answer.provider, answer.fell_back) == ("ollama", True)
            assert answer.attempts[0].error is ModelErrorKind.OVER_BUDGET


async def test_a_budget_of_money_takes_no_model_without_a_price(
    sqlite_database: Database, telemetry: Telemetry
) -> None:
    async with model_server() as url:
        settings = paid(url, "unused", day_cost=5)
        del settings["catalogue"]
        async with routing(sqlite_database, telemetry, **settings) as opened:
            with pytest.raises(ModelFailure, match="no price of openai/fake:latest is known") as failed:
                await opened.router.complete(asked(), caller())
            assert failed.value.kind is ModelErrorKind.NOT_CONFIGURED


@pytest.mark.parametrize("kind", ["cut", "hang", "status"])
async def test_what_was_held_is_settled_however_a_call_ends(
    sqlite_database: Database, telemetry: Telemetry, catalogue: str, kind: str
) -> None:
    turn = {"text": "one two three four", "fault": {"kind": kind, "after": 2, "status": 500}}
    async with model_server(turns=[turn]) as url:
        settings = paid(url, catalogue, day_tokens=100_000) | {"stall_seconds": 0.2}
        async with routing(sqlite_database, telemetry, **settings) as opened:
            with pytest.raises(ModelFailure):
                async for _ in opened.router.stream(asked(), caller()):
                    pass
            tokens, micros = await total(sqlite_database)
            # An error before the answer costs nothing; after it nobody knows, so it is charged.
            assert (tokens > 0) == (micros > 0) == (kind != "status")
            async with sqlite_database.read() as connection:
                assert (await connection.execute(sa.select(budgets.HELD))).all() == []


async def test_a_rate_holds_calls_back_and_refuses_those_that_would_wait_too_long(
    database: Database, telemetry: Telemetry
) -> None:
    clock = Moving()
    async with (
        model_server() as url,
        routing(
            database,
            telemetry,
            clock=clock,
            providers=[f"ollama={url}"],
            rates=["ollama=10:"],
            wait_seconds=0,
        ) as opened,
    ):
        assert await outcome(opened, "a") == "answered"
        assert await outcome(opened, "b") == ModelErrorKind.RATE_LIMITED.value
        clock.now += timedelta(seconds=6)
        assert await outcome(opened, "c") == "answered"


async def test_no_minute_has_more_than_its_rate(database: Database) -> None:
    rate, now, sent = RateSpec(60, 6000), NOW, []
    for _ in range(400):
        async with database.write() as connection:
            turn = await model_rates.take(connection, "openai", rate, 50, now, 0)
        if turn.taken:
            sent.append(now)
        now += timedelta(seconds=0.3)
    for begin in sent:
        within = [one for one in sent if begin <= one < begin + timedelta(seconds=60)]
        assert len(within) <= 60
    assert len(sent) >= 100


PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from minoots_platform.records import Database, budgets

async def main(url, number):
    one = budgets.Account("tenant", "{tenant}", "", "2026-11-22", 1000, None)
    async with Database(url) as database:
        print("ready", flush=True)
        repeat = 0
        while True:
            repeat += 1
            wanted = budgets.Spending("{tenant}", "k", None, f"{{number}}-{{repeat}}", "p", "m", 10, 0)
            async with database.write() as connection:
                now = datetime.now(UTC)
                held = await budgets.reserve(connection, wanted, (one,), now, timedelta(seconds=0.01))
            print(held if isinstance(held, str) else "refused", flush=True)

if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_who_is_killed_while_he_holds_does_not_overspend(database_url: str, tmp_path: Path) -> None:
    program = tmp_path / "holder.py"
    program.write_text(PROGRAM.format(tenant=TENANT))
    one = account(tokens=1000)
    async with Database(database_url) as database:
        for number in range(3):
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(program), database_url, str(number), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            async with asyncio.timeout(60):
                for _ in range(12):
                    assert await process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            await process.stdout.read()
            # Whatever it was in the middle of: held and used together are within the budget.
            then = await state(database, one)
            assert then.used_tokens + then.held_tokens <= 1000
            async with database.read() as connection:
                held = (
                    await connection.execute(
                        sa.select(sa.func.coalesce(sa.func.sum(budgets.HELD.c.tokens), 0))
                    )
                ).scalar_one()
            assert then.held_tokens == held
        async with database.write() as connection:
            while await budgets.expire(connection, datetime.now(UTC) + timedelta(seconds=1)):
                pass
        last = await state(database, one)
        assert last.held_tokens == 0
        assert 0 < last.used_tokens <= 1000
        refused = await reserve(database, spending("z", 1001 - last.used_tokens), one)
        assert isinstance(refused, budgets.Refused)


async def test_usage_that_is_written_twice_counts_once(database: Database) -> None:
    row = took(10, 5)
    for _ in range(2):
        async with database.write() as connection:
            await usage.add(connection, [row])
    assert await total(database) == (15, 0)
