"""A seeded world: runners, processes, clocks, commits, people and faults, in simulated time, around the real engine on a real store.

`World` only lets things happen; what may happen is in `mischief`, what must hold is in `oracles`. Nothing here waits: a quiet night takes no time.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from ..engine.loop import Engine
from ..errors import StoreError
from ..io.files import try_lock
from ..model.service import RestartPolicy
from ..model.work import BuildPlan, JobPlan
from ..store import commands
from ..store.database import Store, prepare, prepare_home
from .clock import BEGIN, FakeClock
from .faulty import FaultyStore
from .fuse import EngineKilled
from .kinds import load
from .machine import Machine, Tree
from .processes import FakeProcesses
from .wire import FakeWire

STEPS = (0.05, 0.3, 1.0, 2.0, 5.0, 16.0)
"""How long the engine waits between two rounds while something is going on; it may be slow."""


@dataclass(frozen=True, kw_only=True)
class Happened:
    """A line of the world's own history (steady clock): what the oracles need besides the store and the machine."""

    at: datetime
    what: str
    subject: str = ""


@dataclass
class World:
    """One place and everything around it.

    Args:
        folder: an empty folder on a disk.
        seed: the same seed is the same life.
        runners: name -> kind.
        url: where the store is; None means a SQLite file.
        policy: how eagerly services are restarted, when it is not the usual policy.
        template: a migrated, empty SQLite store to begin with, which saves the migration.
        begin: what its clocks show at first; None means always the same moment.
        host, holder: what its engines say of themselves.
    """

    folder: Path
    seed: int
    runners: Mapping[str, str] = field(default_factory=lambda: {"alpha": "local", "beta": "local", "agent": "command"})
    url: str | None = None
    policy: RestartPolicy | None = None
    template: Path | None = None
    begin: datetime = BEGIN
    host: str = "process"
    holder: str = ""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.clock = FakeClock(self.begin)
        self.machine = Machine(self.clock)
        self.wire = FakeWire(self.machine, {name for name, kind in self.runners.items() if kind == "local"})
        self.home = prepare_home(self.folder)
        self.home.ballast.write_bytes(b"")  # eight real megabytes for each of many worlds would be felt
        if self.template is not None:
            shutil.copy(self.template, self.home.store)
        self.client: Store = prepare(self.home, self.url)[0] if self.template is None else Store(self.home, self.url)
        self.engine: Engine | None = None
        self.store: FaultyStore | None = None
        self.full = self.away = False
        self.watching = True  # a planted bug sets this to False
        self.acknowledged: list[int] = []
        self.history: list[Happened] = []
        self.outcomes: dict[int, str] = {}
        self.ended: dict[int, str] = {}
        self.engines = 0
        self._lock: int | None = None
        self._lull, self._seen = 0, 0
        self.machine.on_birth.append(self._born)
        self.machine.on_death.append(self._died)

    def note(self, what: str, subject: str = "") -> None:
        """Write a line of history."""
        self.history.append(Happened(at=self.clock.now(), what=what, subject=subject))

    def boot(self) -> bool:
        """Start an engine, as a client does that finds none. False when there is one, or when it was killed while it started."""
        lock = try_lock(self.home.lock)
        if lock is None:
            return False
        self._lock = lock
        self.store = FaultyStore(self.home, self.url, self.machine.fuse)
        self.store.full, self.store.away, self.store.backups = self.full, self.away, self.random.random() < 0.01
        self.engines += 1
        engine = Engine(
            store=self.store,
            clock=EngineClock(self.clock),
            processes=FakeProcesses(self.machine, watching=self.watching),
            wire=self.wire,
            kinds=lambda name: load("runners", name),
            home=self.home,
            holder=self.holder or f"engine {self.engines}",
            host=self.host,
        )
        self.note("engine up")
        try:
            engine.start()
        except (EngineKilled, StoreError) as error:
            self.bury(str(error))
            return False
        self.engine = engine
        return True

    def bury(self, why: str = "killed") -> None:
        """The engine is gone, as after kill -9: nothing of it is closed in order, what the kernel lets go of is let go of."""
        self.note("engine killed", why)
        self.engine = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self.store is not None:
            self.store.close()
            self.store = None

    def leave(self) -> None:
        """The engine ends in order, as when it is asked to."""
        if self.engine is not None:
            self.engine.stop()
        self.close()

    def tick(self) -> None:
        """One round of the engine, if there is one."""
        if self.engine is None:
            return
        try:
            self.engine.tick()
        except EngineKilled as error:
            self.bury(str(error))
        except StoreError as error:  # the host's catch-all: noted, tried again
            self.note("tick failed", str(error))

    def ask(self, verb: str, subject: str = "", args: Mapping[str, object] | None = None) -> int | None:
        """A person asks for something; None when the store could not be written, else the acknowledged command's id."""
        if self.full or self.away:
            return None
        with self.client.write() as connection:
            number = commands.ask(connection, self.client.place, verb, subject, args, at=self.clock.wall())
        self.acknowledged.append(number)
        self.note(verb, subject)
        return number

    def start_runner(self, name: str) -> int | None:
        """A person starts a runner."""
        policy = self.policy
        given = {} if policy is None else {"policy": {"base": policy.base.total_seconds(), "burst": policy.burst, "cap": policy.cap.total_seconds()}}
        return self.ask("runner.start", name, {"kind": self.runners[name], "options": {"slots": 2}, **given})

    def commit(self, runner: str) -> BuildPlan:
        """Somebody pushes a commit: a build of a few jobs that may need one another."""
        chance = self.random
        number = len(self.wire.repositories[runner].commits)
        jobs = [JobPlan(key="build", name="build")]
        for leg in range(chance.randint(0, 2)):
            jobs.append(JobPlan(key="test", name=f"test ({leg})", needs=("build",), leg={"leg": leg}, fail_fast=chance.random() < 0.5))
        if len(jobs) > 1:
            jobs.append(JobPlan(key="package", name="package", needs=("build", "test")))
        plan = BuildPlan(sha=f"{self.seed:06x}{number:034x}", ref="refs/heads/main", workflow="ci.yml", name="ci", jobs=tuple(jobs))
        self.wire.repositories[runner].commit(plan)
        self.note("commit", runner)
        return plan

    def set_full(self, *, full: bool) -> None:
        """The disk is full, or it is not any more."""
        self.full = full
        if self.store is not None:
            self.store.full = full
        self.note("disk full" if full else "disk has room")

    def set_away(self, *, away: bool) -> None:
        """The store's server is away, or back."""
        self.away = away
        if self.store is not None:
            self.store.away = away
        self.note("store away" if away else "store back")

    @property
    def quiet(self) -> bool:
        """Whether nothing will happen by itself."""
        coming = self.machine.next_event() or self.wire.next_event()
        if self.engine is None or self.full or self.away or coming or self.wire.running():
            return False
        return self.engine.settled and not any(tree.frozen or tree.program.silent for tree in self.machine.running())

    def live_until(self, moment: datetime, *, rounds: int = 100_000) -> None:
        """Let time pass and the engine work. Quiet stretches are crossed in one step."""
        for _round in range(rounds):
            self.tick()
            left = (moment - self.clock.now()).total_seconds()
            if left <= 0:
                return
            if self.quiet:
                self.tick()
                if self.quiet:
                    self.clock.advance(min(left, self._to_the_next_moment()))
                    continue
            self.clock.advance(min(left, self._step()))
            if self.engine is None and self.random.random() < 0.3:
                self.boot()

    def close(self) -> None:
        """Give everything back."""
        with contextlib.suppress(Exception):
            if self.engine is not None:
                self.bury("the world ends")
        self.client.close()

    def _to_the_next_moment(self) -> float:
        """Seconds until the engine wants to plan or begin a run."""
        if self.engine is None or (moment := self.engine.moment) is None:
            return float("inf")
        return max((moment - self.engine.context.clock.now()).total_seconds(), 0.05)

    def _step(self) -> float:
        """To the next event, or some seconds; the longer nothing new has happened, the more."""
        now = self.clock.now()
        events = [at for at in (self.machine.next_event(), self.wire.next_event()) if at is not None and at > now]
        nearest = min(events, default=None)
        news = sum(line.what not in ("engine up", "engine killed", "tick failed") for line in self.history[self._seen :])
        self._lull, self._seen = 0 if news else self._lull + 1, len(self.history)
        step = self.random.choice(STEPS) * min(1.3 ** max(0, self._lull - 12), 100.0)
        return step if nearest is None else min(max((nearest - now).total_seconds(), 0.001), step)

    def _born(self, tree: Tree) -> None:
        self.note("born", f"{tree.service}/{tree.incarnation}")

    def _died(self, tree: Tree) -> None:
        self.note("died", f"{tree.service}/{tree.incarnation} {tree.how}")


class EngineClock:
    """The clock of one engine: like the real one it begins at the wall clock's time and is steady from then on.

    Args:
        clock: the world's.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock, self._begin, self._mark = clock, clock.wall(), clock.now()

    def now(self) -> datetime:
        """The steady clock of this engine."""
        return self._begin + (self._clock.now() - self._mark)

    def wall(self) -> datetime:
        """The wall clock."""
        return self._clock.wall()


def stretch(chance: random.Random, *, shortest: float = 0.05, longest: float = 43_200.0) -> timedelta:
    """A span of time of any order of magnitude between the two, in seconds."""
    return timedelta(seconds=shortest * (longest / shortest) ** chance.random())
