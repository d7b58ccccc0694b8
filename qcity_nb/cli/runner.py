"""The verbs of `qcity runner`."""

from __future__ import annotations

import argparse

from ..client import shapes
from ..client.city import QCity
from ..client.runners import Runner
from ..client.view import look
from ..decide.wording import count, did_you_mean, percent, sentence, since
from ..errors import BadInput
from ..model.service import Phase
from .screen import Mark, follow, open_place, out, put_facts, put_json, put_table

KINDS = ("local", "command")


def start(args: argparse.Namespace) -> int:
    """Start a runner and wait until it is up."""
    with open_place(args) as city:
        if args.kind not in KINDS and args.kind in city.runners:
            runner = city.runners[args.kind].start()
        else:
            _check(args, city)
            options = {"repo": args.repo, "slots": args.slots, "branches": args.branch, "sandbox": args.sandbox, "network": args.network}
            if args.kind == "local":
                options["repo"] = args.repo or "."
            if args.kind == "command":
                options["command"] = args.tail
            runner = city.runners.start(args.kind, args.name, labels=args.label, **options)
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
            ("since", since(row.since, look(city.link.store, uptime=False).at)),
            ("process", f"{row.pid} (start number {state.incarnation})" if row.pid and lives else ""),
            ("sandbox", row.sandbox),
            ("up in 24 h", percent(item.uptime)),
            ("trouble", "\n".join(text for text in row.trouble.values() if text)),
            ("incident", f"{state.incident} (qcity incident show {state.incident})" if state.incident else ""),
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
        if wrong := [option for option in ("repo", "slots", "branch", "sandbox", "network") if getattr(args, option)]:
            raise BadInput(f"a command runner takes no {wrong[0]}", "It only keeps a program running; qcity runner start local REPO runs workflows")
    elif args.tail:
        raise BadInput(f"a {args.kind} runner takes no program after --", "qcity runner start command --name NAME -- PROGRAM keeps a program running")
    if args.kind not in KINDS:
        names = [*KINDS, *(runner.name for runner in city.runners)]
        near = did_you_mean(args.kind, names, what="kind")
        raise BadInput(f'"{args.kind}" is neither a kind of runner nor the name of one', near)
    if args.slots is not None and not 1 <= args.slots <= 64:
        raise BadInput(f"--slots {args.slots}: a runner has between 1 and 64", "Leave it out for one")


def _say(runner: Runner) -> None:
    item = runner.view()
    row = item.row
    extra = [f"pid {row.pid}" if row.pid and row.state.phase is Phase.RUNNING else "", f"sandbox {row.sandbox}" if row.sandbox else ""]
    tail = ", ".join(text for text in extra if text)
    out(f"{item.condition.level.glyph} {row.name} {item.condition.text}" + (f" ({tail})" if tail else ""))
