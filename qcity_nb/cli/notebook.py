"""The verbs of `qcity notebook`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..client import shapes
from ..client.link import now
from ..client.runs import CELL_GLYPHS, Run, level_of, name_of, said, took, where
from ..decide import notebook as decide
from ..decide.wording import line, span
from ..errors import BadInput
from ..model.schedule import RunState
from ..store.runs import RunRow
from .screen import Mark, open_place, out, put_facts, put_json, put_table

WIDTH = 20


def run(args: argparse.Namespace) -> int:
    """Run one now and watch it."""
    with open_place(args) as city:
        started = city.notebooks.run(args.notebook, parameters_of(args), key=args.key, **how_of(args))
        if args.detach:
            out(f"Run {started.id} of {Path(args.notebook).name} begins; qcity notebook show {started.id} says where it is.")
            return 0
        return _watch(started)


def list_(args: argparse.Namespace) -> int:
    """The newest runs by day, and what comes next."""
    if args.limit < 1:
        raise BadInput(f"--limit {args.limit}: it has to be 1 or more", "Leave it out for 30")
    with open_place(args) as city:
        rows = city.notebooks.rows(limit=args.limit, schedule=args.schedule)
        if args.json:
            return put_json(shapes.notebook_runs(rows, root=city.home))
        shown: list[tuple[object, ...]] = []
        day = ""
        for row in sorted(rows, key=lambda row: (row.at, row.id)):
            this, name = f"{row.at:%a %d %b}", line(name_of(row), limit=40)
            shown.append((this if this != day else "", f"{row.at:%H:%M}", row.id, _word(row), name, span(took(row)), where(row)))
            day = this
        for entry in sorted((one for one in city.notebooks.schedules.rows() if one.next), key=lambda one: one.next or now())[:5]:
            if args.schedule in (None, entry.schedule.name) and entry.next is not None:
                this, wait = f"{entry.next:%a %d %b}", span(max((entry.next - now()).total_seconds(), 0))
                shown.append((this if this != day else "", f"{entry.next:%H:%M}", "", "next", line(entry.schedule.name, limit=40), "", f"in {wait}"))
                day = this
        put_table(("day", "UTC", "run", "is", "name", "took", ""), shown, empty="No notebook has run yet: qcity notebook run NOTEBOOK runs one.")
    return 0


def show(args: argparse.Namespace) -> int:
    """One run with its cells."""
    with open_place(args) as city:
        found = city.notebooks[args.id]
        row = found.row
        if args.json:
            return put_json(shapes.notebook_run(row, root=city.home))
        usual = found.usual()
        cells = [
            f"{CELL_GLYPHS[one.state]} {one.number} {line(one.title)}" + (f", {span(one.seconds)}" if one.seconds is not None else "")
            + (f" (usually {span(usual[one.number])})" if one.number in usual else "")
            for one in row.cells
        ]  # fmt: skip
        pairs = [("at", where(row) if row.live else ""), ("says", "\n".join(said(row))), *found.pairs(), ("cells", "\n".join(cells))]
        put_facts(f"{_word(row)}: run {row.id} of {line(name_of(row))}", pairs)
    return 0


def cancel(args: argparse.Namespace) -> int:
    """End one."""
    with open_place(args) as city:
        city.notebooks[args.id].cancel()
        out(f"Run {args.id} is being cancelled: its cell is interrupted, then its kernel is ended.")
    return 0


def resume(args: argparse.Namespace) -> int:
    """Go on from the cell that failed."""
    with open_place(args) as city:
        again = city.notebooks[args.id].resume()
        out(f"Run {args.id} goes on as run {again.id}.")
        return _watch(again)


def report(args: argparse.Namespace) -> int:
    """Make a page of one."""
    with open_place(args) as city:
        out(str(city.notebooks[args.id].report(args.output)))
    return 0


def how_of(args: argparse.Namespace) -> dict[str, Any]:
    """What was said of how a notebook is to run."""
    names = ("kernel", "retries", "backoff", "timeout", "cell_timeout", "output", "park", "compare", "executor", "sandbox", "network")
    return {**{name: getattr(args, name) for name in names}, "secrets": tuple(args.secret)}


def parameters_of(args: argparse.Namespace) -> Mapping[str, object]:
    """The parameters that were given, as what the notebook's defaults are. Raises `BadInput` for one without a value."""
    texts: dict[str, str] = {}
    for given in args.parameter:
        name, equals, value = given.partition("=")
        if not equals or not name.strip():
            raise BadInput(f'-p "{given}" is no parameter', "Write it as NAME=VALUE")
        texts[name.strip()] = value
    path = Path(args.notebook).expanduser()
    if not texts or not path.is_file():
        return texts
    return decide.typed(decide.read(path.read_text(encoding="utf-8", errors="replace"), path.name), texts)


def _word(row: RunRow) -> Mark:
    return Mark(level_of(row), row.state.value)


def _watch(run: Run) -> int:
    """Show where it is until it is over; Ctrl-C leaves it running."""
    terminal, told, begin = sys.stdout.isatty(), "", time.monotonic()
    try:
        for row in run.watch():
            if row.state.over:
                break
            text = _bar(row) if terminal else f"run {row.id}: {row.state.value}" + (f", {where(row)}" if row.live else "")
            if terminal:
                sys.stdout.write(f"\r\x1b[K{text}  {span(time.monotonic() - begin)}")
                sys.stdout.flush()
            elif text != told and (row.live or row.reason):
                out(text)
            told = text
    except KeyboardInterrupt:
        out(f"\nRun {run.id} goes on; qcity notebook cancel {run.id} ends it.")
        raise
    if terminal:
        sys.stdout.write("\r\x1b[K")
    out(f"{_word(row)}: run {row.id} of {line(name_of(row))}, {span(took(row))}" + (f": {row.reason}" if row.reason else ""))
    if run.resumable:
        out(f"Mend the notebook, then: qcity notebook resume {row.id} goes on from cell {row.cell}")
    if row.output:
        out(f"Executed: {run.output}\nA page of it: qcity notebook report {row.id}")
    return 0 if row.state is RunState.DONE else 1


def _bar(row: RunRow) -> str:
    if row.live is None:
        return f"run {row.id}: {row.state.value}"
    done = round(WIDTH * (row.live.cell - 1) / max(row.live.cells, row.live.cell, 1))
    return f"run {row.id} {'█' * done}{'░' * (WIDTH - done)} {where(row)}"
