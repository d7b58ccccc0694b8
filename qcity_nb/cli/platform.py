"""The verbs of `qcity platform`."""

from __future__ import annotations

import argparse

from ..client import platform_shapes as shapes
from ..decide.health import Level
from .screen import Mark, open_place, out, put_json, put_table


def watch(args: argparse.Namespace) -> int:
    """Ask them from now on."""
    with open_place(args) as city:
        city.platforms.watch(*args.names)
    out(f"{', '.join(args.names)}: asked once a minute from now on. qcity platform list says what was answered.")
    return 0


def add(args: argparse.Namespace) -> int:
    """Ask another page."""
    with open_place(args) as city:
        city.platforms.add(args.name, args.url, family=args.family, title=args.title, parts=args.part)
    out(f"{args.name}: asked once a minute from now on. qcity platform list says what was answered.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """How each says it is; 1 when one says that it is not fine."""
    with open_place(args) as city:
        known = [(row, city.platforms.condition(row)) for row in city.platforms.rows()]
    if args.json:
        put_json(shapes.platforms(known))
    else:
        rows = [(row.name, Mark(one.level, one.text), row.feed.page) for row, one in known]
        put_table(("platform", "", "where it says so"), rows, empty="No platform is watched: qcity platform watch github asks one.")
    return 1 if any(one.level in (Level.BAD, Level.WARN) for _, one in known) else 0


def drop(args: argparse.Namespace) -> int:
    """Ask it no more."""
    with open_place(args) as city:
        city.platforms.drop(args.name)
    out(f"{args.name} is not asked any more.")
    return 0
