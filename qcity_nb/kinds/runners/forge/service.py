"""The attendant as a service: `python -m qcity_nb.kinds.runners.forge.service --home HOME --name NAME`, started by the engine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ....model.home import Home
from ....model.service import Exit, ServiceSpec
from ....ports import Launch


class Kind:
    """The service `attendant`."""

    takes_jobs = False
    speaks = True
    beats = True
    attended = False

    def check(self, spec: ServiceSpec) -> ServiceSpec:
        """Nothing can be told to it."""
        return spec

    def launch(self, spec: ServiceSpec, *, home: Home) -> Launch:
        """A process of its own."""
        argv = (sys.executable, "-m", __name__, "--home", str(home.root), "--name", spec.name)
        return Launch(argv=argv, env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=home.service(spec.name))

    def natural(self, how: Exit, words: Sequence[str]) -> str:
        """It ends only when it is told to."""
        return ""


KIND = Kind()


def main() -> int:
    """Run the attendant until it is told to stop."""
    parser = argparse.ArgumentParser(prog="qcity attendant")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    place = os.environ.get("QCITY_SERVICE", "").partition("/")[0]
    from .attendant import Attendant  # the engine loads this file for its kind alone

    Attendant(Home(given.home.absolute()), given.name, int(os.environ.get("QCITY_INCARNATION", "0")), place=place).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
