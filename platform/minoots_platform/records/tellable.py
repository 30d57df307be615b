"""Who can be told: agents, people, whoever is on call, plain receivers; and how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from minoots.contracts import Acknowledgement, FieldProblem, Ladder, Rotation, Terms, WebhookAction
from minoots.errors import Failure, FailureKind
from minoots_platform.escalating import check_ladder, on_call

from . import agents, documents, targets


async def require(
    connection: AsyncConnection, tenant: str, ladder: Ladder, terms: Terms, *, field: str
) -> None:
    """Make sure that a ladder can be climbed: its rules are sound, and everybody exists whom it names.

    Raises:
        Failure: invalid, naming the field.
    """
    await require_ladder(connection, tenant, ladder, f"{field}.ladder")
    await require_who(connection, tenant, terms.by, f"{field}.terms.by")


async def require_acknowledgement(
    connection: AsyncConnection, tenant: str, asked: Acknowledgement | None, field: str
) -> None:
    """Make sure that what a timer requires can be had.

    Raises:
        Failure: invalid, naming the field.
    """
    if asked is None:
        return
    if asked.policy is not None and not await documents.known_among(
        connection, tenant, "policy", [asked.policy]
    ):
        raise missing(
            f"{field}.policy", "the id of a policy", asked.policy, "Save it with POST /v1/policies."
        )
    if asked.ladder is not None:
        await require_ladder(connection, tenant, asked.ladder, f"{field}.ladder")
    await require_who(connection, tenant, asked.by, f"{field}.by")


async def require_ladder(connection: AsyncConnection, tenant: str, ladder: Ladder, field: str) -> None:
    """Make sure that everybody exists whom a ladder names.

    Raises:
        Failure: invalid, naming the field.
    """
    fault = check_ladder(ladder)
    if fault is not None:
        place, expected, got = fault
        raise missing(f"{field}.{place}", expected, got, "Correct it and send it again.")
    for index, rung in enumerate(ladder.rungs):
        place = f"{field}.rungs.{index}.targets"
        for position, target in enumerate(rung.targets):
            if isinstance(target, WebhookAction):
                await targets.require(connection, tenant, {place: [target]})
            else:
                await require_who(connection, tenant, [target], place, first=position)


async def require_who(
    connection: AsyncConnection, tenant: str, who: Sequence[str], field: str, first: int | None = 0
) -> None:
    """Make sure that somebody exists.

    Raises:
        Failure: invalid, naming the field.
    """
    for position, one in enumerate(who, first or 0):
        kind, _, name = one.partition(":")
        if kind == "agent":
            known = await agents.known_among(connection, tenant, [name])
        else:
            known = await documents.known_among(connection, tenant, _kind(kind), [name])
        if name not in known:
            place = field if len(who) == 1 and field == "body.to" else f"{field}.{position}"
            remedy = {"agent": "agents", "person": "people", "rotation": "rotations"}[kind]
            raise missing(place, f"the id of a known {kind}", one, f"Make it with POST /v1/{remedy}.")


async def resolve(connection: AsyncConnection, tenant: str, who: str, at: datetime) -> str | None:
    """Return who that is at a time: of a rotation whoever is on call, if anybody."""
    kind, _, name = who.partition(":")
    if kind != "rotation":
        return who
    row = await documents.find(connection, tenant, "rotation", name)
    if row is None:
        return None
    found = Rotation.model_validate({"id": row.id, "on_call": None, "updated_at": row.updated_at, **row.spec})
    return on_call(found.layers, found.overrides, at)


async def resolve_all(
    connection: AsyncConnection, tenant: str, who: Iterable[str], at: datetime
) -> frozenset[str]:
    """Return who those are at a time."""
    found = [await resolve(connection, tenant, one, at) for one in who]
    return frozenset(one for one in found if one is not None)


async def contacts(connection: AsyncConnection, tenant: str, who: str, name: str) -> list[dict[str, Any]]:
    """Return the actions that tell somebody of ``name``; none when they are not known any more."""
    kind, _, public_id = who.partition(":")
    if kind == "agent":
        known = await agents.known_among(connection, tenant, [public_id])
        return [{"kind": "agent", "agent": public_id, "name": name}] if known else []
    row = await documents.find(connection, tenant, "person", public_id)
    return [] if row is None else list(row.spec["contacts"])


def missing(field: str, expected: str, got: str, remedy: str) -> Failure:
    """Return the failure for something that is named and does not exist, or cannot be."""
    problem = FieldProblem(field=field, expected=expected, got=got)
    return Failure(
        FailureKind.INVALID, f"{field} is not possible: expected {expected}", remedy=remedy, errors=(problem,)
    )


def _kind(kind: str) -> documents.Kind:
    return "rotation" if kind == "rotation" else "person"
