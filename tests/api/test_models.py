"""Models and their usage over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from gateways import Door

from minoots_platform.clock import utc_now
from minoots_platform.ids import new_id
from minoots_platform.records import Database, known_models, usage
from minoots_platform.settings import Settings, with_overrides


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_overrides(
        settings,
        {
            "models": {
                "providers": ["ollama=http://127.0.0.1:11434", "openai"],
                "defaults": ["openai=gpt-5-mini"],
                "budget": {"tenant_day_tokens": 1000, "key_day_cost": 2.5, "day_tokens": 5},
            }
        },
    )


def row(**more: Any) -> usage.NewUsage:
    now = utc_now()
    return usage.NewUsage(
        **{
            "id": new_id("use", now),
            "tenant": "dev",
            "call_id": "c",
            "key": "dev",
            "job_id": "job_1",
            "provider": "openai",
            "model": "gpt-5-mini",
            "local": False,
            "outcome": "answered",
            "input_tokens": 100,
            "output_tokens": 10,
            "cached_tokens": 1,
            "cost_micros": 45,
            "first_token_ms": 1,
            "total_ms": 2,
            "at": now,
            **more,
        }
    )


async def test_models_are_listed_as_workers_found_them(door: Door, database: Database) -> None:
    about = {"capabilities": ["completion", "tools"], "context": 4096, "digest": "ab", "remote": False}
    async with database.write() as connection:
        models = {"fake:latest": about}
        await known_models.save(connection, "ollama", {"well": True, "problem": None}, models, utc_now())
        problem = {"well": False, "problem": "a key. Set models.keys."}
        await known_models.save(connection, "openai", problem, None, utc_now())
    told = (await door.http.get("/v1/models")).json()
    assert told["locality"] == "local_only"
    ollama, openai = told["providers"]
    assert (ollama["name"], ollama["local"], ollama["well"]) == ("ollama", True, True)
    [model] = ollama["models"]
    assert (model["name"], model["context_tokens"], model["breaker"]) == ("fake:latest", 4096, "closed")
    assert (openai["local"], openai["well"]) == (False, False)
    [default] = [one for one in openai["models"] if one["default"]]
    assert default["name"] == "gpt-5-mini"
    assert default["price"]["output"] == 2.0


async def test_usage_is_summed_up_and_budgets_say_what_is_left(door: Door, database: Database) -> None:
    async with database.write() as connection:
        await usage.add(
            connection,
            [
                row(),
                row(model="gpt-5", cost_micros=300),
                row(tenant="globex", cost_micros=10**9),
                row(at=utc_now() - timedelta(days=40), input_tokens=7),
                row(provider="ollama", model="fake:latest", local=True, cost_micros=0, job_id=None),
            ],
        )
    told = (await door.http.get("/v1/usage", params={"by": ["provider", "model"]})).json()
    assert told["total"]["calls"] == 3
    assert told["total"]["cost_micros"] == 345
    assert [(one["provider"], one["model"], one["cost_micros"]) for one in told["items"]] == [
        ("openai", "gpt-5", 300),
        ("openai", "gpt-5-mini", 45),
        ("ollama", "fake:latest", 0),
    ]
    # What everybody together may take is nobody's to see.
    assert {(one["of"], one["tokens"], one["cost_micros"]) for one in told["budgets"]} == {
        ("tenant", 1000, None),
        ("key", None, 2_500_000),
    }
    old = (utc_now() - timedelta(days=50)).date().isoformat()
    whole = (await door.http.get("/v1/usage", params={"since": old, "job": "job_1"})).json()
    assert whole["total"]["calls"] == 3
    assert len(whole["items"]) >= 2


async def test_days_in_the_wrong_order_are_refused(door: Door) -> None:
    wrong = {"since": "2026-11-02", "until": "2026-11-01"}
    answer = await door.http.get("/v1/usage", params=wrong)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query.since"
    assert (await door.http.get("/v1/usage", params={"by": "colour"})).status_code == 422
