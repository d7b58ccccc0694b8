"""The first notebook runs headless under papermill with every host, quickly, and its outputs stay small and static."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_first_runner.ipynb"

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]


@pytest.mark.slow
@pytest.mark.parametrize("host", ["process", "kernel", "once"])
def test_it_runs_headless_in_under_a_minute(host, tmp_path):
    begin = time.monotonic()
    papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", parameters={"host": host}, kernel_name="python3", cwd=tmp_path, progress_bar=False)
    assert time.monotonic() - begin < 60
    assert (tmp_path / "out.ipynb").stat().st_size < 200_000
    text = (tmp_path / "out.ipynb").read_text()
    assert "<Job 1 · hello · success>" in text
    assert "nothing is left running" in text
    assert "application/vnd.jupyter.widget" not in text


def test_it_has_ten_numbered_cells_one_of_them_with_parameters_and_only_stable_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert len(cells) == 10
    assert [cell.source.startswith(f"# {number}. ") for number, cell in enumerate(cells, 1)] == [True] * 10
    assert sum("parameters" in cell.metadata.get("tags", ()) for cell in cells) == 1
    assert all(output.output_type == "stream" for cell in cells for output in cell.outputs)


@pytest.mark.slow
def test_nbval_finds_the_outputs_that_are_kept(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", str(NOTEBOOK), "-p", "no:cacheprovider", "-W", "ignore", "-o", "addopts="]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
