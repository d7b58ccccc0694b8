"""Vaults: where copies of a home's store are kept off the machine, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

EVERY = timedelta(minutes=1)
"""How often a copy is put while something changed; kinds that take fewer say so."""


@dataclass(frozen=True, kw_only=True)
class VaultConfig:
    """A vault that a person added. `sealed`: its copies are encrypted; what leaves the machine always is."""

    name: str
    kind: str
    target: str
    options: Mapping[str, str] = field(default_factory=dict)
    sealed: bool = False
    keep: int = 5
    every: timedelta = EVERY
    limit: int = 256_000_000  # bytes of one copy


@dataclass(frozen=True, kw_only=True, order=True)
class Copy:
    """One copy, as its name says: of which engine's generation, which one of it, when."""

    generation: int
    counter: int
    at: datetime
    name: str

    @property
    def number(self) -> str:
        """What people call it."""
        return f"{self.generation}.{self.counter}"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a vault holds, and the version of that which a change has to expect (empty where a vault knows none)."""

    names: tuple[str, ...]
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class VaultState:
    """What a home knows of a vault. `mine` are the last copies that it put there or took from there, the newest last."""

    mine: tuple[str, ...] = ()
    saved: datetime | None = None  # when a copy was put there last
    size: int | None = None
    tried: datetime | None = None
    error: str = ""  # why the last try failed; empty when it did not
    todo: str = ""
    failing: datetime | None = None  # since when
    superseded: bool = False  # another home has gone on from a copy of this one


@dataclass(frozen=True, kw_only=True)
class VaultNotes:
    """What `vaults.json` holds."""

    added: dict[str, VaultConfig] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VaultAsk:
    """What is asked of a vault: `verb` is save, copies or restore.

    `generation` is of the home's last engine, 0 when there was none. `which` is the copy to restore, empty for the newest; `force` puts one
    although the vault holds a newer one of another home, or restores one that is older than what is here.
    """

    verb: str
    config: VaultConfig
    home: str
    generation: int = 0
    schema: str = ""
    which: str = ""
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class VaultAnswer:
    """What came of it: the copies there are or the one that was meant, or an error by the name of its class. `aside`: where the old store went."""

    copies: tuple[Copy, ...] = ()
    aside: str = ""
    error: str = ""
    what: str = ""
    todo: str = ""
