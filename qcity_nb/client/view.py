"""One consistent look at a place: all facts in a single read, judged by `decide.health`. Everything that is shown begins here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from ..decide import health, tunnel_health, wording
from ..decide import platforms as platform_rules
from ..decide.health import Condition, EngineFacts, EngineState, Level, RunnerFacts
from ..io.files import is_locked
from ..model.schedule import RunState
from ..model.service import Phase
from ..model.tunnel import TunnelState
from ..model.work import Status as JobStatus
from ..store import history, lease, platforms, runs, services, sums, tunnels
from ..store.database import Store
from ..store.history import Incident
from ..store.lease import Lease
from ..store.platforms import PlatformRow
from ..store.services import ServiceRow
from ..store.sums import Task
from ..store.tunnels import TunnelRow
from .hosts import engine_pid
from .link import now
from .vaults import condition_of

RECENT_JOBS = 1000
HELPERS = frozenset({"attendant", "notebooks", "tunnel"})
"""Services of our own: they are shown only when they are in trouble."""
MUTE = timedelta(seconds=20)
"""An engine that lives and has recorded no beat for this long (it writes one every five seconds) is frozen, or its store takes nothing."""

SIMULATED = Condition(level=Level.OFF, text="This is a simulation: the engine is real, but no machine, runner, commit or job in it is.")


@dataclass(frozen=True, kw_only=True)
class EngineView:
    """The engine as a client sees it."""

    state: EngineState
    pid: int | None
    host: str
    generation: int
    taken: datetime | None
    last: datetime | None
    note: str
    condition: Condition

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self.state is EngineState.RUNNING


@dataclass(frozen=True, kw_only=True)
class RunnerView:
    """A runner's row, how it is, and the share of the last 24 hours in which it was up (None when nothing was recorded)."""

    row: ServiceRow
    condition: Condition
    uptime: float | None


@dataclass(frozen=True, kw_only=True)
class View:
    """A place at one moment."""

    at: datetime
    engine: EngineView
    runners: Mapping[str, RunnerView]
    work: health.Work
    incidents: tuple[Incident, ...]
    notebooks: health.Notebooks
    tunnels: tuple[TunnelRow, ...]  # those that are open
    jobs: tuple[Task, ...]  # those that are not over or were begun in the last 24 hours, oldest first
    addresses: Mapping[str, Condition]  # how each of these is
    watched: tuple[PlatformRow, ...]
    platforms: Mapping[str, Condition]  # how each of these says it is
    about: Mapping[str, Condition]  # how notebooks, tunnels, vaults and platforms are, where there is something to say
    headline: Condition


def look(store: Store, *, uptime: bool = True) -> View:
    """Everything about a place, from one read."""
    alive = is_locked(store.home.lock)
    vaults = condition_of(store, now(), alive=alive)
    with store.read() as connection:
        return seen(connection, store.place, alive=alive, uptime=uptime, vaults=vaults)


