"""The notebook about jobs runs headless with every host; the notebooks that come as jobs do their work by a real engine, on an empty place too."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest

from qcity_nb.decide import notebook as decide
from qcity_nb.model.schedule import RunState
from qcity_nb.testing.real_engine import until

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOK = FOLDER / "04_scheduled_jobs.ipynb"
JOBS = sorted((FOLDER / "jobs").glob("*.ipynb"))

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]
each = pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)


def said(run):
    """All that a run's notebook printed."""
    return "".join(out.text for cell in nbformat.read(run.output, 4).cells for out in cell.get("outputs", ()) if out.output_type == "stream")


def done(run):
    row = run.wait(100).row
    assert (row.state, row.reason) == (RunState.DONE, "")
    return run


@pytest.mark.slow
@pytest.mark.parametrize("host", ["process", "kernel", "once"])
def test_it_runs_headless_in_under_a_minute(host, tmp_path):
    begin = time.monotonic()
    papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", parameters={"host": host}, kernel_name="python3", cwd=tmp_path, progress_bar=False)
    assert time.monotonic() - begin < 60
    assert (tmp_path / "out.ipynb").stat().st_size < 300_000
    text = (tmp_path / "out.ipynb").read_text()
    for told in ("done health.html", "failed in cell 2 then done", "loaded 1 time", "from-a-cell.ipynb", "nothing is left running"):
        assert told in text
    assert "application/vnd.jupyter.widget" not in text


def test_its_cells_are_numbered_and_keep_only_stable_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    firsts = [next(line for line in cell.source.splitlines() if not line.startswith("%%")) for cell in cells]
    assert [first.startswith(f"# {number}. ") for number, first in enumerate(firsts, 1)] == [True] * 13
    assert sum("parameters" in cell.metadata.get("tags", ()) for cell in cells) == 1
    assert all(output.output_type == "stream" for cell in cells for output in cell.outputs)


@pytest.mark.slow
def test_nbval_finds_the_outputs_that_are_kept(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", str(NOTEBOOK), "-p", "no:cacheprovider", "-W", "ignore", "-o", "addopts="]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout


@each
def test_a_job_has_its_parameters_and_a_title_for_each_cell(path):
    cells = nbformat.read(path, 4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(tagged) == 1
    assert not re.search(r"(?i)token\s*=|password\s*=", tagged[0].source)
    headings = {match[1] for cell in cells if cell.cell_type == "markdown" for match in re.finditer(r"^#+ (.+)$", cell.source, re.MULTILINE)}
    titles = [title for cell, title in zip(cells, decide.titles(cells), strict=True) if cell.cell_type == "code"]
    assert set(titles) <= headings
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@each
def test_a_job_runs_by_its_schedule(desk, path):
    desk.city.notebooks.schedule(path, "* * * * * *", name=path.stem)
    runs = desk.city.notebooks
    row = until(lambda: next((row for row in runs.rows(schedule=path.stem) if row.state.over), None), seconds=100)
    runs.schedules.remove(path.stem)
    assert (row.state, row.reason) == (RunState.DONE, "")


def test_a_health_report_of_an_empty_place_says_so_and_one_of_a_full_one_shows_it(own_desk):
    report = FOLDER / "jobs" / "health_report.ipynb"
    first = done(own_desk.city.notebooks.run(report))
    for nothing in ("No runner yet.", "Nothing went wrong.", "No job ran.", "Nothing is scheduled."):
        assert nothing in said(first)
    failed = own_desk.city.notebooks.run(own_desk.write("1/0", name="bad.ipynb")).wait(60)
    own_desk.city.notebooks.schedule(report, "0 6 * * *", name="morning")
    second = done(own_desk.city.notebooks.run(report, {"hours": 1.0}))
    assert f"bad.ipynb: run {failed.id} failed (cell 1: ZeroDivisionError: division by zero); 1 of 1 ended badly" in said(second)
    assert "06:00 UTC  morning" in said(second)
    outputs = [out for cell in nbformat.read(second.output, 4).cells for out in cell.get("outputs", ())]
    assert sum("application/vnd.plotly.v1+json" in out.get("data", {}) for out in outputs) >= 2


def test_a_runner_is_started_once_however_often_its_notebook_runs(own_desk, monkeypatch):
    for name in ("QCITY_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    start, city = FOLDER / "jobs" / "start_runner.ipynb", own_desk.city
    assert "scheduled is running" in said(done(city.notebooks.run(start)))
    row = city.runners["scheduled"].row
    assert "scheduled is running" in said(done(city.notebooks.run(start)))
    assert city.runners["scheduled"].row.state.incarnation == row.state.incarnation
    assert list(city.runners.frame()["name"]) == ["scheduled"]
    assert [job.outcome.value for job in city.jobs] == ["success"]
    other = said(done(city.notebooks.run(start, {"kind": "github", "repo": "owner/name", "name": "elsewhere"})))
    assert "Instead of a runner of github a local one is started: there is no token for " in other
    assert city.runners["elsewhere"].row.spec.kind == "local"


def test_what_is_usual_is_learned_and_a_worse_model_does_not_replace_a_better_one(own_desk):
    retrain, city = FOLDER / "jobs" / "retrain.ipynb", own_desk.city
    path = city.home / "artifacts" / "models" / "usual.json"
    assert "this is the first model" in said(done(city.notebooks.run(retrain)))
    assert json.loads(path.read_text())["usual"] == {}
    for code in ("1", "1", "1/0"):
        city.notebooks.run(own_desk.write(code)).wait(60)
    mild = {"worse": 100}  # how long they took is the machine's: a slow one may make the prior the better model
    assert "the new model takes its place" in said(done(city.notebooks.run(retrain, mild)))
    model = json.loads(path.read_text())
    usual = model["usual"]["notebook nightly.ipynb"]
    assert (model["version"], usual["runs"]) == (2, 3)
    assert 0.2 < usual["failure"] < 0.4
    assert json.loads(path.with_name("usual.last.json").read_text())["version"] == 1
    city.notebooks.run(own_desk.write("1", name="new.ipynb")).wait(60)
    knew = {"runs": 9, "log_seconds": math.log(city.notebooks.frame()["duration_s"].iloc[-1]), "sd": 0.3, "failure": 0.1}
    knows = {"version": 9, "learned": "", "usual": model["usual"] | {"notebook new.ipynb": knew}}
    path.write_text(json.dumps(knows))
    again = said(done(city.notebooks.run(retrain, {"held_out": 0.01})))
    assert "the last model is kept" in again
    assert json.loads(path.read_text()) == knows
    path.write_text("{")
    assert "this is the first model" in said(done(city.notebooks.run(retrain)))
    assert json.loads(path.read_text())["version"] == 1


def test_a_notebook_of_a_run_knows_its_place_and_finds_ready_what_figures_need(desk):
    code = "import sys, plotly\nprint('nbformat' in sys.modules)\nimport qcity_nb\nwith qcity_nb.open() as city:\n    print(city.home)"
    assert said(done(desk.city.notebooks.run(desk.write(code)))) == f"True\n{desk.city.home}\n"
