"""Pull and merge requests that follow a tunnel, and those a person asks for: nobody is held up, what failed is tried again, all of it is said."""

from __future__ import annotations

import importlib.util
import json
import threading
from pathlib import Path

import jsonschema
import pytest

from qcity_nb import cli
from qcity_nb.client import shapes
from qcity_nb.errors import NotFound
from qcity_nb.io import secrets
from qcity_nb.kinds.tunnels import followers
from qcity_nb.model.tunnel import Binding, Issued
from qcity_nb.model.wire import Follow, FollowerCard
from qcity_nb.store import tunnels
from qcity_nb.testing import faults

HERE = Path(__file__)
_spec = importlib.util.spec_from_file_location("unit_scene", HERE.parents[1] / "unit/conftest.py")
unit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(unit)
sqlite, engine, said, city = unit.sqlite, unit.engine, unit.said, unit.city
_spec = importlib.util.spec_from_file_location("links_scene", HERE.with_name("conftest.py"))
scene = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scene)
OLD, NEW, AT = scene.OLD, scene.NEW, scene.AT


class Heard:
    """What followers say came of it, by key, and waiting for it."""

    def __init__(self) -> None:
        self.facts, self.change = [], threading.Condition()

    def send(self, fact):
        with self.change:
            self.facts.append(fact)
            self.change.notify()

    def of(self, key, count=1, seconds=20.0):
        with self.change:
            assert self.change.wait_for(lambda: len(self.told(key)) >= count, seconds), f"{key} was not told {count} times"
            return self.told(key)[count - 1]

    def told(self, key):
        return [fact.what for fact in self.facts if fact.key == key]


@pytest.fixture
def heard(folder):
    told = Heard()
    told.all = followers.Followers("app", folder.home, told.send)
    yield told
    told.all.close()


def follow(heard, folder, commits):
    """What is bound follows from now on: key -> how it is committed."""
    cards = [FollowerCard(key=key, follower=Binding(root=str(folder.root), patterns=("**/*.md",), commit=commit)) for key, commit in commits.items()]
    issued = (Issued(tunnel="app", generation=1, provider="ssh", origin=OLD, since=AT),)
    heard.all.follow(Follow(followers=tuple(cards), issued=issued, generation=1))


def test_the_pilot_opens_a_request_says_where_and_brings_it_up_to_date(forge, folder, heard, monkeypatch):
    monkeypatch.setattr(followers, "SETTLE", 0.0)  # the rest between two changes is a constant
    follow(heard, folder, {"request": "pull"})
    heard.all.moved(NEW, 2, "ssh gave another address")
    first = heard.of("request")
    assert (first.ok, first.changed, first.generation) == (True, 3, 2)
    assert "3 links in 2 files changed; the " in first.text
    assert first.text.endswith("/1 was opened")
    assert first.todo.startswith("qcity links rollback 1")
    heard.all.again()
    assert heard.of("request", 2).changed == 0
    heard.all.moved("https://third.example", 3, "and another one")
    assert heard.of("request", 3).text.endswith("/1 was brought up to date")
    assert [one[1:3] for one in forge.requests()] == [("open", "Links of app: https://third.example")]
    assert "ssh gave another address" not in forge.requests()[0][3]


def test_a_forge_that_hangs_holds_up_no_other_follower_nor_the_end(forge, folder, heard):
    forge.server.fault(faults.slow(60.0), path=f"*/{forge.place}", times=None)
    follow(heard, folder, {"request": "pull", "files": ""})
    heard.all.moved(NEW, 2, "it moved")
    assert heard.of("files").changed == 3
    assert heard.told("request") == []
    heard.all.close()
    assert heard.told("request") == []


def test_what_failed_is_tried_again_by_itself_and_at_once_for_the_next_address(forge, folder, heard, monkeypatch):
    monkeypatch.setattr(followers, "SETTLE", 0.0)
    monkeypatch.setattr(followers, "AGAIN", 0.05)  # how long a failed one is left alone is a constant
    forge.server.fault(faults.status(403), method="POST", path=f"*/{forge.place}", times=2)
    follow(heard, folder, {"request": "pull"})
    heard.all.moved(NEW, 2, "it moved")
    for attempt in (1, 2):
        failed = heard.of("request", attempt)
        assert (failed.ok, failed.generation) == (False, 0)
        assert "403" in failed.text
        assert forge.token not in failed.text
    assert heard.of("request", 3).text.endswith("was opened")
    monkeypatch.setattr(followers, "AGAIN", 3600.0)
    forge.server.fault(faults.status(403), path=f"*/{forge.place}", times=1)
    heard.all.again()
    assert not heard.of("request", 4).ok
    heard.all.moved("https://third.example", 3, "another one")
    assert heard.of("request", 5).text.endswith("was brought up to date")


def run(capsys, home, *argv, code=0):
    assert cli.main([*argv, "--home", str(home.root)]) == code
    return capsys.readouterr().out


def held(name, text):
    document = json.loads(text)
    jsonschema.Draft202012Validator({**shapes.schema(), "$ref": f"#/$defs/{name}"}).validate(document)
    return document


@pytest.mark.real
def test_a_person_binds_syncs_looks_and_takes_it_back(forge, folder, city, capsys, monkeypatch):
    home = city.link.store.home
    secrets.forget(home, f"{forge.kind}-127.0.0.1:{forge.server.port}")
    folder.git("config", "qcity.forge", forge.kind)
    monkeypatch.setattr("sys.stdin", None)
    bind = ["links", "bind", "**/*.md", "--tunnel", "app", "--root", str(folder.root), "--commit", "pull"]
    with pytest.raises(NotFound, match=r"there is no token for 127\.0\.0\.1"):
        city.links.bind("**/*.md", tunnel="app", root=folder.root, commit="pull")
    assert city.links.bindings() == []
    monkeypatch.setenv(f"QCITY_{forge.kind.upper()}_TOKEN", forge.token)
    assert forge.token not in run(capsys, home, *bind)
    monkeypatch.delenv(f"QCITY_{forge.kind.upper()}_TOKEN")
    assert secrets.has(home, f"{forge.kind}-127.0.0.1:{forge.server.port}")
    with city.link.store.write() as connection:  # what a real engine would write
        tunnels.follow(connection, city.link.place, "app", Binding(root=str(folder.root), patterns=("**/*.md",), commit="pull"))
        for generation, origin in enumerate((OLD, NEW), 1):
            tunnels.issue(connection, city.link.place, Issued(tunnel="app", generation=generation, provider="ssh", origin=origin, since=AT))
    assert "would change" in run(capsys, home, "links", "sync", "--check", code=1)
    assert forge.requests() == []
    (change,) = held("link_changes", run(capsys, home, "links", "sync", "--json"))["changes"]
    assert "was opened; qcity links rollback 1 takes it back" in change["sentence"]
    assert change["proposal"].startswith(forge.server.root)
    assert forge.states() == ["open"]
    assert "says it already" in run(capsys, home, "links", "sync")
    assert "Nothing to change in 2 files" in run(capsys, home, "links", "sync", "--check")
    assert change["proposal"] in run(capsys, home, "links", "log")
    assert [one["proposal"] for one in held("link_log", run(capsys, home, "links", "log", "--json"))["log"]] == [change["proposal"]]
    assert f"{change['proposal']} was closed" in run(capsys, home, "links", "rollback", "1")
    assert (forge.states(), forge.at()) == (["closed"], "")
    forge.server.expire(forge.token)
    assert "Nothing was changed: " in run(capsys, home, "links", "sync", code=1)
