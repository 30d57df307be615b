"""Sandboxes that stand through the parts: open, use, see what became of them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from stacks import TENANT, Stack, eventually
from temporalio.api.enums.v1 import PendingActivityState

from minoots.contracts import Sandbox, SandboxCreate, SandboxState
from minoots_platform.clock import utc_now
from minoots_platform.records import contents, events, sandboxes
from minoots_workflows.ids import workflow_id
from minoots_workflows.sandboxes.asking import ask
from minoots_workflows.sandboxes.contracts import SandboxCall, SandboxDoes

ADMISSION = sandboxes.Admission(
    most=10,
    idle=timedelta(minutes=15),
    lifetime=timedelta(hours=1),
    longest=timedelta(hours=24),
    open_within=timedelta(seconds=90),
)
PATIENT = 90


async def want(stack: Stack, **body: Any) -> Sandbox:
    """Keep the wish for a sandbox without telling the engine."""
    async with stack.database.write() as connection:
        return await sandboxes.accept(
            connection,
            TENANT,
            SandboxCreate.model_validate({"tier": "process", **body}),
            ADMISSION,
            now=utc_now(),
            actor="test",
            traceparent=None,
        )


async def opened(stack: Stack, **body: Any) -> Sandbox:
    """A sandbox, once it stands."""
    wanted = await want(stack, **body)
    assert await stack.handover.sandbox(wanted.id)
    return await reaches(stack, wanted, SandboxState.OPEN)


async def held(stack: Stack, sandbox: Sandbox) -> None:
    """Wait until its worker has taken to watching it."""
    handle = stack.client.get_workflow_handle(workflow_id("sandbox", TENANT, sandbox.id))

    async def watched() -> bool:
        pending = (await handle.describe()).raw_description.pending_activities
        started = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        return any(one.activity_type.name == "sandboxes.hold" and one.state == started for one in pending)

    await eventually(watched, bool, PATIENT)


async def get(stack: Stack, sandbox: Sandbox) -> Sandbox:
    """The sandbox as it stands."""
    async with stack.database.read() as connection:
        return await sandboxes.get(connection, TENANT, sandbox.id)


async def reaches(stack: Stack, sandbox: Sandbox, *states: SandboxState) -> Sandbox:
    """The sandbox, once it is in one of these states."""
    return await eventually(lambda: get(stack, sandbox), lambda found: found.state in states, PATIENT)


async def close(stack: Stack, sandbox: Sandbox) -> None:
    """Have it closed."""
    async with stack.database.write() as connection:
        _, tell = await sandboxes.close(connection, TENANT, sandbox.id, now=utc_now(), actor="test")
    assert tell
    assert await stack.handover.sandbox(sandbox.id, "closed")


async def aged(stack: Stack, sandbox: Sandbox, **values: Any) -> None:
    """Let time have passed for it: change its row, and have it looked at."""
    async with stack.database.write() as connection:
        row = await sandboxes.row_of(connection, TENANT, sandbox.id, lock=True)
        await sandboxes.change(connection, row, values)
    assert await stack.handover.sandbox(sandbox.id, "aged")


async def use(stack: Stack, sandbox: Sandbox, does: SandboxDoes, **about: Any) -> dict[str, Any]:
    """Ask something of it; return the answer."""
    kept = ""
    if about:
        kept = await contents.keep(stack.database, TENANT, json.dumps(about).encode(), utc_now())
    call = SandboxCall(tenant=TENANT, sandbox_id=sandbox.id, does=does, about=kept)
    answer = await ask(stack.client, call)
    found: dict[str, Any] = json.loads(await contents.read(stack.database, TENANT, answer.content))
    return found


async def put(stack: Stack, sandbox: Sandbox, path: str, data: bytes) -> dict[str, Any]:
    """Put a file into it."""
    sha256 = await contents.keep(stack.database, TENANT, data, utc_now())
    return await use(stack, sandbox, SandboxDoes.PUT, path=path, sha256=sha256)


async def told(stack: Stack, sandbox: Sandbox) -> list[str]:
    """The types of the events about it, in order."""
    async with stack.database.read() as connection:
        wanted = events.EventFilter(subject=sandbox.id)
        found = await events.read(connection, TENANT, after=0, limit=100, wanted=wanted)
    return [event.type for event in found.events]
