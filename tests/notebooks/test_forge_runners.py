"""The notebooks of GitHub's and GitLab's runners work headless, without an account, against the stand-ins, and say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
BOTH = pytest.mark.parametrize(("name", "forge"), [("02_github_runner.ipynb", "GitHub"), ("02b_gitlab_runner.ipynb", "GitLab")])

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.filterwarnings("ignore"), BOTH]


def test_it_runs_headless_against_the_stand_in(name, forge, tmp_path, monkeypatch):
    monkeypatch.delenv(f"QCITY_{forge.upper()}_TOKEN", raising=False)
    papermill.execute_notebook(FOLDER / name, tmp_path / "out.ipynb", kernel_name="python3", cwd=tmp_path, progress_bar=False, execution_timeout=100)
    text = (tmp_path / "out.ipynb").read_text()
    for told in (f"stand-in of {forge}", "the job ended: success", "it is up again", "signal 9", "online as demo", "registrations left: 0"):
        assert told in text
    assert "github_pat_" not in text, "no token reaches an output"
    assert "glpat-" not in text


def test_nbval_finds_the_outputs_that_are_kept(name, forge, tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", str(FOLDER / name), "-p", "no:cacheprovider", "-W", "ignore", "-o", "addopts="]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_its_token_is_no_parameter(name, forge):
    cells = [cell for cell in nbformat.read(FOLDER / name, 4).cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(cells) == 1
    assert "token =" not in cells[0].source
