"""A simulated machine: the process trees of services, what their programs do and how they end, in the time of a `FakeClock`.

It outlives the engines that run on it, as a real machine does, and remembers every birth and death, so that a test can say afterwards
whether anything was ever there twice. It knows nothing of phases, policies or stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..model.service import Exit, Identity
from .clock import FakeClock
from .fuse import Fuse

BOOT = "fake-boot"


@dataclass
class Program:
    """What a service's command does when it is started. Tests change it under a running service: the next start sees the change."""

    error: str = ""  # it cannot be started at all, for this reason
    lives: timedelta | None = None  # it ends by itself after this time
    code: int = 0
    ignores_term: bool = False
    leftovers: int = 0  # processes it leaves behind: double-forked, in sessions of their own
    says: str = ""  # the last line of its log
    silent: bool = False  # it is alive and gives no sign of it


@dataclass
class Tree:
    """One incarnation's processes. The lock of the service is held from `born` to `gone`."""

    service: str
    incarnation: int
    generation: int
    main: Identity
    program: Program
    born: datetime
    ends_at: datetime | None = None
    kill_at: datetime | None = None
    died: datetime | None = None
    gone: datetime | None = None
    frozen: datetime | None = None
    kept: bool = True  # its keeper lives and will see how it ends
    leftovers: int = 0
    how: Exit = Exit()

    @property
    def alive(self) -> bool:
        """Whether its main process lives, frozen or not."""
        return self.died is None

    @property
    def holds_the_lock(self) -> bool:
        """Whether anything of it lives."""
        return self.gone is None


@dataclass
class Machine:
    """All trees that ever lived, newest last."""

    clock: FakeClock
    fuse: Fuse = field(default_factory=Fuse)
    programs: dict[str, Program] = field(default_factory=dict)
    trees: list[Tree] = field(default_factory=list)
    on_birth: list[Callable[[Tree], None]] = field(default_factory=list)
    on_death: list[Callable[[Tree], None]] = field(default_factory=list)
    locks_work: bool = True  # a planted bug sets this to False
    _last: dict[str, Tree] = field(default_factory=dict)

    def program(self, service: str) -> Program:
        """The program of a service; a well-behaved one when nobody said otherwise."""
        return self.programs.setdefault(service, Program())

    def living(self, service: str) -> list[Tree]:
        """The trees of a service that hold, or should hold, its lock."""
        return [tree for tree in self._recent(service) if tree.holds_the_lock]

    def last(self, service: str) -> Tree | None:
        """The newest tree of a service."""
        return self._last.get(service)

    def running(self) -> Iterator[Tree]:
        """The newest trees whose main process lives."""
        return (tree for tree in self._last.values() if tree.alive)

    def launch(self, service: str, *, incarnation: int, generation: int) -> int:
        """Start a tree and return its pid.

        Raises:
            BlockingIOError: something of the service still lives.
            OSError: its program cannot be started.
        """
        self.settle()
        if self.locks_work and self.living(service):
            raise BlockingIOError(f"something of {service} still lives")
        program = self.program(service)
        if program.error:
            raise OSError(0, program.error)
        now, pid = self.clock.now(), 1000 + len(self.trees)
        tree = Tree(service, incarnation, generation, Identity(pid=pid, start=pid * 10, boot=BOOT), program, now)
        tree.ends_at = None if program.lives is None else now + program.lives
        tree.leftovers = program.leftovers
        self.trees.append(tree)
        self._last[service] = tree
        for listener in self.on_birth:
            listener(tree)
        return pid

    def ask_to_end(self, service: str, *, grace: float) -> None:
        """The stop signal; a kill after `grace` seconds. The machine sees to the kill even when the engine is dead, as a keeper does."""
        for tree in self.living(service):
            if not tree.alive:
                continue
            stuck = tree.program.ignores_term
            tree.frozen = None  # the signal is followed by SIGCONT
            if not stuck:
                self.end(tree, Exit(signal=15))
            elif tree.kill_at is None:
                tree.kill_at = self.clock.now() + timedelta(seconds=grace)

    def end(self, tree: Tree, how: Exit) -> None:
        """The main process ends; its keeper reaps what is left and writes down how."""
        if not tree.alive:
            return
        tree.died = self.clock.now()
        tree.how = how if tree.kept else Exit()
        for listener in self.on_death:
            listener(tree)
        if tree.kept or not tree.leftovers:
            self.reap(tree)

    def reap(self, tree: Tree) -> None:
        """Nothing of the tree is left."""
        if tree.gone is None:
            tree.how = Exit(code=tree.how.code, signal=tree.how.signal, leftovers=tree.leftovers, error=tree.how.error)
            tree.gone = self.clock.now()

    def kill(self, service: str, signal: int = 9) -> bool:
        """Kill a service's main process from outside; False when there is none."""
        tree = self.last(service)
        if tree is None or not tree.alive:
            return False
        self.end(tree, Exit(signal=signal))
        return True

    def kill_keeper(self, service: str) -> bool:
        """Kill the keeper: nobody will see how the service ends, and its leftovers stay until somebody sweeps."""
        tree = self.last(service)
        if tree is None or not tree.alive:
            return False
        tree.kept = False
        return True

    def freeze(self, service: str) -> bool:
        """Stop a service (SIGSTOP): alive, holding its lock, saying nothing."""
        tree = self.last(service)
        if tree is None or not tree.alive:
            return False
        tree.frozen = tree.frozen or self.clock.now()
        return True

    def settle(self) -> None:
        """Let happen what was due until now: programs that end by themselves, kills after a grace period."""
        now = self.clock.now()
        for tree in list(self.running()):
            if tree.kill_at is not None and tree.kill_at <= now:
                self.end(tree, Exit(signal=9))
            elif tree.ends_at is not None and tree.ends_at <= now and tree.frozen is None:
                self.end(tree, Exit(code=tree.program.code))

    def next_event(self) -> datetime | None:
        """When `settle` will have something to do."""
        moments = [tree.kill_at for tree in self.running() if tree.kill_at]
        moments += [tree.ends_at for tree in self.running() if tree.ends_at and not tree.frozen]
        return min(moments, default=None)

    def _recent(self, service: str) -> list[Tree]:
        last = self._last.get(service)
        if self.locks_work:  # then there cannot be an older one
            return [last] if last else []
        return [tree for tree in self.trees if tree.service == service]
