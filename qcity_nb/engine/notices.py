"""The failsafe: when repair is exhausted the master is told once, a fallback starts; when it is well again, once more. Schedules, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from ..decide import runs as decide
from ..decide import supervise
from ..decide.tunnel_health import condition
from ..decide.vaults import tolerated
from ..decide.wording import line
from ..errors import NotFound
from ..io import vaultnotes
from ..model.notice import Notice
from ..model.schedule import RunState
from ..model.service import Desired, Phase
from ..model.tunnel import Issued, TunnelState, TunnelView
from ..ports import Messenger
from ..store import commands, history, intents, tunnels
from ..store import runs as store
from ..store import services as rows
from ..store.history import Incident
from . import vaults
from .context import Context
from .supervisor import Supervisor

VERB, RUN, TUNNEL, VAULT = "notify", "run:", "tunnel:", "vault:"
NO_ADDRESS = (TunnelState.WAITING, TunnelState.EXHAUSTED, TunnelState.NETWORK_DOWN)
LOOK = timedelta(seconds=30)
"""How often runs are looked at: there may be many, and nobody waits for a message."""
RECENT = timedelta(hours=12)
"""What is older was told, or is no news."""


class Notices:
    """The part of the engine that calls for a person.

    Args:
        context: the engine's hands and memory.
        supervisor: starts a fallback.
        messenger: sends; None where nobody is to be told.
    """

    def __init__(self, context: Context, supervisor: Supervisor, messenger: Messenger | None) -> None:
        self._c, self._supervisor, self._messenger = context, supervisor, messenger
        self._sent: set[str] = set()
        self._looked: datetime | None = None

    def step(self) -> None:
        """Tell what has not been told, and write down what came of it."""
        self._see_to_fallbacks()
        if self._messenger is None or not self._messenger.ways():
            return
        done = self._messenger.outcomes()
        if done:
            self._c.record(lambda connection: self._note(connection, done))
        with self._c.store.read() as connection:
            incidents = history.latest_incidents(connection, self._c.store.place, limit=50)
            known = intents.outcomes(connection, self._c.store.place, VERB)
        for incident in incidents:
            row = self._c.services.get(incident.service)
            if row is None or self._c.clock.wall() - incident.opened > RECENT:
                continue
            if incident.state == "quarantined" or (incident.state == "open" and _needs_a_person(row)):
                self._tell(incident, row, known, well=False)
            if known.get(self._key(incident, well=False)) is not None and _is_well(incident, row):
                self._tell(incident, row, known, well=True)
        self._tell_of_runs(known)
        self._tell_of_tunnels(known)
        self._tell_of_vaults(known)

    def _tell_of_runs(self, known: dict[str, str | None]) -> None:
        """Schedules that begin to fail, are well again, or late. A run of every place's is told by the place that had it."""
        context = self._c
        if self._looked is not None and context.clock.now() - self._looked < LOOK:
            return
        self._looked = context.clock.now()
        with context.store.read() as connection:
            runs = store.recent_runs(connection, context.store.place, since=context.clock.wall() - RECENT)
            told = [store.get_run(connection, context.store.place, number) for number in _bad(known)]
        for one in decide.news(runs, [run for run in told if run is not None], now=context.clock.wall()):
            if one.run.owner in ("", context.store.place):
                self._send(_of_run(_key_of(context.store.place, one.run.id, one.tale), context.store.place, one), known)

    def _tell_of_tunnels(self, known: dict[str, str | None]) -> None:
        """A tunnel that got another address by itself, and one that has had none for a while."""
        context, place, wall = self._c, self._c.store.place, self._c.clock.wall()
        with context.store.read() as connection:
            rows_ = tunnels.all_of(connection, place)
            issued = tunnels.issued_of(connection, place)
        for row in rows_:
            view, mine = row.view, [one for one in issued if one.tunnel == row.name and wall - one.since < RECENT]
            key = f"{place}/{TUNNEL}{row.name}/{view.generation}/{VERB}/"
            if view.url and len(mine) > 1 and mine[-2].origin != mine[-1].origin:
                self._send(_moved(key + "moved", place, mine[-2], mine[-1]), known)
            elif not view.url and view.state in NO_ADDRESS and wall - view.since >= LOOK:
                self._send(_no_address(key + "bad", place, view), known)

    def _tell_of_vaults(self, known: dict[str, str | None]) -> None:
        """A vault that cannot be written for a while, or that another machine has gone on from; and once more when it can be written again."""
        context, place, wall = self._c, self._c.store.place, self._c.clock.wall()
        for config in vaults.added(context):
            state, about = vaultnotes.state(context.home, config.name), f"{place}/{VAULT}{config.name}/"
            told = [key for key, outcome in known.items() if key.startswith(about) and outcome is not None]
            bad = [key for key in told if key.endswith("/bad") and f"{key.removesuffix('/bad')}/well" not in told]
            if state.error and state.failing and (state.superseded or wall - state.failing >= tolerated(config)):
                name = line(config.name)
                title = f"Another machine has gone on from the vault {name}" if state.superseded else f"The vault {name} cannot be written"
                key = bad[0] if bad else f"{about}{state.failing:%Y%m%dT%H%M%S}/{VERB}/bad"
                notice = Notice(key=key, place=place, service=config.name, title=title, since=state.failing, cause=state.error, todo=state.todo)
                self._send(notice, known)
            elif not state.error and state.saved:
                for key in bad:
                    title = f"The vault {line(config.name)} is written again"
                    well = Notice(key=f"{key.removesuffix('/bad')}/well", place=place, service=config.name, title=title, since=state.saved, well=True)
                    self._send(well, known)

    def test(self, number: int) -> None:
        """A person wants to see a message; the command is answered when it was sent."""
        if self._messenger is None or not self._messenger.ways():
            raise NotFound("nobody is told anything yet", "qcity notify set webhook, or qcity notify set smtp")
        context = self._c
        notice = Notice(
            key=f"command/{number}", place=context.store.place, service="", title="A test of QCity's notices", since=context.clock.wall(), well=True
        )
        self._messenger.send(notice)

    def _tell(self, incident: Incident, row: rows.ServiceRow, known: dict[str, str | None], *, well: bool) -> None:
        """Intent first. One without an outcome was cut off and is sent again: rather twice than never."""
        self._send(_notice(self._key(incident, well=well), self._c.store.place, incident, row, well=well), known)

    def _send(self, notice: Notice, known: dict[str, str | None]) -> None:
        if notice.key in self._sent or known.get(notice.key) is not None:
            return
        context = self._c
        written = context.record(
            lambda connection: intents.begin(connection, context.store.place, [notice.key], generation=context.generation, at=context.clock.wall())
        )
        if written and self._messenger is not None:
            self._sent.add(notice.key)
            self._messenger.send(notice)

    def _note(self, connection: Connection, done: Sequence[tuple[str, str]]) -> None:
        for key, outcome in done:
            if key.startswith("command/"):
                number = int(key.partition("/")[2])
                commands.answer(connection, number, status="done", result={"outcome": outcome}, at=self._c.clock.wall())
                continue
            intents.finish(connection, [key], outcome, at=self._c.clock.wall())
            if key.split("/")[1].startswith((RUN, TUNNEL, VAULT)):
                continue
            number = int(key.split("/")[2])
            incident = history.get_incident(connection, self._c.store.place, number)
            if incident is not None:
                history.update_incident(connection, number, done=(*incident.done, outcome))

    def _key(self, incident: Incident, *, well: bool) -> str:
        return f"{self._c.store.place}/{incident.service}/{incident.id}/{VERB}/{'well' if well else 'bad'}"

    def _see_to_fallbacks(self) -> None:
        """A quarantined service's fallback is up; it is drained when its principal is well again."""
        now = self._c.clock.now()
        for row in list(self._c.services.values()):
            other = self._c.services.get(row.spec.fallback)
            if not row.spec.fallback or other is None:
                continue
            if row.state.phase is Phase.QUARANTINED and other.state.desired is not Desired.UP:
                self._supervisor.apply(other.name, supervise.started(other.state, now))
            elif row.state.phase is Phase.RUNNING and row.state.desired is Desired.UP and other.state.desired is Desired.UP:
                self._supervisor.apply(other.name, supervise.drained(other.state, now))


