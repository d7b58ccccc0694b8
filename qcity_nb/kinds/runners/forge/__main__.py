"""An agent's first process: `python -m qcity_nb.kinds.runners.forge --home HOME --name NAME`. When all is ready it becomes the agent."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from ....errors import QCityError
from ....model.agent import Act
from ....model.home import Home
from . import github, gitlab, options
from .opening import HOLD, Hold, Opening, say
from .program import Program

PROGRAMS: dict[str, Program] = {"github": github.PROGRAM, "gitlab": gitlab.PROGRAM}


def main() -> int:  # noqa: RET503 - after exec there is nothing to return to
    """Prepare the agent and turn into it. Returns only when that could not be done."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)  # a stop while we wait is no traceback
    parser = argparse.ArgumentParser(prog="qcity agent")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    told = options.load(os.environ)
    place = os.environ.get("QCITY_SERVICE", "").partition("/")[0]
    incarnation = int(os.environ.get("QCITY_INCARNATION", "0"))
    epoch = int(os.environ.get("QCITY_EPOCH", "0"))
    start = Opening(Home(given.home.absolute()), given.name, incarnation, place=place, options=told, program=PROGRAMS[told.forge], epoch=epoch)
    try:
        argv, env, folder = start.run()
    except Hold as hold:
        start.advise(hold.finding, Act.HOLD)
        return HOLD
    except (QCityError, OSError) as error:
        say(str(error))
        return 1
    os.chdir(folder)
    sys.stdout.flush()
    os.execve(argv[0], argv, env)  # noqa: S606 - the agent, with its arguments as a list


if __name__ == "__main__":
    sys.exit(main())
