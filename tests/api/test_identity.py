"""Who gets in, and what they may do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dev_stacks
import pytest
from gateways import Door

from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import api_keys
from minoots_platform.settings import Settings, TelemetrySettings, with_overrides
from minoots_platform.telemetry import start_logs

TIMER = {"name": "t", "after": "1h", "actions": [{"url": "http://127.0.0.1:9/"}]}


@pytest.fixture
def audit_log(tmp_path: Path) -> Iterator[Path]:
    """Where decisions are noted."""
    path = tmp_path / "audit.log"
    with start_logs(TelemetrySettings(audit_log=path), "test"):
        yield path


async def key(door: Door, *scopes: Scope, tenant: str = "acme", lifetime: float | None = None) -> str:
    """A key."""
    now = utc_now()
    async with door.gateway.database.write() as connection:
        _, secret = await api_keys.create(
            connection,
            tenant,
            "test",
            scopes,
            now=now,
            expires_at=None if lifetime is None else now + timedelta(seconds=lifetime),
        )
    return secret


def bearer(secret: str) -> dict[str, str]:
    """The header for a key."""
    return {"Authorization": f"Bearer {secret}"}


async def test_programs_on_this_machine_need_no_key_in_development(door: Door) -> None:
    assert (await door.http.get("/v1/timers")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "1.2.3.4"},
        {"Forwarded": "for=1.2.3.4"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:4000"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "chrome-extension://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-Proto": "https"},
        {"Host": "a@localhost"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer"},
    ],
    ids=str,
)
async def test_what_does_not_come_from_this_machine_alone_needs_a_key(
    door: Door, headers: dict[str, str]
) -> None:
    answer = await door.http.get("/v1/timers", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["kind"] == "unauthenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer")


class TestWithoutTheDevelopmentDoor:
    """As in production."""

    @pytest.fixture
    def settings(self) -> Settings:
        """No tenant without a key."""
        return with_overrides(Settings(), {"environment": "dev", "flags": {"provider": "none"}})

    async def test_loopback_is_no_door(self, door: Door) -> None:
        assert (await door.http.get("/v1/timers")).status_code == 401

    async def test_a_key_in_either_header_opens(self, door: Door) -> None:
        secret = await key(door, Scope.TIMERS_READ)
        assert (await door.http.get("/v1/timers", headers=bearer(secret))).status_code == 200
        assert (await door.http.get("/v1/timers", headers={"X-API-Key": secret})).status_code == 200

    async def test_health_and_readiness_are_open(self, door: Door) -> None:
        assert (await door.http.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "secret", ["mnt_", "mnt_" + "x" * 43, "nonsense", "mnt_\u00fc" + "x" * 42], ids=range(4)
)
async def test_an_unknown_key_is_refused(door: Door, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}".encode("latin-1")}
    answer = await door.http.get("/v1/timers", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401


async def test_expired_and_revoked_keys_are_refused(door: Door) -> None:
    expired = await key(door, Scope.ADMIN, lifetime=-1)
    assert (await door.http.get("/v1/timers", headers=bearer(expired))).status_code == 401
    secret = await key(door, Scope.ADMIN)
    assert (await door.http.get("/v1/timers", headers=bearer(secret))).status_code == 200
    async with door.gateway.database.write() as connection:
        known = await api_keys.page(connection, "acme")
        await api_keys.revoke(connection, known[-1].id, now=utc_now())
    assert (await door.http.get("/v1/timers", headers=bearer(secret))).status_code == 401


ROUTES: list[tuple[str, str, Any, set[Scope]]] = [
    ("GET", "/v1/timers", None, {Scope.TIMERS_READ, Scope.TIMERS_WRITE, Scope.ADMIN}),
    ("POST", "/v1/timers", TIMER, {Scope.TIMERS_WRITE, Scope.ADMIN}),
    ("POST", "/v1/timers/preview", {"after": 1}, {Scope.TIMERS_READ, Scope.TIMERS_WRITE, Scope.ADMIN}),
    ("GET", "/v1/events", None, {Scope.EVENTS_READ, Scope.ADMIN}),
    ("GET", "/v1/dead-letters", None, {Scope.TIMERS_READ, Scope.TIMERS_WRITE, Scope.ADMIN}),
    ("POST", "/v1/dead-letters/replay", {"error": "dns"}, {Scope.TIMERS_WRITE, Scope.ADMIN}),
    ("GET", "/v1/destinations", None, {Scope.TIMERS_READ, Scope.TIMERS_WRITE, Scope.ADMIN}),
    ("GET", "/v1/secrets", None, {Scope.ADMIN}),
    ("POST", "/v1/secrets", {"name": "x"}, {Scope.ADMIN}),
]


@pytest.mark.parametrize(("method", "path", "body", "enough"), ROUTES, ids=[f"{r[0]} {r[1]}" for r in ROUTES])
async def test_each_route_needs_its_scope(
    door: Door, method: str, path: str, body: Any, enough: set[Scope]
) -> None:
    for scope in Scope:
        answer = await door.http.request(method, path, json=body, headers=bearer(await key(door, scope)))
        if scope in enough:
            assert answer.status_code < 300, answer.text
        else:
            assert answer.status_code == 403
            assert str(min(enough, key=list(Scope).index)) in answer.json()["detail"]


async def test_a_denial_is_audited_without_the_key(door: Door, audit_log: Path) -> None:
    secret = await key(door, Scope.TIMERS_READ)
    await door.http.post("/v1/timers", json=TIMER, headers=bearer(secret))
    await door.http.get("/v1/timers", headers=bearer("mnt_" + "z" * 43))
    lines = [json.loads(line) for line in audit_log.read_text().splitlines()]
    assert [(line["event"], line["decision"]) for line in lines] == [
        ("access.denied", "deny"),
        ("access.refused", "deny"),
    ]
    assert lines[0]["tenant"] == "acme"
    assert secret not in audit_log.read_text()


async def test_what_belongs_to_another_tenant_is_not_there(door: Door) -> None:
    mine, other = bearer(await key(door, Scope.ADMIN)), bearer(await key(door, Scope.ADMIN, tenant="globex"))
    timer = (await door.http.post("/v1/timers", json=TIMER, headers=mine)).json()
    await door.http.post("/v1/secrets", json={"name": "mine"}, headers=mine)
    url = f"/v1/timers/{timer['id']}"
    for method, path in [
        ("GET", url),
        ("PATCH", url),
        *(("POST", f"{url}/{verb}") for verb in ("cancel", "pause", "resume", "fire", "snooze")),
        *(("GET", f"{url}/{part}") for part in ("events", "attempts", "why")),
        ("GET", "/v1/secrets/mine"),
        ("POST", "/v1/secrets/mine/rotate"),
    ]:
        body = {"after": "1h"} if method == "PATCH" or path.endswith("snooze") else None
        answer = await door.http.request(method, path, json=body, headers=other)
        assert answer.status_code == 404, f"{method} {path}: {answer.text}"
    assert (await door.http.get("/v1/timers", headers=other)).json()["items"] == []
    assert (await door.http.get("/v1/events", headers=other)).json()["items"] == []
    assert (await door.http.get(url, headers=mine)).json()["generation"] == 1


async def test_a_tenant_in_the_body_is_an_unknown_field(door: Door) -> None:
    answer = await door.http.post("/v1/timers", json=TIMER | {"tenant": "globex"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.tenant"


async def test_the_last_use_of_a_key_is_noted(door: Door) -> None:
    secret = await key(door, Scope.TIMERS_READ)
    await door.http.get("/v1/timers", headers=bearer(secret))
    await door.gateway.drain()
    async with door.gateway.database.read() as connection:
        [known] = await api_keys.page(connection, "acme")
    assert known.last_used_at is not None


def test_keys_are_made_listed_and_revoked_on_the_command_line(tmp_path: Path) -> None:
    def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
        return dev_stacks.run("keys", *arguments, "--data-dir", str(tmp_path / "data"), cwd=tmp_path)

    made = keys(
        "create", "--name", "ci", "--tenant", "acme", "--scope", "timers:read", "--expires", "90d", "--json"
    )
    assert made.returncode == 0, made.stderr
    shown = json.loads(made.stdout)
    assert shown["key"].startswith("mnt_")
    listed = keys("list", "--json")
    assert shown["id"] in listed.stdout
    assert shown["key"] not in listed.stdout
    assert shown["key"].encode() not in b"".join(
        path.read_bytes() for path in (tmp_path / "data").glob("*.db*")
    )
    assert keys("revoke", shown["id"]).returncode == 0
    assert json.loads(keys("list", "--json").stdout)["revoked_at"]
    wrong = keys("create", "--name", "x", "--expires", "soon")
    assert wrong.returncode == 2
    assert "--expires" in wrong.stderr
    assert keys("revoke", "key_nope").returncode == 3


async def test_metrics_are_for_this_machine_or_an_admin(door: Door) -> None:
    assert (await door.http.get("/metrics")).status_code == 200
    abroad = {"X-Forwarded-For": "1.2.3.4"}
    assert (await door.http.get("/metrics", headers=abroad)).status_code == 401
    reader = bearer(await key(door, Scope.TIMERS_READ))
    assert (await door.http.get("/metrics", headers=abroad | reader)).status_code == 403
    admin = bearer(await key(door, Scope.ADMIN))
    assert (await door.http.get("/metrics", headers=abroad | admin)).status_code == 200
