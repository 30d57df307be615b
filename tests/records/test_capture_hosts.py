"""Hosts that capture: one name belongs to one of them at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from stacks import TENANT

from minoots.errors import Failure, FailureKind
from minoots_platform.records import Database, capture_hosts

NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)


async def seen(database: Database, identity: str, after: float, host: str = "ada") -> None:
    """Give a sign of life some seconds after ``NOW``."""
    now = NOW + timedelta(seconds=after)
    async with database.write() as connection:
        await capture_hosts.seen(
            connection, TENANT, host, {"told": after}, version="1", started_at=NOW, now=now, identity=identity
        )


async def test_the_second_of_one_name_is_refused_while_the_first_lives(database: Database) -> None:
    await seen(database, "one", 0)
    await seen(database, "one", 5)
    with pytest.raises(Failure, match="another machine captures as ada") as failed:
        await seen(database, "other", 10)
    assert failed.value.kind is FailureKind.CONFLICT
    assert "capture.host" in str(failed.value.remedy)
    await seen(database, "other", 10, host="bob")
    await seen(database, "one", 15)


async def test_a_name_is_free_when_nobody_has_been_heard_of_or_it_was_let_go_of(database: Database) -> None:
    await seen(database, "one", 0)
    await seen(database, "other", 60)
    with pytest.raises(Failure, match="another machine"):
        await seen(database, "one", 61)
    async with database.write() as connection:
        await capture_hosts.left(connection, TENANT, "ada", "one")
    with pytest.raises(Failure, match="another machine"):
        await seen(database, "one", 61)
    async with database.write() as connection:
        await capture_hosts.left(connection, TENANT, "ada", "other")
        [row] = await capture_hosts.all_of(connection, TENANT)
    assert row.status == {"told": 60}
    await seen(database, "one", 62)
