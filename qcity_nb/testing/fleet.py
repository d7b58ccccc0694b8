"""A fleet on fakes: several homes with the real engine on machines that obey, leases in memory, one clock for all."""

from __future__ import annotations

from pathlib import Path

from ..engine.loop import Engine
from ..errors import BadInput
from ..model.fleet import ClaimView, Instant
from ..model.place import Ruling
from ..model.service import ServiceState
from ..ports import LeaseStore
from ..store import commands, fleets, services
from ..store.commands import Command
from ..store.database import prepare, prepare_home
from .clock import FakeClock
from .kinds import load
from .leases import MemoryLease, MemoryRegister
from .machine import Machine
from .processes import FakeProcesses
from .real_engine import until
from .wire import FakeWire

TERM = 12.0
"""Seconds of a lease."""


class Place:
    """A home with a machine of its own; its engine can be taken away and come back."""

    def __init__(self, folder: Path, name: str, clock: FakeClock, registers: dict[str, MemoryRegister]) -> None:
        self.name, self.clock, self.registers = name, clock, registers
        self.home = prepare_home(folder / name)
        self.store = prepare(self.home)[0]
        self.machine = Machine(clock)
        self.leases: list[MemoryLease] = []
        self.away, self.ruling = False, Ruling()
        self.boot()

    def boot(self) -> None:
        """Start an engine on it."""
        self.engine = Engine(
            store=self.store,
            clock=self.clock,
            processes=FakeProcesses(self.machine),
            wire=FakeWire(self.machine, set()),
            kinds=lambda kind: load("runners", kind),
            home=self.home,
            leases=self.lease,
            ruling=lambda _: self.ruling,
            instant=lambda: Instant(self.clock.now().timestamp(), self.clock.now().timestamp()),
        )
        self.engine.start()

    def lease(self, where: str, claim: str, _seconds: float) -> LeaseStore:
        """A way to the leases in memory."""
        if where != "memory":
            raise BadInput(f'leases cannot be kept in "{where}"')
        lease = MemoryLease(self.registers.setdefault(claim, MemoryRegister()))
        lease.away = self.away
        self.leases.append(lease)
        return lease

    def cut(self, *, off: bool) -> None:
        """Cut it off from the leases, or mend that."""
        self.away = off
        for lease in self.leases:
            lease.away = off

    def ask(self, verb: str, subject: str = "", **args: object) -> Command:
        """A command and its answer."""
        with self.store.write() as connection:
            number = commands.ask(connection, self.store.place, verb, subject, args, at=self.clock.wall())
        self.engine.tick()
        with self.store.read() as connection:
            return commands.get(connection, number)

    def state(self, name: str = "web") -> ServiceState:
        """How a service of it is."""
        with self.store.read() as connection:
            return {row.name: row for row in services.all_of(connection, self.store.place)}[name].state

    def claim(self) -> ClaimView:
        """The claim as it sees it."""
        with self.store.read() as connection:
            return {view.claim: view for view in fleets.claims_of(connection, self.store.place)}["web"]

    @property
    def up(self) -> bool:
        """Whether anything runs there."""
        return any(tree.alive for tree in self.machine.running())

    def settle(self) -> None:
        """Tick until nothing is under way to the lease store."""

        def answered() -> bool:
            self.engine.tick()
            return not any(tenure.asked for tenure in self.engine.context.claims.tenures.values())

        until(answered)


class FakeFleet:
    """Several places and one clock.

    Args:
        folder: where their homes are.
        names: a letter for each.
    """

    def __init__(self, folder: Path, names: str = "ab") -> None:
        self.clock = FakeClock()
        self.registers: dict[str, MemoryRegister] = {}
        self.places = [Place(folder, name, self.clock, self.registers) for name in names]
        self.dead: set[Place] = set()

    def live(self, seconds: float) -> None:
        """Let time pass; never do two of them run the same."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            for place in self.places:
                if place not in self.dead:
                    place.settle()
            assert sum(place.up for place in self.places if place not in self.dead) <= 1

    def begin(self) -> list[Place]:
        """All of them join and ask for one service under one claim; the first has it."""
        for place in self.places:
            named = [{"name": one.name} for one in self.places]
            assert place.ask("fleet.join", lease="memory", term=TERM, me=place.name, places=named).status == "done"
            answer = place.ask("runner.start", "web", kind="command", claim="web", grace=0.5)
            assert answer.status == "done", answer.result
            place.settle()
        self.live(3)
        return self.places

    def close(self) -> None:
        """End all engines."""
        for place in self.places:
            if place.engine is not None:
                place.engine.stop()
            place.store.close()
