"""The board as HTML that needs nothing: no script, no `<style>`, no SVG, so that an untrusted notebook, an export and GitHub show it, too.

It stands beside the live view, and collapses into one line as soon as that has said that it is there.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ..client.board import Board
from ..client.tables import COLOURS, Html, clock, escape, table
from ..decide import board as decide
from ..decide.health import Level
from ..decide.wording import count, since

LEVELS = {level.name.lower(): level for level in Level}
HEIGHTS = {decide.NONE: 1, decide.DOWN: 4, decide.PARTLY: 9, decide.UP: 14}
FILLS = {decide.NONE: "#b9bec6", decide.DOWN: COLOURS[Level.BAD], decide.PARTLY: COLOURS[Level.WARN], decide.UP: COLOURS[Level.WELL]}
FEW, MOST, BADLY = 8, 40, 4
"""With more runners than these the well ones are one line, or not all shown; a row's `rank` below this needs somebody."""


def page(board: Board, *, note: str = "") -> str:
    """The whole picture.

    Args:
        note: a sentence below it, as what to install.
    """
    head = board.head
    parts = [f'<div style="font-weight:600;font-size:115%">{_mark(head)} {escape(head["text"])}</div>']
    if head["todo"]:
        parts.append(f"<div>next: {escape(head['todo'])}</div>")
    parts += [f"<div>{_mark(one)} {escape(one['text'])}</div>" for one in head["about"]]
    figures = " &nbsp;·&nbsp; ".join(f"{escape(name)} <b>{escape(value)}</b>" for name, value in head["figures"])
    parts += [f'<div style="margin:4px 0">{figures}</div>', _platforms(board), _runners(board), _incidents(board), _tunnels(board)]
    parts.append(f'<div style="opacity:0.7">{clock(_moment(board.at))} UTC. {escape(head["engine"])}</div>')
    if note:
        parts.append(f"<div>{escape(note)}</div>")
    return "".join(part for part in parts if part)


def collapsed(board: Board) -> str:
    """The same, folded into a line that says the headline and its age."""
    summary = f"{board.head['glyph']} {escape(board.head['text'])} (static copy of {clock(_moment(board.at))} UTC)"
    return f'<details><summary style="opacity:0.7">{summary}</summary>{page(board)}</details>'


def _runners(board: Board) -> str:
    rows = sorted(board.tables["runners"].items(), key=lambda pair: (pair[1]["rank"], pair[0]))
    first = [pair for pair in rows if pair[1]["rank"] < 6]
    rest = rows[len(first) :]
    shown = (first + rest if len(rows) <= FEW else first)[:MOST]
    lines = [
        (name, _word(row), Html(_beats(board.beats[name])), _close(row["day"]), _close(" / ".join(row["wait"])), _told(board, name, row))
        for name, row in shown
    ]
    drawn = table("", ("runner", "is", "last hour", "24 h", "jobs wait, p50 / p95", ""), lines, empty="")
    left = rows[len(shown) :] if len(shown) == len(first) else []
    well, off = sum(row["rank"] == 6 for _, row in left), sum(row["rank"] == 7 for _, row in left)
    more = [f"{count(well, 'more runner')} well" if well else "", f"{off} stopped or standing by" if off else ""]
    hidden = len(first) - len(shown)
    more.append(f"{hidden} more" if hidden > 0 else "")
    words = ", ".join(word for word in more if word)
    folded = "".join(f"<div>{_mark(row)} {escape(name)} {escape(row['text'])}</div>" for name, row in left)
    return (drawn if lines else "") + (f"<details><summary>{words}</summary>{folded}</details>" if words else "")


def _told(board: Board, name: str, row: dict[str, Any]) -> str:
    at = _moment(board.at)
    if row["flaps"]:
        return f"{row['text']}, flapping {row['flaps']} %"
    if row["job"]:
        return f"job {row['job']}, begun {since(_moment(row['begun']), at)}"
    seen = board.seen[name]
    return f"{row['text']}, seen {since(_moment(seen), at)}" if row["rank"] < BADLY and seen else str(row["text"])


def _beats(beats: bytes) -> str:
    """Boxes with runs of one kind put together: sixty boxes for each runner would be most of the page."""
    boxes, begin = [], 0
    for end in range(1, len(beats) + 1):
        if end == len(beats) or beats[end] != beats[begin]:
            style = f"display:inline-block;width:{2 * (end - begin)}px;height:{HEIGHTS[beats[begin]]}px;background:{FILLS[beats[begin]]}"
            boxes.append(f'<span style="{style}"></span>')
            begin = end
    counts = [beats.count(kind) for kind in (decide.UP, decide.PARTLY, decide.DOWN, decide.NONE)]
    words = f"{counts[0]} min up, {counts[1]} partly, {counts[2]} down, {counts[3]} not watched"
    return f'<span title="{words}" style="white-space:nowrap">{"".join(boxes)}</span>'


def _incidents(board: Board) -> str:
    rows = sorted(board.tables["incidents"].items(), key=lambda pair: -int(pair[0]))[:5]
    at = _moment(board.at)
    lines = [(_word(row), row["title"], row["cause"], row["done"], row["proof"], since(_moment(row["begun"]), at)) for _, row in rows]
    return table("Incidents", ("is", "what", "cause", "done", "proof", "began"), lines) if lines else ""


def _tunnels(board: Board) -> str:
    lines = [(row["name"], Html(f"{_mark(row)} {escape(row['text'])}"), row["url"]) for row in board.tables["tunnels"].values()]
    return table("Tunnels", ("tunnel", "is", "address"), lines) if lines else ""


def _platforms(board: Board) -> str:
    """What platforms say of themselves, in one line; what is not fine in words."""
    rows = board.tables["platforms"].values()
    said = [f"{_mark(row)} {escape(row['name'])} {escape(row['word'] if row['word'] == 'fine' else row['text'])}" for row in rows]
    return f'<div style="margin:4px 0">{" &nbsp;·&nbsp; ".join(said)}</div>' if said else ""


def _mark(row: dict[str, Any]) -> str:
    return f'<span style="color:{COLOURS[LEVELS[row["level"]]]}">{row["glyph"]}</span>'


def _close(text: str) -> Html:
    """A figure that is never broken into two lines."""
    return Html(escape(text).replace(" ", "&nbsp;"))


def _word(row: dict[str, Any]) -> Html:
    return Html(f"{_mark(row)}&nbsp;{escape(row['word'])}")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
