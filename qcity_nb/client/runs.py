"""Runs of notebooks: one is a live handle; see its cells, cancel it, go on from the cell that failed, make a page of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..decide import runs as states
from ..decide.health import Level
from ..decide.wording import line, span
from ..errors import BadInput, EngineError, NotFound
from ..io.files import is_locked
from ..model.schedule import Cell, CellState, RunState
from ..model.service import Sandbox
from ..store import runs as store
from ..store.runs import RunRow
from .health import Painter
from .link import Link, now
from .tables import Html, Shown, clock, escape, facts, frame, mark, table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "id": "whole",
    "schedule": "text",
    "notebook": "text",
    "state": "text",
    "attempt": "whole",
    "at": "moment",
    "started": "moment",
    "finished": "moment",
    "late_s": "number",
    "duration_s": "number",
    "cell": "whole",
    "reason": "text",
}
CELL_COLUMNS = {"number": "whole", "title": "text", "state": "text", "seconds": "number", "usual_s": "number"}
LEVELS = {
    RunState.PLANNED: Level.OFF,
    RunState.RUNNING: Level.WARN,
    RunState.DONE: Level.WELL,
    RunState.CANCELLED: Level.OFF,
    RunState.MISSED: Level.WARN,
    RunState.FAILED: Level.BAD,
    RunState.LOST: Level.BAD,
}
_CELLS = {CellState.PENDING: Level.OFF, CellState.RUNNING: Level.WARN, CellState.DONE: Level.WELL, CellState.FAILED: Level.BAD}
CELL_GLYPHS = {CellState.PENDING: "·", CellState.RUNNING: "▸", CellState.DONE: "✔", CellState.FAILED: "✘"}
USUAL = 10
"""So many earlier runs say what is usual."""


def level_of(row: RunRow) -> Level:
    """How a run stands, as one of the levels of health."""
    return LEVELS[row.state]


def name_of(row: RunRow) -> str:
    """What a run is called: its schedule, or its notebook."""
    return row.schedule or Path(row.plan.notebook).name


def took(row: RunRow) -> timedelta | None:
    """How long its last attempt has run."""
    return None if row.started is None else max((row.finished or now()) - row.started, timedelta(0))


def where(row: RunRow) -> str:
    """What stands beside its state: where it is, or why it ended."""
    if row.live is not None:
        bar = "" if row.live.share is None else f", {row.live.share:.0%}"
        return f'cell {row.live.cell} "{line(row.live.title, limit=40)}"{bar}'
    return line(row.reason, limit=200)


def brief(row: RunRow) -> str:
    """A run in one line."""
    told = where(row)
    return f"<Run {row.id} · {line(name_of(row), limit=60)} · {row.state.value}{f' · {told}' if told else ''}>"


class Run(Shown):
    """One run, as it is whenever it is looked at."""

    def __init__(self, link: Link, painter: Painter, id_: int) -> None:
        self._link, self._painter, self.id = link, painter, id_
        self._shown: Callable[[], bool] | None = None

    @property
    def row(self) -> RunRow:
        """What the store knows."""
        with self._link.read() as connection:
            row = store.get_run(connection, self._link.place, self.id)
        if row is None:
            raise NotFound(f"there is no run {self.id} any more", "qcity notebook list shows those there are")
        return row

    @property
    def state(self) -> RunState:
        """Where it stands."""
        return self.row.state

    @property
    def output(self) -> Path | None:
        """The executed notebook; while it runs, as far as it is."""
        row, home = self.row, self._link.store.home
        path = home.root / row.output if row.output else home.run(row.id, row.attempt) / Path(row.plan.notebook).name
        return path if path.exists() else None

    @property
    def artifacts(self) -> tuple[Path, ...]:
        """The files that its last attempt put into the folder that its kernel knew as QCITY_ARTIFACTS."""
        folder = self._link.store.home.run(self.id, self.row.attempt) / "artifacts"
        return tuple(sorted(path for path in folder.rglob("*") if path.is_file()))

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Its code cells, each with its state and how long it took."""
        return self.row.cells

    @property
    def resumable(self) -> bool:
        """Whether it can go on from the cell that it failed in."""
        return states.resumable(self.row, now=now())

    @property
    def home(self) -> Path:
        """The folder of the place whose it is."""
        return self._link.store.home.root

    @property
    def tended(self) -> bool:
        """Whether an engine lives here that sees to it."""
        return is_locked(self._link.store.home.lock)

    def report(self, path: str | Path | None = None) -> Path:
        """A page with all that it showed, that needs no network.

        Args:
            path: where to put it; None puts it beside the executed notebook.

        Raises:
            NotFound: nothing was executed yet.
            MissingTool: nbconvert is not installed.
        """
        found = self.output
        if found is None:
            raise NotFound(f"run {self.id} has left no notebook: {self.state.value}", f"qcity notebook show {self.id}")
        target = Path(path) if path is not None else found.with_suffix(".html")
        if target.is_dir():
            raise BadInput(f"{target} is a folder", "Give the name of a file")
        return self._painter.notebook_report(found, target, title=f"{name_of(self.row)}, run {self.id}", facts=self.pairs())

    def cancel(self, reason: str = "asked by a person") -> Run:
        """End it: its cell is interrupted, then its kernel is ended."""
        self._link.ask("notebook.cancel", str(self.id), {"reason": reason})
        return self

    def resume(self) -> Run:
        """Go on from the cell that failed, in the kernel as it was left; with the notebook as it is now."""
        answer = self._link.ask("notebook.resume", str(self.id))
        return Run(self._link, self._painter, int(answer["run"]))

    def wait(self, timeout: float = 3600.0) -> Run:
        """Wait until it is over. Raises `EngineError` when that takes longer."""
        for _ in self._link.until(timeout):
            if self.row.state.over:
                return self
        raise EngineError(f"run {self.id} is not over after {span(timeout)}", f"qcity notebook show {self.id} says where it stands", permanent=False)

    def watch(self) -> Iterator[RunRow]:
        """What the store knows of it, again and again until it is over; an engine that dies meanwhile is replaced."""
        for _ in self._link.until(math.inf):
            row = self.row
            yield row
            if row.state.over:
                return

    def live(self, *, block: bool = True) -> Run:
        """Show it in the cell that this is called from, as it goes on: where it is, for how long, what it prints. How it ended stays there.

        Needs no widget and no network: Jupyter, Colab and papermill show the same. Outside of a notebook it prints a line for each change.

        Args:
            block: False gives the cell back at once; the view goes on by itself and only looks, so a dead engine is replaced by your next command.

        Raises:
            KeyboardInterrupt: Interrupt ends the view and not the run; it says so.
        """
        self._shown = self._painter.live(self, block=block)
        return self

    def frame(self) -> pd.DataFrame:
        """Its cells as a pandas frame, with how long each usually takes: the median of the last runs that were done."""
        usual = self.usual()
        rows = [
            {"number": one.number, "title": one.title, "state": one.state.value, "seconds": one.seconds, "usual_s": usual.get(one.number)}
            for one in self.cells
        ]
        return frame(CELL_COLUMNS, rows)

    def usual(self) -> dict[int, float]:
        """How many seconds each cell usually takes, by its number."""
        row = self.row
        with self._link.read() as connection:
            known = store.latest_runs(connection, self._link.place, schedule=row.schedule, notebook=row.plan.notebook)
        done = [one for one in known if one.state is RunState.DONE and one.id < row.id][-USUAL:]
        spans: dict[int, list[float]] = {}
        for one in done:
            for cell in one.cells:
                if cell.seconds is not None:
                    spans.setdefault(cell.number, []).append(cell.seconds)
        return {number: sorted(found)[len(found) // 2] for number, found in spans.items()}

    def __repr__(self) -> str:
        return brief(self.row)

    def pairs(self) -> list[tuple[str, object]]:
        """What there is to say of it, as names and values."""
        row = self.row
        resume = f"qcity notebook resume {row.id} goes on from cell {row.cell}" if states.resumable(row, now=now()) else ""
        return [
            ("why", row.reason),
            ("next", resume),
            ("notebook", row.plan.notebook),
            ("executor", line(row.plan.executor)),
            ("parameters", ", ".join(f"{name} = {value!r}" for name, value in row.plan.parameters.items())),
            ("for", f"{clock(row.at)} UTC" if row.schedule else ""),
            ("attempt", row.attempt if row.attempt > 1 else ""),
            ("before", "; ".join(f"attempt {one.number} {one.state.value}: {one.reason}" for one in row.attempts)),
            ("took", span(took(row)) if row.started else ""),
            ("compared", row.changed),
            ("sandbox", row.sandbox if row.plan.sandbox is not Sandbox.NONE or row.sandbox not in ("", "none") else ""),
            ("artifacts", ", ".join(path.name for path in self.artifacts)),
            ("executed", self.output),
        ]

    def _html(self) -> str:
        row, usual = self.row, self.usual()
        if self._shown is not None and self._shown():  # its live view stands right above and says all of it
            return escape(f"Run {row.id}: {line(name_of(row), limit=60)}")
        rows = [
            (one.number, Html(mark(_CELLS[one.state], one.state.value)), line(one.title), span(one.seconds), span(usual.get(one.number)))
            for one in row.cells
        ]
        pairs = [("is", Html(mark(level_of(row), row.state.value))), ("at", where(row) if row.live else ""), *self.pairs()]
        cells = table("", ("cell", "is", "title", "took", "usually"), rows, empty="") if rows else ""
        told = "\n".join(said(row))
        tail = f'<pre style="margin:4px 0;opacity:0.8">{escape(told)}</pre>' if told else ""
        return facts(f"Run {row.id}: {name_of(row)}", pairs) + tail + cells


def said(row: RunRow) -> list[str]:
    """The last lines that its cell printed, as a terminal would show them: what a progress bar wrote over is gone."""
    lines = row.live.tail.replace("\r\n", "\n").split("\n") if row.live else []
    return [shown for line_ in lines if (shown := next((part for part in reversed(line_.split("\r")) if part.strip()), ""))][-6:]


def record(row: RunRow) -> dict[str, Any]:
    """A run as one line of a frame."""
    length = took(row)
    late = max(row.started - row.at, timedelta(0)) if row.started else None
    return {
        "id": row.id,
        "schedule": row.schedule,
        "notebook": row.plan.notebook,
        "state": row.state.value,
        "attempt": row.attempt,
        "at": row.at,
        "started": row.started,
        "finished": row.finished,
        "late_s": late.total_seconds() if late is not None else None,
        "duration_s": length.total_seconds() if length is not None else None,
        "cell": row.cell,
        "reason": row.reason,
    }
