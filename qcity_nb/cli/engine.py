"""The verbs of `qcity engine`."""

from __future__ import annotations

import argparse
import os
import sys

from ..client import shapes
from ..client.city import QCity
from ..client.view import look
from ..decide.wording import count, sentence, since, span
from ..errors import Refused
from ..model.service import Phase
from .screen import open_place, out, put_facts, put_json


def run(args: argparse.Namespace) -> int:
    """Run the engine in this terminal, until Ctrl-C."""
    with open_place(args) as city:
        view, home = look(city.link.store, uptime=False).engine, city.home
    if view.alive:
        raise Refused(f"an engine runs for {home} already (pid {view.pid})", "qcity engine stop ends it; qcity status shows what it does")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "qcity_nb.engine", "--home", str(home), "--foreground"])  # noqa: S606 - this process becomes the engine


def stop(args: argparse.Namespace) -> int:
    """End the engine."""
    with open_place(args) as city:
        running, claims = _running(city), [claim.claim for claim in city.fleet.status().claims if claim.mine]
        city.stop(runners=args.runners)
        if args.runners:
            out("The engine and everything it kept running have ended.")
        elif running:
            out(f"The engine has ended. {count(running, 'runner goes', 'runners go')} on and will be adopted: qcity engine adopt")
        else:
            out("The engine has ended.")
        if claims and not args.runners:
            out(f"Nobody renews {', '.join(claims)} now: what runs under it is ended in time, and another place takes over.")
    return 0


def status(args: argparse.Namespace) -> int:
    """How the engine is."""
    with open_place(args) as city:
        picture = city.status()
        view = picture.engine
        if args.json:
            return put_json(shapes.engine(view, home=picture.home, store=picture.store))
        pairs: list[tuple[str, object]] = [
            ("next", view.condition.todo),
            ("process", f"{view.pid}, {view.host}" if view.pid else ""),
            ("up for", span(picture.view.at - view.taken) if view.alive and view.taken else ""),
            ("last sign", since(view.last, picture.view.at) if view.last else ""),
            ("generation", view.generation or ""),
            ("home", picture.home),
            ("store", picture.store),
        ]
        put_facts(f"{view.condition.level.glyph} {sentence(f'The engine {view.condition.text}')}", pairs)
    return 0 if view.alive else 1


def adopt(args: argparse.Namespace) -> int:
    """Start an engine for what still runs here."""
    with open_place(args) as city:
        if look(city.link.store, uptime=False).engine.alive:
            out("An engine runs; there is nothing to adopt.")
            return 0
        city.link.ask("engine.backup")  # answered by an engine that has looked at everything, and what it adopted is in the copy
        view = look(city.link.store, uptime=False)
        out(f"An engine runs now (generation {view.engine.generation}) and looks after {count(len(view.runners), 'runner')}.")
    return 0


def _running(city: QCity) -> int:
    return sum(runner.phase in (Phase.RUNNING, Phase.STARTING) for runner in city.runners)
