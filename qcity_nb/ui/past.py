"""Many days as plotly figures, to look into: plain figures, never live, and one page of them that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..client.jobs import level_of
from ..client.tables import COLOURS, clock, escape, table
from ..decide.wording import count, line, span
from ..io.files import write_atomic
from ..model.work import Outcome, Status
from .figures import laid_out, plotly
from .notebooks import page, script

if TYPE_CHECKING:
    import pandas as pd

MOST = 25
"""Jobs in one figure; the rest is named in its title, not drawn."""
PROVIDERS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
"""Okabe and Ito's hues; the name stands in the bar, too."""
QUIET = "#888888"


def spread_figure(frame: pd.DataFrame, column: str, title: str) -> Any:
    """How long something took, as one box for each job: quartiles, and each outlier with its number."""
    import pandas as pd

    go = plotly()
    figure, (names, left) = go.Figure(), _names(frame)
    for name in names:
        mine = frame[(frame["name"] == name) & frame[column].notna()]
        figure.add_trace(
            go.Box(
                x=[float(value) for value in mine[column]],
                name=_short(name),
                text=[f"job {id_}, {outcome}" for id_, outcome in zip(mine["id"], mine["outcome"], strict=True)],
                orientation="h",
                boxpoints="outliers",
                marker={"color": PROVIDERS[0], "size": 5},
                line={"width": 1},
                hovertemplate="%{text}: %{x:.3g} s<extra></extra>",
            )
        )
    figure.update_layout(showlegend=False, xaxis={"title": "seconds", "rangemode": "tozero"}, yaxis={"autorange": "reversed"})
    spreads = [(trace.name, pd.Series(trace.x, dtype=float)) for trace in figure.data if len(trace.x)]
    rows = [(name, len(values), *(span(float(value)) for value in values.quantile([0.5, 0.95]))) for name, values in spreads]
    return laid_out(figure, f"{title}{left}", rows=len(names), static=table("", ("job", "runs", "p50", "p95"), rows))


