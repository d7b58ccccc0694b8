"""The verbs of `qcity schedule`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..client import shapes
from ..client.link import now
from ..client.schedules import when
from ..decide import schedule as times
from ..decide.wording import line, span
from ..errors import BadInput
from .notebook import how_of, parameters_of
from .screen import open_place, out, put_json, put_table


def add(args: argparse.Namespace) -> int:
    """Run a notebook again and again, or once later."""
    with open_place(args) as city:
        names = ("at", "tz", "name", "max_parallel", "catch_up", "stale", "spread", "shared")
        said = {name: getattr(args, name) for name in names}
        made = city.notebooks.schedule(args.notebook, args.cron, parameters=parameters_of(args), replace=False, **said, **how_of(args))
        upcoming = times.upcoming(made, after=now())
        then = f"; next {upcoming.astimezone(times.zone_of(made.zone)):%a %Y-%m-%d %H:%M} {made.zone}" if upcoming else ""
        out(f"{made.name} runs {Path(made.plan.notebook).name}: {when(made)}{then}.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """All schedules."""
    with open_place(args) as city:
        schedules = city.notebooks.schedules
        rows = schedules.rows()
        if args.json:
            return put_json(shapes.schedules(rows))
        shown = [
            (
                line(row.schedule.name),
                when(row.schedule),
                "paused" if row.schedule.paused else "over" if row.next is None else f"{row.next:%a %Y-%m-%d %H:%M}",
                "" if row.next is None else f"in {span(max((row.next - now()).total_seconds(), 0))}",
                schedules.last(row.schedule.name),
                Path(row.schedule.plan.notebook).name,
            )
            for row in rows
        ]
        head = ("schedule", "when", "next (UTC)", "", "last runs", "notebook")
        put_table(head, shown, empty="No schedule yet: qcity schedule add --help shows how.")
    return 0


def pause(args: argparse.Namespace) -> int:
    """Have one ask for nothing."""
    with open_place(args) as city:
        city.notebooks.schedules.pause(args.name)
        out(f"{args.name} is paused; qcity schedule resume {args.name} lets it go on.")
    return 0


def resume(args: argparse.Namespace) -> int:
    """Let a paused one go on."""
    with open_place(args) as city:
        city.notebooks.schedules.pause(args.name, paused=False)
        out(f"{args.name} goes on.")
    return 0


def remove(args: argparse.Namespace) -> int:
    """Forget one."""
    with open_place(args) as city:
        city.notebooks.schedules.remove(args.name)
        out(f"{args.name} is gone; its runs are still in qcity notebook list.")
    return 0


def next_(args: argparse.Namespace) -> int:
    """The next moments of one."""
    if args.number < 1:
        raise BadInput(f"--number {args.number}: it has to be 1 or more", "Leave it out for 5")
    with open_place(args) as city:
        schedule = city.notebooks.schedules[args.name].schedule
        found = city.notebooks.schedules.upcoming(args.name, args.number)
        if args.json:
            return put_json(shapes.moments(args.name, found))
        zone = times.zone_of(schedule.zone)
        rows = [(f"{one.astimezone(zone):%a %Y-%m-%d %H:%M}", f"{one:%Y-%m-%d %H:%M}", f"in {span((one - now()).total_seconds())}") for one in found]
        put_table((schedule.zone, "UTC", ""), rows, empty=f"{args.name} is paused." if schedule.paused else f"{args.name} is over.")
    return 0
