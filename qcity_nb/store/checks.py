"""Checks of machines: what a look before a job, after it, or by a canary found. The newest thousand of each service are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .schema import checks

KEPT = 1000


@dataclass(frozen=True, kw_only=True)
class Check:
    """One look: `what` is started, completed or canary; `took` in seconds; `details` by the name of what was looked at."""

    id: int
    service: str
    at: datetime
    what: str
    ok: bool
    took: float
    text: str
    details: dict[str, str]


_COLUMNS = [checks.c[name] for name in Check.__dataclass_fields__]


def add(
    connection: Connection, place: str, service: str, *, at: datetime, what: str, ok: bool, took: float, text: str, details: Mapping[str, str]
) -> None:
    """Put a look; old ones are forgotten."""
    row = checks.insert().values(place=place, service=service, at=at, what=what, ok=ok, took=took, text=text, details=dict(details))
    number = int(connection.execute(row.returning(checks.c.id)).scalar_one())
    if number % 100 == 0:
        mine = (checks.c.place == place) & (checks.c.service == service)
        oldest = sa.select(checks.c.id).where(mine).order_by(checks.c.id.desc()).offset(KEPT).limit(1).scalar_subquery()
        connection.execute(checks.delete().where(mine, checks.c.id <= oldest))


def latest(connection: Connection, place: str, *, service: str | None = None, limit: int = 50) -> list[Check]:
    """The newest looks, oldest first."""
    query = sa.select(*_COLUMNS).where(checks.c.place == place).order_by(checks.c.id.desc()).limit(limit)
    if service is not None:
        query = query.where(checks.c.service == service)
    return [Check(**row) for row in connection.execute(query).mappings()][::-1]


def took(connection: Connection, place: str, services: Iterable[str], *, since: datetime, limit: int = 4000) -> dict[str, list[timedelta]]:
    """How long each look of these services took since then; of the newest ones at most."""
    query = sa.select(checks.c.service, checks.c.took).where(checks.c.place == place, checks.c.service.in_(list(services)), checks.c.at >= since)
    found: dict[str, list[timedelta]] = {}
    for service, seconds in connection.execute(query.order_by(checks.c.id.desc()).limit(limit)):
        found.setdefault(str(service), []).append(timedelta(seconds=float(seconds)))
    return found
