"""Importing and asking for help stay cheap, and the public names are exactly those of `__all__`."""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("pandas", "plotly", "ipywidgets", "papermill", "sqlalchemy", "IPython", "rich", "alembic")
IMPORT_BUDGET = 0.100
HELP_BUDGET = 0.300


def _took(program: str) -> float:
    """Seconds of processor: a quiet machine takes as long, a busy one longer for reasons that are not ours."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _best_difference(program: str, *, rounds: int = 5) -> float:
    """Median of pairs run one after the other, so that a busy machine slows both sides."""
    return statistics.median(_took(program) - _took("pass") for _ in range(rounds))


def test_import_takes_under_100_ms_over_bare_python():
    assert min(_best_difference("import qcity_nb") for _ in range(2)) < IMPORT_BUDGET


def test_import_loads_nothing_heavy():
    program = "import sys, json, qcity_nb; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    assert not [name for name in HEAVY if name in loaded]


@pytest.mark.skipif(not (ROOT / "qcity_nb/cli").exists() and not (ROOT / "qcity_nb/cli.py").exists(), reason="no command yet")
def test_help_takes_under_300_ms():
    program = "import sys; sys.argv = ['qcity', '--help']; from qcity_nb.cli import main; main()"
    took = [_took(f"try:\n exec({program!r})\nexcept SystemExit: pass") for _ in range(5)]
    assert statistics.median(took) < HELP_BUDGET or min(took) < HELP_BUDGET


def test_the_public_names_are_those_of_all():
    """What `__all__` promises is there, nothing else is public, and it is sorted."""
    package = importlib.import_module("qcity_nb")
    promised = package.__all__
    assert sorted(promised, key=str.casefold) == list(promised) or sorted(promised) == list(promised)
    for name in promised:
        assert getattr(package, name) is not None
    assert set(promised) <= set(dir(package))


def test_testing_offers_exactly_its_all():
    package = importlib.import_module("qcity_nb.testing")
    for name in package.__all__:
        assert getattr(package, name) is not None
