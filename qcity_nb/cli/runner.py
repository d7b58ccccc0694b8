"""The verbs of `qcity runner`."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from ..client import agents, shapes
from ..client.city import QCity
from ..client.runners import Runner
from ..client.view import look
from ..decide.wording import count, did_you_mean, percent, sentence, since
from ..errors import BadInput
from ..model.service import Phase
from .screen import Mark, follow, open_place, out, put_facts, put_json, put_table

AGENT = ("url", "persistent", "allow_root")
KINDS = ("local", "command", "github", "gitlab", "place")
OWN = {
    "local": ("slots", "branch", "sandbox", "network"),
    "command": (),
    "place": (),
    "github": (*AGENT, "org", "group", "version"),
    "gitlab": (*AGENT, "group_path"),
}
"""Which options each kind understands."""


def start(args: argparse.Namespace) -> int:
    """Start a runner and wait until it is up."""
    with open_place(args) as city:
        if args.kind not in KINDS and args.kind in city.runners:
            runner = city.runners[args.kind].start()
        else:
            _check(args, city)
            options = _options(args)
            runner = city.runners.start(args.kind, args.name, labels=args.label, fallback=args.fallback, claim=args.claim, **options)
        _say(runner)
    return 0


def stop(args: argparse.Namespace) -> int:
    """Stop one now."""
    with open_place(args) as city:
        _say(city.runners.stop(args.name))
    return 0


def drain(args: argparse.Namespace) -> int:
    """Let one finish its jobs and stop then; waits for that, Ctrl-C leaves it draining."""
    with open_place(args) as city:
        runner = city.runners[args.name]
        if runner.row.state.busy:
            out(f"{args.name} is draining: {count(runner.row.state.busy, 'job')} to finish. Ctrl-C leaves it at that.")
        _say(runner.drain(wait=6 * 3600))
    return 0


def pause(args: argparse.Namespace) -> int:
    """Let one finish its jobs and be down for a while; it is not waited for."""
    with open_place(args) as city:
        _say(city.runners[args.name].pause(args.note, time=args.time))
    return 0


def repair(args: argparse.Namespace) -> int:
    """Have one begun again as after a fault."""
    with open_place(args) as city:
        _say(city.runners[args.name].repair(args.note))
    return 0


def remove(args: argparse.Namespace) -> int:
    """Stop one and forget it."""
    with open_place(args) as city:
        city.runners.remove(args.name)
        out(f"{args.name} is stopped and forgotten; its jobs and incidents stay.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """All runners."""
    with open_place(args) as city:
        view = look(city.link.store)
        if args.json:
            return put_json(shapes.runners(view))
        rows = [
            (name, Mark(how.level, how.level.value), how.text, item.row.spec.kind, item.row.sandbox, percent(item.uptime))
            for name, item in view.runners.items()
            for how in (item.condition,)
        ]
        put_table(("runner", "health", "", "kind", "sandbox", "up 24 h"), rows, empty="No runner yet: qcity runner start local PATH")
    return 0


def show(args: argparse.Namespace) -> int:
    """One runner."""
    with open_place(args) as city:
        runner = city.runners[args.name]
        item = runner.view()
        if args.json:
            return put_json(shapes.runner(item))
        row, state, condition = item.row, item.row.state, item.condition
        lives = state.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)
        pairs: list[tuple[str, object]] = [
            ("next", condition.todo),
            ("kind", row.spec.kind),
            ("labels", ", ".join(row.spec.labels)),
            ("claim", row.spec.claim),
            ("since", since(row.since, look(city.link.store, uptime=False).at)),
            ("process", f"{row.pid} (start number {state.incarnation})" if row.pid and lives else ""),
            ("sandbox", row.sandbox),
            ("up in 24 h", percent(item.uptime)),
            ("trouble", "\n".join(text for text in row.trouble.values() if text)),
            ("incident", f"{state.incident} (qcity incident show {state.incident})" if state.incident else ""),
            ("platform", runner.platform),
            ("last look", _last_look(runner, look(city.link.store, uptime=False).at)),
            ("log", runner.folder / "log"),
        ]
        put_facts(f"{condition.level.glyph} {sentence(f'{row.name} {condition.text}')}", pairs)
    return 0


def logs(args: argparse.Namespace) -> int:
    """What one printed."""
    with open_place(args) as city:
        runner = city.runners[args.name]
        if args.follow:
            follow(lambda: runner.folder / "log", lines=args.lines, over=lambda: False)
        out(runner.logs(args.lines) or f"{args.name} has printed nothing yet.")
    return 0


def _check(args: argparse.Namespace, city: QCity) -> None:
    """What can be said of a start without asking the engine."""
    if args.kind == "command":
        if not args.tail:
            raise BadInput("a command runner needs its program after --", "qcity runner start command --name NAME -- PROGRAM [ARGUMENT …]")
        if not args.name:
            raise BadInput("a command runner needs a name", "qcity runner start command --name NAME -- PROGRAM [ARGUMENT …]")
        if args.repo:
            raise BadInput("a command runner takes no repo", "It only keeps a program running; qcity runner start local REPO runs workflows")
    elif args.tail:
        raise BadInput(f"a {args.kind} runner takes no program after --", "qcity runner start command --name NAME -- PROGRAM keeps a program running")
    if args.kind not in KINDS:
        names = [*KINDS, *(runner.name for runner in city.runners)]
        near = did_you_mean(args.kind, names, what="kind")
        raise BadInput(f'"{args.kind}" is neither a kind of runner nor the name of one', near)
    mine = OWN.get(args.kind, ())
    every = {option for options in OWN.values() for option in options}
    if wrong := sorted(option for option in every - set(mine) if getattr(args, option)):
        own = ", ".join(f"--{option.replace('_', '-')}" for option in mine) or "only --name and --label"
        raise BadInput(f"a {args.kind} runner takes no --{wrong[0].replace('_', '-')}", f"It takes {own}")
    if args.kind in ("github", "gitlab") and not (args.repo or args.org or args.group_path):
        raise BadInput(f"a {args.kind} runner needs to know where to work", f"qcity runner start {args.kind} OWNER/NAME")
    if args.slots is not None and not 1 <= args.slots <= 64:
        raise BadInput(f"--slots {args.slots}: a runner has between 1 and 64", "Leave it out for one")


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What the kind is told."""
    if args.kind == "command":
        return {"command": args.tail}
    if args.kind == "place":
        return {"places": [name for name in (args.repo or "").split(",") if name]}
    if args.kind == "local":
        return {"repo": args.repo or ".", "slots": args.slots, "branches": args.branch, "sandbox": args.sandbox, "network": args.network}
    where = {"repo" if args.kind == "github" else "project": args.repo} if args.repo else {"org": args.org, "group_path": args.group_path}
    more = {"url": args.url, "group": args.group, "version": args.version, "allow_root": args.allow_root}
    return {key: value for key, value in {**where, **more}.items() if value} | ({"ephemeral": False} if args.persistent else {})


