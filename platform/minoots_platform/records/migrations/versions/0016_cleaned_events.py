"""Of events that were let go of: their ids, so that what comes late is told from what is told again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    # Of those that went before, only up to which time is known: `conversations.cleaned_until`.
    op.create_table(
        "cleaned_events",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_cleaned_events_tenant")),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_cleaned_events")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("cleaned_events")
