"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "beats",
        sa.Column("service", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Integer(), primary_key=True),
        sa.Column("up", sa.Integer(), nullable=False),
        sa.Column("busy", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "builds",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("runner", sa.String(128), nullable=False),
        sa.Column("sha", sa.String(64), nullable=False),
        sa.Column("ref", sa.String(300), nullable=False),
        sa.Column("workflow", sa.String(300), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("finished", sa.Double()),
        sa.Column("outcome", sa.String(16)),
        sa.UniqueConstraint("place", "runner", "sha", "ref", "workflow", "attempt"),
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("key", sa.String(80), nullable=False, unique=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("verb", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("result", sa.Text()),
        sa.Column("done", sa.Double()),
    )
    op.create_index("commands_new", "commands", ["place", "status"])
    op.create_table(
        "flips",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("about", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("old", sa.String(32), nullable=False),
        sa.Column("new", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("generation", sa.Integer(), nullable=False),
    )
    op.create_index("ix_flips_at", "flips", ["at"])
    op.create_table(
        "incidents",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("service", sa.String(128), nullable=False),
        sa.Column("opened", sa.Double(), nullable=False),
        sa.Column("closed", sa.Double()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("done", sa.Text(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("awaits", sa.Text(), nullable=False),
    )
    op.create_index("ix_incidents_service", "incidents", ["service"])
    op.create_table(
        "intents",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("done", sa.Double()),
    )
    op.create_index("intents_open", "intents", ["place", "outcome"])
    op.create_table(
        "lease",
        sa.Column("place", sa.String(64), primary_key=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("host", sa.String(16), nullable=False),
        sa.Column("taken", sa.Double(), nullable=False),
        sa.Column("renewed", sa.Double(), nullable=False),
        sa.Column("released", sa.Double()),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
    )
    op.create_table(
        "rollups",
        sa.Column("span", sa.Integer(), primary_key=True),
        sa.Column("service", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Integer(), primary_key=True),
        sa.Column("beats", sa.Integer(), nullable=False),
        sa.Column("up", sa.Integer(), nullable=False),
        sa.Column("busy", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "services",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("desired", sa.String(16), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("pid", sa.Integer()),
        sa.Column("offset", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("sandbox", sa.String(16), nullable=False, server_default=""),
        sa.Column("trouble", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("removed", sa.Double()),
        sa.UniqueConstraint("place", "name"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("build", sa.Integer(), sa.ForeignKey("builds.id"), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(80), nullable=False),
        sa.Column("runner", sa.String(128), nullable=False, server_default=""),
        sa.Column("incarnation", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("sandbox", sa.String(16), nullable=False, server_default=""),
        sa.Column("queued", sa.Double()),
        sa.Column("started", sa.Double()),
        sa.Column("finished", sa.Double()),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("artifacts", sa.Text(), nullable=False),
        sa.Column("log", sa.Text(), nullable=False, server_default=""),
        sa.Column("cancel", sa.Text(), nullable=False, server_default=""),
        sa.Column("reused", sa.Boolean(), nullable=False, server_default="0"),
    )
    op.create_index("ix_jobs_build", "jobs", ["build"])
    op.create_index("ix_jobs_status", "jobs", ["status"])
    op.create_index("ix_jobs_token", "jobs", ["token"])
