"""How much tenants hand in on a day, who has added a node to a plan, and holds of what was set before 0020.

Reads rows as 0020 has left them, by names and shapes of that time: what the code makes of them later is not
this migration's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_HOLDS = sa.table(
    "content_holds", sa.column("tenant"), sa.column("sha256"), sa.column("kind"), sa.column("holder")
)
_OVER = ("settled", "cancelled", "failed", "ended", "completed")
"""States in which nothing begins any more; what else there is, whoever cleans up lets go of."""


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "handed_in",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_handed_in_tenant")),
        sa.PrimaryKeyConstraint("tenant", "day", name=op.f("pk_handed_in")),
    )
    op.add_column("plan_nodes", sa.Column("created_by", sa.String(255)))
    connection = op.get_bind()
    held = {tuple(row) for row in connection.execute(sa.select(*_HOLDS.c))}
    wanted = {(tenant, sha256, kind, holder) for tenant, kind, holder, sha256 in _named(connection)}
    rows = [dict(zip(_HOLDS.c.keys(), one, strict=True)) for one in sorted(wanted - held)]
    if rows:
        connection.execute(sa.insert(_HOLDS), rows)


def downgrade() -> None:
    """Go back."""
    op.drop_column("plan_nodes", "created_by")
    op.drop_table("handed_in")


def _named(connection: sa.Connection) -> Iterator[tuple[str, str, str, str]]:
    """Yield the contents that jobs name which begin later: tenant, what holds it, its id, and the hash."""
    for kind, query in _holding():
        for tenant, holder, actions in connection.execute(query):
            for sha256 in _contents_of(actions):
                yield tenant, kind, holder, sha256


def _holding() -> Iterator[tuple[str, sa.Select[Any]]]:
    for kind, name in (("timer", "timers"), ("schedule", "schedules")):
        table = _table(name, "tenant", "id", "state", body="actions")
        # A timer that has failed may be replayed.
        over = tuple(state for state in _OVER if state != "failed" or kind != "timer")
        query = sa.select(table.c.tenant, table.c.id, table.c.actions).where(table.c.state.not_in(over))
        yield kind, query.where(_has_jobs(table.c.actions))
    plans, nodes = _table("plans", "tenant", "id", "state"), _table("plan_nodes", "plan_id", body="spec")
    query = sa.select(plans.c.tenant, plans.c.id, nodes.c.spec).join_from(
        plans, nodes, nodes.c.plan_id == plans.c.id
    )
    yield "plan", query.where(plans.c.state.not_in(_OVER), _has_jobs(nodes.c.spec))
    people = _table("documents", "tenant", "id", "kind", body="spec")
    query = sa.select(people.c.tenant, people.c.id, people.c.spec).where(people.c.kind == "person")
    yield "person", query.where(_has_jobs(people.c.spec))


def _table(name: str, *columns: str, body: str | None = None) -> sa.TableClause:
    bodies = [] if body is None else [sa.column(body, sa.JSON)]
    return sa.table(name, *(sa.column(column, sa.String) for column in columns), *bodies)


def _has_jobs(body: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    # Most begin none, and a table may have millions of them: only these are read.
    return sa.cast(body, sa.Text).like('%"job"%')


def _contents_of(body: Any) -> Iterator[str]:
    """Yield the hashes in actions, in a node of a plan, or in a person."""
    if isinstance(body, dict):
        body = body.get("contacts") or (body.get("timer") or {}).get("actions")
    for action in body or ():
        if action.get("kind") != "job":
            continue
        job = (action.get("config") or {}).get("job") or {}
        for file in job.get("files") or ():
            if file.get("artifact"):
                yield file["artifact"]
        for message in job.get("messages") or () if job.get("kind") == "llm" else ():
            if message.get("content"):
                yield message["content"]
            yield from message.get("images") or ()
