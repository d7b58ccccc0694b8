"""A run as it goes on, in a notebook's cell: one display that is replaced in place, so that Jupyter, Colab and papermill show the same.

Plain HTML with inline styles and no widget: what it showed last is what the saved notebook keeps. Outside of notebooks it prints lines.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..client.link import now
from ..client.runs import CELL_GLYPHS, Run, brief, level_of, name_of, said
from ..client.tables import Html, escape, facts, mark, table
from ..decide.wording import count, line, span
from ..errors import QCityError
from ..model.schedule import Cell, CellState, RunState
from ..store.runs import RunRow

EVERY = 0.25
"""Seconds between two looks, and between two drawings at least: fast enough to follow, slow enough to read."""
COLOURS = {CellState.PENDING: "#808080", CellState.RUNNING: "#0072b2", CellState.DONE: "#009e73", CellState.FAILED: "#d55e00"}
FULL = "#0072b2"
AFTER = ("why", "next", "before", "compared", "executed")
"""What is said of a run that is over, below its cells."""
SHOWN = 40
"""Cells that are shown at most: those around where it is."""
_views: dict[tuple[str, int], threading.Event] = {}
_lock = threading.Lock()


class Interrupted(KeyboardInterrupt):
    """A person stopped looking. A notebook shows the sentence and no traceback; the cells that wait behind it are not run, as after any Interrupt."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def live(run: Run, *, block: bool) -> Callable[[], bool]:
    """Show a run until it is over.

    Args:
        block: False shows it from a thread, which ends with the run, or when a newer view of the same run begins.

    Returns:
        What says whether the cell that it was called from still is the one that runs.

    Raises:
        Interrupted: Interrupt; the run goes on.
    """
    shell = _shell()
    view = View(run, None if shell is None else _display)
    if block:
        view.follow()
    else:
        _in_background(view)
    if shell is None:
        return lambda: False
    number = shell.execution_count
    return lambda: bool(shell.execution_count == number)


class View:
    """One run on the screen.

    Args:
        display: shows a bundle of text and HTML and gives back what replaces it; None prints lines.
    """

    def __init__(self, run: Run, display: Callable[[dict[str, str]], Callable[[dict[str, str]], None]] | None) -> None:
        self.run, self._display = run, display
        self._replace: Callable[[dict[str, str]], None] | None = None
        self._usual: Mapping[int, float] | None = None
        self._drawn, self._last = 0.0, ("", "")
        self._state: RunState | None = None

    def follow(self) -> None:
        """Look until it is over, here. Raises `Interrupted`."""
        row = self.run.row
        try:
            for row in self.run.watch():
                self.draw(row)
        except KeyboardInterrupt:
            words = f"Run {row.id} goes on: city.notebooks[{row.id}].live() shows it again, .cancel() ends it."
            self.draw(row, note=f"You stopped looking. {words}")
            raise Interrupted(words) from None

    def watch(self, stop: threading.Event) -> None:
        """Look until it is over, or until it is told to stop; never start anything."""
        try:
            while True:
                row = self.run.row
                self.draw(row, note="" if row.state.over or self.run.tended else "No engine runs here; your next command starts one.")
                if row.state.over:
                    return
                if stop.wait(EVERY):
                    self.draw(row, note="It is shown where it was asked for last.")
                    return
        except QCityError as error:
            self._put(f"this view has ended: {error}", f"<div>This view has ended: {escape(error)}</div>")

    def draw(self, row: RunRow, *, note: str = "") -> None:
        """Show how it is, unless that was shown just now."""
        if row.state is self._state and not note and time.monotonic() - self._drawn < EVERY:
            return
        if self._usual is None:
            self._usual = self.run.usual()
        after = self._after(row) if row.state.over and self._display is not None else []
        self._state, self._drawn = row.state, time.monotonic()
        self._put(brief(row) + (f"\n{note}" if note else ""), page(row, self._usual, at=now(), note=note, after=after))

    def _after(self, row: RunRow) -> list[tuple[str, object]]:
        """What is to be said when it is over; what to do next as a line for the next cell."""
        again = f"mend the notebook, then: city.notebooks[{row.id}].resume().live() goes on from cell {row.cell}" if self.run.resumable else ""
        return [("next", again) if name == "next" else (name, value) for name, value in self.run.pairs() if name in AFTER]

    def _put(self, text: str, shown: str) -> None:
        if self._last == (text, shown):
            return
        if self._display is None:
            if text != self._last[0]:
                sys.stdout.write(f"{text}\n")
                sys.stdout.flush()
        elif self._replace is None:
            self._replace = self._display({"text/plain": text, "text/html": shown})
        else:
            self._replace({"text/plain": text, "text/html": shown})
        self._last = (text, shown)


