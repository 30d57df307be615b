"""Recordings of conversations, hosts that capture, and a search index."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment
from minoots_platform.records.words import Words

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_ACTIVE = "state = 'active'"

# Tokens are made by us: the index only divides them at the spaces.
_INDEX = (
    "CREATE VIRTUAL TABLE conversation_words USING fts5("
    "words, content='conversation_events', content_rowid='key', tokenize='unicode61 remove_diacritics 0')",
    "CREATE TRIGGER conversation_words_insert AFTER INSERT ON conversation_events "
    "WHEN new.words IS NOT NULL BEGIN "
    "INSERT INTO conversation_words(rowid, words) VALUES (new.key, new.words); END",
    "CREATE TRIGGER conversation_words_update AFTER UPDATE OF words ON conversation_events BEGIN "
    "INSERT INTO conversation_words(conversation_words, rowid, words) "
    "SELECT 'delete', old.key, old.words WHERE old.words IS NOT NULL; "
    "INSERT INTO conversation_words(rowid, words) SELECT new.key, new.words WHERE new.words IS NOT NULL; END",
    "CREATE TRIGGER conversation_words_delete AFTER DELETE ON conversation_events "
    "WHEN old.words IS NOT NULL BEGIN "
    "INSERT INTO conversation_words(conversation_words, rowid, words) VALUES ('delete', old.key, old.words); "
    "END",
)


def upgrade() -> None:
    """Go forward."""
    _grow_0007()
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("conversation_id", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=63), nullable=False),
        sa.Column("workspace_id", sa.String(length=40), nullable=True),
        sa.Column("alias", sa.String(length=63), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("format", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("path_key", sa.String(length=64), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("from_number", sa.BigInteger(), nullable=False),
        sa.Column("from_line", sa.Integer(), nullable=True),
        sa.Column("until_number", sa.BigInteger(), nullable=True),
        sa.Column("until_line", sa.Integer(), nullable=True),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("revised", sa.BigInteger(), nullable=False),
        sa.Column("rendering", sa.JSON(), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("intent", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("stopped_at", Moment(), nullable=True),
        sa.Column("written_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_recordings_conversation_id")
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_recordings_tenant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
    )
    op.create_index(op.f("ix_recordings_conversation_id"), "recordings", ["conversation_id"])
    op.create_index(op.f("ix_recordings_tenant_started_at_id"), "recordings", ["tenant", "started_at", "id"])
    op.create_index(
        "ix_recordings_active_path",
        "recordings",
        ["tenant", "path_key"],
        unique=True,
        sqlite_where=sa.text(_ACTIVE),
        postgresql_where=sa.text(_ACTIVE),
    )
    op.create_table(
        "capture_hosts",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("host", sa.String(length=63), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("seen_at", Moment(), nullable=False),
        sa.Column("status", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_capture_hosts_tenant")),
        sa.PrimaryKeyConstraint("tenant", "host", name=op.f("pk_capture_hosts")),
    )
    if op.get_bind().dialect.name == "sqlite":
        for statement in _INDEX:
            op.execute(statement)
    else:
        op.create_index(
            op.f("ix_conversation_events_words"), "conversation_events", ["words"], postgresql_using="gin"
        )


def downgrade() -> None:
    """Go back."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE conversation_words")
    op.drop_table("capture_hosts")
    op.drop_table("recordings")
    op.drop_table("conversation_events")
    op.create_table("conversation_events", *_events(), *_keys_of_events(primary=True))
    op.drop_index(op.f("ix_transcripts_tenant_host"), table_name="transcripts")
    for name in _OF_TRANSCRIPTS:
        op.drop_column("transcripts", name)
    op.drop_column("conversations", "obeyed")
    op.drop_column("conversations", "cleaned")
    op.drop_column("conversations", "revised")


_OF_TRANSCRIPTS = ("host", "provider", "size", "modified_ns", "told")


def _grow_0007() -> None:
    for name in ("revised", "cleaned", "obeyed"):
        op.add_column("conversations", _number(name))
    op.add_column("transcripts", sa.Column("host", sa.String(length=63), server_default="", nullable=False))
    op.add_column(
        "transcripts", sa.Column("provider", sa.String(length=32), server_default="", nullable=False)
    )
    for name in ("size", "modified_ns"):
        op.add_column("transcripts", _number(name))
    op.add_column("transcripts", sa.Column("told", sa.Text(), nullable=True))
    op.create_index(op.f("ix_transcripts_tenant_host"), "transcripts", ["tenant", "host"])
    # Made anew, because its primary key is another; no surface has ever written to it.
    op.drop_table("conversation_events")
    op.create_table(
        "conversation_events",
        sa.Column(
            "key",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        *_events(),
        _number("revised"),
        sa.Column("words", Words(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_conversation_events")),
        *_keys_of_events(primary=False),
    )


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def _events() -> list[sa.Column[Any]]:
    return [
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("conversation_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("ts", Moment(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
    ]


def _keys_of_events(*, primary: bool) -> list[sa.Constraint]:
    return [
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_conversation_events_conversation_id")
        ),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_conversation_events_tenant")),
        sa.UniqueConstraint(
            "conversation_id", "number", name=op.f("uq_conversation_events_conversation_id_number")
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_conversation_events"))
        if primary
        else sa.UniqueConstraint("tenant", "id", name=op.f("uq_conversation_events_tenant_id")),
    ]
