"""The worker's command: `python -m qcity_nb.kinds.runners.local --home HOME --name NAME`, its options and incarnation in the environment."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ....errors import QCityError
from ....model.home import Home
from . import options
from .worker import Worker


def main() -> int:
    """Run the worker until it is told to stop. Exit code 0 after a stop, 2 when it cannot work at all."""
    parser = argparse.ArgumentParser(prog="qcity local runner")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    incarnation = int(os.environ.get("QCITY_INCARNATION", "0"))
    try:
        Worker(Home(given.home.absolute()), given.name, incarnation, options.load(os.environ, runner=given.name)).run()
    except QCityError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
