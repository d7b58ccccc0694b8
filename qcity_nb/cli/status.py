"""`qcity up`, `qcity status`, `qcity doctor`, `qcity --version`."""

from __future__ import annotations

import argparse
import sys

from .. import __version__, home_folder
from ..client import doctor as checks
from ..client import shapes
from ..client.doctor import Finding
from ..client.incidents import tell
from ..client.status import Status
from ..decide.health import Level
from ..decide.wording import percent, since, visible
from ..errors import BadInput, QCityError
from .screen import Mark, open_place, out, put_json, put_table

HEAD = ("runner", "health", "", "sandbox", "up 24 h", "since")
_LEVELS = {"ok": Level.WELL, "warn": Level.WARN, "bad": Level.BAD}


def version(_args: argparse.Namespace) -> int:
    """The version."""
    out(f"qcity {__version__}")
    return 0


def up(args: argparse.Namespace) -> int:
    """Start the engine and what the repository asks for."""
    with open_place(args) as city:
        picture = city.up(args.repo, strict=args.strict)
        show(picture)
    return 0 if picture.healthy and not picture.unusable else 1


def status(args: argparse.Namespace) -> int:
    """How everything is, once or until Ctrl-C."""
    if args.seconds is not None and not args.watch:
        raise BadInput("--for belongs to --watch", "qcity status --watch --for 60")
    if args.watch and args.json:
        raise BadInput("--watch and --json do not go together", "Ask qcity status --json as often as you like: it only reads")
    with open_place(args) as city:
        if args.watch:
            from .watch import watch

            return watch(city, seconds=args.seconds)
        picture = city.status()
        if args.json:
            put_json(picture.json())
        else:
            show(picture)
    return 0 if picture.healthy else 1


def doctor(args: argparse.Namespace) -> int:
    """What is there and what is missing; works without a store too."""
    try:
        with open_place(args) as city:
            found = city.doctor()
    except QCityError as error:
        found = checks.without_store(home_folder(getattr(args, "home", None)), error)
    if args.json:
        put_json(shapes.doctor(found))
    else:
        put_table(("", "check", "", "what to do"), [_line(item) for item in found], empty="")
    return 1 if any(item.verdict == "bad" for item in found) else 0


def show(picture: Status) -> None:
    """The five-second look: a sentence, what to do, a table, the open incidents."""
    head = picture.view.headline
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        from ..client.tables import COLOURS

        Console(highlight=False).print(Text(f"{head.level.glyph} {visible(head.text)}", style=f"bold {COLOURS[head.level]}"))
    else:
        out(f"{head.level.glyph} {head.text}")
    if head.todo:
        out(f"  next: {head.todo}")
    if picture.runners:
        put_table(HEAD, rows(picture), empty="")
    for one in picture.view.about.values():
        if one is not head:
            out(f"{one.level.glyph} {one.text}")
    for tunnel in picture.view.tunnels:
        if tunnel.view.url:
            out(f"  {tunnel.name}: {tunnel.view.url}")
    for row in picture.incidents:
        out(f"✖ incident {row.id}: {tell(row)}")


def rows(picture: Status) -> list[tuple[object, ...]]:
    """One line for each runner."""
    found: list[tuple[object, ...]] = []
    for name, item in picture.runners.items():
        condition, row = item.condition, item.row
        word = Mark(condition.level, condition.level.value)
        found.append((name, word, condition.text, row.sandbox, percent(item.uptime), since(row.since, picture.view.at)))
    return found


def _line(item: Finding) -> tuple[object, ...]:
    return (Mark(_LEVELS[item.verdict], item.verdict), item.check, item.sentence, item.todo)
