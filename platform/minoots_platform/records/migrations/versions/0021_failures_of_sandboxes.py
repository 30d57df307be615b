"""How often a sandbox that stands has failed to open."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("sandboxes", sa.Column("failures", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Go back."""
    with op.batch_alter_table("sandboxes") as batch:
        batch.drop_column("failures")
