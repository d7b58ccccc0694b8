"""The verbs of `qcity links`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .. import home_folder
from ..client import link_shapes as shapes
from ..client import links
from ..client.links import Rewritten
from ..decide.wording import count, line
from ..model.home import Home
from .check import expected_of, how_of
from .screen import open_place, out, put_json, put_table


def bind(args: argparse.Namespace) -> int:
    """Keep a tunnel's address right in files."""
    with open_place(args) as city:
        binding = city.links.bind(*args.pattern, tunnel=args.tunnel, root=args.root, commit=args.commit)
        out(f"{', '.join(binding.patterns)} in {binding.root} {'follows' if len(binding.patterns) == 1 else 'follow'} {args.tunnel} from now on.")
    return 0


def unbind(args: argparse.Namespace) -> int:
    """Leave files alone from now on."""
    with open_place(args) as city:
        city.links.unbind(tunnel=args.tunnel, root=args.root)
        out(f"Files below {args.root or 'this folder'} do not follow {args.tunnel} any more; what stands in them stays.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """What is bound."""
    with open_place(args) as city:
        rows = city.links.bindings()
        if args.json:
            return put_json(shapes.bindings(rows))
        shown = [(row.tunnel, links.files_of(row), line(row.last.text) if row.last else "") for row in rows]
        put_table(("tunnel", "files", "last"), shown, empty="No files are bound yet: qcity links bind README.md --tunnel NAME")
    return 0


def sync(args: argparse.Namespace) -> int:
    """Make links right now; with --check 1 when something would change."""
    with open_place(args) as city:
        return _said(args, city.links.sync(args.tunnel or "", dirty=args.dirty, check=args.check))


def replace(args: argparse.Namespace) -> int:
    """Replace one origin by another; with --check 1 when something would change."""
    return _said(args, [links.replace_in(_home(args), args.old, args.new, args.path, check=args.check, dirty=args.dirty)])


def rollback(args: argparse.Namespace) -> int:
    """Take a change back."""
    made = links.roll_back(_home(args), args.number)
    if args.json:
        return put_json(shapes.rewritten([made]))
    said = f"; {made.report.said}" if made.report.said else ""
    out(f"{count(made.links, 'link')} in {count(len(made.report.files), 'file')} are what they were before change {args.number}{said}.")
    for one in made.report.remarks:
        out(f"  {links.left_alone(one)}")
    return 1 if made.report.remarks else 0


def log(args: argparse.Namespace) -> int:
    """The changes."""
    found = links.changes(_home(args))
    if args.json:
        return put_json(shapes.log(found))
    rows = [
        (one.number, f"{one.at:%Y-%m-%d %H:%M:%S}", one.tunnel or "by hand", one.new, one.links, len(one.files), one.state, *rest)
        for one, rest in ((one, (line(one.why), one.actor, one.proposal)) for one in found)
    ]
    heads = ("change", "at (UTC)", "tunnel", "to", "links", "files", "", "why", "who", "request")
    put_table(heads, rows, empty="No link was changed yet.")
    return 0


def check(args: argparse.Namespace) -> int:
    """Look whether links lead somewhere; 1 when one is broken."""
    with open_place(args) as city:
        report = city.links.check(*args.path, fix=args.fix, dirty=args.dirty, expected=expected_of(args.expect), **how_of(args))
        if args.json:
            put_json(shapes.checked(report))
        else:
            out(repr(report))
    return 0 if report.ok else 1


def _said(args: argparse.Namespace, made: Sequence[Rewritten]) -> int:
    if args.json:
        put_json(shapes.rewritten(made))
    else:
        for one in made:
            out(repr(one))
        if not made:
            out("No files are bound yet: qcity links bind README.md --tunnel NAME")
    return 1 if any(one.failed or (args.check and one.report.files) for one in made) else 0


def _home(args: argparse.Namespace) -> Home:
    return Home(home_folder(getattr(args, "home", None)))
