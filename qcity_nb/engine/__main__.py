"""`python -m qcity_nb.engine --home H`: the engine as a process of its own."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..errors import QCityError
from ..store.database import prepare, prepare_home
from .hosts import LOST_STORE, serve


def main() -> int:
    """Run the engine of a home; the exit code."""
    parser = argparse.ArgumentParser(prog="qcity engine run", description="Run the engine of a home.")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--foreground", action="store_true", help="stay in this terminal's session: Ctrl-C ends it")
    asked = parser.parse_args()
    if not asked.foreground and os.getsid(0) != os.getpid():
        os.setsid()
    code = LOST_STORE
    while code == LOST_STORE:  # a damaged store is replaced by its last good copy, and what runs is adopted
        try:
            store, said = prepare(prepare_home(asked.home), os.environ.get("QCITY_STORE"))
        except QCityError as error:
            print(f"qcity: {error}", file=sys.stderr)
            return error.exit_code
        if said:
            print(said, file=sys.stderr, flush=True)
        code = serve(store)
        store.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
