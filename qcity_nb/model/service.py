"""A service: anything that must stay up. Its specification, the phases it goes through and all that deciding has to know about it.

Durations are `timedelta`, moments are aware UTC datetimes of the engine's steady clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum


class Phase(Enum):
    """Where a service stands. The legal ways from one to the next are the table in `decide.supervise`."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    QUARANTINED = "quarantined"


class Desired(Enum):
    """What the person last asked for. It is stored, so a commanded stop survives the engine."""

    UP = "up"
    DRAINED = "drained"
    DOWN = "down"


class Sandbox(Enum):
    """How well a job is shut in: `full` (own uid and bubblewrap), `partial` (what the machine allows), `none`."""

    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"

    @property
    def rank(self) -> int:
        """Order by strength: 0 for none, 2 for full."""
        return ("none", "partial", "full").index(self.value)


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How eagerly a service that ended is started again: the first time at once, then with growing delays, then not at all."""

    base: timedelta = timedelta(seconds=5)
    cap: timedelta = timedelta(seconds=300)
    jitter: float = 0.2
    burst: int = 5
    window: timedelta = timedelta(minutes=10)
    reset_after: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one job may use. Sizes in bytes; `None` means no limit of ours."""

    memory: int | None = 4 << 30
    processes: int | None = 512
    file_size: int | None = 4 << 30


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """How to run a service. `options` belong to the kind; no secret is ever among them."""

    name: str
    kind: str
    labels: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    policy: RestartPolicy = RestartPolicy()
    silent_after: timedelta | None = None
    stop_signal: int = 15
    grace: timedelta = timedelta(seconds=10)
    retries: int = 1  # how often a job whose runner died under it is run again by itself
    fallback: str = ""  # the service that is started while this one is quarantined
    claim: str = ""  # it runs only while this place holds that claim
    job_timeout: timedelta | None = None  # for jobs whose workflow names none


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A process, beyond doubt: pids are reused, so start time (clock ticks since boot) and the boot's id belong to it."""

    pid: int
    start: int
    boot: str


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a service's main process ended. `code` and `signal` are both None when nobody was there to see it."""

    code: int | None = None
    signal: int | None = None
    leftovers: int = 0
    error: str = ""

    @property
    def known(self) -> bool:
        """Whether the exit code or the signal was seen."""
        return self.code is not None or self.signal is not None


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Why a service is down for a while, who said so, and until when (wall clock); None means until somebody starts it."""

    note: str = ""
    by: str = ""
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceState:
    """All that deciding knows about one service. `starts` are the automatic restarts inside the policy's window."""

    name: str
    phase: Phase = Phase.STOPPED
    desired: Desired = Desired.DOWN
    since: datetime
    incarnation: int = 0
    failures: int = 0
    starts: tuple[datetime, ...] = ()
    next_at: datetime | None = None
    suspicions: int = 0
    repairing: bool = False  # it is being ended because of a fault, not because somebody asked
    standby: bool = False  # wanted up here as soon as this place holds its claim
    busy: int = 0
    reason: str = ""
    last_exit: Exit | None = None
    incident: int | None = None
    pause: Pause | None = None
