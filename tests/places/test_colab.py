"""Places of the kind `colab`, with Google's command as a stand-in on PATH; the real service was never tried."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from qcity_nb.errors import BadInput, MissingTool, PlaceError, Refused
from qcity_nb.kinds.places import open_place, parcel
from qcity_nb.kinds.places.colab import KIND
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Running
from qcity_nb.testing import colab_cli
from qcity_nb.testing.place_contract import PlaceContract

_spec = importlib.util.spec_from_file_location("places_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)

NOTEBOOK = PlaceConfig(name="notebook", kind="colab", options={"hours": "3"})
real = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def google(tmp_path, monkeypatch, dependencies, python):
    """The command on PATH; machines whose Python can make virtual environments, with the dependencies at hand."""
    folder = tmp_path / "google"
    env = {"PYTHONPATH": str(dependencies), "PATH": f"{Path(python).parent}:{os.defpath}"}
    monkeypatch.setenv("PATH", f"{colab_cli.install(folder, env=env)}:{os.environ['PATH']}")
    yield folder
    colab_cli.end_all(folder)


class TestColab(PlaceContract):
    pytestmark = real

    @pytest.fixture(autouse=True)
    def _given(self, google, home):
        self._google, self._home = google, home

    def good(self):
        return NOTEBOOK

    def unreachable(self):
        (self._google / "bin" / "colab").unlink()
        return NOTEBOOK

    def parcel(self):
        return parcel.pack(NOTEBOOK, home=self._home)

    def home(self):
        return self._home

    def engines(self):
        return len(_conftest.engines_below(self._google))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_is_held_by_a_cell_that_executes_and_ends(google, home):
    """The state says until when; once the cell has ended the session is named as something that costs and does nothing."""
    place = open_place(NOTEBOOK, home=home)
    up = place.start(parcel.pack(NOTEBOOK, home=home))
    assert up.until is not None
    busy = google / "vm-qcity-notebook" / "running"
    assert "exec(" in busy.read_text()
    assert "visibly" in (home.root / "places" / "notebook.py").read_text()
    assert place.status().until == up.until
    busy.unlink()  # as the command shows it after the cell's end
    state = place.status()
    assert state.running is Running.DOWN
    assert "gives it back" in state.sentence
    holder = psutil.Process(int((home.root / "places" / "notebook.holder").read_text().split()[0]))
    assert place.stop().running is Running.ABSENT
    assert not _conftest.engines_below(google)
    holder.wait(30)  # nothing of ours waits for a machine that is gone


@pytest.mark.real
def test_a_machine_that_nothing_came_of_is_given_back(google, home, tmp_path):
    account = json.loads((google / "account.json").read_text())
    (google / "account.json").write_text(json.dumps({**account, "env": {"PATH": "/usr/bin:/bin"}}))  # no Python of ours, no dependencies
    packed = replace(parcel.pack(NOTEBOOK, home=home), wheel=str(tmp_path / "gone.whl"))
    with pytest.raises((PlaceError, OSError)):
        open_place(NOTEBOOK, home=home).start(packed)
    assert not (google / "vm-qcity-notebook").exists()


@pytest.mark.real
@pytest.mark.parametrize("balance", [0.0, -1.5])
def test_an_account_without_units_is_refused_with_the_clause(google, home, balance):
    (google / "account.json").write_text(json.dumps({"balance": balance, "env": {}}))
    report = open_place(NOTEBOOK, home=home).check()
    assert not report.allowed
    assert "distributed-computing workers" in report.why
    assert "kind ssh" in report.todo
    with pytest.raises(Refused):
        open_place(NOTEBOOK, home=home).start(parcel.pack(NOTEBOOK, home=home))
    assert not list(google.glob("vm-*"))


@pytest.mark.real
def test_when_google_gives_no_machine_its_words_are_told(google, home):
    (google / "refuse").touch()
    with pytest.raises(PlaceError, match="Allocation refused"):
        open_place(NOTEBOOK, home=home).start(parcel.pack(NOTEBOOK, home=home))


@pytest.mark.real
def test_an_account_that_is_signed_out_is_not_taken_for_an_empty_one(google, home):
    """Nobody knows whether a machine runs and costs: that is an error, not an absence."""
    (google / "signed-out").touch()
    report = open_place(NOTEBOOK, home=home).check()
    assert not report.reachable
    assert "Reauthentication" in report.why
    assert "sign in" in report.todo
    for act in (open_place(NOTEBOOK, home=home).status, open_place(NOTEBOOK, home=home).stop):
        with pytest.raises(PlaceError, match="Reauthentication"):
            act()


def test_a_free_account_is_refused_without_asking_anybody(home, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    report = KIND.open(replace(NOTEBOOK, options={"tier": "free"}), home=home).check()
    assert not report.allowed


def test_without_the_command_the_line_that_installs_it_is_told(home, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    report = open_place(NOTEBOOK, home=home).check()
    assert not report.reachable
    assert "pip install google-colab-cli" in report.todo
    with pytest.raises(MissingTool):
        open_place(NOTEBOOK, home=home).status()


@pytest.mark.parametrize("options", [{"hours": "25"}, {"hours": "x"}, {"tier": "gold"}, {"gpu": "--keep"}])
def test_options_that_cannot_work_are_sentences(home, options):
    with pytest.raises(BadInput) as caught:
        KIND.open(replace(NOTEBOOK, options=options), home=home)
    assert caught.value.todo
