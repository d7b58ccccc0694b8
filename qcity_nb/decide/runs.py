"""What becomes of runs: which begin, which are tried again, when one is given up. Times are UTC of the wall clock: a schedule is about that one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from ..model.schedule import Attempt, Run, RunState, Schedule
from ..model.service import Sandbox
from . import schedule as times

LOSSES = 3
"""So many, three, workers may die under a run: then it may be what kills them."""
LEASE = timedelta(seconds=60)
"""How long a run that every place may take is one place's without another word."""
RENEW = timedelta(seconds=20)
FAR = 100
"""So many runs, a hundred, may be with executors elsewhere at once: each of them costs this machine a thread."""
LATE = timedelta(minutes=5)
"""A run that has waited for its turn for longer is late."""
BAD = (RunState.FAILED, RunState.LOST, RunState.MISSED)


class Tale(Enum):
    """What of a schedule is worth a message."""

    BAD = "bad"  # it did not end well, for the first time after one that did
    WELL = "well"  # it did again
    LATE = "late"


@dataclass(frozen=True, kw_only=True)
class News:
    """A message about a schedule; `run` is the one that it began with: the first bad one, also when all is well again."""

    tale: Tale
    run: Run


def key_of(schedule: str, at: datetime) -> str:
    """What makes the run of a moment unique: whoever plans it, it is planned once."""
    return f"{schedule}/{at:%Y-%m-%dT%H:%M:%SZ}"


def plan(schedule: Schedule, *, dealt: datetime, now: datetime) -> tuple[list[Run], datetime]:
    """The runs that a schedule asks for now, without numbers yet, and the last moment that has been dealt with then.

    Args:
        dealt: the last one that had been.
    """
    moments = times.due(schedule, after=dealt, now=now)
    runs = [
        Run(
            id=0,
            schedule=schedule.name,
            key=key_of(schedule.name, moment.at),
            plan=schedule.plan,
            at=moment.at,
            start=moment.start,
            state=RunState.MISSED if moment.missed else RunState.PLANNED,
            reason="no engine was there at its time, and the schedule does not catch it up" if moment.missed else "",
            planned=now,
            finished=now if moment.missed else None,
        )
        for moment in moments
    ]
    return runs, times.after(moments, dealt)


def same_moments(one: Schedule, other: Schedule) -> bool:
    """Whether two schedules ask for runs at the same moments: one that is put again with another notebook, say, goes on where it was."""
    return (one.cron, one.once, one.zone, one.paused) == (other.cron, other.once, other.zone, other.paused)


def startable(runs: Iterable[Run], limits: Mapping[str, int], *, now: datetime, slots: int, far: int = FAR) -> list[Run]:
    """The planned runs that begin now, the oldest first: as many as there is room for, here and in their schedules.

    Args:
        runs: the planned and the running ones.
        limits: how many runs a schedule may have at once; one that is not named has no limit.
        slots: how many more this place can run.
        far: how many more it can have run elsewhere.
    """
    known = sorted(runs, key=lambda run: (run.start, run.id))
    running = Counter(run.schedule for run in known if run.state is RunState.RUNNING)
    found: list[Run] = []
    room = {False: slots, True: far}
    for run in known:
        away = bool(run.plan.executor)
        if run.state is not RunState.PLANNED or run.start > now or room[away] <= 0:
            continue
        limit = limits.get(run.schedule)
        if limit is not None and running[run.schedule] >= limit:
            continue
        running[run.schedule] += 1
        room[away] -= 1
        found.append(run)
    return found


def begun(run: Run, *, owner: str, token: str, incarnation: int, now: datetime) -> Run:
    """A run that a place takes: nobody else has it until its lease is over."""
    return replace(
        run,
        state=RunState.RUNNING,
        owner=owner,
        epoch=run.epoch + 1,
        until=now + LEASE,
        token=token,
        incarnation=incarnation,
        started=None,
        finished=None,
        live=None,
        cells=(),
        cell=None,
        parked=None,
        reason="",
    )


