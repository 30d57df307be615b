"""Of conversations: which event has a command that waits for what cannot be read, and since when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("conversations", sa.Column("waits_at", sa.BigInteger(), nullable=True))
    op.add_column("conversations", sa.Column("waits_since", Moment(), nullable=True))


def downgrade() -> None:
    """Go back."""
    op.drop_column("conversations", "waits_since")
    op.drop_column("conversations", "waits_at")
