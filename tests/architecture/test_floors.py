"""Imports point down only: the contracts of pyproject.toml, run as a test, and proof that they bite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANTED = {
    "deciding and the model touch nothing outside": ("decide/planted.py", "import subprocess"),
    "the model imports nothing of ours": ("model/planted.py", "from .. import errors"),
    "the store stands on io, the model and the errors": ("store/planted.py", "from ..decide import supervise"),
    "the engine knows no client": ("engine/planted.py", "from ..client import city"),
    "cli, ui, web and the client are strangers to engine and kinds": ("web/planted.py", "from ..engine import loop"),
    "sibling runners do not know each other": ("kinds/runners/planted.py", "from . import command"),
    "kinds know neither store, engine nor client": ("kinds/planted.py", "from ..store import lease"),
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", "--config", str(folder / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False)


@pytest.mark.real
def test_the_floors_hold():
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.real  # needs the import-linter that development uses, not the older one beside Colab's click
def test_each_contract_bites(tmp_path):
    """One forbidden import planted for each kind of contract turns it red."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    package = tmp_path / "qcity_nb"
    for path in (ROOT / "qcity_nb").rglob("*.py"):
        copy = package / path.relative_to(ROOT / "qcity_nb")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    for name, line in PLANTED.values():
        (package / name).write_text(line + "\n")
    result = _lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    for contract in PLANTED:
        assert f"{contract} BROKEN" in " ".join(result.stdout.split()), contract


@pytest.mark.parametrize("path", sorted((ROOT / "qcity_nb").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_deciding_module_reads_a_clock(path):
    """`datetime.now` needs no import of time, so import-linter cannot see it."""
    if path.parent.name in ("decide", "model"):
        text = path.read_text()
        assert "datetime.now(" not in text
        assert "utcnow(" not in text
        assert "open(" not in text.replace("_open(", "")
