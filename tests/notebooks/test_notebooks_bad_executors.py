"""Executors that there are not, or that cannot do what is asked: refused in one sentence before anything starts."""

from __future__ import annotations

import os

import pytest

from qcity_nb.errors import BadInput, MissingTool, NotFound
from qcity_nb.model.fleet import PlaceConfig

pytestmark = [pytest.mark.real]


@pytest.mark.parametrize(
    ("executor", "says", "todo"),
    [
        ("daks", 'there is no executor "daks"', 'Did you mean "dask"?'),
        ("dask://", "names no scheduler", "dask://127.0.0.1:8786"),
        ("dask://box", "has no address of a scheduler", "dask://box:8786"),
        ("dask://box:99999", "has no address of a scheduler", "dask://"),
        ("daks://box:8786", "there is no executor", 'Did you mean "dask://box:8786"?'),
        ("place:", "names no place", "qcity place list"),
        ("palce:box", "there is no executor", 'Did you mean "place:box"?'),
        ("spark", "there is no executor", "There are: dask, dask://HOST:PORT, place:NAME"),
        ("place:nowhere", 'there is no place "nowhere"', "qcity place add nowhere KIND"),
        ("place:bax", 'there is no place "bax"', 'Did you mean "place:box"?'),
    ],
)
def test_an_executor_that_there_is_not_is_named_and_nothing_is_started(desk, executor, says, todo):
    desk.city.places.add(PlaceConfig(name="box", kind="ssh", options={"host": "box"}))
    before = len(desk.city.notebooks)
    for ask in (desk.city.notebooks.run, lambda path, **how: desk.city.notebooks.schedule(path, "0 3 * * *", **how)):
        with pytest.raises((BadInput, NotFound), match=says) as caught:
            ask(desk.write("1"), executor=executor)
        assert todo in caught.value.todo
    assert len(desk.city.notebooks) == before
    assert len(desk.city.notebooks.schedules) == 0


def test_a_sandbox_is_not_to_be_had_elsewhere(desk):
    with pytest.raises(BadInput, match="the executor dask has no sandbox of ours, and the run asks for full"):
        desk.city.notebooks.run(desk.write("1"), executor="dask", sandbox="full")


def test_without_dask_the_line_that_installs_it_is_told_at_once(tmp_path, desk_of, monkeypatch):
    blind = "lambda name, *more: None if name == 'distributed' else real(name, *more)"
    hidden = f"import importlib.util\nreal = importlib.util.find_spec\nimportlib.util.find_spec = {blind}\n"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(hidden)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with desk_of(tmp_path) as desk:
        for ask in (desk.city.notebooks.run, lambda path, **how: desk.city.notebooks.schedule(path, "0 3 * * *", **how)):
            with pytest.raises(MissingTool, match="distributed is not installed") as caught:
                ask(desk.write("1"), executor="dask")
            assert caught.value.todo == 'pip install "qcity-nb[cluster]".'
        assert len(desk.city.notebooks) == len(desk.city.notebooks.schedules) == 0
