"""The engine's view of a simulated machine: `ports.Processes` without a single process. One for each engine, as with the real one."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from ..model.service import ServiceSpec
from ..ports import Alive, Ended, Launch
from .machine import Machine, Tree


class FakeProcesses:
    """The `Processes` of one engine.

    Args:
        machine: where the processes live.
        watching: a planted bug sets this to False: living processes of an earlier engine are not found.
    """

    def __init__(self, machine: Machine, *, watching: bool = True) -> None:
        self.machine = machine
        self._watched: dict[str, Tree] = {}
        self._watching = watching

    def find(self, name: str) -> Alive | Ended | None:
        """What lives of a service, how it ended, or None."""
        self.machine.settle()
        tree = self.machine.last(name)
        if tree is None or not self._watching:
            return None
        if tree.alive:
            self._watched[name] = tree
            return Alive(incarnation=tree.incarnation, main=tree.main)
        return self._ended(tree)

    def strays(self, known: AbstractSet[str]) -> Sequence[ServiceSpec]:
        """None: the stores of simulated machines are never restored from an older copy."""
        return []

    def start(self, spec: ServiceSpec, launch: Launch, *, incarnation: int, generation: int) -> int:
        """Start an incarnation. The fuse has two points here: before there is a process, and after, before anybody knows."""
        self.machine.fuse.at(f"before start of {spec.name}/{incarnation}")
        pid = self.machine.launch(spec.name, incarnation=incarnation, generation=generation)
        self.machine.fuse.at(f"after start of {spec.name}/{incarnation}")
        tree = self.machine.last(spec.name)
        assert tree is not None
        self._watched[spec.name] = tree
        return pid

    def end(self, name: str, *, stop_signal: int, grace: float) -> None:
        """Ask a tree to end."""
        self.machine.fuse.at(f"before end of {name}")
        if name in self._watched:
            self.machine.ask_to_end(name, grace=grace)
        self.machine.fuse.at(f"after end of {name}")

    def ended(self) -> Sequence[Ended]:
        """The trees that are gone since the last call."""
        self.machine.settle()
        gone = [name for name, tree in self._watched.items() if not tree.alive]
        return [self._ended(self._watched.pop(name)) for name in gone]

    def fds(self) -> list[int]:
        """No descriptors: nothing has to be waited for."""
        return []

    def deadline(self) -> float | None:
        """No deadline: the machine sees to its kills itself."""
        return None

    def close(self) -> None:
        """Stop watching."""
        self._watched.clear()

    def _ended(self, tree: Tree) -> Ended:
        self.machine.reap(tree)  # what its keeper could not end, looking at it ends
        return Ended(name=tree.service, incarnation=tree.incarnation, how=tree.how)
