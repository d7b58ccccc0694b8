"""Names that a person owns and that lead to whoever is alive: when a record is pointed elsewhere, and when not. Pure.

A watcher that is not on the runner's machine flips the record to the fallback after the pointer's lease lapsed. It asks for the record *and* the
pointer to be as it saw them, so a runner that comes back in between wins.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import BadInput
from .pointer import Reading, Signpost

HOUR = timedelta(hours=1)
MOST = 6
"""Changes of one record in an hour. Resolvers keep an answer for its TTL: one that changes more often than that is right for nobody."""
KINDS = ("A", "AAAA", "CNAME")
NAME = re.compile(r"(?!-)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?")


@dataclass(frozen=True, kw_only=True)
class Change:
    """A record that is to have another value.

    Args:
        expected: what it has to be before; None: whatever it is; empty: not there.
        guard: what the pointer has to say still; empty: nothing of that.
    """

    name: str
    kind: str
    value: str
    expected: str | None = None
    guard: str = ""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a watcher looks after: a record, where it leads while nobody is alive, how long after the lease that is done.

    `grace` is for the watcher's clock, which is not the runner's.
    """

    name: str
    kind: str
    fallback: str
    grace: timedelta = timedelta(seconds=30)


def check_change(change: Change) -> None:
    """Raises `BadInput` when it cannot be meant."""
    if change.kind not in KINDS:
        raise BadInput(f'records of the kind "{change.kind}" are not pointed anywhere', f"There are: {', '.join(KINDS)}")
    if not NAME.fullmatch(change.name) or len(change.name) > 253:
        raise BadInput(f'"{change.name}" is no name in the DNS', "Give a whole one, as app.example.org")
    try:
        version: int = 0 if change.kind == "CNAME" else ipaddress.ip_address(change.value).version
    except ValueError:
        version = -1
    if version != {"A": 4, "AAAA": 6, "CNAME": 0}[change.kind] or (version == 0 and not NAME.fullmatch(change.value)):
        raise BadInput(f'"{change.value}" cannot be the value of a record of the kind {change.kind}', "Give an address, or a name for CNAME")


def lapsed(watched: Watched, reading: Reading, post: Signpost | None, *, text: str | None, current: str | None, now: datetime) -> Change | None:
    """The change to make because the runner's lease lapsed; None when nothing is to be done.

    A pointer that is absent, forged or malformed says nothing of a runner, so nothing is changed for it: whoever can write the zone could do worse.
    """
    if reading is not Reading.EXPIRED or post is None or text is None or now < post.until + watched.grace:
        return None
    if current is not None and current.rstrip(".").lower() == watched.fallback.rstrip(".").lower():
        return None
    return Change(name=watched.name, kind=watched.kind, value=watched.fallback, expected=current or "", guard=text)


def too_many(changes: Sequence[datetime], now: datetime, *, most: int = MOST) -> timedelta | None:
    """How long another change of the same record has to wait, given when it was changed; None when it may be changed now."""
    recent = sorted(moment for moment in changes if now - HOUR < moment <= now)
    return None if len(recent) < most else recent[-most] + HOUR - now
