"""Rows of services: what they are, where they stand, and the flips from one phase to another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..model.service import ServiceSpec, ServiceState
from ..model.wire import AgentView
from .schema import flips, services


@dataclass(frozen=True, kw_only=True)
class ServiceRow:
    """A service as the store knows it. Times are wall-clock; `offset` is how far this incarnation's facts were read."""

    id: int
    place: str
    name: str
    spec: ServiceSpec
    state: ServiceState
    since: datetime
    pid: int | None
    offset: int
    sandbox: str
    trouble: dict[str, str]
    agent: AgentView | None
    created: datetime


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A change of state of anything, as people read it."""

    id: int
    at: datetime
    about: str
    subject: str
    old: str
    new: str
    reason: str
    generation: int


_ROW = (
    services.c.id,
    services.c.place,
    services.c.name,
    services.c.spec,
    services.c.state,
    services.c.since,
    services.c.pid,
    services.c.offset,
    services.c.sandbox,
    services.c.trouble,
    services.c.agent,
    services.c.created,
)


def all_of(connection: Connection, place: str) -> list[ServiceRow]:
    """The services of a place, by name, without the removed ones."""
    query = sa.select(*_ROW).where(services.c.place == place, services.c.removed.is_(None)).order_by(services.c.name)
    return [ServiceRow(**row) for row in connection.execute(query).mappings()]


def add(connection: Connection, place: str, spec: ServiceSpec, state: ServiceState, *, at: datetime) -> ServiceRow:
    """Put a new service, or a removed one that comes back under its name, or another specification for one that is there."""
    values = {"kind": spec.kind, "spec": spec, "removed": None, **_of(state, at)}
    mine = (services.c.place == place) & (services.c.name == spec.name)
    if connection.execute(services.update().where(mine).values(**values)).rowcount == 0:
        connection.execute(services.insert().values(place=place, name=spec.name, created=at, trouble={}, **values))
    row = connection.execute(sa.select(*_ROW).where(mine)).mappings().one()
    return ServiceRow(**row)


def save(connection: Connection, row: ServiceRow, state: ServiceState, *, at: datetime, generation: int) -> ServiceRow:
    """Put a service's new state; a change of phase is also written as a flip."""
    changed = state.phase is not row.state.phase
    since = at if changed else row.since
    values = _of(state, since)
    if state.incarnation != row.state.incarnation:
        values |= {"offset": 0, "pid": None}
        row = replace(row, offset=0, pid=None)
    connection.execute(services.update().where(services.c.id == row.id).values(**values))
    if changed:
        flip(connection, row.place, "runner", row.name, row.state.phase.value, state.phase.value, reason=state.reason, at=at, generation=generation)
    return replace(row, state=state, since=since)


def note(connection: Connection, row: ServiceRow, **values: object) -> ServiceRow:
    """Put what became known of a service: its pid, offset, sandbox level or trouble."""
    connection.execute(services.update().where(services.c.id == row.id).values(**values))
    return replace(row, **values)  # type: ignore[arg-type]  # the names are the columns' and the fields'


def remove(connection: Connection, row: ServiceRow, *, at: datetime) -> None:
    """Forget a service; its history stays."""
    connection.execute(services.update().where(services.c.id == row.id).values(removed=at))


def flip(
    connection: Connection, place: str, about: str, subject: str, old: str, new: str, *, reason: str, at: datetime, generation: int
) -> None:
    """Write one change of state."""
    connection.execute(
        flips.insert().values(place=place, about=about, subject=subject, old=old, new=new, reason=reason, at=at, generation=generation)
    )


def flips_of(connection: Connection, place: str, *, after: int = 0, subject: str | None = None, limit: int = 200) -> list[Flip]:
    """The newest flips of a place after a given id, oldest first."""
    columns = [flips.c[name] for name in ("id", "at", "about", "subject", "old", "new", "reason", "generation")]
    query = sa.select(*columns).where(flips.c.place == place, flips.c.id > after).order_by(flips.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(flips.c.subject == subject)
    return [Flip(**row) for row in connection.execute(query).mappings()][::-1]


def flips_about(connection: Connection, place: str, about: str, subject: str, *, limit: int = 200) -> list[Flip]:
    """The newest flips of one thing, oldest first."""
    columns = [flips.c[name] for name in ("id", "at", "about", "subject", "old", "new", "reason", "generation")]
    mine = (flips.c.place == place, flips.c.about == about, flips.c.subject == subject)
    return [Flip(**row) for row in connection.execute(sa.select(*columns).where(*mine).order_by(flips.c.id.desc()).limit(limit)).mappings()][::-1]


def _of(state: ServiceState, since: datetime) -> dict[str, object]:
    return {"state": state, "phase": state.phase.value, "desired": state.desired.value, "since": since}


def last_incarnation(connection: Connection, place: str, name: str) -> int:
    """How many incarnations a name has had, removed services included."""
    state = connection.execute(sa.select(services.c.state).where(services.c.place == place, services.c.name == name)).scalar()
    return state.incarnation if state is not None else 0
