"""The tour without an account: a simulation that lives, works and breaks, its notebooks, and what it leaves."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest

import qcity_nb
from qcity_nb.errors import HomeError
from qcity_nb.io.files import is_locked
from qcity_nb.model.home import Home

FOLDER = Path(__file__).parents[2] / "notebooks"

pytestmark = pytest.mark.filterwarnings("ignore")


def cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_cells_are_numbered_one_has_parameters_and_outputs_are_few(path):
    found = cells(path)
    assert [f"# {number}. " in "".join(cell.source.splitlines(True)[:2]) for number, cell in enumerate(found, 1)] == [True] * len(found)
    assert [cell.metadata.get("tags") for cell in found].count(["parameters"]) == 1
    assert len(str([cell.outputs for cell in found])) < 2000  # only what nbval compares: a line here and there
    assert len(found) <= 13


def test_the_showcase_stands_without_a_kernel():
    """The one notebook with outputs: static, small, no script, no widget, nobody's folder."""
    text = (FOLDER / "showcase.ipynb").read_text()
    assert len(text) < 200_000
    pages = [out.data["text/html"] for cell in cells(FOLDER / "showcase.ipynb") for out in cell.outputs if "text/html" in out.get("data", {})]
    assert len(pages) >= 4
    for page in pages:
        assert "<script" not in page
        assert "<style" not in page
    assert "This is a simulation" in pages[0]
    for word in ("application/vnd", "/tmp/", "/root", "/home/", "Traceback"):
        assert word not in text, word


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("00_start_here", ("This is a simulation in", "simulation: the engine is real", "killed from outside", "The simulation is over.")),
        ("06_machines_that_end", ("Restored copy 1.", "the machine is gone", "nothing is left running")),
        ("07_places", ("box", "The place is forgotten.")),
        ("08_two_places", ("joined", "the other place has taken over", "nothing is left running")),
        ("09_served_page", ("a link to this page: True", "<svg", "The page is gone.")),
        ("05_looking_back", ("looking-back.html is written", "city.runners.start", "a diamond is an incident", "Done.")),
    ],
)
def test_it_runs_headless_in_under_a_minute(tmp_path, name, said):
    begin = time.monotonic()
    papermill.execute_notebook(FOLDER / f"{name}.ipynb", tmp_path / "out.ipynb", kernel_name="python3", cwd=tmp_path, progress_bar=False)
    assert time.monotonic() - begin < 60
    text = (tmp_path / "out.ipynb").read_text()
    for words in said:
        assert words in text, words
    assert len(text) < 200_000  # D6
    assert "application/vnd.jupyter.widget" not in text
    assert not (tmp_path / "qcity-simulation").exists()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["00_start_here", "05_looking_back", "06_machines_that_end", "07_places", "08_two_places", "09_served_page"])
def test_nbval_finds_the_outputs_that_are_kept(tmp_path, name):
    source = tmp_path / f"{name}.ipynb"
    source.write_text((FOLDER / source.name).read_text())
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", str(source), "-p", "no:cacheprovider", "-W", "ignore", "-o", "addopts="]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(cells(source))} passed" in done.stdout


@pytest.mark.real
@pytest.mark.slow
def test_a_simulation_is_a_place_that_says_what_it_is_and_obeys(tmp_path):
    said = []
    with qcity_nb.simulate(tmp_path / "stage", say=said.append) as city:
        assert "simulation" in said[0]
        assert "simulation: the engine is real" in repr(city.status()) + city.dashboard().static()
        assert city.health.share() > 0.5  # what was before is there
        assert len(city.jobs) > 20
        assert any("killed" in row.cause for row in city.incidents.rows())
        city.runners["docs"].stop()
        assert city.runners["docs"].phase.value == "stopped"
        with qcity_nb.simulate(tmp_path / "stage", say=said.append) as again:  # the one that plays
            assert again.runners["docs"].phase.value == "stopped"
        engine = psutil.Process(city.status().view.engine.pid)
        city.stop()
    psutil.wait_procs([engine], timeout=20)
    assert not engine.is_running()
    assert not is_locked(Home(tmp_path / "stage").lock)


@pytest.mark.real
@pytest.mark.slow
def test_a_simulation_that_was_killed_is_begun_again_by_whoever_asks(tmp_path):
    with qcity_nb.simulate(tmp_path / "stage", say=lambda _: None) as city:
        engine = psutil.Process(city.status().view.engine.pid)
        engine.kill()
        engine.wait(10)
        city.runners["gpu-1"].stop()  # a client that finds no engine starts one: here, the simulation
        assert "simulation" in city.status().view.about
        assert city.runners["gpu-1"].phase.value == "stopped"
        city.stop()


def test_it_takes_no_folder_of_anybody_else(tmp_path):
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(HomeError, match="no simulation"):
        qcity_nb.simulate(tmp_path)
    with qcity_nb.open(tmp_path / "home", say=print):
        pass
    with pytest.raises(HomeError, match="no simulation"):
        qcity_nb.simulate(tmp_path / "home")
    assert (tmp_path / "mine.txt").exists()
    assert (tmp_path / "home" / "store.db").exists() or any((tmp_path / "home").iterdir())
