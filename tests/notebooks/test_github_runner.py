"""The notebook of GitHub's runner works headless, without an account, against the stand-in, and says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_github_runner.ipynb"

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_it_runs_headless_against_the_stand_in(tmp_path, monkeypatch):
    monkeypatch.delenv("QCITY_GITHUB_TOKEN", raising=False)
    papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", kernel_name="python3", cwd=tmp_path, progress_bar=False, execution_timeout=100)
    text = (tmp_path / "out.ipynb").read_text()
    for told in ("stand-in of GitHub", "the job ended: success", "it is up again", "signal 9", "registrations left: 0"):
        assert told in text
    assert "github_pat_" not in text, "no token reaches an output"


def test_nbval_finds_the_outputs_that_are_kept(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", str(NOTEBOOK), "-p", "no:cacheprovider", "-W", "ignore", "-o", "addopts="]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_its_token_is_no_parameter():
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(cells) == 1
    assert "token =" not in cells[0].source
