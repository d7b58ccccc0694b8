"""The seams: what the engine needs from the world, and what a kind has to offer. Fakes and real parts both fit them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from .errors import TunnelError
from .model.agent import Package, Remote, RemoteJob, Wanted
from .model.fleet import Holding, PlaceConfig, Stored
from .model.home import Home
from .model.notice import Notice
from .model.place import Parcel, PlaceReport, PlaceState, Sighting
from .model.proposal import Proposal
from .model.service import Exit, Identity, Limits, Sandbox, ServiceSpec
from .model.tunnel import Follower, Page, Pointer, Reach
from .model.wire import Fact, Order


class Clock(Protocol):
    """Two clocks: `now` is steady (deciding, never jumps), `wall` is what people read (stamps in the store)."""

    def now(self) -> datetime:
        """The steady clock, as an aware UTC datetime that never goes back and stands still while the machine sleeps."""

    def wall(self) -> datetime:
        """The wall clock, aware UTC; it may jump."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start one incarnation: `argv` without secrets, the whole environment, the folder it starts in.

    `fenced`: its keeper minds the fence in the service's folder (`io.fence`) and ends it when its time is over.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path
    fenced: bool = False


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

    def words(self, name: str) -> Sequence[str]:
        """The last lines of the service's log that say anything, oldest first; the very last one stands in an incident's cause."""


class Messenger(Protocol):
    """Tells the master, without anybody waiting for it."""

    def ways(self) -> Sequence[str]:
        """The ways that there is an address for."""

    def send(self, notice: Notice) -> None:
        """Send it soon, by every way that there is an address for."""

    def outcomes(self) -> Sequence[tuple[str, str]]:
        """The keys of notices that are done with since the last call, and what came of each."""

    def close(self) -> None:
        """Stop after what is being sent."""


class LeaseStore(Protocol):
    """Where one claim's record is kept, for several places: a register with compare-and-swap.

    A call may raise `LeaseError`; then a swap may have been done all the same, or may be done later. It waits at most the time it was made with.
    """

    def read(self) -> Stored | None:
        """The record that is there now, None when there is none."""

    def swap(self, expected: str | None, record: Holding) -> str | None:
        """Put a record in the place of the version `expected` (None: there is none yet).

        Returns:
            The new version, or None when another one was there: somebody else was first.
        """

    def close(self) -> None:
        """Let go of connections."""


class Place(Protocol):
    """One place that work can go to. Every call may be cut off and made again; only `check` never raises for what is wrong there: it says it.

    The others may raise `Refused` (policy, or the kind cannot do that), `MissingTool`, `NotFound` (a credential), `PlaceError`, `PlatformError`.
    """

    def check(self) -> PlaceReport:
        """Look: is it allowed, is it reachable, what is missing. Changes nothing."""

    def start(self, parcel: Parcel) -> PlaceState:
        """Bring what is not there, start the engine with what it is to run; one that is up stays as it is. It outlives whoever asked."""

    def status(self) -> PlaceState:
        """How its engine is."""

    def stop(self) -> PlaceState:
        """End the engine and all that it keeps running; a machine that was taken for it is given back."""


class PlaceKind(Protocol):
    """A kind of place."""

    def open(self, config: PlaceConfig, *, home: Home, sightings: Sequence[Sighting] = ()) -> Place:
        """The place that a configuration means; reaches nothing yet. Raises `BadInput` for options that cannot work.

        Args:
            home: of this place: credentials and notes of its own are below it.
            sightings: what a shared store says of the engines of other places.
        """


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
    speaks: bool  # reports facts over the wire; whoever takes jobs does
    beats: bool
    attended: bool  # an attendant says how it is: its log's growth alone proves nothing

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """Why it ended as it should (its only job is done, an update), given its log's last lines; empty when that was a failure."""

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """The specification with its defaults filled in. Raises `BadInput` with a sentence when it cannot work."""

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """How to start the runner; its own folder is `home.service(spec.name)`.

        The engine adds QCITY_SERVICE and QCITY_INCARNATION to the environment.
        """

class Forge(Protocol):
    """A platform that gives work to agents, for one scope: a repository, an organisation, a project, a group. A call may raise `PlatformError`."""

    def runners(self) -> Sequence[Remote]:
        """All runners of the scope. Revalidated for free when nothing changed."""

    def runner(self, id_: int) -> Remote | None:
        """One of them, or None when there is none of that id."""

    def find(self, name: str) -> Remote | None:
        """The runner of that name, or None when there is none."""

    def register(self, wanted: Wanted) -> Registration:
        """What an agent needs to begin: a single-use configuration for an ephemeral one, a short-lived or its own token else."""

    def remove(self, id_: int) -> None:
        """Delete a registration; one that is gone already is fine. Raises `PlatformError` with `busy` while it runs a job."""

    def set_labels(self, id_: int, labels: Sequence[str]) -> None:
        """Replace the labels that people gave it."""

    def pause(self, id_: int, *, paused: bool) -> bool:
        """Have it take no new jobs; False when this platform cannot do that."""

    def queued(self) -> Sequence[RemoteJob]:
        """The jobs that wait for a runner."""

    def running(self, runner: Remote) -> Sequence[RemoteJob]:
        """The jobs that this runner is running or ran last."""

    def rerun(self, job: RemoteJob) -> None:
        """Run a job that was lost again."""

    def cancel(self, job: RemoteJob) -> None:
        """Cancel the run of a job."""

    def packages(self) -> Sequence[Package]:
        """The agent's releases for this machine's system and processor, newest first."""

    def verify(self, token: str) -> bool:
        """Whether an agent's own token is still good, where agents have one that can be asked about."""

    def skew(self) -> timedelta | None:
        """Our wall clock minus the platform's at the last answer; None before the first."""


