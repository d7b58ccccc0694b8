"""Notebooks that misbehave as jobs: each run ends visibly, in one sentence, and its worker goes on; nothing half written stays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nbformat
import pytest

from qcity_nb.model.schedule import RunState
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real]
ENDLESS = "import time\nwhile True:\n    print('x' * 1000)\n    time.sleep(0.0005)"
HANGS = "import os, time\nif os.fork() == 0:\n    time.sleep(4322)\ntime.sleep(4322)"


@pytest.mark.parametrize(
    ("code", "how", "state", "says"),
    [
        ("import no_such_module", {}, RunState.FAILED, "cell 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys; sys.exit(3)", {}, RunState.FAILED, "cell 1: SystemExit: 3"),
        ("import sys; sys.exit(0)", {}, RunState.DONE, "it ended itself with sys.exit"),
        ("input('name?')", {}, RunState.FAILED, "cell 1: StdinNotImplementedError"),
        ("import os; os._exit(7)", {}, RunState.FAILED, "the kernel died in cell 1 of 1"),
        ("raise ValueError('x' * 5000)", {}, RunState.FAILED, "cell 1: ValueError: xxx"),
        (ENDLESS, {"timeout": "2 s"}, RunState.FAILED, "the run took longer than its 2 s"),
        (HANGS, {"cell_timeout": "1 s"}, RunState.FAILED, "cell 1 of 1 took longer than its 1 s"),
        ("def f(:", {}, RunState.FAILED, "cell 1: SyntaxError"),
    ],
)
def test_a_notebook_that_misbehaves_ends_visibly(desk, code, how, state, says):
    run = desk.city.notebooks.run(desk.write(code, name="bad.ipynb"), **how).wait(60)
    row = run.row
    assert row.state is state, row.reason
    assert says in row.reason
    assert "\n" not in row.reason
    assert len(row.reason) <= 600
    assert run.output is not None
    nbformat.read(run.output, as_version=4)
    assert not [one for one in run.output.parent.rglob("*") if one.name.startswith(".")]
    until(lambda: subprocess.run(["pgrep", "-f", "sleep.4322"], capture_output=True, check=False).stdout == b"")


def test_a_kernel_that_is_not_installed_is_said_with_the_nearest(desk):
    row = desk.city.notebooks.run(desk.write("1", name="odd.ipynb"), kernel="pyhton3").wait(60).row
    assert (row.state, row.reason) == (RunState.FAILED, 'no kernel "pyhton3" is installed')


def test_a_notebook_that_went_between_being_asked_for_and_its_turn_is_missed(desk):
    notebook = desk.write("import time; time.sleep(3)", name="slow.ipynb")  # once: a file that is being written is no notebook
    slow, *more = [desk.city.notebooks.run(notebook) for _ in range(4)]
    path = desk.write("1", name="gone.ipynb")
    gone = desk.city.notebooks.run(path)
    path.unlink()
    row = gone.wait(60).row
    assert row.state is RunState.FAILED
    assert "gone.ipynb" in row.reason
    assert [one.wait(60).state for one in (slow, *more)] == [RunState.DONE] * 4


@pytest.fixture
def tiny_disk(tmp_path):
    """A folder on a disk of two megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tiny", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_while_a_copy_is_saved_leaves_the_old_one_whole(desk, tiny_disk):
    copy = tiny_disk / "copy.ipynb"
    path = desk.write("print('here')", name="copied.ipynb")
    assert desk.city.notebooks.run(path, output=copy).wait(60).state is RunState.DONE
    before = copy.read_bytes()
    row = desk.city.notebooks.run(desk.write("print('y' * 3_000_000)", name="copied.ipynb"), output=copy).wait(60).row
    assert row.state is RunState.FAILED
    assert row.reason.startswith("No space left on device: ")
    assert [one.name for one in tiny_disk.iterdir()] == ["copy.ipynb"]
    assert copy.read_bytes() == before


def test_its_worker_has_served_all_of_them(desk):
    """The last test of this file: one life of the worker, no incident."""
    assert Path(desk.city.home / "services" / "notebooks").is_dir()
    assert desk.city.incidents.rows() == []
