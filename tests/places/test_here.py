"""Places of the kind `here`: this machine with its own home."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from qcity_nb.kinds.places import open_place
from qcity_nb.kinds.places.here import KIND
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Parcel
from qcity_nb.testing.place_contract import PlaceContract

_spec = importlib.util.spec_from_file_location("places_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)

ME = PlaceConfig(name="me", kind="here")
PARCEL = Parcel(wheel="", version="1", tag="1")


@pytest.mark.real
class TestHere(PlaceContract):
    @pytest.fixture(autouse=True)
    def _given(self, home, monkeypatch):
        for name in ("QCITY_HOME", "QCITY_STORE", "COLAB_RELEASE_TAG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(home.root)
        self._home = home
        yield
        for engine in _conftest.engines_below(home.root):
            engine.kill()

    def good(self):
        return ME

    def unreachable(self):
        return None

    def parcel(self):
        return PARCEL

    def home(self):
        return self._home

    def engines(self):
        return len(_conftest.engines_below(self._home.root))


def test_on_free_colab_it_is_refused_with_the_clause_and_nothing_is_looked_at(home, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "2026.10")
    report = KIND.open(ME, home=home).check()
    assert not report.allowed
    assert "distributed-computing workers" in report.why
    assert "ssh" in report.todo
    assert not report.python


def test_on_paid_colab_it_is_allowed_when_a_person_says_so(home, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "2026.10")
    assert open_place(PlaceConfig(name="me", kind="here", options={"tier": "paid"}), home=home).check().allowed
