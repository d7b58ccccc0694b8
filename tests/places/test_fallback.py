"""A runner that is quarantined here has an engine started elsewhere, on a real sshd; when it is well again that engine ends."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import qcity_nb
from qcity_nb.errors import NotFound, QCityError
from qcity_nb.io.files import is_locked
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.service import Phase, RestartPolicy
from qcity_nb.testing.real_engine import until

_spec = importlib.util.spec_from_file_location("places_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def city(tmp_path, monkeypatch):
    monkeypatch.setenv("QCITY_PLACE_POLL", "0.5")
    made = qcity_nb.open(tmp_path / "here")
    yield made
    if is_locked(made.link.store.home.lock):
        made.stop()
    until(lambda: not is_locked(made.link.store.home.lock), seconds=150)
    made.close()


def test_work_goes_to_the_best_place_that_will_do_and_comes_back(city, host, python, tmp_path):
    city.places.add(PlaceConfig(name="gone", kind="ssh", options={**host.options, "port": "1"}))
    city.places.add(PlaceConfig(name="box", kind="ssh", options={**host.options, "python": python}))
    spare = city.runners.start("place", "elsewhere", places=["gone", "box"], begin=False)
    well = tmp_path / "well"
    command = ["sh", "-c", f"test -f {well} && exec sleep 1000"]
    with pytest.raises(QCityError, match="does not come up"):
        city.runners.start("command", "first", command=command, policy=RestartPolicy(burst=0), fallback="elsewhere")
    until(lambda: len(_conftest.engines_below(host.home)) == 1 and "its engine is up" in spare.logs(), seconds=150)
    assert "gone:" in spare.logs(), "what will not do is said, with the reason"
    well.touch()
    city.runners["first"].start()
    until(lambda: spare.phase is Phase.STOPPED, seconds=150)
    assert not _conftest.engines_below(host.home)


def test_a_place_that_nobody_knows_is_a_sentence(city):
    with pytest.raises(NotFound, match='there is no place "box"'):
        city.runners.start("place", "elsewhere", places="box")
