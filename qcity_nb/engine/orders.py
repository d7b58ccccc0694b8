"""Commands of people: each verb is one method, its answer a sentence or a few facts. The verbs are listed in `store.commands`."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import msgspec
from sqlalchemy.engine import Connection

from ..decide import roles, supervise
from ..errors import BadInput, NotFound, QCityError, Refused, StoreError
from ..model.service import Desired, Pause, Phase, RestartPolicy, ServiceSpec, ServiceState
from ..store import commands, work
from ..store import services as rows
from .agents import ATTENDANT, FOREIGN, Agents
from .context import Context, Verb, check_name
from .dispatch import Dispatcher
from .fleet import Fleet
from .notices import Notices
from .supervisor import Supervisor

LONGEST_PAUSE = 366 * 86_400.0
LATER = frozenset({"notify.test", "runner.labels", "runner.discover", "runner.plan", "runner.delete"})
"""What others have to be asked for: their answer is the command's."""


class Orders:
    """The part of the engine that does what people ask.

    Args:
        context: the engine's hands and memory.
        supervisor: starts and stops services.
        dispatcher: re-runs and cancels jobs.
        agents: has a platform forget an agent before it is stopped.
        notices: tells the master.
        fleet: knows who may run what.
        more: the verbs of other parts.
    """

    def __init__(
        self,
        context: Context,
        supervisor: Supervisor,
        dispatcher: Dispatcher,
        agents: Agents,
        notices: Notices,
        fleet: Fleet,
        *,
        more: Mapping[str, Verb],
    ) -> None:
        self._c, self._supervisor, self._dispatcher = context, supervisor, dispatcher
        self._agents, self._notices, self._fleet = agents, notices, fleet
        self._asker = ""  # of the command that is obeyed now
        self._verbs = {
            "runner.add": self._add,
            "runner.start": self._start,
            "runner.stop": self._stop,
            "runner.drain": self._drain,
            "runner.pause": self._pause,
            "runner.repair": self._repair,
            "runner.remove": self._remove,
            "job.rerun": self._rerun,
            "job.cancel": self._cancel,
            "engine.stop": self._end,
            "engine.backup": self._backup,
            "fleet.join": self._join,
            "fleet.leave": self._leave,
            **more,
        }

    def obey(self) -> bool:
        """Act on every new command; whether there was one."""
        context = self._c
        with context.store.read() as connection:
            asked = commands.new(connection, context.store.place)
        for command in asked:
            status, result, self._asker = "done", {}, command.actor
            try:
                if why := roles.refusal(command.actor, command.verb):
                    raise Refused(why, "Ask for a link with that role: qcity serve link --role prints one")
                if command.verb in LATER:
                    self._later(command)
                    continue
                if command.verb not in self._verbs:
                    raise BadInput(f'this engine does not know "{command.verb}"', "qcity engine stop, then try again: a newer engine will start")
                result = self._verbs[command.verb](command.subject, command.args)
            except StoreError:
                raise
            except (QCityError, msgspec.ValidationError) as error:
                status, result = "refused", _refusal(error)
            except Exception as error:  # noqa: BLE001  # our fault; a command that fails must be answered, or it would be tried for ever
                traceback.print_exc()
                todo = f"{context.home.log} has the details; please report it"
                status, result = "refused", {"error": f"the engine failed over {command.verb} {command.subject} ({error!r})", "todo": todo}
            context.record(
                lambda connection, id_=command.id, status=status, result=result: commands.answer(  # type: ignore[misc]  # mypy does not infer defaults
                    connection, id_, status=status, result=result, at=context.clock.wall()
                )
            )
        return bool(asked)

    def _later(self, command: commands.Command) -> None:
        """Begin what is answered by somebody else."""
        if command.verb == "notify.test":
            self._notices.test(command.id)
        else:
            self._agents.ask(command.id, command.verb.partition(".")[2], {**command.args, "service": command.subject or ATTENDANT})
        self._c.record(lambda connection: commands.begin(connection, command.id))

    def _start(self, name: str, args: Mapping[str, object]) -> dict[str, object]:
        self._add(name, args)
        self._supervisor.apply(name, supervise.started(self._row(name).state, self._c.clock.now()))
        return self._about(name)

    def _add(self, name: str, args: Mapping[str, object]) -> dict[str, object]:
        """Make a runner known, or take over what has changed of one that is down."""
        context, wall = self._c, self._c.clock.wall()
        checked = context.kinds(str(args.get("kind"))).check(spec_of(name, args))
        spec = msgspec.json.decode(msgspec.json.encode(checked), type=ServiceSpec)  # as the store gives it back: what is the same compares so
        if spec.fallback:
            self._ours(spec.fallback)
        row = context.services.get(name)
        if row is not None and row.spec.claim and not spec.claim:
            spec = replace(spec, claim=row.spec.claim)  # forgetting to say it again must not make a second one beside its holder
        self._fleet.check(spec)
        if row is None:
            fresh = ServiceState(name=name, since=context.clock.now(), incarnation=self._last_incarnation(name))
            context.record(lambda connection: _put(context, rows.add(connection, context.store.place, spec, fresh, at=wall)))
        elif row.spec != spec:
            if row.state.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING):
                todo = f"qcity runner stop {name} first, then start it with the new ones"
                raise Refused(f"{name} is {row.state.phase.value} with other settings ({', '.join(differing(row.spec, spec))})", todo)
            context.record(lambda connection: _put(context, rows.add(connection, context.store.place, spec, row.state, at=wall)))
        return self._about(name)

    def _stop(self, name: str, _args: Mapping[str, object]) -> dict[str, object]:
        self._ours(name)
        self._supervisor.drop_incident(name)
        if self._told_its_platform(name, Desired.DOWN):
            self._agents.leave(name, lambda: self._bring_down(name))
        else:
            self._bring_down(name)
        return self._about(name)

    def _bring_down(self, name: str) -> None:
        self._supervisor.apply(name, supervise.stopped(self._row(name).state, self._c.clock.now()))

    def _drain(self, name: str, _args: Mapping[str, object]) -> dict[str, object]:
        self._ours(name)
        if self._told_its_platform(name, Desired.DRAINED):
            self._agents.leave(name, lambda: self._let_finish(name), act="drain")
        else:
            self._let_finish(name)
        return self._about(name)

    def _pause(self, name: str, args: Mapping[str, object]) -> dict[str, object]:
        self._ours(name)
        seconds, wall = args.get("seconds"), self._c.clock.wall()
        if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds <= LONGEST_PAUSE):
            raise BadInput(f"a pause of {seconds} s cannot be", "Say how long, up to a year, or leave it out: it then lasts until somebody starts it")
        until = None if seconds is None else wall + timedelta(seconds=float(seconds))
        pause = Pause(note=str(args.get("note") or ""), by=self._asker, until=until)
        self._supervisor.apply(name, (replace(self._row(name).state, pause=pause), ()))
        return self._drain(name, args)

    def _repair(self, name: str, args: Mapping[str, object]) -> dict[str, object]:
        """Begin it again as after a fault: with an incident that ends with a proof; its jobs run again; one that is down gets a fresh budget."""
        self._ours(name)
        state, now = self._row(name).state, self._c.clock.now()
        if state.phase is not Phase.RUNNING:
            self._supervisor.apply(name, supervise.started(state, now))
        else:
            note = f": {args['note']}" if args.get("note") else ""
            fresh = replace(state, failures=0, starts=())  # what a person asks for spends no budget
            title, cause = f"{name} was repaired by hand", f"{self._asker} asked for a repair{note}"
            self._supervisor.apply(name, supervise.ailing(fresh, now, title=title, cause=cause))
        return self._about(name)

    def unpause(self) -> None:
        """Start what was paused for a while that is over."""
        wall = self._c.clock.wall()
        for name, row in list(self._c.services.items()):
            if supervise.pause_is_over(row.state, wall):
                self._supervisor.apply(name, supervise.started(row.state, self._c.clock.now()))

    def _let_finish(self, name: str) -> None:
        self._supervisor.apply(name, supervise.drained(self._row(name).state, self._c.clock.now()))

    def _told_its_platform(self, name: str, desired: Desired) -> bool:
        """Whether a platform has to hear of it first, so that it gives the runner no job meanwhile. What is wanted is stored at once."""
        row = self._row(name)
        if not self._c.kinds(row.spec.kind).attended or row.state.phase is not Phase.RUNNING:
            return False
        self._supervisor.apply(name, (replace(row.state, desired=desired), ()))
        return True

    def _remove(self, name: str, _args: Mapping[str, object]) -> dict[str, object]:
        row = self._row(name)
        if row.state.phase not in (Phase.STOPPED, Phase.QUARANTINED, Phase.BACKOFF) and row.spec.kind != FOREIGN:
            raise Refused(f"{name} is {row.state.phase.value}", f"qcity runner stop {name} first")
        self._supervisor.drop_incident(name)
        self._c.record(lambda connection: rows.remove(connection, row, at=self._c.clock.wall()))
        del self._c.services[name]
        return {"name": name, "phase": "removed", "pid": None}

    def _rerun(self, subject: str, _args: Mapping[str, object]) -> dict[str, object]:
        context = self._c
        job = self._job(subject)
        with context.store.read() as connection:
            build = work.get_build(connection, job.build)
        if build is None or build.outcome is None:
            raise Refused(f"job {job.id} belongs to a build that is not over", f"wait for it, or qcity job cancel {job.id}")
        if job.plan.refusal:
            raise Refused(f"job {job.id} cannot run on this machine: {job.plan.refusal}", "nothing was started")
        answer: dict[str, object] = {}

        def write(connection: Connection) -> None:
            number, ids = self._dispatcher.rerun(connection, job, build)
            answer.update(build=number, jobs=ids)

        if not context.record(write):
            raise Refused(f"the store could not be written ({context.note})", "try again", permanent=False)
        return answer

    def _cancel(self, subject: str, args: Mapping[str, object]) -> dict[str, object]:
        job = self._job(subject)
        why = str(args.get("reason") or "cancelled by hand")
        if job.status.value == "done":
            raise Refused(f"job {job.id} is over already ({job.outcome.value if job.outcome else '?'})", "nothing was changed")
        self._c.record(lambda connection: _ignore(self._dispatcher.call_off(connection, job, why)))
        self._dispatcher.send_cancel(job, why)
        return {"job": job.id, "status": job.status.value}

    def _end(self, _subject: str, args: Mapping[str, object]) -> dict[str, object]:
        self.end(runners=bool(args.get("runners")))
        return {"stopping": True}

    def end(self, *, runners: bool) -> None:
        """End the engine; with `runners`, first everything that it supervises."""
        if runners:
            for name, row in [(name, row) for name, row in self._c.services.items() if row.spec.kind != FOREIGN]:
                self._supervisor.apply(name, supervise.stopped(row.state, self._c.clock.now(), why="the engine was asked to end with its runners"))
        self._c.stopping = True
        self._c.stop_services = runners

    def _backup(self, _subject: str, _args: Mapping[str, object]) -> dict[str, object]:
        path = self._c.store.backup()
        return {"path": str(path) if path else ""}

    def _join(self, _subject: str, args: Mapping[str, object]) -> dict[str, object]:
        return self._fleet.join(args)

    def _leave(self, _subject: str, _args: Mapping[str, object]) -> dict[str, object]:
        return self._fleet.leave()

    def _row(self, name: str) -> rows.ServiceRow:
        try:
            return self._c.services[name]
        except KeyError:
            known = ", ".join(sorted(self._c.services)) or "none yet"
            raise NotFound(f'there is no runner "{name}"', f"there are: {known}") from None

    def _ours(self, name: str) -> rows.ServiceRow:
        row = self._row(name)
        if row.spec.kind == FOREIGN:
            raise Refused(f"{name} was started by somebody else", "It is only watched here; end it the way it was started")
        return row

    def _job(self, subject: str) -> work.JobRow:
        job = None
        with contextlib.suppress(ValueError), self._c.store.read() as connection:
            job = work.get_job(connection, self._c.store.place, int(subject))
        if job is None:
            raise NotFound(f"there is no job {subject}", "qcity job list shows the ones there are")
        return job

    def _about(self, name: str) -> dict[str, object]:
        row = self._row(name)
        return {"name": name, "phase": row.state.phase.value, "pid": row.pid, "reason": row.state.reason}

    def _last_incarnation(self, name: str) -> int:
        """A removed runner's name may come back: its files must not be taken for the new one's."""
        with self._c.store.read() as connection:
            return rows.last_incarnation(connection, self._c.store.place, name)


