"""Keys that stand behind what tests set: made under the name by which a test sets things, and revoked."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from stacks import TENANT

from minoots_platform.clock import utc_now
from minoots_platform.identity import Scope
from minoots_platform.records import Database, schema

_KEYS = schema.api_keys


async def hold(
    database: Database,
    scopes: Collection[Scope] = (Scope.ADMIN,),
    *,
    subject: str = "test",
    tenant: str = TENANT,
) -> None:
    """Make a key by the name of ``subject``."""
    values = {"id": subject, "tenant": tenant, "name": subject, "hash": f"{subject:0<64}", "hint": "mnt_…"}
    made = {**values, "scopes": sorted(scopes), "created_at": utc_now()}
    async with database.write() as connection:
        await connection.execute(sa.insert(_KEYS).values(**made))


async def revoke(database: Database, *, subject: str = "test", again_valid: bool = False) -> None:
    """End a key, or take that back."""
    async with database.write() as connection:
        revoked_at = None if again_valid else utc_now()
        await connection.execute(sa.update(_KEYS).where(_KEYS.c.id == subject).values(revoked_at=revoked_at))
