"""The verbs of `qcity vault`."""

from __future__ import annotations

import argparse
from typing import Any

from ..client import vault_shapes as shapes
from ..client.link import now
from ..client.vaults import told
from .resume import options
from .screen import Mark, open_place, out, put_json, put_table


def add(args: argparse.Namespace) -> int:
    """Keep copies there from now on."""
    more: dict[str, Any] = {"sealed": args.sealed, "key_file": args.key_file, "keep": args.keep, "every": args.every, **options(args.option)}
    with open_place(args) as city:
        copy = city.vaults.add(args.name, args.kind, args.target, **more)
        out(f"The vault {args.name} holds {told(copy, now())}. A running engine puts one there while something changes, and when it ends.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """All vaults and how they are; 1 when one needs you."""
    with open_place(args) as city:
        how = city.vaults.condition()
        if args.json:
            put_json(shapes.vaults(city.vaults, how))
        else:
            rows = [(name, where, Mark(level, level.value), text, many) for name, where, level, text, many in city.vaults.rows()]
            put_table(("vault", "where", "", "", "size"), rows, empty="No vault: qcity vault add NAME folder /where/it/is adds one.")
    return 0 if how is None or how.level.value == "well" else 1


def copies(args: argparse.Namespace) -> int:
    """The copies in one, the newest last."""
    with open_place(args) as city:
        found = city.vaults.copies(args.name)
        mine = city.vaults[args.name].state.mine
    if args.json:
        return put_json(shapes.copies(args.name, found, mine))
    rows = [(copy.number, f"{copy.at:%Y-%m-%d %H:%M:%S}", "this home" if copy.name in mine else "another home") for copy in found]
    put_table(("copy", "UTC", "put by"), rows, empty=f"The vault {args.name} holds no copy yet.")
    return 0


def save(args: argparse.Namespace) -> int:
    """Put a copy there now."""
    with open_place(args) as city:
        out(f"The vault {args.name} holds {told(city.vaults.save(args.name, force=args.force), now())}.")
    return 0


def restore(args: argparse.Namespace) -> int:
    """Put a copy in the place of this home's store."""
    with open_place(args) as city:
        answer = city.vaults.restore(args.name, args.copy or "", force=args.force)
    aside = f" What was here is in {answer.aside}." if answer.aside else ""
    out(f"Restored {told(answer.copies[0], now())}.{aside} qcity engine adopt starts what it kept up.")
    return 0


def remove(args: argparse.Namespace) -> int:
    """Put no more copies there."""
    with open_place(args) as city:
        city.vaults.remove(args.name)
    out(f"No more copies are put into {args.name}; those that are there stay.")
    return 0
