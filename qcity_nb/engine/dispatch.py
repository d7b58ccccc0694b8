"""Work: what runners report becomes rows, what `decide.queue` wants becomes orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from ..decide import matrix, queue, supervise
from ..model.service import Desired, Phase
from ..model.wire import BuildFound, CancelJob, Fact, Hello, JobBegan, JobEnded, JobMoved, Needed, RunJob
from ..model.work import DEFAULT_TIMEOUT, Build, BuildPlan, JobPlan, Outcome, Status
from ..ports import Ended
from ..store import history, work
from ..store import services as rows
from .context import Context
from .supervisor import Supervisor


class Dispatcher:
    """The part of the engine that gives work to runners.

    Args:
        context: the engine's hands and memory.
        supervisor: told when a runner has finished a job or has none left.
    """

    def __init__(self, context: Context, supervisor: Supervisor) -> None:
        self._c, self._supervisor = context, supervisor

    def take_over(self) -> None:
        """What an engine that just started has to know: how busy each runner is, and which orders may not have been sent."""
        self.reconcile()
        self._resend()
        for name in list(self._c.services):
            self._count(name)

    def lose(self, ended: Ended) -> list[int]:
        """A runner's incarnation is gone: what it had is queued again, once; after that it is lost. Returns the jobs' ids."""
        context = self._c
        with context.store.read() as connection:
            ids = work.live_on(connection, context.store.place, ended.name)
        if ids:
            context.record(lambda connection: self._lose(connection, ids))
            context.work_changed = True
        return ids

    def reconcile(self) -> None:
        """Hold work against runners: a job of an incarnation that is no more is lost, and an incident waits for no job that is over.

        Needed after a crash or a full disk came between two writes that belong together.
        """
        context = self._c
        with context.store.read() as connection:
            live = work.all_live(connection, context.store.place)
            waiting = [incident for incident in history.open_incidents(connection, context.store.place) if incident.awaits]
        gone = [job.id for job in live if not self._has(job)]
        if gone:
            context.record(lambda connection: self._lose(connection, gone))
            context.work_changed = True
        if waiting:
            context.record(self._stop_waiting)

    def step(self) -> None:
        """Ask the queue what to do now, as long as the answer changes something."""
        context = self._c
        for _round in range(5):
            if not context.work_changed:
                return
            context.work_changed = False
            with context.store.read() as connection:
                builds = work.open_builds(connection, context.store.place)
                jobs = work.jobs_of(connection, [build.id for build in builds]) if builds else []
            if not builds:
                return
            wanted = queue.step(builds, jobs, self._views())
            if not wanted:
                return
            self._do(wanted, {build.id: build for build in builds}, {job.id: job for job in jobs})

    def rerun(self, connection: Connection, job: work.JobRow, build: Build) -> tuple[int, list[int]]:
        """A new attempt of a build in which this job and all that need it run again, and the other green ones are taken over."""
        jobs = work.jobs_of(connection, [build.id])
        again, grew = {job.plan.key}, True
        while grew:
            more = {one.plan.key for one in jobs if again & set(one.plan.needs)} - again
            again |= more
            grew = bool(more)
        again |= {one.plan.key for one in jobs if one.outcome not in (Outcome.SUCCESS, Outcome.SKIPPED, Outcome.NOT_RUN)}
        wall = self._c.clock.wall()
        attempts = [one.attempt for one in work.attempts_of(connection, build)]
        number = work.add_build(connection, self._c.store.place, build.runner, build.plan, attempt=max(attempts) + 1, at=wall)
        ids = work.add_jobs(connection, number, [one.plan for one in jobs], at=wall)
        for old, new in zip(jobs, ids, strict=True):
            if old.plan.key not in again and old.outcome is not None:
                same = {name: getattr(old, name) for name in ("runner", "sandbox", "started", "finished", "steps", "outputs", "artifacts", "log")}
                work.update_job(connection, new, status=Status.DONE, outcome=old.outcome, reused=True, reason=old.reason, **same)
        self._c.work_changed = True
        return number, [new for old, new in zip(jobs, ids, strict=True) if old.plan.key in again]

    def call_off(self, connection: Connection, job: work.JobRow, why: str) -> bool:
        """Cancel a job that is not over. A running one is asked to end; it is over when its runner says so. False when it is over already."""
        if job.status is Status.DONE:
            return False
        if job.status in queue.LIVE:
            work.update_job(connection, job.id, cancel=why)
        else:
            work.update_job(connection, job.id, status=Status.DONE, outcome=Outcome.CANCELLED, finished=self._c.clock.wall(), reason=why, cancel=why)
            self._prove(connection, job, Outcome.CANCELLED, "")
        self._c.work_changed = True
        return True

    def send_cancel(self, job: work.JobRow, why: str) -> None:
        """Tell the runner of a running job that it is called off."""
        row = self._c.services.get(job.runner)
        if job.status in queue.LIVE and row is not None:
            self._c.wire.send(job.runner, row.state.incarnation, CancelJob(token=job.token, reason=why))

    def _views(self) -> dict[str, queue.RunnerView]:
        views = {}
        for name, row in self._c.services.items():
            if not self._c.kinds(row.spec.kind).takes_jobs:
                continue
            ready = row.state.phase is Phase.RUNNING and bool(row.sandbox)  # it has said that it is up: one that proves itself first has not
            is_open = ready and row.state.desired is Desired.UP and not self._c.stopping
            slots = row.spec.options.get("slots", 1)
            labels = frozenset(label.lower() for label in row.spec.labels)
            views[name] = queue.RunnerView(name=name, labels=labels, slots=slots if isinstance(slots, int) else 1, open=is_open)
        return views

    def _do(self, wanted: Sequence[queue.Intent], builds: dict[int, Build], jobs: dict[int, work.JobRow]) -> None:
        orders: list[tuple[str, RunJob]] = []
        cancels: list[tuple[work.JobRow, str]] = []

        def write(connection: Connection) -> None:
            orders.clear()
            cancels.clear()
            for intent in wanted:
                if isinstance(intent, queue.Assign):
                    orders.append((intent.runner, self._assign(connection, intent, builds, jobs)))
                elif isinstance(intent, queue.CallOff):
                    self.call_off(connection, jobs[intent.job], intent.why)
                    cancels.append((jobs[intent.job], intent.why))
                else:
                    self._note(connection, intent, jobs)

        if not self._c.record(write):
            return
        for runner, order in orders:
            self._c.wire.send(runner, self._c.services[runner].state.incarnation, order)
            self._count(runner)
        for job, why in cancels:
            self.send_cancel(job, why)

    def _note(self, connection: Connection, intent: queue.Intent, jobs: dict[int, work.JobRow]) -> None:
        wall = self._c.clock.wall()
        if isinstance(intent, queue.Ready):
            fresh = {"queued": wall} if jobs[intent.job].status is Status.WAITING else {}
            work.update_job(connection, intent.job, status=Status.QUEUED, reason=intent.why, **fresh)
        elif isinstance(intent, queue.Skip):
            work.update_job(connection, intent.job, status=Status.DONE, outcome=Outcome.SKIPPED, finished=wall, reason=intent.why)
            self._c.work_changed = True
        elif isinstance(intent, queue.Expand):
            job = jobs[intent.job]
            work.drop_job(connection, intent.job)
            work.add_jobs(connection, job.build, matrix.expand(job.plan, intent.outputs), at=wall)
            self._c.work_changed = True
        elif isinstance(intent, queue.Close):
            work.close_build(connection, intent.build, intent.outcome, at=wall)
            build = work.get_build(connection, intent.build)
            if build is not None:
                name = f"{build.plan.name} {build.plan.sha[:7]}"
                self._flip(connection, "build", name, "running", intent.outcome.value, f"build {build.id} of {build.runner}")

    def _assign(self, connection: Connection, intent: queue.Assign, builds: dict[int, Build], jobs: dict[int, work.JobRow]) -> RunJob:
        job, row = jobs[intent.job], self._c.services[intent.runner]
        moment = int(self._c.clock.wall().timestamp() * 1000)  # a restored store gives the same numbers again
        token = f"{self._c.store.place[:8]}-{job.id}-{job.attempt}-{moment:x}"
        queued = job.queued or self._c.clock.wall()
        work.update_job(
            connection, job.id, status=Status.ASSIGNED, runner=intent.runner, incarnation=row.state.incarnation, token=token, queued=queued, reason=""
        )
        plan = job.plan
        if plan.timeout == DEFAULT_TIMEOUT and row.spec.job_timeout is not None:
            plan = replace(plan, timeout=row.spec.job_timeout)
        return order_of(replace(job, token=token, plan=plan), builds[job.build].plan, dict(intent.needs))

    def take(self, connection: Connection, name: str, incarnation: int, fact: Fact) -> None:
        """What a worker said of builds and jobs becomes rows."""
        if isinstance(fact, BuildFound):
            self._found(connection, name, fact.plan)
            return
        if not isinstance(fact, (JobBegan, JobMoved, JobEnded)):
            return
        job = work.by_token(connection, fact.token)
        if job is None or job.status is Status.DONE or job.runner != name or job.incarnation != incarnation:
            return  # an old attempt's last words
        if isinstance(fact, JobBegan):
            work.update_job(connection, job.id, status=Status.RUNNING, started=fact.at, sandbox=fact.sandbox, log=fact.log)
        elif isinstance(fact, JobMoved):
            work.update_job(connection, job.id, steps=fact.steps, annotations=fact.annotations)
        else:
            self._ended(connection, job, fact)

    def heard(self, name: str, facts: Sequence[Fact]) -> None:
        """What was taken is in the store for good."""
        if any(isinstance(fact, (Hello, BuildFound, JobEnded)) for fact in facts):  # a beat may have shown that it is up before it could take jobs
            self._c.work_changed = True
            self._count(name)

    def _found(self, connection: Connection, name: str, plan: BuildPlan) -> None:
        context, wall = self._c, self._c.clock.wall()
        if work.find_build(connection, context.store.place, name, plan):
            return
        number = work.add_build(connection, context.store.place, name, plan, attempt=1, at=wall)
        work.add_jobs(connection, number, plan.jobs, at=wall)
        self._flip(connection, "build", f"{plan.name} {plan.sha[:7]}", "", "found", plan.problem or plan.subject)
        if plan.problem:  # shown as one failed job, where people look for what went wrong
            [id_] = work.add_jobs(connection, number, [JobPlan(key="workflow", name=plan.workflow.rpartition("/")[2])], at=wall)
            work.update_job(connection, id_, status=Status.DONE, outcome=Outcome.FAILURE, finished=wall, reason=plan.problem)
            work.close_build(connection, number, Outcome.FAILURE, at=wall)

    def _ended(self, connection: Connection, job: work.JobRow, fact: JobEnded) -> None:
        context, row = self._c, self._c.services[job.runner]
        work.update_job(
            connection,
            job.id,
            status=Status.DONE,
            outcome=fact.outcome,
            finished=fact.at,
            reason=fact.reason,
            steps=fact.steps,
            annotations=fact.annotations,
            outputs=fact.outputs,
            artifacts=fact.artifacts,
        )
        if fact.outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            state = supervise.finished_a_job(row.state)
            context.services[job.runner] = rows.save(connection, row, state, at=context.clock.wall(), generation=context.generation)
        self._prove(connection, job, fact.outcome, f"; {fact.leftovers} processes left over")

    def _has(self, job: work.JobRow) -> bool:
        row = self._c.services.get(job.runner)
        ended = (Phase.STOPPED, Phase.BACKOFF, Phase.QUARANTINED)
        return row is not None and row.state.incarnation == job.incarnation and row.state.phase not in ended

    def _lose(self, connection: Connection, ids: Sequence[int]) -> None:
        context = self._c
        for id_ in ids:
            job = work.get_job(connection, context.store.place, id_)
            if job is None or job.status not in queue.LIVE:
                continue
            why = job.cancel or f"its runner {job.runner} died under it"
            row = context.services.get(job.runner)
            if job.status is Status.ASSIGNED and not job.cancel:  # it never began: nothing is held against it
                work.update_job(connection, id_, status=Status.QUEUED, reason=f"its runner {job.runner} ended before it began; queued again")
                continue
            if job.attempt <= (row.spec.retries if row is not None else 1) and not job.cancel:
                told = f"{why}; run again"
                work.update_job(connection, id_, status=Status.QUEUED, attempt=job.attempt + 1, started=None, steps=(), reason=told)
                continue
            outcome = Outcome.CANCELLED if job.cancel else Outcome.LOST
            work.update_job(connection, id_, status=Status.DONE, outcome=outcome, finished=context.clock.wall(), reason=why)
            self._prove(connection, job, outcome, "")

    def _stop_waiting(self, connection: Connection) -> None:
        for incident in history.open_incidents(connection, self._c.store.place):
            for id_ in incident.awaits:
                job = work.get_job(connection, self._c.store.place, id_)
                if job is not None and job.status is Status.DONE and job.outcome is not None:
                    self._prove(connection, job, job.outcome, "")

    def _prove(self, connection: Connection, job: work.JobRow, outcome: Outcome, more: str) -> None:
        """An incident that waits for this job hears how it went; after the last one it is over, if its runner is up."""
        context = self._c
        for incident in history.open_incidents(connection, context.store.place):
            if job.id not in incident.awaits:
                continue
            awaits = tuple(id_ for id_ in incident.awaits if id_ != job.id)
            ran = outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMED_OUT)
            done = (*incident.done, f'ran "{job.plan.name}" again') if ran else incident.done
            how = "passed" if outcome is Outcome.SUCCESS else f"ended: {outcome.value.replace('_', ' ')}"
            proof = (*incident.proof, f'"{job.plan.name}" {how} on the same commit{more}')
            row = context.services.get(incident.service)
            over = not awaits and row is not None and row.state.phase is Phase.RUNNING
            closed = {"state": "healthy", "closed": context.clock.wall()} if over else {}
            history.update_incident(connection, incident.id, awaits=awaits, done=done, proof=proof, **closed)
            if over and row is not None and row.state.incident == incident.id:
                state = replace(row.state, incident=None)
                context.services[row.name] = rows.save(connection, row, state, at=context.clock.wall(), generation=context.generation)

    def _count(self, name: str) -> None:
        """How busy a runner is, and whether a drained one may go."""
        context = self._c
        with context.store.read() as connection:
            busy = len(work.live_on(connection, context.store.place, name))
        row = context.services[name]
        if busy != row.state.busy:
            context.services[name] = row = replace(row, state=replace(row.state, busy=busy))
            context.record(lambda connection: _save(context, connection, row))
        self._supervisor.apply(name, supervise.idle(row.state, context.clock.now()))

    def _resend(self) -> None:
        """Give every order again that belongs to a living incarnation and was not begun: workers know the tokens they have seen."""
        context = self._c
        with context.store.read() as connection:
            builds = {build.id: build for build in work.open_builds(connection, context.store.place)}
            jobs = work.jobs_of(connection, list(builds)) if builds else []
        for job in jobs:
            row = context.services.get(job.runner)
            if row is None or job.status not in queue.LIVE or job.incarnation != row.state.incarnation:
                continue
            if job.status is Status.ASSIGNED:
                mine = [one for one in jobs if one.build == job.build]
                context.wire.send(job.runner, job.incarnation, order_of(job, builds[job.build].plan, queue.ancestors(job, mine)))
            if job.cancel:
                self.send_cancel(job, job.cancel)

    def _flip(self, connection: Connection, about: str, subject: str, old: str, new: str, reason: str) -> None:
        context = self._c
        rows.flip(connection, context.store.place, about, subject, old, new, reason=reason, at=context.clock.wall(), generation=context.generation)


def order_of(job: work.JobRow, plan: BuildPlan, needs: dict[str, Needed]) -> RunJob:
    """The order that has a job run."""
    return RunJob(
        token=job.token,
        job=job.id,
        attempt=job.attempt,
        build=job.build,
        sha=plan.sha,
        ref=plan.ref,
        workflow=plan.workflow,
        executor=plan.executor,
        plan=job.plan,
        needs=needs,
    )


def _save(context: Context, connection: Connection, row: rows.ServiceRow) -> None:
    context.services[row.name] = rows.save(connection, row, row.state, at=context.clock.wall(), generation=context.generation)
