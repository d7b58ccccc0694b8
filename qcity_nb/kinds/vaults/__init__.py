"""Vaults: a folder, a branch of a git remote, a dataset, a URL. A kind lists, gives, puts and drops files; what they mean is in `acts`.

Putting and restoring take seconds, so they are a process of their own (`python -m qcity_nb.kinds.vaults`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ...decide.vaults import NAME
from ...decide.wording import did_you_mean
from ...errors import BadInput
from ...model.home import Home
from ...model.vault import Listing, VaultConfig
from .. import KINDS, load

LEAVES = frozenset({"git", "dagshub", "huggingface", "fsspec"})
"""Kinds whose copies leave the machine and are always sealed."""


class Vault(Protocol):
    """Where copies are kept off the machine: named files, whole or absent. A call may raise `HomeError` or `PlatformError`."""

    def names(self) -> Listing:
        """What is there now, whoever put it there."""

    def get(self, name: str) -> bytes:
        """A file's content."""

    def put(self, name: str, data: bytes, *, drop: Sequence[str], seen: Listing) -> bool:
        """Put a file there and drop others; False, and nothing was done, when what is there is no longer what was `seen`, where a vault can tell."""


def open_vault(config: VaultConfig, *, home: Home) -> Vault:
    """The vault that a configuration means.

    Raises:
        BadInput: there is no such kind, or its target or options cannot work.
    """
    if not NAME.fullmatch(config.name):
        raise BadInput(f'a vault cannot be called "{config.name}"', "Use letters, digits, dots, dashes and underscores, 40 at most")
    if config.kind not in KINDS["vaults"]:
        raise BadInput(f'there is no kind "{config.kind}" of vaults', did_you_mean(config.kind, KINDS["vaults"], what="kind"))
    vault: Vault = load("vaults", config.kind).open(config, home=home)
    return vault


def known_options(config: VaultConfig, known: Iterable[str]) -> None:
    """See to it that a vault has no option that its kind does not know.

    Raises:
        BadInput: it has one.
    """
    for name in config.options:
        if name not in known:
            todo = did_you_mean(name, sorted(known), what="option", none=f"Vaults of the kind {config.kind} have none")
            raise BadInput(f'vaults of the kind {config.kind} have no option "{name}"', todo)