def outcomes_figure(frame: pd.DataFrame) -> Any:
    """How the jobs of each branch ended, as one bar of counts for each."""
    go = plotly()
    figure, (names, left) = go.Figure(), _names(frame)
    frame = frame[frame["name"].isin(names)]
    keys = sorted(set(zip(frame["name"], frame["branch"], strict=True)), key=lambda key: (names.index(key[0]), key[1]))
    for outcome in Outcome:
        mine = frame[frame["outcome"] == outcome.value]
        if mine.empty:
            continue
        counts = mine.groupby(["name", "branch"]).size()
        word = outcome.value.replace("_", " ")
        figure.add_trace(
            go.Bar(
                name=word,
                y=[_key(key) for key in keys],
                x=[int(counts.get(key, 0)) for key in keys],
                orientation="h",
                marker={"color": COLOURS[level_of(Status.DONE, outcome)]},
                hovertemplate="%{y}: %{x} " + word + "<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", xaxis={"title": "runs"}, yaxis={"autorange": "reversed"})
    words = [str(trace.name) for trace in figure.data]
    rows = [(_key(key), *(trace.x[number] for trace in figure.data)) for number, key in enumerate(keys)]
    return laid_out(figure, f"Jobs: how they ended, for each branch{left}", rows=len(keys), static=table("", ("job", *words), rows))


def flaky_figure(summary: pd.DataFrame) -> Any:
    """Of each flaky job: at how many of its commits it both failed and succeeded."""
    go = plotly()
    rows = summary[summary["flaky"] > 0].sort_values("flaky", ascending=False).head(MOST)
    figure = go.Figure(
        go.Bar(
            y=[_key((name, branch)) for name, branch in zip(rows["name"], rows["branch"], strict=True)],
            x=[int(value) for value in rows["flaky"]],
            text=[f"{flaky} of {count(int(commits), 'commit')}" for flaky, commits in zip(rows["flaky"], rows["commits"], strict=True)],
            orientation="h",
            marker={"color": PROVIDERS[1]},
            hovertemplate="%{y}: failed and succeeded at %{text}<extra></extra>",
        )
    )
    figure.update_layout(xaxis={"title": "commits", "dtick": 1, "rangemode": "tozero"}, yaxis={"autorange": "reversed"})
    (bar,) = figure.data
    static = table("", ("job", "failed and succeeded at"), list(zip(bar.y, bar.text, strict=True)))
    return laid_out(figure, "Flaky: failed and succeeded at one commit", rows=len(rows), static=static)


def cost_figure(frame: pd.DataFrame) -> Any:
    """Minutes on runners of each day, by job."""
    go = plotly()
    figure, (names, left) = go.Figure(), _names(frame)
    mine = frame[frame["duration_s"].notna()]
    days = sorted({f"{moment:%Y-%m-%d}" for moment in mine["finished"]})
    for number, name in enumerate(names):
        sums = dict.fromkeys(days, 0.0)
        for moment, seconds in zip(mine["finished"][mine["name"] == name], mine["duration_s"][mine["name"] == name], strict=True):
            sums[f"{moment:%Y-%m-%d}"] += float(seconds) / 60
        colour = PROVIDERS[number % len(PROVIDERS)]
        hover = "%{x}: %{y:.3g} min<extra>" + escape(_short(name)) + "</extra>"
        figure.add_trace(go.Bar(name=_short(name), x=days, y=list(sums.values()), marker={"color": colour}, hovertemplate=hover))
    figure.update_layout(barmode="stack", xaxis={"type": "category"}, yaxis={"title": "minutes"})
    rows = [(day, *(f"{trace.y[number]:.3g}" for trace in figure.data)) for number, day in enumerate(days)]
    static = table("", ("day", *(str(trace.name) for trace in figure.data)), rows)
    figure = laid_out(figure, f"Cost: minutes on runners, each day (UTC){left}", rows=7, static=static)
    return figure.update_layout(legend={"orientation": "v", "x": 1.01, "xanchor": "left", "y": 1, "yanchor": "top"})  # many names: beside the bars


def addresses_figure(frame: pd.DataFrame) -> Any:
    """Which provider gave each tunnel its address when; each bar is one generation."""
    import pandas as pd

    go = plotly()
    figure, end = go.Figure(), pd.Timestamp.now(tz="UTC")
    for number, provider in enumerate(dict.fromkeys(frame["provider"])):
        mine = frame[frame["provider"] == provider]
        until = [end if pd.isna(value) else value for value in mine["until"]]
        lasted = [(over - since).total_seconds() for since, over in zip(mine["since"], until, strict=True)]
        figure.add_trace(
            go.Bar(
                name=_short(provider),
                y=[_short(name) for name in mine["tunnel"]],
                base=[since.to_pydatetime() for since in mine["since"]],
                x=[max(seconds, 1.0) * 1000 for seconds in lasted],
                text=[f"{generation}" for generation in mine["generation"]],
                customdata=[
                    f"{escape(_short(origin))}, {span(seconds)}{f': {escape(line(why, limit=80))}' if why else ''}"
                    for origin, seconds, why in zip(mine["origin"], lasted, mine["why"], strict=True)
                ],
                orientation="h",
                marker={"color": PROVIDERS[number % len(PROVIDERS)], "line": {"width": 1, "color": "white"}},
                hovertemplate="%{y}, generation %{text}: %{customdata}<extra></extra>",
            )
        )
    figure.update_layout(barmode="overlay", xaxis={"type": "date"}, yaxis={"autorange": "reversed"})
    columns = ("tunnel", "generation", "provider", "origin", "since", "why")
    rows = [[clock(value) if name == "since" else value for name, value in zip(columns, row, strict=True)] for row in frame[list(columns)].to_numpy()]
    title = "Tunnels: which provider when; the number is the generation"
    return laid_out(figure, title, rows=frame["tunnel"].nunique(), static=table("", columns, rows))


def figures_page(figures: Sequence[Any], target: Path, *, title: str, above: str) -> Path:
    """Write figures as one page, whole or not at all; its path. plotly's script is in it, so it needs no network.

    Args:
        above: HTML that stands before them.
    """
    from plotly.io import to_html

    body = "".join(to_html(figure, full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True}) for figure in figures)
    target = target.expanduser().absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, page(title, f"{above}{body}", head=script()), mode=0o644)
    return target


def _names(frame: pd.DataFrame) -> tuple[list[str], str]:
    """The names that are drawn, those with most runs first, and what a title says of the others."""
    names = list(frame["name"].value_counts().index)
    return names[:MOST], f"; {len(names) - MOST} rarer ones are left out" if len(names) > MOST else ""


def _short(name: str) -> str:
    return line(str(name), limit=40)


def _key(key: tuple[str, str]) -> str:
    return f"{_short(key[0])} · {line(key[1], limit=30)}"
