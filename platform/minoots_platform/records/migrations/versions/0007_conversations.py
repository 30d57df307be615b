"""Conversations that were captured: their events, the files they were read from, what came with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "blobs",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_blobs_tenant")),
        sa.PrimaryKeyConstraint("tenant", "sha256", name=op.f("pk_blobs")),
    )
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("session_id", sa.String(length=255), nullable=False),
        sa.Column("parent_id", sa.String(length=40), nullable=True),
        sa.Column("relation", sa.String(length=16), nullable=True),
        sa.Column("agent_id", sa.String(length=255), nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=True),
        sa.Column("title_rank", sa.Integer(), server_default="0", nullable=False),
        sa.Column("events", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("last_at", Moment(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_conversations_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
        sa.UniqueConstraint(
            "tenant", "provider", "session_id", name=op.f("uq_conversations_tenant_provider_session_id")
        ),
    )
    op.create_index(op.f("ix_conversations_parent_id"), "conversations", ["parent_id"])
    op.create_index(
        op.f("ix_conversations_tenant_updated_at_id"), "conversations", ["tenant", "updated_at", "id"]
    )
    op.create_table(
        "conversation_events",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("conversation_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("ts", Moment(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_conversation_events_conversation_id")
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_conversation_events_tenant")),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_conversation_events")),
        sa.UniqueConstraint(
            "conversation_id", "number", name=op.f("uq_conversation_events_conversation_id_number")
        ),
    )
    op.create_table(
        "transcripts",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.String(length=40), nullable=False),
        sa.Column("offset", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("fingerprint", sa.String(length=64), server_default="", nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("damaged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("unknown", sa.JSON(), nullable=False),
        sa.Column("understood", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("read_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_transcripts_conversation_id")
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_transcripts_tenant")),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_transcripts")),
    )
    op.create_index(op.f("ix_transcripts_conversation_id"), "transcripts", ["conversation_id"])


def downgrade() -> None:
    """Go back."""
    for table in ("transcripts", "conversation_events", "conversations", "blobs"):
        op.drop_table(table)
