"""A runner of GitLab from end to end: the real engine and attendant, the scripted gitlab-runner, a stateful stand-in of GitLab."""

from __future__ import annotations

import os
import signal

import pytest

from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_it_registers_does_a_job_survives_a_kill_and_leaves(scene):
    runner = scene.start("gl-1", "gitlab")
    job = scene.gitlab.queue_job("octo/hello", script=["echo hi"])
    until(lambda: scene.gitlab.job(job).status in ("success", "failed"), seconds=60)
    assert scene.gitlab.job(job).status == "success"
    scene.up("gl-1", after=1)
    assert len(scene.city.incidents) == 0, "a single run that is over is no incident"
    before = runner.row.state.incarnation
    os.kill(runner.pid, signal.SIGKILL)
    scene.up("gl-1", after=before)
    until(lambda: [row.state for row in scene.city.incidents.rows()] == ["healthy"])
    assert len(scene.gitlab.runners()) == 1, "its registration goes on"
    config = scene.folder("gl-1") / "config.toml"
    assert config.stat().st_mode & 0o077 == 0
    runner.stop()
    assert scene.gitlab.runners() == []
