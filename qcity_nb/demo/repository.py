"""Makes the demo's repository: real commits by the real git, without the person's own git settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path

from ..errors import MissingTool, QCityError

_FIRST = (
    ("an adder", {"adder/__init__.py": "", "adder/add.py": "add.txt", "VERSION": ""}),
    ("its tests", {"test_add.py": "test_add.txt"}),
    ("the workflow", {".github/workflows/ci.yml": "ci.yml"}),
)


def make(folder: Path) -> int:
    """Make the repository; the number of its commits.

    Raises:
        MissingTool: git is not installed.
        QCityError: git refused; the sentence says what it said.
    """
    if shutil.which("git") is None:
        raise MissingTool("git is not installed, and the demo makes a repository with it", "apt-get install git (or your system's way)")
    folder.mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")
    for subject, files in _FIRST:
        for name, source in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(resources.files(__package__).joinpath(source).read_text("utf-8") if source else "1.0\n" if name == "VERSION" else "")
        _commit(folder, subject)
    return len(_FIRST)


def break_it(folder: Path) -> str:
    """Commit a mistake on purpose; the commit."""
    path = folder / "adder" / "add.py"
    path.write_text(path.read_text().replace("return a + b", "return a + b + (a == b)"))
    _commit(folder, "broken on purpose")
    return _git(folder, "rev-parse", "HEAD").strip()


def _commit(folder: Path, subject: str) -> None:
    _git(folder, "add", "-A")
    _git(folder, "-c", "user.name=QCity demo", "-c", "user.email=demo@localhost", "commit", "-q", "-m", subject)


def _git(folder: Path, *arguments: str) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise QCityError(f"git {arguments[0]} failed in {folder}: {said[-1]}", "qcity doctor says which git this is")
    return done.stdout
