"""Runs of notebooks as pictures, and an executed notebook as a page that opens without network: its plots are inside."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..client.runs import LEVELS
from ..client.tables import COLOURS, clock, escape, table
from ..decide.wording import line, span
from ..errors import BadInput, MissingTool, NotFound
from ..io.files import write_atomic
from ..model.schedule import RunState
from .figures import PLOTLY, laid_out, plotly

if TYPE_CHECKING:
    import pandas as pd

STYLES = ("default", "github-dark")
"""Pygments' names for the colours of code, by day and by night."""
SHORTEST, LISTED = 0.05, 30


def runs_figure(frame: pd.DataFrame) -> Any:
    """A plotly figure: a line for each schedule or notebook, on it its runs, in the colours of how they ended."""
    go = plotly()
    begun = frame[frame["started"].notna()]
    figure = go.Figure()
    for state, rows in _by_state(begun):
        figure.add_trace(
            go.Bar(
                name=state.value,
                y=[_name(row) for row in rows],
                base=[row["started"].to_pydatetime() for row in rows],
                x=[max(float(row["duration_s"] or 0), SHORTEST) * 1000 for row in rows],
                text=[f"run {row['id']}, {span(float(row['duration_s'] or 0))}" for row in rows],
                orientation="h",
                marker={"color": COLOURS[LEVELS[state]], "line": {"width": 1, "color": "white"}},
                hovertemplate="%{y}: %{text}, %{base|%Y-%m-%d %H:%M:%S} UTC<extra></extra>",
                textposition="none",
            )
        )
    figure.update_layout(barmode="overlay", xaxis={"type": "date"}, yaxis={"autorange": "reversed"})
    names = {_name(row) for _, row in begun.iterrows()}
    return laid_out(figure, "Notebooks: when they ran", rows=len(names), static=_listed(begun))


def history_figure(frame: pd.DataFrame) -> Any:
    """A plotly figure: how long each run took, one line for each schedule or notebook, failed ones marked."""
    go = plotly()
    begun = frame[frame["started"].notna() & frame["finished"].notna()]
    figure = go.Figure()
    for name in dict.fromkeys(_name(row) for _, row in begun.iterrows()):
        rows = [row for _, row in begun.iterrows() if _name(row) == name]
        states = [RunState(row["state"]) for row in rows]
        figure.add_trace(
            go.Scatter(
                name=name,
                x=[row["started"].to_pydatetime() for row in rows],
                y=[float(row["duration_s"]) for row in rows],
                mode="lines+markers",
                line={"width": 1, "color": "#999999"},
                marker={
                    "size": 9,
                    "color": [COLOURS[LEVELS[state]] for state in states],
                    "symbol": ["circle" if state is RunState.DONE else "x" for state in states],
                },
                text=[f"run {row['id']}, {state.value}" for row, state in zip(rows, states, strict=True)],
                hovertemplate="%{text}: %{y:.3g} s, %{x|%Y-%m-%d %H:%M:%S} UTC<extra>" + html.escape(name) + "</extra>",
            )
        )
    figure.update_layout(yaxis={"title": "seconds", "rangemode": "tozero"})
    return laid_out(figure, "Notebooks: how long they took; a cross did not end well", rows=6, static=_listed(begun))


def calendar_figure(frame: pd.DataFrame) -> Any:
    """A plotly figure: how many runs each day had, by how they ended. Raises `NotFound` when there is none."""
    go = plotly()
    if frame.empty:
        raise NotFound("there is no run yet, so there is nothing to plot", "qcity notebook run NOTEBOOK runs one")
    figure = go.Figure()
    for state, rows in _by_state(frame):
        days: dict[str, int] = {}
        for row in rows:
            day = f"{row['at']:%Y-%m-%d}"
            days[day] = days.get(day, 0) + 1
        figure.add_trace(go.Bar(name=state.value, x=list(days), y=list(days.values()), marker={"color": COLOURS[LEVELS[state]]}))
    figure.update_layout(barmode="stack", xaxis={"type": "category", "categoryorder": "category ascending"}, yaxis={"title": "runs"})
    static = table("", ("", "day", "runs"), [(trace.name, *pair) for trace in figure.data for pair in zip(trace.x, trace.y, strict=True)])
    return laid_out(figure, "Notebooks: runs of each day (UTC)", rows=5, static=static)


def notebook_report(notebook: Path, target: Path, *, title: str, facts: Sequence[tuple[str, object]]) -> Path:
    """Write a page of an executed notebook, whole or not at all; its path.

    Raises:
        MissingTool: nbconvert is not installed.
        BadInput: the notebook cannot be read.
    """
    try:
        import nbformat
        from nbconvert import HTMLExporter
        from pygments.formatters import HtmlFormatter
    except ModuleNotFoundError:
        raise MissingTool("nbconvert, which makes pages of notebooks, is not installed", 'pip install "qcity-nb[notebook]"') from None
    try:
        nb = nbformat.read(notebook, as_version=4)
    except (OSError, ValueError) as error:
        raise BadInput(f"{notebook} cannot be read: {error}", "Run it again") from None
    drawing = script() if _draw(nb) else ""
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(nb)
    light, dark = (HtmlFormatter(style=name).get_style_defs(".highlight") for name in STYLES)
    colours = f"{light}@media (prefers-color-scheme: dark) {{{dark}}}"
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts if value not in ("", None))
    write_atomic(target, page(title, f"<dl>{shown}</dl>{body}", head=drawing, style=colours), mode=0o644)
    return target


def page(title: str, body: str, *, head: str = "", style: str = "") -> str:
    """A whole page in the house's style; `head` and `style` go into its head."""
    css = style + resources.files(__package__).joinpath("notebook.css").read_text("utf-8")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style>{head}</head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def _draw(nb: Any) -> bool:
    """Put plots in the place of their data; whether there were any."""
    found = False
    for cell in nb.cells:
        for out in cell.get("outputs", ()):
            figure = (out.get("data") or {}).pop(PLOTLY, None)
            if figure is not None:
                from plotly.io import to_html

                given = json.loads(figure) if isinstance(figure, str) else figure
                plain = {"data": given.get("data"), "layout": given.get("layout")}
                out["data"]["text/html"] = to_html(plain, full_html=False, include_plotlyjs=False, validate=False)
                found = True
    return found


def script() -> str:
    """All of plotly's script, as an element."""
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


def _listed(frame: pd.DataFrame) -> str:
    """The newest runs as a table."""
    newest = [row for _, row in frame.tail(LISTED).iterrows()][::-1]
    rows = [(row["id"], _name(row), row["state"], clock(row["started"]), span(float(row["duration_s"] or 0))) for row in newest]
    return table("", ("run", "notebook", "is", "began (UTC)", "took"), rows)


def _name(row: Any) -> str:
    return line(str(row["schedule"] or Path(str(row["notebook"])).name), limit=40)


def _by_state(frame: pd.DataFrame) -> Iterator[tuple[RunState, list[Any]]]:
    for state in RunState:
        rows = [row for _, row in frame.iterrows() if row["state"] == state.value]
        if rows:
            yield state, rows
