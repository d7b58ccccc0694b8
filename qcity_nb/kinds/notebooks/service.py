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

from ...decide.runs import stricter
from ...decide.wording import did_you_mean
from ...errors import BadInput, MissingTool, Refused
from ...model.home import Home
from ...model.service import Exit, Sandbox, ServiceSpec
from ...ports import Launch
from .. import sandboxes

NEEDS = ("papermill", "nbclient", "ipykernel")
CLUSTER = ("distributed", "cryptography")
SLOTS, SANDBOX = "QCITY_NOTEBOOK_SLOTS", "QCITY_NOTEBOOK_SANDBOX"


class Kind:
    """The service `notebooks`."""

    takes_jobs = False
    speaks = True
    beats = True
    attended = False

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """As many runs at once as there are cores, at least two, or as QCITY_NOTEBOOK_SLOTS says; none less shut in than QCITY_NOTEBOOK_SANDBOX.

        Args:
            spec: its option `sandbox` is what a run that is asked for accepts at least, `executor` the kind of executor that is to execute it.

        Raises:
            MissingTool: what runs notebooks is not installed, or what that executor needs.
            Refused: this machine's sandbox is weaker than that, or it is to be executed elsewhere, where there is none.
            BadInput: QCITY_NOTEBOOK_SANDBOX is no level.
        """
        _refuse(NEEDS, "notebooks cannot run here", "notebook")
        if spec.options.get("executor") == "dask":
            _refuse(CLUSTER, "notebooks cannot run in a Dask cluster", "cluster")
        told = os.environ.get(SLOTS, "")
        slots = int(told) if told.isdecimal() and int(told) > 0 else max(2, os.cpu_count() or 2)
        floor = os.environ.get(SANDBOX, "") or Sandbox.NONE.value
        if floor not in [one.value for one in Sandbox]:
            raise BadInput(f'{SANDBOX} is "{floor}"', did_you_mean(floor, [one.value for one in Sandbox], what="level"))
        wanted = stricter(Sandbox(floor), Sandbox(str(spec.options.get("sandbox", floor))))
        if wanted is not Sandbox.NONE and spec.options.get("executor"):
            what = f"what runs elsewhere has no sandbox of ours, and {SANDBOX} asks for {floor}"
            raise Refused(what, f"Run it on this machine (leave the executor out), or start the engine without {SANDBOX}")
        if wanted is not Sandbox.NONE:
            sandboxes.best(wanted)
        return replace(spec, options={"slots": slots, "sandbox": floor}, grace=timedelta(seconds=15))

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """A process of its own."""
        how = ("--slots", str(spec.options.get("slots", 2)), "--sandbox", str(spec.options.get("sandbox", Sandbox.NONE.value)))
        argv = (sys.executable, "-m", __name__, "--home", str(home.root), "--name", spec.name, *how)
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
    parser.add_argument("--sandbox", default=Sandbox.NONE.value)
    given = parser.parse_args()
    from .lean import lighten

    lighten()
    from .worker import Worker  # the engine loads this file for its kind alone

    incarnation = int(os.environ.get("QCITY_INCARNATION", "0"))
    Worker(Home(given.home.absolute()), given.name, incarnation, slots=given.slots, sandbox=Sandbox(given.sandbox)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
