"""The runner kind `place` keeps the contract of runners."""

from __future__ import annotations

import pytest

from qcity_nb.errors import BadInput
from qcity_nb.kinds import load
from qcity_nb.model.service import ServiceSpec
from qcity_nb.testing.contracts import RunnerContract


class TestPlace(RunnerContract):
    def subject(self):
        return load("runners", "place")

    def good(self, folder):
        return ServiceSpec(name="elsewhere", kind="place", options={"places": [{"name": "me", "kind": "here"}]})


@pytest.mark.parametrize(
    ("places", "words"),
    [(None, "needs a place"), ([], "needs a place"), ([{"kind": "here"}], "cannot be used"), ([{"name": "a", "kind": "moon"}], "no kind")],
)
def test_a_place_that_cannot_be_meant_is_said(places, words):
    with pytest.raises(BadInput, match=words):
        load("runners", "place").check(ServiceSpec(name="elsewhere", kind="place", options={"places": places}))
