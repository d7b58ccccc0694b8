"""The documented JSON shapes of vaults; `schema.json` describes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..decide.health import Condition
from ..model.vault import Copy
from .shapes import moment

if TYPE_CHECKING:
    from .vaults import Vault

Shape = dict[str, Any]


def vaults(known: Iterable[Vault], how: Condition | None) -> Shape:
    """`qcity vault list --json`."""
    return {
        "level": how.level.value if how is not None else "off",
        "sentence": how.text if how is not None else "",
        "vaults": [
            {
                "name": one.config.name,
                "kind": one.config.kind,
                "target": one.config.target,
                "options": dict(one.config.options),
                "sealed": one.config.sealed,
                "keep": one.config.keep,
                "every_s": one.config.every.total_seconds(),
                "saved": moment(one.state.saved),
                "size": one.state.size,
                "error": one.state.error,
                "superseded": one.state.superseded,
            }
            for one in known
        ],
    }


def copies(name: str, found: Iterable[Copy], mine: Sequence[str]) -> Shape:
    """`qcity vault copies NAME --json`."""
    return {"name": name, "copies": [{"number": copy.number, "at": moment(copy.at), "file": copy.name, "mine": copy.name in mine} for copy in found]}
