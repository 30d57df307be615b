"""Of sessions that were let go of: up to which time, so that a copied file does not bring them back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("conversations", sa.Column("cleaned_until", Moment(), nullable=True))
    # Those with events since then are left without: the time of the last one is no longer that of then.
    op.execute("UPDATE conversations SET cleaned_until = last_at WHERE cleaned > 0 AND events = cleaned")


def downgrade() -> None:
    """Go back."""
    op.drop_column("conversations", "cleaned_until")
