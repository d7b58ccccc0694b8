"""What executes a notebook elsewhere, for an attempt that does all else here: a cluster or a place, opened when it is first needed."""

from __future__ import annotations

import contextlib
import threading
from typing import Protocol

from ...decide.executors import parse
from ...errors import EngineError, QCityError
from ...model.home import Home
from .. import load
from .control import Control
from .far import Bundle, Result


class Lost(EngineError):
    """Whatever executed the notebook died, or cannot be heard of any more: the ledger plans the run again."""


class Executor(Protocol):
    """Executes notebooks elsewhere, several at once, each called in a thread of its own."""

    @property
    def room(self) -> int:
        """How many runs it takes at once; known better once it has been reached. Asked often: it waits for nothing."""

    def run(self, bundle: Bundle, control: Control) -> Result:
        """Have it executed, and follow it; `control` may end it at any time.

        Raises:
            Lost: what executed it is gone.
            QCityError: it was not executed; the sentence says why.
        """

    def close(self) -> None:
        """Let go of it, soon."""


class Executors:
    """The executors of a worker, by their names.

    Args:
        home: where places are noted.
    """

    def __init__(self, home: Home) -> None:
        self._home, self._lock = home, threading.Lock()
        self._known: dict[str, Executor] = {}

    def of(self, name: str) -> Executor:
        """The one of this name. Raises `BadInput` when there can be none."""
        with self._lock:
            if name not in self._known:
                self._known[name] = self._open(name)
            return self._known[name]

    def room(self, name: str) -> int:
        """How many runs this one takes at once; one that cannot be opened takes one, which says why."""
        try:
            return self.of(name).room
        except QCityError:
            return 1

    def close(self) -> None:
        """Let go of all."""
        for one in self._known.values():
            with contextlib.suppress(Exception):  # whatever is wrong with it, it ends with us at the latest
                one.close()

    def _open(self, name: str) -> Executor:
        found = parse(name)
        made: Executor = load("executors", found.where.value)(found.at, home=self._home)
        return made
