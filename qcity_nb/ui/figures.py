"""Health and jobs as pictures: a plain plotly figure, and the same as HTML without script beside it, for exports and untrusted notebooks.

Colours are Okabe and Ito's; a word stands beside each. Time without beats stays empty: nobody watched, so nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..client.jobs import level_of
from ..client.tables import COLOURS, clock, escape
from ..decide.health import Level
from ..decide.wording import line, percent, span
from ..errors import MissingTool
from ..model.work import Outcome, Status

if TYPE_CHECKING:
    import pandas as pd

BUCKETS = 90
PLOTLY = "application/vnd.plotly.v1+json"
"""The kind of a plotly figure in a notebook."""
_EMPTY = "#d0d0d0"


@dataclass(frozen=True)
class Strip:
    """One runner's health in equal buckets of time, the last of which ends with what is known; None where nobody watched."""

    runner: str
    begin: datetime
    end: datetime
    width: timedelta
    shares: tuple[float | None, ...]
    total: float | None

    def at(self, number: int) -> datetime:
        """The begin of one bucket."""
        return min(self.begin + self.width * number, self.end)


def strips(frame: pd.DataFrame, *, buckets: int = BUCKETS) -> list[Strip]:
    """A frame of beats as one strip for each runner, all on the same clock."""
    import pandas as pd

    if frame.empty:
        return []
    span_s = int(frame["span_s"].max())
    begin, end = frame["at"].min().to_pydatetime(), (frame["at"] + pd.to_timedelta(frame["span_s"], unit="s")).max().to_pydatetime()
    spacing = _spacing(frame, span_s)
    width = timedelta(seconds=spacing * max(1, math.ceil((end - begin).total_seconds() / buckets / spacing)))
    number = max(1, math.ceil((end - begin) / width))
    found = []
    for runner, rows in frame.groupby("runner", sort=True):
        sums = [[0, 0] for _ in range(number)]
        for at, beats, up in zip(rows["at"], rows["beats"], rows["up"], strict=True):
            slot = sums[min(number - 1, int((at.to_pydatetime() - begin) / width))]
            slot[0] += int(beats)
            slot[1] += int(up)
        shares = tuple(up / beats if beats else None for beats, up in sums)
        beats, up = sum(slot[0] for slot in sums), sum(slot[1] for slot in sums)
        found.append(Strip(str(runner), begin, end, width, shares, up / beats if beats else None))
    return found


def level_at(share: float | None) -> Level:
    """How a share of beats reads: well, partly, or down."""
    if share is None:
        return Level.STALE
    return Level.WELL if share >= 0.999 else Level.WARN if share > 0.5 else Level.BAD


def health_figure(frame: pd.DataFrame, incidents: pd.DataFrame | None = None) -> Any:
    """A plotly figure: one row for each runner, green where it was up.

    Args:
        incidents: what is marked on it, with `at`, `runner`, `state`, `title` and `cause`.
    """
    go = plotly()
    rows = strips(frame)
    figure = go.Figure()
    if rows:
        words = {Level.WELL: "up", Level.WARN: "partly up", Level.BAD: "down", Level.STALE: "not watched"}
        figure.add_trace(
            go.Heatmap(
                x=[rows[0].at(number) for number in range(len(rows[0].shares) + 1)],  # edges: plotly takes as many as there are boxes for middles
                y=[f"{row.runner}  {percent(row.total)}" for row in rows],
                z=[list(row.shares) for row in rows],
                text=[[words[level_at(share)] for share in row.shares] for row in rows],
                zmin=0,
                zmax=1,
                colorscale=[[0, COLOURS[Level.BAD]], [0.5, COLOURS[Level.WARN]], [0.999, COLOURS[Level.WARN]], [1, COLOURS[Level.WELL]]],
                xgap=1,
                ygap=6,
                showscale=False,
                hovertemplate="%{y}<br>%{x|%H:%M:%S} UTC: %{text}<extra></extra>",
                hoverongaps=False,
            )
        )
    if rows and incidents is not None and not incidents.empty:
        names = {row.runner: f"{row.runner}  {percent(row.total)}" for row in rows}
        figure.add_trace(
            go.Scatter(
                x=[at.to_pydatetime() for at in incidents["at"]],
                y=[names[runner] for runner in incidents["runner"]],
                mode="markers",
                marker={"symbol": "diamond", "size": 10, "color": "white", "line": {"width": 2, "color": "black"}},
                text=[
                    f"{escape(line(title))} ({state})<br>{escape(line(cause))}"
                    for title, state, cause in zip(incidents["title"], incidents["state"], incidents["cause"], strict=True)
                ],
                showlegend=False,
                hovertemplate="%{x|%H:%M:%S} UTC: %{text}<extra></extra>",
            )
        )
    return laid_out(figure, "Health: share of beats that found the runner up; a diamond is an incident", rows=len(rows), static=health_html(frame))


def health_html(frame: pd.DataFrame) -> str:
    """The same as rows of coloured boxes, each with its time and share as a title."""
    rows = strips(frame, buckets=60)
    if not rows:
        return '<div style="opacity:0.7">No beats yet.</div>'
    shown = "".join(
        f'<tr><td style="padding:2px 10px 2px 0;text-align:left">{escape(row.runner)}</td>'
        f'<td style="padding:2px 0;white-space:nowrap">{"".join(_boxes(row))}</td>'
        f'<td style="padding:2px 0 2px 10px">up {percent(row.total)}</td></tr>'
        for row in rows
    )
    ends = f"{clock(rows[0].begin)} to {clock(rows[0].at(len(rows[0].shares)))} UTC; grey: nobody watched"
    return f'<table style="border-collapse:collapse">{shown}</table><div style="opacity:0.7">{ends}</div>'


