"""The verbs of `qcity domain`."""

from __future__ import annotations

import argparse

from ..client import tunnel_shapes as shapes
from ..client.domains import sentence_of
from ..decide.wording import line
from .screen import Mark, open_place, out, put_json, put_table
from .tunnel import options_of


def watch(args: argparse.Namespace) -> int:
    """Watch a domain, and have a tunnel stand in for it while it fails."""
    with open_place(args) as city:
        made = city.domains.watch(
            args.domain,
            tunnel_to=args.tunnel_to,
            chain=args.chain or "",
            options=options_of(args.option),
            expect=args.expect,
            every=args.every,
            public=args.public,
            wait=args.wait,
        )
        out(f"{made.name} is watched every {args.every:g} s; {made.url or 'nothing is proved yet'}: qcity domain list says how it is.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """All that are watched."""
    with open_place(args) as city:
        rows = city.domains.rows()
        if args.json:
            return put_json(shapes.tunnels(rows))
        shown = [(line(row.name), Mark(*sentence_of(row)), row.view.url) for row in rows]
        put_table(("domain", "", "visitors are led to"), shown, empty="No domain is watched: qcity domain watch --help shows how.")
    return 0


def drop(args: argparse.Namespace) -> int:
    """Watch one no more."""
    with open_place(args) as city:
        city.domains.drop(args.domain)
        out(f"{args.domain} is not watched any more.")
    return 0
