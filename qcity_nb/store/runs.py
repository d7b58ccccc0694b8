"""Rows of schedules and runs. What is every place's has no place of its own; a run is changed only by who has it, which its epoch says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from ..model.schedule import Run, RunState, Schedule
from .schema import runs, schedules

OPEN = (RunState.PLANNED.value, RunState.RUNNING.value)
AT_ONCE = 200
"""Schedules that are looked at in one go."""


@dataclass(frozen=True, kw_only=True)
class ScheduleRow:
    """A schedule, the last moment of it that was dealt with, and the next one."""

    id: int
    place: str
    schedule: Schedule
    dealt: datetime
    next: datetime | None
    created: datetime


@dataclass(frozen=True, kw_only=True)
class RunRow(Run):
    """A run with the place whose it is; empty means every place's."""

    place: str


def put_schedule(connection: Connection, place: str, schedule: Schedule, *, dealt: datetime, upcoming: datetime | None, at: datetime) -> None:
    """Put a schedule, or change the one of that name, which may have been another place's."""
    scope = "" if schedule.shared else place
    values = {"place": scope, "schedule": schedule, "dealt": dealt, "next": upcoming}
    known = connection.execute(sa.select(schedules.c.id).where(_ours(schedules, place), schedules.c.name == schedule.name)).scalar()
    if known is None:
        connection.execute(schedules.insert().values(name=schedule.name, created=at, **values))
    else:
        connection.execute(schedules.update().where(schedules.c.id == known).values(**values))


def dealt_with(connection: Connection, row: ScheduleRow, *, dealt: datetime, upcoming: datetime | None) -> None:
    """Remember how far a schedule was planned; nothing if somebody else was further."""
    query = schedules.update().where(schedules.c.id == row.id, schedules.c.dealt <= dealt)
    connection.execute(query.values(dealt=dealt, next=upcoming))


def drop_schedule(connection: Connection, row: ScheduleRow) -> None:
    """Take a schedule away; its runs stay."""
    connection.execute(schedules.delete().where(schedules.c.id == row.id))


def schedules_of(connection: Connection, place: str) -> list[ScheduleRow]:
    """All schedules that concern a place, by name."""
    return _schedules(connection, sa.select(schedules).where(_ours(schedules, place)).order_by(schedules.c.name))


def schedule_of(connection: Connection, place: str, name: str) -> ScheduleRow | None:
    """One of them."""
    found = _schedules(connection, sa.select(schedules).where(_ours(schedules, place), schedules.c.name == name))
    return found[0] if found else None


def due(connection: Connection, place: str, *, now: datetime) -> list[ScheduleRow]:
    """Those whose next moment has come, the oldest first; at most 200 in one go."""
    query = sa.select(schedules).where(_ours(schedules, place), schedules.c.next <= now).order_by(schedules.c.next, schedules.c.id).limit(AT_ONCE)
    return _schedules(connection, query)


def next_moment(connection: Connection, place: str) -> datetime | None:
    """The next moment of any schedule."""
    found: datetime | None = connection.execute(sa.select(sa.func.min(schedules.c.next)).where(_ours(schedules, place))).scalar()
    return found


def lock(connection: Connection, place: str) -> None:
    """Be alone, among all places, in deciding what of every place's schedules begins; until the end of the transaction."""
    connection.execute(sa.select(schedules.c.id).where(_ours(schedules, place), schedules.c.place == "").order_by(schedules.c.id).with_for_update())


def limits(connection: Connection, place: str, names: Iterable[str]) -> dict[str, int]:
    """How many runs each of these schedules may have at once."""
    query = sa.select(schedules).where(_ours(schedules, place), schedules.c.name.in_(sorted(set(names))))
    return {row.schedule.name: row.schedule.max_parallel for row in _schedules(connection, query)}


def add_run(connection: Connection, place: str, run: Run) -> int:
    """Put a run that was planned. One with its key that is there already is the same run. Returns its number."""
    known = sa.select(runs.c.id).where(runs.c.place == place, runs.c.key == run.key)
    found = connection.execute(known).scalar()
    if found is not None:
        return int(found)
    try:
        with connection.begin_nested():
            return int(connection.execute(runs.insert().values(place=place, **_values(run)).returning(runs.c.id)).scalar_one())
    except sa.exc.IntegrityError:  # another place planned it at the same moment
        return int(connection.execute(known).scalar_one())


def save(connection: Connection, run: Run, *, epoch: int) -> bool:
    """Put what became of a run; nothing happens, and False is returned, when somebody else has it by now.

    Args:
        epoch: of the run as it was read.
    """
    query = runs.update().where(runs.c.id == run.id, runs.c.epoch == epoch).values(**_values(run))
    return connection.execute(query).rowcount == 1


