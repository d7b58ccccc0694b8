"""One consistent look at a place: all facts in a single read, judged by `decide.health`. Everything that is shown begins here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from ..decide import health, wording
from ..decide.health import Condition, EngineFacts, EngineState, RunnerFacts
from ..io.files import is_locked
from ..model.schedule import RunState
from ..model.service import Phase
from ..model.work import Status as JobStatus
from ..store import history, lease, runs, services, work
from ..store.database import Store
from ..store.history import Incident
from ..store.lease import Lease
from ..store.services import ServiceRow
from .hosts import engine_pid
from .link import now

RECENT_JOBS = 300
HELPERS = frozenset({"attendant", "notebooks"})
"""Services of our own: they are shown only when they are in trouble."""
MUTE = timedelta(seconds=20)
"""An engine that lives and has recorded no beat for this long (it writes one every five seconds) is frozen, or its store takes nothing."""


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
    about: Condition | None
    headline: Condition


def look(store: Store, *, uptime: bool = True) -> View:
    """Everything about a place, from one read."""
    alive, at = is_locked(store.home.lock), now()
    with store.read() as connection:
        last = lease.current(connection, store.place)
        rows = [row for row in services.all_of(connection, store.place) if is_shown(row)]
        jobs = work.latest_jobs(connection, store.place, limit=RECENT_JOBS)
        incidents = tuple(history.open_incidents(connection, store.place))
        known = runs.open_runs(connection, store.place)
        failing = tuple(runs.failing(connection, store.place))
        total, upcoming, soon = runs.agenda(connection, store.place)
        shares = up_shares(connection, store.place, since=at - timedelta(hours=24)) if uptime else {}
    facts = _engine_facts(last, at, alive=alive)
    repairing = {incident.service for incident in incidents if incident.state == "open"}
    conditions = {
        row.name: health.runner(
            RunnerFacts(
                state=row.state,
                trouble=row.trouble,
                repairing=row.name in repairing,
                foreign=row.spec.kind == "foreign",
                remote=row.agent.note if row.agent else "",
            ),
            facts,
            at,
        )
        for row in rows
    }
    begun = [job for job in jobs if job.started and job.queued and not job.reused and at - job.started < timedelta(hours=24)]
    load = health.Work(
        running=sum(job.status is JobStatus.RUNNING for job in jobs),
        queued=sum(job.status in (JobStatus.QUEUED, JobStatus.ASSIGNED) for job in jobs),
        wait=health.percentile(max(job.started - job.queued, timedelta(0)) for job in begun if job.started and job.queued),
    )
    running = sum(run.state is RunState.RUNNING for run in known)
    waiting = sum(run.state is RunState.PLANNED and run.start <= at for run in known)
    notebooks = health.Notebooks(running=running, waiting=waiting, schedules=total, failing=failing, upcoming=upcoming, at=soon)
    about = health.notebooks(notebooks, at)
    return View(
        at=at,
        engine=_engine_view(last, facts, at),
        runners={row.name: RunnerView(row=row, condition=conditions[row.name], uptime=shares.get(row.name)) for row in rows},
        work=load,
        incidents=incidents,
        notebooks=notebooks,
        about=about,
        headline=health.headline(facts, conditions, load, at, about=about),
    )


def up_shares(connection: Connection, place: str, *, since: datetime) -> dict[str, float]:
    """For each runner the share of its beats since then that found it up: minutes where they are summed, raw beats after them."""
    minutes = history.spans(connection, place, since=since, span=60)
    edge = max((span.at for span in minutes), default=None)
    raw = history.spans(connection, place, since=since if edge is None else edge + timedelta(seconds=60), span=1)
    sums: dict[str, tuple[int, int]] = {}
    for span in (*minutes, *raw):
        beats, up = sums.get(span.service, (0, 0))
        sums[span.service] = (beats + span.beats, up + span.up)
    return {name: up / beats for name, (beats, up) in sums.items() if beats}


def is_shown(row: ServiceRow) -> bool:
    """Whether a service is a runner to a person: helpers of our own are only when they are in trouble."""
    return row.spec.kind not in HELPERS or row.state.phase is Phase.QUARANTINED


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
