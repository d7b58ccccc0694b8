"""Notebooks, parameters and schedules that cannot be run: refused in one sentence before anything starts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qcity_nb.errors import BadInput, MissingTool

pytestmark = [pytest.mark.real]


def broken(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no notebooks, and what is said of each."""
    texts = {
        "no.ipynb": ("{", "is not a notebook: it is no JSON"),
        "list.ipynb": ("[]", "is not a notebook: it has no cells"),
        "old.ipynb": (json.dumps({"nbformat": 3, "worksheets": []}), "is in the old format 3"),
        "new.ipynb": (json.dumps({"nbformat": 5, "cells": []}), "is in format 5"),
        "bytes.ipynb": ("\udcff", "cannot be read: it is no text"),
    }
    found = {}
    for name, (text, says) in texts.items():
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        found[name] = (folder / name, says)
    return found


@pytest.mark.parametrize("name", ["no.ipynb", "list.ipynb", "old.ipynb", "new.ipynb", "bytes.ipynb"])
def test_what_is_no_notebook_is_refused_before_anything_starts(desk, name):
    path, says = broken(desk.folder)[name]
    before = len(desk.city.notebooks)
    with pytest.raises(BadInput, match=says):
        desk.city.notebooks.run(path)
    assert len(desk.city.notebooks) == before


@pytest.mark.parametrize(
    ("parameters", "given", "says"),
    [
        (None, {"n": 1}, "has no cell tagged parameters, so n would change nothing"),
        ("day = 1", {"dya": 2}, 'has no parameter "dya"'),
        ("n = 1", {"n": "x"}, r"n is a text \('x'\), and nightly.ipynb has a whole number \(1\) there"),
        ("n = 1", {"n": True}, "n is true or false"),
        ("s = 'a'", {"s": 1}, "s is a whole number"),
        ("api_token = ''", {"api_token": "abcdef"}, "looks like a secret"),
        ("text = ''", {"text": "ghp_" + "a" * 36}, "looks like a secret"),
    ],
)
def test_parameters_are_held_against_the_notebook_before_anything_starts(desk, parameters, given, says):
    before = len(desk.city.notebooks)
    with pytest.raises(BadInput, match=says):
        desk.city.notebooks.run(desk.write("1", parameters=parameters), given)
    assert len(desk.city.notebooks) == before


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"retries": -1}, "retries is -1"),
        ({"timeout": 0}, "timeout is 0, which is too little"),
        ({"timeout": "soon"}, 'timeout is "soon", which is no length of time'),
        ({"output": "."}, r"the output \. is a folder"),
        ({"output": "no/such/place.ipynb"}, "is in a folder that does not exist"),
    ],
)
def test_how_it_is_to_run_is_checked_before_anything_starts(desk, how, says):
    with pytest.raises(BadInput, match=says):
        desk.city.notebooks.run(desk.write("1"), **how)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"cron": "61 3 * * *"}, 'its minute is "61"'),
        ({"cron": "0 3 * *"}, "has 4 fields"),
        ({"cron": "0 3 * * *", "tz": "Europa/Paris"}, 'there is no time zone "Europa/Paris"'),
        ({"at": "2020-01-01 03:00"}, "is in the past"),
        ({"at": "soon"}, '"soon" is no moment'),
        ({}, "needs a cron line or a moment, and not both"),
        ({"cron": "0 3 * * *", "at": "2099-01-01 03:00"}, "needs a cron line or a moment, and not both"),
        ({"cron": "0 3 * * *", "catch_up": "some"}, 'catch_up is "some"'),
        ({"cron": "0 3 * * *", "max_parallel": 0}, "max_parallel is 0"),
        ({"cron": "0 3 * * *", "name": "taken", "replace": False}, 'there is a schedule "taken" already'),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused_in_one_sentence(desk, how, says):
    desk.city.notebooks.schedule(desk.write("1"), "0 3 * * *", name="taken")
    with pytest.raises(BadInput, match=says):
        desk.city.notebooks.schedule(desk.write("1"), **how)
    assert [row.schedule.name for row in desk.city.notebooks.schedules.rows()] == ["taken"]
    desk.city.notebooks.schedules.remove("taken")


def test_where_nothing_can_run_notebooks_that_is_said_at_once(tmp_path, desk_of, monkeypatch):
    blind = "lambda name, *more: None if name == 'papermill' else real(name, *more)"
    hidden = f"import importlib.util\nreal = importlib.util.find_spec\nimportlib.util.find_spec = {blind}\n"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(hidden)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with desk_of(tmp_path) as desk:
        for ask in (desk.city.notebooks.run, lambda path: desk.city.notebooks.schedule(path, "0 3 * * *")):
            with pytest.raises(MissingTool, match="papermill is not installed"):
                ask(desk.write("1"))
        assert len(desk.city.notebooks) == len(desk.city.notebooks.schedules) == 0
