"""How collections and single things show themselves: plain text, an HTML table that survives a notebook's sanitizer, a pandas frame.

Only inline styles, no script, no `<style>`, no SVG: Jupyter strips those from notebooks that it does not trust. Everything from outside is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..decide.health import Level
from ..decide.wording import visible

if TYPE_CHECKING:
    import pandas as pd

COLOURS = {
    Level.BAD: "#d55e00",
    Level.STALE: "#808080",
    Level.REPAIRING: "#cc79a7",
    Level.WARN: "#e69f00",
    Level.OFF: "#808080",
    Level.WELL: "#009e73",
}
"""Okabe and Ito's colours: they stay apart for every kind of colour vision. A glyph and a word always stand beside them."""

_CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"

DTYPES = {"text": "object", "moment": "datetime64[us, UTC]", "number": "Float64", "whole": "Int64", "flag": "boolean"}
"""What the columns of a frame may be. All can hold a missing value, so that an empty frame and a full one have the same types."""


def escape(text: object) -> str:
    """Text from outside for a page: control characters visible, HTML escaped."""
    return html.escape(visible(str(text)))


def mark(level: Level, word: str) -> str:
    """A coloured glyph and its word."""
    return f'<span style="color:{COLOURS[level]}">{level.glyph}</span>&nbsp;{escape(word)}'


class Html(str):
    """A cell that is HTML already."""

    __slots__ = ()


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "none") -> str:
    """An HTML table. Cells are escaped unless they are `Html`."""
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    caption = f'<div style="font-weight:600;margin:4px 0">{escape(title)}</div>' if title else ""
    if not body:
        return f'{caption}<div style="opacity:0.7">{escape(empty)}</div>'
    top = "".join(f'<th style="{_CELL};font-weight:600;border-bottom:1px solid #999">{escape(name)}</th>' for name in head)
    return f'{caption}<table style="border-collapse:collapse"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> str:
    """An HTML table of names and values; empty values are left out."""
    rows = [(Html(f'<span style="opacity:0.7">{escape(name)}</span>'), value) for name, value in pairs if value not in ("", None)]
    return table(title, ("", ""), rows)


def frame(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A pandas frame with these columns (name -> one of `DTYPES`) and nothing else, the same types whether or not there are rows."""
    import pandas as pd

    listed = list(rows)
    return pd.DataFrame({name: pd.Series([row[name] for row in listed], dtype=DTYPES[kind]) for name, kind in columns.items()})


def clock(moment: datetime | None) -> str:
    """A moment as people read it, UTC."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


class Shown:
    """What shows itself in a cell: `_html()` for notebooks, `repr()` for everything else."""

    def _html(self) -> str:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self._html()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}


def _cell(cell: object) -> str:
    return f'<td style="{_CELL}">{cell if isinstance(cell, Html) else escape("" if cell is None else cell)}</td>'
