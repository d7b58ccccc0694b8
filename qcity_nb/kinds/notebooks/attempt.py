"""One attempt at a run, in a thread of its own: the notebook is read and given its parameters, executed, and reported whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import nbformat
from nbformat import NotebookNode
from papermill.execute import prepare_notebook_metadata, remove_error_markers
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from ...decide import notebook as known
from ...decide.executors import check
from ...decide.redact import redact
from ...errors import EngineError, QCityError
from ...io import secrets
from ...model.home import Home
from ...model.schedule import Cell, CellState, Live, RunState
from ...model.service import Sandbox
from ...model.wire import Fact, RunBegan, RunEnded, RunMoved, RunNotebook
from .. import sandboxes
from . import crate
from .control import RENDERER, RENDERS, Control, Kept, inherited
from .execution import RunEnded as Stopped
from .execution import execute
from .executors import Executors, Lost
from .far import Bundle, pass_on
from .record import CANCELLED, DONE, write_whole
from .shut import ARTIFACTS, Shut

TOLD_EVERY = 0.25
"""Seconds between two words about where it is."""
TAIL = 400
STOPPED = "its worker was stopped"
KERNEL_NAME = "python3"
HOME = "QCITY_HOME"
"""Makes `qcity_nb.open()` in a notebook the place that runs it."""
OFFERED = {"run_id", "attempt", "fire_time"}
"""Parameters that a notebook gets from us if it has them."""


@dataclass
class Parked:
    """A kernel that is kept, with the notebook as it was executed, and until when."""

    kernel: Kept
    nb: NotebookNode
    cell: int
    until: float


class Attempt(Control):
    """An attempt at a run.

    Args:
        order: what to run.
        home: where everything lies.
        parked: the kernel to go on with.
        report: takes its facts.
        done: called when it is over.
        executors: execute what is not to be executed here.
    """

    def __init__(
        self,
        order: RunNotebook,
        home: Home,
        *,
        parked: Parked | None,
        report: Callable[[Fact], None],
        done: Callable[[], None],
        executors: Executors,
    ) -> None:
        self._executors = executors
        self.order, self._home, self._parked, self._report, self._done = order, home, parked, report, done
        self._shuts = order.plan.sandbox is not Sandbox.NONE
        self.keeps = order.plan.park.total_seconds() > 0 and not self._shuts  # a sandbox ends with the thread that made it
        self.parks: Parked | None = None
        self.why = ""
        self.finished = False
        self._stop: Callable[[], object] | None = None
        self._lock, self._telling = threading.Lock(), threading.Lock()
        self._cells: dict[int, Cell] = {}
        self._live: Live | None = None
        self._tail, self._told, self._number = "", 0.0, 0
        self._later: threading.Timer | None = None
        self._told_cells: tuple[Cell, ...] = ()
        self.thread = threading.Thread(target=self._run, name=f"run-{order.token}", daemon=True)

    def end(self, why: str) -> None:
        """Ask it to end; the first reason counts."""
        with self._lock:
            self.why = self.why or why
            if self._stop is not None:
                self._stop()

    # what the execution tells

    def ready(self, stop: Callable[[], object]) -> None:
        """It may be stopped from now on; perhaps it already was."""
        with self._lock:
            self._stop = stop
            if self.why:
                stop()

    def over(self) -> None:
        """It may not any more."""
        with self._lock:
            self._stop = None

    def began(self, number: int) -> None:
        """A cell begins."""
        cell = self._cells[number] = _moved(self._cells[number], CellState.RUNNING)
        self._tail, self._number = "", number
        self._live = Live(cell=number + 1, cells=len(self._cells), title=cell.title, since=now())
        self._tell()

    def ended(self, number: int, *, seconds: float, failed: bool) -> None:
        """A cell ended."""
        state = CellState.FAILED if failed else CellState.DONE
        self._cells[number] = _moved(self._cells[number], state, round(seconds, 3))

    def said(self, text: str) -> None:
        """A cell printed something."""
        self._tail = (self._tail + text)[-4 * TAIL :]
        self._tell()

    def shows(self, tail: str) -> None:
        """What a cell elsewhere printed last."""
        self._tail = tail
        self._tell()

    def kept(self, kernel: Kept) -> None:
        """The kernel of a cell that failed."""
        self.parks = Parked(kernel, self._nb, self._number, time.monotonic() + self.order.plan.park.total_seconds())

    def _tell(self) -> None:
        """Say where it is; what comes too soon after the last word is said when its time has come, for a silent cell says nothing later."""
        with self._telling:
            wait = self._told + TOLD_EVERY - time.monotonic()
            if wait > 0:
                if self._later is None:
                    self._later = threading.Timer(wait, self._tell_later)
                    self._later.daemon = True
                    self._later.start()
                return
            self._say()

    def _tell_later(self) -> None:
        with self._telling:
            if self._later is not None:
                self._later = None
                self._say()

    def _say(self) -> None:
        if self._live is None:
            return
        self._told = time.monotonic()
        tail = redact(self._tail, self.secrets)[-TAIL:]
        live = replace(self._live, tail=tail, share=known.share(tail))
        cells = tuple(self._cells.values())
        self._report(RunMoved(token=self.order.token, live=live, cells=() if cells == self._told_cells else cells))
        self._told_cells = cells

    def _hush(self) -> None:
        """Nothing more is said of where it is."""
        with self._telling:
            if self._later is not None:
                self._later.cancel()
                self._later = None
            self._live = None

    # from the order to the report

    def _run(self) -> None:
        fact = self._fact(RunState.FAILED, "it ended without a word")
        try:
            level = sandboxes.best(self.order.plan.sandbox)[1] if self._shuts else Sandbox.NONE
            self._report(RunBegan(token=self.order.token, at=now(), sandbox=level.value))
            fact = self._before() or self._execute()
        except Lost as error:
            fact = self._fact(RunState.LOST, self.why or error.what, died=self.why != STOPPED)
        except QCityError as error:
            fact = self._fact(RunState.FAILED, error.what)
        except OSError as error:
            fact = self._fact(RunState.FAILED, f"{error.strerror or error}: {error.filename or 'its executed notebook'}")
        except Exception as error:  # noqa: BLE001 - whatever papermill or nbformat meets in somebody's notebook, the run says it
            fact = self._fact(RunState.FAILED, f"{type(error).__name__}: {error}")
        finally:
            self._hush()
            if self.shut is not None and self.shut.close() and fact.state is RunState.FAILED:
                fact = msgspec.structs.replace(fact, reason=f"{fact.reason}; {self.shut.short}")
            self._report(fact)
            self.finished = True
            self._done()

    def _before(self) -> RunEnded | None:
        """What an earlier attempt came to whose worker died before it could say so, or whose copy could not be made."""
        if self.why:
            return self._fact(RunState.LOST if self.why == STOPPED else RunState.CANCELLED, self.why)
        earlier = (self._path(number) for number in range(self.order.attempt - 1, 0, -1))
        path = next((one for one in earlier if one.exists()), None)  # one that only tried to copy executed nothing
        if path is None or nbformat.read(path, as_version=4).metadata.get("qcity", {}).get("status") != DONE:
            return None
        self._copy(path.read_text(encoding="utf-8"))  # that may be what was missing
        return self._fact(RunState.DONE, "", output=path)

    def _execute(self) -> RunEnded:
        path, plan = self._path(self.order.attempt), self.order.plan
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {name.upper(): secrets.load(self._home, name) for name in plan.secrets}
        kept = path.parent / "artifacts"
        if plan.executor:
            check(plan)  # the worker may ask for a sandbox that the plan does not
            self.env = values
        elif self._shuts:
            self.shut = Shut(plan, self._home, kept)
            self.env = self.shut.environment({RENDERER: RENDERS, **values})
        else:
            kept.mkdir(exist_ok=True)
            self.env = {**inherited(), HOME: str(self._home.root), ARTIFACTS: str(kept), **values}
        self.secrets = sorted((value for value in values.values() if len(value) >= 4), key=len, reverse=True)
        nb = self._prepare(path)
        self._go_on(nb)
        titles = known.titles(nb.cells)
        self._cells = {number: Cell(number=number + 1, title=titles[number]) for number, cell in enumerate(nb.cells) if cell.cell_type == "code"}
        for number in [number for number in self._cells if number < self.first]:
            self._cells[number] = _moved(self._cells[number], CellState.DONE)
        begin = {"run": self.order.run, "attempt": self.order.attempt}
        try:
            nb = self._elsewhere(nb, path) if plan.executor else self._here(nb, path)
        except Stopped as error:
            state = RunState.FAILED
            if error.status == CANCELLED:
                state = RunState.LOST if self.why == STOPPED else RunState.CANCELLED
            return self._fact(state, self.why or error.what, output=path)
        nb.metadata["qcity"] |= begin
        return self._save(nb, path)

    def _here(self, nb: NotebookNode, path: Path) -> NotebookNode:
        plan = self.order.plan
        return execute(
            nb,
            self._kernel(nb),
            str(path),
            progress_bar=False,
            execution_timeout=_seconds(plan.cell_timeout),
            run_timeout=_seconds(plan.timeout),
            cwd=Path(plan.notebook).parent,
            control=self,
        )

    def _elsewhere(self, nb: NotebookNode, path: Path) -> NotebookNode:
        """The notebook as it was executed elsewhere. Raises `Lost`, `Stopped` and what else can be said of it."""
        plan = self.order.plan
        bundle = Bundle(
            token=self.order.token,
            notebook=nbformat.v4.writes(nb, indent=None),
            kernel=self._kernel(nb),
            folder=str(Path(plan.notebook).parent),
            env=self.env or {},
            secrets=tuple(self.secrets),
            timeout=_seconds(plan.timeout),
            cell_timeout=_seconds(plan.cell_timeout),
        )
        result = self._executors.of(plan.executor).run(bundle, self)
        for cell in result.cells:
            pass_on(cell, self)
        left = result.left or crate.unpack(result.artifacts, path.parent / "artifacts")
        if result.notebook:
            write_whole(result.notebook, path)
        if result.status and (result.notebook or result.status == CANCELLED):
            raise Stopped(result.status, "; ".join(filter(None, (result.reason, left))), result.todo)
        if result.status:
            raise EngineError(result.reason, result.todo)
        nb = nbformat.reads(result.notebook, as_version=4)
        if left:
            nb.metadata["qcity"]["reason"] = "; ".join(filter(None, (nb.metadata["qcity"].get("reason"), left)))
        return nb

    def _save(self, nb: NotebookNode, path: Path) -> RunEnded:
        told = nb.metadata["qcity"]
        text = nbformat.v4.writes(nb) + "\n"
        write_whole(text, path)
        self._copy(text)
        if told["status"] == DONE:
            return self._fact(RunState.DONE, told.get("reason", ""), output=path, changed=self._changed(nb))
        parked = None
        if self.parks is not None:
            parked = now() + self.order.plan.park
        return self._fact(RunState.FAILED, told.get("reason", ""), output=path, cell=told.get("cell", 0) + 1, parked=parked)

    def _copy(self, text: str) -> None:
        if self.order.plan.output:
            write_whole(text, Path(self.order.plan.output))

    def _prepare(self, path: Path) -> NotebookNode:
        """The notebook as it will run."""
        plan = self.order.plan
        source = Path(plan.notebook)
        told = known.read(source.read_text(encoding="utf-8"), source.name)
        offered = {"run_id": self.order.run, "attempt": self.order.attempt, "fire_time": self.order.at.isoformat()}
        wanted = OFFERED & set(known.defaults(told) or ())
        parameters = {**{name: value for name, value in offered.items() if name in wanted}, **plan.parameters}
        known.check_parameters(told, plan.parameters, source.name)
        nb = load_notebook_node(str(source))
        if parameters:
            nb = parameterize_notebook(nb, parameters, kernel_name=self._kernel(nb), language=_language(nb))
        nb = prepare_notebook_metadata(nb, str(source), str(path))
        self._nb: NotebookNode = remove_error_markers(nb)
        return self._nb

    def _kernel(self, nb: NotebookNode) -> str:
        """The kernel that was asked for, or that the notebook names; Jupyter's usual one when nobody does."""
        return self.order.plan.kernel or str(nb.metadata.get("kernelspec", {}).get("name") or KERNEL_NAME)

    def _go_on(self, nb: NotebookNode) -> None:
        """Where to begin: at the cell that failed, if all before it are as they were and their kernel is here."""
        parked = self._parked
        if parked is None:
            return
        changed = known.first_changed(parked.nb.cells, nb.cells, parked.cell)
        if changed is not None or parked.cell >= len(nb.cells):
            return
        self.kernel, self.first, self.earlier = parked.kernel, parked.cell, parked.nb.cells[: parked.cell]
        self._parked = None

    @property
    def unused(self) -> Parked | None:
        """The kernel that was there to go on with and was not needed."""
        return self._parked

    def _changed(self, nb: NotebookNode) -> str:
        if not self.order.last:
            return ""
        last = self._home.root / self.order.last
        try:
            found = known.differences(known.read(last.read_text(encoding="utf-8"), last.name), nb)
        except (OSError, QCityError):
            return ""
        return f"cell {', '.join(map(str, found))} shows something else than last time" if found else "it shows what it showed last time"

    def _path(self, attempt: int) -> Path:
        return self._home.run(self.order.run, attempt) / Path(self.order.plan.notebook).name

    def _fact(self, state: RunState, reason: str, *, output: Path | None = None, **more: Any) -> RunEnded:
        cells = tuple(_moved(cell, CellState.FAILED) if cell.state is CellState.RUNNING else cell for cell in self._cells.values())
        below = str(output.relative_to(self._home.root)) if output is not None and output.exists() else ""
        return RunEnded(token=self.order.token, at=now(), state=state, reason=redact(reason, self.secrets), cells=cells, output=below, **more)


def _moved(cell: Cell, state: CellState, seconds: float | None = None) -> Cell:
    return replace(cell, state=state, seconds=cell.seconds if seconds is None else seconds)


def _seconds(span: Any) -> float | None:
    return None if span is None else float(span.total_seconds())


def _language(nb: NotebookNode) -> str:
    told = nb.metadata.get("kernelspec", {}).get("language") or nb.metadata.get("language_info", {}).get("name")
    return str(told or "python")


def now() -> datetime:
    """The wall clock."""
    return datetime.now(timezone.utc)