def _needs_a_person(row: rows.ServiceRow) -> bool:
    """Whether something about a living agent waits for a person."""
    return row.state.phase is Phase.RUNNING and any(key.startswith("F") for key, text in row.trouble.items() if text)


def _is_well(incident: Incident, row: rows.ServiceRow) -> bool:
    return row.state.phase is Phase.RUNNING and row.state.incident in (None, incident.id) and not any(row.trouble.values())


def _key_of(place: str, number: int, tale: decide.Tale) -> str:
    return f"{place}/{RUN}{number}/{number}/{VERB}/{tale.value}"


def _bad(known: Mapping[str, str | None]) -> list[int]:
    """The runs that were told to be bad, and not yet that it is well again."""
    keys = [key.split("/") for key in known if f"/{RUN}" in key]
    well = {parts[2] for parts in keys if parts[4] == decide.Tale.WELL.value}
    return [int(parts[2]) for parts in keys if parts[4] == decide.Tale.BAD.value and parts[2] not in well]


def _of_run(key: str, place: str, news: decide.News) -> Notice:
    run, name = news.run, line(news.run.schedule)
    if news.tale is decide.Tale.WELL:
        title = f"{name} is well again"
        return Notice(key=key, place=place, service=name, title=title, since=run.finished or run.start, cause=run.reason, well=True)
    if news.tale is decide.Tale.LATE:
        cause = f"its run of {run.at:%H:%M:%S} UTC waits for its turn" + (f" ({run.reason})" if run.reason else "")
        todo = f"qcity notebook show {run.id}, qcity engine status"
        return Notice(key=key, place=place, service=name, title=f"{name} is late", since=run.start, cause=cause, todo=todo)
    word = {RunState.LOST: "was lost", RunState.MISSED: "missed its time"}.get(run.state, "failed")
    can = run.parked is not None and run.cell is not None
    return Notice(
        key=key,
        place=place,
        service=name,
        title=f"{name} {word}",
        since=run.started or run.at,
        cause=run.reason,
        tried=tuple(f"attempt {one.number}: {one.reason}" for one in run.attempts),
        todo=f"qcity notebook show {run.id}" + (f"; qcity notebook resume {run.id} goes on from cell {run.cell}" if can else ""),
    )


