"""Telling people and agents of something at once: a timer that is due now, delivered like any other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import TimerCreate
from minoots.contracts.actions import Action
from minoots.errors import Failure

from . import tellable, timers

_ACTIONS: TypeAdapter[tuple[Action, ...]] = TypeAdapter(tuple[Action, ...])


async def notify(
    connection: AsyncConnection,
    tenant: str,
    who: Sequence[str],
    *,
    name: str,
    payload: Any,
    now: datetime,
    actor: str,
) -> tuple[str, ...]:
    """Tell everybody in ``who`` (``person:ada``, ``rotation:on-call``, ``agent:builder``) by their contacts.

    Part of the caller's transaction: they are told if it commits, once, by whoever hands timers over.

    Returns:
        Those who could not be told, because nothing is known of them.
    """
    unknown = []
    for one in who:
        somebody = await tellable.resolve(connection, tenant, one, now)
        actions = [] if somebody is None else await tellable.contacts(connection, tenant, somebody, name)
        if not actions:
            unknown.append(one)
            continue
        spec = TimerCreate(name=name, fire_at=now, payload=payload, actions=_ACTIONS.validate_python(actions))
        try:
            await timers.accept(connection, tenant, spec, fire_at=now, now=now, actor=actor, traceparent=None)
        except (Failure, ValidationError):
            # A contact names a secret or an agent that has been removed since.
            unknown.append(one)
    return tuple(unknown)
