"""The look at the machine before and after every job, by the agents' own hooks: what is safe is mended, else the job is refused with the reason."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
REPO = "octo/hello"


def looks(runner, what):
    return [look for look in runner.checks() if look.what == what]


def test_every_job_begins_and_ends_with_a_look(scene):
    runner = scene.start(ephemeral=False)
    scene.done(scene.job())
    [after] = until(lambda: looks(runner, "completed"))
    [before] = looks(runner, "started")
    for look in (before, after):
        assert (look.ok, look.text) == (True, "all is well")
        assert set(look.details.values()) == {"well"}
    assert {"disk", "inodes", "memory", "clock", "network", "credentials", "tools", "GPU", "leftovers", "work folder"} == set(before.details)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_is_safe_is_mended_and_the_job_runs(scene):
    runner = scene.start(ephemeral=False)
    left = scene.folder() / "_work" / "build"
    left.parent.mkdir(exist_ok=True)
    left.write_text("of a container")
    os.chown(left, 65534, 65534)
    scene.done(scene.job())
    until(lambda: looks(runner, "started"))
    assert left.stat().st_uid == os.geteuid()


def test_a_machine_that_is_not_fit_refuses_the_job_with_the_reason(scene):
    runner = scene.start(ephemeral=False)
    damaged = scene.folder() / ".credentials"
    kept = damaged.read_bytes()
    damaged.write_bytes(b"{ half of")
    job = scene.job()
    scene.done(job, "failure")
    assert "QCity refuses this job" in scene.github.job(job).log
    assert "It is not your code" in scene.github.job(job).log
    [look] = until(lambda: looks(runner, "started"))
    assert (look.ok, look.details["credentials"]) == (False, "the registration's files are damaged")
    until(lambda: "credentials" in runner.row.trouble.get("machine", ""))
    damaged.write_bytes(kept)
    scene.done(scene.job())
    until(lambda: not runner.row.trouble.get("machine"))


def test_a_wrong_clock_refuses_jobs(scene):
    runner = scene.start(ephemeral=False)
    scene.github.clock_offset = timedelta(minutes=-10)
    scene.done(scene.job(), "failure")
    [look] = until(lambda: looks(runner, "started"))
    assert "10 min" in look.details["clock"]


def test_gitlab_jobs_are_looked_at_too(scene):
    runner = scene.start("gl-1", "gitlab")
    job = scene.gitlab.queue_job(REPO, script=["echo hi"])
    until(lambda: scene.gitlab.job(job).status in ("success", "failed"), seconds=60)
    assert scene.gitlab.job(job).status == "success"
    [look] = until(lambda: looks(runner, "started"))
    assert look.ok
