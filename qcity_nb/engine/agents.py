"""Agents of forges: their attendant says what it found and proved, here it becomes incidents, restarts and orders.

The attendant is a service like any other, there as long as there is an agent. It looks and calls platforms; nothing here waits for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from ..decide import supervise
from ..decide.redact import redact
from ..decide.repair import ENDS
from ..model.agent import Act
from ..model.service import Desired, Exit, Phase, ServiceSpec, ServiceState
from ..model.wire import Advice, AgentCard, AgentView, Checked, Did, Do, Mend, Proven, Stranger, Watch, Well
from ..store import checks, commands, history, intents
from ..store import services as rows
from .context import Context
from .supervisor import Supervisor

FOREIGN = "foreign"
ATTENDANT = "attendant"
"""The service that looks after all agents of a place, and its kind."""
START_LIMIT = timedelta(minutes=20)
"""An agent that has not come up by then (a download, a registration, a wait for its platform are part of it) is started anew."""
LEAVE_LIMIT = timedelta(seconds=25)
"""How long a stop waits for the platform to forget the agent first."""
STAYS = timedelta(minutes=10)
"""How long the attendant stays after a question when there is no agent."""
ALIVE = (Phase.STARTING, Phase.RUNNING)


class Agents:
    """The part of the engine that looks after agents.

    Args:
        context: the engine's hands and memory.
        supervisor: starts and ends services.
    """

    def __init__(self, context: Context, supervisor: Supervisor) -> None:
        self._c, self._supervisor = context, supervisor
        self._shown: tuple[int, tuple[AgentCard, ...]] = (0, ())
        self._leaving: dict[str, tuple[datetime, Callable[[], None]]] = {}
        self._hears: dict[type, Callable[[Any], None]] = {
            Advice: self._advised,
            Proven: self._proven,
            Well: self._well,
            Did: self._did,
            AgentView: self._seen,
            Stranger: self._met,
            Checked: self._checked,
        }
        self._kept_alive: set[str] = set()
        self._asked_at: datetime | None = None

    def step(self) -> None:
        """Act on what was said, and keep the attendant informed."""
        told, self._c.told = self._c.told, []
        for fact in told:
            if fact.service in self._c.services or isinstance(fact, Stranger):
                self._hears[type(fact)](fact)
        self._leave_late()
        if self._c.stop_services:
            return  # everything ends: an attendant that has is not started again for an agent that takes longer
        agents = [row for row in self._c.services.values() if self._c.kinds(row.spec.kind).attended]
        asked = self._asked_at is not None and self._c.clock.now() - self._asked_at < STAYS
        if agents or asked:
            self._show(agents)
        elif ATTENDANT in self._c.services:
            self._dismiss()

    def leave(self, name: str, then: Callable[[], None], *, act: str = "leave") -> None:
        """Have the platform forget the agent, or give it nothing more, before `then` is done; a platform that does not answer delays it a little."""
        self._leaving[name] = (self._c.clock.now() + LEAVE_LIMIT, then)
        self._order(name, act, "")

    def ask(self, number: int, act: str, args: Mapping[str, object]) -> None:
        """Have the attendant find out what a command asks for; it is answered when it has."""
        self._asked_at = self._c.clock.now()
        self._show([row for row in self._c.services.values() if self._c.kinds(row.spec.kind).attended])
        row = self._c.services.get(ATTENDANT)
        if row is not None:
            service = str(args.get("service") or ATTENDANT)
            self._c.wire.send(ATTENDANT, row.state.incarnation, Do(key=f"command/{number}", service=service, act=act, args=dict(args)))

    def _show(self, agents: list[rows.ServiceRow]) -> None:
        """Tell the attendant who is there; start it when it is not."""
        context = self._c
        row = context.services.get(ATTENDANT)
        if row is None:
            spec = ServiceSpec(name=ATTENDANT, kind=ATTENDANT, silent_after=timedelta(minutes=2))
            fresh = ServiceState(name=ATTENDANT, since=context.clock.now())
            if not context.record(lambda connection: self._put(rows.add(connection, context.store.place, spec, fresh, at=context.clock.wall()))):
                return
            row = context.services[ATTENDANT]
        if row.state.phase is Phase.STOPPED:
            self._supervisor.apply(ATTENDANT, supervise.started(row.state, context.clock.now()))
            row = context.services[ATTENDANT]
        cards = tuple(_card(agent) for agent in sorted(agents, key=lambda agent: agent.name))
        if (row.state.incarnation, cards) != self._shown and row.state.phase in ALIVE:
            context.wire.send(ATTENDANT, row.state.incarnation, Watch(agents=cards))
            self._shown = (row.state.incarnation, cards)
        self._watch_starts(agents)

    def _watch_starts(self, agents: list[rows.ServiceRow]) -> None:
        now = self._c.clock.now()
        for row in agents:
            if row.state.phase is Phase.STARTING and now - row.state.since > START_LIMIT:
                why = f"it has not come up in {START_LIMIT.total_seconds() / 60:.0f} minutes"
                self._supervisor.apply(row.name, supervise.ailing(row.state, now, title=f"{row.name} does not come up", cause=why))

    def _dismiss(self) -> None:
        row = self._c.services[ATTENDANT]
        if row.state.phase is not Phase.STOPPED:
            self._supervisor.apply(ATTENDANT, supervise.stopped(row.state, self._c.clock.now(), why="there is no agent to look after"))
            return
        self._c.record(lambda connection: rows.remove(connection, row, at=self._c.clock.wall()))
        del self._c.services[ATTENDANT]

    def _advised(self, fact: Advice) -> None:
        """Something is wrong and is to be mended: an incident, and the act."""
        context, row = self._c, self._c.services[fact.service]
        if fact.incarnation != row.state.incarnation:
            return
        act, title = Act(fact.act), f"{fact.service}: {fact.title} ({fact.code})"
        if act in ENDS and row.state.phase in ALIVE and _is_ours(row) and not fact.mending:
            context.mends[fact.service] = Mend(act=fact.act, code=fact.code)
            if act is Act.RENEW:  # it still takes jobs, and must not get another one
                self.leave(fact.service, lambda: self._end(fact, title), act="drain")
            else:
                self._end(fact, title)
            return
        self._tell(fact, title)
        if act is Act.KEEP_ALIVE:
            if row.state.phase is Phase.STOPPED and not context.claims.barred(row.spec):
                self._kept_alive.add(fact.service)
                self._supervisor.apply(fact.service, supervise.started(context.services[fact.service].state, context.clock.now()))
        elif fact.human or act is Act.HOLD:
            why = f"{fact.cause}. {fact.todo}" if fact.todo else fact.cause
            if row.state.phase is Phase.STARTING:
                context.persons[fact.service] = why
            else:
                context.record(lambda connection: self._trouble(connection, fact.service, fact.code, why))
        elif act not in ENDS:
            self._order(fact.service, fact.act, fact.code)

    def _end(self, fact: Advice, title: str) -> None:
        """End an agent that ails; one that got a job meanwhile finishes it first."""
        row, now = self._c.services[fact.service], self._c.clock.now()
        if row.state.busy and fact.act == Act.RENEW.value:
            self._leaving[fact.service] = (now + LEAVE_LIMIT, lambda: self._end(fact, title))
            return
        self._supervisor.apply(fact.service, supervise.ailing(row.state, now, title=title, cause=fact.cause, evidence=fact.evidence))

    def _tell(self, fact: Advice, title: str) -> None:
        """Open an incident, or add to the one that is open what is now known of its cause."""
        context, row = self._c, self._c.services[fact.service]
        lines = tuple(redact(line) for line in fact.evidence)

        def write(connection: Connection) -> None:
            known = history.get_incident(connection, context.store.place, row.state.incident) if row.state.incident else None
            if known is None:
                number = history.open_incident(
                    connection, context.store.place, row.name, title=title, cause=fact.cause, evidence=lines, awaits=(), at=context.clock.wall()
                )
                self._put(rows.save(connection, row, replace(row.state, incident=number), at=context.clock.wall(), generation=context.generation))
                return
            more = tuple(line for line in lines if line not in known.evidence)
            cause = known.cause if fact.cause in known.cause else f"{fact.cause} ({fact.code}); {known.cause}"
            history.update_incident(connection, known.id, cause=cause, evidence=(*known.evidence, *more))

        context.record(write)

    def _proven(self, fact: Proven) -> None:
        def write(connection: Connection) -> None:
            self._trouble(connection, fact.service, fact.code, "")
            self._close(connection, fact.service, fact.how)

        self._c.record(write)

    def _well(self, fact: Well) -> None:
        row = self._c.services[fact.service]
        if fact.incarnation == row.state.incarnation:
            self._supervisor.apply(fact.service, supervise.proved(row.state, row.spec, self._c.clock.now(), proof=fact.proof))
        if fact.service in self._kept_alive:  # seen by its platform, which is all that was wanted
            self._kept_alive.discard(fact.service)
            state = self._c.services[fact.service].state
            self._supervisor.apply(fact.service, supervise.stopped(state, self._c.clock.now(), why="started only so that it is not forgotten"))

    def _did(self, fact: Did) -> None:
        """What an order came to, or what an agent's start did by itself."""
        context, row = self._c, self._c.services[fact.service]
        if fact.key.startswith("command/"):
            self._answer(fact)
            return

        def write(connection: Connection) -> None:
            if fact.key:
                intents.finish(connection, [fact.key], fact.text, at=context.clock.wall())
            incident = history.get_incident(connection, context.store.place, row.state.incident) if row.state.incident else None
            if incident is not None and fact.text and len(incident.done) <= 12:
                history.update_incident(connection, incident.id, done=(*incident.done, redact(fact.text)))

        context.record(write)
        if fact.service in self._leaving and fact.key and not fact.busy:
            self._leaving.pop(fact.service)[1]()

    def _answer(self, fact: Did) -> None:
        """A command's answer has come."""
        status, result = ("refused", {"error": fact.error, "todo": fact.todo}) if fact.error else ("done", fact.answer)
        number, wall = int(fact.key.partition("/")[2]), self._c.clock.wall()
        self._c.record(lambda connection: commands.answer(connection, number, status=status, result=result, at=wall))

    def _met(self, fact: Stranger) -> None:
        """An agent that is not ours came to light, or went."""
        context = self._c
        row = context.services.get(fact.service)
        if row is not None and row.spec.kind != FOREIGN:
            return
        spec = ServiceSpec(name=fact.service, kind=FOREIGN, labels=fact.labels, options=fact.options)
        now, wall = context.clock.now(), context.clock.wall()
        if row is None or row.spec != spec:
            state = row.state if row else ServiceState(name=fact.service, since=now)
            context.record(lambda connection: self._put(rows.add(connection, context.store.place, spec, state, at=wall)))
        known = context.services.get(fact.service)
        if known is None:
            return
        if fact.alive and known.state.phase is Phase.STOPPED:
            self._supervisor.apply(fact.service, (supervise.move(known.state, "adopt", now, reason="found; somebody else started it"), ()))
        elif not fact.alive and known.state.phase is Phase.RUNNING:
            self._supervisor.apply(fact.service, supervise.exited(known.state, spec, now, Exit()))

    def _checked(self, fact: Checked) -> None:
        """A machine was looked at. What keeps it from taking jobs is its trouble until a later look finds all well."""
        place, words = self._c.store.place, redact(fact.text)

        def write(connection: Connection) -> None:
            checks.add(
                connection, place, fact.service, at=fact.at, what=fact.what, ok=fact.ok, took=fact.took, text=words, details=fact.details
            )
            self._trouble(connection, fact.service, "machine", "" if fact.ok else f"{fact.what}: {words}")

        self._c.record(write)

    def _seen(self, fact: AgentView) -> None:
        context, row = self._c, self._c.services[fact.service]
        busy = int(fact.busy)

        def write(connection: Connection) -> None:
            noted = rows.note(connection, row, agent=fact)
            if busy != row.state.busy:
                state = replace(row.state, busy=busy)
                noted = rows.save(connection, noted, state, at=context.clock.wall(), generation=context.generation)
            self._put(noted)

        if context.record(write):
            self._supervisor.apply(fact.service, supervise.idle(context.services[fact.service].state, context.clock.now()))

    def _leave_late(self) -> None:
        now = self._c.clock.now()
        for name, (deadline, then) in list(self._leaving.items()):
            if now >= deadline and name in self._c.services:
                del self._leaving[name]
                then()

    def _order(self, service: str, act: str, code: str) -> None:
        """Intent first, then the order; its outcome comes back as a fact."""
        context, row, wall = self._c, self._c.services.get(ATTENDANT), self._c.clock.wall()
        number = self._c.services[service].state.incarnation
        key = f"{context.store.place}/{service}/{number}/{act}/{context.generation}/{code or '-'}/{wall.timestamp():.3f}"
        context.record(lambda connection: intents.begin(connection, context.store.place, [key], generation=context.generation, at=wall))
        if row is not None:
            context.wire.send(ATTENDANT, row.state.incarnation, Do(key=key, service=service, act=act, code=code))

    def _trouble(self, connection: Connection, name: str, about: str, text: str) -> None:
        row = self._c.services[name]
        rest = {key: value for key, value in row.trouble.items() if key != about}
        self._put(rows.note(connection, row, trouble={**rest, about: text} if text else rest))

    def _close(self, connection: Connection, name: str, how: str) -> None:
        context, row = self._c, self._c.services[name]
        incident = history.get_incident(connection, context.store.place, row.state.incident) if row.state.incident else None
        if incident is None or incident.closed is not None:
            return
        over = not incident.awaits and not row.trouble and row.state.phase in (Phase.RUNNING, Phase.STOPPED)
        closed = {"state": "healthy", "closed": context.clock.wall()} if over else {}
        history.update_incident(connection, incident.id, proof=(*incident.proof, how), **closed)
        if over:
            self._put(rows.save(connection, row, replace(row.state, incident=None), at=context.clock.wall(), generation=context.generation))

    def _put(self, row: rows.ServiceRow) -> None:
        self._c.services[row.name] = row


def _is_ours(row: rows.ServiceRow) -> bool:
    return row.state.desired is not Desired.DOWN


def _card(row: rows.ServiceRow) -> AgentCard:
    state, spec = row.state, row.spec
    return AgentCard(
        name=row.name,
        kind=spec.kind,
        options=dict(spec.options),
        labels=spec.labels,
        incarnation=state.incarnation,
        pid=row.pid,
        phase=state.phase.value,
        desired=state.desired.value,
        claim=spec.claim,
    )

