"""The engine's part alone: a clock that obeys, a reader that only remembers, a store that may take nothing."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from qcity_nb.engine.platforms import Platforms
from qcity_nb.errors import BadInput
from qcity_nb.model.platform import Says
from qcity_nb.store import platforms as rows
from qcity_nb.store.database import prepare

FINE = b'{"status":{"indicator":"none","description":"All well"},"components":[]}'
MINUTE = timedelta(minutes=1)


class Asked:
    """Who is asked, in order; `say` is what comes of it."""

    def __init__(self) -> None:
        self.names, self._said = [], []

    def begin(self, name, feed):
        self.names.append(name)

    def answers(self):
        said, self._said = self._said, []
        return said

    def say(self, name, body, *, url):
        self._said.append((name, url, 200, body))


@pytest.fixture
def engine(home):
    """The part, with `full`: whether the store takes nothing; `pass_` lets time go by."""
    store, _ = prepare(home)
    part = SimpleNamespace(full=False, at=datetime(2026, 3, 1, tzinfo=timezone.utc), reader=Asked(), store=store)

    def record(write):
        if part.full:
            return False
        with store.write() as connection:
            write(connection)
        return True

    part.platforms = Platforms(SimpleNamespace(store=store, clock=SimpleNamespace(wall=lambda: part.at), record=record), part.reader)
    part.watch = lambda name, feed=None: part.platforms.verbs["platform.watch"](name, {"feed": feed} if feed else {})
    with closing(store):
        yield part


def kept(engine):
    with engine.store.read() as connection:
        return {row.name: row.view for row in rows.all_of(connection, engine.store.place)}


def url(engine, name):
    with engine.store.read() as connection:
        return next(row.feed.url for row in rows.all_of(connection, engine.store.place) if row.name == name)


def test_each_is_asked_once_a_minute_also_while_the_store_takes_nothing(engine):
    """Two answers on a full disk: what was heard is remembered, nobody is asked without a rest, and the store has it when there is room."""
    for name in ("vercel", "ngrok"):
        engine.watch(name)
    engine.platforms.step()
    assert engine.reader.names == ["vercel", "ngrok"]
    engine.full = True
    for name in ("vercel", "ngrok"):
        engine.reader.say(name, FINE, url=url(engine, name))
    for _ in range(5):
        engine.platforms.step()
        engine.at += MINUTE / 10
    assert engine.reader.names == ["vercel", "ngrok"]
    assert kept(engine)["vercel"].says is Says.UNKNOWN
    engine.full, engine.at = False, engine.at + MINUTE
    engine.platforms.step()
    assert engine.reader.names == ["vercel", "ngrok"] * 2
    engine.reader.say("vercel", FINE, url=url(engine, "vercel"))
    engine.platforms.step()
    assert kept(engine)["vercel"].says is Says.FINE


def test_the_cell_that_is_run_again_asks_at_once_and_what_was_said_stands_meanwhile(engine):
    engine.watch("vercel")
    engine.reader.say("vercel", FINE, url=url(engine, "vercel"))
    engine.platforms.step()
    engine.reader.names.clear()
    engine.watch("vercel")
    assert kept(engine)["vercel"].says is Says.FINE
    engine.platforms.step()
    assert engine.reader.names == ["vercel"]
    engine.watch("vercel", {"title": "Other", "url": "https://other.example", "family": "statuspage"})
    assert kept(engine)["vercel"].says is Says.UNKNOWN


def test_an_answer_of_another_address_or_of_what_was_dropped_is_none(engine):
    engine.watch("vercel")
    engine.reader.say("vercel", FINE, url="https://before.example")
    engine.platforms.step()
    assert kept(engine)["vercel"].heard is None
    where = url(engine, "vercel")
    engine.platforms.verbs["platform.drop"]("vercel", {})
    engine.reader.say("vercel", FINE, url=where)
    engine.platforms.step()
    assert kept(engine) == {}


def test_what_cannot_be_meant_changes_nothing(engine):
    with pytest.raises(BadInput, match='no platform "gihub"'):
        engine.watch("gihub")
    assert kept(engine) == {}
