"""Forms: what a line says is what is done, what cannot be meant is said while one types, and ten re-runs leave one."""

from __future__ import annotations

import ast
import json
import threading
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide import forms
from qcity_nb.errors import BadInput
from qcity_nb.ui import forms as ui

NOW = datetime(2027, 1, 31, 2, 30, tzinfo=timezone.utc)
FILLED = {
    "runner": {"repo": "/r", "project": "g/n", "command": "sleep 9"},
    "tunnel": {},
    "notebook": {"notebook": "a.ipynb", "cron": "0 3 * * *"},
}


def values(form, **given_):
    every = {one.key: one.default for one in reversed(form.fields)} | FILLED[form.name] | given_
    return {one.key: every[one.key] for one in form.asked(every)}


@pytest.mark.parametrize(
    ("form", "given_", "line"),
    [
        (forms.RUNNER, {}, "city.runners.start('local', repo='/r')"),
        (forms.RUNNER, {"name": "a", "labels": " x, y ", "slots": 3}, "city.runners.start('local', 'a', repo='/r', labels=['x', 'y'], slots=3)"),
        (forms.RUNNER, {"kind": "gitlab"}, "city.runners.start('gitlab', project='g/n')"),
        (forms.RUNNER, {"kind": "command"}, "city.runners.start('command', command=['sleep', '9'])"),
        (forms.RUNNER, {"kind": "command", "command": "sh -c 'sleep 9'"}, "city.runners.start('command', command=['sh', '-c', 'sleep 9'])"),
        (forms.RUNNER, {"kind": "github", "repo": "o/n", "ephemeral": False}, "city.runners.start('github', repo='o/n', ephemeral=False)"),
        (forms.TUNNEL, {"ttl": "2 h", "chain": "ssh,ngrok"}, "city.tunnels.open(8888, chain='ssh,ngrok', ttl=7200.0)"),
        (forms.NOTEBOOK, {"timeout": "30m"}, "city.notebooks.schedule('a.ipynb', '0 3 * * *', timeout=1800.0)"),
    ],
)
def test_the_line_is_the_call(form, given_, line):
    assert forms.code(form, values(form, **given_)) == line


@given(st.sampled_from(forms.FORMS), st.data())
def test_whatever_stands_in_it_the_line_means_what_would_be_called(form, data):
    """Names with quotes, line breaks, anything: the line is one call of literals, and nothing else."""
    text = st.text(max_size=12)
    filled = {
        one.key: data.draw(st.sampled_from(one.choices) if one.choices else st.booleans() if isinstance(one.default, bool) else st.integers(0, 99)
                           if isinstance(one.default, int) else text)
        for one in form.fields
    }  # fmt: skip
    filled = {one.key: filled[one.key] for one in form.asked(filled)}
    try:
        placed, named = forms.call(form, filled)
    except BadInput:
        return
    read = ast.parse(forms.code(form, filled), mode="eval").body
    assert isinstance(read, ast.Call)
    assert ast.unparse(read.func) == form.call
    assert [ast.literal_eval(one) for one in read.args] == placed
    assert {one.arg: ast.literal_eval(one.value) for one in read.keywords} == named


@pytest.mark.parametrize(
    ("form", "given_", "words"),
    [
        (forms.RUNNER, {"repo": " "}, "needs a repository"),
        (forms.RUNNER, {"repo": "/nowhere"}, "no folder /nowhere"),
        (forms.RUNNER, {"kind": "github", "repo": "nme"}, "no repository of GitHub"),
        (forms.RUNNER, {"kind": "gitlab", "project": "nme"}, "no project of GitLab"),
        (forms.RUNNER, {"kind": "command", "command": ""}, "needs a command"),
        (forms.RUNNER, {"kind": "command", "command": "sh -c 'sleep"}, "a quotation that does not end"),
        (forms.RUNNER, {"slots": 0}, "0 jobs at once"),
        (forms.RUNNER, {"name": "../etc"}, "is no name"),
        (forms.TUNNEL, {"port": 0}, "0 is no port"),
        (forms.TUNNEL, {"port": 70000}, "70000 is no port"),
        (forms.TUNNEL, {"ttl": "soon"}, 'Closes after: "soon" is no length of time'),
        (forms.NOTEBOOK, {"notebook": "gone.ipynb"}, "no notebook gone.ipynb"),
        (forms.NOTEBOOK, {"cron": "0 25 * * *"}, 'its hour is "25"'),
        (forms.NOTEBOOK, {"cron": ""}, "needs a cron line"),
        (forms.NOTEBOOK, {"tz": "Berlin"}, 'no time zone "Berlin"'),
        (forms.NOTEBOOK, {"retries": -1}, "-1 retries"),
    ],
)
def test_what_cannot_be_meant_is_said(form, given_, words):
    with pytest.raises(BadInput, match=words):
        forms.check(form, values(form, **given_), exists=lambda path: path in ("/r", "a.ipynb"), now=NOW)


