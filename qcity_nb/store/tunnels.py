"""Tunnels as they were last said to be, the addresses that were ever issued, and what follows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..model.tunnel import Binding, Followed, Follower, Issued, Page, Pointer, TunnelView
from .schema import followers, issued, tunnels


@dataclass(frozen=True, kw_only=True)
class TunnelRow:
    """A tunnel, and when it last said how it is."""

    name: str
    view: TunnelView
    at: datetime


@dataclass(frozen=True, kw_only=True)
class FollowerRow:
    """A follower, what came of telling it the last address, and when that was."""

    tunnel: str
    key: str
    follower: Follower
    last: Followed | None
    at: datetime | None


def key_of(follower: Follower) -> str:
    """What makes a follower the same one: where it is, not how."""
    if isinstance(follower, Binding):
        return f"links {follower.root}"
    if isinstance(follower, Pointer):
        return f"pointer {follower.name}"
    assert isinstance(follower, Page)
    return f"page {follower.kind} {follower.target}"


def all_of(connection: Connection, place: str) -> list[TunnelRow]:
    """The tunnels of a place, by name."""
    rows = connection.execute(sa.select(tunnels).where(tunnels.c.place == place).order_by(tunnels.c.name))
    return [TunnelRow(name=row.name, view=row.view, at=row.at) for row in rows]


def get(connection: Connection, place: str, name: str) -> TunnelRow | None:
    """One of them."""
    return next((row for row in all_of(connection, place) if row.name == name), None)


def put(connection: Connection, place: str, view: TunnelView, *, at: datetime) -> None:
    """How a tunnel is now."""
    drop(connection, place, view.name)
    connection.execute(sa.insert(tunnels).values(place=place, name=view.name, view=view, at=at))


def drop(connection: Connection, place: str, name: str) -> None:
    """Forget how a tunnel is; its addresses and followers stay."""
    connection.execute(sa.delete(tunnels).where(tunnels.c.place == place, tunnels.c.name == name))


def issue(connection: Connection, place: str, new: Issued) -> bool:
    """Write down an address that was issued; the one before it ends there. False when that generation is known already."""
    mine = (issued.c.place == place) & (issued.c.tunnel == new.tunnel)
    if connection.execute(sa.select(issued.c.id).where(mine, issued.c.generation >= new.generation)).first() is not None:
        return False
    end(connection, place, new.tunnel, at=new.since)
    values = {"tunnel": new.tunnel, "generation": new.generation, "provider": new.provider, "origin": new.origin, "since": new.since, "why": new.why}
    connection.execute(sa.insert(issued).values(place=place, until=new.until, **values))
    return True


def end(connection: Connection, place: str, tunnel: str, *, at: datetime) -> None:
    """A tunnel's last address leads nowhere from now on."""
    connection.execute(sa.update(issued).where(issued.c.place == place, issued.c.tunnel == tunnel, issued.c.until.is_(None)).values(until=at))


def issued_of(connection: Connection, place: str, *, tunnel: str = "") -> list[Issued]:
    """The addresses that were issued, oldest first: of one tunnel, or of all."""
    asked = sa.select(issued).where(issued.c.place == place, *([issued.c.tunnel == tunnel] if tunnel else [])).order_by(issued.c.id)
    names = ("tunnel", "generation", "provider", "origin", "since", "until", "why")
    return [Issued(**{name: getattr(row, name) for name in names}) for row in connection.execute(asked)]


def followers_of(connection: Connection, place: str, *, tunnel: str = "") -> list[FollowerRow]:
    """What follows a tunnel, or any, in the order in which it was bound."""
    asked = sa.select(followers).where(followers.c.place == place, *([followers.c.tunnel == tunnel] if tunnel else [])).order_by(followers.c.id)
    return [FollowerRow(tunnel=row.tunnel, key=row.key, follower=row.follower, last=row.last, at=row.at) for row in connection.execute(asked)]


def follow(connection: Connection, place: str, tunnel: str, follower: Follower) -> str:
    """Have something follow a tunnel from now on; what did so under the same key in another way is replaced. Returns the key."""
    key = key_of(follower)
    if any(row.key == key and row.follower == follower for row in followers_of(connection, place, tunnel=tunnel)):
        return key  # it was told already, and would not be told again
    unfollow(connection, place, tunnel, key)
    connection.execute(sa.insert(followers).values(place=place, tunnel=tunnel, key=key, follower=follower))
    return key


def unfollow(connection: Connection, place: str, tunnel: str, key: str) -> bool:
    """Have it follow no more; whether it did."""
    mine = (followers.c.place == place) & (followers.c.tunnel == tunnel) & (followers.c.key == key)
    return connection.execute(sa.delete(followers).where(mine)).rowcount > 0


def told(connection: Connection, place: str, tunnel: str, key: str, what: Followed, *, at: datetime) -> None:
    """What came of telling a follower."""
    mine = (followers.c.place == place) & (followers.c.tunnel == tunnel) & (followers.c.key == key)
    connection.execute(sa.update(followers).where(mine).values(last=what, at=at))