def gantt_figure(frame: pd.DataFrame) -> Any:
    """A plotly figure: when which job ran and how it ended."""
    go = plotly()
    figure, bars = go.Figure(), list(_bars(frame))
    for outcome in dict.fromkeys(bar.word for bar in bars):
        mine = [bar for bar in bars if bar.word == outcome]
        figure.add_trace(
            go.Bar(
                name=outcome,
                y=[bar.name for bar in mine],
                base=[bar.begin for bar in mine],
                x=[max(bar.seconds, 0.05) * 1000 for bar in mine],
                text=[f"{bar.word} {span(bar.seconds)}" for bar in mine],
                orientation="h",
                marker={"color": COLOURS[mine[0].level]},
                hovertemplate="%{y}: %{text}<extra></extra>",
            )
        )
    figure.update_layout(barmode="overlay", xaxis={"type": "date"}, yaxis={"autorange": "reversed"})
    return laid_out(figure, "Jobs: when they ran", rows=len(bars), static=gantt_html(frame))


def gantt_html(frame: pd.DataFrame) -> str:
    """The same as bars of plain HTML."""
    bars = list(_bars(frame))
    if not bars:
        return '<div style="opacity:0.7">No job has begun yet.</div>'
    begin = min(bar.begin for bar in bars)
    ends = [(bar.begin - begin).total_seconds() + bar.seconds for bar in bars]
    whole = max(0.001, *ends)
    rows = "".join(_gantt_row(bar, (bar.begin - begin).total_seconds() / whole, bar.seconds / whole) for bar in bars)
    foot = f'<div style="opacity:0.7">{clock(begin)} UTC, {span(whole)} from left to right</div>'
    return f'<table style="border-collapse:collapse;width:100%;max-width:900px">{rows}</table>{foot}'


@dataclass(frozen=True)
class Bar:
    """One job on the time axis."""

    name: str
    begin: datetime
    seconds: float
    word: str
    level: Level


def _bars(frame: pd.DataFrame) -> Iterator[Bar]:
    begun = frame[frame["started"].notna()]
    for id_, name, started, seconds, status, outcome in zip(
        begun["id"], begun["name"], begun["started"], begun["duration_s"], begun["status"], begun["outcome"], strict=True
    ):
        ended = Outcome(outcome) if isinstance(outcome, str) else None
        word = (ended.value if ended else str(status)).replace("_", " ")
        yield Bar(f"{id_} {line(str(name), limit=40)}", started.to_pydatetime(), float(seconds or 0), word, level_of(Status(status), ended))


def _gantt_row(bar: Bar, left: float, share: float) -> str:
    box = f"margin-left:{left * 100:.2f}%;width:{max(share * 100, 0.5):.2f}%;min-width:3px;height:12px;background:{COLOURS[bar.level]}"
    cell = "padding:2px 10px 2px 0;text-align:left;vertical-align:middle;overflow-wrap:anywhere"
    words = f"{bar.level.glyph} {escape(bar.word)} {span(bar.seconds)}"
    return (
        f'<tr><td style="{cell};width:30%">{escape(bar.name)}</td><td style="padding:2px 0"><div style="{box}"></div></td>'
        f'<td style="padding:2px 0 2px 10px;width:22%">{words}</td></tr>'
    )


def _boxes(row: Strip) -> Iterator[str]:
    """Buckets that are alike are one box: most of them are, and each would be a hundred bytes of every saved notebook."""
    number = 0
    for share, alike in groupby(row.shares):
        count = sum(1 for _ in alike)
        colour = _EMPTY if share is None else COLOURS[level_at(share)]
        word = "not watched" if share is None else f"up {percent(share)}"
        style = f"display:inline-block;width:{6 * count - 1}px;height:14px;margin-right:1px;background:{colour}"
        yield f'<span style="{style}" title="{clock(row.at(number))} to {clock(row.at(number + count))} {word}"></span>'
        number += count


def _spacing(frame: pd.DataFrame, span_s: int) -> int:
    """Beats come every few seconds: a bucket never is narrower than the usual distance of two, or a healthy runner would show gaps."""
    gaps = frame.groupby("runner")["at"].diff().dropna()
    usual = gaps.median().total_seconds() if len(gaps) else span_s
    return max(1, span_s, math.ceil(usual))


def laid_out(figure: Any, title: str, *, rows: int, static: str) -> Any:
    """The house's layout, high enough for so many rows.

    Args:
        static: the same as HTML without script, which is shown where nobody is live.
    """
    from .drawn import Drawn

    drawn = Drawn(figure).beside(static, title)
    drawn.update_layout(
        title={"text": title, "font": {"size": 14}},
        template="simple_white",
        height=110 + 34 * max(1, rows),
        margin={"l": 10, "r": 10, "t": 40, "b": 30},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},  # beside the title: below, it would lie on the times
        yaxis={"automargin": True},
    )
    return drawn


def plotly() -> Any:
    """The graph objects of plotly. Raises `MissingTool`."""
    try:
        import plotly.graph_objects as go
    except ModuleNotFoundError:
        raise MissingTool("plotly, which draws the figures, is not installed", "pip install plotly; .static() needs nothing") from None
    return go
