"""Destinations with limits and circuits; deliveries that wait for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_PLANNED = "state IN ('retrying', 'waiting')"
_BEHIND = f"NOT handed_over AND {_PLANNED}"
_UNFINISHED = "state IN ('sending', 'retrying', 'waiting')"
_IN_LINE = f"fifo_key IS NOT NULL AND {_UNFINISHED}"


def upgrade() -> None:
    """Go forward."""
    op.add_column("deliveries", sa.Column("url_hash", sa.String(length=64), nullable=True))
    op.add_column("deliveries", sa.Column("fifo_key", sa.String(length=200), nullable=True))
    op.add_column("deliveries", sa.Column("held_by", sa.String(length=16), nullable=True))
    op.drop_index("ix_deliveries_behind", table_name="deliveries")
    op.create_index(
        "ix_deliveries_behind",
        "deliveries",
        ["created_at"],
        sqlite_where=sa.text(_BEHIND),
        postgresql_where=sa.text(_BEHIND),
    )
    op.create_index(
        "ix_deliveries_planned",
        "deliveries",
        ["planned_at"],
        sqlite_where=sa.text(_PLANNED),
        postgresql_where=sa.text(_PLANNED),
    )
    op.create_index(
        "ix_deliveries_unfinished",
        "deliveries",
        ["tenant", "url_hash", "state", "held_by", "created_at"],
        sqlite_where=sa.text(_UNFINISHED),
        postgresql_where=sa.text(_UNFINISHED),
    )
    op.create_index(
        "ix_deliveries_in_line",
        "deliveries",
        ["tenant", "url_hash", "fifo_key", "created_at"],
        sqlite_where=sa.text(_IN_LINE),
        postgresql_where=sa.text(_IN_LINE),
    )
    op.add_column("attempts", sa.Column("url_hash", sa.String(length=64), nullable=True))
    op.add_column("attempts", sa.Column("unwell", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        op.f("ix_attempts_tenant_url_hash_finished_at"), "attempts", ["tenant", "url_hash", "finished_at"]
    )
    op.add_column("destinations", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("destinations", sa.Column("limits", sa.JSON(), server_default="{}", nullable=False))
    op.add_column("destinations", sa.Column("probe_at", Moment(), nullable=True))
    op.add_column("destinations", sa.Column("probe_id", sa.String(length=40), nullable=True))
    op.add_column("destinations", sa.Column("probe_until", Moment(), nullable=True))
    op.add_column("destinations", sa.Column("trips", sa.Integer(), server_default="0", nullable=False))
    # What was called open let deliveries through; of a circuit that is said to be closed.
    op.execute("UPDATE destinations SET state = 'closed' WHERE state = 'open'")
    op.create_table(
        "destination_slots",
        sa.Column("destination_id", sa.String(length=40), nullable=False),
        sa.Column("delivery_id", sa.String(length=40), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["destinations.id"], name=op.f("fk_destination_slots_destination_id")
        ),
        sa.PrimaryKeyConstraint("destination_id", "delivery_id", "at", name=op.f("pk_destination_slots")),
    )
    op.create_index(
        op.f("ix_destination_slots_destination_id_at"), "destination_slots", ["destination_id", "at"]
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("destination_slots")
    op.execute("UPDATE destinations SET state = 'open' WHERE state != 'gone'")
    for column in ("trips", "probe_until", "probe_id", "probe_at", "limits", "reason"):
        op.drop_column("destinations", column)
    op.drop_index(op.f("ix_attempts_tenant_url_hash_finished_at"), table_name="attempts")
    op.drop_column("attempts", "unwell")
    op.drop_column("attempts", "url_hash")
    op.execute("UPDATE deliveries SET state = 'retrying' WHERE state = 'waiting'")
    op.drop_index("ix_deliveries_in_line", table_name="deliveries")
    op.drop_index("ix_deliveries_unfinished", table_name="deliveries")
    op.drop_index("ix_deliveries_planned", table_name="deliveries")
    op.drop_index("ix_deliveries_behind", table_name="deliveries")
    op.create_index(
        "ix_deliveries_behind",
        "deliveries",
        ["created_at"],
        sqlite_where=sa.text("NOT handed_over AND state = 'retrying'"),
        postgresql_where=sa.text("NOT handed_over AND state = 'retrying'"),
    )
    for column in ("held_by", "fifo_key", "url_hash"):
        op.drop_column("deliveries", column)
