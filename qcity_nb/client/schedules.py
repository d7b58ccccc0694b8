"""Schedules: what runs when, paused, removed, and when it runs next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..decide import schedule as times
from ..decide.health import Level
from ..decide.wording import did_you_mean, line, span
from ..errors import BadInput, NotFound
from ..model.schedule import RunState, Schedule
from ..store import runs as store
from ..store.runs import ScheduleRow
from .link import Link, now
from .tables import Html, Shown, frame, mark, table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {"name": "text", "notebook": "text", "cron": "text", "zone": "text", "paused": "flag", "next": "moment", "last": "text", "done": "number"}


def moment_of(text: str, zone: str) -> datetime:
    """A moment that somebody wrote as a zone's wall clock shows it.

    Raises:
        BadInput: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f'"{text}" is no moment', "Write it as 2027-01-31 03:00") from None
    return (found if found.tzinfo else found.replace(tzinfo=times.zone_of(zone))).astimezone(timezone.utc)


def when(schedule: Schedule) -> str:
    """When it runs, as it was asked for."""
    if schedule.once is not None:
        return f"once, {schedule.once.astimezone(times.zone_of(schedule.zone)):%Y-%m-%d %H:%M} {schedule.zone}"
    return f"{schedule.cron} {schedule.zone}"


class Schedules(Shown):
    """The schedules of a place and those of every place; `schedules["nightly"]` is one."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def rows(self) -> list[ScheduleRow]:
        """What the store knows of them, by name."""
        with self._link.read() as connection:
            return store.schedules_of(connection, self._link.place)

    def pause(self, name: str, *, paused: bool = True) -> None:
        """Have it ask for nothing; moments that pass meanwhile are gone. `paused=False` lets it go on."""
        self._link.ask("schedule.pause", name, {"paused": paused})

    def remove(self, name: str) -> None:
        """Forget it. Its runs stay to be looked at; one that is running ends by itself."""
        self._link.ask("schedule.remove", name)

    def upcoming(self, name: str, number: int = 5) -> list[datetime]:
        """The next moments of it, UTC; none while it is paused."""
        schedule = self[name].schedule
        return [] if schedule.paused else list(islice(times.fires(schedule, after=now()), number))

    def last(self, name: str) -> str:
        """How its last runs ended, the newest last, as glyphs."""
        with self._link.read() as connection:
            rows = store.latest_runs(connection, self._link.place, schedule=name, limit=12)
        return "".join(_GLYPHS[row.state] for row in rows)

    def frame(self) -> pd.DataFrame:
        """The schedules as a pandas frame; `done` is the share of the last runs that were done."""
        found = []
        for row in self.rows():
            last = self.last(row.schedule.name)
            over = [one for one in last if one != _GLYPHS[RunState.PLANNED] and one != _GLYPHS[RunState.RUNNING]]
            found.append(
                {
                    "name": row.schedule.name,
                    "notebook": row.schedule.plan.notebook,
                    "cron": row.schedule.cron,
                    "zone": row.schedule.zone,
                    "paused": row.schedule.paused,
                    "next": row.next,
                    "last": last,
                    "done": over.count(Level.WELL.glyph) / len(over) if over else None,
                }
            )
        return frame(COLUMNS, found)

    def __getitem__(self, name: str) -> ScheduleRow:
        with self._link.read() as connection:
            found = store.schedule_of(connection, self._link.place, name)
        if found is None:
            raise NotFound(f'there is no schedule "{name}"', did_you_mean(name, [row.schedule.name for row in self.rows()], what="schedule"))
        return found

    def __iter__(self) -> Iterator[Schedule]:
        return iter([row.schedule for row in self.rows()])

    def __len__(self) -> int:
        return len(self.rows())

    def _ipython_key_completions_(self) -> list[str]:
        return [row.schedule.name for row in self.rows()]

    def __repr__(self) -> str:
        return "\n".join(f"{row.schedule.name}: {when(row.schedule)}, {_next(row)}" for row in self.rows()) or "no schedule yet"

    def _html(self) -> str:
        rows = [
            (
                line(row.schedule.name),
                when(row.schedule),
                Html(mark(Level.OFF, "paused")) if row.schedule.paused else _next(row),
                self.last(row.schedule.name),
                Path(row.schedule.plan.notebook).name,
            )
            for row in self.rows()
        ]
        return table("", ("schedule", "when", "next", "last runs", "notebook"), rows, empty="No schedule yet.")


_GLYPHS = {
    RunState.PLANNED: Level.OFF.glyph,
    RunState.RUNNING: Level.REPAIRING.glyph,
    RunState.DONE: Level.WELL.glyph,
    RunState.FAILED: Level.BAD.glyph,
    RunState.LOST: Level.BAD.glyph,
    RunState.CANCELLED: Level.OFF.glyph,
    RunState.MISSED: Level.WARN.glyph,
}


def _next(row: ScheduleRow) -> str:
    if row.schedule.paused:
        return "paused"
    if row.next is None:
        return "over"
    local = row.next.astimezone(times.zone_of(row.schedule.zone))
    return f"{local:%a %Y-%m-%d %H:%M}, in {span(max((row.next - now()).total_seconds(), 0))}"
