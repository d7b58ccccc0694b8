"""What can be known of a notebook before it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterable

MOST = 40


def imports(cells: Iterable[str]) -> list[str]:
    """The modules that a notebook's cells import at their top level: dotted names whole, each once, in order; what is no Python has none.

    Args:
        cells: the sources of its code cells; lines of magics and shell commands are left out.
    """
    found: dict[str, None] = {}
    for cell in cells:
        lines = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in cell.splitlines()]
        try:
            tree = ast.parse("\n".join(lines))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in tree.body:
            if isinstance(node, ast.Import):
                found |= dict.fromkeys(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module] = None
    return list(found)[:MOST]