def renew(connection: Connection, place: str, *, until: datetime) -> None:
    """Keep the runs that a place has."""
    mine = (runs.c.owner == place) & (runs.c.state == RunState.RUNNING.value)
    connection.execute(runs.update().where(mine).values(until=until))


def open_runs(connection: Connection, place: str) -> list[RunRow]:
    """The runs that are planned or running, oldest first."""
    query = sa.select(runs).where(_ours(runs, place), runs.c.state.in_(OPEN)).order_by(runs.c.start, runs.c.id)
    return [_run(row) for row in connection.execute(query).mappings()]


def get_run(connection: Connection, place: str, id_: int) -> RunRow | None:
    """One run."""
    row = connection.execute(sa.select(runs).where(_ours(runs, place), runs.c.id == id_)).mappings().first()
    return None if row is None else _run(row)


def by_token(connection: Connection, token: str) -> RunRow | None:
    """The run whose attempt under way has this token."""
    row = connection.execute(sa.select(runs).where(runs.c.token == token)).mappings().first()
    return None if row is None else _run(row)


def latest_runs(connection: Connection, place: str, *, schedule: str | None = None, notebook: str | None = None, limit: int = 100) -> list[RunRow]:
    """The newest runs, oldest first."""
    query = sa.select(runs).where(_ours(runs, place))
    if schedule is not None:
        query = query.where(runs.c.schedule == schedule)
    rows = [_run(row) for row in connection.execute(query.order_by(runs.c.id.desc()).limit(limit)).mappings()][::-1]
    return [row for row in rows if notebook is None or row.plan.notebook == notebook]


def recent_runs(connection: Connection, place: str, *, since: datetime, limit: int = 1000) -> list[RunRow]:
    """The runs of schedules that are not over, or were over after a moment, in the order in which they were planned."""
    lately = runs.c.state.in_(OPEN) | (runs.c.finished >= since)
    query = sa.select(runs).where(_ours(runs, place), runs.c.schedule != "", lately)
    return [_run(row) for row in connection.execute(query.order_by(runs.c.id.desc()).limit(limit)).mappings()][::-1]


def old(connection: Connection, place: str, *, keep: int, limit: int = 50) -> list[int]:
    """The numbers of runs of a place that are over and have more than `keep` newer ones of their schedule, or of those asked for by hand."""
    rank = sa.func.row_number().over(partition_by=(runs.c.place, runs.c.schedule), order_by=runs.c.id.desc()).label("rank")
    mine = (runs.c.place == place) | ((runs.c.place == "") & (runs.c.owner == place))
    ranked = sa.select(runs.c.id, rank).where(mine, runs.c.state.not_in(OPEN)).subquery()
    return list(connection.execute(sa.select(ranked.c.id).where(ranked.c.rank > keep).order_by(ranked.c.id).limit(limit)).scalars())


def forget(connection: Connection, numbers: Sequence[int]) -> None:
    """Take runs away."""
    connection.execute(runs.delete().where(runs.c.id.in_(numbers), runs.c.state.not_in(OPEN)))


def failing(connection: Connection, place: str) -> list[RunRow]:
    """The last runs of those schedules whose last one that was not called off did not end well, by name."""
    known = sa.select(schedules.c.name).where(_ours(schedules, place))
    counts = runs.c.state.not_in([*OPEN, RunState.CANCELLED.value])
    last = sa.select(sa.func.max(runs.c.id)).where(_ours(runs, place), counts, runs.c.schedule.in_(known)).group_by(runs.c.schedule)
    query = sa.select(runs).where(runs.c.id.in_(last), runs.c.state != RunState.DONE.value).order_by(runs.c.schedule)
    return [_run(row) for row in connection.execute(query).mappings()]


def agenda(connection: Connection, place: str) -> tuple[int, str, datetime | None]:
    """How many schedules there are, the name of the one that is next, and when."""
    total = connection.execute(sa.select(sa.func.count()).select_from(schedules).where(_ours(schedules, place))).scalar_one()
    query = sa.select(schedules.c.name, schedules.c.next).where(_ours(schedules, place), schedules.c.next.is_not(None))
    soon = connection.execute(query.order_by(schedules.c.next, schedules.c.name).limit(1)).first()
    return (int(total), soon.name, soon.next) if soon else (int(total), "", None)


def _ours(table: sa.Table, place: str) -> sa.ColumnElement[bool]:
    return table.c.place.in_([place, ""])


def _schedules(connection: Connection, query: sa.Select[Any]) -> list[ScheduleRow]:
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return [ScheduleRow(**{name: value for name, value in row.items() if name != "name"}) for row in rows]


def _values(run: Run) -> dict[str, object]:
    plain = {one.name: getattr(run, one.name) for one in fields(Run) if one.name != "id"}
    return {**plain, "state": run.state.value}


def _run(row: RowMapping | Mapping[str, object]) -> RunRow:
    data = dict(row)
    return RunRow(**{**data, "state": RunState(data["state"])})
