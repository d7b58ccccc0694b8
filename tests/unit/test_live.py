"""What a run's live view shows while it goes on and what it leaves behind, over rows that are written as the engine writes them."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.client.runs import Run
from qcity_nb.errors import NotFound
from qcity_nb.model.schedule import Cell, CellState, Live, RunPlan, RunState
from qcity_nb.model.schedule import Run as Row
from qcity_nb.store import runs as store
from qcity_nb.testing.real_engine import until
from qcity_nb.ui import live
from qcity_nb.ui.painter import PAINTER

NOW = datetime(2026, 11, 28, 3, 0, 42, tzinfo=timezone.utc)
NASTY = '<script>alert("x")</script>'


def cell(number, title, state=CellState.DONE, seconds=None):
    return Cell(number=number, title=title, state=state, seconds=seconds)


def planned(**more):
    begin = NOW - timedelta(seconds=42)
    plan = RunPlan(notebook="/n/nightly.ipynb")
    known = {"id": 7, "schedule": "nightly", "key": "k", "plan": plan, "at": begin, "start": begin, "state": RunState.PLANNED, "planned": begin}
    return Row(**{**known, **more})


def running(**more):
    at = {"since": NOW - timedelta(seconds=30), "cell": 3, "cells": 3, "title": "learn"}
    known = {
        "state": RunState.RUNNING,
        "started": NOW - timedelta(seconds=40),
        "live": Live(**at, tail="epoch 1\r\nepoch 2\n 10%|#     | 1/10\r 40%|####  | 4/10\r", share=0.4),
        "cells": (cell(1, "load", seconds=9.5), cell(2, NASTY, seconds=0.2), cell(3, "learn", CellState.RUNNING), cell(5, "save", CellState.PENDING)),
    }
    return planned(**{**known, **more})


def put(city, row):
    with city.link.store.write() as connection:
        id_ = store.add_run(connection, city.link.place, row)
    return Run(city.link, PAINTER, id_)


def move(run, **changes):
    row = run.row
    with run._link.store.write() as connection:
        assert store.save(connection, replace(row, **changes), epoch=row.epoch)


class Screen:
    """A display that remembers."""

    def __init__(self):
        self.shown, self.displays = [], 0
        self.interrupt = False

    def __call__(self, bundle):
        self.displays += 1
        self.shown.append(bundle)
        return self.replace

    def replace(self, bundle):
        if self.interrupt:
            self.interrupt = False
            raise KeyboardInterrupt
        self.shown.append(bundle)


def words(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page.replace("&nbsp;", " ")).split())


def test_a_page_says_where_it_is_for_how_long_and_what_it_prints():
    text = words(live.page(running(), {1: 9.0}, at=NOW))
    assert "running · nightly · run 7 · 2 of 4 cells · 0:40" in text
    assert "1 ✔ done load 9.5 s 9.0 s" in text
    assert "3 ▸ running learn 0:30 40%" in text
    assert "5 · pending save" in text
    assert text.endswith("epoch 1 epoch 2 40%|#### | 4/10")
    assert "usually" in text
    assert "usually" not in words(live.page(running(), {}, at=NOW))


def test_a_page_survives_a_notebook_that_is_not_trusted():
    page = live.page(running(), {}, at=NOW, note=NASTY, after=[("why", NASTY)])
    assert not re.search(r"<(script|style|svg|link|img)|on\w+=|url\(", page)
    assert page.count("&lt;script&gt;") == 3


def test_of_a_long_notebook_the_cells_around_the_current_one_are_shown():
    cells = tuple(cell(n, f"part {n}", CellState.DONE if n < 300 else CellState.RUNNING if n == 300 else CellState.PENDING) for n in range(1, 501))
    page = live.page(running(cells=cells), {}, at=NOW)
    assert "part 300<" in page
    assert page.count("<tr>") == live.SHOWN + 1
    assert "and 460 more cells" in page


def test_what_waits_to_be_tried_again_says_why():
    row = planned(attempt=2, reason="attempt 1: cell 2: ValueError: no; it is tried again")
    text = words(live.page(row, {}, at=NOW))
    assert "planned · nightly · run 7 · attempt 2" in text
    assert text.endswith("attempt 1: cell 2: ValueError: no; it is tried again")


@pytest.mark.parametrize(("seconds", "clock"), [(0.4, "0:00"), (59.9, "0:59"), (760, "12:40"), (3723, "1:02:03"), (-5, "0:00")])
def test_a_length_of_time_as_a_clock_shows_it(seconds, clock):
    assert live.ticking(seconds) == clock


def test_one_display_is_replaced_until_the_run_is_over(city):
    run, screen = put(city, running(id=0)), Screen()
    view = live.View(run, screen)
    thread = threading.Thread(target=view.watch, args=(threading.Event(),))
    thread.start()
    until(lambda: screen.shown)
    kept = datetime.now(timezone.utc) + timedelta(hours=1)
    move(run, state=RunState.FAILED, reason="cell 3: ValueError: no", live=None, finished=NOW, cell=3, parked=kept)
    thread.join(10)
    assert not thread.is_alive()
    assert screen.displays == 1
    assert "running" in words(screen.shown[0]["text/html"])
    text = words(screen.shown[-1]["text/html"])
    assert "failed · nightly" in text
    assert "why cell 3: ValueError: no" in text
    assert f"city.notebooks[{run.id}].resume().live() goes on from cell 3" in text
    assert screen.shown[-1]["text/plain"] == f"<Run {run.id} · nightly · failed · cell 3: ValueError: no>"


def test_interrupt_ends_the_view_and_says_that_the_run_goes_on(city):
    run, screen = put(city, running(id=0)), Screen()
    screen.interrupt = True
    with pytest.raises(KeyboardInterrupt) as caught:
        live.View(run, screen).follow()
    assert caught.value._render_traceback_() == [f"Run {run.id} goes on: city.notebooks[{run.id}].live() shows it again, .cancel() ends it."]
    assert "You stopped looking." in words(screen.shown[-1]["text/html"])
    assert run.state is RunState.RUNNING


def test_a_dead_engine_is_said_and_not_replaced_by_a_view_that_only_looks(city, engine):
    run, screen = put(city, running(id=0)), Screen()
    engine.die()
    stop = threading.Event()
    stop.set()
    live.View(run, screen).watch(stop)
    assert "No engine runs here; your next command starts one." in words(screen.shown[0]["text/html"])
    assert not run.tended


def test_a_newer_view_of_the_same_run_ends_the_one_before(city, capsys):
    run = put(city, running(id=0))
    run.live(block=False).live(block=False)
    until(lambda: sum(one.name == f"live-{run.id}" for one in threading.enumerate()) == 1)
    move(run, state=RunState.DONE, live=None, finished=NOW)
    until(lambda: all(one.name != f"live-{run.id}" for one in threading.enumerate()))
    assert live._views == {}
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"<Run {run.id} · nightly · done>"
    assert "It is shown where it was asked for last." in said


def test_outside_of_notebooks_it_prints_a_line_for_each_change(city, capsys):
    run = put(city, running(id=0, state=RunState.DONE, live=None, finished=NOW))
    assert run.live() is run
    assert capsys.readouterr().out == f"<Run {run.id} · nightly · done>\n"
    assert "<table" in run._repr_html_()


def test_a_view_whose_run_is_gone_ends_in_a_sentence(city):
    run, screen = Run(city.link, PAINTER, 99), Screen()
    live.View(run, screen).watch(threading.Event())
    assert words(screen.shown[-1]["text/html"]).startswith("This view has ended: there is no run 99 any more.")
    with pytest.raises(NotFound):
        run.live()
