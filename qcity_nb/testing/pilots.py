"""The pilot of one tunnel, in a simulated world: it counts addresses from where it was told, tells what follows them, and dies with its process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..model.tunnel import Binding, Followed, TunnelState, TunnelView
from ..model.wire import Fact, Follow, FollowerCard, Order, TunnelFollowed, TunnelMoved
from .machine import Machine

NAME = "port-8888"
PLAN = {"name": NAME, "port": 8888, "chain": ["ssh"], "options": {}}
"""What a person asks for; the simulated kind takes it as it is."""
FILES = Binding(root="/docs", patterns=("*.md",))
Key = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Address:
    """One that a pilot announced: what the oracles look at."""

    incarnation: int
    generation: int
    url: str
    at: datetime


class FakePilots:
    """All pilots that ever were.

    Args:
        machine: where their processes live.
        say: hands a fact of a pilot on.
    """

    def __init__(self, machine: Machine, say: Callable[[Key, Fact], None]) -> None:
        self._machine, self._say = machine, say
        self.addresses: list[Address] = []
        self._last: dict[Key, int] = {}
        self._cards: dict[Key, tuple[FollowerCard, ...]] = {}
        self.counts = True  # a planted bug sets this to False: it begins to count anew each time

    def obey(self, key: Key, order: Order) -> None:
        """The first word of the engine says where to go on counting; each says what follows."""
        if not isinstance(order, Follow):
            return
        fresh = [card for card in order.followers if card not in self._cards.get(key, ())]
        self._cards[key] = order.followers
        if key not in self._last:
            self._last[key] = order.generation if self.counts else 0
            self.move(key)
        else:
            self._tell(key, fresh)

    def move(self, key: Key) -> None:
        """Its provider died: another address, and everybody who follows is told."""
        if key not in self._last:
            return
        wall, generation = self._machine.clock.wall(), self._last[key] + 1
        self._last[key] = generation
        made = Address(incarnation=key[1], generation=generation, url=f"https://{key[1]}-{generation}.example", at=self._machine.clock.now())
        self.addresses.append(made)
        view = TunnelView(name=key[0], state=TunnelState.UP, since=wall, port=8888, url=made.url, provider="ssh", generation=generation, proved=wall)
        self._say(key, TunnelMoved(view=view, story="ssh leads here now"))
        self._tell(key, self._cards[key])

    def die(self, key: Key) -> None:
        """The pilot is gone; what it said stays in its file."""
        self._last.pop(key, None)
        self._cards.pop(key, None)

    def living(self) -> list[Key]:
        """Those that have an address."""
        return list(self._last)

    def _tell(self, key: Key, cards: tuple[FollowerCard, ...] | list[FollowerCard]) -> None:
        for card in cards:
            what = Followed(ok=True, text="1 link in 1 file changed", generation=self._last[key], changed=1, address=f"{self._last[key]}")
            self._say(key, TunnelFollowed(key=card.key, at=self._machine.clock.wall(), what=what))
