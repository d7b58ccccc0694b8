"""Vaults: a copy of the store is put off the machine while something changes, and once more when the engine ends; never within a tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..decide import vaults as rules
from ..errors import HomeError, StoreError
from ..io import vaultnotes
from ..model.vault import VaultAsk, VaultConfig
from ..store import commands
from ..store.database import VERSION
from .context import Context

LAST_SECONDS = 20.0
"""How long the end of an engine waits for its last copies."""


class Saver(Protocol):
    """Puts copies into vaults without anybody waiting for it; what came of it stands beside the home's other notes."""

    def begin(self, ask: VaultAsk) -> None:
        """Begin one; nothing while another one of the same vault is under way."""

    def close(self, asks: Sequence[VaultAsk], seconds: float) -> None:
        """Put the last ones and wait for them, for so long at most."""


class Vaults:
    """The part of the engine that carries its store off the machine.

    Args:
        context: the engine's hands and memory.
        saver: puts the copies; None where there are none.
    """

    def __init__(self, context: Context, saver: Saver | None) -> None:
        self._c, self._saver = context, saver
        self._marks: dict[str, tuple[int, int, int]] = {}

    def step(self) -> None:
        """Have a copy put where one is due. Raises `StoreError`."""
        known = added(self._c)
        if self._saver is None or not known:
            return
        mark = self._mark()
        for config in known:
            changed = self._marks.get(config.name) != mark
            if rules.due(config, vaultnotes.state(self._c.home, config.name), self._c.clock.wall(), changed=changed):
                self._marks[config.name] = mark
                self._saver.begin(self._ask(config))

    def close(self) -> None:
        """The last copies."""
        if self._saver is None:
            return
        asks: list[VaultAsk] = []
        try:
            mark = self._mark()
            asks = [self._ask(config) for config in added(self._c) if self._marks.get(config.name) != mark]
            asks = [ask for ask in asks if not vaultnotes.state(self._c.home, ask.config.name).superseded]
        except StoreError as error:  # what is under way is waited for all the same
            self._c.note = str(error)
        self._saver.close(asks, LAST_SECONDS)

    def _mark(self) -> tuple[int, int, int]:
        with self._c.store.read() as connection:
            return commands.mark(connection)

    def _ask(self, config: VaultConfig) -> VaultAsk:
        return VaultAsk(verb="save", config=config, home=str(self._c.home.root), generation=self._c.generation, schema=VERSION)


def added(context: Context) -> list[VaultConfig]:
    """The vaults of a home; a store on PostgreSQL needs none. A file of them that cannot be read is told where people look."""
    if not context.store.embedded:
        return []
    try:
        return list(vaultnotes.added(context.home).added.values())
    except HomeError:
        return []
