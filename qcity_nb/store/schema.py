"""The tables. A change here needs a migration beside it; a test holds the two together.

`place` is the home's own id, so that many places can share one PostgreSQL store. Stamps are wall-clock time.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from ..model.fleet import ClaimView, FleetConfig
from ..model.platform import Feed, PlatformView
from ..model.schedule import Attempt, Cell, Live, RunPlan, Schedule
from ..model.service import ServiceSpec, ServiceState
from ..model.tunnel import Followed, Follower, TunnelView
from ..model.wire import AgentView
from ..model.work import Annotation, Artifact, BuildPlan, JobPlan, Step
from .columns import Json, Moment

meta = MetaData()

lease = Table(
    "lease",
    meta,
    Column("place", String(64), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("holder", Text, nullable=False),  # host:pid, for people
    Column("host", String(16), nullable=False),  # process, kernel or once
    Column("taken", Moment, nullable=False),
    Column("renewed", Moment, nullable=False),
    Column("released", Moment),
    Column("note", Text, nullable=False, server_default=""),  # what is wrong with the engine itself, in words
)

leases = Table(
    "leases",  # shared by many places: of the lease store `store`
    meta,
    Column("claim", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("record", Text, nullable=False),
)

fleets = Table(
    "fleets",
    meta,
    Column("place", String(64), primary_key=True),
    Column("config", Json(FleetConfig), nullable=False),
    Column("claims", Json(tuple[ClaimView, ...]), nullable=False),
    Column("joined", Moment, nullable=False),
)

services = Table(
    "services",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("spec", Json(ServiceSpec), nullable=False),
    Column("state", Json(ServiceState), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("desired", String(16), nullable=False),
    Column("since", Moment, nullable=False),
    Column("pid", Integer),
    Column("offset", Integer, nullable=False, server_default="0"),  # how far this incarnation's facts were read
    Column("sandbox", String(16), nullable=False, server_default=""),
    Column("trouble", Json(dict[str, str]), nullable=False, server_default="{}"),
    Column("agent", Json(AgentView)),  # an agent as its platform shows it
    Column("created", Moment, nullable=False),
    Column("removed", Moment),
    UniqueConstraint("place", "name"),
)

flips = Table(
    "flips",
    meta,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False, index=True),
    Column("place", String(64), nullable=False),
    Column("about", String(16), nullable=False),  # engine, runner, build, job, store, claim
    Column("subject", String(200), nullable=False),
    Column("old", String(32), nullable=False),
    Column("new", String(32), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("generation", Integer, nullable=False),
)

beats = Table(
    "beats",
    meta,
    Column("service", Integer, primary_key=True),
    Column("at", Integer, primary_key=True),  # seconds since 1970
    Column("up", Integer, nullable=False),  # 0 or 1
    Column("busy", Integer, nullable=False),  # jobs running
    sqlite_with_rowid=False,
)

rollups = Table(
    "rollups",
    meta,
    Column("span", Integer, primary_key=True),  # 60 or 3600 seconds
    Column("service", Integer, primary_key=True),
    Column("at", Integer, primary_key=True),  # begin of the span, seconds since 1970
    Column("beats", Integer, nullable=False),
    Column("up", Integer, nullable=False),
    Column("busy", Integer, nullable=False),
    sqlite_with_rowid=False,
)

commands = Table(
    "commands",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),
    Column("key", String(80), nullable=False, unique=True),  # the same key twice is the same command
    Column("at", Moment, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("verb", String(32), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("args", Json(dict[str, object]), nullable=False),
    Column("status", String(16), nullable=False),  # new, done, refused
    Column("result", Json(dict[str, object])),
    Column("done", Moment),
    Index("commands_new", "place", "status"),
)

intents = Table(
    "intents",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),
    Column("key", String(200), nullable=False, unique=True),
    Column("at", Moment, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("verb", String(32), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("outcome", Text),  # None while nobody knows: written before the act, filled after it
    Column("done", Moment),
    Index("intents_open", "place", "outcome"),
)

builds = Table(
    "builds",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),
    Column("runner", String(128), nullable=False),
    Column("sha", String(64), nullable=False),
    Column("ref", String(300), nullable=False),
    Column("workflow", String(300), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("plan", Json(BuildPlan), nullable=False),
    Column("created", Moment, nullable=False),
    Column("finished", Moment),
    Column("outcome", String(16)),
    UniqueConstraint("place", "runner", "sha", "ref", "workflow", "attempt"),
)

jobs = Table(
    "jobs",
    meta,
    Column("id", Integer, primary_key=True),
    Column("build", Integer, ForeignKey("builds.id"), nullable=False, index=True),
    Column("plan", Json(JobPlan), nullable=False),
    Column("key", String(200), nullable=False),
    Column("name", String(300), nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("outcome", String(16)),
    Column("attempt", Integer, nullable=False),
    Column("token", String(80), nullable=False, index=True),  # of the attempt under way or the last one
    Column("runner", String(128), nullable=False, server_default=""),
    Column("incarnation", Integer, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("sandbox", String(16), nullable=False, server_default=""),
    Column("queued", Moment),
    Column("started", Moment),
    Column("finished", Moment),
    Column("steps", Json(tuple[Step, ...]), nullable=False),
    Column("annotations", Json(tuple[Annotation, ...]), nullable=False),
    Column("outputs", Json(dict[str, str]), nullable=False),
    Column("artifacts", Json(tuple[Artifact, ...]), nullable=False),
    Column("log", Text, nullable=False, server_default=""),
    Column("cancel", Text, nullable=False, server_default=""),
    Column("reused", Boolean, nullable=False, server_default="0"),  # taken over from an earlier attempt of its build
)

checks = Table(
    "checks",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),
    Column("service", String(128), nullable=False, index=True),
    Column("at", Moment, nullable=False),
    Column("what", String(16), nullable=False),  # started, completed, canary
    Column("ok", Boolean, nullable=False),
    Column("took", Double, nullable=False),  # seconds
    Column("text", Text, nullable=False),
    Column("details", Json(dict[str, str]), nullable=False),
)

incidents = Table(
    "incidents",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),
    Column("service", String(128), nullable=False, index=True),
    Column("opened", Moment, nullable=False),
    Column("closed", Moment),
    Column("state", String(16), nullable=False),  # open, healthy, quarantined
    Column("title", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("evidence", Json(tuple[str, ...]), nullable=False),
    Column("done", Json(tuple[str, ...]), nullable=False),
    Column("proof", Json(tuple[str, ...]), nullable=False),
    Column("awaits", Json(tuple[int, ...]), nullable=False),  # jobs that have to come to their end before it is closed
)

schedules = Table(
    "schedules",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),  # empty: every place's
    Column("name", String(128), nullable=False),
    Column("schedule", Json(Schedule), nullable=False),
    Column("dealt", Moment, nullable=False),  # the last moment that was dealt with
    Column("next", Moment),  # the next one; None while it is paused
    Column("created", Moment, nullable=False),
    UniqueConstraint("place", "name"),
    Index("schedules_next", "place", "next"),
)

runs = Table(
    "runs",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),  # as its schedule's
    Column("schedule", String(128), nullable=False),  # empty: asked for by hand
    Column("key", String(200), nullable=False),
    Column("plan", Json(RunPlan), nullable=False),
    Column("at", Moment, nullable=False),
    Column("start", Moment, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("owner", String(64), nullable=False),  # the place that has it
    Column("epoch", Integer, nullable=False),  # how often it was taken: who has an older number has lost it
    Column("until", Moment),  # when its place loses it
    Column("token", String(80), nullable=False, index=True),
    Column("incarnation", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("planned", Moment, nullable=False),
    Column("started", Moment),
    Column("finished", Moment),
    Column("live", Json(Live)),
    Column("cells", Json(tuple[Cell, ...]), nullable=False),
    Column("attempts", Json(tuple[Attempt, ...]), nullable=False),
    Column("cell", Integer),
    Column("parked", Moment),
    Column("resumes", Integer),
    Column("output", Text, nullable=False),
    Column("sandbox", String(16), nullable=False),
    Column("changed", Text, nullable=False),
    Column("cancel", Text, nullable=False),
    UniqueConstraint("place", "key"),
    Index("runs_open", "place", "state"),
    Index("runs_of", "place", "schedule"),
)

tunnels = Table(
    "tunnels",
    meta,
    Column("place", String(64), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("view", Json(TunnelView), nullable=False),
    Column("at", Moment, nullable=False),
)

issued = Table(
    "issued",  # every address that a tunnel ever had: append-only but for its end
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),
    Column("tunnel", String(128), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("provider", String(32), nullable=False),
    Column("origin", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment),
    Column("why", Text, nullable=False),
    UniqueConstraint("place", "tunnel", "generation"),
)

followers = Table(
    "followers",
    meta,
    Column("id", Integer, primary_key=True),
    Column("place", String(64), nullable=False),
    Column("tunnel", String(128), nullable=False),
    Column("key", String(300), nullable=False),
    Column("follower", Json(Follower), nullable=False),
    Column("last", Json(Followed)),
    Column("at", Moment),  # when it was last told
    UniqueConstraint("place", "tunnel", "key"),
)

platforms = Table(
    "platforms",
    meta,
    Column("place", String(64), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("feed", Json(Feed), nullable=False),
    Column("view", Json(PlatformView), nullable=False),
)