def discover(args: argparse.Namespace) -> int:
    """Agents on this machine that somebody else started."""
    with open_place(args) as city:
        found = agents.discover(city)
        if args.json:
            return put_json(shapes.agents(found))
        rows = [(one["name"], one["forge"], one["scope"] or one["url"], one["pid"], one["how"], one["folder"]) for one in found]
        put_table(("agent", "forge", "where", "pid", "runs", "folder"), rows, empty="No other agent runs on this machine.")
        if found:
            out("They are watched from now on (qcity runner list); nothing is done to them.")
    return 0


def plan(args: argparse.Namespace) -> int:
    """How things are to what was asked for; exit code 0 only when all is as asked."""
    with open_place(args) as city:
        found = agents.plan(city, args.repo)
        if args.json:
            put_json(shapes.plan(found))
        else:
            _put_plan(found)
    return 0 if found.ok else 1


def apply(args: argparse.Namespace) -> int:
    """Do what the plan says, and nothing else."""
    with open_place(args) as city:
        for text in agents.apply(city, agents.plan(city, args.repo)) or ["There was nothing to do."]:
            out(text)
        found = agents.plan(city, args.repo)
        _put_plan(found)
    return 0 if found.ok else 1


def labels(args: argparse.Namespace) -> int:
    """Give one other labels."""
    with open_place(args) as city:
        agents.set_labels(city, args.name, args.label)
        out(f"{args.name} has the labels {', '.join(args.label)} now.")
    return 0


def rename(args: argparse.Namespace) -> int:
    """Give one another name."""
    with open_place(args) as city:
        _say(city.runners[args.name].rename(args.new))
    return 0


def _last_look(runner: Runner, now: datetime) -> str:
    """What the last look at its machine found, in a line."""
    return "".join(f"{one.what} {since(one.at, now)}: {one.text}" for one in runner.checks(1))


def _put_plan(found: agents.Plan) -> None:
    out(found.sentence())
    rows = [(one.name, one.what, Mark(agents.LEVELS[one.match], one.match), one.wanted, one.found, one.act, one.why) for one in found.lines]
    if rows:
        put_table(("runner", "what", "is", "asked for", "found", "apply would", "why"), rows, empty="")


def _say(runner: Runner) -> None:
    item = runner.view()
    row = item.row
    extra = [f"pid {row.pid}" if row.pid and row.state.phase is Phase.RUNNING else "", f"sandbox {row.sandbox}" if row.sandbox else ""]
    tail = ", ".join(text for text in extra if text)
    out(f"{item.condition.level.glyph} {row.name} {item.condition.text}" + (f" ({tail})" if tail else ""))
