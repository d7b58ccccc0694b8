"""What has been: jobs of many days together, as a table, as figures to look into, and as one page that opens without a network."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..decide import past
from ..decide.past import Line
from ..decide.wording import count, line, percent, span
from ..errors import BadInput, NotFound
from ..model.work import Ran
from ..store import sums, tunnels
from .health import Health, Painter
from .link import Link, now
from .tables import Html, Shown, frame, table

if TYPE_CHECKING:
    import pandas as pd

MOST, ROWS = 20_000, 30
COLUMNS = {
    "id": "whole",
    "name": "text",
    "workflow": "text",
    "branch": "text",
    "sha": "text",
    "runner": "text",
    "outcome": "text",
    "queued": "moment",
    "started": "moment",
    "finished": "moment",
    "wait_s": "number",
    "duration_s": "number",
}
LINES = {
    "name": "text",
    "workflow": "text",
    "branch": "text",
    "runs": "whole",
    "commits": "whole",
    "good": "whole",
    "bad": "whole",
    "success": "number",
    "flaky": "whole",
    "wait_p50_s": "number",
    "wait_p95_s": "number",
    "duration_p50_s": "number",
    "duration_p95_s": "number",
    "busy_s": "number",
}
ADDRESSES = {"tunnel": "text", "generation": "whole", "provider": "text", "origin": "text", "since": "moment", "until": "moment", "why": "text"}


class History(Shown):
    """The jobs that ended in the last days, at most 20,000 of them. Made by `city.history()`; each method reads anew.

    Args:
        days: how far back.
    """

    def __init__(self, link: Link, painter: Painter, *, days: float) -> None:
        if not 0 < days <= 3660:
            raise BadInput(f"a history of {days:g} days cannot be had", "days=7 is the last week")
        self._link, self._painter, self.days = link, painter, float(days)

    @property
    def _time(self) -> str:
        return span(timedelta(days=self.days))

    def rows(self) -> list[Ran]:
        """The jobs, oldest first."""
        with self._link.read() as connection:
            return sums.ran(connection, self._link.place, since=now() - timedelta(days=self.days), limit=MOST)

    def lines(self) -> list[Line]:
        """One line for each job of each branch, what fails most first."""
        return past.lines(self.rows())

    def frame(self) -> pd.DataFrame:
        """The jobs as a frame, one row each; times are UTC."""
        return frame(COLUMNS, [_record(row) for row in self.rows()])

    def summary(self) -> pd.DataFrame:
        """The lines as a frame: runs, share of success, flaky commits, percentiles of waiting and running, seconds on a runner."""
        return frame(LINES, [_summed(one) for one in self.lines()])

    def addresses(self) -> pd.DataFrame:
        """The addresses that tunnels had, one row for each generation."""
        since = now() - timedelta(days=self.days)
        with self._link.read() as connection:
            found = [one for one in tunnels.issued_of(connection, self._link.place) if one.until is None or one.until >= since]
        return frame(ADDRESSES, [{name: getattr(one, name) for name in ADDRESSES} for one in found])

    def waits(self) -> Any:
        """A plotly figure: how long each job stood in the queue. Raises `NotFound` when none has."""
        return self._painter.spread_figure(self._some(), "wait_s", "Jobs: how long they waited")

    def durations(self) -> Any:
        """A plotly figure: how long each job ran. Raises `NotFound` when none has."""
        return self._painter.spread_figure(self._some(), "duration_s", "Jobs: how long they ran")

    def outcomes(self) -> Any:
        """A plotly figure: how each job ended, for each branch. Raises `NotFound` when none has."""
        return self._painter.outcomes_figure(self._some())

    def flaky(self) -> Any:
        """A plotly figure: jobs that both failed and succeeded at one commit. Raises `NotFound` when there is none, which is good news."""
        found = self.summary()
        if not (found["flaky"] > 0).any():
            raise NotFound(f"no job both failed and succeeded at one commit in {self._time}", "There is nothing to look into")
        return self._painter.flaky_figure(found)

    def cost(self) -> Any:
        """A plotly figure: how long each job kept a runner, day by day. Raises `NotFound` when none did."""
        return self._painter.cost_figure(self._some())

    def tunnels(self) -> Any:
        """A plotly figure: which address each tunnel had when, by provider. Raises `NotFound` when none had any."""
        found = self.addresses()
        if found.empty:
            raise NotFound(f"no tunnel had an address in {self._time}", "qcity tunnel open PORT opens one")
        return self._painter.addresses_figure(found)

    def health(self) -> Any:
        """A plotly figure: beats of all runners, incidents marked. Raises `NotFound` when there are no beats."""
        return Health(self._link, self._painter, hours=self.days * 24).figure()

    def report(self, path: str | Path) -> Path:
        """Write all of it as one page with figures in it, whole or not at all; its path. It opens without a network.

        Raises:
            NotFound: nothing has happened that could be plotted.
        """
        figures = []
        for draw in (self.health, self.outcomes, self.flaky, self.durations, self.waits, self.cost, self.tunnels):
            try:
                figures.append(draw())
            except NotFound:
                continue  # the page shows what there is
        if not figures:
            raise NotFound(f"nothing happened in {self._time}, so there is no page to write", "qcity status says what runs")
        return self._painter.figures_page(figures, Path(path), title=f"QCity: the last {self._time}", above=self._html())

    def _some(self) -> pd.DataFrame:
        found = self.frame()
        if found.empty:
            raise NotFound(f"no job ended in {self._time}, so there is nothing to plot", "days=30 looks further back")
        return found

    def __repr__(self) -> str:
        found = self.lines()
        runs, good, bad = (sum(getattr(one, name) for one in found) for name in ("runs", "good", "bad"))
        flaky = sum(one.flaky > 0 for one in found)
        words = f"{count(runs, 'job')} · {percent(good / (good + bad) if good + bad else None)} succeeded"
        return f"<History of {self._time} · {words}{f' · {flaky} flaky' if flaky else ''}>"

    def _html(self) -> str:
        found = self.lines()
        rows = [
            (
                line(one.name, limit=60),
                line(past.branch(one.ref), limit=40),
                one.runs,
                Html(percent(one.share).replace(" ", "&nbsp;")),
                f"at {count(one.flaky, 'commit')}" if one.flaky else "",
                f"{span(one.wait(0.5))} / {span(one.wait(0.95))}",
                f"{span(one.took(0.5))} / {span(one.took(0.95))}",
                span(one.busy),
            )
            for one in found[:ROWS]
        ]
        head = ("job", "branch", "runs", "succeeded", "flaky", "waits, p50 / p95", "takes, p50 / p95", "on runners")
        more = f'<div style="opacity:0.7">{len(found) - ROWS} more</div>' if len(found) > ROWS else ""
        return table(f"Jobs of the last {self._time}", head, rows, empty="No job ended in this time.") + more


def _record(row: Ran) -> dict[str, Any]:
    named = {name: getattr(row, name) for name in ("id", "name", "workflow", "sha", "runner", "outcome", "queued", "started", "finished")}
    return {**named, "branch": past.branch(row.ref), "wait_s": _seconds(row.wait), "duration_s": _seconds(row.took)}


def _summed(one: Line) -> dict[str, Any]:
    named = {name: getattr(one, name) for name in ("name", "workflow", "runs", "commits", "good", "bad", "flaky")}
    spread = {f"{what}_p{share}_s": _seconds(of(share / 100)) for what, of in (("wait", one.wait), ("duration", one.took)) for share in (50, 95)}
    return {**named, **spread, "branch": past.branch(one.ref), "success": one.share, "busy_s": one.busy.total_seconds()}


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()
