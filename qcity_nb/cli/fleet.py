"""The verbs of `qcity fleet`."""

from __future__ import annotations

import argparse
from datetime import timedelta

from ..client.fleet import HEAD, FleetStatus
from ..decide.health import Level
from ..decide.wording import duration
from ..errors import BadInput
from .screen import Mark, open_place, out, put_json, put_table


def status(args: argparse.Namespace) -> int:
    """Who holds what; exit code 0 only when every claim is held and every lease store answers."""
    with open_place(args) as city:
        found = city.fleet.status()
        if args.json:
            put_json(found.json())
        else:
            _show(found)
    return 0 if found.healthy else 1


def join(args: argparse.Namespace) -> int:
    """Be one of a fleet."""
    with open_place(args) as city:
        _show(city.fleet.join(args.lease, term=_term(args.term), me=args.me, places=args.place))
    return 0


def leave(args: argparse.Namespace) -> int:
    """Be in no fleet any more."""
    with open_place(args) as city:
        _show(city.fleet.leave())
    return 0


def drill(args: argparse.Namespace) -> int:
    """Try a failover for real."""
    from .drill import run

    if not 2 <= args.places <= 8:
        raise BadInput(f"--places {args.places}: a drill needs 2 places, 8 at most", "Leave it out for two")
    if not 1 <= args.rounds <= 100:
        raise BadInput(f"--rounds {args.rounds}: between 1 and 100", "Leave it out for three: killed, paused, cut off")
    term = _term(args.term)
    if not timedelta(seconds=1) <= term <= timedelta(minutes=10):
        raise BadInput(f'--term "{args.term}": between 1 s and 10 min', "Leave it out for 3 s")
    return run(places=args.places, term=term, rounds=args.rounds, json=args.json)


def _term(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError:
        raise BadInput(f'"{text}" is no duration', 'Write it like "60 s" or "2 min"') from None


def _show(found: FleetStatus) -> None:
    out(found.sentence())
    rows = [
        (name, Mark(Level.WARN if trouble or holder == "nobody" else Level.WELL, str(holder)), *more, trouble)
        for name, holder, *more, trouble in found.rows()
    ]
    if rows:
        put_table(HEAD, rows, empty="")
