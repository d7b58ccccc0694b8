"""A fleet: several places of which exactly one at a time holds a claim. What a lease store keeps, and what is known of each place.

Moments of deciding are seconds of one machine's own clocks (`Instant`); they are never compared with another machine's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import NamedTuple, NewType

Epoch = NewType("Epoch", int)
"""How often a claim has changed hands: the fencing token on every side effect. 0 is nobody's."""

CLAIM = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*")
"""What a claim may be called: it becomes part of a ref, a path and an address."""

TERM = timedelta(seconds=60)
"""How long a holding lasts without being renewed, when nobody says otherwise."""


class Instant(NamedTuple):
    """One moment on a machine's own clocks, in seconds: `awake` stands still while it sleeps, `total` does not."""

    awake: float
    total: float


class Tenancy(Enum):
    """Whether whoever a record names still wants what it holds."""

    HELD = "held"
    RELEASED = "released"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a lease store keeps of one claim.

    `renewed` counts the renewals of an epoch, `seat` tells two copies of one home apart, `name` and `at` (a wall clock) are for people only.
    """

    claim: str
    place: str
    epoch: Epoch
    renewed: int
    term: timedelta
    state: Tenancy = Tenancy.HELD
    seat: str = ""
    name: str = ""
    at: datetime | None = None

    @property
    def key(self) -> tuple[str, str, int, int, str]:
        """What makes two records the same one."""
        return self.place, self.seat, self.epoch, self.renewed, self.state.value


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A record with the version that a swap has to expect."""

    record: Holding
    version: str


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A place that could take a claim over. `budget` is what may still be spent there, None when there is no limit; `price` is for an hour."""

    place: str
    allowed: bool = True
    healthy: bool = True
    budget: Decimal | None = None
    start_time: timedelta = timedelta(0)
    price: Decimal = Decimal(0)
    why: str = ""  # why it is not allowed, or not healthy


@dataclass(frozen=True, kw_only=True)
class PlaceConfig:
    """A place as `[fleet]` names it; `options` belong to its kind."""

    name: str
    kind: str = "shared"
    price: Decimal = Decimal(0)
    start: timedelta = timedelta(0)
    budget: Decimal | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """A `[fleet]` table: where leases are kept, how long a term is, the places in order of preference. `me` is this place's name among them."""

    lease: str = ""
    term: timedelta = TERM
    places: tuple[PlaceConfig, ...] = ()
    me: str = ""


@dataclass(frozen=True, kw_only=True)
class ClaimView:
    """A claim as this place sees it, for people. `mine`: this place holds it now. `next`: who would take it over."""

    claim: str
    holder: str = ""
    epoch: int = 0
    state: str = "unknown"
    mine: bool = False
    term: timedelta = TERM
    since: datetime | None = None  # when this epoch was first seen here
    renewed: datetime | None = None  # when the last change was seen here
    looked: datetime | None = None  # when the store last answered
    next: str = ""
    trouble: str = ""
