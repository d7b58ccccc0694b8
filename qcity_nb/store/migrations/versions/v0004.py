"""Scheduled notebooks: schedules and their runs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Two more tables."""
    op.create_table(
        "schedules",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("dealt", sa.Double(), nullable=False),
        sa.Column("next", sa.Double()),
        sa.Column("created", sa.Double(), nullable=False),
        sa.UniqueConstraint("place", "name"),
    )
    op.create_index("schedules_next", "schedules", ["place", "next"])
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("schedule", sa.String(128), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("until", sa.Double()),
        sa.Column("token", sa.String(80), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("planned", sa.Double(), nullable=False),
        sa.Column("started", sa.Double()),
        sa.Column("finished", sa.Double()),
        sa.Column("live", sa.Text()),
        sa.Column("cells", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Text(), nullable=False),
        sa.Column("cell", sa.Integer()),
        sa.Column("parked", sa.Double()),
        sa.Column("resumes", sa.Integer()),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("sandbox", sa.String(16), nullable=False),
        sa.Column("changed", sa.Text(), nullable=False),
        sa.Column("cancel", sa.Text(), nullable=False),
        sa.UniqueConstraint("place", "key"),
    )
    op.create_index("ix_runs_token", "runs", ["token"])
    op.create_index("runs_open", "runs", ["place", "state"])
    op.create_index("runs_of", "runs", ["place", "schedule"])
