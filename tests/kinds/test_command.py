"""The runner kind `command` keeps the contract of runners."""

from __future__ import annotations

import pytest

from qcity_nb.errors import BadInput
from qcity_nb.kinds import load
from qcity_nb.model.home import Home
from qcity_nb.model.service import ServiceSpec
from qcity_nb.testing.contracts import RunnerContract


class TestCommand(RunnerContract):
    def subject(self):
        return load("runners", "command")

    def good(self, folder):
        return ServiceSpec(name="agent", kind="command", options={"command": ["sleep", "1000"]})


@pytest.mark.parametrize("command", [None, [], "sleep 1", [1], ["a\0b"], {}])
def test_no_command_is_said(command):
    with pytest.raises(BadInput, match=r"needs a command.*qcity runner start command"):
        load("runners", "command").check(ServiceSpec(name="agent", kind="command", options={"command": command}))


def test_a_chosen_environment_is_all_there_is(tmp_path, monkeypatch):
    monkeypatch.setenv("WANTED", "1")
    monkeypatch.setenv("UNWANTED", "1")
    kind = load("runners", "command")
    spec = ServiceSpec(name="agent", kind="command", options={"command": ["sleep", "1"], "env": ["WANTED"]})
    launch = kind.launch(kind.check(spec), home=Home(tmp_path))
    assert "WANTED" in launch.env
    assert "UNWANTED" not in launch.env
