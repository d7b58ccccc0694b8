"""Taking secrets out of text before anybody stores or shows it. Known shapes only; a token without a shape has to be known by its value."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"

_SHAPES = re.compile(
    r"""
      gh[pousr]_[A-Za-z0-9._-]{20,}        # GitHub, the long 2026 form of ghs_ included
    | github_pat_[A-Za-z0-9_]{20,}
    | gl(?:pat|rt|dt|cbt|ptt|ft|soat|oas|agent|imt)-[A-Za-z0-9._-]{16,}
    | hf_[A-Za-z0-9]{20,}
    | (?:AKIA|ASIA)[A-Z0-9]{16}
    | xox[abprs]-[A-Za-z0-9-]{10,}
    | sk-[A-Za-z0-9_-]{20,}
    | npm_[A-Za-z0-9]{30,}
    | pypi-[A-Za-z0-9_-]{40,}
    | eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}   # a JSON web token
    | -----BEGIN[A-Z ]*PRIVATE\ KEY-----(?:.|\n)*?(?:-----END[A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE,
)
_NAMED = re.compile(
    r"(?i)\b((?:authorization:\s*(?:bearer|basic|token)\s+)|(?:[a-z_]*(?:token|secret|password|passwd|api_?key)\s*[=:]\s*))"
    r"(?!\*\*\*)[^\s'\"&]{4,}"
)
_IN_URL = re.compile(r"(?<=://)([^/\s:@]+):([^/\s@]+)@")


def redact(text: str, known: Iterable[str] = ()) -> str:
    """The text with every secret masked.

    Args:
        known: secret values; the longest is masked first, so that no tail of it remains.
    """
    for value in sorted(known, key=len, reverse=True):
        if len(value) >= 4:
            text = text.replace(value, MASK)
    text = _SHAPES.sub(MASK, text)
    text = _NAMED.sub(lambda found: found.group(1) + MASK, text)
    return _IN_URL.sub(rf"\1:{MASK}@", text)
