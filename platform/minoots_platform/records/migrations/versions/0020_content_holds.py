"""Contents that are held for jobs which begin later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "content_holds",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("holder", sa.String(80), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_content_holds_tenant")),
        sa.PrimaryKeyConstraint("tenant", "sha256", "kind", "holder", name=op.f("pk_content_holds")),
    )
    op.create_index(op.f("ix_content_holds_kind_holder"), "content_holds", ["kind", "holder"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("content_holds")
