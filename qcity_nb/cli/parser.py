"""What the command understands. Only argparse here: everything else is loaded when a command runs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import BadInput
from . import parser_dns, parser_links, parser_platform, parser_serve, parser_tunnel, parser_vault

EPILOG = "First time: qcity demo. Then: qcity up --repo PATH. What is wrong: qcity status, qcity doctor."


class Parser(argparse.ArgumentParser):
    """argparse that complains in one sentence, with the nearest right word."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)  # a mistyped option is named, not guessed

    def error(self, message: str) -> NoReturn:
        """Raise `BadInput` instead of printing the usage and leaving."""
        if match := re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", message):
            from ..decide.wording import did_you_mean

            known = [word.strip(" '") for word in match[2].split(",")]
            raise BadInput(f'{self.prog} knows no "{match[1]}"', did_you_mean(match[1], known, what="command"))
        if match := re.search(r"unrecognized arguments: (.*)", message):
            raise BadInput(f"{self.prog} does not understand {match[1]}", self._nearest(match[1].split()[0]))
        raise BadInput(f"{self.prog}: {message}", f"{self.prog} --help shows how")

    def _nearest(self, word: str) -> str:
        from ..decide.wording import nearest

        near = nearest(word.partition("=")[0], self._options()) if word.startswith("-") else ""
        return f"Did you mean {near}?" if near else f"{self.prog} --help shows what it knows"

    def _options(self) -> list[str]:
        """All options, those of commands below this one too: argparse notices unknown ones only at the top."""
        found = [option for action in self._actions for option in action.option_strings]
        for action in self._actions:
            if isinstance(action.choices, dict):
                found += [option for below in action.choices.values() for option in below._options()]  # noqa: SLF001 - this class
        return found


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command with its arguments; `run` names what carries it out, `tail` is what stood after `--`.

    Raises:
        BadInput: it cannot be understood.
    """
    words = list(argv)
    cut = words.index("--") if "--" in words else len(words)
    parser = build()
    args = parser.parse_args(words[:cut])
    args.tail = words[cut + 1 :]
    if "run" not in args:
        parser.print_help()
        raise SystemExit(2)
    if args.tail and args.run != "runner:start":
        raise BadInput(f"nothing can stand after -- in this command ({' '.join(args.tail)})", "Only qcity runner start command takes a program there")
    return args


def build() -> Parser:
    """The whole grammar."""
    shared = Parser(add_help=False)
    shared.add_argument("--home", default=argparse.SUPPRESS, metavar="DIR", help="the place's folder (default: QCITY_HOME, else your state folder)")
    listing = Parser(add_help=False, parents=[shared])
    listing.add_argument("--json", action="store_true", help="print the documented JSON shape")
    parser = Parser(prog="qcity", description="CI runners that stay up, repair themselves and say what went wrong.", epilog=EPILOG, parents=[shared])
    parser.add_argument("--version", action="store_const", const="status:version", dest="run", default=argparse.SUPPRESS, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)

    up = commands.add_parser("up", parents=[shared], help="start the engine and what the repository's qcity.toml asks for")
    up.add_argument("--repo", metavar="PATH", help="the repository (default: the one around the current folder)")
    up.add_argument("--strict", action="store_true", help="refuse when a job cannot run here, instead of leaving it out")
    up.set_defaults(run="status:up")
    status = commands.add_parser("status", parents=[listing], help="how everything is, in one sentence and a table")
    status.add_argument("--watch", action="store_true", help="keep showing it; outside a terminal one plain line for each change")
    status.add_argument("--for", type=float, dest="seconds", metavar="SECONDS", help="stop watching after this time")
    status.set_defaults(run="status:status")
    _runner(commands.add_parser("runner", help="start, stop, drain, remove, look at runners"), shared, listing)
    _job(commands.add_parser("job", help="look at jobs, run them again, cancel them"), shared, listing)
    _incident(commands.add_parser("incident", help="what went wrong, what was done, how it is known to be well"), listing)
    _notebook(commands.add_parser("notebook", help="run notebooks, look at their runs, go on from a failed cell"), shared, listing)
    _schedule(commands.add_parser("schedule", help="run notebooks again and again"), shared, listing)
    parser_tunnel.add(commands.add_parser("tunnel", help="one address that leads to a port here, and stays right"), shared, listing)
    parser_dns.add(commands.add_parser("dns", help="signed pointers in the DNS: what they say, and a fallback when nobody is alive"), shared)
    parser_tunnel.domain(commands.add_parser("domain", help="a domain of yours: a tunnel stands in for it while it fails"), shared, listing)
    parser_links.add(commands.add_parser("links", help="files in which a tunnel's address is kept right"), shared, listing)
    parser_links.check(commands.add_parser("check", parents=[listing], help="is everything right before a deployment"))
    serve = commands.add_parser("serve", parents=[shared], help="the dashboard as a page, with roles; qcity serve link lets somebody in")
    parser_serve.add(serve, shared, listing)
    _fleet(commands.add_parser("fleet", help="several places of which one runs a runner"), shared, listing)
    _engine(commands.add_parser("engine", help="run, stop, look at the engine"), shared, listing)
    _place(commands.add_parser("place", help="where else an engine can run: look, start, stop"), shared, listing)
    parser_platform.add(commands.add_parser("platform", help="how GitHub, Hugging Face and others say they are"), shared, listing)
    _notify(commands.add_parser("notify", help="whom to tell when repair is exhausted"), shared)
    parser_vault.add(commands.add_parser("vault", help="copies of this home's store, kept off the machine"), shared, listing)
    parser_vault.resume(commands.add_parser("resume", parents=[shared], help="go on from a vault: restore, start, say what was done"))
    doctor = commands.add_parser("doctor", parents=[listing], help="what is there, what is missing, how to get it")
    doctor.set_defaults(run="status:doctor")
    demo = commands.add_parser("demo", help="the whole product in under a minute, in a folder of its own")
    demo.add_argument("--keep", action="store_true", help="keep the folder to look at")
    demo.add_argument("--dir", metavar="DIR", help="the folder (default: ./qcity-demo, or the next free name)")
    demo.set_defaults(run="demo:command")
    return parser


def _runner(parser: Parser, shared: Parser, listing: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    begin = "qcity runner start"
    usage = f"{begin} KIND [REPO] [options]\n       {begin} command --name NAME [options] -- PROGRAM [ARGUMENT …]\n       {begin} NAME"
    start = verbs.add_parser("start", parents=[shared], usage=usage, help="start a runner, or a known one by its name, and wait until it is up")
    start.add_argument("kind", metavar="KIND", help="local, command, github, gitlab, place, or the name of a runner that is known")
    start.add_argument("repo", nargs="?", metavar="REPO", help="local: a folder (default: this one) or address; github: owner/name; place: its name")
    start.add_argument("--name", help="its name (default: KIND and the next free number)")
    start.add_argument("--label", action="append", default=[], help="what jobs may ask for by runs-on; repeatable")
    start.add_argument("--fallback", metavar="NAME", default="", help="the known runner that takes over while this one is quarantined")
    start.add_argument("--slots", type=int, help="local: how many jobs at once")
    start.add_argument("--branch", action="append", help="local: which branches, a pattern; repeatable")
    start.add_argument("--sandbox", choices=("full", "partial", "none"), help="local: refuse to run jobs below this level")
    start.add_argument("--network", action="store_true", default=None, help="local: let jobs use the network")
    start.add_argument("--org", help="github: an organisation instead of a repository")
    start.add_argument("--group-path", metavar="PATH", help="gitlab: a group instead of a project")
    start.add_argument("--url", help="github, gitlab: the address of an enterprise server or of your own GitLab")
    start.add_argument("--persistent", action="store_true", help="github, gitlab: one registration for many jobs (default: a new one for each)")
    start.add_argument("--group", help="github: the organisation's runner group")
    start.add_argument("--version", help="github: pin the runner's version")
    start.add_argument("--claim", metavar="NAME", default="", help="it runs only while this place holds that claim (qcity fleet join)")
    start.add_argument("--allow-root", action="store_true", help="github, gitlab: let jobs be root where this is root")
    start.set_defaults(run="runner:start")
    for verb, text in (("stop", "stop it now"), ("drain", "let it finish its jobs, then stop it"), ("remove", "stop it and forget it")):
        one = verbs.add_parser(verb, parents=[shared], help=text)
        one.add_argument("name", metavar="NAME")
        one.set_defaults(run=f"runner:{verb}")
    for verb, text in (("repair", "have it begun again as after a fault, with a proof"), ("pause", "let it finish its jobs and be down for a while")):
        one = verbs.add_parser(verb, parents=[shared], help=text)
        one.add_argument("name", metavar="NAME")
        one.add_argument("--note", default="", help="why, for whoever looks")
        one.set_defaults(run=f"runner:{verb}")
        if verb == "pause":
            one.add_argument("--time", metavar="SPAN", help='how long, as "2 h" (default: until it is started)')
    verbs.add_parser("list", parents=[listing], help="all runners").set_defaults(run="runner:list_")
    verbs.add_parser("discover", parents=[listing], help="agents that somebody else started on this machine").set_defaults(run="runner:discover")
    for verb, text, parent in (("plan", "how GitHub and GitLab are to what is asked for", listing), ("apply", "make them so", shared)):
        one = verbs.add_parser(verb, parents=[parent], help=text)
        one.add_argument("--repo", metavar="PATH", help="the folder with qcity.toml (default: the current one)")
        one.set_defaults(run=f"runner:{verb}")
    labels = verbs.add_parser("labels", parents=[shared], help="give a runner of GitHub or GitLab other labels")
    labels.add_argument("name", metavar="NAME")
    labels.add_argument("label", nargs="+", metavar="LABEL")
    labels.set_defaults(run="runner:labels")
    rename = verbs.add_parser("rename", parents=[shared], help="give a runner another name")
    rename.add_argument("name", metavar="NAME")
    rename.add_argument("new", metavar="NEW")
    rename.set_defaults(run="runner:rename")
    show = verbs.add_parser("show", parents=[listing], help="one runner")
    show.add_argument("name", metavar="NAME")
    show.set_defaults(run="runner:show")
    _logs(verbs.add_parser("logs", parents=[shared], help="what it printed"), "name", "runner:logs")


def _job(parser: Parser, shared: Parser, listing: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    every = verbs.add_parser("list", parents=[listing], help="the newest jobs")
    every.add_argument("--limit", type=int, default=30, help="how many (default 30)")
    every.set_defaults(run="job:list_")
    for verb, text, parent in (("show", "one job with its steps", listing), ("rerun", "run it again", shared), ("cancel", "end it", shared)):
        one = verbs.add_parser(verb, parents=[parent], help=text)
        one.add_argument("id", metavar="ID", type=_number)
        if verb == "cancel":
            one.add_argument("--reason", default="asked by a person", help="said on the job")
        one.set_defaults(run=f"job:{verb}")
    _logs(verbs.add_parser("logs", parents=[shared], help="what it printed"), "id", "job:logs")


def _incident(parser: Parser, listing: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    verbs.add_parser("list", parents=[listing], help="the newest incidents").set_defaults(run="incident:list_")
    show = verbs.add_parser("show", parents=[listing], help="one incident: cause, done, proof")
    show.add_argument("id", metavar="ID", type=_number)
    show.set_defaults(run="incident:show")


def _how(parser: Parser) -> None:
    """What can be said of how a notebook runs."""
    parser.add_argument("notebook", metavar="NOTEBOOK")
    parser.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="for the cell tagged parameters; repeatable")
    parser.add_argument("--kernel", default="", help="another kernel than the notebook names")
    parser.add_argument("--retries", type=int, default=0, help="how often a run that failed is tried again")
    parser.add_argument("--backoff", default="30 s", help="how long after, doubled each time (default 30 s)")
    parser.add_argument("--timeout", help="for the whole run, as 30m")
    parser.add_argument("--cell-timeout", help="for each cell")
    parser.add_argument("--secret", action="append", default=[], metavar="NAME", help="a token that its kernel finds in its environment; repeatable")
    parser.add_argument("-o", "--output", default="", help="where the executed notebook is copied to")
    parser.add_argument("--park", default="10 min", help="how long the kernel of a failed run is kept (default 10 min)")
    parser.add_argument("--compare", action="store_true", help="hold the outputs against those of the last run")
    parser.add_argument("--executor", default="", metavar="WHERE", help="dask, dask://HOST:PORT or place:NAME (default: this machine)")
    parser.add_argument("--sandbox", default="none", choices=("none", "partial", "full"), help="the weakest sandbox to accept (default none)")
    parser.add_argument("--network", action="store_true", help="let a sandboxed notebook reach the network")


def _notebook(parser: Parser, shared: Parser, listing: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    run = verbs.add_parser("run", parents=[shared], help="run one now and watch it")
    _how(run)
    run.add_argument("--key", help="who asks twice with the same key gets one run")
    run.add_argument("--detach", action="store_true", help="do not wait for its end")
    run.set_defaults(run="notebook:run")
    every = verbs.add_parser("list", parents=[listing], help="the newest runs by day, and what comes next")
    every.add_argument("--limit", type=int, default=30, help="how many (default 30)")
    every.add_argument("--schedule", metavar="NAME", help="those of one schedule")
    every.set_defaults(run="notebook:list_")
    texts = {"show": "one run with its cells", "cancel": "end it", "resume": "go on from the cell that failed", "report": "make a page of it"}
    for verb, text in texts.items():
        one = verbs.add_parser(verb, parents=[listing if verb == "show" else shared], help=text)
        one.add_argument("id", metavar="ID", type=_number)
        if verb == "report":
            one.add_argument("-o", "--output", help="the page (default: beside the executed notebook)")
        one.set_defaults(run=f"notebook:{verb}")


def _schedule(parser: Parser, shared: Parser, listing: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    add = verbs.add_parser("add", parents=[shared], help="run a notebook again and again, or once later")
    _how(add)
    add.add_argument("cron", nargs="?", default="", metavar="CRON", help='five fields, as "0 3 * * *" for three in the morning')
    add.add_argument("--at", default="", help='one moment instead, as "2027-01-31 03:00"')
    add.add_argument("--tz", default="UTC", help="the time zone of both (default UTC)")
    add.add_argument("--name", default="", help="its name (default: the notebook's)")
    add.add_argument("--max-parallel", type=int, default=1, metavar="N", help="how many runs of it at once (default 1)")
    add.add_argument("--catch-up", default="latest", metavar="HOW", help="moments that nobody was there for: none, latest (default) or all")
    add.add_argument("--stale", help="moments older than this are missed all the same")
    add.add_argument("--spread", default="0", help="up to how much later a run begins, so that not all begin at once")
    add.add_argument("--shared", action="store_true", help="any place of the store may run it")
    add.set_defaults(run="schedule:add")
    verbs.add_parser("list", parents=[listing], help="all schedules").set_defaults(run="schedule:list_")
    for verb, text in (("pause", "have it ask for nothing"), ("resume", "let a paused one go on"), ("remove", "forget it; its runs stay")):
        one = verbs.add_parser(verb, parents=[shared], help=text)
        one.add_argument("name", metavar="NAME")
        one.set_defaults(run=f"schedule:{verb}")
    upcoming = verbs.add_parser("next", parents=[listing], help="its next moments")
    upcoming.add_argument("name", metavar="NAME")
    upcoming.add_argument("-n", "--number", type=int, default=5, help="how many (default 5)")
    upcoming.set_defaults(run="schedule:next_")


def _place(parser: Parser, shared: Parser, listing: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    add = verbs.add_parser("add", parents=[shared], help="note a place")
    add.add_argument("name", metavar="NAME")
    kinds = ("here", "shared", "ssh", "colab", "huggingface")
    add.add_argument("kind", choices=kinds, metavar="KIND", help="here, shared, ssh, colab or huggingface")
    add.add_argument("option", nargs="*", metavar="NAME=VALUE", help="the kind's own, as host=build.example.org; never a secret")
    add.set_defaults(run="place:add")
    verbs.add_parser("list", parents=[listing], help="all places").set_defaults(run="place:list_")
    texts = {"check": "is it allowed, reachable, what is missing", "status": "how its engine is", "start": "start an engine there", "stop": "end it"}
    for verb, text in texts.items():
        one = verbs.add_parser(verb, parents=[listing], help=text)
        one.add_argument("name", metavar="NAME")
        one.set_defaults(run=f"place:{verb}")
    remove = verbs.add_parser("remove", parents=[shared], help="forget one; what runs there goes on")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(run="place:remove")


def _notify(parser: Parser, shared: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    for verb, text in (("set", "keep the address; it is taken from QCITY_WEBHOOK or QCITY_SMTP, or asked for"), ("remove", "forget it")):
        one = verbs.add_parser(verb, parents=[shared], help=text)
        one.add_argument("way", choices=("webhook", "smtp"), metavar="WAY", help="webhook or smtp")
        one.set_defaults(run="notify:set_" if verb == "set" else "notify:remove")
    verbs.add_parser("list", parents=[shared], help="the ways that are set up").set_defaults(run="notify:list_")
    verbs.add_parser("test", parents=[shared], help="send a message now").set_defaults(run="notify:test")


def _fleet(parser: Parser, shared: Parser, listing: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    verbs.add_parser("status", parents=[listing], help="who holds what, as this place sees it").set_defaults(run="fleet:status")
    join = verbs.add_parser("join", parents=[shared], help="be one of a fleet: runners with a claim run here only while this place holds it")
    join.add_argument("lease", metavar="LEASE", help="git:URL, store:ADDRESS or huggingface:OWNER/DATASET, the same for all places")
    join.add_argument("--term", default="60 s", help='how long a holding lasts without being renewed (default "60 s")')
    join.add_argument("--me", default="", help="what this place is called (default: the machine's name)")
    join.add_argument("--place", action="append", default=[], metavar="NAME", help="a place, the best one first; repeatable")
    join.set_defaults(run="fleet:join")
    verbs.add_parser("leave", parents=[shared], help="be in no fleet any more").set_defaults(run="fleet:leave")
    drill = verbs.add_parser("drill", help="kill, pause and cut off a holder, with real engines in a folder that goes away; how long a takeover took")
    drill.add_argument("--json", action="store_true", help="print the documented JSON shape")
    drill.add_argument("--places", type=int, default=2, metavar="N", help="how many places (default 2)")
    drill.add_argument("--term", default="3 s", help='the lease term (default "3 s")')
    drill.add_argument("--rounds", type=int, default=3, metavar="N", help="how often: killed, paused and cut off in turn (default 3)")
    drill.set_defaults(run="fleet:drill")


def _engine(parser: Parser, shared: Parser, listing: Parser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser, required=True)
    verbs.add_parser("run", parents=[shared], help="run the engine in this terminal").set_defaults(run="engine:run")
    stop = verbs.add_parser("stop", parents=[shared], help="end the engine; runners go on and are adopted by the next one")
    stop.add_argument("--runners", action="store_true", help="end the runners too")
    stop.set_defaults(run="engine:stop")
    verbs.add_parser("status", parents=[listing], help="how the engine is").set_defaults(run="engine:status")
    verbs.add_parser("adopt", parents=[shared], help="start an engine for what still runs here").set_defaults(run="engine:adopt")


def _logs(parser: Parser, what: str, run: str) -> None:
    if what == "id":
        parser.add_argument("id", metavar="ID", type=_number)
    else:
        parser.add_argument("name", metavar="NAME")
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing what is added")
    parser.add_argument("-n", "--lines", type=int, default=200, help="how many lines from the end (default 200)")
    parser.set_defaults(run=run)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'"{text}" is no number')
    return int(text)
