"""A runner gets another name and keeps all that was asked of it, with the real command."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.real]
START = ("runner", "start", "command", "--label", "gpu")


def test_a_renamed_runner_keeps_what_was_asked_of_it(city):
    city(*START, "--name", "spare", "--", "sleep", "1000")
    city(*START, "--name", "old", "--fallback", "spare", "--", "sleep", "1000")
    city("runner", "rename", "old", "new")
    city.until(lambda: {row["name"]: row["phase"] for row in city.json("status")["runners"]} == {"new": "running", "spare": "stopped"})
    shown = city.json("runner", "show", "new")
    assert shown["labels"] == ["gpu"]
    city("runner", "stop", "new")
    city("runner", "rename", "new", "again")
    assert {row["name"]: row["phase"] for row in city.json("status")["runners"]}["again"] == "stopped", "what was down stays down"


def test_a_name_that_is_taken_is_a_sentence_and_nothing_is_stopped(city):
    city(*START, "--name", "a", "--", "sleep", "1000")
    city(*START, "--name", "b", "--", "sleep", "1000")
    assert 'there is a runner "b" already' in city("runner", "rename", "a", "b", code=2)
    assert {row["phase"] for row in city.json("status")["runners"]} == {"running"}
