"""Where fallback pages are published: kinds of hosts for two small files, the page and the signed pointer beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from ...errors import BadInput
from ...model.tunnel import Page

COMMON = ("lease", "title", "pointer", "doh", "hosts", "contact", "redirect")
"""Options that every kind has: what the page says, not where it lies."""


@cache
def template() -> str:
    """The page's template."""
    return files(__package__).joinpath("page.html").read_text(encoding="utf-8")


def check_options(page: Page, known: Sequence[str]) -> None:
    """Raises `BadInput` for an option that this kind does not have."""
    if strange := sorted(set(page.options) - {*known, *COMMON}):
        raise BadInput(f'{page.kind} has no option "{strange[0]}"', f"There are: {', '.join(sorted({*known, *COMMON}))}")
