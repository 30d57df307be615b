"""Sandboxes that stand, what is kept of them, and which jobs run in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_UNFINISHED = "ended_at IS NULL"


def upgrade() -> None:
    """Go forward."""
    op.add_column("jobs", sa.Column("sandbox_id", sa.String(length=40), nullable=True))
    op.create_index(op.f("ix_jobs_sandbox_id"), "jobs", ["sandbox_id"])
    op.create_table(
        "sandboxes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("armed_generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("opened", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queue", sa.String(length=200), nullable=True),
        sa.Column("held_by", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("snapshot", sa.String(length=64), nullable=True),
        sa.Column("idle_seconds", sa.Float(), nullable=False),
        sa.Column("open_by", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("used_at", Moment(), nullable=True),
        sa.Column("close_requested_at", Moment(), nullable=True),
        sa.Column("reason", sa.String(length=16), nullable=True),
        sa.Column("problem", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("opened_at", Moment(), nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_sandboxes_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sandboxes")),
    )
    op.create_index(op.f("ix_sandboxes_tenant_created_at_id"), "sandboxes", ["tenant", "created_at", "id"])
    op.create_index(op.f("ix_sandboxes_ended_at"), "sandboxes", ["ended_at"])
    op.create_index(
        "ix_sandboxes_unfinished",
        "sandboxes",
        ["tenant", "expires_at"],
        sqlite_where=sa.text(_UNFINISHED),
        postgresql_where=sa.text(_UNFINISHED),
    )
    op.create_table(
        "sandbox_contents",
        sa.Column("sandbox_id", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sandbox_id"], ["sandboxes.id"], name=op.f("fk_sandbox_contents_sandbox_id")
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_sandbox_contents_tenant")),
        sa.PrimaryKeyConstraint("sandbox_id", "sha256", name=op.f("pk_sandbox_contents")),
    )
    op.create_index(op.f("ix_sandbox_contents_tenant_sha256"), "sandbox_contents", ["tenant", "sha256"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("sandbox_contents")
    op.drop_table("sandboxes")
    op.drop_index(op.f("ix_jobs_sandbox_id"), table_name="jobs")
    op.drop_column("jobs", "sandbox_id")
