"""Beats with their roll-ups, and incidents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .schema import beats, incidents, rollups, services

RAW_FOR = timedelta(days=1)
MINUTES_FOR = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What went wrong with a service: cause, what was done about it, and how it is known to be well. `state`: open, healthy, quarantined."""

    id: int
    service: str
    opened: datetime
    closed: datetime | None
    state: str
    title: str
    cause: str
    evidence: tuple[str, ...]
    done: tuple[str, ...]
    proof: tuple[str, ...]
    awaits: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Span:
    """Beats of one service in one span of time (`seconds` long): how many were expected up, how many were, and the jobs running, summed."""

    service: str
    at: datetime
    seconds: int
    beats: int
    up: int
    busy: int


_INCIDENT = [incidents.c[name] for name in Incident.__dataclass_fields__]


def beat(connection: Connection, rows: Iterable[tuple[int, bool, int]], *, at: datetime) -> None:
    """Put one beat for each (service id, is it up, jobs running); a second one in the same second counts as the first."""
    second = int(at.timestamp())
    values = [{"service": id_, "at": second, "up": int(up), "busy": busy} for id_, up, busy in rows]
    if not values:
        return
    ids = [value["service"] for value in values]
    connection.execute(beats.delete().where(beats.c.at == second, beats.c.service.in_(ids)))
    connection.execute(beats.insert(), values)


def roll_up(connection: Connection, *, now: datetime, since: datetime | None = None) -> None:
    """Sum raw beats into minutes and hours, and forget raw ones after a day and minutes after a month.

    Args:
        since: when this was done last; None looks for it, which takes longer.
    """
    moment = int(now.timestamp())
    for span in (60, 3600):
        last = int(since.timestamp()) if since is not None else _last_rolled(connection, span)
        begin, end = min(last, moment) // span * span, moment // span * span
        width: sa.ColumnElement[int] = sa.literal_column(str(span))  # not a parameter: PostgreSQL would not see that GROUP BY means the same
        slot = beats.c.at - beats.c.at % width
        source = (
            sa.select(width, beats.c.service, slot, sa.func.count(), sa.func.sum(beats.c.up), sa.func.sum(beats.c.busy))
            .where(beats.c.at >= begin, beats.c.at < end)
            .group_by(beats.c.service, slot)
        )
        connection.execute(rollups.delete().where(rollups.c.span == span, rollups.c.at >= begin, rollups.c.at < end))
        connection.execute(rollups.insert().from_select(["span", "service", "at", "beats", "up", "busy"], source))
    connection.execute(beats.delete().where(beats.c.at < moment - RAW_FOR.total_seconds()))
    connection.execute(rollups.delete().where(rollups.c.span == 60, rollups.c.at < moment - MINUTES_FOR.total_seconds()))


def _last_rolled(connection: Connection, span: int) -> int:
    """Until where beats were summed: the begin of the last sum, else of the first beat."""
    last = connection.execute(sa.select(sa.func.max(rollups.c.at)).where(rollups.c.span == span)).scalar()
    if last is None:
        last = connection.execute(sa.select(sa.func.min(beats.c.at))).scalar()
    return int(last or 0)


def spans(connection: Connection, place: str, *, since: datetime, span: int) -> list[Span]:
    """Health over time, all services of a place: `span` 1 reads raw beats, 60 and 3600 the roll-ups."""
    begin = int(since.timestamp())
    mine = (services.c.place == place) & services.c.removed.is_(None)
    if span == 1:
        table: sa.Table = beats
        counted: sa.ColumnElement[int] = sa.literal_column("1")
        where = beats.c.at >= begin
    else:
        table, counted = rollups, rollups.c.beats
        where = (rollups.c.span == span) & (rollups.c.at >= begin)
    query = (
        sa.select(services.c.name, table.c.at, counted, table.c.up, table.c.busy)
        .join(services, services.c.id == table.c.service)
        .where(mine, where)
        .order_by(table.c.at, services.c.name)
    )
    rows = connection.execute(query)
    utc = since.tzinfo
    return [Span(service=name, at=datetime.fromtimestamp(at, utc), seconds=span, beats=n, up=up, busy=busy) for name, at, n, up, busy in rows]


def open_incident(
    connection: Connection, place: str, service: str, *, title: str, cause: str, evidence: Sequence[str], awaits: Sequence[int], at: datetime
) -> int:
    """Put a new incident; its id."""
    row = incidents.insert().values(
        place=place,
        service=service,
        opened=at,
        state="open",
        title=title,
        cause=cause,
        evidence=tuple(evidence),
        done=(),
        proof=(),
        awaits=tuple(awaits),
    )
    return int(connection.execute(row.returning(incidents.c.id)).scalar_one())


def get_incident(connection: Connection, place: str, id_: int) -> Incident | None:
    """One incident."""
    query = sa.select(*_INCIDENT).where(incidents.c.id == id_, incidents.c.place == place)
    row = connection.execute(query).mappings().first()
    return None if row is None else Incident(**row)


def update_incident(connection: Connection, id_: int, **values: object) -> None:
    """Put what became known of an incident."""
    connection.execute(incidents.update().where(incidents.c.id == id_).values(**values))


def open_incidents(connection: Connection, place: str) -> list[Incident]:
    """The incidents that are not over."""
    query = sa.select(*_INCIDENT).where(incidents.c.place == place, incidents.c.closed.is_(None)).order_by(incidents.c.id)
    return [Incident(**row) for row in connection.execute(query).mappings()]


def latest_incidents(connection: Connection, place: str, *, limit: int = 100) -> list[Incident]:
    """The newest incidents, oldest first."""
    query = sa.select(*_INCIDENT).where(incidents.c.place == place).order_by(incidents.c.id.desc()).limit(limit)
    return [Incident(**row) for row in connection.execute(query).mappings()][::-1]
