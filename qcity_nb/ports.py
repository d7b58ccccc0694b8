"""The seams: what the engine needs from the world, and what a kind has to offer. Fakes and real parts both fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from .model.service import Exit, Identity, Limits, Sandbox, ServiceSpec


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


class Alive(Protocol):
    """What lives of a service."""

    main: Identity | None
    exit_seen: bool  # whether somebody will know its exit code


class Processes(Protocol):
    """Starting, finding and ending the processes of services. One tree for each service, never two."""

    def find(self, name: str) -> Alive | None:
        """What lives of the service, or None. After None the service may be started."""

    def start(self, spec: ServiceSpec, launch: Launch, *, incarnation: int, generation: int) -> Identity:
        """Start an incarnation. Raises `ProcessLookupError` when it was gone at once, `BlockingIOError` when one lives."""

    def end(self, name: str, *, signal: int, grace: float) -> None:
        """Ask the tree to end: the signal to its main process, a kill for all of it after `grace` seconds. Does not wait."""

    def ended(self) -> Sequence[tuple[str, Exit]]:
        """The services whose trees are gone entirely since the last call."""


class SandboxKind(Protocol):
    """A way to shut a job in."""

    def probe(self) -> tuple[Sandbox, str]:
        """The level this machine allows, proved by trying, and in words what is missing for more."""

    def wrap(self, argv: Sequence[str], *, cage: Cage) -> tuple[str, ...]:
        """The command that runs `argv` inside the cage."""


@dataclass(frozen=True, kw_only=True)
class Cage:
    """What a job may see: `work` writable, `readable` read-only, the network only when asked for."""

    work: Path
    readable: tuple[Path, ...] = ()
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

    def launch(self, spec: ServiceSpec, *, home: Path, folder: Path) -> Launch:
        """How to start the runner. `folder` is its own, below the home."""
