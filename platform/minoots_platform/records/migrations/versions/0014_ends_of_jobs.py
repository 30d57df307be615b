"""Indexes by which jobs that ended, and old rows of usage, are found without looking through all of them."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_index("ix_jobs_ended_at", "jobs", ["ended_at"])
    op.create_index("ix_model_usage_created_at", "model_usage", ["created_at"])


def downgrade() -> None:
    """Go back."""
    op.drop_index("ix_model_usage_created_at", table_name="model_usage")
    op.drop_index("ix_jobs_ended_at", table_name="jobs")
