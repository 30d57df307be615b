"""How much tenants hand in on a day, and who has added a node to a plan."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "handed_in",
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.id"], name=op.f("fk_handed_in_tenant")),
        sa.PrimaryKeyConstraint("tenant", "day", name=op.f("pk_handed_in")),
    )
    op.add_column("plan_nodes", sa.Column("created_by", sa.String(255)))


def downgrade() -> None:
    """Go back."""
    op.drop_column("plan_nodes", "created_by")
    op.drop_table("handed_in")