def ended(run: Run, state: RunState, reason: str, *, now: datetime, died: bool = False) -> Run:
    """A run whose attempt came to an end: over, or planned again if it failed and may be tried again, or was lost.

    Args:
        died: whether it was lost because what executed it elsewhere died; else its worker was only stopped.
    """
    if state is RunState.LOST:
        return lost(run if died else replace(run, losses=run.losses - 1), reason, now=now)
    if state is RunState.FAILED and not run.cancel and run.attempt <= run.plan.retry.times:
        wait = times.wait(run.plan.retry, run.key, run.attempt)
        return _again(run, state, reason, now=now, start=now + wait)
    return replace(run, state=state, reason=reason, finished=now, live=None)


def lost(run: Run, why: str, *, now: datetime) -> Run:
    """A run whose worker died: planned again at once, a few times; then it is lost, and says so."""
    if run.cancel:
        return replace(run, state=RunState.CANCELLED, reason=run.cancel, finished=now, live=None)
    if run.started is None:  # it never began: nothing is held against it
        return replace(run, state=RunState.PLANNED, reason=f"{why} before it began", live=None, owner="", until=None)
    if run.losses + 1 >= LOSSES:
        return replace(run, state=RunState.LOST, losses=run.losses + 1, reason=f"{why}; that was the third time", finished=now, live=None)
    return replace(_again(run, RunState.LOST, why, now=now, start=now), losses=run.losses + 1)


def _again(run: Run, state: RunState, reason: str, *, now: datetime, start: datetime) -> Run:
    over = Attempt(number=run.attempt, state=state, reason=reason, started=run.started, finished=now)
    told = f"attempt {run.attempt}: {reason}; it is tried again"
    return replace(
        run,
        state=RunState.PLANNED,
        attempt=run.attempt + 1,
        attempts=(*run.attempts, over),
        start=start,
        reason=told,
        started=None,
        live=None,
        owner="",
        until=None,
        resumes=None,
    )


def called_off(run: Run, why: str, *, now: datetime) -> Run:
    """A run that somebody does not want any more; one that runs is over when its worker says so."""
    if run.state is RunState.PLANNED:
        return replace(run, state=RunState.CANCELLED, cancel=why, reason=why, finished=now)
    return replace(run, cancel=why)


def stricter(one: Sandbox, other: Sandbox) -> Sandbox:
    """The stronger of two sandboxes."""
    return max(one, other, key=lambda level: level.rank)


def resumable(run: Run, *, now: datetime) -> bool:
    """Whether it can go on from the cell that it failed in: its kernel is still there."""
    return run.state is RunState.FAILED and run.cell is not None and run.parked is not None and run.parked > now


def news(runs: Sequence[Run], known: Iterable[Run], *, now: datetime) -> list[News]:
    """What is to be told of schedules: one message when one begins to fail, one when it is well again, one for a run that is late.

    Args:
        runs: in the order in which they were planned. Those that nobody scheduled are watched by who asked for them.
        known: the bad ones that were told of, and nothing better since.
    """
    found: list[News] = []
    bad = {run.schedule: run for run in known}
    last = {run.schedule: run.id for run in runs if run.state is not RunState.MISSED}
    for run in runs:
        told = bad.get(run.schedule)
        if not run.schedule or (told is not None and run.id <= told.id):
            continue
        if run.state is RunState.MISSED and last.get(run.schedule, 0) > run.id:
            continue  # a later one caught up
        if run.state is RunState.PLANNED and now - run.start > LATE:
            found.append(News(tale=Tale.LATE, run=run))
        elif run.state in BAD and run.schedule not in bad:
            bad[run.schedule] = run
            found.append(News(tale=Tale.BAD, run=run))
        elif run.state is RunState.DONE and run.schedule in bad:
            found.append(News(tale=Tale.WELL, run=bad.pop(run.schedule)))
    return found


def deadline(runs: Sequence[Run], moments: Iterable[datetime], *, now: datetime) -> datetime | None:
    """When there is something to decide next: a run's start or a schedule's moment; None when nothing is known to come."""
    return min([*(run.start for run in runs if run.state is RunState.PLANNED and run.start > now), *moments], default=None)
