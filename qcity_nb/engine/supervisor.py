"""Services: what happened to them is decided on in `decide.supervise`; here it is recorded, done, and its outcome recorded."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from ..decide import supervise
from ..decide.redact import redact
from ..errors import EngineError, QCityError, StoreError
from ..model.service import Desired, Exit, Phase, ServiceState
from ..model.wire import Seen
from ..ports import Alive, Ended
from ..store import history, intents, work
from ..store import services as rows
from .context import Context, Sign, settle_stamp

STABLE = timedelta(seconds=1)
"""A service that has no beats counts as well after being alive for this long."""
BLINK = timedelta(seconds=5)
"""The most silence that one look can find: an engine that was kept from looking (a machine under load) takes nobody for silent for that."""
OURS = frozenset({"QCITY_STORE"})
"""What the engine knows and no service has to: an address may hold a password."""
BEAT_LIMIT = timedelta(seconds=10)
"""Silence of a kind that beats, when its service does not say otherwise."""


class Supervisor:
    """The part of the engine that keeps services up.

    Args:
        context: the engine's hands and memory.
    """

    def __init__(self, context: Context) -> None:
        self._c = context
        self._looked: datetime | None = None
        self.failed: list[Ended] = []

    def take_over(self, hear: Callable[[], None]) -> None:
        """Look at every service of this place: adopt what lives, see how the rest ended. What its worker said before it died comes first (`hear`)."""
        context, now = self._c, self._c.clock.now()
        with context.store.read() as connection:
            found = rows.all_of(connection, context.store.place)
            context.heads = {row.name: work.heads(connection, context.store.place, row.name) for row in found}
            unfinished = intents.unfinished(connection, context.store.place)
        found += self._recall({row.name for row in found})
        for row in found:
            state = row.state
            starts = tuple(min(at, now) for at in state.starts)
            context.services[row.name] = replace(
                row, state=replace(state, starts=starts, since=min(state.since, now), next_at=settle_stamp(state.next_at, now))
            )
        hear()
        for row in found:
            alive = context.processes.find(row.name)
            if alive is not None and alive.incarnation > context.services[row.name].state.incarnation:
                self._believe(row.name, alive.incarnation)
                hear()
            self._take_over(row.name, alive, now)
        context.record(lambda connection: intents.finish(connection, unfinished, "decided again by the next engine", at=context.clock.wall()))

    def _recall(self, known: AbstractSet[str]) -> list[rows.ServiceRow]:
        """What runs and is not in the store, because an older copy of it was restored: put back as it was specified, to be adopted."""
        context = self._c
        recalled: list[rows.ServiceRow] = []

        def write(connection: Connection) -> None:
            recalled.clear()
            for spec in context.processes.strays(known):
                state = ServiceState(name=spec.name, since=context.clock.now(), desired=Desired.UP)
                recalled.append(rows.add(connection, context.store.place, spec, state, at=context.clock.wall()))

        context.record(write)
        return recalled

    def apply(self, name: str, decision: supervise.Decision, *, how: Exit | None = None, lost: Sequence[int] = ()) -> None:
        """Record a decision, then do what it asks for, then record what came of it."""
        context, row = self._c, self._c.services[name]
        state, asked = decision
        if any(isinstance(intent, supervise.Spawn) for intent in asked) and (why := context.claims.barred(row.spec)):
            waits = replace(row.state, desired=state.desired, failures=state.failures, starts=state.starts)
            state, asked = supervise.standing_by(waits, context.clock.now(), why=why)
        if state == row.state and not asked:
            return
        context.work_changed |= state.phase is not row.state.phase or state.desired is not row.state.desired
        wall, keys = context.clock.wall(), [self._key(state, intent) for intent in asked]

        def write(connection: Connection) -> None:
            nonlocal state
            for intent in asked:
                state = self._bookkeeping(connection, state, intent, how, lost)
            context.services[name] = rows.save(connection, context.services[name], state, at=wall, generation=context.generation)
            intents.begin(connection, context.store.place, [key for key in keys if key], generation=context.generation, at=wall)

        if not context.record(write):
            same = state.incarnation == row.state.incarnation
            context.services[name] = replace(row, state=state, offset=row.offset if same else 0, pid=row.pid if same else None)
            context.unsaved.add(name)
        for intent, key in zip(asked, keys, strict=True):
            if key:
                self._perform(name, intent, key)

    def failed_starts(self) -> list[Ended]:
        """The starts that failed since the last call: ends like any other, decided on one by one."""
        failed, self.failed = self.failed, []
        return failed

    def drop_incident(self, name: str) -> None:
        """A person stopped the service: whether the repair would have held will never be known, and the incident says so."""
        context, row = self._c, self._c.services[name]
        number = row.state.incident
        if number is None:
            return

        def write(connection: Connection) -> None:
            history.update_incident(
                connection, number, state="dropped", closed=context.clock.wall(), proof=("a person stopped it before that was known",)
            )
            state = replace(row.state, incident=None)
            context.services[name] = rows.save(connection, row, state, at=context.clock.wall(), generation=context.generation)

        context.record(write)

    def save_unsaved(self) -> None:
        """Write what could not be written when it happened."""
        context = self._c
        if not context.unsaved:
            return

        def write(connection: Connection) -> None:
            stored = {row.name: row for row in rows.all_of(connection, context.store.place)}
            for name in context.unsaved & set(stored):
                row = context.services[name]
                state = self._caught_up(connection, row.state)
                saved = rows.save(connection, stored[name], state, at=context.clock.wall(), generation=context.generation)
                context.services[name] = rows.note(connection, saved, pid=row.pid)  # what was started meanwhile is known to us only

        if context.record(write):
            context.unsaved.clear()
            context.note = ""

    def _caught_up(self, connection: Connection, state: ServiceState) -> ServiceState:
        """An incident whose end could not be written when it came ends now."""
        incident = history.get_incident(connection, self._c.store.place, state.incident) if state.incident else None
        if incident is None or incident.closed is not None:
            return replace(state, incident=None)
        if state.phase is Phase.RUNNING:
            return self._mended(connection, state, incident, "it runs; the store could not be written when it came up")
        if state.phase is Phase.QUARANTINED:
            history.update_incident(connection, incident.id, state="quarantined", closed=self._c.clock.wall())
            return replace(state, incident=None)
        return state

    def exited(self, ended: Ended, *, lost: Sequence[int] = ()) -> None:
        """A service's tree is gone."""
        row = self._c.services.get(ended.name)
        if row is None or ended.incarnation != row.state.incarnation:
            return
        natural = self._c.kinds(row.spec.kind).natural(ended.how, self._c.wire.words(ended.name))
        person = self._c.persons.pop(ended.name, "")
        decision = supervise.exited(self._barred(row), row.spec, self._c.clock.now(), ended.how, natural=natural, person=person)
        self.apply(ended.name, decision, how=None if natural or person else ended.how, lost=lost)

    def _barred(self, row: rows.ServiceRow) -> ServiceState:
        """Its state, standing by when its claim is not held: then its end is no failure, and nothing starts."""
        why = self._c.claims.barred(row.spec)
        return replace(row.state, standby=True, reason=why) if why and row.state.desired is Desired.UP else row.state

    def look(self) -> None:
        """Look for signs of life, and for the lack of them."""
        context, now = self._c, self._c.clock.now()
        watched = min(now - self._looked, BLINK) if self._looked is not None else timedelta(0)
        self._looked = now
        for name, row in list(context.services.items()):
            if row.state.phase not in (Phase.STARTING, Phase.RUNNING):
                continue
            kind = context.kinds(row.spec.kind)
            if kind.attended:
                continue  # its attendant says how it is
            beats = kind.beats
            value = context.wire.sign(name, beats=beats)
            sign = context.signs.setdefault(name, Sign(value=value))
            limit = row.spec.silent_after or (BEAT_LIMIT if beats else None)
            sign.quiet = quiet = sign.quiet + watched
            if value != sign.value:
                context.signs[name] = Sign(value=value)
                self.apply(name, supervise.proved(row.state, row.spec, now))
            elif limit is not None and quiet > limit * (1 + row.state.suspicions / 2):
                working = row.state.busy > 0 and quiet < limit * 4
                self.apply(name, supervise.silent(row.state, now, quiet=quiet, working=working))
            elif not beats and now - row.state.since >= STABLE:
                self.apply(name, supervise.proved(row.state, row.spec, now))

    def wait_over(self) -> None:
        """Start the services whose delay is over."""
        for name, row in list(self._c.services.items()):
            self.apply(name, supervise.waited(row.state, self._c.clock.now()))

    def deadline(self) -> datetime | None:
        """When a delay is over next (steady clock)."""
        return min((row.state.next_at for row in self._c.services.values() if row.state.next_at is not None), default=None)

    def _take_over(self, name: str, found: Alive | Ended | None, now: datetime) -> None:
        row = self._c.services[name]
        state = row.state
        if isinstance(found, Alive):
            pid = found.main.pid if found.main else row.pid
            if pid != row.pid:
                self._c.record(lambda connection: self._note(connection, name, pid=pid))
            self.apply(name, supervise.adopted(state, now))
        elif state.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING):
            if isinstance(found, Ended) and found.incarnation == state.incarnation:
                self.exited(found, lost=self._jobs_of(name))
            elif state.phase is Phase.STARTING and not self._c.claims.barred(row.spec):  # recorded, never done
                self._perform(name, supervise.Spawn(service=name, incarnation=state.incarnation), "")
            else:
                self.apply(name, supervise.exited(self._barred(row), row.spec, now, Exit()), how=Exit(), lost=self._jobs_of(name))
        elif state.desired is Desired.UP and state.phase is Phase.STOPPED:
            self.apply(name, supervise.started(state, now))

    def _believe(self, name: str, incarnation: int) -> None:
        """The store could not be written when this incarnation began: what was started is the truth."""
        context, row = self._c, self._c.services[name]
        phase = Phase.RUNNING if row.state.phase in (Phase.STOPPED, Phase.BACKOFF, Phase.QUARANTINED) else row.state.phase
        state = replace(row.state, incarnation=incarnation, phase=phase, next_at=None)

        def write(connection: Connection) -> None:
            context.services[name] = rows.save(connection, row, state, at=context.clock.wall(), generation=context.generation)

        if not context.record(write):
            context.services[name] = replace(row, state=state, offset=0, pid=None)
            context.unsaved.add(name)

    def _jobs_of(self, name: str) -> list[int]:
        with self._c.store.read() as connection:
            return work.live_on(connection, self._c.store.place, name)

    def _key(self, state: ServiceState, intent: supervise.Intent) -> str:
        """An act's idempotency key; empty for intents that only write."""
        if not isinstance(intent, supervise.Spawn | supervise.End):
            return ""
        verb = "spawn" if isinstance(intent, supervise.Spawn) else "end"
        epoch = self._c.claims.held(self._c.services[intent.service].spec.claim)
        return f"{self._c.store.place}/{intent.service}/{state.incarnation}/{verb}/{self._c.generation}" + (f"/e{epoch}" if epoch else "")

    def _perform(self, name: str, intent: supervise.Intent, key: str) -> None:
        context, row = self._c, self._c.services[name]
        outcome = ""
        if isinstance(intent, supervise.End):
            context.processes.end(name, stop_signal=row.spec.stop_signal, grace=row.spec.grace.total_seconds())
            outcome = "asked to end"
        elif isinstance(intent, supervise.Spawn):
            try:
                outcome = self._spawn(row)
            except (OSError, QCityError) as error:
                what = error.what if isinstance(error, QCityError) else (error.args[1] if len(error.args) > 1 else str(error))
                outcome = f"not started: {what}"
                context.record(lambda connection: intents.finish(connection, [key] if key else [], outcome, at=context.clock.wall()))
                self.failed.append(Ended(name=name, incarnation=intent.incarnation, how=Exit(error=str(what))))
                return

        def write(connection: Connection) -> None:
            intents.finish(connection, [key] if key else [], outcome, at=context.clock.wall())
            if isinstance(intent, supervise.Spawn):
                # what its last life said of itself may be over: this one says it again
                self._note(connection, name, pid=context.services[name].pid, trouble={}, sandbox="")
                self._tell_incident(connection, context.services[name].state)

        context.record(write)

    def _note(self, connection: Connection, name: str, **values: object) -> None:
        self._c.services[name] = rows.note(connection, self._c.services[name], **values)

    def _spawn(self, row: rows.ServiceRow) -> str:
        context, name, incarnation = self._c, row.name, row.state.incarnation
        folder = context.home.service(name)
        folder.mkdir(parents=True, exist_ok=True)
        kind = context.kinds(row.spec.kind)
        for stale in [*folder.glob("facts-*.jsonl"), *folder.glob("orders-*.jsonl")]:
            number = int(stale.stem.rpartition("-")[2])
            if number != incarnation and (name, number) not in context.unread:
                stale.unlink(missing_ok=True)
        try:
            launch = kind.launch(row.spec, home=context.home)
        except (OSError, QCityError):
            raise
        except Exception as error:  # a kind's own fault must not harm the services of others
            traceback.print_exc()
            raise EngineError(f"the kind {row.spec.kind} failed: {error!r}", f"{context.home.log} has the details") from error
        launch = replace(launch, env={name: value for name, value in launch.env.items() if name not in OURS})
        if kind.takes_jobs:
            with contextlib.suppress(StoreError), context.store.read() as connection:  # older ones will do: a build is taken once
                context.heads[name] = work.heads(connection, context.store.place, name)
            context.wire.send(name, incarnation, Seen(heads=context.heads.get(name, {})))
        if name in context.mends:
            context.wire.send(name, incarnation, context.mends.pop(name))
        context.signs[name] = Sign(value=context.wire.sign(name, beats=kind.beats))
        if row.spec.claim:
            epoch = context.claims.raise_fence(row.spec)
            launch = replace(launch, fenced=True, env={**launch.env, "QCITY_EPOCH": str(epoch)})
        pid = context.processes.start(row.spec, launch, incarnation=incarnation, generation=context.generation)
        context.services[name] = replace(row, pid=pid)
        return f"started as pid {pid}"

    def _bookkeeping(
        self, connection: Connection, state: ServiceState, intent: supervise.Intent, how: Exit | None, lost: Sequence[int]
    ) -> ServiceState:
        """What an intent means for the incident that is open, or that it opens."""
        context, wall = self._c, self._c.clock.wall()
        if isinstance(intent, supervise.Alarm):
            words = redact("".join(context.wire.words(state.name)[-1:]))
            cause = supervise.describe(how, words) if how is not None else intent.cause
            lines = [redact(line) for line in intent.evidence] or ([words] if words else [])
            number = history.open_incident(
                connection, context.store.place, state.name, title=intent.title, cause=cause, evidence=lines, awaits=lost, at=wall
            )
            state = replace(state, incident=number)
        incident = history.get_incident(connection, context.store.place, state.incident) if state.incident else None
        if incident is None:
            return state
        if how is not None and how.leftovers and isinstance(intent, supervise.Alarm):
            reaped = f"reaped {how.leftovers} leftover process{'es' if how.leftovers != 1 else ''}"
            history.update_incident(connection, incident.id, done=(*incident.done, reaped))
        elif isinstance(intent, supervise.Mended):
            state = self._mended(connection, state, incident, intent.proof)
        elif isinstance(intent, supervise.GaveUp):
            history.update_incident(connection, incident.id, state="quarantined", closed=wall, done=(*incident.done, f"quarantined it: {intent.why}"))
            state = replace(state, incident=None)
        return state

    def _tell_incident(self, connection: Connection, state: ServiceState) -> None:
        incident = history.get_incident(connection, self._c.store.place, state.incident) if state.incident else None
        if incident is not None:
            if len(incident.done) > 12:
                return  # a crash loop is told by its quarantine, not line by line
            took = (self._c.clock.wall() - incident.opened).total_seconds()
            history.update_incident(connection, incident.id, done=(*incident.done, f"started it again after {took:.2f} s"))

    def _mended(self, connection: Connection, state: ServiceState, incident: history.Incident, proof: str) -> ServiceState:
        proofs = (*incident.proof, proof)
        if incident.awaits:  # well only when the interrupted jobs came to their end
            history.update_incident(connection, incident.id, proof=proofs)
            return state
        history.update_incident(connection, incident.id, proof=proofs, state="healthy", closed=self._c.clock.wall())
        return replace(state, incident=None)
