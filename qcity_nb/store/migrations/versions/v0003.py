"""Fleets: what a place was told of its fleet, and the register of the lease store `store`, which may have made its table before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two more tables."""
    if not sa.inspect(op.get_bind()).has_table("leases"):
        op.create_table(
            "leases",
            sa.Column("claim", sa.String(64), primary_key=True),
            sa.Column("version", sa.Integer(), nullable=False),
            sa.Column("record", sa.Text(), nullable=False),
        )
    op.create_table(
        "fleets",
        sa.Column("place", sa.String(64), primary_key=True),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("joined", sa.Double(), nullable=False),
    )
