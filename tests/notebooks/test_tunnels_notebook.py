"""The notebook of tunnels runs headless, quickly, on loopback, and shows what it promises."""

from __future__ import annotations

import time
from pathlib import Path

import nbformat
import papermill
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_tunnels.ipynb"

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore")]


@pytest.mark.slow
def test_it_runs_headless_in_under_a_minute(tmp_path):
    begin = time.monotonic()
    papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", kernel_name="python3", cwd=tmp_path, progress_bar=False)
    assert time.monotonic() - begin < 60
    text = (tmp_path / "out.ipynb").read_text()
    assert len(text) < 200_000
    for said in ("ngrok leads here now", "localtunnel leads here now", "2 links in 2 files changed", "<h1>My app</h1>", "The tunnel is closed."):
        assert said in text, said
    assert "application/vnd.jupyter.widget" not in text


def test_it_has_ten_numbered_cells_one_of_them_with_parameters_and_no_outputs():
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    assert [cell.source.startswith(f"# {number}. ") for number, cell in enumerate(cells, 1)] == [True] * 10
    assert sum("parameters" in cell.metadata.get("tags", ()) for cell in cells) == 1
    assert not any(cell.outputs for cell in cells)
