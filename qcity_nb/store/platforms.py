"""Platforms that are watched, and what each said last."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..model.platform import Feed, PlatformView
from .schema import platforms


@dataclass(frozen=True, kw_only=True)
class PlatformRow:
    """One of them."""

    name: str
    feed: Feed
    view: PlatformView


def all_of(connection: Connection, place: str) -> list[PlatformRow]:
    """Those of a place, by name."""
    found = connection.execute(sa.select(platforms).where(platforms.c.place == place).order_by(platforms.c.name))
    return [PlatformRow(name=row.name, feed=row.feed, view=row.view) for row in found]


def put(connection: Connection, place: str, name: str, feed: Feed, view: PlatformView) -> None:
    """Where one says how it is, and what it said."""
    drop(connection, place, name)
    connection.execute(sa.insert(platforms).values(place=place, name=name, feed=feed, view=view))


def drop(connection: Connection, place: str, name: str) -> None:
    """Know nothing of it any more."""
    connection.execute(sa.delete(platforms).where(platforms.c.place == place, platforms.c.name == name))
