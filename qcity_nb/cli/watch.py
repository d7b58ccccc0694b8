"""`qcity status --watch`: in a terminal a table that stays in place, elsewhere a plain line for each change. Replaces a dead engine, and says so."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime

from ..client.city import QCity
from ..client.jobs import level_of, word_of
from ..client.status import Status
from ..client.tables import COLOURS
from ..decide.health import EngineState
from ..decide.tunnel_health import condition
from ..decide.wording import line, visible
from ..errors import EngineError
from .screen import out, rich_table
from .status import HEAD, rows

EVERY = 0.5
TRY_AGAIN = 5.0


def watch(city: QCity, *, seconds: float | None) -> int:
    """Show a place until Ctrl-C or until the time is over; the exit code is that of its health then."""
    turns = _turns(city, seconds)
    return _live(turns) if sys.stdout.isatty() else _plain(city, turns)


def _turns(city: QCity, seconds: float | None) -> Iterator[tuple[Status, list[str]]]:
    """The picture of each turn, with what has to be said about the engine."""
    end = None if seconds is None else time.monotonic() + seconds
    told: list[str] = []
    city.link.say = told.append
    not_before = 0.0
    while True:
        picture = city.status()
        if picture.engine.state is EngineState.DEAD and time.monotonic() >= not_before:
            try:
                city.link.ensure()
            except EngineError as error:
                told.append(str(error))
                not_before = time.monotonic() + TRY_AGAIN
            picture = city.status()
        yield picture, told[:]
        told.clear()
        left = EVERY if end is None else min(EVERY, end - time.monotonic())
        if left <= 0:
            return
        city.link.host.pump(left)


def _live(turns: Iterator[tuple[Status, list[str]]]) -> int:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    healthy = True
    with Live(console=console, auto_refresh=False, transient=False) as live:
        try:
            for picture, told in turns:
                for text in told:
                    live.console.print(Text(f"{_stamp(picture.view.at)} {visible(text)}"))
                head = picture.view.headline
                top = Text(f"{head.level.glyph} {visible(head.text)}", style=f"bold {COLOURS[head.level]}")
                todo = [Text(f"  next: {head.todo}")] if head.todo else []
                about = [one for one in picture.view.about.values() if one is not head]
                others = [Text(f"{one.level.glyph} {visible(one.text)}", style=COLOURS[one.level]) for one in about]
                links = [Text(f"  {line(row.name)}: {row.view.url}") for row in picture.view.tunnels if row.view.url]
                live.update(Group(top, *todo, rich_table(HEAD, rows(picture)), *others, *links), refresh=True)
                healthy = picture.healthy
        except KeyboardInterrupt:
            return 130
    return 0 if healthy else 1


def _plain(city: QCity, turns: Iterator[tuple[Status, list[str]]]) -> int:
    """One line for each change: of the whole, of a runner, a job, a tunnel, an incident, of how links and notebooks are."""
    seen: dict[str, object] = {}
    healthy = True
    for picture, told in turns:
        for text in told:
            out(f"{_stamp(picture.view.at)} {text}")
        for key, (what, text) in _changes(city, picture, first=not seen).items():
            if seen.get(key) != what:
                seen[key] = what
                if text:
                    out(f"{_stamp(picture.view.at)} {text}")
        healthy = picture.healthy
    return 0 if healthy else 1


def _changes(city: QCity, picture: Status, *, first: bool) -> dict[str, tuple[object, str]]:
    """What is compared from turn to turn (never a duration, which always changes) and how it is said; old jobs are not told at the begin."""
    head = picture.view.headline
    levels = tuple((name, item.condition.level) for name, item in picture.runners.items())
    found: dict[str, tuple[object, str]] = {}
    for job in city.jobs.rows(limit=50):
        level = level_of(job.status, job.outcome)
        told = first and job.outcome is not None
        text = f"{level.glyph} job {job.id} {line(job.plan.name, limit=60)}: {word_of(job.status, job.outcome)}"
        found[f"job {job.id}"] = ((job.status, job.outcome), "" if told else text)
    for name, item in picture.runners.items():
        text = f"{item.condition.level.glyph} {name} {line(item.condition.text)}"
        found[f"runner {name}"] = ((item.condition.level, item.row.state.phase, item.row.state.incarnation), text)
    for row in picture.view.tunnels:
        how = condition(row.view, picture.view.at)
        where = f", {row.view.url}" if row.view.url else ""
        text = f"{how.level.glyph} tunnel {line(row.name)}: {line(how.text)}{where}"
        found[f"tunnel {row.name}"] = ((row.view.state, row.view.generation), text)
    for key, one in picture.view.about.items():
        if one is not head:
            found[f"about {key}"] = (one.level, f"{one.level.glyph} {one.text}")
    for incident in city.incidents.rows(limit=20):
        told = first and incident.closed is not None
        text = f"{'✖' if incident.closed is None else '✔'} incident {incident.id}, {incident.state}: {line(incident.title)}; {line(incident.cause)}"
        found[f"incident {incident.id}"] = (incident.state, "" if told else text)
    found["all"] = ((head.level, levels), f"{head.level.glyph} {line(head.text)}" + (f" Next: {head.todo}" if head.todo else ""))
    return found


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"
