"""Runners: starting, stopping, looking at them. A `Runner` is a live handle; each look is one read of the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..decide.wording import count, did_you_mean, percent, sentence, since, visible
from ..errors import BadInput, EngineError, NotFound
from ..io.files import tail
from ..model.agent import FORGES
from ..model.service import Desired, Phase, RestartPolicy
from ..store import checks, services
from ..store.checks import Check
from ..store.services import ServiceRow
from . import credentials, places, wishes
from .health import Health, Painter
from .link import Link
from .tables import Html, Shown, clock, escape, facts, frame, mark, table
from .view import RunnerView, is_shown, look
from .waits import until_down, until_up

if TYPE_CHECKING:
    import pandas as pd

UP_SECONDS = 30.0
FORGE_UP_SECONDS = 300.0
"""An agent has to be fetched and registered first."""
DOWN_SECONDS = 60.0

COLUMNS = {
    "name": "text",
    "kind": "text",
    "labels": "text",
    "phase": "text",
    "health": "text",
    "sentence": "text",
    "since": "moment",
    "pid": "whole",
    "busy": "whole",
    "restarts": "whole",
    "sandbox": "text",
    "uptime_24h": "number",
}


class Runner(Shown):
    """One runner, as it is whenever it is looked at."""

    def __init__(self, link: Link, name: str, painter: Painter) -> None:
        self._link, self.name, self._painter = link, name, painter

    @property
    def row(self) -> ServiceRow:
        """What the store knows. Raises `NotFound` when it was removed."""
        return _row(self._link, self.name)

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return self.row.state.phase

    @property
    def pid(self) -> int | None:
        """Its main process, when it has one."""
        return self.row.pid

    @property
    def sandbox(self) -> str:
        """The sandbox level that it proved: full, partial or none; empty while it has not said."""
        return self.row.sandbox

    @property
    def platform(self) -> str:
        """How its platform shows it, in a line; empty where there is none, or it has not said yet."""
        seen = self.row.agent
        if seen is None or (seen.online is None and not seen.note):
            return ""
        how = "unknown" if seen.online is None else "busy" if seen.busy else "online" if seen.online else "offline"
        number = f" as {seen.name} (id {seen.id})" if seen.id else ""
        return f"{how}{number} at {seen.url}" + (f"; {seen.note}" if seen.note else "")

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._link.store.home.service(self.name)

    def view(self) -> RunnerView:
        """Its row with its condition and its uptime."""
        view = look(self._link.store).runners.get(self.name)
        if view is None:
            raise _missing(self.name, ())
        return view

    def logs(self, lines: int = 40) -> str:
        """The last lines of its log."""
        return visible("\n".join(tail(self.folder / "log", lines=lines)))

    def start(self) -> Runner:
        """Start it again as it was specified; one that is up stays as it is. Ends a quarantine."""
        return _start(self._link, self.name, self.asked(), self._painter)

    def asked(self) -> dict[str, object]:
        """What a command that starts it again as it was specified says."""
        return wishes.again(self.row)

    def stop(self) -> Runner:
        """Stop it now; a running job is cancelled."""
        return _down(self, "runner.stop")

    def drain(self, *, wait: float = 0.0) -> Runner:
        """Let it finish its jobs, take no new ones, and stop then. Waits for that at most `wait` seconds."""
        return _down(self, "runner.drain", seconds=wait)

    def pause(self, note: str = "", *, time: wishes.Span = None, wait: float = 0.0) -> Runner:
        """Let it finish its jobs and be down for a while; then it starts again by itself. `start` ends it sooner.

        Args:
            note: why, for whoever looks.
            time: how long, in seconds or as "2 h"; None means until somebody starts it.
            wait: how long to wait for its jobs, in seconds.

        Raises:
            BadInput: that is no length of time.
        """
        length = None if time is None else wishes.span_of("time", time, least=1).total_seconds()
        self._link.ask("runner.pause", self.name, {"note": note, "seconds": length})
        until_down(self._link, self, seconds=wait, insist=False)
        return self

    def repair(self, note: str = "") -> Runner:
        """Have it begun again as after a fault: an incident says why and ends with a proof, and its jobs are run again. Ends a quarantine."""
        self._link.ask("runner.repair", self.name, {"note": note})
        until_up(self._link, self, seconds=UP_SECONDS)
        return self

    def remove(self) -> None:
        """Stop it and forget it; its history stays."""
        if self.phase not in (Phase.STOPPED, Phase.BACKOFF, Phase.QUARANTINED):
            self.stop()
        self._link.ask("runner.remove", self.name)
        for _ in self._link.until(DOWN_SECONDS):
            with self._link.read() as connection:
                if all(row.name != self.name for row in services.all_of(connection, self._link.place)):
                    return
        raise EngineError(f"{self.name} has not gone in {DOWN_SECONDS:.0f} s", "It stays asked; qcity runner list shows it", permanent=False)

    def rename(self, new: str) -> Runner:
        """Give it another name: the old one is stopped and forgotten, and all that was asked of it is asked of the new one.

        Raises:
            BadInput: the name is taken, or it runs a job.
        """
        row, again = self.row, Runner(self._link, new, self._painter)
        with self._link.read() as connection:
            if any(other.name == new for other in services.all_of(connection, self._link.place)):
                raise BadInput(f'there is a runner "{new}" already', "Choose another name")
        if row.state.busy:
            raise BadInput(f"{self.name} runs {count(row.state.busy, 'job')}", f"qcity runner drain {self.name} first, then rename it")
        self.remove()
        if row.state.desired is Desired.UP:
            return _start(self._link, new, wishes.again(row), self._painter)
        self._link.ask("runner.add", new, wishes.again(row))
        return again

    def checks(self, limit: int = 50) -> list[Check]:
        """The newest looks at its machine, oldest first: before and after jobs, and by its canary."""
        with self._link.read() as connection:
            return checks.latest(connection, self._link.place, service=self.name, limit=limit)

    def health(self, hours: float = 1) -> Health:
        """Its beats over the last hours, to plot or to count."""
        return Health(self._link, self._painter, hours=hours, runner=self.name)

    def __repr__(self) -> str:
        view = look(self._link.store, uptime=False).runners.get(self.name)
        return f"<Runner {self.name} · {view.row.spec.kind} · {visible(view.condition.text)}>" if view else f"<Runner {self.name} · removed>"

    def _html(self) -> str:
        view = look(self._link.store).runners.get(self.name)
        if view is None:
            return table(self.name, (), (), empty="This runner was removed.")
        row, condition = view.row, view.condition
        pairs: list[tuple[str, object]] = [
            ("is", Html(f"{mark(condition.level, condition.level.value)} {escape(condition.text)}")),
            ("next", condition.todo),
            ("kind", row.spec.kind),
            ("labels", ", ".join(row.spec.labels)),
            ("claim", row.spec.claim),
            ("since", clock(row.since) + " UTC"),
            ("process", row.pid),
            ("sandbox", row.sandbox),
            ("up in 24 h", percent(view.uptime)),
            ("incident", row.state.incident),
        ]
        return facts(row.name, pairs)


class Runners(Shown):
    """All runners of a place; `runners["local-1"]` is one of them."""

    def __init__(self, link: Link, painter: Painter) -> None:
        self._link, self._painter = link, painter

    def start(
        self,
        kind: str,
        name: str | None = None,
        *,
        labels: Sequence[str] = (),
        silent_after: timedelta | float | None = None,
        grace: timedelta | float = 10.0,
        policy: RestartPolicy | None = None,
        retries: int | None = None,
        timeout: timedelta | float | None = None,
        claim: str | bool = "",
        fallback: str = "",
        begin: bool = True,
        **options: Any,
    ) -> Runner:
        """Start a runner and wait until it is up, or until another place holds its claim. One that is up with the same specification stays as it is.

        Args:
            kind: `local` (give `repo`, and if you like `branches`, `slots`, `sandbox`, `network`), `command` (give `command`), `github` (give
                `repo` as owner/name, or `org`) or `gitlab` (give `project` or `group_path`); the latter two with `url`, `ephemeral`, `allow_root`.
                Their token is taken from Colab's secrets, the environment, the keyring, or asked for; it is never stored with the runner.
            name: empty means the one that has this kind and these options already, else the next free number.
            labels: what its jobs may ask for by `runs-on`.
            silent_after: how long it may say nothing before it is looked at.
            grace: how long it may take to stop.
            policy: how eagerly it is started again.
            retries: how often a job that lost its runner is run again.
            timeout: how long a job may take that does not say so itself.
            claim: it runs only while this place holds that claim (True: the runner's own name); until then it stands by. A known
                runner keeps its claim until it is removed.
            fallback: the runner that is started while this one is quarantined, and drained when it is well again.
            begin: False only makes it known: for one that is somebody's fallback.
            options: the kind's own.

        Raises:
            BadInput: the kind cannot work with these options.
            Refused: it was started and did not come up; the sentence says why.
        """
        if kind == "place" and not any(isinstance(one, dict) for one in options.get("places") or ()):
            options["places"] = places.configs(self._link, options.get("places"))
        options = {key: wishes.plain(key, value, kind) for key, value in options.items() if value is not None}
        if kind in FORGES:
            credentials.provide(self._link, kind, str(options.get("url") or ""), str(options.get("token") or ""))
        args = wishes.wish(kind, labels=labels, options=options, silent_after=silent_after, grace=grace, policy=policy)
        more = {"retries": retries, "timeout": wishes.seconds(timeout), "fallback": fallback or None}
        args |= {key: value for key, value in more.items() if value is not None}
        name = name or self._name_for(kind, options)
        if claim:
            args["claim"] = name if claim is True else claim
        if not begin:
            self._link.ask("runner.add", name, args)
            return Runner(self._link, name, self._painter)
        return _start(self._link, name, args, self._painter)

    def stop(self, name: str) -> Runner:
        """Stop one now; a running job is cancelled."""
        return self[name].stop()

    def drain(self, name: str, *, wait: float = 0.0) -> Runner:
        """Let one finish its jobs and stop then."""
        return self[name].drain(wait=wait)

    def remove(self, name: str) -> None:
        """Stop one and forget it."""
        self[name].remove()

    def frame(self) -> pd.DataFrame:
        """All of them as a pandas frame; times are UTC."""
        return frame(COLUMNS, [_record(view) for view in look(self._link.store).runners.values()])

    def __getitem__(self, name: str) -> Runner:
        _row(self._link, name)
        return Runner(self._link, name, self._painter)

    def __iter__(self) -> Iterator[Runner]:
        return iter([Runner(self._link, row.name, self._painter) for row in self._rows()])

    def __len__(self) -> int:
        return len(self._rows())

    def __contains__(self, name: object) -> bool:
        return any(row.name == name for row in self._rows())

    def _ipython_key_completions_(self) -> list[str]:
        return [row.name for row in self._rows()]

    def __repr__(self) -> str:
        views = look(self._link.store, uptime=False).runners.values()
        return "\n".join(f"{view.row.name}: {visible(view.condition.text)}" for view in views) or "no runner yet"

    def _html(self) -> str:
        view, rows = look(self._link.store), []
        for runner in view.runners.values():
            condition, row = runner.condition, runner.row
            state = Html(mark(condition.level, condition.level.value))
            rows.append((row.name, state, condition.text, row.spec.kind, row.sandbox, percent(runner.uptime), since(row.since, view.at)))
        head = ("runner", "health", "", "kind", "sandbox", "up in 24 h", "since")
        return table("", head, rows, empty='No runner yet: city.runners.start("local", repo="…")')

    def _rows(self) -> list[ServiceRow]:
        with self._link.read() as connection:
            return [row for row in services.all_of(connection, self._link.place) if is_shown(row)]

    def _name_for(self, kind: str, options: Mapping[str, object]) -> str:
        rows = self._rows()
        for row in rows:
            if row.spec.kind == kind and all(row.spec.options.get(key) == value for key, value in options.items()):
                return row.name
        taken = {row.name for row in rows}
        return next(name for number in range(1, len(taken) + 2) if (name := f"{kind}-{number}") not in taken)



def _start(link: Link, name: str, args: Mapping[str, object], painter: Painter) -> Runner:
    link.ask("runner.start", name, args)
    runner = Runner(link, name, painter)
    until_up(link, runner, seconds=FORGE_UP_SECONDS if args.get("kind") in FORGES else UP_SECONDS)
    return runner


def _down(runner: Runner, verb: str, *, seconds: float = DOWN_SECONDS) -> Runner:
    link = runner._link  # noqa: SLF001 - this module's own class
    link.ask(verb, runner.name)
    until_down(link, runner, seconds=seconds, insist=verb == "runner.stop")
    return runner


def _row(link: Link, name: str) -> ServiceRow:
    with link.read() as connection:
        rows = services.all_of(connection, link.place)
    for row in rows:
        if row.name == name:
            return row
    raise _missing(name, [row.name for row in rows])


def _missing(name: str, names: Sequence[str]) -> NotFound:
    todo = did_you_mean(str(name), names, what="runner", none="There is no runner yet: qcity runner start local PATH")
    return NotFound(f'there is no runner "{visible(str(name))}"', todo)


def _record(view: RunnerView) -> dict[str, Any]:
    row, state = view.row, view.row.state
    moment: datetime = row.since
    return {
        "name": row.name,
        "kind": row.spec.kind,
        "labels": ", ".join(row.spec.labels),
        "phase": state.phase.value,
        "health": view.condition.level.value,
        "sentence": sentence(f"{row.name} {view.condition.text}"),
        "since": moment,
        "pid": row.pid,
        "busy": state.busy,
        "restarts": len(state.starts),
        "sandbox": row.sandbox,
        "uptime_24h": view.uptime,
    }
