"""Where a run's kernel lives, as people write it; whatever they write, it is understood or a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.decide.executors import Executor, Where, check, parse
from qcity_nb.errors import BadInput, NotFound, Refused
from qcity_nb.model.schedule import RunPlan
from qcity_nb.model.service import Sandbox


@pytest.mark.parametrize(
    ("text", "where", "at"),
    [
        ("", Where.HERE, ""),
        ("dask", Where.DASK, ""),
        ("dask://box.example:8786", Where.DASK, "box.example:8786"),
        ("dask://127.0.0.1:8786/", Where.DASK, "127.0.0.1:8786"),
        ("dask://[::1]:8786", Where.DASK, "[::1]:8786"),
        ("place:box", Where.PLACE, "box"),
    ],
)
def test_what_an_executor_means(text, where, at):
    assert parse(text) == Executor(where=where, at=at)


@pytest.mark.parametrize(
    ("text", "todo"),
    [
        ("daks", 'Did you mean "dask"?'),
        ("DASK", 'Did you mean "dask"?'),
        ("daks://h:1", 'Did you mean "dask://h:1"?'),
        ("tcp://h:1", 'Did you mean "dask://h:1"?'),
        ("dask:h:1", 'Did you mean "dask://HOST:PORT"?'),
        ("palce:box", 'Did you mean "place:box"?'),
        ("dask://h", "Write host and port, as dask://h:8786."),
        ("dask://h:x", "Write host and port, as dask://127.0.0.1:8786."),
        ("dask://h:0", "Write host and port, as dask://127.0.0.1:8786."),
        ("dask://u:p@h:1", "Write host and port, as dask://127.0.0.1:8786."),
        ("ray", "There are: dask, dask://HOST:PORT, place:NAME."),
    ],
)
def test_what_means_nothing_is_answered_with_the_nearest_right_word(text, todo):
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert caught.value.todo == todo


@given(st.text(max_size=40) | st.from_regex(r"(dask|place|daks)(://|:)?.{0,20}", fullmatch=True))
def test_anything_is_understood_or_a_sentence(text):
    said = ""
    try:
        found = parse(text)
    except BadInput as error:
        said = str(error)
    else:
        assert (found.where is Where.HERE) == (not text)
    assert "\n" not in said
    assert not said or said.count(". ") >= 1


def test_a_place_has_to_be_known_and_of_a_kind_that_executes():
    plan = RunPlan(notebook="/n", executor="place:box")
    assert check(plan).at == "box"
    assert check(plan, {"box": "ssh"}).where is Where.PLACE
    with pytest.raises(NotFound, match='there is no place "box"') as caught:
        check(plan, {"bix": "ssh"})
    assert caught.value.todo == 'Did you mean "place:bix"?'
    with pytest.raises(Refused, match="which executes no notebooks for others"):
        check(plan, {"box": "shared"})


def test_no_sandbox_is_promised_elsewhere():
    with pytest.raises(BadInput, match="has no sandbox of ours"):
        check(RunPlan(notebook="/n", executor="dask", sandbox=Sandbox.PARTIAL))
    assert check(RunPlan(notebook="/n", sandbox=Sandbox.FULL)).where is Where.HERE
