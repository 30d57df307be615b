"""Until when a worker that runs the program of a job is taken to be at it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("jobs", sa.Column("held_until", Moment))


def downgrade() -> None:
    """Go back."""
    with op.batch_alter_table("jobs") as batch:
        batch.drop_column("held_until")
