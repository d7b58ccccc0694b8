"""Intents: written before an act, their outcome after it. One without an outcome is an act that a crash may have cut off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .schema import intents


def begin(connection: Connection, place: str, keys: Sequence[str], *, generation: int, at: datetime) -> None:
    """Write that these acts are about to be done; a key is `place/subject/number/verb/…`."""
    if keys:
        values = [
            {"place": place, "key": key, "at": at, "generation": generation, "subject": key.split("/")[1], "verb": key.split("/")[3]}
            for key in keys
        ]
        known = set(connection.execute(sa.select(intents.c.key).where(intents.c.key.in_(keys))).scalars())
        fresh = [value for value in values if value["key"] not in known]
        if fresh:
            connection.execute(intents.insert(), fresh)


def finish(connection: Connection, keys: Sequence[str], outcome: str, *, at: datetime) -> None:
    """Write what came of acts."""
    if keys:
        connection.execute(intents.update().where(intents.c.key.in_(list(keys))).values(outcome=outcome, done=at))


def unfinished(connection: Connection, place: str) -> list[str]:
    """The keys of acts that nobody knows the outcome of."""
    query = sa.select(intents.c.key).where(intents.c.place == place, intents.c.outcome.is_(None))
    return list(connection.execute(query).scalars())


def outcomes(connection: Connection, place: str, verb: str) -> dict[str, str | None]:
    """The outcome of every act of one sort, by its key; None for one that was begun and not finished."""
    query = sa.select(intents.c.key, intents.c.outcome).where(intents.c.place == place, intents.c.verb == verb)
    return {row.key: row.outcome for row in connection.execute(query)}


def forget(connection: Connection, place: str, *, before: datetime) -> None:
    """Forget finished intents of long ago."""
    old = (intents.c.place == place) & (intents.c.at < before) & intents.c.outcome.is_not(None)
    connection.execute(intents.delete().where(old))
