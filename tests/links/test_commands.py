"""`qcity links` and `city.links`: what a person types, and what comes of it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import msgspec
import pytest

from qcity_nb import cli
from qcity_nb.client import shapes
from qcity_nb.errors import BadInput, NotFound, Refused
from qcity_nb.model.tunnel import Binding, Issued
from qcity_nb.store import tunnels

_spec = importlib.util.spec_from_file_location("unit_scene", Path(__file__).parents[1] / "unit/conftest.py")
unit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(unit)
sqlite, engine, said, city = unit.sqlite, unit.engine, unit.said, unit.city

OLD, NEW = "https://old.example", "https://new.example:8443"
AT = datetime(2026, 11, 1, tzinfo=timezone.utc)


def held(name, document):
    jsonschema.Draft202012Validator({**shapes.schema(), "$ref": f"#/$defs/{name}"}).validate(document)
    return document


def issue(store, *origins, tunnel="app"):
    """Addresses of a tunnel, the last one being live."""
    with store.write() as connection:
        for generation, origin in enumerate(origins, 1):
            at = AT + timedelta(minutes=generation)
            tunnels.issue(connection, store.place, Issued(tunnel=tunnel, generation=generation, provider="ssh", origin=origin, since=at))


@pytest.fixture
def work(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs/a.md").write_text(f"see {OLD}/x and {OLD}.evil.com\n")
    (folder / "app.json").write_text(json.dumps({"url": OLD}))
    (folder / "code.py").write_text(OLD)
    monkeypatch.chdir(folder)
    return folder


def run(capsys, home, *argv, code=0):
    assert cli.main([*argv, "--home", str(home.root)]) == code
    return capsys.readouterr().out


def test_replace_needs_no_engine_and_no_store(home, work, capsys, tmp_path):
    away = tmp_path / "another home"
    assert cli.main(["links", "replace", OLD, NEW, ".", "--check", "--home", str(away)]) == 1
    assert "2 links in 2 files would change" in capsys.readouterr().out
    assert not away.exists()
    assert cli.main(["links", "replace", OLD, NEW, ".", "--home", str(away)]) == 0
    assert "2 links in 2 files changed" in capsys.readouterr().out
    assert (work / "docs/a.md").read_text() == f"see {NEW}/x and {OLD}.evil.com\n"
    assert (work / "code.py").read_text() == OLD, "below a folder only known formats"
    assert cli.main(["links", "replace", OLD, NEW, ".", "--check", "--home", str(away)]) == 0
    assert not (away / "qcity.db").exists()


def test_replace_says_what_it_did_as_json_and_is_taken_back(home, work, capsys):
    found = held("link_changes", json.loads(run(capsys, home, "links", "replace", OLD, NEW, "docs/a.md", "code.py", "--json")))["changes"][0]
    assert (found["number"], found["links"]) == (1, 2)
    log = held("link_log", json.loads(run(capsys, home, "links", "log", "--json")))["log"]
    assert log[0]["files"][0]["edits"][0]["old"] == OLD
    assert "1       20" in run(capsys, home, "links", "log")
    held("link_changes", json.loads(run(capsys, home, "links", "rollback", "1", "--json")))
    assert (work / "code.py").read_text() == OLD


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        (["replace", "old", NEW, "."], 2, '"old" is no origin'),
        (["replace", OLD, NEW, "gone.md"], 2, "there is no "),
        (["rollback", "7"], 1, "there is no change 7 of links"),
        (["rollback", "x"], 2, '"x" is no number'),
        (["bind", "../x", "--tunnel", "app"], 2, "leads out of its folder"),
        (["bind", "a.md", "--tunnel", "app", "--commit", "push"], 2, "is no way to commit"),
        (["bind", "a.md", "--tunnel", "app", "--root", "gone"], 2, "is no folder"),
        (["unbind", "--tunnel", "app"], 1, 'is bound to "app"'),
        (["sync", "app"], 1, 'no files are bound to "app"'),
        (["check", "gone.md"], 2, "there is no "),
        (["check", "docs", "--expect", "x"], 2, '"x" says nothing to expect'),
    ],
)
def test_bad_input_is_one_sentence(home, work, capsys, argv, code, sentence):
    assert cli.main(["links", *argv, "--home", str(home.root)]) == code
    assert sentence in capsys.readouterr().err


def test_binding_asks_the_engine(city, engine, work):
    city.links.bind("docs/**/*.md", "app.json#/url", tunnel="app", commit="commit")
    asked = engine.seen[0]
    assert (asked.verb, asked.subject) == ("follow.put", "app")
    assert msgspec.convert(asked.args["follower"], Binding) == Binding(root=str(work), patterns=("docs/**/*.md", "app.json#/url"), commit="commit")


def bind(store, folder, *patterns, tunnel="app"):
    with store.write() as connection:
        tunnels.follow(connection, store.place, tunnel, Binding(root=str(folder), patterns=patterns or ("docs/**/*.md",)))


def test_unbinding_asks_the_engine(city, engine, sqlite, work):
    bind(sqlite, work)
    city.links.unbind(tunnel="app")
    assert [(one.verb, one.args["key"]) for one in engine.seen] == [("follow.drop", f"links {work}")]


def test_a_sync_by_hand_writes_the_live_address(city, sqlite, work, capsys):
    issue(sqlite, OLD, NEW)
    bind(sqlite, work)
    bind(sqlite, work / "gone", tunnel="app")
    would, broken = city.links.sync(check=True)
    assert (would.links, would.would, "is no folder" in broken.failed) == (1, True, True)
    assert run(capsys, sqlite.home, "links", "sync", "app", code=1).startswith("1 link in 1 file changed")
    assert (work / "docs/a.md").read_text() == f"see {NEW}/x and {OLD}.evil.com\n"
    assert "changed to" not in run(capsys, sqlite.home, "links", "sync", code=1)
    assert "docs/**/*.md in" in run(capsys, sqlite.home, "links", "list")
    held("link_bindings", json.loads(run(capsys, sqlite.home, "links", "list", "--json")))
    assert len(city.links.log()) == 1
    city.links.rollback(1)
    assert OLD + "/x" in (work / "docs/a.md").read_text()


def test_a_check_repairs_what_the_ledger_knows(city, sqlite, work, capsys):
    issue(sqlite, OLD, NEW)
    argv = ["links", "check", "docs", "--offline", "--json"]
    found = held("link_check", json.loads(run(capsys, sqlite.home, *argv, code=1)))
    assert [(one["verdict"], one["tunnel"], one["new"]) for one in found["links"]] == [("broken", "app", NEW)]
    assert (found["broken"], found["skipped"]) == (1, 1)
    assert held("link_check", json.loads(run(capsys, sqlite.home, *argv, "--fix")))["ok"]
    assert (work / "docs/a.md").read_text() == f"see {NEW}/x and {OLD}.evil.com\n"
    assert [one.why for one in city.links.log()] == ["a link check found them"]


def test_a_tunnel_without_an_address_has_nothing_to_write(city, sqlite, work):
    issue(sqlite, OLD)
    with sqlite.write() as connection:
        tunnels.end(connection, sqlite.place, "app", at=AT)
    bind(sqlite, work)
    with pytest.raises(Refused, match="app has no address now"):
        city.links.sync("app")
    with pytest.raises(NotFound, match='no files are bound to "web"'):
        city.links.sync("web")
    with pytest.raises(BadInput, match="no file was named"):
        city.links.bind(tunnel="app")


def test_shown_in_a_notebook(city, sqlite, work):
    issue(sqlite, OLD, NEW)
    bind(sqlite, work)
    assert "docs/**/*.md" in city.links._repr_html_()
    assert "docs/**/*.md" in repr(city.links)
    assert "1 link in 1 file" in city.links.sync(check=True)[0]._repr_html_()
    assert city.links.check("docs", offline=True)._repr_html_()


def test_the_snippets_are_yaml_that_call_the_check(home, capsys):
    import yaml

    for name in ("github", "gitlab"):
        text = run(capsys, home, "check", "--snippet", name)
        assert yaml.safe_load(text)
        assert "qcity check --pre-deploy . --junit pre-deploy.xml" in text


def test_pre_deploy_looks_at_tunnels_followers_and_links(city, sqlite, work, capsys, tmp_path):
    unit.put_tunnel(sqlite)  # app is up, its files could not be told
    issue(sqlite, "https://gone.example", tunnel="web")
    with sqlite.write() as connection:
        tunnels.end(connection, sqlite.place, "web", at=AT)
    (work / "docs/a.md").write_text("[a](../app.json) [b](gone.md) [c](https://gone.example/x)")
    argv = ["check", "--pre-deploy", "docs", "--offline", "--junit", str(tmp_path / "j.xml"), "--json"]
    found = held("pre_deploy", json.loads(run(capsys, sqlite.home, *argv, code=1)))
    assert [(one["kind"], one["verdict"]) for one in found["checks"]] == [
        ("tunnel", "ok"), ("files", "broken"), ("link", "ok"), ("link", "broken"), ("link", "broken"),
    ]  # fmt: skip
    suites = ET.parse(tmp_path / "j.xml").getroot().findall("testsuite")
    counts = {suite.get("name"): (suite.get("tests"), suite.get("failures")) for suite in suites}
    assert counts == {"tunnel": ("1", "0"), "files": ("1", "1"), "link": ("3", "2")}
    assert "3 things are wrong" in run(capsys, sqlite.home, "check", "--pre-deploy", "docs", "--offline", code=1)
    assert cli.main(["check", "--home", str(sqlite.home.root)]) == 2


@pytest.mark.real
def test_the_command_in_a_process_of_its_own(tmp_path):
    (tmp_path / "a.md").write_text(OLD)
    main = [sys.executable, "-c", "import sys; from qcity_nb.cli import main; sys.exit(main())"]
    env = {**os.environ, "QCITY_HOME": str(tmp_path / "home")}
    for check, code in ((["--check"], 1), ([], 0), (["--check"], 0)):
        argv = [*main, "links", "replace", OLD, NEW, "a.md", *check]
        ended = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (code, "")
    assert (tmp_path / "a.md").read_text() == NEW
