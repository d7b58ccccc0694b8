"""The seams: what the engine needs from the world, and what a kind has to offer. Fakes and real parts both fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from .model.home import Home
from .model.service import Exit, Identity, Limits, Sandbox, ServiceSpec
from .model.wire import Fact, Order


class Clock(Protocol):
    """Two clocks: `now` is steady (deciding, never jumps), `wall` is what people read (stamps in the store)."""

    def now(self) -> datetime:
        """The steady clock, as an aware UTC datetime that never goes back and stands still while the machine sleeps."""

    def wall(self) -> datetime:
        """The wall clock, aware UTC; it may jump."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start one incarnation: `argv` without secrets, the whole environment, the folder it starts in."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path


@dataclass(frozen=True, kw_only=True)
class Alive:
    """What lives of a service. `main` is None while the process has not said who it is, or when only its descendants are left."""

    incarnation: int
    main: Identity | None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A tree that is gone entirely, whatever killed it."""

    name: str
    incarnation: int
    how: Exit


class Processes(Protocol):
    """Starting, finding and ending the processes of services. One tree for each service, never two."""

    def find(self, name: str) -> Alive | Ended | None:
        """What lives of the service (it is watched from then on), how its last incarnation ended, or None when none was ever started.

        Called once for each service by a new engine.
        """

    def strays(self, known: AbstractSet[str]) -> Sequence[ServiceSpec]:
        """The specifications of services that live although they are none of the known ones."""

    def start(self, spec: ServiceSpec, launch: Launch, *, incarnation: int, generation: int) -> int:
        """Start an incarnation and return its pid.

        Raises:
            OSError: it could not be started; `BlockingIOError` when something of the service still lives.
        """

    def end(self, name: str, *, stop_signal: int, grace: float) -> None:
        """Ask the tree to end: the signal to its main process, a kill for all of it after `grace` seconds. Does not wait; repeatable."""

    def ended(self) -> Sequence[Ended]:
        """The trees that are gone since the last call."""

    def close(self) -> None:
        """Stop watching. What runs goes on running."""


class Wire(Protocol):
    """What passes between the engine and the workers of services."""

    def send(self, name: str, incarnation: int, order: Order) -> None:
        """Tell a worker something."""

    def receive(self, name: str, incarnation: int, offset: int) -> tuple[list[Fact], int]:
        """What a worker said after `offset`, and the new offset."""

    def sign(self, name: str, *, beats: bool) -> int:
        """A number that changes with each sign of life: the last beat for kinds that beat, the log's growth for the others."""

    def last_words(self, name: str) -> str:
        """The last line of the service's log, for an incident's cause; empty when there is none."""


class SandboxKind(Protocol):
    """A way to shut a job in."""

    def probe(self) -> tuple[Sandbox, str]:
        """The level this machine allows, proved by trying, and in words what is missing for more."""

    def wrap(self, argv: Sequence[str], *, cage: Cage) -> tuple[str, ...]:
        """The command that runs `argv` inside the cage."""


@dataclass(frozen=True, kw_only=True)
class Cage:
    """What a job may see: `work` writable, `readable` read-only, `hidden` not at all, the network only when asked for.

    Whoever starts the wrapped command gives it exactly `env` as its environment, so that no value ever stands in an argv.
    """

    work: Path
    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    network: bool = False
    uid: int | None = None
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)


class RunnerKind(Protocol):
    """A kind of runner: turns a service's options into a process to start."""

    takes_jobs: bool
    beats: bool

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The specification with its defaults filled in. Raises `BadInput` with a sentence when it cannot work."""

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """How to start the runner; its own folder is `home.service(spec.name)`.

        The engine adds QCITY_SERVICE and QCITY_INCARNATION to the environment.
        """
