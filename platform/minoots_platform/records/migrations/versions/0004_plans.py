"""Plans and their nodes; timers that belong to one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "plans",
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
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("paused_at", Moment(), nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_plans_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    op.create_index(op.f("ix_plans_tenant_created_at_id"), "plans", ["tenant", "created_at", "id"])
    behind = sa.text("armed_generation < generation")
    op.create_index("ix_plans_behind", "plans", ["updated_at"], sqlite_where=behind, postgresql_where=behind)
    op.create_table(
        "plan_nodes",
        sa.Column("plan_id", sa.String(length=40), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("timer_id", sa.String(length=40), nullable=True),
        sa.Column("ready_at", Moment(), nullable=True),
        sa.Column("due_at", Moment(), nullable=True),
        sa.Column("deadline_at", Moment(), nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["plan_id"], ["plans.id"], name=op.f("fk_plan_nodes_plan_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("plan_id", "id", name=op.f("pk_plan_nodes")),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "ix_plan_nodes_running",
        "plan_nodes",
        ["timer_id"],
        sqlite_where=running,
        postgresql_where=running,
    )
    op.add_column("timers", sa.Column("parent_id", sa.String(length=40), nullable=True))
    op.add_column("timers", sa.Column("part", sa.String(length=63), nullable=True))
    op.create_index(op.f("ix_timers_parent_id_part"), "timers", ["parent_id", "part"])


def downgrade() -> None:
    """Go back; the plans are lost, their timers stay."""
    op.drop_index(op.f("ix_timers_parent_id_part"), "timers")
    op.drop_column("timers", "part")
    op.drop_column("timers", "parent_id")
    op.drop_table("plan_nodes")
    op.drop_table("plans")
