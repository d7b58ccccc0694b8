"""What a place was told of its fleet, and how its claims were when its engine last looked."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..model.fleet import ClaimView, FleetConfig
from .schema import fleets


def config_of(connection: Connection, place: str) -> FleetConfig | None:
    """The fleet that a place is in; None when it is in none."""
    found: FleetConfig | None = connection.execute(sa.select(fleets.c.config).where(fleets.c.place == place)).scalar()
    return found


def claims_of(connection: Connection, place: str) -> tuple[ClaimView, ...]:
    """The claims as its engine saw them last."""
    return tuple(connection.execute(sa.select(fleets.c.claims).where(fleets.c.place == place)).scalar() or ())


def put(connection: Connection, place: str, config: FleetConfig, *, at: datetime) -> None:
    """Join, or know the fleet by other settings."""
    if connection.execute(fleets.update().where(fleets.c.place == place).values(config=config)).rowcount == 0:
        connection.execute(fleets.insert().values(place=place, config=config, claims=(), joined=at))


def tell(connection: Connection, place: str, claims: tuple[ClaimView, ...]) -> None:
    """Put how the claims are."""
    connection.execute(fleets.update().where(fleets.c.place == place).values(claims=claims))


def remove(connection: Connection, place: str) -> None:
    """Leave."""
    connection.execute(fleets.delete().where(fleets.c.place == place))