def test_what_is_worth_knowing_is_said():
    def note(form, **given_):
        return forms.check(form, values(form, **given_), exists=lambda _: True, names=["a"], now=NOW)

    assert note(forms.NOTEBOOK) == "runs next Sun 2027-01-31 03:00"
    assert note(forms.NOTEBOOK, tz="Europe/Berlin", cron="0 9 * * mon") == "runs next Mon 2027-02-01 09:00"
    assert note(forms.TUNNEL, public=True).startswith("whoever knows")
    assert note(forms.RUNNER, name="a") == '"a" is there already: it is changed'
    assert note(forms.RUNNER) == ""


@pytest.fixture
def shown(city, wire, monkeypatch):
    """A form as a cell shows it, over recording comms; closed at the end."""
    monkeypatch.setattr(ui, "is_watched", lambda: True)
    made = []

    def show(name, **given_):
        made.append(getattr(city.forms, name)(**given_))
        made[-1]._ipython_display_()
        return made[-1]

    yield show
    for one in made:
        one.close()
    assert not ui._open


def typed(form, key, value):
    """As if a person had filled a field in."""
    next(widget for one, widget in form._parts._fields if one.key == key and one in form.form.asked(form._values)).value = value


def texts(form):
    parts = form._parts
    return parts._note.value, parts._code.value, parts._result.value


def test_it_checks_as_one_types_and_does_what_the_line_says(shown, city, engine, tmp_path):
    asked = []

    def refuse(command):
        asked.append(command.args)
        return "refused", {"error": "no <provider> today", "todo": "later"}

    engine.answers["tunnel.open"] = refuse
    form = shown("tunnel")
    typed(form, "port", 0)
    assert "0 is no port" in texts(form)[0]
    assert form._parts._button.disabled
    typed(form, "port", 9000)
    typed(form, "ttl", "1 h")
    note, code, _ = texts(form)
    assert "ready" in note
    assert "city.tunnels.open(9000, ttl=3600.0)" in code.replace("&#x27;", "'")
    assert not form._parts._button.disabled
    form._parts._button.click()
    form._thread.join(20)
    assert asked[0]["port"] == 9000
    assert asked[0]["ttl"] == 3600
    assert "no &lt;provider&gt; today" in texts(form)[2]


def test_its_fields_follow_the_kind(shown):
    form = shown("runner", repo="/r")
    there = {widget.description for widget in form._parts._inner.children}
    assert {"Repository", "Sandbox, at least"} <= there
    typed(form, "kind", "command")
    assert [widget.description for widget in form._parts._inner.children] == ["Kind", "Name", "Command"]
    typed(form, "command", "sleep 5")
    assert form.code == "city.runners.start('command', command=['sleep', '5'])"
    typed(form, "kind", "github")
    typed(form, "repo", "owner/name")
    assert form.code == "city.runners.start('github', repo='owner/name')"


def test_ten_runs_of_a_cell_leave_one_form(shown, wire):
    for _ in range(10):
        shown("runner")
    opened, closed = (sum(kind == one for kind, _, _ in wire.messages) for one in ("comm_open", "comm_close"))
    assert closed * 10 == opened * 9
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("form-")]


def test_where_nobody_looks_the_line_stands_there(city, wire, monkeypatch, tmp_path):
    monkeypatch.setattr(ui, "is_watched", lambda: False)
    city.forms.tunnel(port=9000)._ipython_display_()
    ((bundle, _),) = wire.displays
    assert bundle["text/plain"] == "Open: city.tunnels.open(9000)"
    assert "<script" not in json.dumps(bundle)
    city.forms.runner(kind="command")._ipython_display_()
    assert "needs a command" in wire.displays[-1][0]["text/html"]  # a line that would be refused says so
    assert "needs" not in bundle["text/html"]
    assert wire.messages == []


@pytest.mark.parametrize(
    ("name", "given_", "words"),
    [
        ("tunnel", {"prt": 1}, "has no field prt"),
        ("tunnel", {"port": "abc"}, "Port cannot be 'abc'"),
        ("tunnel", {"port": True}, "Port cannot be True"),
        ("tunnel", {"public": 1}, "For everybody cannot be 1"),
        ("runner", {"kind": "jenkins"}, 'Kind cannot be "jenkins"'),
        ("runner", {"name": None}, "Name cannot be None"),
    ],
)
def test_what_a_field_cannot_hold_is_a_sentence(city, name, given_, words):
    with pytest.raises(BadInput, match=words):
        getattr(city.forms, name)(**given_)


def test_what_a_form_shows_is_what_its_line_does():
    """A box that is not ticked means what the call does without it."""
    from qcity_nb.kinds.runners.forge import options as forge
    from qcity_nb.kinds.runners.local import options as local

    for one in forms.RUNNER.fields:
        for kind, options in (("local", local.Options), ("github", forge.Options), ("gitlab", forge.Options)):
            fields = options.__dataclass_fields__
            if kind in one.only and one.key in fields and not isinstance(one.default, str):
                assert fields[one.key].default == one.default, one.key