def page(row: RunRow, usual: Mapping[int, float], *, at: datetime, note: str = "", after: list[tuple[str, object]] | None = None) -> str:
    """A run as HTML that a notebook which is not trusted shows too.

    Args:
        usual: how many seconds each cell usually takes, by its number.
        at: now.
        note: a sentence below.
        after: what is to be said when it is over.
    """
    over = sum(cell.state in (CellState.DONE, CellState.FAILED) for cell in row.cells)
    passed = "" if row.started is None else ticking(((row.finished or at) - row.started).total_seconds())
    again = f"attempt {row.attempt}" if row.attempt > 1 else ""
    counted = f"{over} of {count(len(row.cells), 'cell')}" if row.cells else ""
    words = [f"<b>{escape(line(name_of(row), limit=80))}</b>", f"run {row.id}", again, counted, passed]
    state = _glyph(CellState.RUNNING) if row.state is RunState.RUNNING else mark(level_of(row), row.state.value)
    head = " &nbsp;·&nbsp; ".join(word for word in (state, *words) if word)
    share = (over + (row.live.share or 0 if row.live else 0)) / len(row.cells) if row.cells else 0.0
    parts = [f'<div style="margin:4px 0">{head}</div>', bar(share, width="480px"), _cells(row, usual, at)]
    if told := "\n".join(said(row)):
        parts.append(f'<pre style="margin:6px 0;opacity:0.8;white-space:pre-wrap">{escape(told)}</pre>')
    if not row.state.over and row.reason:
        parts.append(f"<div>{escape(line(row.reason))}</div>")
    parts += [facts("", after) if after else "", f"<div>{escape(note)}</div>" if note else ""]
    return "".join(parts)


def bar(share: float, *, width: str) -> str:
    """A bar that is full up to a share. The number stands beside it or in words elsewhere: it only draws."""
    full = f'<div style="width:{min(max(share, 0), 1) * 100:.0f}%;height:6px;border-radius:3px;background:{FULL}"></div>'
    return f'<div style="width:{width};max-width:100%;height:6px;border-radius:3px;background:rgba(128,128,128,0.3)">{full}</div>'


def ticking(seconds: float) -> str:
    """A length of time as a clock shows it: `0:07`, `12:40`, `1:02:03`."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _cells(row: RunRow, usual: Mapping[int, float], at: datetime) -> str:
    if not row.cells:
        return ""
    current = next((number for number, cell in enumerate(row.cells) if cell.state in (CellState.RUNNING, CellState.FAILED)), len(row.cells))
    begin = max(0, min(current - SHOWN // 2, len(row.cells) - SHOWN))
    shown = row.cells[begin : begin + SHOWN]
    known = any(cell.number in usual for cell in row.cells)
    rows = [(cell.number, Html(_glyph(cell.state)), line(cell.title), *_times(cell, row, usual if known else None, at)) for cell in shown]
    left = len(row.cells) - len(shown)
    more = f'<div style="opacity:0.7">and {count(left, "more cell")}</div>' if left else ""
    return table("", ("cell", "is", "title", "took", *(["usually"] if known else []), ""), rows) + more


def _glyph(state: CellState) -> str:
    return f'<span style="color:{COLOURS[state]}">{CELL_GLYPHS[state]}</span>&nbsp;{state.value}'


def _times(cell: Cell, row: RunRow, usual: Mapping[int, float] | None, at: datetime) -> tuple[object, ...]:
    known = () if usual is None else (span(usual[cell.number]) if cell.number in usual else "",)
    if cell.state is not CellState.RUNNING or row.live is None:
        return ("" if cell.seconds is None else span(cell.seconds), *known, "")
    share = row.live.share
    drawn = "" if share is None else Html(f'<div style="display:flex;align-items:center;gap:6px">{bar(share, width="120px")} {share:.0%}</div>')
    return ticking((at - row.live.since).total_seconds()), *known, drawn


def _in_background(view: View) -> None:
    key, stop = (str(view.run.home), view.run.id), threading.Event()
    with _lock:
        before = _views.pop(key, None)
        _views[key] = stop
    if before is not None:
        before.set()
    view.draw(view.run.row)  # from this thread: a display belongs to the cell whose thread made it

    def work() -> None:
        try:
            view.watch(stop)
        finally:
            with _lock:
                if _views.get(key) is stop:
                    del _views[key]

    threading.Thread(target=work, name=f"live-{view.run.id}", daemon=True).start()


def _shell() -> Any:
    """The notebook's shell; None outside of notebooks, where nothing can be replaced."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell = get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


def _display(bundle: dict[str, str]) -> Callable[[dict[str, str]], None]:
    from IPython.display import display

    handle = display(bundle, raw=True, display_id=True)
    return lambda new: handle.update(new, raw=True)
