"""Asking something of a sandbox through its workflow, and reading what it has answered."""

from __future__ import annotations

import json
from typing import Any

from minoots.errors import Failure, FailureKind
from minoots_api.gateway import Gateway
from minoots_platform.identity import Principal
from minoots_platform.records import contents, sandboxes
from minoots_workflows.sandboxes.asking import ask
from minoots_workflows.sandboxes.contracts import SandboxCall, SandboxDoes


async def asked(
    gateway: Gateway, principal: Principal, sandbox_id: str, does: SandboxDoes, **about: Any
) -> dict[str, Any]:
    """Return what a sandbox has answered; it counts as used.

    Raises:
        Failure: not_found, also for another tenant's; conflict, when it does not stand; unavailable, when no
            answer came: the text says whether it was never started, or its outcome is unknown; and whatever
            went wrong in the sandbox.
    """
    if gateway.temporal is None:
        raise Failure(
            FailureKind.UNAVAILABLE,
            "this gateway knows of no Temporal, and workers hold the sandboxes",
            remedy="Start it with workers, or name the server in temporal.address.",
        )
    tenant = principal.tenant
    async with gateway.database.write() as connection:
        await sandboxes.require_standing(connection, tenant, sandbox_id, gateway.clock())
    kept = ""
    if about:
        # By its hash: neither paths nor names of files reach a history.
        kept = await contents.keep(gateway.database, tenant, json.dumps(about).encode(), gateway.clock())
    call = SandboxCall(tenant=tenant, sandbox_id=sandbox_id, does=does, about=kept)
    answer = await ask(gateway.temporal, call)
    found: dict[str, Any] = json.loads(await contents.read(gateway.database, tenant, answer.content))
    if "failure" in found:
        failure = found["failure"]
        raise Failure(FailureKind(failure["kind"]), failure["detail"], remedy=failure["remedy"])
    return found
