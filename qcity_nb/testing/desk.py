"""The worker that runs notebooks, in a simulated world: it begins what it is told, ends it when its time has come, and dies with its process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from ..model.schedule import Live, RunState
from ..model.wire import CancelRun, Fact, Order, RunBegan, RunEnded, RunMoved, RunNotebook
from .machine import Machine

NAME = "notebooks"
Key = tuple[str, int]


@dataclass
class Execution:
    """One execution of a notebook: what the oracles look at. `state` is None when it died with its worker."""

    run: int
    attempt: int
    token: str
    began: datetime
    due: datetime
    over: datetime | None = None
    state: RunState | None = None


class FakeDesk:
    """All executions that ever were.

    Args:
        machine: where the worker's process lives.
        say: hands a fact of the worker on.
    """

    def __init__(self, machine: Machine, say: Callable[[Key, Fact], None]) -> None:
        self._machine, self._say = machine, say
        self.executions: list[Execution] = []
        self.seconds, self.fails = 3.0, 0.0
        self._chance = Random(1)
        self._known: dict[Key, set[str]] = defaultdict(set)
        self._running: dict[Key, dict[str, Execution]] = defaultdict(dict)

    def obey(self, key: Key, order: Order) -> None:
        """Begin a run, or end one: a cancellation that came first keeps it from beginning."""
        wall = self._machine.clock.wall()
        if isinstance(order, CancelRun):
            running = self._running[key].get(order.token)
            if running is not None:
                self._finish(key, running, RunState.CANCELLED, order.reason)
            elif order.token not in self._known[key]:
                self._known[key].add(order.token)
                self._say(key, RunEnded(token=order.token, at=wall, state=RunState.CANCELLED, reason=order.reason))
        elif isinstance(order, RunNotebook) and order.token not in self._known[key]:
            self._known[key].add(order.token)
            now = self._machine.clock.now()
            made = Execution(order.run, order.attempt, order.token, began=now, due=now + timedelta(seconds=self.seconds))
            self.executions.append(made)
            self._running[key][order.token] = made
            self._say(key, RunBegan(token=order.token, at=wall))
            self._say(key, RunMoved(token=order.token, live=Live(cell=1, cells=1, title="work", since=wall)))

    def work(self, key: Key) -> None:
        """End what is due."""
        for one in list(self._running[key].values()):
            if one.due <= self._machine.clock.now():
                self._finish(key, one, RunState.FAILED if self._chance.random() < self.fails else RunState.DONE, "")

    def die(self, key: Key) -> None:
        """The worker is gone, and what it ran with it."""
        for one in self._running.pop(key, {}).values():
            one.over = self._machine.clock.now()

    def due(self, key: Key) -> list[datetime]:
        """When what runs will be over."""
        return [one.due for one in self._running[key].values()]

    def running(self) -> list[Execution]:
        """What runs now."""
        return [one for one in self.executions if one.over is None]

    def _finish(self, key: Key, one: Execution, state: RunState, reason: str) -> None:
        del self._running[key][one.token]
        one.over, one.state = self._machine.clock.now(), state
        self._say(key, RunEnded(token=one.token, at=self._machine.clock.wall(), state=state, reason=reason))
