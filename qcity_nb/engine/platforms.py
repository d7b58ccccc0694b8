"""Platforms that somebody wants to know about: each is asked once a minute, never within a tick, and what it says is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import msgspec

from ..decide import platforms as rules
from ..decide.wording import did_you_mean
from ..errors import BadInput, NotFound
from ..model.platform import Feed, PlatformView
from ..store import platforms as rows
from .context import Context, Verb, check_name


class Reader(Protocol):
    """Asks without anybody waiting for it."""

    def begin(self, name: str, feed: Feed) -> None:
        """Ask; nothing while this one is being asked."""

    def answers(self) -> list[tuple[str, str, int, bytes]]:
        """What has come since the last call: name, address, the status of HTTP and the body; 0 and why, when nobody answered."""


class Platforms:
    """The part of the engine that knows how platforms say they are.

    Args:
        context: the engine's hands and memory.
        reader: asks them; None where nobody is to be asked.
    """

    def __init__(self, context: Context, reader: Reader | None) -> None:
        self._c, self._reader = context, reader
        self._rows: dict[str, rows.PlatformRow] | None = None
        self.verbs: Mapping[str, Verb] = {"platform.watch": self._watch, "platform.drop": self._drop}

    def step(self) -> None:
        """Hear what was answered, and ask whom it is time to ask. Raises `StoreError`."""
        if self._reader is None:
            return
        known, now = self._known(), self._c.clock.wall()
        for name, url, status, body in self._reader.answers():
            if (row := known.get(name)) is not None and row.feed.url == url:  # it may have been asked before it was dropped or changed
                self._put(row.name, row.feed, rules.heard(row.feed, status, body, row.view, now))
        for row in known.values():
            if rules.due(row.view, now):
                self._reader.begin(row.name, row.feed)

    def _known(self) -> dict[str, rows.PlatformRow]:
        """Read once, kept afterwards: while the store takes nothing each is asked once a minute all the same. Raises `StoreError`."""
        if self._rows is None:
            with self._c.store.read() as connection:
                self._rows = {row.name: row for row in rows.all_of(connection, self._c.store.place)}
        return self._rows

    def _watch(self, name: str, args: Mapping[str, object]) -> dict[str, object]:
        """Ask a platform from now on; the same one again is asked at once, and what it said before stands until it answers."""
        check_name(name, what="platform")
        feed = msgspec.convert(args["feed"], Feed, strict=False) if args.get("feed") else rules.FEEDS.get(name)
        if feed is None:
            raise BadInput(f'no platform "{name}" is known', did_you_mean(name, sorted(rules.FEEDS), what="platform"))
        old = self._known().get(name)
        self._put(name, feed, replace(old.view, asked=None) if old is not None and old.feed == feed else PlatformView())
        return {"name": name}

    def _drop(self, name: str, _args: Mapping[str, object]) -> dict[str, object]:
        known = self._known()
        if name not in known:
            raise NotFound(f'no platform "{name}" is watched', did_you_mean(name, sorted(known), what="platform"))
        self._c.record(lambda connection: rows.drop(connection, self._c.store.place, name))
        del known[name]
        return {"name": name}

    def _put(self, name: str, feed: Feed, view: PlatformView) -> None:
        self._c.record(lambda connection: rows.put(connection, self._c.store.place, name, feed, view))
        self._known()[name] = rows.PlatformRow(name=name, feed=feed, view=view)
