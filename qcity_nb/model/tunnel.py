"""Tunnels: an address that leads to one port of this machine, who gave it, and what is known of it. Links: where such an address is written down.

Moments are aware UTC; latencies and deadlines are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import msgspec


class TunnelState(Enum):
    """Where a tunnel stands. The legal ways from one to the next are the table in `decide.tunnel`."""

    OFF = "off"
    STARTING = "starting"  # a provider was asked for an address
    VERIFYING = "verifying"  # it gave one; nothing of ours was seen behind it yet
    UP = "up"  # a nonce that was asked through the public address came back from our own door
    SUSPECT = "suspect"  # one probe failed: the next provider is being started
    APP_DOWN = "app down"  # the tunnel is well, the app behind it is not: no failover
    NETWORK_DOWN = "network down"  # all fail at once: this machine has no network
    WAITING = "waiting"  # every provider failed and will be tried again
    EXHAUSTED = "exhausted"  # no provider can be tried again before a person does something


class Fault(Enum):
    """Why a provider gives no address that works. What follows from each is the table in `decide.tunnel`."""

    TOKEN = "token"  # noqa: S105  # the account, or the token: never tried again by itself
    MISSING = "missing"  # no program, no package, no token
    REFUSED = "refused"  # policy, or the terms of where we are
    TOO_OLD = "too old"  # the agent is not supported any more
    PLAN = "plan"  # the account's plan does not have that
    CONFLICT = "conflict"  # the address is in use, perhaps by our own last life
    QUOTA = "quota"  # until the month is over
    LIMITED = "limited"  # too many requests: a minute
    NETWORK = "network"  # nothing of it could be reached
    DEADLINE = "deadline"  # it gave no address in time
    DIED = "died"  # its process or connection ended
    SILENT = "silent"  # it is there and passes nothing on
    WRONG_APP = "wrong app"  # something else answers under the address
    OTHER = "other"

    @property
    def lasting(self) -> bool:
        """Whether trying again cannot help before a person has done something."""
        return self in (Fault.TOKEN, Fault.MISSING, Fault.REFUSED, Fault.TOO_OLD, Fault.PLAN)


class Reach(Enum):
    """Who can open an address."""

    PUBLIC = "everybody"
    ACCOUNT = "you, while you are signed in"
    MACHINE = "this machine"
    READERS = "everybody: a page that says where it is"


@dataclass(frozen=True, kw_only=True)
class TunnelPlan:
    """What was asked for: an address that leads to `port` of this machine.

    `chain`: providers by preference. `options`: of providers, each by `provider.option`; no secret is among them. `ttl`: seconds after which it is
    closed. `domain`: a name that a person owns, used while it is well. `public`: everybody being able to reach it was acknowledged.
    """

    name: str
    port: int
    chain: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    ttl: float | None = None
    deadline: float = 15.0
    public: bool = False
    domain: str = ""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A provider that did not do: why, what a person can do, and when it is tried again (None: not by itself)."""

    provider: str
    fault: Fault
    text: str
    todo: str = ""
    again: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class TunnelView:
    """A tunnel as it is now. `generation` grows with each address that was verified; `binary` says which program it is: path, version, SHA-256."""

    name: str
    state: TunnelState
    since: datetime
    port: int
    url: str = ""
    provider: str = ""
    generation: int = 0
    reach: Reach | None = None
    latency: float | None = None
    proved: datetime | None = None  # when a nonce last came back
    until: datetime | None = None  # when it is closed by itself
    binary: str = ""
    tried: tuple[Tried, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Issued:
    """One address of ours that was a whole origin (scheme, host and port): of which tunnel, by whom, from when until when. Only such are replaced."""

    tunnel: str
    generation: int
    provider: str
    origin: str
    since: datetime
    until: datetime | None = None
    why: str = ""


class Binding(msgspec.Struct, frozen=True, kw_only=True, tag="links"):
    """Files in which a tunnel's address is kept right: patterns below the absolute folder `root`.

    `commit`: empty leaves a change in the working tree, `commit` commits it, `branch:NAME` puts it on that branch, `pull` or `pull:BRANCH` pushes it
    and opens a pull or merge request.
    """

    root: str
    patterns: tuple[str, ...]
    commit: str = ""


class Pointer(msgspec.Struct, frozen=True, kw_only=True, tag="pointer"):
    """Where the signed pointer to a tunnel's address is published: a name in the DNS, by a kind of DNS service. `options` hold no secret."""

    kind: str
    name: str
    options: dict[str, str] = {}


class Page(msgspec.Struct, frozen=True, kw_only=True, tag="page"):
    """Where a tunnel's fallback page is published: a folder, a branch of a repository, a Space. `options` hold no secret.

    `low_data`: mirrors that a person named, and that nobody checked.
    """

    kind: str
    target: str
    options: dict[str, str] = {}
    low_data: tuple[str, ...] = ()


Follower = Binding | Pointer | Page
"""What follows a tunnel's address."""


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What came of carrying an address to a follower. `changed` counts places, `took` is seconds, `address` what it was."""

    ok: bool
    text: str
    todo: str = ""
    address: str = ""
    generation: int = 0
    changed: int = 0
    took: float = 0.0