def seen(connection: Connection, place: str, *, alive: bool, uptime: bool = True, vaults: Condition | None = None) -> View:
    """The same for whoever reads more of the same moment.

    Args:
        alive, vaults: whether an engine holds the home's lock; how its vaults are.
    """
    at = now()
    last = lease.current(connection, place)
    services_ = services.all_of(connection, place)
    opened = [row for row in tunnels.all_of(connection, place) if row.view.state is not TunnelState.OFF]
    told = [(row.key, row.last) for row in tunnels.followers_of(connection, place) if row.tunnel in {one.name for one in opened}]
    jobs = sums.tasks(connection, place, since=at - timedelta(hours=24), limit=RECENT_JOBS)
    incidents = tuple(history.open_incidents(connection, place))
    known = runs.open_runs(connection, place)
    failing = tuple(runs.failing(connection, place))
    total, upcoming, soon = runs.agenda(connection, place)
    rows = [row for row in services_ if is_shown(row)]
    shares = up_shares(connection, rows, since=at - timedelta(hours=24)) if uptime else {}
    facts = _engine_facts(last, at, alive=alive)
    repairing = {incident.service for incident in incidents if incident.state == "open"}
    conditions = {row.name: health.runner(_runner_facts(row, repairing), facts, at) for row in rows}
    begun = [job for job in jobs if job.started and job.queued and not job.reused and at - job.started < timedelta(hours=24)]
    load = health.Work(
        running=sum(job.status == JobStatus.RUNNING.value for job in jobs),
        queued=sum(job.status in (JobStatus.QUEUED.value, JobStatus.ASSIGNED.value) for job in jobs),
        wait=health.percentile(max(job.started - job.queued, timedelta(0)) for job in begun if job.started and job.queued),
    )
    running = sum(run.state is RunState.RUNNING for run in known)
    waiting = sum(run.state is RunState.PLANNED and run.start <= at for run in known)
    notebooks = health.Notebooks(running=running, waiting=waiting, schedules=total, failing=failing, upcoming=upcoming, at=soon)
    living = {row.name for row in services_ if row.spec.kind == "tunnel" and row.state.phase in (Phase.STARTING, Phase.RUNNING)}
    addresses = {row.name: tunnel_health.condition(row.view, at, alive=alive and row.name in living) for row in opened}
    watched = tuple(platforms.all_of(connection, place))
    says = {row.name: platform_rules.condition(row.feed, row.view, at, alive=alive) for row in watched}
    found = {
        "notebooks": health.notebooks(notebooks, at),
        "tunnels": tunnel_health.overall(addresses, told),
        "vaults": vaults,
        "platforms": platform_rules.overall({row.feed.title: says[row.name] for row in watched}),
    }
    about = {name: one for name, one in found.items() if one is not None}
    return View(
        at=at,
        engine=_engine_view(last, facts, at),
        runners={row.name: RunnerView(row=row, condition=conditions[row.name], uptime=shares.get(row.name)) for row in rows},
        work=load,
        incidents=incidents,
        notebooks=notebooks,
        tunnels=tuple(opened),
        jobs=tuple(jobs),
        addresses=addresses,
        watched=watched,
        platforms=says,
        about={**_played(last), **about},
        headline=health.headline(facts, conditions, load, at, about=_heads(about)),
    )


def _runner_facts(row: ServiceRow, repairing: Collection[str]) -> RunnerFacts:
    return RunnerFacts(
        state=row.state,
        trouble=row.trouble,
        repairing=row.name in repairing,
        foreign=row.spec.kind == "foreign",
        remote=row.agent.note if row.agent else "",
    )


def _heads(about: Mapping[str, Condition]) -> list[Condition]:
    """What may be the headline: not that a copy was put, which says nothing of the work, nor what somebody else says of himself."""
    return [one for name, one in about.items() if name != "platforms" and (name != "vaults" or one.level is not Level.WELL)]


def up_shares(connection: Connection, rows: Sequence[ServiceRow], *, since: datetime) -> dict[str, float]:
    """For each runner the share of its beats since then that found it up."""
    ids = [row.id for row in rows]
    found = sums.ups(connection, ids, since=since, at=sums.edges(connection, ids))
    return {row.name: share for row in rows if (share := sums.share(found, row.id)) is not None}


def is_shown(row: ServiceRow) -> bool:
    """Whether a service is a runner to a person: helpers of our own are only when they are in trouble."""
    return row.spec.kind not in HELPERS or row.state.phase is Phase.QUARANTINED


def _played(last: Lease | None) -> dict[str, Condition]:
    return {"simulation": SIMULATED} if last is not None and last.host == "simulation" else {}


def _engine_facts(last: Lease | None, at: datetime, *, alive: bool) -> EngineFacts:
    if alive:
        note = last.note if last else ""
        if last is not None and last.host == "process" and at - last.renewed > MUTE:
            note = note or f"it has recorded nothing for {wording.span(at - last.renewed)}: what you see is the last that was known"
        return EngineFacts(state=EngineState.RUNNING, last=last.renewed if last else None, note=note)
    if last is None:
        return EngineFacts(state=EngineState.NEVER)
    return EngineFacts(state=EngineState.STOPPED if last.released else EngineState.DEAD, last=last.renewed)


def _engine_view(last: Lease | None, facts: EngineFacts, at: datetime) -> EngineView:
    return EngineView(
        state=facts.state,
        pid=engine_pid(last.holder) if last and facts.state is EngineState.RUNNING else None,
        host=last.host if last else "",
        generation=last.generation if last else 0,
        taken=last.taken if last else None,
        last=last.renewed if last else None,
        note=facts.note,
        condition=health.engine(facts, at),
    )
