"""Live views and `%%qcity_job` in real kernels, of runs of a real engine: what a saved notebook keeps, and what Interrupt does."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import nbformat
import papermill
import psutil
import pytest
from nbformat import v4

from qcity_nb.model.schedule import CellState, RunState
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]
SPEC = {"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}}


@pytest.fixture
def watched(desk, tmp_path):
    """Runs cells in a notebook that has the place as `city`; the outputs of each."""

    def execute(*cells):
        begin = f"import qcity_nb\ncity = qcity_nb.open({str(desk.city.home)!r})\n%load_ext qcity_nb"
        nbformat.write(v4.new_notebook(metadata=SPEC, cells=[v4.new_code_cell(cell) for cell in (begin, *cells)]), tmp_path / "in.ipynb")
        done = papermill.execute_notebook(tmp_path / "in.ipynb", tmp_path / "out.ipynb", progress_bar=False, cwd=tmp_path)
        return [cell.outputs for cell in done.cells[-len(cells) :]]

    return execute


def words(out):
    return " ".join(re.sub(r"<[^>]+>", " ", out.data["text/html"].replace("&nbsp;", " ")).split())


def test_a_cell_that_is_silent_from_its_begin_is_seen_and_so_are_those_before_it(desk):
    run = desk.city.notebooks.run(desk.write("1", "2", "# wait\nimport time\ntime.sleep(60)"))
    row = until(lambda: row if (row := run.row).live is not None and row.live.title == "wait" else None, seconds=30)
    assert [cell.state for cell in row.cells] == [CellState.DONE, CellState.DONE, CellState.RUNNING]
    run.cancel().wait(30)


def test_the_view_that_a_saved_notebook_keeps_is_how_the_run_ended(desk, watched):
    path = desk.write("# load\nprint('here')", "# fail\n1/0", "# never\n1")
    shown, after = watched(f"run = city.notebooks.run({str(path)!r})\nrun.live()", "run")
    view, result = shown
    assert view.output_type == "display_data"
    assert "failed · nightly.ipynb · run" in words(view)
    assert "1 ✔ done load" in words(view)
    assert "2 ✘ failed fail" in words(view)
    assert "3 · pending never" in words(view)
    assert "resume().live() goes on from cell 2" in words(view)
    assert "failed" not in words(result)
    assert words(result).startswith("Run ")  # the view stands right above
    assert "cell 2: ZeroDivisionError" in words(after[0])
    assert "<table" in after[0].data["text/html"]


def test_a_view_in_the_background_ends_with_its_run(desk, watched):
    path = desk.write("import time\nfor _ in range(10):\n    time.sleep(0.1)")
    wait = "import threading\nrun.wait(60)\nfor one in [one for one in threading.enumerate() if one.name.startswith('live-')]:\n    one.join(20)"
    shown, _ = watched(f"run = city.notebooks.run({str(path)!r})\nrun.live(block=False)", wait)
    assert "done · nightly.ipynb" in words(shown[0])
    assert "widget" not in str(shown)


def test_a_cell_of_a_notebook_runs_as_a_job(desk, watched):
    cell = "%%qcity_job --name from-a-cell -p n=41\n# %% count\nm = n + 1\n# %% say\nimport pathlib\nprint(m, pathlib.Path.cwd().name)"
    shown, named = watched(cell, "print(_)")
    assert "done · from-a-cell.ipynb" in words(shown[0])
    assert re.search(r"3 ✔ done count .* 4 ✔ done say", words(shown[0]))
    assert named[0].text.startswith("<Run ")
    run = next(iter(reversed([*desk.city.notebooks])))
    printed = [out.text for one in nbformat.read(run.output, 4).cells for out in one.outputs]
    assert [text.split()[0] for text in printed] == ["42"]
    assert "cells" not in printed[0].split()[1]  # it ran where the notebook is, not where its file lies


def test_interrupt_ends_the_view_and_not_the_run(own_desk, tmp_path):
    path = own_desk.write("import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.05)")
    # the kernel says when it looks: an Interrupt before that is any cell's
    tells = "def tell(one, show=live._display):\n    pathlib.Path('pid').write_text(str(os.getpid()))\n    return show(one)\nlive._display = tell"
    begin = f"import os, pathlib, qcity_nb\nfrom qcity_nb.ui import live\n{tells}"
    code = f"{begin}\ncity = qcity_nb.open({str(own_desk.city.home)!r})\ncity.notebooks.run({str(path)!r}).live()"
    nbformat.write(v4.new_notebook(metadata=SPEC, cells=[v4.new_code_cell(code)]), tmp_path / "in.ipynb")
    with (tmp_path / "said").open("wb") as said:
        watcher = subprocess.Popen([sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb"], cwd=tmp_path, stdout=said, stderr=said)
    pid = until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), seconds=60)
    psutil.Process(int(pid)).send_signal(signal.SIGINT)
    assert watcher.wait(60) == 1
    outputs = [out for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells for out in cell.get("outputs", ())]
    error = next(out for out in outputs if out.output_type == "error")
    assert error.ename == "Interrupted"
    assert error.traceback == ["Run 1 goes on: city.notebooks[1].live() shows it again, .cancel() ends it."]
    assert "You stopped looking. Run 1 goes on" in words(next(out for out in outputs if out.output_type == "display_data"))
    run = own_desk.city.notebooks[1]
    assert not run.state.over
    (path.parent / "go").touch()
    assert run.wait(60).state is RunState.DONE
