"""The tick: observe, decide, act, record. It knows no host and no real clock; whoever runs it says when."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from ..errors import QCityError, StoreCorrupt, StoreError
from ..io.clock import instant
from ..io.files import bound
from ..model.fleet import Instant
from ..model.home import Home
from ..model.place import Ruling
from ..model.service import Desired, Phase
from ..ports import Clock, Ended, Messenger, Processes, RunnerKind, Wire
from ..store import commands, history, intents, lease, runs
from ..store import services as rows
from ..store.database import Store
from .agents import FOREIGN, Agents
from .claims import Claims
from .context import Context
from .dispatch import Dispatcher
from .ears import Ears
from .fleet import Fleet, Leases, Rulings
from .notices import Notices
from .orders import Orders
from .platforms import Platforms, Reader
from .runs import Runs
from .supervisor import Supervisor
from .tunnels import KIND as TUNNEL
from .tunnels import Tunnels
from .vaults import Saver, Vaults

LOOK = timedelta(seconds=1)
BEAT = timedelta(seconds=5)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
BACKUP = timedelta(minutes=10)
JUMP = timedelta(seconds=5)
LOG_LIMIT = 8 << 20
KEPT_INTENTS = timedelta(days=7)
KEPT_RUNS = 200
"""So many runs of each schedule are kept, with their notebooks, and as many that were asked for by hand."""


class Engine:
    """The engine of one place.

    Args:
        store: an open store; the caller holds the home's lock.
        clock, processes, wire: the world, or a simulated one.
        kinds: gives a runner kind by its name; raises `BadInput` for an unknown one.
        home: the paths.
        holder: who this engine is, for people: host and pid.
        host: process, kernel or once.
        messenger: tells the master; None where nobody is to be told.
        saver: puts copies of the store into vaults; None where there are none.
        reader: asks platforms how they are; None where nobody is to be asked.
        leases: opens lease stores; None where there is no fleet.
        ruling: what policy says of where this engine runs.
        instant: both clocks of the machine, for deciding on claims.
        wake: called from another thread when a tick is due.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        processes: Processes,
        wire: Wire,
        kinds: Callable[[str], RunnerKind],
        home: Home,
        holder: str = "",
        host: str = "process",
        messenger: Messenger | None = None,
        saver: Saver | None = None,
        reader: Reader | None = None,
        leases: Leases | None = None,
        ruling: Rulings = lambda _: Ruling(),
        instant: Callable[[], Instant] = instant,
        wake: Callable[[], object] = lambda: None,
    ) -> None:
        claims = Claims(home=home, instant=instant)
        self.context = Context(store=store, clock=clock, processes=processes, wire=wire, kinds=kinds, home=home, claims=claims)
        self._supervisor = Supervisor(self.context)
        self._dispatcher = Dispatcher(self.context, self._supervisor)
        self._runs = Runs(self.context, self._supervisor)
        self._tunnels = Tunnels(self.context, self._supervisor)
        self._ears = Ears(self.context, self._supervisor, [self._dispatcher, self._runs, self._tunnels])
        self._agents = Agents(self.context, self._supervisor)
        self._notices = Notices(self.context, self._supervisor, messenger)
        self._fleet = Fleet(self.context, self._supervisor, leases, wake, ruling=ruling)
        self._vaults = Vaults(self.context, saver)
        self._platforms = Platforms(self.context, reader)
        more = {**self._runs.verbs, **self._tunnels.verbs, **self._platforms.verbs}
        self._orders = Orders(self.context, self._supervisor, self._dispatcher, self._agents, self._notices, self._fleet, more=more)
        self._holder, self._host = holder, host
        self._due: dict[str, datetime] = {}
        self._drift = timedelta(0)
        self._rolled: datetime | None = None
        self._kept: set[str] = set()
        self.fenced = False

    @property
    def settled(self) -> bool:
        """Whether nothing is starting, stopping or waiting, and no work is under way."""
        busy = any(row.state.busy or row.state.phase in (Phase.STARTING, Phase.STOPPING, Phase.BACKOFF) for row in self.context.services.values())
        return not busy and not self.context.work_changed and not self._runs.busy

    @property
    def moment(self) -> datetime | None:
        """When notebooks have something to do next (steady clock); None when nothing is known to come."""
        return self._runs.deadline()

    @property
    def over(self) -> bool:
        """Whether the engine was asked to end and may go: at once, or when its runners are gone if that was asked too."""
        alive = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)
        ours = [row for row in self.context.services.values() if row.spec.kind != FOREIGN]
        waits = self.context.stop_services and (any(row.state.phase in alive for row in ours) or not self._fleet.settled())
        return self.fenced or self.context.lost_store or (self.context.stopping and not waits)

    def start(self) -> None:
        """Become this place's engine: take the lease, adopt what lives, decide again what was cut off."""
        context = self.context
        context.keep_ballast()

        def write(connection: Connection) -> None:
            commands.begin_again(connection, context.store.place)
            context.generation = lease.take(connection, context.store.place, holder=self._holder, host=self._host, now=context.clock.wall())
            self._flip_engine(connection, "", "up", f"generation {context.generation}, {self._holder}")

        if not context.record(write):
            raise StoreError(f"the engine could not begin: {context.note}", permanent=False)
        context.note = ""
        self._drift = context.clock.wall() - context.clock.now()
        self._fleet.take_over()
        self._supervisor.take_over(self._ears.hear)
        self._dispatcher.take_over()
        self._runs.take_over()
        self._tunnels.take_over()

    def tick(self) -> datetime:
        """One round. Returns when the next one is due at the latest (steady clock); exits, commands and reports may ask for one earlier."""
        context = self.context
        for ended in [*self._supervisor.failed_starts(), *context.processes.ended()]:
            self._bury(ended)
        try:
            self._fleet.step()
            self._orders.obey()
            self._ears.hear()
            self._dispatcher.step()
            if self._runs.due or self._is_due("runs", LOOK, self.context.clock.now()):
                self._runs.step()
            if self.context.told or self._is_due("agents", LOOK, self.context.clock.now()):
                self._agents.step()
            if self._is_due("notices", BEAT, self.context.clock.now()):
                self._notices.step()
                self._vaults.step()
            self._tunnels.step()
            self._platforms.step()
        except StoreCorrupt as error:
            context.note, context.lost_store = str(error), True
        except StoreError as error:  # supervising goes on from memory
            context.note = str(error)
        self._supervisor.wait_over()
        now = context.clock.now()
        if self._is_due("look", LOOK, now):
            self._supervisor.look()
            self._orders.unpause()
            self._watch_clock()
            context.lost_store |= context.store.is_gone()
        if self._is_due("beat", BEAT, now):
            self._beat()
        for what, every, act in (("minute", MINUTE, self._tidy), ("clear", HOUR, self._clear), ("backup", BACKUP, self._back_up)):
            if self._is_due(what, every, now):
                act()
        if self._supervisor.failed:
            return now
        return min([*self._due.values(), *filter(None, [self._supervisor.deadline(), self._fleet.deadline(), self._runs.deadline()])])

    def stop(self) -> None:
        """Give the lease back; what runs goes on running until the next engine adopts it."""
        context = self.context

        def write(connection: Connection) -> None:
            lease.release(connection, context.store.place, context.generation, now=context.clock.wall())
            self._flip_engine(connection, "up", "down", "asked to end" if context.stopping else "its host ended")

        if not self.fenced and not context.lost_store:
            context.record(write)
            self._vaults.close()
        self._fleet.close()
        context.processes.close()

    def _bury(self, ended: Ended) -> None:
        """A tree is gone. What its worker said before it died comes first; a store that is away keeps nobody from being started again."""
        lost: list[int] = []
        with contextlib.suppress(StoreError):  # its jobs are found to be lost when the store is back (`reconcile`)
            self._ears.hear()
            lost = self._dispatcher.lose(ended)
            self._runs.lose(ended)
        self._ears.keep_unread(ended.name)
        self._supervisor.exited(ended, lost=lost)

    def end_with_services(self) -> None:
        """Ask every service to end, and the engine after them."""
        self._orders.end(runners=True)

    def _is_due(self, what: str, every: timedelta, now: datetime) -> bool:
        if what in self._due and now < self._due[what]:
            return False
        self._due[what] = now + every
        return True

    def _beat(self) -> None:
        context, wall = self.context, self.context.clock.wall()
        context.keep_ballast()
        with contextlib.suppress(OSError):  # on a full disk the kept half cannot be written; the ballast is for the store
            for path in (context.home.log, *(context.home.service(name) / "log" for name in context.services)):
                bound(path, limit=LOG_LIMIT)
        self._supervisor.save_unsaved()
        self._dispatcher.reconcile()
        self._runs.reconcile()
        beats = [(row.id, row.state.phase is Phase.RUNNING, row.state.busy) for row in context.services.values() if _counts(row)]

        def write(connection: Connection) -> None:
            self.fenced = not lease.renew(connection, context.store.place, context.generation, now=wall, note=context.note)
            if not self.fenced:
                history.beat(connection, beats, at=wall)

        if context.record(write) and not context.unsaved:
            context.note = ""
        try:
            context.store.look_afresh()
        except StoreCorrupt as error:
            context.note, context.lost_store = str(error), True
        if self._kept != set(context.services):  # a copy without the newest runner would lose it
            self._kept = set(context.services)
            self._back_up()

    def _tidy(self) -> None:
        context, wall = self.context, self.context.clock.wall()

        def write(connection: Connection) -> None:
            history.roll_up(connection, now=wall, since=self._rolled)
            intents.forget(connection, context.store.place, before=wall - KEPT_INTENTS)

        if context.record(write):
            self._rolled = wall - HOUR  # a beat may still come for the minute before; a clock may be set back a little

    def _clear(self) -> None:
        """Forget old runs: their notebooks first, so that nothing is left of one that nobody knows."""
        context = self.context
        try:
            with context.store.read() as connection:
                numbers = runs.old(connection, context.store.place, keep=KEPT_RUNS)
        except StoreError as error:
            context.note = str(error)
            return
        for number in numbers:
            shutil.rmtree(context.home.run(number, 1).parent, ignore_errors=True)
        if numbers and context.record(lambda connection: runs.forget(connection, numbers)):
            del self._due["clear"]  # there may be more: at the next round

    def _back_up(self) -> None:
        try:
            self.context.store.backup()
        except StoreCorrupt as error:
            self.context.note, self.context.lost_store = str(error), True
        except (QCityError, OSError) as error:
            self.context.note = f"no backup could be made: {error}"

    def _watch_clock(self) -> None:
        """A wall clock that jumped, or a machine that slept, is said; deciding never saw it (its clock is steady)."""
        context = self.context
        drift = context.clock.wall() - context.clock.now()
        moved, self._drift = drift - self._drift, drift
        if abs(moved) < JUMP:
            return
        seconds = abs(moved.total_seconds())
        back = moved < timedelta(0)
        what = f"the clock was set back by {seconds:.0f} s" if back else f"the machine slept, or its clock was set forward, {seconds:.0f} s"
        context.record(lambda connection: self._flip_engine(connection, "up", "up", f"{what}; no runner was touched for that"))

    def _flip_engine(self, connection: Connection, old: str, new: str, reason: str) -> None:
        context, wall = self.context, self.context.clock.wall()
        rows.flip(connection, context.store.place, "engine", "engine", old, new, reason=reason, at=wall, generation=context.generation)


def _counts(row: rows.ServiceRow) -> bool:
    """Whether a beat says something of a service's health: not when nobody wants it up here, and not while it starts because somebody asked."""
    starts = row.state.phase is Phase.STARTING and row.state.incident is None
    return row.spec.kind != TUNNEL and row.state.desired is Desired.UP and not starts and not row.state.standby
