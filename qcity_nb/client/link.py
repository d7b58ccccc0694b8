"""The wire between a client and the engine: a command is a row, its answer is the same row later. Waits with a deadline and never in silence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from sqlalchemy.engine import Connection

from .. import errors
from ..errors import EngineError, QCityError, Refused
from ..io import spool
from ..store import commands
from ..store.database import Store
from .hosts import Host

ANSWER_SECONDS = 20.0
LOOK_AFTER_ENGINE = 0.5
_NAMES = ("BadInput", "BadConfig", "NotFound", "Refused", "MissingTool", "HomeError", "StoreError", "EngineError")
_KINDS = {name: getattr(errors, name) for name in _NAMES}


def now() -> datetime:
    """The wall clock, as people read it."""
    return datetime.now(timezone.utc)


class Link:
    """One client's connection to a place.

    Args:
        say: told every sentence that a person should know although nobody asked (an engine was replaced).
        actor: who asks; empty means this process's user.
    """

    def __init__(self, store: Store, host: Host, say: Callable[[str], None], *, actor: str = "") -> None:
        self.store, self.host, self.say, self.actor = store, host, say, actor
        self._looked = 0.0

    @property
    def place(self) -> str:
        """The home's own id; another one after a copy was restored."""
        return self.store.place

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view of the store."""
        with self.store.read() as connection:
            yield connection

    def ensure(self) -> None:
        """Start an engine if there is none, and say so if one had died."""
        if said := self.host.ensure():
            self.say(said)

    def ask(
        self, verb: str, subject: str = "", args: Mapping[str, object] | None = None, *, seconds: float = ANSWER_SECONDS, replace: bool = True
    ) -> dict[str, Any]:
        """Put a command and wait for its answer.

        Args:
            replace: start an engine where there is none; False for the command that ends it.

        Raises:
            QCityError: it was refused (as the class that the engine names), or nobody answered in time; then it stays asked.
        """
        if replace:
            self.ensure()
        with self.store.write() as connection:
            id_ = commands.ask(connection, self.place, verb, subject, args, at=now(), by=self.actor)
        spool.ring(self.store.home.doorbell)
        for _ in self.until(seconds, replace=replace):
            with self.read() as connection:
                command = commands.get(connection, id_)
            if command.status == "done":
                return command.result or {}
            if command.status == "refused":
                raise _refusal(verb, subject, command.result or {})
        raise EngineError(
            f'the engine has not answered "{f"{verb} {subject}".strip()}" for {seconds:.0f} s',
            "It stays asked; qcity engine status says how the engine is",
            permanent=False,
        )

    def until(self, seconds: float, *, replace: bool = True) -> Iterator[float]:
        """Turns of waiting: 5 ms at first, 50 ms later, until the time is over; gives the seconds since it began.

        A dead engine is replaced meanwhile, because nothing would ever come of waiting.
        """
        begin, pause = time.monotonic(), 0.005
        while (passed := time.monotonic() - begin) < seconds:
            yield passed
            if replace and time.monotonic() - self._looked > LOOK_AFTER_ENGINE:
                self._looked = time.monotonic()
                self.ensure()
            self.host.pump(min(pause, max(0.0, seconds - passed)))
            pause = min(pause * 1.5, 0.05)


def _refusal(verb: str, subject: str, result: Mapping[str, Any]) -> QCityError:
    kind = _KINDS.get(str(result.get("kind", "")), Refused)
    what = str(result.get("error") or f"{verb} {subject} was refused without a reason").strip().rstrip(".")
    error = kind(what, str(result.get("todo") or "").strip())
    assert isinstance(error, QCityError)
    return error
