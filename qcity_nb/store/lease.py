"""Who is the engine of a place. The kernel's file lock keeps two apart on one machine; the generation fences whatever an older one still does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .schema import lease


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The engine of a place: its generation counts the engines so far, `renewed` is its last sign of life."""

    place: str
    generation: int
    holder: str
    host: str
    taken: datetime
    renewed: datetime
    released: datetime | None = None
    note: str = ""


def take(connection: Connection, place: str, *, holder: str, host: str, now: datetime) -> int:
    """Become the engine of a place; the caller holds the home's lock. Returns the new generation."""
    old = current(connection, place)
    row = {"holder": holder, "host": host, "taken": now, "renewed": now, "released": None, "note": ""}
    if old is None:
        connection.execute(lease.insert().values(place=place, generation=1, **row))
        return 1
    connection.execute(lease.update().where(lease.c.place == place).values(generation=old.generation + 1, **row))
    return old.generation + 1


def renew(connection: Connection, place: str, generation: int, *, now: datetime, note: str = "") -> bool:
    """Say that the engine lives; False when another one has taken over, and this one must act no more."""
    mine = (lease.c.place == place) & (lease.c.generation == generation)
    return connection.execute(lease.update().where(mine).values(renewed=now, note=note)).rowcount == 1


def release(connection: Connection, place: str, generation: int, *, now: datetime) -> None:
    """Say that the engine ended on purpose."""
    mine = (lease.c.place == place) & (lease.c.generation == generation)
    connection.execute(lease.update().where(mine).values(renewed=now, released=now))


def all_of(connection: Connection) -> list[Lease]:
    """The last leases of all places of the store."""
    return [Lease(**row) for row in connection.execute(sa.select(lease).order_by(lease.c.place)).mappings()]


def current(connection: Connection, place: str) -> Lease | None:
    """The last lease of a place."""
    row = connection.execute(sa.select(lease).where(lease.c.place == place)).mappings().first()
    return None if row is None else Lease(**row)
