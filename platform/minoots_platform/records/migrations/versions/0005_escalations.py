"""Escalations and their notices, heartbeats, people, rotations, policies; timers to be acknowledged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "documents",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_documents_tenant")),
        sa.PrimaryKeyConstraint("tenant", "kind", "id", name=op.f("pk_documents")),
    )
    op.create_table(
        "escalations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("armed_generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("policy", sa.String(length=63), nullable=True),
        sa.Column("ladder", sa.JSON(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("timer_id", sa.String(length=40), nullable=True),
        sa.Column("trigger", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("next_at", Moment(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_escalations_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalations")),
    )
    op.create_index(
        "ix_escalations_behind",
        "escalations",
        ["updated_at"],
        unique=False,
        sqlite_where=sa.text("armed_generation < generation"),
        postgresql_where=sa.text("armed_generation < generation"),
    )
    op.create_index(
        "ix_escalations_open",
        "escalations",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        op.f("ix_escalations_tenant_created_at_id"),
        "escalations",
        ["tenant", "created_at", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_escalations_timer_id"), "escalations", ["timer_id"], unique=False)
    op.create_table(
        "heartbeats",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("last_at", Moment(), nullable=True),
        sa.Column("silent_at", Moment(), nullable=True),
        sa.Column("escalation_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_heartbeats_tenant")),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_heartbeats")),
    )
    op.create_index(
        "ix_heartbeats_alive",
        "heartbeats",
        ["silent_at"],
        unique=False,
        sqlite_where=sa.text("state = 'alive'"),
        postgresql_where=sa.text("state = 'alive'"),
    )
    op.create_table(
        "escalation_acts",
        sa.Column("escalation_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("act", sa.String(length=16), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("via", sa.String(length=16), nullable=False),
        sa.Column("trigger", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["escalation_id"],
            ["escalations.id"],
            name=op.f("fk_escalation_acts_escalation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("escalation_id", "number", name=op.f("pk_escalation_acts")),
    )
    op.create_table(
        "notices",
        sa.Column("timer_id", sa.String(length=40), nullable=False),
        sa.Column("escalation_id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("who", sa.String(length=80), nullable=False),
        sa.Column("trigger", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("acknowledged_at", Moment(), nullable=True),
        sa.Column("used_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["escalation_id"], ["escalations.id"], name=op.f("fk_notices_escalation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_notices_tenant")),
        sa.PrimaryKeyConstraint("timer_id", name=op.f("pk_notices")),
    )
    op.create_index(op.f("ix_notices_escalation_id"), "notices", ["escalation_id"], unique=False)
    op.create_index(op.f("ix_notices_tenant_due_at"), "notices", ["tenant", "due_at"], unique=False)
    op.add_column("api_keys", sa.Column("acts_as", sa.String(length=80), nullable=True))
    op.add_column("schedules", sa.Column("acknowledge", sa.JSON(), nullable=True))
    op.add_column("timers", sa.Column("acknowledge", sa.JSON(), nullable=True))
    op.add_column("timers", sa.Column("escalation_id", sa.String(length=40), nullable=True))


def downgrade() -> None:
    """Go back; escalations are lost, the timers that told of them stay."""
    for table, name in (
        ("timers", "escalation_id"),
        ("timers", "acknowledge"),
        ("schedules", "acknowledge"),
        ("api_keys", "acts_as"),
    ):
        op.drop_column(table, name)
    for name in ("notices", "escalation_acts", "heartbeats", "escalations", "documents"):
        op.drop_table(name)
