"""Platforms that are watched."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """One more table."""
    op.create_table(
        "platforms",
        sa.Column("place", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("view", sa.Text(), nullable=False),
    )
