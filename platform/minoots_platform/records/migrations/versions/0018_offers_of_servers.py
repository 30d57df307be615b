"""Of agents: what their MCP servers offer, by hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("agent_runs", sa.Column("offers", sa.String(64), nullable=True))


def downgrade() -> None:
    """Go back."""
    op.drop_column("agent_runs", "offers")
