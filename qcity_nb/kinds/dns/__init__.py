"""Where pointers are published, and names that a person owns are pointed: kinds of DNS services. What all of them share is here and in `servers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ...decide.deadman import KINDS, NAME, Change
from ...decide.pointer import lease
from ...errors import BadInput, NotFound, PlatformError, Refused
from ...io import secrets
from ...model.home import Home
from ...model.tunnel import Pointer
from .. import load

TTL = 60
"""Seconds that resolvers may keep an answer; 60 is the least that Cloudflare and DuckDNS take."""


class Records(Protocol):
    """What a kind offers that can also point names: read a record, and change it where nobody else has meanwhile."""

    def record(self, pointer: Pointer, name: str, kind: str, *, home: Home) -> str | None:
        """The value of a record now, None when there is none. Raises `PlatformError`."""

    def point(self, pointer: Pointer, change: Change, *, home: Home) -> str:
        """Make a change if the record and the pointer are as it expects; one sentence. Raises `PlatformError`, `conflict` when they are not."""


def records(kind: str) -> Records:
    """The kind as one that points names. Raises `Refused` when it only publishes pointers, `BadInput` when there is none of that name."""
    found = load("dns", kind)
    if not hasattr(found, "point"):
        raise Refused(f"{kind} publishes pointers only: it points no names", "Use rfc2136 or cloudflare for failover")
    return found  # type: ignore[no-any-return]  # as the line above says


def check(pointer: Pointer, known: Sequence[str]) -> None:
    """Raises `BadInput` for a name that is none, an option that this kind does not have, a lease or a TTL that makes no sense."""
    if not NAME.fullmatch(pointer.name) or len(pointer.name) > 253:
        raise BadInput(f'"{pointer.name}" is no name in the DNS', "Give a whole one, as _qcity.app.example.org")
    if strange := sorted(set(pointer.options) - {*known, "lease", "ttl"}):
        there = ", ".join(sorted({*known, "lease", "ttl"}))
        raise BadInput(f'{pointer.kind} has no option "{strange[0]}"', f"There are: {there}")
    lease(pointer)
    ttl(pointer)


def ttl(pointer: Pointer) -> int:
    """Seconds that resolvers may keep an answer: option `ttl`. Raises `BadInput`."""
    given = pointer.options.get("ttl", str(TTL))
    if not given.isdigit() or not 1 <= int(given[:9]) <= 86400:
        raise BadInput(f'"{given}" is no time to live', "Give seconds, from 1 to 86400")
    return int(given)


def credential(options: Mapping[str, str], home: Home, option: str, default: str = "") -> str:
    """The secret in the home that an option names.

    Raises:
        NotFound: there is none of that name.
    """
    name = options.get(option, default)
    if not secrets.has(home, name):
        raise NotFound(f"there is no token {name} here", f"qcity dns secret {name} asks for it")
    return secrets.load(home, name)


def conflict(name: str, found: str | None) -> PlatformError:
    """The error of a compare-and-set that lost."""
    what = f"{name} is not as it was expected: " + (f'it says "{found[:90]}"' if found else "nothing is there")
    return PlatformError(what, "Somebody else has changed it since: look who, then try again", kind="conflict")


def compare(name: str, found: str | None, expected: str | None) -> None:
    """Raises the conflict when something else is there than what is expected (None: whatever is there; empty: nothing)."""
    if expected is not None and (found or "") != expected:
        raise conflict(name, found)


def allowed_kind(kind: str) -> str:
    """The kind of a record that may be pointed. Raises `BadInput`."""
    if kind not in KINDS:
        raise BadInput(f'records of the kind "{kind}" are not pointed anywhere', f"There are: {', '.join(KINDS)}")
    return kind
