"""Notebooks as jobs, with a real engine, worker and kernels: run, fail, go on, cancel, time out, again, keep secrets, show themselves."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jsonschema
import nbformat
import psutil
import pytest

from qcity_nb import cli
from qcity_nb.client import shapes
from qcity_nb.errors import BadInput, NotFound, Refused
from qcity_nb.model.schedule import CellState, RunState
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real]


def text_of(path: Path, number: int) -> str:
    nb = nbformat.read(path, as_version=4)
    return "".join(out.text for out in nb.cells[number].outputs if out.output_type == "stream")


def test_a_run_has_its_parameters_its_cells_and_its_notebook(desk):
    path = desk.write("# count\nprint(n + 1, run_id, attempt)", "x = n", parameters="n = 1\nrun_id = None\nattempt = 0")
    run = desk.city.notebooks.run(path, {"n": 41}).wait(60)
    row = run.row
    assert (row.state, row.reason, row.attempt) == (RunState.DONE, "", 1)
    assert [(cell.number, cell.title, cell.state) for cell in run.cells] == [
        (1, "n = 1", CellState.DONE),
        (2, "Parameters", CellState.DONE),
        (3, "count", CellState.DONE),
        (4, "x = n", CellState.DONE),
    ]
    assert all(cell.seconds is not None for cell in run.cells)
    assert run.output is not None
    assert text_of(run.output, 2) == f"42 {run.id} 1\n"
    assert nbformat.read(run.output, as_version=4).metadata.qcity["status"] == "done"
    assert list(run.frame()["state"]) == ["done"] * 4


def test_a_copy_of_the_executed_notebook_goes_where_it_was_asked_for(desk):
    run = desk.city.notebooks.run(desk.write("print('here')"), output=desk.folder / "copy.ipynb").wait(60)
    assert run.state is RunState.DONE
    assert text_of(desk.folder / "copy.ipynb", 0) == "here\n"


def test_the_same_key_is_the_same_run(desk):
    path = desk.write("print(1)")
    first = desk.city.notebooks.run(path, key="once")
    assert desk.city.notebooks.run(path, key="once").id == first.id
    first.wait(60)
    assert desk.city.notebooks.run(path, key="once").id == first.id
    assert desk.city.notebooks.run(path).wait(60).id != first.id


def test_where_it_is_can_be_seen_while_it_runs(desk):
    bar = "import sys, time\nfor i in range(100):\n    sys.stderr.write(f'\\r{i:3d}%|###   | {i}/100')\n    sys.stderr.flush()\n    time.sleep(0.05)"
    run = desk.city.notebooks.run(desk.write("# quick\n1", "# load the data\n" + bar))
    live = until(lambda: run.row.live if run.row.live and run.row.live.share else None, seconds=30)
    assert (live.cell, live.cells, live.title) == (2, 2, "load the data")
    assert f"{live.share * 100:.0f}%|" in live.tail
    assert 'cell 2 "load the data"' in repr(run)
    assert "load the data" in run._html()
    assert run.cancel("enough").wait(30).row.reason == "enough"
    assert run.row.live is None


def test_a_failed_run_goes_on_from_its_cell_in_its_kernel(desk):
    marks = desk.folder / "marks"
    path = desk.write(f"open({str(marks)!r}, 'a').write('x')\nstate = 41", "print(state + undefined)", "print('after')")
    failed = desk.city.notebooks.run(path).wait(60)
    assert (failed.state, failed.row.cell) == (RunState.FAILED, 2)
    assert failed.row.reason == "cell 2: NameError: name 'undefined' is not defined"
    assert [cell.state for cell in failed.cells] == [CellState.DONE, CellState.FAILED, CellState.PENDING]
    assert failed.resumable
    desk.write(f"open({str(marks)!r}, 'a').write('x')\nstate = 41", "print(state + 1)", "print('after')")
    run = failed.resume().wait(60)
    assert (run.state, run.row.resumes) == (RunState.DONE, failed.id)
    assert marks.read_text() == "x"
    assert run.output is not None
    assert (text_of(run.output, 1), text_of(run.output, 2)) == ("42\n", "after\n")
    desk.write(f"open({str(marks)!r}, 'a').write('y')\nstate = 1", "print(state + 1)", "print('after')")
    again = failed.resume().wait(60)  # its kernel has gone on with another run, and a cell before was changed: from the beginning
    assert again.state is RunState.DONE
    assert marks.read_text() == "xy"


def test_a_run_that_goes_on_after_an_earlier_cell_was_changed_begins_anew(desk):
    failed = desk.city.notebooks.run(desk.write("state = 1", "print(state); 1/0")).wait(60)
    desk.write("state = 2", "print(state)")
    run = failed.resume().wait(60)
    assert run.output is not None
    assert text_of(run.output, 1) == "2\n"


def test_a_run_that_did_not_fail_cannot_go_on(desk):
    run = desk.city.notebooks.run(desk.write("1")).wait(60)
    with pytest.raises(Refused, match=f"run {run.id} is done"):
        run.resume()
    failed = desk.city.notebooks.run(desk.write("1/0"), park=0).wait(60)
    assert not failed.resumable
    with pytest.raises(Refused, match="its kernel is kept no more"):
        failed.resume()


def test_a_run_that_waits_for_its_turn_can_be_cancelled(desk):
    path = desk.write("import time; time.sleep(60)")
    runs = [desk.city.notebooks.run(path) for _ in range(6)]
    until(lambda: sum(run.row.started is not None for run in runs) >= 2, seconds=30)
    for run in reversed(runs):
        run.cancel()
    for run in runs:
        assert run.wait(30).row.state is RunState.CANCELLED
    with pytest.raises(Refused, match="is over already"):
        runs[0].cancel()


@pytest.mark.parametrize(
    ("cells", "how", "reason"),
    [
        (["import time; time.sleep(60)"], {"timeout": "4 s"}, "the run took longer than its 4"),
        (["1", "import time; time.sleep(60)"], {"cell_timeout": 4}, "cell 2 of 2 took longer than its 4"),
        (["import os; os._exit(3)"], {}, "the kernel died in cell 1 of 1"),
        (["import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], {}, "the kernel died in cell 1 of 1"),
        (["raise SystemExit(3)"], {}, "cell 1: SystemExit: 3"),
        (["import nothing_of_that_name"], {}, "cell 1: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        (["input('who?')"], {}, "cell 1: StdinNotImplementedError"),
        (["import os, time\nif os.fork() == 0:\n    time.sleep(600)\ntime.sleep(600)"], {"timeout": 4}, "the run took longer than its 4"),
    ],
)
def test_what_ends_a_run_is_said_in_one_sentence(desk, cells, how, reason):
    run = desk.city.notebooks.run(desk.write(*cells), **how).wait(60)
    assert run.state is RunState.FAILED
    assert run.row.reason.startswith(reason)
    assert run.output is not None
    assert nbformat.read(run.output, as_version=4).metadata.qcity["status"] != "done"


@pytest.mark.parametrize("code", ["import sys; sys.exit()", "raise SystemExit(0)", "exit()"])
def test_a_notebook_may_end_itself(desk, code):
    run = desk.city.notebooks.run(desk.write(code, "1/0")).wait(60)
    assert run.state is RunState.DONE
    assert [cell.state for cell in run.cells][-1] is CellState.PENDING


def test_a_run_that_fails_is_tried_again_as_often_as_it_may(desk):
    count = desk.folder / "count"
    code = f"open({str(count)!r}, 'a').write('x')\nassert len(open({str(count)!r}).read()) == 3"
    run = desk.city.notebooks.run(desk.write(code), retries=5, backoff=0.01).wait(60)
    assert (run.state, run.row.attempt) == (RunState.DONE, 3)
    assert [(one.number, one.state) for one in run.row.attempts] == [(1, RunState.FAILED), (2, RunState.FAILED)]
    assert "AssertionError" in run.row.attempts[0].reason
    count.unlink()
    over = desk.city.notebooks.run(desk.write(code), retries=1, backoff=0.01).wait(60)
    assert (over.state, over.row.attempt) == (RunState.FAILED, 2)


def test_secrets_are_in_the_kernel_and_nowhere_else(desk, monkeypatch):
    value = "Kx7-very-secret-93"
    monkeypatch.setenv("DB_PASSWORD", value)
    code = (
        "import os, sys\np = os.environ['DB_PASSWORD']\nprint(len(p), p)\nprint('x' + p + 'y', file=sys.stderr)\n"
        "for c in p:\n    sys.stdout.write(c); sys.stdout.flush()\n"
        "from IPython.display import display, HTML\ndisplay(HTML(f'<b>{p}</b>'))\n{'key': [p]}"
    )
    run = desk.city.notebooks.run(desk.write(code, "raise ValueError(p)"), secrets=["DB_PASSWORD"]).wait(60)
    assert run.state is RunState.FAILED
    assert run.row.reason == "cell 2: ValueError: ***"
    assert run.output is not None
    assert "18 ***" in text_of(run.output, 0)
    report = run.report()
    for path in desk.city.home.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            assert value.encode() not in path.read_bytes(), path
    assert value not in report.read_text()
    assert any("fingerprint" in line for line in desk.said)
    monkeypatch.delenv("DB_PASSWORD")
    again = desk.city.notebooks.run(desk.write("import os; print(len(os.environ['DB_PASSWORD']))"), secrets=["DB_PASSWORD"]).wait(60)
    assert again.state is RunState.DONE  # it is kept
    with pytest.raises(NotFound, match="there is no secret OTHER_ONE"):
        desk.city.notebooks.run(desk.write("1"), secrets=["OTHER_ONE"])


def test_what_a_run_shows_is_held_against_the_last_one(desk):
    path = desk.write("print('a', object())", "print(n)", parameters="n = 1", name="same.ipynb")
    desk.city.notebooks.run(path, {"n": 1}).wait(60)
    same = desk.city.notebooks.run(path, {"n": 1}, compare=True).wait(60)
    other = desk.city.notebooks.run(path, {"n": 2}, compare=True).wait(60)
    assert same.row.changed == "it shows what it showed last time"
    assert other.row.changed == "cell 4 shows something else than last time"


def test_a_report_is_whole_without_a_network(desk):
    code = "import plotly.graph_objects as go\ngo.Figure(go.Bar(y=[1, 2, 3]))"
    run = desk.city.notebooks.run(desk.write(code, "import pandas as pd; pd.DataFrame({'a': [1]})", "print('<script>')")).wait(90)
    page = run.report().read_text()
    inside = {text: text in page for text in ("Plotly.newPlot(", "plotly.js v", "&lt;script&gt;", "<link", "<script src=")}  # it is megabytes long
    assert inside == {"Plotly.newPlot(": True, "plotly.js v": True, "&lt;script&gt;": True, "<link": False, "<script src=": False}
    assert len(page) < 6 << 20
    assert run.output is not None
    assert run.output.stat().st_size < 1 << 20
    with pytest.raises(BadInput, match="is a folder"):
        run.report(desk.folder)


def test_figures_show_the_runs(desk):
    desk.city.notebooks.run(desk.write("1")).wait(60)
    number = len(desk.city.notebooks.frame())
    assert sum(len(trace.x) for trace in desk.city.notebooks.gantt().data) <= number
    assert "nightly.ipynb" in desk.city.notebooks.gantt().data[0].y
    assert sum(sum(trace.y) for trace in desk.city.notebooks.calendar().data) == number
    assert desk.city.notebooks.history().data
    assert "nightly.ipynb" in desk.city.notebooks._html()


def test_a_kernel_that_is_not_installed_is_named(desk):
    run = desk.city.notebooks.run(desk.write("1"), kernel="python4").wait(60)
    assert run.row.reason == 'no kernel "python4" is installed'


def test_a_notebook_that_is_gone_when_its_turn_comes(desk):
    path = desk.write("1", name="gone.ipynb")
    desk.city.notebooks.schedule(path, at=f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(time.time() + 2))}", name="soon")
    path.unlink()
    row = until(lambda: next((row for row in desk.city.notebooks.rows(schedule="soon") if row.state.over), None), seconds=30)
    assert (row.state, row.reason) == (RunState.FAILED, f"No such file or directory: {path}")
    desk.city.notebooks.schedules.remove("soon")


def test_the_command_says_the_same(desk, capsys, monkeypatch):
    monkeypatch.setenv("QCITY_HOME", str(desk.city.home))
    path = desk.write("print(n)", "1/m", parameters="n = 'a'\nm = 1")
    assert cli.main(["notebook", "run", str(path), "-p", "n=7", "-p", "m=0"]) == 1
    said = capsys.readouterr().out
    assert "cell 4: ZeroDivisionError: division by zero" in said
    number = desk.city.notebooks.rows()[-1].id
    assert f"qcity notebook resume {number} goes on from cell 4" in said
    assert cli.main(["notebook", "show", str(number)]) == 0
    shown = capsys.readouterr().out
    assert "✘ 4 1/m" in shown
    assert "n = '7', m = 0" in shown
    path.write_text(path.read_text().replace("1/m", "1"))
    assert cli.main(["notebook", "resume", str(number)]) == 0
    assert cli.main(["notebook", "report", str(number)]) == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]).exists()
    assert cli.main(["notebook", "list", "--limit", "2"]) == 0
    assert "✖ failed" in capsys.readouterr().out
    assert cli.main(["notebook", "run", str(path), "-p", "n"]) == 2
    assert '-p "n" is no parameter' in capsys.readouterr().err
    assert cli.main(["notebook", "show", "99999"]) == 1
    assert "there is no run 99999" in capsys.readouterr().err
    assert cli.main(["notebook", "cancel", str(number)]) == 1
    assert "is over already" in capsys.readouterr().err


def test_what_json_says_is_what_the_schema_describes(desk, capsys, monkeypatch):
    monkeypatch.setenv("QCITY_HOME", str(desk.city.home))
    desk.city.notebooks.schedule(desk.write("1/0"), "0 3 * * *", tz="Europe/Paris", name="json")
    run = desk.city.notebooks.run(desk.write("1/0")).wait(60)
    for shape, argv in {
        "notebook_run": ["notebook", "show", str(run.id)],
        "notebook_runs": ["notebook", "list"],
        "schedules": ["schedule", "list"],
        "moments": ["schedule", "next", "json"],
    }.items():
        assert cli.main([*argv, "--json"]) == 0
        schema = shapes.schema()
        jsonschema.Draft202012Validator({"$ref": f"#/$defs/{shape}", "$defs": schema["$defs"]}).validate(json.loads(capsys.readouterr().out))
    desk.city.notebooks.schedules.remove("json")


def kernels_of(worker: int) -> list[int]:
    """The kernels below a worker: what its zygotes have forked."""
    zygotes = [one for one in psutil.Process(worker).children() if "zygote" in " ".join(one.cmdline())]
    return [child.pid for one in zygotes for child in one.children()]


def test_a_kernel_goes_with_its_run_and_a_kept_one_when_its_time_is_over(own_desk):
    own_desk.city.notebooks.run(own_desk.write("1")).wait(60)
    worker = own_desk.worker
    until(lambda: not kernels_of(worker), seconds=20)
    failed = own_desk.city.notebooks.run(own_desk.write("1/0"), park="4 s").wait(60)
    until(lambda: len(kernels_of(worker)) == 1, seconds=20)
    assert failed.resumable
    until(lambda: not kernels_of(worker), seconds=20)
    assert not failed.resumable
    with pytest.raises(Refused, match="its kernel is kept no more"):
        failed.resume()
    assert own_desk.worker == worker


def test_a_copy_that_could_not_be_made_is_made_by_a_later_attempt_without_running_again(desk):
    place, marks = desk.folder / "later", desk.folder / "ran"
    place.mkdir()
    code = f"import shutil\nopen({str(marks)!r}, 'a').write('x')\nshutil.rmtree({str(place)!r})"
    run = desk.city.notebooks.run(desk.write(code), output=place / "copy.ipynb", retries=20, backoff=0.1)
    until(lambda: run.row.attempt > 3, seconds=30)
    assert all("the folder of the output does not exist" in one.reason for one in run.row.attempts[:3])
    place.mkdir()
    assert run.wait(60).state is RunState.DONE
    assert (place / "copy.ipynb").exists()
    assert marks.read_text() == "x"


def test_the_worker_is_no_runner_to_a_person(desk):
    desk.city.notebooks.run(desk.write("print(1)")).wait(60)
    until(lambda: desk.city.status().engine.last)
    assert [runner.name for runner in desk.city.runners] == []
    assert len(desk.city.runners) == 0
    assert desk.worker
    assert {span.service for span in desk.city.health(1).spans()} == set()
    assert desk.city.status().json()["notebooks"]["running"] == 0
