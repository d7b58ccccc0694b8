"""The documented JSON shape of platforms; `schema.json` describes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..decide.health import Condition
from ..store.platforms import PlatformRow
from .shapes import moment

Shape = dict[str, Any]


def platforms(known: Iterable[tuple[PlatformRow, Condition]]) -> Shape:
    """`qcity platform list --json`."""
    return {
        "platforms": [
            {
                "name": row.name,
                "title": row.feed.title,
                "level": one.level.value,
                "sentence": one.text,
                "says": row.view.says.value,
                "text": row.view.text,
                "heard": moment(row.view.heard),
                "asked": moment(row.view.asked),
                "trouble": row.view.trouble,
                "page": row.feed.page,
            }
            for row, one in known
        ]
    }
