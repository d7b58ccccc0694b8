"""The verbs of `qcity incident`."""

from __future__ import annotations

import argparse

from ..client import shapes
from ..client.incidents import LEVELS, tell
from ..client.tables import clock
from ..decide.health import Level
from ..decide.wording import line, span
from .screen import Mark, open_place, put_facts, put_json, put_table


def list_(args: argparse.Namespace) -> int:
    """The newest incidents."""
    with open_place(args) as city:
        rows = city.incidents.rows()
        if args.json:
            return put_json(shapes.incidents(rows))
        shown = [(row.id, Mark(LEVELS.get(row.state, Level.WARN), row.state), clock(row.opened), line(row.title), line(row.cause)) for row in rows]
        put_table(("incident", "is", "began (UTC)", "what", "cause"), shown, empty="Nothing has gone wrong here yet.")
    return 0


def show(args: argparse.Namespace) -> int:
    """One incident."""
    with open_place(args) as city:
        row = city.incidents[args.id].row
        if args.json:
            return put_json(shapes.incident(row))
        took = f"took {span(row.closed - row.opened)}" if row.closed else "not over yet"
        pairs: list[tuple[str, object]] = [
            ("began", f"{clock(row.opened)} UTC, {took}"),
            ("cause", row.cause),
            ("done", "\n".join(row.done)),
            ("proof", "\n".join(row.proof)),
            ("evidence", "\n".join(row.evidence)),
            ("next", tell(row).partition("It needs you: ")[2]),
        ]
        put_facts(f"{Mark(LEVELS.get(row.state, Level.WARN), row.state)}: incident {row.id}, {line(row.title)}", pairs)
    return 0
