"""What Binder would make of binder/: an environment of its own, the package, and the first notebook in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]


def test_installed_as_binder_does_the_first_notebook_runs(tmp_path):
    """repo2docker copies the repository, installs requirements.txt, then runs postBuild in the copy."""
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert version == f"{sys.version_info.major}.{sys.version_info.minor}" or os.environ.get("CI") != "true"
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "*.egg-info", "__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in hidden and not name.startswith("QCITY_")}
    env |= {"PATH": f"{tmp_path / 'env' / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "BINDER_LAUNCH_HOST": "https://binder.example/"}

    def run(*words: str, folder: Path = copy) -> str:
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        return done.stdout

    run("python", "-m", "pip", "install", "-q", "-r", "binder/requirements.txt")
    assert "qcity-nb" in run("bash", "binder/postBuild")
    assert (copy / "binder" / "postBuild").stat().st_mode & 0o111
    run("papermill", "--no-progress-bar", "-k", "python3", "00_start_here.ipynb", str(tmp_path / "out.ipynb"), folder=copy / "notebooks")
    text = (tmp_path / "out.ipynb").read_text()
    assert "The simulation is over." in text
    assert json.loads(text)["cells"][0]["cell_type"] == "markdown"
    assert "qcity_nb" in run("python", "-c", "import qcity_nb; print(qcity_nb.__file__)", folder=tmp_path)
