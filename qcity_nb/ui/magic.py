"""`%qcity`: the command, in a cell. `%%qcity_job`: a cell as a job; it becomes a notebook below the home, which runs now or by its schedule."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
from pathlib import Path
from typing import Any

from ..cli import main
from ..cli.parser import Parser
from ..client.city import QCity
from ..client.runs import Run
from ..client.schedules import when
from ..client.status import Status
from ..decide import cell as cells
from ..decide import notebook as known
from ..decide import schedule as times
from ..errors import BadInput, HomeError, QCityError
from ..io.files import write_atomic
from ..model.home import Home

NAME = "qcity_job"
NEXT = 3
"""Moments of a new schedule that are said."""
HOW = ("kernel", "retries", "backoff", "timeout", "cell_timeout", "park", "executor", "sandbox", "network")


def register(shell: Any) -> None:
    """Give a shell the magics; again is harmless."""
    job = Job(shell)

    def qcity(line: str) -> Status | None:
        """Run a command of qcity at the place of the variable `city`, else at the usual one; `%qcity` alone is its status."""
        return job.command(line)

    shell.register_magic_function(qcity, "line", "qcity")

    def qcity_job(line: str, cell: str) -> Run | None:
        return job.run(line, cell)

    qcity_job.__doc__ = f"Run this cell as a job, now or by a schedule.\n\n{grammar().format_help()}"
    shell.register_magic_function(qcity_job, "cell", NAME)


def grammar() -> Parser:
    """What can stand in its first line."""
    parser = Parser(prog=f"%%{NAME}", description="Run this cell as a job. Lines that begin with # %% cut it into cells.", add_help=False)
    parser.add_argument("--name", default="", help="what it is called; the job of that name is replaced")
    parser.add_argument("--cron", default="", metavar="CRON", help='run it by a schedule, as "0 3 * * *" for three in the morning')
    parser.add_argument("--at", default="", help='run it once later, as "2027-01-31 03:00"')
    parser.add_argument("--tz", default="UTC", help="the time zone of both (default UTC)")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="set before the cell; repeatable")
    parser.add_argument("--retries", type=int, default=0, help="how often a run that failed is tried again")
    parser.add_argument("--backoff", default="30 s", help='how long after, doubled each time (default "30 s")')
    parser.add_argument("--timeout", help="for the whole run, as 30m")
    parser.add_argument("--cell-timeout", help="for each part of it")
    parser.add_argument("--secret", action="append", default=[], metavar="NAME", help="a token that it finds in its environment; repeatable")
    parser.add_argument("--park", default="10 min", help='how long the kernel of a failed run is kept (default "10 min")')
    parser.add_argument("--kernel", default="", help="another Python kernel than this package's own")
    parser.add_argument("--executor", default="", metavar="WHERE", help="dask, dask://HOST:PORT or place:NAME (default: this machine)")
    parser.add_argument("--sandbox", default="none", choices=("none", "partial", "full"), help="the weakest sandbox to accept (default none)")
    parser.add_argument("--network", action="store_true", help="let it reach the network in a sandbox")
    parser.add_argument("--detach", action="store_true", help="give the notebook back at once; the view goes on by itself")
    parser.add_argument("--home", default="", metavar="DIR", help="the place's folder (default: that of your variable city, else as qcity_nb.open())")
    parser.add_argument("-h", "--help", action="store_true", help="say this")
    return parser


class Job:
    """The magic of one shell.

    Args:
        shell: IPython's.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._cities: dict[str, QCity] = {}

    def run(self, line: str, cell: str) -> Run | None:
        """Run a cell, or schedule it. Errors of ours are one sentence in the notebook, and the cell has failed."""
        try:
            return self._do(_parse(line), cell)
        except QCityError as error:
            from IPython.core.error import UsageError

            raise UsageError(str(error)) from None

    def command(self, line: str) -> Status | None:
        """Run a command; the status is given back, to be shown as a table. What it complains of is the cell's error, and the cell has failed."""
        from IPython.core.error import UsageError

        words, mine = _words(line, "%qcity"), self._shell.user_ns.get("city")
        if words in ([], ["status"]):
            return self._city("").status()
        if "--home" not in words and isinstance(mine, QCity):
            words = ["--home", str(mine.home), *words]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = main(words)
        if code and said.getvalue():
            raise UsageError(said.getvalue().removeprefix("qcity: ").strip())
        print(said.getvalue(), end="")  # noqa: T201 - what a command says beside its answer
        return None

    def _do(self, args: argparse.Namespace, code: str) -> Run | None:
        if args.help:
            print(grammar().format_help())  # noqa: T201 - it is what was asked for
            return None
        later = bool(args.cron or args.at)
        if later and not args.name:
            raise BadInput("a schedule needs a name, so that this cell replaces it when it is run again", "--name nightly")
        if later and args.detach:
            raise BadInput("--detach is for a cell that runs now", "Leave it out: a schedule never waits")
        name = cells.name_of(args.name, code)
        parameters = _parameters(args.parameter)
        for above, text in cells.parts(code):
            cells.check_code(self._plain(text), above + 1)  # the magic's own line is the first one
        made = cells.notebook(code, parameters=parameters, folder=str(Path.cwd()), kernel=args.kernel)
        known.check_parameters(made, parameters, name)
        city = self._city(args.home)
        how = {**{one: getattr(args, one) for one in HOW}, "secrets": tuple(args.secret)}
        path = Home(city.home).cell(name, scheduled=later)
        if not later:
            _write(path, made)
            return city.notebooks.run(path, **how).live(block=not args.detach)
        before = path.read_text(encoding="utf-8") if path.exists() else None
        _write(path, made)
        try:
            schedule = city.notebooks.schedule(path, args.cron, at=args.at, tz=args.tz, name=name, **how)
        except QCityError:
            if before is not None:  # the schedule that there was goes on as it was
                write_atomic(path, before)
            raise
        zone = times.zone_of(schedule.zone)
        found = city.notebooks.schedules.upcoming(name, NEXT)
        then = ", ".join(f"{one.astimezone(zone):%a %Y-%m-%d %H:%M}" for one in found)
        print(f"{name} runs this cell: {when(schedule)}" + (f"; next {then}." if then else "."))  # noqa: T201 - what the cell has to say
        return None

    def _plain(self, code: str) -> str:
        try:
            return str(self._shell.transform_cell(code))
        except SyntaxError:
            return code  # what is wrong with it is said when it is compiled

    def _city(self, home: str) -> QCity:
        """The place that was named, that of the notebook's own `city`, or the usual one."""
        from .. import home_folder
        from .. import open as open_

        mine = self._shell.user_ns.get("city")
        if not home and isinstance(mine, QCity):
            return mine
        folder = str(home_folder(home or None))
        if folder not in self._cities:
            self._cities[folder] = open_(folder)
        return self._cities[folder]


def _words(line: str, magic: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise BadInput(f"{magic}: {str(error).lower()} in its first line", 'Put what has blanks into quotes, as --cron "0 3 * * *"') from None


def _parse(line: str) -> argparse.Namespace:
    words = _words(line, f"%%{NAME}")
    args, more = grammar().parse_known_args(words)
    if more and not more[0].startswith("-"):
        todo = 'Put what has blanks into quotes, as --cron "0 3 * * *"; the code begins on the next line'
        raise BadInput(f"%%{NAME} does not understand {more[0]}", todo)
    return grammar().parse_args(words) if more else args


def _parameters(given: list[str]) -> dict[str, object]:
    texts: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise BadInput(f'-p "{one}" is no parameter', "Write it as NAME=VALUE")
        texts[name.strip()] = value
    found = known.typed({"cells": []}, texts)
    cells.check_names(found)
    return found


def _write(path: Path, made: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise HomeError(f"{path} cannot be written: {error.strerror}", "qcity doctor says how the home is") from None


