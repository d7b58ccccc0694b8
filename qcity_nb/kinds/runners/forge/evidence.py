"""Everything that is known of one agent, put together: what this machine shows and what its platform says. Pure but for what it is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ....decide import agentlog
from ....model.agent import Clue, Evidence, Reach, Remote, RemoteJob
from . import tempo
from .look import Seen
from .memory import AgentMemory, longest
from .scope import View

FRESH = timedelta(minutes=3)
"""An older list proves nothing about what is not in it."""
UNUSED = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Local:
    """What this machine shows of one agent at one moment."""

    seen: Seen
    clues: tuple[Clue, ...]
    silence: timedelta
    free: tuple[int | None, float | None, float | None] = (None, None, None)
    not_ours: tuple[str, ...] = ()
    cpu: float | None = None
    phantom: timedelta | None = None
    version: str = ""
    refused: str = ""
    refusals: int = 0


@dataclass(frozen=True, kw_only=True)
class About:
    """Whose evidence it is. `life` is the start of it that is looked at."""

    name: str
    forge: str
    scope: str
    root: str
    life: int
    foreign: bool


def gather(
    now: datetime, about: About, local: Local, view: View, memory: AgentMemory, *, labels: Iterable[str], twins: tuple[int, ...] = ()
) -> Evidence:
    """The evidence for one agent."""
    fresh = view.checked is not None and now - view.checked < FRESH and view.reach is Reach.FINE
    remote = view.of(memory.id, memory.name) if fresh else None
    takes = {label.lower() for label in labels}
    job = _job([*(view.jobs.get(remote.id, ()) if remote else ()), *(one for id_ in memory.lost for one in view.jobs.get(id_, ()))])
    return Evidence(
        at=tempo.now(),
        name=about.name,
        scope=about.scope,
        root=about.root,
        forge=about.forge,
        life=about.life,
        alive=local.seen.alive,
        foreign=about.foreign,
        worker=local.seen.worker,
        worker_code=agentlog.worker_code(local.clues),
        cpu=local.cpu,
        silence=tempo.told(local.silence),
        clues=counted(local.clues),
        connected=local.seen.connected,
        reach=view.reach,
        reach_text=view.text,
        needed=view.needed,
        path=view.path,
        skew=view.skew,
        remote=remote,
        phantom=tempo.told(local.phantom) if local.phantom is not None else None,
        absent=fresh and remote is None and memory.id is not None,
        waiting=waiting(view.queued, takes, now) if fresh else None,
        unmatched=unmatched(view, now) if fresh and takes else (),
        running_for=tempo.told(now - job.started) if job is not None and job.started is not None and job.status == "in_progress" else None,
        worst=longest(memory, job.name) if job is not None else None,
        job=job if job is None or job.id not in memory.rerun else None,
        lost=bool(memory.lost) and job is not None and job.runner in memory.lost.values(),
        refused=local.refused,
        refusals=local.refusals,
        version=local.version,
        free_disk=local.free[0],
        free_disk_share=local.free[1],
        free_inodes_share=local.free[2],
        not_ours=local.not_ours,
        orphans=len(local.seen.orphans),
        unseen=_unseen(memory, remote, now),
        twins_offline=twins,
        canary_failures=memory.canary_failures,
        canary=memory.canary,
    )


def counted(clues: Iterable[Clue]) -> tuple[Clue, ...]:
    """Clues with their moments as time counts here."""
    return tuple(clue if clue.at is None else replace(clue, at=tempo.at(clue.at)) for clue in clues)


def waiting(queued: Iterable[RemoteJob], takes: set[str], now: datetime) -> timedelta | None:
    """The longest wait of a job that a runner with these labels could take; None when none waits."""
    waits = [tempo.told(now - job.created) for job in queued if job.created is not None and {label.lower() for label in job.labels} <= takes]
    return max(waits, default=None)


def unmatched(view: View, now: datetime) -> tuple[str, ...]:
    """The labels of a job that has waited for three minutes and that no runner of the scope could take, those that are missing only."""
    offers = [{label.lower() for label in runner.labels} for runner in view.runners]
    for job in view.queued:
        asks = {label.lower() for label in job.labels}
        late = job.created is not None and tempo.told(now - job.created) > timedelta(minutes=3)
        if late and "self-hosted" in asks and offers and not any(asks <= offer for offer in offers):
            nearest = max(offers, key=lambda offer: len(asks & offer))
            return tuple(sorted(asks - nearest))
    return ()


def unused_twins(
    view: View, memories: dict[str, AgentMemory], *, mine: set[int], owned: str, since: dict[int, datetime], now: datetime
) -> tuple[int, ...]:
    """Registrations that we made and nobody uses: with our label, offline and idle for half an hour, of no agent that is here.

    Args:
        mine: the registrations that agents of ours have now, whether they are up or not.
        since: when each was first seen offline; kept by the caller from look to look.
    """
    ours = {id_ for memory in memories.values() for id_ in memory.known}
    found = [one for one in view.runners if (one.id in ours or owned in one.labels) and one.id not in mine and not one.online and not one.busy]
    for gone in set(since) - {one.id for one in found}:
        del since[gone]
    return tuple(one.id for one in found if tempo.told(now - since.setdefault(one.id, now)) >= UNUSED)


def _job(jobs: Iterable[RemoteJob]) -> RemoteJob | None:
    """The job that it has, else the last one that it had."""
    return max(jobs, key=lambda job: (job.status == "in_progress", job.id), default=None)


def _unseen(memory: AgentMemory, remote: Remote | None, now: datetime) -> timedelta | None:
    if remote is not None and remote.online:
        return None
    return None if memory.last_online is None else tempo.told(timedelta(seconds=max(0.0, now.timestamp() - memory.last_online)))
