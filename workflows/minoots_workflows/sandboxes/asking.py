"""Asking something of a sandbox that stands, and waiting for its answer. Runs outside workflows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from minoots.errors import Failure, FailureKind
from minoots_workflows.ids import workflow_id

from .contracts import SandboxAnswer, SandboxCall
from .workflow import MOVES_ON, NEVER_STARTED, SandboxWorkflow

PATIENCE: Final = timedelta(seconds=60)
"""How long somebody who asks is kept waiting; what was asked may come about later."""
_AGAIN: Final = 0.1
"""Seconds until a sandbox is asked again whose workflow goes on in a new history."""


async def ask(client: Client, call: SandboxCall) -> SandboxAnswer:
    """Return the answer of a sandbox.

    Raises:
        Failure: unavailable; the text says whether it was never started, or nobody knows how far it came.
            conflict, when the sandbox is gone.
    """
    handle = client.get_workflow_handle_for(
        SandboxWorkflow.run, workflow_id("sandbox", call.tenant, call.sandbox_id)
    )
    refused = False
    try:
        async with asyncio.timeout(PATIENCE.total_seconds() + 1):
            while True:
                refused = False
                try:
                    return await handle.execute_update(SandboxWorkflow.call, call, rpc_timeout=PATIENCE)
                except WorkflowUpdateFailedError as error:
                    if _why(error) != MOVES_ON:
                        raise
                refused = True
                # A wait by the clock of whoever asks: this runs outside workflows.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN):
                        await asyncio.Event().wait()
    except WorkflowUpdateFailedError as error:
        if _why(error) == NEVER_STARTED:
            raise _never_started("the sandbox is not there for it") from error
        raise _unknown() from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _never_started("nobody sees to the sandbox at the moment") from error
        raise _unknown() from error
    # RuntimeError: what the library raises while it has not been able to connect at all.
    except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError, RuntimeError) as error:
        if refused:
            raise _never_started("others are still at work in the sandbox") from error
        raise _unknown() from error


def _why(error: WorkflowUpdateFailedError) -> str | None:
    return error.cause.type if isinstance(error.cause, ApplicationError) else None


def _never_started(why: str) -> Failure:
    return Failure(
        FailureKind.UNAVAILABLE,
        f"it was never started: {why}",
        remedy="Nothing of it has happened: see how the sandbox stands, then send it again.",
    )


def _unknown() -> Failure:
    return Failure(
        FailureKind.UNAVAILABLE,
        "its outcome is unknown: no answer came from the sandbox",
        remedy="See how the sandbox and its files stand; files and snapshots may be sent again.",
    )
