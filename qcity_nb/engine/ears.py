"""Hearing: what workers wrote down is read, and put into the store together with how far it was read. What it means is the listeners' business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy.engine import Connection

from ..decide import supervise
from ..decide.health import WEAKER
from ..model.wire import AgentFact, Fact, Hello, Trouble
from ..store import services as rows
from .context import Context
from .supervisor import Supervisor


class Listener(Protocol):
    """Knows what to do about some facts."""

    def take(self, connection: Connection, name: str, incarnation: int, fact: Fact) -> None:
        """Put one into the store; others' facts are left alone."""

    def heard(self, name: str, facts: Sequence[Fact]) -> None:
        """These of a service are in the store now."""


class Ears:
    """The part of the engine that hears.

    Args:
        context: the engine's hands and memory.
        supervisor: told that whoever speaks lives.
        listeners: told what was said.
    """

    def __init__(self, context: Context, supervisor: Supervisor, listeners: Sequence[Listener]) -> None:
        self._c, self._supervisor, self._listeners = context, supervisor, listeners

    def hear(self) -> None:
        """Read what the workers said and put it into the store, with how far it was read, in one transaction."""
        context = self._c
        self._hear_the_dead()  # first: a life that follows goes on from what the one before it said
        waits = {name for name, _ in context.unread}
        for name, row in list(context.services.items()):
            kind = context.kinds(row.spec.kind)
            if not kind.speaks or row.state.incarnation == 0 or name in waits:
                continue
            facts, offset = context.wire.receive(name, row.state.incarnation, row.offset)
            if offset == row.offset:
                continue

            def write(connection: Connection, row: rows.ServiceRow = row, facts: Sequence[Fact] = facts, offset: int = offset) -> None:
                self._take(connection, row.name, row.state.incarnation, facts)
                context.services[row.name] = rows.note(connection, context.services[row.name], offset=offset)

            before = dict(context.services)
            if not context.record(write):
                context.services.update(before)  # nothing was read: it will be read again
                continue
            heard = context.services[name]
            context.told += [fact for fact in facts if isinstance(fact, AgentFact)]  # `engine.agents` acts on them
            if kind.attended:
                continue
            self._supervisor.apply(name, supervise.proved(heard.state, heard.spec, context.clock.now()))  # whoever speaks, lives
            for listener in self._listeners:
                listener.heard(name, facts)

    def keep_unread(self, name: str) -> None:
        """An incarnation ended and the store could not take what it said: remember to read it later."""
        row = self._c.services.get(name)
        if row is not None and self._c.wire.receive(name, row.state.incarnation, row.offset)[1] != row.offset:
            self._c.unread[name, row.state.incarnation] = row.offset

    def _hear_the_dead(self) -> None:
        context = self._c
        for (name, incarnation), offset in list(context.unread.items()):
            facts, _ = context.wire.receive(name, incarnation, offset)

            def write(connection: Connection, name: str = name, incarnation: int = incarnation, facts: Sequence[Fact] = facts) -> None:
                if name in context.services:
                    self._take(connection, name, incarnation, facts)

            if not context.record(write):
                return
            del context.unread[name, incarnation]
            context.work_changed = True

    def _take(self, connection: Connection, name: str, incarnation: int, facts: Sequence[Fact]) -> None:
        context = self._c
        for fact in facts:
            row = context.services[name]
            if isinstance(fact, Hello):
                context.services[name] = rows.note(connection, row, sandbox=fact.sandbox, trouble=_told(row.trouble, WEAKER, fact.missing))
            elif isinstance(fact, Trouble):
                context.services[name] = rows.note(connection, row, trouble=_told(row.trouble, fact.about, fact.text))
            else:
                for listener in self._listeners:
                    listener.take(connection, name, incarnation, fact)


def _told(known: dict[str, str], about: str, text: str) -> dict[str, str]:
    """What is known to be wrong, with one more thing or one less."""
    rest = {key: value for key, value in known.items() if key != about}
    return {**rest, about: text} if text else rest
