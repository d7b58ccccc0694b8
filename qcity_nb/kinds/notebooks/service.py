"""The worker as a service: `python -m qcity_nb.kinds.notebooks.service --home HOME --name NAME`, started by the engine when there is a run."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from ...errors import MissingTool
from ...model.home import Home
from ...model.service import Exit, ServiceSpec
from ...ports import Launch

NEEDS = ("papermill", "nbclient", "ipykernel")
CLUSTER = ("distributed", "cryptography")
SLOTS = "QCITY_NOTEBOOK_SLOTS"


class Kind:
    """The service `notebooks`."""

    takes_jobs = False
    speaks = True
    beats = True
    attended = False

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """As many runs at once as there are cores, at least two, or as QCITY_NOTEBOOK_SLOTS says. An option `executor` asks for one more thing only.

        Raises:
            MissingTool: what runs notebooks is not installed, or what that executor needs.
        """
        _refuse(NEEDS, "notebooks cannot run here", "notebook")
        if spec.options.get("executor") == "dask":
            _refuse(CLUSTER, "notebooks cannot run in a Dask cluster", "cluster")
        told = os.environ.get(SLOTS, "")
        slots = int(told) if told.isdecimal() and int(told) > 0 else max(2, os.cpu_count() or 2)
        return replace(spec, options={"slots": slots}, grace=timedelta(seconds=15))

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """A process of its own."""
        argv = (sys.executable, "-m", __name__, "--home", str(home.root), "--name", spec.name, "--slots", str(spec.options.get("slots", 2)))
        return Launch(argv=argv, env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=home.service(spec.name))

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """It ends only when it is told to."""
        return ""


KIND = Kind()


def _refuse(needs: Sequence[str], what: str, extra: str) -> None:
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingTool(f"{what}: {', '.join(missing)} is not installed", f'pip install "qcity-nb[{extra}]"')


def main() -> int:
    """Run the worker until it is told to stop."""
    parser = argparse.ArgumentParser(prog="qcity notebooks")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--slots", required=True, type=int)
    given = parser.parse_args()
    from .worker import Worker  # the engine loads this file for its kind alone

    Worker(Home(given.home.absolute()), given.name, int(os.environ.get("QCITY_INCARNATION", "0")), slots=given.slots).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
