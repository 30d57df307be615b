"""Schedules, and timers that are occurrences of one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("armed_generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("cursor", Moment(), nullable=False),
        sa.Column("next_at", Moment(), nullable=True),
        sa.Column("remaining", sa.Integer(), nullable=True),
        sa.Column("occurrences", sa.Integer(), server_default="0", nullable=False),
        sa.Column("missed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("retry", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_schedules_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
    )
    op.create_index(op.f("ix_schedules_tenant_created_at_id"), "schedules", ["tenant", "created_at", "id"])
    active = sa.text("state = 'active'")
    op.create_index(
        "ix_schedules_active", "schedules", ["cursor"], sqlite_where=active, postgresql_where=active
    )
    behind = sa.text("armed_generation < generation")
    op.create_index(
        "ix_schedules_behind", "schedules", ["updated_at"], sqlite_where=behind, postgresql_where=behind
    )
    # One ALTER TABLE a column: SQLite would make the table anew for a constraint, and drop what refers to it.
    for column in (
        sa.Column("schedule_id", sa.String(length=40), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("nominal_at", Moment(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("overlap", sa.String(length=16), nullable=True),
        sa.Column("held", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("excused", sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column("timers", column)
    op.create_index(op.f("ix_timers_schedule_id_number"), "timers", ["schedule_id", "number"], unique=True)
    unfinished = sa.text("schedule_id IS NOT NULL AND settled_at IS NULL")
    op.create_index(
        "ix_timers_unfinished",
        "timers",
        ["schedule_id", "number"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )


def downgrade() -> None:
    """Go back; schedules are lost, their timers stay."""
    op.drop_index("ix_timers_unfinished", table_name="timers")
    op.drop_index(op.f("ix_timers_schedule_id_number"), table_name="timers")
    for name in ("excused", "held", "overlap", "kind", "nominal_at", "number", "schedule_id"):
        op.drop_column("timers", name)
    op.drop_table("schedules")
