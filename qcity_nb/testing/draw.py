"""Draws the state diagram of services from the table in `decide.supervise`, and keeps the copy in the architecture notes current.

Run `python -m qcity_nb.testing.draw` to write it, with `--check` to be told whether it is current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..decide.supervise import NEXT

NOTES = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- drawn by qcity_nb.testing.draw -->", "<!-- end of drawing -->"


def diagram() -> str:
    """The state diagram as a Mermaid block, one arrow for each pair of phases, with all the reasons on it."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> stopped"]
    for phase, ways in NEXT.items():
        arrows: dict[str, list[str]] = {}
        for why, after in ways.items():
            arrows.setdefault(after.value, []).append(why)
        lines += [f"    {phase.value} --> {after}: {' / '.join(reasons)}" for after, reasons in arrows.items()]
    return "\n".join([*lines, "```"])


def redrawn(text: str) -> str:
    """The notes with a current drawing."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{diagram()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the drawing, or with `--check` return 1 when it is out of date."""
    text = NOTES.read_text(encoding="utf-8")
    if "--check" in arguments:
        return int(redrawn(text) != text)
    NOTES.write_text(redrawn(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
