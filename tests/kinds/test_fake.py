"""The runner kinds of simulated worlds keep the contract of runners, as far as it is about them."""

from __future__ import annotations

import pytest

from qcity_nb.errors import BadInput
from qcity_nb.model.service import ServiceSpec
from qcity_nb.testing.contracts import RunnerContract
from qcity_nb.testing.kinds import load


class TestFake(RunnerContract):
    def subject(self):
        return load("runners", "local")

    def good(self, folder):
        return ServiceSpec(name="alpha", kind="local")

    def test_nonsense_is_a_sentence(self, tmp_path):
        with pytest.raises(BadInput, match=r"cannot work.*Leave it out"):
            self.subject().check(ServiceSpec(name="alpha", kind="local", options={"bad": 1}))


def test_an_unknown_kind_is_said():
    with pytest.raises(BadInput, match="There are: local, command"):
        load("runners", "nothing")