def differing(known: ServiceSpec, asked: ServiceSpec) -> list[str]:
    """What two specifications differ in, options by their own names."""
    fields = [name for name in ServiceSpec.__dataclass_fields__ if name != "options" and getattr(known, name) != getattr(asked, name)]
    options = [name for name in {**known.options, **asked.options} if known.options.get(name) != asked.options.get(name)]
    return fields + options


def spec_of(name: str, args: Mapping[str, object]) -> ServiceSpec:
    """A specification from a command's arguments; durations are in seconds.

    Raises:
        BadInput: the name or a value cannot be used.
    """
    check_name(name, what="runner")
    policy = {key: value for key, value in dict(args.get("policy") or {}).items() if value is not None}  # type: ignore[call-overload]  # checked by convert
    plain = {
        "name": name,
        "kind": args.get("kind"),
        "labels": args.get("labels") or (),
        "options": args.get("options") or {},
        "policy": msgspec.convert(policy, RestartPolicy, strict=False),
        "silent_after": args.get("silent_after"),
        "grace": args.get("grace") if args.get("grace") is not None else 10.0,
        "fallback": args.get("fallback") or "",
        "retries": args.get("retries") if args.get("retries") is not None else 1,
        "job_timeout": args.get("timeout"),
        "claim": args.get("claim") or "",
    }
    spec = msgspec.convert(plain, ServiceSpec, strict=False)
    return replace(spec, silent_after=spec.silent_after or None, grace=max(spec.grace, timedelta(0)))


def _put(context: Context, row: rows.ServiceRow) -> None:
    context.services[row.name] = row


def _ignore(_value: object) -> None:
    return None


def _refusal(error: Exception) -> dict[str, object]:
    if isinstance(error, QCityError):
        return {"error": error.what, "todo": error.todo, "kind": type(error).__name__}
    return {"error": f"a value cannot be used ({error})", "todo": "qcity runner start --help says what is expected", "kind": "BadInput"}
