"""Tunnels, the addresses that were issued for them, and what follows those."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Three more tables."""
    op.create_table(
        "tunnels",
        sa.Column("place", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("view", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
    )
    op.create_table(
        "issued",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("tunnel", sa.String(128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double()),
        sa.Column("why", sa.Text(), nullable=False),
        sa.UniqueConstraint("place", "tunnel", "generation"),
    )
    op.create_table(
        "followers",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("tunnel", sa.String(128), nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("follower", sa.Text(), nullable=False),
        sa.Column("last", sa.Text()),
        sa.Column("at", sa.Double()),
        sa.UniqueConstraint("place", "tunnel", "key"),
    )
