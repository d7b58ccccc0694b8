"""Runners of forges are refused where the terms of a machine forbid them, whoever asks."""

import pytest

from qcity_nb.errors import Refused
from qcity_nb.kinds import load
from qcity_nb.model.service import ServiceSpec


def spec(kind, **options):
    scope = {"github": {"repo": "ann/app"}, "gitlab": {"project": "ann/app"}}[kind]
    return ServiceSpec(name="x", kind=kind, options={**scope, "allow_root": True, **options})


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_free_colab_refuses_and_says_what_works(kind, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    monkeypatch.delenv("QCITY_TIER", raising=False)
    with pytest.raises(Refused, match="forbids distributed-computing workers") as caught:
        load("runners", kind).check(spec(kind))
    assert "host over SSH" in caught.value.todo
    assert load("runners", kind).check(spec(kind, url="http://127.0.0.1:1")), "a stand-in on this machine concerns nobody"
    monkeypatch.setenv("QCITY_TIER", "paid")
    assert load("runners", kind).check(spec(kind))
