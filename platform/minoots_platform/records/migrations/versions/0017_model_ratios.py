"""How many bytes a token of a model has, by tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from minoots_platform.records.schema import Moment

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "model_ratios",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("provider", sa.String(63), primary_key=True),
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("least", sa.Float(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
    )
    op.create_index("ix_model_ratios_updated", "model_ratios", ["updated_at"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("model_ratios")
