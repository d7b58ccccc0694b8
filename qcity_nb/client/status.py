"""How a place is, at one moment: a frozen picture that prints as a sentence and a few lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..decide.health import Level, Work
from ..decide.wording import line, percent, since, span, visible
from ..store.database import Store
from . import shapes
from .incidents import tell
from .tables import Html, Shown, escape, mark, table
from .view import EngineView, RunnerView, View, look


@dataclass(frozen=True, repr=False)
class Status(Shown):
    """What `city.status()` gives. `view` holds everything it was made from."""

    view: View
    home: Path
    store: str
    unusable: tuple[str, ...] = ()
    """After `up`: what is wrong with workflow files of the repository that cannot be used."""

    @property
    def headline(self) -> str:
        """The one sentence above everything."""
        return self.view.headline.text

    @property
    def todo(self) -> str:
        """What to do next; empty when nothing."""
        return self.view.headline.todo

    @property
    def level(self) -> Level:
        """How well it all is."""
        return self.view.headline.level

    @property
    def healthy(self) -> bool:
        """Whether nothing needs a person or a repair."""
        return self.level in (Level.WELL, Level.WARN, Level.OFF)

    @property
    def engine(self) -> EngineView:
        """The engine."""
        return self.view.engine

    @property
    def runners(self) -> dict[str, RunnerView]:
        """All runners by name."""
        return dict(self.view.runners)

    @property
    def work(self) -> Work:
        """The jobs in numbers."""
        return self.view.work

    @property
    def incidents(self) -> list[Any]:
        """The open incidents."""
        return list(self.view.incidents)

    def json(self) -> dict[str, Any]:
        """The documented shape, as `qcity status --json` prints it."""
        return shapes.status(self.view, home=self.home, store=self.store)

    def lines(self) -> list[str]:
        """The same as a few plain lines."""
        shown = [self.headline]
        if self.todo:
            shown.append(f"  next: {self.todo}")
        for name, runner in self.view.runners.items():
            condition = runner.condition
            shown.append(f"  {condition.level.glyph} {name} {visible(condition.text)} · up {percent(runner.uptime)} in 24 h")
        shown += [f"  {one.level.glyph} {name}: {one.text}" for name, one in self.view.about.items() if one is not self.view.headline]
        shown += [f"    {line(row.name)}: {row.view.url}" for row in self.view.tunnels if row.view.url]
        shown += [f"  ✖ incident {row.id}: {visible(tell(row))}" for row in self.view.incidents]
        return shown

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _html(self) -> str:
        head = self.view.headline
        text = f'<div style="font-weight:600">{mark(head.level, head.text)}</div>' + (f"<div>next: {escape(head.todo)}</div>" if head.todo else "")
        rows = []
        for name, runner in self.view.runners.items():
            condition, row = runner.condition, runner.row
            word = Html(mark(condition.level, condition.level.value))
            rows.append((name, word, condition.text, row.sandbox, percent(runner.uptime), since(row.since, self.view.at)))
        runners = table("", ("runner", "health", "", "sandbox", "up in 24 h", "since"), rows, empty="")
        open_ones = "".join(f"<p>{escape(tell(row))}</p>" for row in self.view.incidents)
        load = self.view.work
        jobs = f"<div>{load.running} running, {load.queued} queued, jobs wait {span(load.wait)} (p95)</div>" if rows else ""
        about = "".join(f"<div>{mark(one.level, one.text)}</div>" for one in self.view.about.values() if one is not head)
        links = "".join(f"<div>{escape(row.name)}: {escape(row.view.url)}</div>" for row in self.view.tunnels if row.view.url)
        return text + runners + jobs + about + links + open_ones


def take(store: Store) -> Status:
    """The picture of now."""
    where = str(store.home.store) if store.embedded else store.url.render_as_string(hide_password=True)
    return Status(look(store), store.home.root, where)
