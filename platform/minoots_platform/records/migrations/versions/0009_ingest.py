"""Files and texts that are taken in: ingests, sources, their versions and chunks; how old a history is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_RUNNING = "state = 'running'"
_WAITING = "state = 'waiting'"


def upgrade() -> None:
    """Go forward."""
    op.add_column("conversations", sa.Column("history", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "ingest_pieces",
        sa.Column("ingest_id", sa.String(length=40), nullable=False),
        sa.Column("file", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_ingest_pieces_tenant")),
        sa.PrimaryKeyConstraint("ingest_id", "file", "number", name=op.f("pk_ingest_pieces")),
    )
    op.create_index(op.f("ix_ingest_pieces_created_at"), "ingest_pieces", ["created_at"])
    op.create_table(
        "ingests",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("armed_generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("traceparent", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_ingests_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingests")),
    )
    op.create_index(
        "ix_ingests_running",
        "ingests",
        ["updated_at"],
        sqlite_where=sa.text(_RUNNING),
        postgresql_where=sa.text(_RUNNING),
    )
    op.create_index(op.f("ix_ingests_tenant_created_at_id"), "ingests", ["tenant", "created_at", "id"])
    op.create_table(
        "source_texts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("pipeline", sa.String(length=64), nullable=False),
        sa.Column("ready", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=True),
        sa.Column("characters", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("redacted", sa.Integer(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_source_texts_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_texts")),
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.String(length=500), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("sent_at", Moment(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_sources_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
    )
    op.create_index(op.f("ix_sources_tenant_updated_at_id"), "sources", ["tenant", "updated_at", "id"])
    op.create_table(
        "ingest_files",
        sa.Column("ingest_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("source_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("remedy", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("chunks", sa.Integer(), nullable=True),
        sa.Column("chunks_new", sa.Integer(), nullable=True),
        sa.Column("redacted", sa.Integer(), nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(["ingest_id"], ["ingests.id"], name=op.f("fk_ingest_files_ingest_id")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_ingest_files_tenant")),
        sa.PrimaryKeyConstraint("ingest_id", "number", name=op.f("pk_ingest_files")),
    )
    op.create_index(
        "ix_ingest_files_waiting",
        "ingest_files",
        ["tenant", "bytes"],
        sqlite_where=sa.text(_WAITING),
        postgresql_where=sa.text(_WAITING),
    )
    op.create_table(
        "source_chunks",
        sa.Column("text_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("begin", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("headings", sa.JSON(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["text_id"], ["source_texts.id"], name=op.f("fk_source_chunks_text_id")),
        sa.PrimaryKeyConstraint("text_id", "number", name=op.f("pk_source_chunks")),
    )
    op.create_table(
        "source_versions",
        sa.Column("source_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("text_id", sa.String(length=40), nullable=False),
        sa.Column("ingest_id", sa.String(length=40), nullable=False),
        sa.Column("media_type", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("chunks_new", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_source_versions_source_id")),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_source_versions_tenant")),
        sa.ForeignKeyConstraint(["text_id"], ["source_texts.id"], name=op.f("fk_source_versions_text_id")),
        sa.PrimaryKeyConstraint("source_id", "number", name=op.f("pk_source_versions")),
    )
    op.create_index(op.f("ix_source_versions_text_id"), "source_versions", ["text_id"])


def downgrade() -> None:
    """Go back."""
    for table in (
        "source_versions",
        "source_chunks",
        "ingest_files",
        "sources",
        "source_texts",
        "ingests",
        "ingest_pieces",
    ):
        op.drop_table(table)
    op.drop_column("conversations", "history")
