"""Telling the workflows of capture that there is something to do; they are begun where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, Literal

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from minoots.errors import Failure, FailureKind
from minoots_workflows import search_attributes
from minoots_workflows.ids import workflow_id
from minoots_workflows.pacing import Moved
from minoots_workflows.queues import Queue
from minoots_workflows.summaries import summary_of

from .contracts import CaptureStart, FileChanged, WriterStart
from .workflow import CaptureWorkflow
from .writer import WriterWorkflow

_RPC_TIMEOUT: Final = timedelta(seconds=5)


async def tell_changed(client: Client, start: CaptureStart, file: FileChanged) -> None:
    """Have a file read.

    Raises:
        Failure: unavailable; tell it again.
    """
    with _unavailable():
        await client.start_workflow(
            CaptureWorkflow.run,
            start,
            # By the conversation, never by the path: files move.
            id=workflow_id("capture", start.tenant, start.conversation_id),
            task_queue=Queue.CORE,
            static_summary=summary_of(start.name),
            search_attributes=search_attributes.of_named(start.tenant, start.name),
            start_signal="changed",
            start_signal_args=[file],
            rpc_timeout=_RPC_TIMEOUT,
        )


async def tell_writer(client: Client, start: WriterStart) -> None:
    """Have a recording written.

    Raises:
        Failure: unavailable; tell it again.
    """
    with _unavailable():
        await client.start_workflow(
            WriterWorkflow.run,
            start,
            id=workflow_id("writer", start.tenant, start.path_key),
            task_queue=Queue.CORE,
            static_summary=summary_of(start.name),
            search_attributes=search_attributes.of_named(start.tenant, start.name),
            start_signal="moved",
            start_signal_args=[Moved(what="events")],
            rpc_timeout=_RPC_TIMEOUT,
        )


async def has_work(client: Client, kind: Literal["capture", "writer"], tenant: str, public_id: str) -> bool:
    """Return whether a workflow runs that has something to do already: telling it would only make it more.

    Raises:
        Failure: unavailable; ask again.
    """
    with _unavailable():
        handle = client.get_workflow_handle(workflow_id(kind, tenant, public_id))
        try:
            found = (await handle.describe(rpc_timeout=_RPC_TIMEOUT)).raw_description
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
    return bool(found.pending_activities) or found.HasField("pending_workflow_task")


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    # RuntimeError: what the library raises while it has not been able to connect at all.
    except (RPCError, RuntimeError) as error:
        raise Failure(
            FailureKind.UNAVAILABLE,
            f"Temporal did not take it: {error}",
            remedy="Nothing needs doing: it is told again.",
        ) from error
