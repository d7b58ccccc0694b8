"""Notebooks: what schedules ask for becomes runs, runs become orders for the worker, and what the worker says becomes rows.

The worker is a service like any other, there while there is something to run.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection

from ..decide import executors, supervise
from ..decide import runs as decide
from ..decide import schedule as times
from ..errors import BadInput, NotFound, QCityError, Refused
from ..model.schedule import Run, RunPlan, RunState, Schedule
from ..model.service import Phase, ServiceSpec, ServiceState
from ..model.wire import CancelRun, Fact, RunBegan, RunEnded, RunFact, RunMoved, RunNotebook
from ..ports import Ended
from ..store import runs as store
from ..store import services as rows
from .context import Context, Verb
from .supervisor import Supervisor

WORKER = "notebooks"
"""The service that runs notebooks, and its kind."""
STAYS = timedelta(minutes=10)
"""How long it stays when nothing runs, and when nothing is to come within this."""
AGAIN = timedelta(seconds=1)
NOWHERE = timedelta(minutes=5)
"""A run that every place may take and whose notebook is at none of them fails after this."""
ALIVE = (Phase.STARTING, Phase.RUNNING)


class Runs:
    """The part of the engine that runs notebooks.

    Args:
        context: the engine's hands and memory.
        supervisor: starts and ends the worker.
    """

    def __init__(self, context: Context, supervisor: Supervisor) -> None:
        self._c, self._supervisor = context, supervisor
        self._changed, self.busy = True, False
        self._next: datetime | None = None  # wall clock
        self._used: datetime | None = None  # steady clock: when the worker had something to do last
        self._parked: datetime | None = None
        self._renewed: datetime | None = None
        self.verbs: dict[str, Verb] = {
            "notebook.run": self._run,
            "notebook.cancel": self._cancel,
            "notebook.resume": self._resume,
            "schedule.put": self._put,
            "schedule.pause": self._pause,
            "schedule.remove": self._remove,
        }

    def take_over(self) -> None:
        """What an engine that just started has to know: which runs it has, and which orders may not have been sent."""
        self.reconcile()
        with self._c.store.read() as connection:
            latest = store.latest_runs(connection, self._c.store.place, limit=20)
            self._parked = max(filter(None, (run.parked for run in latest)), default=None)
            mine = [run for run in store.open_runs(connection, self._c.store.place) if self._has(run)]
            orders = [(run, self._order(connection, run)) for run in mine]
        for run, order in orders:
            if run.started is None:
                self._c.wire.send(WORKER, run.incarnation, order)
            if run.cancel:
                self._c.wire.send(WORKER, run.incarnation, CancelRun(token=run.token, reason=run.cancel))

    def step(self) -> None:
        """Plan what is due, and begin what there is room for."""
        context = self._c
        if self._ends:
            return
        self._changed, wall = False, context.clock.wall()
        known, moment = self._look()
        due: list[store.ScheduleRow] = []
        if moment is not None and moment <= wall:
            with context.store.read() as connection:
                due = store.due(connection, context.store.place, now=wall)
            planned = context.record(lambda connection: self._plan(connection, due, wall))
            self._changed = planned and len(due) == store.AT_ONCE
        if due or any(run.state is RunState.PLANNED and run.start <= wall for run in known):
            self._begin(wall)
            known, moment = self._look()
        soon = [] if moment is None else [max(moment, wall + AGAIN)]  # one that has passed could not be recorded
        self._next = decide.deadline(known, soon, now=wall)
        self._settle(known, wall)

    def _look(self) -> tuple[list[store.RunRow], datetime | None]:
        """The runs that are not over, and the next moment of any schedule."""
        with self._c.store.read() as connection:
            return store.open_runs(connection, self._c.store.place), store.next_moment(connection, self._c.store.place)

    def deadline(self) -> datetime | None:
        """When there is something to do next, by the steady clock."""
        if self._ends:
            return None
        if self._changed:
            return self._c.clock.now()
        return None if self._next is None else self._c.clock.now() + max(self._next - self._c.clock.wall(), timedelta(0))

    @property
    def _ends(self) -> bool:
        return self._c.stopping or self._c.stop_services

    @property
    def due(self) -> bool:
        """Whether there is something to do now."""
        return self._changed or (self._next is not None and self._next <= self._c.clock.wall())

    def take(self, connection: Connection, name: str, incarnation: int, fact: Fact) -> None:
        """What the worker said of a run becomes a row. Each attempt has a token of its own: who has lost a run says nothing about it any more."""
        if not isinstance(fact, RunFact):
            return
        run = store.by_token(connection, fact.token)
        if run is None or run.state is not RunState.RUNNING:
            return
        if isinstance(fact, RunBegan):
            store.save(connection, replace(run, started=fact.at, sandbox=fact.sandbox), epoch=run.epoch)
        elif isinstance(fact, RunMoved):
            store.save(connection, replace(run, live=fact.live, cells=fact.cells or run.cells), epoch=run.epoch)
        else:
            known = {name: getattr(fact, name) for name in ("cells", "cell", "parked", "output", "changed")}
            over = decide.ended(replace(run, **known), fact.state, fact.reason, now=fact.at, died=fact.died)
            self._save(connection, run, over)
            self._parked = max(filter(None, [self._parked, fact.parked]), default=None)
            worker = self._c.services.get(name)
            if worker is not None and fact.state in (RunState.DONE, RunState.FAILED):  # whatever the notebook did, its worker was well
                state, wall = supervise.finished_a_job(worker.state), self._c.clock.wall()
                self._c.services[name] = rows.save(connection, worker, state, at=wall, generation=self._c.generation)

    def heard(self, name: str, facts: Sequence[Fact]) -> None:
        """A run that ended makes room for another."""
        self._changed |= any(isinstance(fact, RunEnded) for fact in facts)

    def lose(self, ended: Ended) -> None:
        """The worker is gone: what it had is planned again."""
        if ended.name == WORKER:
            self.reconcile(gone=ended.incarnation)

    def reconcile(self, *, gone: int | None = None) -> None:
        """Hold runs against the worker, and keep them: who is silent for too long loses them to other places.

        Args:
            gone: the incarnation that just ended.
        """
        context, wall = self._c, self._c.clock.wall()
        with context.store.read() as connection:
            running = [run for run in store.open_runs(connection, context.store.place) if run.state is RunState.RUNNING]
        lost = [run for run in running if self._is_lost(run, wall, gone=gone)]
        if lost:
            context.record(lambda connection: self._lose(connection, lost))
            self._changed = True
        if len(lost) < len(running) and (self._renewed is None or wall - self._renewed >= decide.RENEW or wall < self._renewed):
            self._renewed = wall
            context.record(lambda connection: store.renew(connection, context.store.place, until=wall + decide.LEASE))

    def _is_lost(self, run: store.RunRow, wall: datetime, *, gone: int | None) -> bool:
        if run.owner == self._c.store.place:
            return run.incarnation == gone or not self._has(run)
        return run.until is None or run.until < wall

    def _lose(self, connection: Connection, lost: Sequence[store.RunRow]) -> None:
        for old in lost:
            run = store.get_run(connection, self._c.store.place, old.id)
            if run is None or run.epoch != old.epoch or run.state is not RunState.RUNNING:
                continue  # it ended, or somebody else has it
            why = "its worker died" if run.owner == self._c.store.place else "its place was not heard of any more"
            self._save(connection, run, decide.lost(run, why, now=self._c.clock.wall()))

    def _has(self, run: store.RunRow) -> bool:
        row = self._c.services.get(WORKER)
        alive = row is not None and row.state.incarnation == run.incarnation and row.state.phase in (*ALIVE, Phase.STOPPING)
        return run.state is RunState.RUNNING and run.owner == self._c.store.place and alive

    def _plan(self, connection: Connection, due: Sequence[store.ScheduleRow], wall: datetime) -> None:
        for row in due:
            planned, dealt = decide.plan(row.schedule, dealt=row.dealt, now=wall)
            for run in planned:
                store.add_run(connection, row.place, run)
            missed = sum(run.state is RunState.MISSED for run in planned)
            if missed:
                self._flip(connection, row.schedule.name, "planned", "missed", f"{missed} of its moments passed while no engine was there")
            store.dealt_with(connection, row, dealt=dealt, upcoming=times.upcoming(row.schedule, after=dealt))

    def _begin(self, wall: datetime) -> None:
        context = self._c
        row = self._worker()
        if row is None:
            return
        slots = int(str(row.spec.options.get("slots", 1)))
        orders: list[RunNotebook] = []

        def write(connection: Connection) -> None:
            orders.clear()
            store.lock(connection, context.store.place)
            known = store.open_runs(connection, context.store.place)
            mine = [bool(run.plan.executor) for run in known if run.state is RunState.RUNNING and run.owner == context.store.place]
            free, far = slots - mine.count(False), decide.FAR - mine.count(True)
            here = [run for run in known if self._is_here(connection, run, wall)]
            limits = store.limits(connection, context.store.place, {run.schedule for run in here})
            for run in decide.startable(here, limits, now=wall, slots=free, far=far):
                token = f"{context.store.place[:8]}-run-{run.id}-{run.epoch + 1}-{uuid.uuid4().hex[:8]}"
                taken = decide.begun(run, owner=context.store.place, token=token, incarnation=row.state.incarnation, now=wall)
                if store.save(connection, taken, epoch=run.epoch):
                    orders.append(self._order(connection, taken))

        if context.record(write):
            for order in orders:
                context.wire.send(WORKER, row.state.incarnation, order)

    def _is_here(self, connection: Connection, run: store.RunRow, wall: datetime) -> bool:
        """Whether this place can run it: one of ours always, one of everybody's where its notebook is."""
        if run.place or run.state is RunState.RUNNING or Path(run.plan.notebook).exists():
            return True
        if wall - run.start > NOWHERE:
            why = f"its notebook {run.plan.notebook} is at no place of the store"
            self._save(connection, run, replace(run, state=RunState.FAILED, reason=why, finished=wall))
        return False

    def _order(self, connection: Connection, run: Run) -> RunNotebook:
        last = ""
        if run.plan.compare:
            same = store.latest_runs(connection, self._c.store.place, schedule=run.schedule, notebook=run.plan.notebook)
            last = next((one.output for one in reversed(same) if one.state is RunState.DONE and one.id != run.id), "")
        return RunNotebook(token=run.token, run=run.id, attempt=run.attempt, plan=run.plan, at=run.at, resumes=run.resumes, last=last)

    def _worker(self) -> rows.ServiceRow | None:
        """The worker, started when it is not there; None while it cannot take anything. One in quarantine is tried again when its budget is whole."""
        context = self._c
        row = context.services.get(WORKER)
        if row is None:
            try:
                checked = self._able(RunPlan(notebook=""))
            except QCityError as error:
                context.note = str(error)
                return None
            spec = msgspec.json.decode(msgspec.json.encode(checked), type=ServiceSpec)
            with context.store.read() as connection:
                last = rows.last_incarnation(connection, context.store.place, WORKER)
            fresh = ServiceState(name=WORKER, since=context.clock.now(), incarnation=last)
            if not context.record(lambda connection: self._keep(rows.add(connection, context.store.place, spec, fresh, at=context.clock.wall()))):
                return None
            row = context.services[WORKER]
        rested = row.state.phase is Phase.QUARANTINED and context.clock.now() - row.state.since >= row.spec.policy.window
        if row.state.phase is Phase.STOPPED or rested:
            self._supervisor.apply(WORKER, supervise.started(row.state, context.clock.now()))
            row = context.services[WORKER]
        return row if row.state.phase in ALIVE else None

    def _able(self, plan: RunPlan) -> ServiceSpec:
        """The worker's specification. Raises `QCityError` where nothing can run a notebook like that."""
        options: dict[str, object] = {"sandbox": plan.sandbox.value}
        if plan.executor:
            options["executor"] = executors.check(plan).where.value
        return self._c.kinds(WORKER).check(ServiceSpec(name=WORKER, kind=WORKER, silent_after=timedelta(minutes=2), options=options))

    def _settle(self, known: Sequence[store.RunRow], wall: datetime) -> None:
        """Whether there is anything to do; the worker goes when there has not been for a while."""
        self.busy = any(run.state is RunState.RUNNING or run.start <= wall for run in known)
        now, row = self._c.clock.now(), self._c.services.get(WORKER)
        if row is None:
            return
        soon = self._next is not None and self._next - wall < STAYS
        kept = self._parked is not None and self._parked > wall
        if self.busy or soon or kept or self._used is None:
            self._used = now
        elif now - self._used >= STAYS:
            if row.state.phase is not Phase.STOPPED:
                self._supervisor.apply(WORKER, supervise.stopped(row.state, now, why="there is no notebook to run"))
                return
            self._c.record(lambda connection: rows.remove(connection, row, at=wall))
            del self._c.services[WORKER]

    def _save(self, connection: Connection, old: store.RunRow, new: Run) -> None:
        if store.save(connection, new, epoch=old.epoch) and new.state is not old.state:
            name = new.schedule or Path(new.plan.notebook).stem
            self._flip(connection, name, old.state.value, new.state.value, f"run {new.id}" + (f": {new.reason}" if new.reason else ""))

    def _flip(self, connection: Connection, subject: str, old: str, new: str, reason: str) -> None:
        context = self._c
        rows.flip(connection, context.store.place, "run", subject, old, new, reason=reason, at=context.clock.wall(), generation=context.generation)

    def _keep(self, row: rows.ServiceRow) -> None:
        self._c.services[row.name] = row

    # what people ask for

    def _run(self, subject: str, args: Mapping[str, object]) -> dict[str, object]:
        plan, wall = msgspec.convert(args.get("plan"), RunPlan, strict=False), self._c.clock.wall()
        self._able(plan)
        key = str(args.get("key") or uuid.uuid4().hex)
        return self._add(Run(id=0, schedule=subject, key=key, plan=plan, at=wall, start=wall, state=RunState.PLANNED, planned=wall))

    def _resume(self, subject: str, args: Mapping[str, object]) -> dict[str, object]:
        run, wall = self._one(subject), self._c.clock.wall()
        if run.state is not RunState.FAILED:
            raise Refused(f"run {run.id} is {run.state.value}: only one that failed in a cell can go on", f"qcity notebook show {run.id}")
        if run.plan.executor:
            todo = f"qcity notebook run {run.plan.notebook} --executor {run.plan.executor} runs all of it"
            raise Refused(f"run {run.id} cannot go on: it ran elsewhere ({run.plan.executor}), where no kernel is kept", todo)
        if not decide.resumable(run, now=wall):
            todo = f"qcity notebook run {run.plan.notebook} runs all of it"
            raise Refused(f"run {run.id} cannot go on: its kernel is kept no more", todo)
        key = f"resume/{run.id}/{uuid.uuid4().hex[:8]}"
        fresh = Run(id=0, schedule=run.schedule, key=key, plan=run.plan, at=run.at, start=wall, state=RunState.PLANNED, planned=wall, resumes=run.id)
        return self._add(fresh)

    def _add(self, run: Run) -> dict[str, object]:
        answer: dict[str, object] = {}
        if not self._c.record(lambda connection: answer.update(run=store.add_run(connection, self._c.store.place, run))):
            raise Refused(f"the store could not be written ({self._c.note})", "try again", permanent=False)
        self._changed = True
        return answer

    def _cancel(self, subject: str, args: Mapping[str, object]) -> dict[str, object]:
        run, why = self._one(subject), str(args.get("reason") or "cancelled by hand")
        if run.state.over:
            raise Refused(f"run {run.id} is over already ({run.state.value})", "nothing was changed")
        self._c.record(lambda connection: self._save(connection, run, decide.called_off(run, why, now=self._c.clock.wall())))
        if self._has(run):
            self._c.wire.send(WORKER, run.incarnation, CancelRun(token=run.token, reason=why))
        return {"run": run.id}

    def _put(self, subject: str, args: Mapping[str, object]) -> dict[str, object]:
        context, wall = self._c, self._c.clock.wall()
        schedule = times.check(msgspec.convert(dict(args), Schedule, strict=False), now=wall)
        self._able(schedule.plan)
        with context.store.read() as connection:
            known = store.schedule_of(connection, context.store.place, schedule.name)
        if known is not None and args.get("fresh"):
            raise BadInput(f'there is a schedule "{schedule.name}" already', f"qcity schedule remove {schedule.name} first, or give another name")
        dealt, upcoming = wall, None if schedule.paused else times.upcoming(schedule, after=wall)
        if known is not None and decide.same_moments(known.schedule, schedule):
            dealt, upcoming = known.dealt, known.next  # what passed while no engine was there is still to be dealt with
        context.record(lambda connection: store.put_schedule(connection, context.store.place, schedule, dealt=dealt, upcoming=upcoming, at=wall))
        self._changed = True
        return {"name": schedule.name, "next": upcoming}

    def _pause(self, subject: str, args: Mapping[str, object]) -> dict[str, object]:
        row = self._schedule(subject)
        return self._put(subject, msgspec.to_builtins(replace(row.schedule, paused=bool(args.get("paused", True)))))

    def _remove(self, subject: str, _args: Mapping[str, object]) -> dict[str, object]:
        row = self._schedule(subject)

        def write(connection: Connection) -> None:
            store.drop_schedule(connection, row)
            for run in store.open_runs(connection, self._c.store.place):
                if run.schedule == subject and run.state is RunState.PLANNED:
                    self._save(connection, run, decide.called_off(run, "its schedule was removed", now=self._c.clock.wall()))

        self._c.record(write)
        return {"name": subject}

    def _schedule(self, name: str) -> store.ScheduleRow:
        with self._c.store.read() as connection:
            row = store.schedule_of(connection, self._c.store.place, name)
        if row is None:
            raise NotFound(f'there is no schedule "{name}"', "qcity schedule list shows the ones there are")
        return row

    def _one(self, subject: str) -> store.RunRow:
        run = None
        if subject.isdecimal():
            with self._c.store.read() as connection:
                run = store.get_run(connection, self._c.store.place, int(subject))
        if run is None:
            raise NotFound(f"there is no run {subject}", "qcity notebook list shows the ones there are")
        return run