class Proposing(Protocol):
    """A forge that takes proposals: pull requests, merge requests. `connect` gives it, for one repository. A call may raise `PlatformError`."""

    def proposals(self, branch: str) -> Sequence[Proposal]:
        """Those that were made of a branch of the repository itself, in whatever state, the newest first."""

    def propose(self, branch: str, base: str, title: str, body: str) -> Proposal:
        """Open one. Raises `PlatformError` with `conflict` when one of this branch is open."""

    def amend(self, number: int, title: str, body: str, *, close: bool = False) -> Proposal:
        """Say something else in one; an empty title leaves the old one."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a tunnel is to lead, and what its provider may use.

    `port` is of our own door on 127.0.0.1, `options` are this provider's (no secret), `folder` is its own for files, `home` has the credentials;
    `deadline`: seconds in which it has to give an address.
    """

    name: str
    port: int
    folder: Path
    home: Home
    options: Mapping[str, str] = field(default_factory=dict)
    deadline: float = 15.0


class TunnelSession(Protocol):
    """An address that a provider gave, and what keeps it."""

    url: str  # scheme, host, and port where that is not the usual one; no slash at the end
    reach: Reach
    binary: str  # the program behind it, for people: path, version, SHA-256; empty when there is none
    every: float  # seconds between two probes through the public address that the provider can bear
    headers: Mapping[str, str]  # that a program has to send to get past a page for people

    async def lost(self) -> TunnelError:
        """Wait until it is known to be over (its process or connection ended, its agent says so) and say why. Cancelled when it is closed."""

    async def unwell(self) -> TunnelError | None:
        """What its own agent says between two probes, at no cost to anybody; None when it is well, or nobody can tell."""

    async def close(self) -> None:
        """End it and whatever belongs to it. Never raises; safe to repeat."""


@runtime_checkable
class Followable(Protocol):
    """A kind of service whose address others may follow."""

    def check_follower(self, follower: Follower) -> None:
        """Raises `BadInput`, `Refused` or `MissingTool` when it cannot follow. Reaches nothing."""


@runtime_checkable
class Proving(Protocol):
    """A session that is proved in a way of its own: a domain, a page, what only a signed-in browser can open."""

    def prove(self, answer: Callable[[str], str], patience: float) -> float:
        """Blocks for about `patience` seconds at most; how long it took, in seconds. `answer` is what our own door says to a nonce.

        Raises:
            TunnelError: it is not well.
        """


class TunnelProvider(Protocol):
    """A way to an address. Made without arguments, holds nothing between two calls."""

    secrets: tuple[str, ...]  # options that are names of credentials in the home, never values

    def check(self, options: Mapping[str, str]) -> None:
        """Raises `BadInput` for options that cannot be meant."""

    async def open(self, target: Target) -> TunnelSession:
        """Get an address that leads to `target.port` of 127.0.0.1. Ends at `target.deadline` at the latest, leaving nothing behind when it fails.

        Raises:
            TunnelError: it has none, with its class of fault.
        """


class Publisher(Protocol):
    """Publishes a signed pointer as a TXT record, by one kind of DNS service."""

    def check(self, pointer: Pointer) -> None:
        """Raises `BadInput` for a name or options that cannot be meant, `Refused` for a service that ended. Reaches nothing."""

    def publish(self, pointer: Pointer, value: str, *, expected: str | None, home: Home) -> str:
        """Put `value` at the pointer's name, where nobody else has put another value than `expected` (None: whatever is there) since.

        Returns:
            One sentence: where it is seen, and until when resolvers may show the old one.

        Raises:
            PlatformError: the service refused, or did not answer; `conflict` when another value is there.
        """

    def read(self, pointer: Pointer, *, home: Home) -> str | None:
        """The value at its authoritative servers now; None when there is none. Raises `PlatformError`."""


class PageKind(Protocol):
    """Publishes a fallback page's files."""

    def check(self, page: Page) -> None:
        """Raises `BadInput` for a target or options that cannot be meant. Reaches nothing."""

    def publish(self, page: Page, files: Mapping[str, bytes], *, home: Home) -> str:
        """Put these files (names -> content) there, all or none; what is the same is left alone.

        Returns:
            One sentence: where people find it.

        Raises:
            QCityError: it could not be published.
        """


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What `Forge.register` gives. `secret` is the single-use configuration (`jit`) or a token; it stays out of argv, outputs, the store and logs."""

    secret: str = field(repr=False)
    jit: bool
    id: int | None = None
    expires: datetime | None = None
