"""The patterns of workflow triggers, by GitHub's rules: `*` stops at a slash, `**` does not, `?` and `+` repeat what is before them, `!` takes back.

Source: https://docs.github.com/actions/reference/workflow-syntax-for-github-actions#filter-pattern-cheat-sheet
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence


@functools.lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression for the whole text. Raises `re.error` when it is broken."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        one = pattern[at]
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            parts.append("(?:.*/)?")
            at += 3
            continue
        if pattern.startswith("**", at):
            parts.append(".*")
            at += 2
            continue
        if one == "[":
            end = pattern.find("]", at + 1)
            if end > 0:
                inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
                parts.append(f"[{inside}]")
                at = end + 1
                continue
        if one == "\\" and at + 1 < len(pattern):
            at += 1
            parts.append(re.escape(pattern[at]))
        elif one == "*":
            parts.append("[^/]*")
        elif one in "?+" and parts:
            parts[-1] = f"(?:{parts[-1]}){one}"
        else:
            parts.append(re.escape(one))
        at += 1
    return re.compile("".join(parts), re.DOTALL)


def selects(patterns: Sequence[str], text: str) -> bool:
    """Whether the patterns, read in order, leave `text` selected; a later `!pattern` takes it back."""
    chosen = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if compiled(pattern[1:] if negated else pattern).fullmatch(text):
            chosen = not negated
    return chosen
