"""What came of a timer's actions, as later nodes of its plan see it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts.base import check_json

from . import schema

_DELIVERIES = schema.deliveries
_ATTEMPTS = schema.attempts


async def of_timers(connection: AsyncConnection, timer_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return for each timer ``{"response": …, "actions": [{"state", "status", "response", "error"}, …]}``.

    Of one that required acknowledgement also ``acknowledged``: ``by`` whom, with which ``result``.

    A response that is JSON is given as JSON, any other as text: the first 2 KiB, as attempts keep them.
    ``response`` is that of the first action.
    """
    query = (
        sa.select(_DELIVERIES, _ATTEMPTS.c.status, _ATTEMPTS.c.response)
        .select_from(
            _DELIVERIES.outerjoin(
                _ATTEMPTS,
                sa.and_(
                    _ATTEMPTS.c.delivery_id == _DELIVERIES.c.id,
                    _ATTEMPTS.c.number == _DELIVERIES.c.attempts,
                ),
            )
        )
        .where(_DELIVERIES.c.timer_id.in_(timer_ids), _DELIVERIES.c.replay_of.is_(None))
        .order_by(_DELIVERIES.c.action)
    )
    actions: dict[str, list[dict[str, Any]]] = {timer_id: [] for timer_id in timer_ids}
    for row in await connection.execute(query) if timer_ids else ():
        actions[row.timer_id].append(
            {
                "state": row.state,
                "status": row.status,
                "response": _parsed(row.response),
                "error": row.error,
            }
        )
    answers = await _acknowledged(connection, timer_ids)
    return {
        timer_id: {"response": found[0]["response"] if found else None, "actions": found}
        | ({"acknowledged": answers[timer_id]} if timer_id in answers else {})
        for timer_id, found in actions.items()
    }


async def _acknowledged(connection: AsyncConnection, timer_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return who first acknowledged a timer, and with which result, of those that required it."""
    if not timer_ids:
        return {}
    acts, escalations = schema.escalation_acts, schema.escalations
    query = (
        sa.select(escalations.c.timer_id, acts.c.who, acts.c.result)
        .join(acts, acts.c.escalation_id == escalations.c.id)
        .where(escalations.c.timer_id.in_(timer_ids), acts.c.act == "acknowledged")
        .order_by(acts.c.number.desc())
    )
    rows = await connection.execute(query)
    return {row.timer_id: {"by": row.who, "result": row.result} for row in rows}


def _parsed(text: str | None) -> Any:
    """Return an answer as JSON if it is some that could be sent to us as well; else as text.

    What is nested a thousand levels deep fits into 2 KiB, and would end whoever evaluates it.
    """
    if text is None:
        return None
    try:
        found = json.loads(text)
        check_json(found)
    except (ValueError, RecursionError):
        return text
    return found
