"""What people ask for. A command is the request and its audit row at once: who, when, what, and what came of it.

Verbs of commands (subject; args):
  runner.add (name; kind, labels, options…)   runner.start (the same)   runner.stop (name)   runner.drain (name)   runner.remove (name)
  runner.pause (name; note, seconds)   runner.repair (name; note)
  runner.labels (name; labels)   runner.discover ("")   runner.plan (""; asked)   runner.delete (id; forge, scope …)
  job.rerun (job id)   job.cancel (job id; reason)   engine.stop ("")   engine.backup ("")   notify.test ("")
  platform.watch (name; feed)   platform.drop (name)
  fleet.join (""; lease, term, me, places)   fleet.leave ("")
  place.start (name; kind)   place.stop (name; kind): written by the client that did it, together with what came of it
"""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .schema import commands, flips


@dataclass(frozen=True, kw_only=True)
class Command:
    """A request. `status` is new, running (its answer comes later), done or refused.

    A refused one says why in `result["error"]`, and what to do in `result["todo"]`.
    """

    id: int
    at: datetime
    actor: str
    verb: str
    subject: str
    args: dict[str, object]
    status: str
    result: dict[str, object] | None
    done: datetime | None


_COLUMNS = [commands.c[name] for name in ("id", "at", "actor", "verb", "subject", "args", "status", "result", "done")]


def actor() -> str:
    """Who asks: user@host, as the operating system says."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def ask(
    connection: Connection,
    place: str,
    verb: str,
    subject: str = "",
    args: Mapping[str, object] | None = None,
    *,
    at: datetime,
    key: str | None = None,
    by: str = "",
) -> int:
    """Put a command; one with a key that is known already is the same command. Returns its id.

    Args:
        by: who asks, when it is not the user of this process.
    """
    key = key or uuid.uuid4().hex
    known = connection.execute(sa.select(commands.c.id).where(commands.c.key == key)).scalar()
    if known is not None:
        return int(known)
    row = commands.insert().values(
        place=place, key=key, at=at, actor=by or actor(), verb=verb, subject=subject, args=dict(args or {}), status="new"
    )
    try:
        with connection.begin_nested():
            return int(connection.execute(row.returning(commands.c.id)).scalar_one())
    except sa.exc.IntegrityError:  # somebody else put it at the same moment
        return int(connection.execute(sa.select(commands.c.id).where(commands.c.key == key)).scalar_one())


def get(connection: Connection, id_: int) -> Command:
    """One command."""
    return Command(**connection.execute(sa.select(*_COLUMNS).where(commands.c.id == id_)).mappings().one())


def new(connection: Connection, place: str) -> list[Command]:
    """The commands that nobody has acted on, oldest first."""
    query = sa.select(*_COLUMNS).where(commands.c.place == place, commands.c.status == "new").order_by(commands.c.id)
    return [Command(**row) for row in connection.execute(query).mappings()]


def answer(connection: Connection, id_: int, *, status: str, result: Mapping[str, object], at: datetime) -> None:
    """Say what came of a command."""
    connection.execute(commands.update().where(commands.c.id == id_).values(status=status, result=dict(result), done=at))


def begin(connection: Connection, id_: int) -> None:
    """Say that a command is being acted on, and that its answer comes later."""
    connection.execute(commands.update().where(commands.c.id == id_).values(status="running"))


def begin_again(connection: Connection, place: str) -> None:
    """What an earlier engine was acting on is new to this one."""
    connection.execute(commands.update().where(commands.c.place == place, commands.c.status == "running").values(status="new"))


def mark(connection: Connection) -> tuple[int, int, int]:
    """Three numbers that stay the same while nothing but signs of life is written: what was asked, what was answered, what has changed its state."""
    asked = sa.select(sa.func.count(commands.c.id), sa.func.count(commands.c.done)).select_from(commands)
    changed = connection.execute(sa.select(sa.func.max(flips.c.id))).scalar()
    one, two = connection.execute(asked).one()
    return int(one), int(two), int(changed or 0)


def latest(connection: Connection, place: str, *, limit: int = 100) -> list[Command]:
    """The newest commands, oldest first: the audit of who asked for what."""
    query = sa.select(*_COLUMNS).where(commands.c.place == place).order_by(commands.c.id.desc()).limit(limit)
    return [Command(**row) for row in connection.execute(query).mappings()][::-1]
