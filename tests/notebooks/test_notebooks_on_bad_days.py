"""What is killed under a run: the worker, the engine, both; what schedules ask for, once, also after downtime and by two places of one store."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest

from qcity_nb import cli
from qcity_nb.client.city import QCity
from qcity_nb.client.hosts import ProcessHost
from qcity_nb.errors import NotFound
from qcity_nb.model.schedule import RunState
from qcity_nb.store import runs as store
from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.testing.real_engine import kill, until
from qcity_nb.ui.painter import PAINTER

pytestmark = [pytest.mark.real, pytest.mark.slow]
SLOW = "import time\nopen({marks!r}, 'a').write('x')\ntime.sleep({seconds})"


def marks_of(desk, *, seconds: float = 2.0):
    """A notebook that leaves a mark when it begins and takes a while, and where the marks are."""
    marks = desk.folder / "marks"
    return desk.write(SLOW.format(marks=str(marks), seconds=seconds)), marks


def begun(marks: Path, number: int = 1) -> None:
    until(lambda: marks.exists() and len(marks.read_text()) >= number, seconds=30)


def is_under_way(row: store.RunRow, attempt: int) -> bool:
    return row.attempt == attempt and row.started is not None


def test_a_run_whose_worker_is_killed_is_run_again(own_desk):
    path, marks = marks_of(own_desk)
    run = own_desk.city.notebooks.run(path)
    begun(marks)
    worker = own_desk.worker
    kill(worker)
    row = run.wait(60).row
    assert (row.state, row.attempt, row.losses) == (RunState.DONE, 2, 1)
    assert [one.reason for one in row.attempts] == ["its worker died"]
    assert marks.read_text() == "xx"
    assert own_desk.worker != worker
    incident = until(lambda: own_desk.city.incidents.rows()[-1] if own_desk.city.incidents.rows() else None)
    assert incident.service == "notebooks"


def test_a_run_that_kills_its_worker_is_lost_the_third_time(own_desk):
    run = own_desk.city.notebooks.run(own_desk.write("import time; time.sleep(60)"))
    for number in range(1, 4):
        until(lambda number=number: is_under_way(run.row, number), seconds=60)
        kill(own_desk.worker)
    row = run.wait(60).row
    assert (row.state, row.losses) == (RunState.LOST, 3)
    assert row.reason == "its worker died; that was the third time"


def test_a_run_goes_on_while_its_engine_is_killed(own_desk):
    path, marks = marks_of(own_desk)
    run = own_desk.city.notebooks.run(path)
    begun(marks)
    kill(own_desk.engine)
    row = run.wait(60).row
    assert (row.state, row.attempt, row.attempts) == (RunState.DONE, 1, ())
    assert marks.read_text() == "x"


def test_who_watches_a_run_in_a_terminal_replaces_an_engine_that_dies(own_desk, capsys, monkeypatch):
    path, marks = marks_of(own_desk, seconds=3)
    monkeypatch.setenv("QCITY_HOME", str(own_desk.city.home))

    def kill_it() -> None:
        begun(marks)
        kill(own_desk.engine)

    killer = threading.Thread(target=kill_it)
    killer.start()
    assert cli.main(["notebook", "run", str(path)]) == 0
    killer.join()
    assert "● done" in capsys.readouterr().out
    assert marks.read_text() == "x"


def test_engine_and_worker_are_killed_at_once(own_desk):
    path, marks = marks_of(own_desk)
    runs = [own_desk.city.notebooks.run(path) for _ in range(3)]
    begun(marks, 2)
    worker = own_desk.worker
    kill(own_desk.engine)
    kill(worker)
    assert [run.wait(90).state for run in runs] == [RunState.DONE] * 3
    assert sum(run.row.losses for run in runs) == 2


def test_a_run_is_cut_off_by_a_stop_and_begins_again_with_the_next_engine(own_desk):
    path, marks = marks_of(own_desk, seconds=3)
    run = own_desk.city.notebooks.run(path)
    begun(marks)
    own_desk.city.stop()
    row = run.row
    assert (row.state, row.losses) == (RunState.PLANNED, 0)
    assert "its worker was stopped" in row.reason
    own_desk.city.link.ensure()
    assert run.wait(60).state is RunState.DONE
    assert marks.read_text() == "xx"


def test_a_run_of_a_frozen_worker_is_cancelled_when_it_moves_again(own_desk):
    path, marks = marks_of(own_desk, seconds=600)
    run = own_desk.city.notebooks.run(path)
    begun(marks)
    os.kill(own_desk.worker, signal.SIGSTOP)
    run.cancel("enough")
    os.kill(own_desk.worker, signal.SIGCONT)
    assert run.wait(30).state is RunState.CANCELLED


def test_a_schedule_runs_each_moment_once_and_not_too_many_at_a_time(own_desk):
    path, _ = marks_of(own_desk, seconds=1.5)
    notebooks = own_desk.city.notebooks
    notebooks.schedule(path, "* * * * * *", name="often", catch_up="all")
    rows = until(lambda: [row for row in notebooks.rows(schedule="often") if row.state is RunState.DONE][2:], seconds=60)
    assert rows
    live = notebooks.rows(schedule="often")
    assert sum(row.state is RunState.RUNNING for row in live) <= 1
    notebooks.schedules.pause("often")
    number = len(notebooks.rows(schedule="often"))
    for _ in range(2):  # the engine plans and begins other things meanwhile
        notebooks.run(own_desk.write("import time; time.sleep(1.2)", name="other.ipynb")).wait(30)
    rows = notebooks.rows(schedule="often")
    assert len(rows) == number
    assert len({row.at for row in rows}) == number
    assert notebooks.schedules.upcoming("often") == []
    notebooks.schedules.remove("often")
    assert all(row.state is not RunState.PLANNED for row in notebooks.rows(schedule="often"))
    done = sorted((row for row in notebooks.rows(schedule="often") if row.started and row.finished), key=lambda row: row.started)
    assert all(one.finished <= other.started for one, other in pairwise(done))


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_moments_of_a_downtime_are_caught_up_or_seen_to_be_missed(own_desk, catch_up):
    notebooks, now = own_desk.city.notebooks, datetime.now(timezone.utc)
    half_an_hour_ago = f"{(now.minute + 30) % 60} * * * *"
    notebooks.schedule(own_desk.write("1"), half_an_hour_ago, name="hourly", catch_up=catch_up)
    own_desk.city.stop()
    row, back = notebooks.schedules["hourly"], now - timedelta(hours=3)
    with own_desk.city.link.store.write() as connection:  # as if the engine had been away since then
        store.put_schedule(connection, own_desk.city.link.place, row.schedule, dealt=back, upcoming=back + timedelta(minutes=30), at=back)
    own_desk.city.link.ensure()
    until(lambda: len(rows := notebooks.rows(schedule="hourly")) == 3 and all(row.state.over for row in rows), seconds=60)
    found = [row.state.value for row in notebooks.rows(schedule="hourly")]
    assert found == {"none": ["missed"] * 3, "latest": ["missed", "missed", "done"], "all": ["done"] * 3}[catch_up]


def test_two_places_of_one_store_run_each_moment_once(tmp_path, postgres_database, monkeypatch):
    monkeypatch.setenv("QCITY_STORE", postgres_database)
    notebook = tmp_path / "shared.ipynb"
    from nbformat import v4, write

    marks = tmp_path / "marks"
    write(v4.new_notebook(cells=[v4.new_code_cell(f"open({str(marks)!r}, 'a').write('x')")]), notebook)
    with contextlib.ExitStack() as stack:
        cities = []
        for name in ("one", "two"):
            opened, _ = prepare(prepare_home(tmp_path / name), postgres_database)
            city = QCity(opened, ProcessHost(opened), say=print, painter=PAINTER)
            stack.callback(city.close)
            stack.callback(stop, city)
            cities.append(city)
        cities[0].notebooks.schedule(notebook, "* * * * * *", name="shared", shared=True, max_parallel=4)
        cities[1].link.ensure()
        first = until(lambda: [row for row in cities[1].notebooks.rows(schedule="shared") if row.state is RunState.DONE][8:], seconds=90)
        dark, lit = cities if first[0].owner == cities[0].link.place else reversed(cities)  # the one that runs them goes dark
        kill_engine_and_worker(dark)

        def taken() -> int:
            return sum(row.state is RunState.DONE and row.owner == lit.link.place for row in lit.notebooks.rows(schedule="shared"))

        before = taken()
        until(lambda: taken() >= before + 4, seconds=90)
        lit.notebooks.schedules.pause("shared")
        until(lambda: all(row.state.over for row in lit.notebooks.rows(schedule="shared")), seconds=100)
        rows = lit.notebooks.rows(schedule="shared")
        assert len({row.at for row in rows}) == len(rows)
        assert {row.state for row in rows} <= {RunState.DONE}
        assert len({row.owner for row in rows}) == 2
        assert len(rows) <= len(marks.read_text()) <= len(rows) + sum(row.losses for row in rows)


def stop(city: QCity) -> None:
    with contextlib.suppress(NotFound):  # it was killed
        city.stop()


def kill_engine_and_worker(city: QCity) -> None:
    """A place goes dark for a while; its client is left alone."""
    from qcity_nb.client.hosts import engine_pid
    from qcity_nb.store import lease, services

    with city.link.read() as connection:
        found = lease.current(connection, city.link.place)
        rows = {row.name: row for row in services.all_of(connection, city.link.place)}
    assert found is not None
    kill(engine_pid(found.holder) or 0)
    if "notebooks" in rows and rows["notebooks"].pid:
        kill(rows["notebooks"].pid)
