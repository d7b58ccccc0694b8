"""The kinds that nobody starts: an agent of somebody else, and the attendant. What they do is tried in tests/real/test_agents.py."""

from __future__ import annotations

import pytest

from qcity_nb.errors import QCityError
from qcity_nb.kinds import load
from qcity_nb.model.home import Home
from qcity_nb.model.service import Exit, ServiceSpec


def test_a_foreign_agent_is_never_started(tmp_path):
    kind, spec = load("runners", "foreign"), ServiceSpec(name="theirs", kind="foreign")
    for call in (lambda: kind.check(spec), lambda: kind.launch(spec, home=Home(tmp_path))):
        with pytest.raises(QCityError, match="somebody else"):
            call()
    assert kind.natural(Exit(signal=9), ()) != "", "its end is no failure of ours"


def test_the_attendant_is_a_process_that_beats_and_speaks(tmp_path):
    kind = load("runners", "attendant")
    launch = kind.launch(ServiceSpec(name="attendant", kind="attendant"), home=Home(tmp_path))
    assert launch.argv[-4:] == ("--home", str(tmp_path), "--name", "attendant")
    assert (kind.speaks, kind.beats, kind.attended, kind.takes_jobs) == (True, True, False, False)
