"""A runner that is quarantined has its fallback started, which is drained when it is well again; with the real command and `qcity.toml`."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.real]

TOML = """
[runner.first]
kind = "command"
command = ["sh", "-c", "test -f well && exec sleep 1000"]
cwd = "."
fallback = "second"

[runner.second]
kind = "command"
command = ["sleep", "1000"]

[policy]
restart = { burst = 0 }
"""


def test_a_quarantined_runner_has_its_fallback_started_and_gives_way_when_it_is_well(city):
    repo = Path(city.repository("fleet"))
    (repo / "qcity.toml").write_text(TOML)
    said = city("up", "--repo", str(repo), code=1)
    assert "first does not come up" in said

    def phases():
        return {row["name"]: row["phase"] for row in city.json("status")["runners"]}

    city.until(lambda: phases() == {"first": "quarantined", "second": "running"})
    (repo / "well").touch()
    city("runner", "start", "first")
    city.until(lambda: phases() == {"first": "running", "second": "stopped"})
    city("up", "--repo", str(repo))
    assert phases() == {"first": "running", "second": "stopped"}, "a fallback is made known, not started"


def test_a_fallback_that_is_not_there_is_a_sentence(city):
    said = city("runner", "start", "command", "--name", "a", "--fallback", "b", "--", "sleep", "1000", code=1)
    assert 'there is no runner "b"' in said
