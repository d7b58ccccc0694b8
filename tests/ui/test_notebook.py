"""The dashboard's notebook without a browser: static, small, and nothing of a widget in it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

import qcity_nb

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "dashboard.ipynb"

pytestmark = pytest.mark.filterwarnings("ignore")


def test_its_cells_are_numbered_one_has_parameters_and_none_has_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert [cell.source.startswith(f"# {number}. ") for number, cell in enumerate(cells, 1)] == [True] * len(cells)
    assert [cell.metadata.get("tags") for cell in cells].count(["parameters"]) == 1
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.real
@pytest.mark.slow
def test_it_runs_headless_and_its_page_shows_every_runner_without_a_network(tmp_path, monkeypatch, place, engine):
    """D6: under papermill, asked for from a notebook whose environment says that somebody looks."""
    import papermill
    from nbconvert import HTMLExporter

    place.fleet()
    monkeypatch.setenv("QCITY_NB_HEADLESS", "1")
    parameters = {"home": str(place.store.home.root)}
    papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", parameters=parameters, kernel_name="python3", cwd=tmp_path, progress_bar=False)
    text = (tmp_path / "out.ipynb").read_text()
    assert len(text) < 200_000
    assert "application/vnd.jupyter.widget" not in text
    assert '"widgets"' not in text
    page, _ = HTMLExporter().from_filename(str(tmp_path / "out.ipynb"))
    with qcity_nb.open(place.store.home.root) as city:
        for runner in city.runners:
            name = runner.name.split("<")[0]
            assert name in page
    assert "1 of 20 needs you: gh-07 is quarantined" in page


@pytest.mark.real
@pytest.mark.slow
def test_a_kernel_that_papermill_started_from_a_cell_is_not_watched(tmp_path):
    """JPY_SESSION_NAME is inherited there; who started the kernel says that nobody looks."""
    import os
    import subprocess
    import sys

    source = tmp_path / "in.ipynb"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("from qcity_nb.ui.board import is_watched\nprint('watched:', is_watched())")])
    nbformat.write(made, source)
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "-k", "python3", str(source), str(tmp_path / "out.ipynb")]
    subprocess.run(command, check=True, env={**os.environ, "JPY_SESSION_NAME": "a.ipynb"}, capture_output=True, timeout=100)
    assert "watched: False" in (tmp_path / "out.ipynb").read_text()
