"""Health over time: beats as a frame, as a share, as a figure, and as an HTML bar that needs no script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..decide.wording import count, percent
from ..errors import EngineError, NotFound
from ..store import history
from ..store.history import Span
from .link import Link, now
from .tables import Html, Shown, clock, frame, table
from .view import HELPERS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {"at": "moment", "runner": "text", "span_s": "whole", "beats": "whole", "up": "whole", "busy": "whole", "share": "number"}
MARKS = {"at": "moment", "runner": "text", "state": "text", "title": "text", "cause": "text"}
MOST_INCIDENTS = 200


class Painter(Protocol):
    """What draws figures; `qcity_nb.ui.figures` is one. Given from above, because this floor knows no plotting."""

    def health_figure(self, frame: Any, incidents: Any = None) -> Any:
        """A plotly figure of a frame of beats, on it a frame of incidents."""

    def health_html(self, frame: Any) -> str:
        """The same as static HTML."""

    def gantt_figure(self, frame: Any) -> Any:
        """A plotly figure of a frame of jobs."""

    def gantt_html(self, frame: Any) -> str:
        """The same as static HTML."""

    def runs_figure(self, frame: Any) -> Any:
        """A plotly figure of a frame of runs: when which ran."""

    def history_figure(self, frame: Any) -> Any:
        """A plotly figure of a frame of runs: how long they took, and how they ended."""

    def calendar_figure(self, frame: Any) -> Any:
        """A plotly figure of a frame of runs: each day's."""

    def spread_figure(self, frame: Any, column: str, title: str) -> Any:
        """A plotly figure of a frame of jobs: a column of seconds, one box for each job."""

    def outcomes_figure(self, frame: Any) -> Any:
        """A plotly figure of a frame of jobs: how they ended, for each branch."""

    def flaky_figure(self, summary: Any) -> Any:
        """A plotly figure of a summary of jobs: which fail and succeed at one commit."""

    def cost_figure(self, frame: Any) -> Any:
        """A plotly figure of a frame of jobs: minutes of each day."""

    def addresses_figure(self, frame: Any) -> Any:
        """A plotly figure of a frame of addresses: whose each tunnel's was when."""

    def figures_page(self, figures: Sequence[Any], target: Path, *, title: str, above: str) -> Path:
        """Figures as one page, that needs no network."""

    def notebook_report(self, notebook: Path, target: Path, *, title: str, facts: Sequence[tuple[str, object]]) -> Path:
        """A page of an executed notebook, that needs no network."""

    def dashboard(self, city: Any, *, name: str, every: float) -> Any:
        """A place as it is now, live where somebody looks, and as HTML."""

    def keep_alive(self, watch: Any, pump: Callable[[float], None], *, until_idle: bool, unassign: bool) -> Awaitable[str]:
        """A cell that keeps work alive, as it says itself."""

    def forms(self, city: Any) -> Any:
        """What is done often, to be filled in."""

    def live(self, run: Any, *, block: bool) -> Callable[[], bool]:
        """A run as it goes on; what it gives back says whether the cell that shows it still is the one that runs."""


class Health(Shown):
    """The beats of one runner or of all, over the last hours.

    Args:
        hours: how far back; up to 2 hours every beat is read, up to a day minutes, beyond that hours.
    """

    def __init__(self, link: Link, painter: Painter, *, hours: float, runner: str = "") -> None:
        self._link, self._painter, self.hours, self.runner = link, painter, hours, runner

    def __call__(self, hours: float = 24) -> Health:
        """The same over other hours: `city.health(48)`."""
        return Health(self._link, self._painter, hours=hours, runner=self.runner)

    def spans(self) -> list[Span]:
        """The beats: single ones, or summed up, and the last single ones that are not yet."""
        since = now() - timedelta(hours=self.hours)
        width = 1 if self.hours <= 2 else 60 if self.hours <= 48 else 3600
        with self._link.read() as connection:
            found = history.spans(connection, self._link.place, since=since, span=width)
            if width > 1:  # what is not summed up yet
                edge = max((span.at for span in found), default=None)
                found += history.spans(connection, self._link.place, since=since if edge is None else edge + timedelta(seconds=width), span=1)
        return [span for span in found if span.service == self.runner or (not self.runner and span.service not in HELPERS)]

    def wait(self, beats: int = 1, *, timeout: float = 60.0) -> Health:
        """Wait until so many beats found a runner up (one comes every few seconds). Raises `EngineError` when that takes longer."""
        for _ in self._link.until(timeout):
            if sum(span.up for span in self.spans()) >= beats:
                return self
        raise EngineError(f"no {count(beats, 'beat')} in {timeout:.0f} s", "qcity status says how the engine and the runner are", permanent=False)

    def frame(self) -> pd.DataFrame:
        """One row for each span: how many beats were expected and how many found the runner up. Times are UTC."""
        return frame(COLUMNS, [_record(span) for span in self.spans()])

    def share(self) -> float | None:
        """The share of beats that found the runner up; None without beats."""
        found = self.spans()
        beats = sum(span.beats for span in found)
        return sum(span.up for span in found) / beats if beats else None

    def figure(self) -> Any:
        """A plotly figure. Raises `NotFound` when there are no beats yet."""
        found = self.frame()
        if found.empty:
            raise NotFound("there are no beats yet to plot", "Start a runner, wait a few seconds, ask again")
        begin = found["at"].min().to_pydatetime()
        with self._link.read() as connection:
            rows = history.latest_incidents(connection, self._link.place, limit=MOST_INCIDENTS)
        mine = [row for row in rows if row.service in set(found["runner"]) and (row.closed is None or row.closed >= begin)]
        return self._painter.health_figure(found, frame(MARKS, [_marked(row, begin) for row in mine]))

    def static(self) -> Html:
        """The same picture as HTML without script: it shows in an untrusted notebook, offline, and in an export."""
        return Html(self._painter.health_html(self.frame()))

    def __repr__(self) -> str:
        found = self.spans()
        names = sorted({span.service for span in found})
        return f"<Health of {self.runner or count(len(names), 'runner')} over {self.hours:g} h · up {percent(self.share())}>"

    def _html(self) -> str:
        found = self.spans()
        sums: dict[str, list[Any]] = {}
        for span in found:
            entry = sums.setdefault(span.service, [0, 0, span.at, span.at])
            entry[0], entry[1], entry[3] = entry[0] + span.beats, entry[1] + span.up, span.at
        rows = [(name, percent(up / beats if beats else None), beats, clock(first), clock(last)) for name, (beats, up, first, last) in sums.items()]
        return table(f"Up in the last {self.hours:g} h", ("runner", "up", "beats", "first (UTC)", "last (UTC)"), rows, empty="No beats yet.")


def _marked(row: history.Incident, begin: datetime) -> dict[str, Any]:
    return {"at": max(row.opened, begin), "runner": row.service, "state": row.state, "title": row.title, "cause": row.cause}


def _record(span: Span) -> dict[str, Any]:
    share = span.up / span.beats if span.beats else None
    return {"at": span.at, "runner": span.service, "span_s": span.seconds, "beats": span.beats, "up": span.up, "busy": span.busy, "share": share}
