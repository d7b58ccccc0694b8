"""An address that somebody else gives: nothing is started for it, and it is proved in a way of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ...errors import TunnelError
from ...model.tunnel import Reach

Proof = Callable[[Callable[[str], str], float], float]


class Given:
    """An address that stays until it is not proved any more.

    Args:
        prove: how it is proved; takes what our door would answer, and seconds. Gives seconds, raises `TunnelError`.
    """

    binary = ""
    headers: Mapping[str, str] = {}

    def __init__(self, url: str, *, reach: Reach, every: float, prove: Proof) -> None:
        self.url, self.reach, self.every, self.prove = url, reach, every, prove

    async def lost(self) -> TunnelError:
        """Nobody says so: only its proofs do."""
        await asyncio.Event().wait()
        raise AssertionError

    async def unwell(self) -> TunnelError | None:
        """Nobody says so."""
        return None

    async def close(self) -> None:
        """Nothing of ours is there."""
