"""Carries questions to a lease store, one at a time, in a thread of its own: a store may take its whole timeout to answer, a tick may not."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from ..decide.tenure import Ask, Swap
from ..errors import LeaseError, QCityError
from ..model.fleet import Stored
from ..ports import LeaseStore


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a store said: a record (`stored`), a swap's new version, or why nobody knows (`trouble`)."""

    ask: Ask
    stored: Stored | None = None
    version: str | None = None
    trouble: str = ""


class Courier:
    """One claim's way to its store.

    Args:
        open_: opens the store; called in the thread.
        wake: called when an answer is there.
    """

    def __init__(self, open_: Callable[[], LeaseStore], wake: Callable[[], object]) -> None:
        self._open, self._wake = open_, wake
        self._asks: queue.SimpleQueue[Ask | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, name="qcity-lease", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs; one that was given up may hang in a call for as long as its store likes."""
        return self._thread.is_alive()

    def ask(self, ask: Ask) -> None:
        """Ask; the answer comes later."""
        self._asks.put(ask)

    def answers(self) -> list[Answer]:
        """What has come since the last call."""
        found = []
        while not self._answers.empty():
            found.append(self._answers.get())
        return found

    def close(self) -> None:
        """End after what is under way; its answer is heard by nobody."""
        self._asks.put(None)

    def _live(self) -> None:
        store: LeaseStore | None = None
        while (ask := self._asks.get()) is not None:
            try:
                store = store or self._open()
                answer = _answer(store, ask)
            except QCityError as error:
                answer = Answer(ask=ask, trouble=error.what)
            except Exception as error:  # noqa: BLE001  # a kind's own fault is no verdict either: recorded, and the claim lapses
                traceback.print_exc()
                answer = Answer(ask=ask, trouble=f"the lease store failed: {error!r}")
            self._answers.put(answer)
            self._wake()
        if store is not None:
            try:
                store.close()
            except LeaseError:
                return


def _answer(store: LeaseStore, ask: Ask) -> Answer:
    if isinstance(ask, Swap):
        return Answer(ask=ask, version=store.swap(ask.expected, ask.record))
    return Answer(ask=ask, stored=store.read())