def _moved(key: str, place: str, old: Issued, new: Issued) -> Notice:
    """Not a fault: the master hears which address is right now."""
    title = f"The tunnel {line(new.tunnel)} has another address: {new.origin}"
    cause = f"{new.why}; before: {old.origin} by {old.provider}"
    return Notice(key=key, place=place, service=new.tunnel, title=title, since=new.since, cause=cause, well=True)


def _no_address(key: str, place: str, view: TunnelView) -> Notice:
    how = condition(view, view.since)
    title = f"The tunnel {line(view.name)} has no address"
    tried = tuple(f"{one.provider}: {one.text}" for one in view.tried)
    return Notice(key=key, place=place, service=view.name, title=title, since=view.since, cause=view.reason, tried=tried, todo=how.todo)


def _notice(key: str, place: str, incident: Incident, row: rows.ServiceRow, *, well: bool) -> Notice:
    if well:
        title = f"{row.name} is well again"
        return Notice(key=key, place=place, service=row.name, title=title, since=incident.opened, cause=incident.cause, well=True)
    todo = f"qcity runner logs {row.name}, then qcity runner start {row.name}"
    return Notice(
        key=key,
        place=place,
        service=row.name,
        title=f"{row.name} needs you: {incident.title}",
        since=incident.opened,
        cause=incident.cause,
        evidence=incident.evidence,
        tried=incident.done,
        todo=todo,
    )
