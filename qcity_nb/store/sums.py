"""Beats summed by the database instead of here, for whoever looks often: how much a service was up, its last hour in slots, its last sign of life.

Hours that were rolled up are taken first, then minutes, then raw beats: a week of two hundred runners is read in milliseconds. Each query
seeks by service, because the keys of both tables begin with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..model.work import Ran
from .schema import beats, builds, incidents, jobs, rollups, services

HOUR, MINUTE = 3600, 60


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Until when (seconds since 1970) beats of a place were rolled up into hours and minutes; 0 when never."""

    hours: int
    minutes: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job as a list of many shows it: without its plan, its steps and what it printed."""

    id: int
    name: str
    runner: str
    status: str
    outcome: str | None
    attempt: int
    reason: str
    reused: bool
    queued: datetime | None
    started: datetime | None
    finished: datetime | None


_TASK = [jobs.c[name] for name in Task.__dataclass_fields__]


def edges(connection: Connection, ids: Iterable[int]) -> Edges:
    """How far roll-ups of these services go."""
    return Edges(hours=_edge(connection, list(ids), HOUR), minutes=_edge(connection, list(ids), MINUTE))


def ups(connection: Connection, ids: Iterable[int], *, since: datetime, at: Edges) -> dict[int, tuple[int, int]]:
    """For each service how many beats there were since then, and how many found it up. Rounded to minutes where only those are left."""
    mine, begin = list(ids), int(since.timestamp())
    first = -(-begin // HOUR) * HOUR
    hours, minutes = max(at.hours, first), max(at.minutes, begin)
    found: dict[int, tuple[int, int]] = {}
    _add(found, _rolled(connection, mine, HOUR, first, hours))
    _add(found, _rolled(connection, mine, MINUTE, begin, min(first, minutes)))
    _add(found, _rolled(connection, mine, MINUTE, hours, minutes))
    where = (beats.c.service.in_(mine), beats.c.at >= minutes)
    query = sa.select(beats.c.service, sa.func.count(), sa.func.sum(beats.c.up)).where(*where).group_by(beats.c.service)
    _add(found, ((int(id_), int(n), int(up)) for id_, n, up in connection.execute(query)))
    return found


def by_minute(connection: Connection, ids: Iterable[int], *, since: int, at: Edges) -> list[tuple[int, int, int, int]]:
    """Service, begin of a minute, beats, and how many found it up; from `since` (seconds since 1970, a whole minute) on."""
    mine = list(ids)
    where = (rollups.c.span == MINUTE, rollups.c.service.in_(mine), rollups.c.at >= since, rollups.c.at < at.minutes)
    found = connection.execute(sa.select(rollups.c.service, rollups.c.at, rollups.c.beats, rollups.c.up).where(*where)).all()
    width: sa.ColumnElement[int] = sa.literal_column(str(MINUTE))  # not a parameter: PostgreSQL would not see that GROUP BY means the same
    slot = beats.c.at - beats.c.at % width
    raw = (beats.c.service.in_(mine), beats.c.at >= max(since, at.minutes))
    query = sa.select(beats.c.service, slot, sa.func.count(), sa.func.sum(beats.c.up)).where(*raw).group_by(beats.c.service, slot)
    return [(id_, minute, n, int(up)) for id_, minute, n, up in (*found, *connection.execute(query).all())]


def seen(connection: Connection, ids: Iterable[int], *, now: datetime) -> dict[int, int]:
    """When each service was last found up, in seconds since 1970; further back than an hour it is the end of the hour that found it."""
    begin = int(now.timestamp()) - HOUR
    raw = _last(beats.c.at, (beats.c.service == services.c.id, beats.c.up > 0, beats.c.at >= begin))
    hour = _last(rollups.c.at, (rollups.c.span == HOUR, rollups.c.service == services.c.id, rollups.c.up > 0))
    rows = connection.execute(sa.select(services.c.id, raw, hour).where(services.c.id.in_(list(ids))))
    return {int(id_): int(last if last is not None else min(long + HOUR, begin)) for id_, last, long in rows if last is not None or long is not None}


def tasks(connection: Connection, place: str, *, since: datetime, limit: int) -> list[Task]:
    """The newest jobs that are not over, or were begun since then; oldest first."""
    lately = (jobs.c.status != "done") | (jobs.c.started >= since)
    query = sa.select(*_TASK).join(builds, builds.c.id == jobs.c.build).where(builds.c.place == place, lately)
    names = Task.__dataclass_fields__
    rows = connection.execute(query.order_by(jobs.c.id.desc()).limit(limit)).all()
    return [Task(**dict(zip(names, row, strict=True))) for row in reversed(rows)]


def ran(connection: Connection, place: str, *, since: datetime, limit: int) -> list[Ran]:
    """The newest jobs that ended since then, oldest first; what an attempt of a build took over from an earlier one counts there only."""
    columns = {name: (builds if name in ("workflow", "ref", "sha") else jobs).c[name] for name in Ran.__dataclass_fields__}
    over = (builds.c.place == place, jobs.c.status == "done", jobs.c.finished >= since, jobs.c.reused.is_not(True))
    query = sa.select(*columns.values()).join(builds, builds.c.id == jobs.c.build).where(*over)
    rows = connection.execute(query.order_by(jobs.c.id.desc()).limit(limit)).all()
    return [Ran(**dict(zip(columns, row, strict=True))) for row in reversed(rows)]


def ended(connection: Connection, place: str) -> dict[str, int]:
    """How many jobs ever ended, by outcome."""
    mine = (builds.c.place == place) & jobs.c.outcome.is_not(None)
    query = sa.select(jobs.c.outcome, sa.func.count()).join(builds, builds.c.id == jobs.c.build).where(mine).group_by(jobs.c.outcome)
    return {str(outcome): int(number) for outcome, number in connection.execute(query)}


def opened(connection: Connection, place: str) -> int:
    """How many incidents were ever opened."""
    return int(connection.execute(sa.select(sa.func.count()).where(incidents.c.place == place)).scalar_one())


def _edge(connection: Connection, ids: list[int], span: int) -> int:
    """The end of the newest roll-up: one seek for each service, where max() over all of them would read every row that there ever was."""
    last = _last(rollups.c.at, (rollups.c.span == span, rollups.c.service == services.c.id))
    newest = max((at for at in connection.execute(sa.select(last).where(services.c.id.in_(ids))).scalars() if at is not None), default=None)
    return 0 if newest is None else int(newest) + span


def _last(column: sa.Column[int], where: tuple[sa.ColumnElement[bool], ...]) -> sa.ScalarSelect[int]:
    return sa.select(column).where(*where).order_by(column.desc()).limit(1).correlate(services).scalar_subquery()


def _rolled(connection: Connection, ids: list[int], span: int, begin: int, end: int) -> Iterable[tuple[int, int, int]]:
    if begin >= end:
        return []
    where = (rollups.c.span == span, rollups.c.service.in_(ids), rollups.c.at >= begin, rollups.c.at < end)
    query = sa.select(rollups.c.service, sa.func.sum(rollups.c.beats), sa.func.sum(rollups.c.up)).where(*where).group_by(rollups.c.service)
    return [(int(id_), int(n), int(up)) for id_, n, up in connection.execute(query)]


def _add(found: dict[int, tuple[int, int]], rows: Iterable[tuple[int, int, int]]) -> None:
    for id_, n, up in rows:
        beats_, ups_ = found.get(id_, (0, 0))
        found[id_] = (beats_ + n, ups_ + up)


def share(found: Mapping[int, tuple[int, int]], id_: int) -> float | None:
    """The share of beats that found a service up; None without beats."""
    total, up = found.get(id_, (0, 0))
    return up / total if total else None
