"""Temporal workflows: started once for each firing, by their id."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from minoots.contracts import AttemptError
from minoots_platform.connectors.workflow import StartWorkflow

from .sender import Message, NotSent, Sender

_TIMEOUT: Final = timedelta(seconds=10)
_HOPELESS: Final = frozenset({RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.PERMISSION_DENIED})


class Workflows(Sender[StartWorkflow]):
    """Starts workflows of the user's own; their input is the CloudEvent of the timer."""

    async def send(self, message: Message, config: StartWorkflow) -> str | None:
        """Start once: one that was started already, or has ended since, counts as started."""
        # The tenant stands in the id, so that two tenants cannot take each other's.
        public_id = f"{message.tenant}:{config.id or message.id}"
        try:
            await self.world.temporal.start_workflow(
                config.workflow,
                message.event,
                id=public_id,
                task_queue=config.task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=(
                    WorkflowIDReusePolicy.REJECT_DUPLICATE
                    if config.id is None
                    else WorkflowIDReusePolicy.ALLOW_DUPLICATE
                ),
                rpc_timeout=_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return f"{public_id} was started before"
        except RPCError as error:
            kind = AttemptError.REFUSED if error.status in _HOPELESS else AttemptError.CONNECT
            raise NotSent(kind, f"Temporal did not start it: {error.status.name.lower()}") from error
        except RuntimeError as error:
            # What the library raises while it has not been able to connect at all.
            raise NotSent(AttemptError.CONNECT, "Temporal cannot be reached") from error
        return public_id

    async def health(self) -> None:
        """Have the server answer."""
        try:
            await self.world.temporal.service_client.check_health()
        except (RPCError, RuntimeError) as error:
            raise NotSent(AttemptError.CONNECT, "Temporal cannot be reached") from error
