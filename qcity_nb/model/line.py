"""The life of one tunnel as values: its trials, what happens to them, and what is done about it. `decide.tunnel` goes from one to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .tunnel import Fault, Tried, TunnelPlan, TunnelState


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One life of a provider: when it was asked, what it gave, how its probes went. `every`: seconds between two probes that it can bear."""

    number: int
    provider: str
    begun: datetime
    url: str = ""
    every: float = 1.0
    asked: datetime | None = None  # when the last probe was started
    proved: datetime | None = None  # when one that was answered had been started
    well: datetime | None = None  # since when it has been answering
    latency: float | None = None
    strikes: int = 0
    why: Tried | None = None  # what the last failed probe said


@dataclass(frozen=True, kw_only=True)
class Line:
    """All that is known of a tunnel. `serving` has the address that people have; `trying` may take its place."""

    plan: TunnelPlan
    state: TunnelState
    since: datetime
    begun: datetime
    generation: int = 0
    numbers: int = 0
    serving: Trial | None = None
    trying: Trial | None = None
    out: Mapping[str, Tried] = field(default_factory=dict)  # providers that may not be asked now
    failures: Mapping[str, int] = field(default_factory=dict)
    switched: datetime | None = None  # when the address changed hands last
    app: bool = True
    reason: str = ""
    over: bool = False


@dataclass(frozen=True, kw_only=True)
class Given:
    """A provider gave an address."""

    number: int
    url: str
    every: float


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A provider gave none, or its address is gone (its process or connection ended, its agent says so)."""

    number: int
    fault: Fault
    text: str
    todo: str = ""
    after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Our own door answered the nonce that was asked at `asked`."""

    number: int
    asked: datetime
    latency: float


@dataclass(frozen=True, kw_only=True)
class Missed:
    """A probe that was started at `asked` failed."""

    number: int
    asked: datetime
    fault: Fault
    text: str


@dataclass(frozen=True, kw_only=True)
class App:
    """Whether the port that the tunnel leads to takes connections."""

    up: bool


@dataclass(frozen=True, kw_only=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Somebody wants to know now."""


Event = Given | Failed | Answered | Missed | App | Tick | Look


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Have a provider give an address."""

    number: int
    provider: str


@dataclass(frozen=True, kw_only=True)
class Prove:
    """Ask a nonce through an address; `patience` in seconds."""

    number: int
    patience: float


@dataclass(frozen=True, kw_only=True)
class Drop:
    """End a trial and whatever belongs to it."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Announce:
    """A new address, the `generation`th of the tunnel; an empty one says that there is none any more."""

    url: str
    generation: int
    provider: str
    why: str


Act = Ask | Prove | Drop | Announce
