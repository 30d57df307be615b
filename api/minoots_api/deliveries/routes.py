"""``/v1/dead-letters`` and ``/v1/replays``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from minoots.contracts import AttemptError, DeadLetter, Page, Replay, Replayed, ReplayFilter
from minoots.contracts.base import Instant
from minoots_api.commands import run_once
from minoots_api.gateway import Here
from minoots_api.parameters import Cursor, IdempotencyKey, Limit, Text, known_form
from minoots_api.principals import TimersReader, TimersWriter
from minoots_api.routing import Router
from minoots_platform.records import dead_letters, replays

router = Router(tags=["deliveries"])

PublicId = Annotated[str, Path()]


@router.get("/v1/dead-letters", response_model=Page[DeadLetter])
async def list_dead_letters(
    gateway: Here,
    principal: TimersReader,
    timer_id: Annotated[Text | None, Query(max_length=40)] = None,
    timer_name: Annotated[Text | None, Query(min_length=1, max_length=200)] = None,
    url_prefix: Annotated[Text | None, Query(min_length=8, max_length=2048)] = None,
    error: AttemptError | None = None,
    died_after: Instant | None = None,
    died_before: Instant | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DeadLetter]:
    """List deliveries that were given up, the newest first."""
    given = {
        "timer_id": timer_id,
        "timer_name": timer_name,
        "url_prefix": url_prefix,
        "error": error,
        "died_after": died_after,
        "died_before": died_before,
    }
    given = {name: value for name, value in given.items() if value is not None}
    wanted = ReplayFilter.model_validate(given) if given else None
    async with gateway.database.read() as connection:
        return await dead_letters.page(
            connection, principal.tenant, dead_letters.DeadLetterQuery(wanted, limit, cursor)
        )


@router.post("/v1/dead-letters/replay", status_code=202, response_model=Replay)
async def replay_dead_letters(
    wanted: ReplayFilter, request: Request, gateway: Here, principal: TimersWriter, key: IdempotencyKey = None
) -> Response:
    """Send every matching dead letter again; the answer tells where to see the progress."""

    async def work(connection: AsyncConnection) -> Replay:
        return await replays.start(
            connection, principal.tenant, wanted, now=gateway.clock(), actor=principal.subject
        )

    answered = await run_once(gateway, request, principal, key, work, status=202)
    replay_id = answered.answer["id"]
    if not answered.replayed:
        await gateway.hand_over(gateway.handover.replay(principal.tenant, replay_id))
    return answered.response(Location=f"/v1/replays/{replay_id}")


@router.post("/v1/dead-letters/{id}/replay", status_code=202, response_model=Replayed)
async def replay_dead_letter(
    id: PublicId, request: Request, gateway: Here, principal: TimersWriter, key: IdempotencyKey = None
) -> Response:
    """Send one dead letter again, with the same ``webhook-id``."""
    known_form(id, "dlv", "dead letter")

    async def work(connection: AsyncConnection) -> Replayed:
        return await dead_letters.replay_one(
            connection, principal.tenant, id, now=gateway.clock(), actor=principal.subject
        )

    answered = await run_once(gateway, request, principal, key, work, status=202)
    if not answered.replayed:
        await gateway.hand_over(gateway.handover.delivery(principal.tenant, answered.answer["delivery_id"]))
    return answered.response()


@router.get("/v1/replays/{id}", response_model=Replay)
async def get_replay(id: PublicId, gateway: Here, principal: TimersReader) -> Replay:
    """Get a replay by filter and how far it is."""
    known_form(id, "rpl", "replay")
    async with gateway.database.read() as connection:
        return await replays.get(connection, principal.tenant, id)
