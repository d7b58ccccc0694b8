"""The look before a job: what is wrong is named, what can be mended is mended, and only what is left refuses the job."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qcity_nb.decide import preflight
from qcity_nb.decide.preflight import Measured
from qcity_nb.model.agent import Act

WELL = Measured(free_disk=50 << 30, free_disk_share=0.5, free_inodes_share=0.5, free_memory=8 << 30, skew=timedelta(seconds=1))


@pytest.mark.parametrize("seen", [WELL, Measured()], ids=["well", "nothing could be measured"])
def test_what_is_well_or_unknown_refuses_nothing(seen):
    checks = preflight.examine(seen)
    assert preflight.refusal(checks) == ""
    assert preflight.to_mend(checks) == ()
    assert preflight.told(checks, checks) == "all is well"


@pytest.mark.parametrize(
    ("wrong", "words", "act"),
    [
        ({"free_disk": 1 << 30}, "disk: only 1.1 GB are free", Act.PURGE),
        ({"free_disk_share": 0.01}, "disk: only", Act.PURGE),
        ({"free_inodes_share": 0.001}, "inodes: the file system has no room for more files", Act.PURGE),
        ({"free_memory": 100 << 20}, "memory: only", None),
        ({"skew": timedelta(minutes=-10)}, "clock: the clock differs by 10 min", None),
        ({"path": "dns", "forge": "https://git.example.org"}, "network: https://git.example.org cannot be reached: dns fails", None),
        ({"credentials": False}, "credentials: the registration's files are damaged", None),
        ({"missing_tools": ("git",)}, "tools: git not installed", None),
        ({"gpus": 0, "gpu_error": "the GPU does not answer"}, "GPU: the GPU does not answer", None),
        ({"leftovers": 1}, "leftovers: 1 process of the last job still run", Act.REAP),
        ({"not_ours": ("build: root",)}, "work folder: build: root belongs to another user", Act.OWN),
    ],
)
def test_each_fault_is_named_and_refuses_until_it_is_mended(wrong, words, act):
    first = preflight.examine(Measured(**{**{name: getattr(WELL, name) for name in Measured.__dataclass_fields__}, **wrong}))
    assert preflight.refusal(first).startswith(words)
    assert preflight.to_mend(first) == ((act,) if act else ())
    assert preflight.told(first, first).startswith(f"refused ({words}")
    assert preflight.told(first, preflight.examine(WELL)).startswith("all is well after mending")
