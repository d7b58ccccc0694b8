"""The verbs of `qcity notify`."""

from __future__ import annotations

import argparse

from ..client import notify
from .screen import open_place, out, put_table


def set_(args: argparse.Namespace) -> int:
    """Keep the address of a way to tell the master."""
    with open_place(args) as city:
        out(notify.set_up(city, args.way))
    return 0


def remove(args: argparse.Namespace) -> int:
    """Tell nobody this way any more."""
    with open_place(args) as city:
        notify.remove(city, args.way)
        out(f"Nobody is told by {args.way} any more.")
    return 0


def list_(args: argparse.Namespace) -> int:
    """The ways that are set up."""
    with open_place(args) as city:
        rows = [(way, f"fingerprint {mark}") for way, mark in notify.ways(city).items()]
        put_table(("told by", "address"), rows, empty="Nobody is told anything yet: qcity notify set webhook, or smtp.")
    return 0


def test(args: argparse.Namespace) -> int:
    """Send a message now."""
    with open_place(args) as city:
        outcome = notify.test(city)
        out(f"{outcome[:1].upper()}{outcome[1:]}.")
    return 0 if "could not" not in outcome else 1
