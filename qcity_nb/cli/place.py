"""The verbs of `qcity place`."""

from __future__ import annotations

import argparse

from ..client import shapes
from ..client.places import LEVELS
from ..decide.health import Level
from ..decide.wording import size
from ..errors import BadInput
from ..model.fleet import PlaceConfig
from ..model.place import PlaceState, Running
from .screen import Mark, open_place, out, put_facts, put_json, put_table


def add(args: argparse.Namespace) -> int:
    """Note a place."""
    options = {}
    for text in args.option:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(f'"{text}" is no option', "Write name=value, for example host=build.example.org")
        options[name] = value
    with open_place(args) as city:
        city.places.add(PlaceConfig(name=args.name, kind=args.kind, options=options))
    out(f"{args.name} is noted. qcity place check {args.name} looks at it.")
    return 0


def remove(args: argparse.Namespace) -> int:
    """Forget one."""
    with open_place(args) as city:
        city.places.remove(args.name)
    out(f"{args.name} is forgotten here; what runs there goes on.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """All places and what was last heard of them."""
    with open_place(args) as city:
        if args.json:
            return put_json(shapes.places(city.places))
        rows = [
            (
                noted.config.name,
                noted.config.kind,
                Mark(LEVELS[noted.state.running], noted.state.running.value) if noted.state else "",
                noted.state.sentence if noted.state else "nothing was asked yet",
            )
            for noted in city.places
        ]
        put_table(("place", "kind", "engine", "last heard"), rows, empty="No place but this one is known: qcity place add NAME KIND notes one.")
    return 0


def check(args: argparse.Namespace) -> int:
    """Look at one; 1 when no engine could start there."""
    with open_place(args) as city:
        report = city.places.check(args.name)
    if args.json:
        put_json(shapes.place(report))
        return 0 if report.ready else 1
    level = Level.WELL if report.ready else Level.BAD
    pairs = [
        ("next", report.todo),
        ("system", report.system),
        ("python", report.python),
        ("git", report.git),
        ("free", size(report.disk) if report.disk is not None else ""),
        ("installed", report.version),
        ("at most", f"{report.hours:g} hours" if report.hours else ""),
    ]
    put_facts(f"{level.glyph} {report.why}", pairs)
    return 0 if report.ready else 1


def status(args: argparse.Namespace) -> int:
    """How its engine is; 1 when none is up."""
    with open_place(args) as city:
        state = city.places.status(args.name)
    _say(args, state)
    return 0 if state.running in (Running.UP, Running.STARTING) else 1


def start(args: argparse.Namespace) -> int:
    """Start an engine there."""
    with open_place(args) as city:
        _say(args, city.places.start(args.name))
    return 0


def stop(args: argparse.Namespace) -> int:
    """End its engine."""
    with open_place(args) as city:
        _say(args, city.places.stop(args.name))
    return 0


def _say(args: argparse.Namespace, state: PlaceState) -> None:
    if args.json:
        put_json(shapes.place_state(state))
        return
    until = f"{state.until:%Y-%m-%d %H:%M} UTC at the latest" if state.until else ""
    pairs = [("there", state.headline), ("look at", state.link), ("until", until)]
    put_facts(f"{LEVELS[state.running].glyph} {state.place}: {state.sentence}", pairs)
