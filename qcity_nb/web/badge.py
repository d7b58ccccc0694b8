"""The status badge: one small picture with words, so that its colour is never alone. Nothing of it says a name."""

from __future__ import annotations

from ..client.tables import escape
from ..client.view import View
from ..decide.health import Level

FILLS = {
    Level.BAD: "#a84800",
    Level.STALE: "#5f6670",
    Level.REPAIRING: "#93436f",
    Level.WARN: "#7d5600",
    Level.OFF: "#5f6670",
    Level.WELL: "#00694c",
}
"""The hues of the board, dark enough for white text."""
NARROW, WIDE = frozenset("ijlrtfI1.,:;|!'() "), frozenset("mwMW@%")
LABEL = "qcity"


def words(view: View | None) -> tuple[Level, str]:
    """How it all is, in as few words as a badge holds."""
    if view is None:
        return Level.STALE, "unknown"
    level, wanted = view.headline.level, [one for one in view.runners.values() if one.condition.level is not Level.OFF]
    up = sum(one.condition.level in (Level.WELL, Level.WARN) for one in wanted)
    return level, f"{level.value}, {up} of {len(wanted)} up" if wanted and level is not Level.STALE else level.value


def svg(level: Level, text: str) -> str:
    """The picture."""
    said = f"{level.glyph} {text}"
    left, right = width(LABEL), width(said)
    alt, total = escape(f"{LABEL}: {text}"), left + right
    size = f'width="{total}" height="20" viewBox="0 0 {total} 20"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{alt}"><title>{alt}</title>'
    dark = f'<path d="M3 0h{left - 3}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#2f343b"/>'
    back = f'<rect width="{total}" height="20" rx="3" fill="{FILLS[level]}"/>{dark}'
    lines = "".join(
        f'<text x="{begin + 6}" y="14" textLength="{wide - 12}" lengthAdjust="spacingAndGlyphs">{escape(one)}</text>'
        for begin, wide, one in ((0, left, LABEL), (left, right, said))
    )
    return f'{head}{back}<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{lines}</g></svg>'


def width(text: str) -> int:
    """How many pixels a text takes, with room on both sides; the picture stretches what is not quite so."""
    return 12 + round(sum(3.9 if one in NARROW else 10.2 if one in WIDE else 6.9 for one in text))
