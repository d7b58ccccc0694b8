"""The table of kinds: one line each, loaded at first use. A new kind is one file beside its siblings and one line here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A line of the table. `support`: 1 tested in CI, 2 tested by hand, 3 given by the community."""

    label: str
    path: str
    support: int = 1
    needs: str = ""


KINDS: dict[str, dict[str, Kind]] = {
    "runners": {
        "local": Kind(label="runs the workflows of a git repository on this machine", path="qcity_nb.kinds.runners.local:KIND", needs="act, git"),
        "command": Kind(label="keeps any long-lived agent running", path="qcity_nb.kinds.runners.command:KIND"),
    },
    "sandboxes": {
        "bubblewrap": Kind(label="own uid, namespaces, read-only system", path="qcity_nb.kinds.sandboxes.bubblewrap:KIND", needs="bwrap"),
        "ownuid": Kind(label="own uid and limits, for root without namespaces", path="qcity_nb.kinds.sandboxes.ownuid:KIND"),
        "bare": Kind(label="limits and a clean environment only", path="qcity_nb.kinds.sandboxes.bare:KIND"),
    },
}


def load(family: str, name: str) -> Any:
    """The kind's object, loaded now.

    Raises:
        BadInput: there is no such kind; the sentence lists those there are.
    """
    try:
        kind = KINDS[family][name]
    except KeyError:
        raise BadInput(f'there is no kind "{name}" of {family}', f"there are: {', '.join(KINDS.get(family, {}))}") from None
    module, _, attribute = kind.path.partition(":")
    return getattr(importlib.import_module(module), attribute)
