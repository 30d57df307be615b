"""What is said in the job of an agent: messages by their hashes, in a chain, and those that wait to be read.

Owns the order of a conversation. A message is a content; the chain over the hashes says that nothing was
changed, left out or put in, and two conversations with the same end are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts.models import Message, Role
from minoots.errors import Failure, FailureKind

from . import contents, schema
from .database import Database
from .inserting import insert_new

RUNS: Final = schema.agent_runs
_MESSAGES: Final = schema.agent_messages
_INBOX: Final = schema.agent_inbox

MOST_UNREAD: Final = 100
"""Messages that may wait for one agent."""


def linked(head: str, sha256: str) -> str:
    """Return the end of a chain that went to ``head``, with one more message."""
    return hashlib.sha256(f"{head}{sha256}".encode()).hexdigest()


async def say(
    connection: AsyncConnection, run: sa.Row[Any], messages: Sequence[Message], now: datetime
) -> dict[str, Any]:
    """Append messages to the conversation of a run; return the columns of the run that change with it."""
    number, head = run.messages, run.head
    for message in messages:
        sha256 = await contents.put(connection, run.tenant, encode(message), now)
        number, head = number + 1, linked(head, sha256)
        row = {"job_id": run.job_id, "number": number, "role": message.role.value, "sha256": sha256}
        await connection.execute(sa.insert(_MESSAGES).values(**row, head=head, created_at=now))
        await name(connection, run.tenant, run.job_id, [sha256])
    return {"messages": number, "head": head}


async def conversation(database: Database, tenant: str, job_id: str) -> tuple[Message, ...]:
    """Return all that was said in a job, in order.

    Raises:
        Failure: bug, when it is not what was kept.
    """
    async with database.read() as connection:
        query = sa.select(_MESSAGES).where(_MESSAGES.c.job_id == job_id).order_by(_MESSAGES.c.number)
        rows = (await connection.execute(query)).all()
    head = ""
    for row in rows:
        head = linked(head, row.sha256)
        if head != row.head:
            raise Failure(
                FailureKind.BUG, f"the conversation of {job_id} was changed at message {row.number}"
            )
    kept = await contents.read_many(database, tenant, {row.sha256 for row in rows})
    return tuple(decode(kept[row.sha256]) for row in rows)


async def last_said(database: Database, tenant: str, job_id: str) -> Message:
    """Return what the model has said last."""
    mine = (_MESSAGES.c.job_id == job_id, _MESSAGES.c.role == Role.ASSISTANT.value)
    query = sa.select(_MESSAGES.c.sha256).where(*mine).order_by(_MESSAGES.c.number.desc()).limit(1)
    async with database.read() as connection:
        sha256 = (await connection.execute(query)).scalar_one()
    return decode(await contents.read(database, tenant, sha256))


async def tell(connection: AsyncConnection, run: sa.Row[Any], text: str, *, by: str, now: datetime) -> None:
    """Keep a message to an agent until it reads it. The run is locked.

    Raises:
        Failure: throttled, when too many wait already.
    """
    if run.told - run.heard >= MOST_UNREAD:
        raise Failure(
            FailureKind.THROTTLED,
            f"{MOST_UNREAD} messages wait for this agent already",
            remedy="Wait until it has read some.",
        )
    sha256 = await contents.put(connection, run.tenant, text.encode(), now)
    await name(connection, run.tenant, run.job_id, [sha256])
    row = {"job_id": run.job_id, "number": run.told + 1, "sha256": sha256, "sent_by": by}
    await connection.execute(sa.insert(_INBOX).values(**row, created_at=now))
    told = sa.update(RUNS).where(RUNS.c.job_id == run.job_id).values(told=run.told + 1)
    await connection.execute(told)


async def unread(connection: AsyncConnection, run: sa.Row[Any]) -> tuple[Message, ...]:
    """Return the messages to an agent that it has not read, the oldest first."""
    mine = (_INBOX.c.job_id == run.job_id, _INBOX.c.number > run.heard, _INBOX.c.number <= run.told)
    rows = (await connection.execute(sa.select(_INBOX).where(*mine).order_by(_INBOX.c.number))).all()
    pieces = schema.content_pieces
    texts = []
    for row in rows:
        query = sa.select(pieces.c.data).where(pieces.c.tenant == run.tenant, pieces.c.sha256 == row.sha256)
        data = b"".join(await connection.scalars(query.order_by(pieces.c.number)))
        texts.append(data.decode())
    return tuple(Message(role=Role.USER, text=text) for text in texts)


async def name(connection: AsyncConnection, tenant: str, job_id: str, hashes: Collection[str]) -> None:
    """Have contents stay for as long as a job does."""
    for sha256 in sorted(hashes):
        row = {"job_id": job_id, "tenant": tenant, "sha256": sha256}
        await insert_new(connection, schema.job_inputs, row)


async def bytes_of(connection: AsyncConnection, tenant: str, job_id: str) -> int:
    """Return how many bytes the contents of a job have together."""
    inputs = schema.job_inputs
    kept = contents.TABLE
    query = (
        sa.select(sa.func.coalesce(sa.func.sum(kept.c.bytes), 0))
        .join(inputs, sa.and_(inputs.c.tenant == kept.c.tenant, inputs.c.sha256 == kept.c.sha256))
        .where(inputs.c.job_id == job_id, kept.c.tenant == tenant)
    )
    return int((await connection.execute(query)).scalar_one())


def encode(message: Message) -> bytes:
    """Return a message as it is kept: the same message gives the same bytes."""
    return message.model_dump_json(exclude_defaults=True).encode()


def decode(data: bytes) -> Message:
    """Return a message as it was kept."""
    return Message.model_validate_json(data)
