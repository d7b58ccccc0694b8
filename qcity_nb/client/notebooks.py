"""Notebooks as jobs: run one now, schedule one, look at the newest runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..decide import executors
from ..decide import notebook as decide
from ..decide import schedule as times
from ..decide.wording import did_you_mean, line, span, visible
from ..errors import BadInput, EngineError, NotFound
from ..io import secrets as tokens
from ..model.schedule import CatchUp, Retry, RunPlan, RunState, Schedule
from ..model.service import Sandbox
from ..store import runs as store
from ..store.runs import RunRow
from . import credentials
from .health import Painter
from .link import Link, now
from .places import Places
from .runs import COLUMNS, Run, level_of, name_of, record, took, where
from .schedules import Schedules, moment_of
from .tables import Html, Shown, clock, frame, mark, table
from .wishes import Span, span_of

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 200


class Notebooks(Shown):
    """The newest runs of a place; `notebooks[12]` is the one with that number. `notebooks.schedules` are the schedules."""

    def __init__(self, link: Link, painter: Painter) -> None:
        self._link, self._painter = link, painter
        self.schedules = Schedules(link)

    def run(self, notebook: str | Path, parameters: Mapping[str, object] | None = None, *, key: str | None = None, **how: Any) -> Run:
        """Run a notebook now.

        Args:
            parameters: for its cell tagged `parameters`.
            key: who asks twice with the same gets one run.
            how: as for `schedule`: kernel, retries, backoff, timeout, cell_timeout, secrets, output, park, compare, executor, sandbox, network.

        Raises:
            NotFound, BadInput: the notebook, a parameter, or what else was given cannot be used; nothing was started.
        """
        plan = self._plan(notebook, parameters, **how)
        answer = self._link.ask("notebook.run", "", {"plan": msgspec.to_builtins(plan), "key": key})
        return Run(self._link, self._painter, int(answer["run"]))

    def schedule(
        self,
        notebook: str | Path,
        cron: str = "",
        *,
        at: str = "",
        tz: str = "UTC",
        name: str = "",
        parameters: Mapping[str, object] | None = None,
        max_parallel: int = 1,
        catch_up: str = "latest",
        stale: Span = None,
        spread: Span = 0,
        shared: bool = False,
        replace: bool = True,
        **how: Any,
    ) -> Schedule:
        """Run a notebook again and again, or once at a later moment. One of that name is replaced, and stays paused if it is.

        Args:
            cron: five fields, as "0 3 * * *"; of the zone's wall clock.
            at: one moment instead, as "2027-01-31 03:00", of the same clock.
            tz: an IANA time zone.
            name: of the schedule; the notebook's own when left out.
            max_parallel: how many runs of it there may be at once.
            catch_up: what becomes of moments that nobody was there for: none, latest or all.
            stale: moments that are older when they are noticed are missed all the same.
            spread: up to how much later a run begins, so that not all begin at once.
            shared: any place of the store may run it.
            replace: False refuses when there is one of that name.
            how: kernel; retries and backoff; timeout of a run, cell_timeout; secrets by name; output, a path for the executed notebook;
                park, how long the kernel of a failed run is kept; compare, whether the outputs are held against the last run's;
                executor, `dask`, `dask://HOST:PORT` or `place:NAME` for a run elsewhere; sandbox, the weakest one to accept for its kernel
                (none, partial, full), and whether that has the network.

        Raises:
            NotFound, BadInput: something cannot be used; the sentence says what. Nothing was scheduled.
        """
        plan = self._plan(notebook, parameters, **how)
        if bool(cron) == bool(at):
            todo = 'cron="0 3 * * *" for three in the morning, or at="2027-01-31 03:00"'
            raise BadInput("a schedule needs a cron line or a moment, and not both", todo)
        if catch_up not in [one.value for one in CatchUp]:
            raise BadInput(f'catch_up is "{catch_up}"', did_you_mean(catch_up, [one.value for one in CatchUp], what="way to catch up"))
        asked = Schedule(
            name=name or Path(plan.notebook).stem,
            plan=plan,
            cron=cron,
            once=moment_of(at, tz) if at else None,
            zone=tz,
            max_parallel=max_parallel,
            catch_up=CatchUp(catch_up),
            stale=None if stale is None else span_of("stale", stale),
            spread=span_of("spread", spread),
            shared=shared,
        )
        times.check(asked, now=now())
        asked = self._as_paused(asked) if replace else asked
        self._link.ask("schedule.put", asked.name, {**msgspec.to_builtins(asked), "fresh": not replace})
        return asked

    def _as_paused(self, asked: Schedule) -> Schedule:
        """The schedule, paused if the one of its name is: a cell that is run again lets nothing go on that somebody stopped."""
        if not any(one.name == asked.name and one.paused for one in self.schedules):
            return asked
        self._link.say(f"{asked.name} is paused, as before; city.notebooks.schedules.pause({asked.name!r}, paused=False) lets it go on.")
        return dataclasses.replace(asked, paused=True)

    def rows(self, *, limit: int = LIMIT, schedule: str | None = None) -> list[RunRow]:
        """What the store knows of them, oldest first."""
        with self._link.read() as connection:
            return store.latest_runs(connection, self._link.place, schedule=schedule, limit=limit)

    def wait(self, timeout: float = 3600.0) -> Notebooks:
        """Wait until none is running or waiting for its turn. Raises `EngineError` when that takes longer."""
        for _ in self._link.until(timeout):
            with self._link.read() as connection:
                left = [row for row in store.open_runs(connection, self._link.place) if row.state is RunState.RUNNING or row.start <= now()]
            if not left:
                return self
        names = ", ".join(f"{row.id} {name_of(row)} ({row.state.value})" for row in left[:3])
        raise EngineError(f"runs are not over after {span(timeout)}: {names}", "qcity notebook list shows them", permanent=False)

    def frame(self, *, schedule: str | None = None) -> pd.DataFrame:
        """The newest runs as a pandas frame; times are UTC."""
        return frame(COLUMNS, [record(row) for row in self.rows(schedule=schedule)])

    def gantt(self) -> Any:
        """A plotly figure: when which run ran. Raises `NotFound` when none has."""
        return self._painter.runs_figure(self._begun())

    def history(self) -> Any:
        """A plotly figure: how long the runs took, and how they ended. Raises `NotFound` when none has begun."""
        return self._painter.history_figure(self._begun())

    def calendar(self) -> Any:
        """A plotly figure: each day's runs, by how they ended. Raises `NotFound` when none has begun."""
        return self._painter.calendar_figure(self.frame())

    def _begun(self) -> pd.DataFrame:
        found = self.frame()
        if found["started"].isna().all():
            raise NotFound("no notebook has run yet, so there is nothing to plot", "qcity notebook run NOTEBOOK runs one")
        return found

    def _plan(
        self,
        notebook: str | Path,
        parameters: Mapping[str, object] | None,
        *,
        kernel: str = "",
        retries: int = 0,
        backoff: Span = 30,
        timeout: Span = None,
        cell_timeout: Span = None,
        secrets: Sequence[str] = (),
        output: str | Path = "",
        park: Span = 600,
        compare: bool = False,
        executor: str = "",
        sandbox: str = "none",
        network: bool = False,
    ) -> RunPlan:
        path = Path(notebook).expanduser().absolute()
        check_notebook(path, parameters or {})
        if retries < 0:
            raise BadInput(f"retries is {retries}", "It has to be 0 or more")
        if output and (Path(output).is_dir() or not Path(output).expanduser().absolute().parent.is_dir()):
            what = "is a folder" if Path(output).is_dir() else "is in a folder that does not exist"
            raise BadInput(f"the output {output} {what}", "Give the path of a notebook in a folder that is there")
        for name in secrets:
            self._keep(name)
        plan = RunPlan(
            notebook=str(path),
            parameters=dict(parameters or {}),
            kernel=kernel,
            retry=Retry(times=retries, base=span_of("backoff", backoff)),
            timeout=None if timeout is None else span_of("timeout", timeout, least=0.001),
            cell_timeout=None if cell_timeout is None else span_of("cell_timeout", cell_timeout, least=0.001),
            secrets=tuple(secrets),
            output=str(Path(output).expanduser().absolute()) if output else "",
            park=span_of("park", park),
            compare=compare,
            executor=executor,
            sandbox=_level(sandbox),
            network=network,
        )
        executors.check(plan, Places(self._link).added)
        return plan

    def _keep(self, name: str) -> None:
        """See to it that a secret is where the worker finds it: taken from where people keep such things, asked for, or kept already."""
        home = self._link.store.home
        value, source = tokens.find((name, name.upper()))
        if not value and tokens.has(home, name):
            return
        if not value:
            value, source = tokens.find((), ask=True, what=name)
        if not value:
            todo = f"Put it into Colab's secrets, the environment or the keyring as {name.upper()}, or start from a terminal to be asked"
            raise NotFound(f"there is no secret {name}", todo)
        credentials.keep(self._link, name, value, f"secret {name}", source)

    def __getitem__(self, id_: int) -> Run:
        found, known = None, []
        with self._link.read() as connection:
            found = store.get_run(connection, self._link.place, id_) if isinstance(id_, int) and 0 < id_ < 1 << 31 else None
            if found is None:
                known = [str(row.id) for row in store.latest_runs(connection, self._link.place, limit=8)]
        if found is None:
            raise NotFound(f"there is no run {line(str(id_), limit=40)}", did_you_mean(str(id_), known, what="run"))
        return Run(self._link, self._painter, id_)

    def __iter__(self) -> Iterator[Run]:
        return iter([Run(self._link, self._painter, row.id) for row in self.rows()])

    def __len__(self) -> int:
        return len(self.rows())

    def _ipython_key_completions_(self) -> list[int]:
        return [row.id for row in self.rows()]

    def __repr__(self) -> str:
        shown = [f"{row.id} {line(name_of(row), limit=60)}: {row.state.value}" for row in self.rows(limit=20)]
        return "\n".join(shown) or "no notebook has run yet"

    def _html(self) -> str:
        rows = [
            (row.id, Html(mark(level_of(row), row.state.value)), line(name_of(row)), clock(row.at), span(took(row)), where(row))
            for row in self.rows(limit=20)
        ]
        return table("", ("run", "is", "name", "for (UTC)", "took", ""), rows, empty="No notebook has run yet.")


def check_notebook(path: Path, parameters: Mapping[str, object]) -> None:
    """Hold a notebook and its parameters against what can run, before anything starts. Raises `NotFound` or `BadInput`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(one.name for one in path.parent.glob("*.ipynb")) if path.parent.is_dir() else []
        raise NotFound(f"there is no notebook {visible(str(path))}", did_you_mean(path.name, near, what="notebook")) from None
    except IsADirectoryError:
        raise BadInput(f"{visible(str(path))} is a folder", "Give the path of a notebook in it") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInput(f"{visible(str(path))} cannot be read: {why}", "A notebook's name ends in .ipynb") from None
    decide.check_parameters(decide.read(text, path.name), parameters, path.name)


def _level(given: str) -> Sandbox:
    """How well a kernel is to be shut in. Raises `BadInput`."""
    try:
        return Sandbox(given)
    except ValueError:
        raise BadInput(f'sandbox is "{given}"', did_you_mean(given, [one.value for one in Sandbox], what="level")) from None
