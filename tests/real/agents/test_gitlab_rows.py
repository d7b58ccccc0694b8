"""Troubles of gitlab-runner, each on a runner and a project of its own, all on one engine; beside them a healthy one."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from qcity_nb.model.service import Phase
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
FAULTS = (
    {"fault": "forbidden", "agents": "f35-forbidden", "times": 3, "after": 3},
    {"fault": "long_polling", "agents": "f36", "times": 1},
    {"fault": "prepare_environment", "agents": "f38", "times": 1},
)
NAMES = ("f35-reset", "f35-forbidden", "f36", "f37", "f38", "f39", "gl-well")


@pytest.fixture(scope="module")
def street(street_of):
    made = street_of()
    made.faults(*FAULTS)
    for name in NAMES:
        made.ask(name, "gitlab", ephemeral=False)
    for name in NAMES:
        made.up(name)
    return made


def runner_of(street, name):
    [found] = [one for one in street.gitlab.runners() if one.description == name]
    return found


def over(street, job):
    until(lambda: street.gitlab.job(job).status in ("success", "failed", "canceled"), seconds=60)
    return street.gitlab.job(job).status


def test_a_runner_token_that_was_reset_is_replaced_when_gitlab_confirms_it(street):
    """`forbidden` has two causes. Here its token is good no more; the other one is a refusal that passes, see below."""
    old = runner_of(street, "f35-reset").id
    street.gitlab.reset_token("f35-reset")
    street.held("f35-reset", "F35", said="forbidden", done="registered as f35-reset")
    assert runner_of(street, "f35-reset").id != old
    assert over(street, street.gitlab.queue_job("octo/f35-reset", script=["true"])) == "success"


def test_a_refusal_with_a_token_that_is_good_registers_nothing_and_asks_seldom(street):
    log = street.city.home / "services" / "f35-forbidden" / "log"
    until(lambda: "is unhealthy and will be disabled" in log.read_text(), seconds=60)
    until(lambda: street.gitlab.seen("POST", "/runners/verify"), seconds=60)
    old = runner_of(street, "f35-forbidden").id
    assert over(street, street.gitlab.queue_job("octo/f35-forbidden", script=["true"])) == "success"
    told = " ".join(one.title + one.cause for one in street.incidents("f35-forbidden"))
    assert "F35" not in told, "a job that waits for a runner that took itself out (F3) is another matter"
    assert runner_of(street, "f35-forbidden").id == old


def test_jobs_that_come_late_because_of_concurrent(street):
    street.held("f36", "F36", said="Long polling issues", done="set concurrent to 2")
    assert "concurrent = 2" in (street.folder("f36") / "config.toml").read_text()
    assert street.state("f36").incarnation == 1


def test_a_job_whose_runner_died_runs_again(street):
    """GitLab would show it as running for an hour."""
    job = street.gitlab.queue_job("octo/f37", script=["sleep 60"], name="long")
    until(lambda: street.gitlab.job(job).status == "running", seconds=60)
    until(lambda: street.state("f37").busy == 1, seconds=60)
    os.kill(street.city.runners["f37"].pid, signal.SIGKILL)
    street.held("f37", "F12", done="started it again", others=("F37",))
    street.held("f37", "F37", said="what ran it is gone", done='had "long" run again, once', others=("F12",))
    assert len(street.gitlab.jobs("octo/f37")) == 2
    assert street.gitlab.job(job).status == "canceled"
    [again] = [one for one in street.gitlab.jobs("octo/f37") if one.id != job]
    street.gitlab.cancel_job(again.id)


def test_a_profile_script_that_breaks_jobs_is_shown_with_the_command(street):
    assert over(street, street.gitlab.queue_job("octo/f38", script=["true"])) == "failed"
    until(lambda: "F38" in street.city.runners["f38"].row.trouble, seconds=60)
    assert "mv ~/.bash_logout ~/.bash_logout.off" in street.city.runners["f38"].row.trouble["F38"]
    assert over(street, street.gitlab.queue_job("octo/f38", script=["true"])) == "success"
    street.held("f38", "F38", said="prepare environment")
    assert street.state("f38").incarnation == 1


def test_ours_does_not_start_beside_another_one_on_its_configuration(street):
    root = street.folder("f39")
    theirs = subprocess.Popen([str(root / "gitlab-runner"), "run", "--config", str(root / "config.toml")], cwd=root, stderr=subprocess.DEVNULL)
    try:
        os.kill(street.city.runners["f39"].pid, signal.SIGKILL)
        street.down("f39", Phase.QUARANTINED)
        found = street.held("f39", "F39", "quarantined", said=f"process {theirs.pid} holds it")
        assert f"kill {theirs.pid}" in street.state("f39").reason
        assert f"kill {theirs.pid}" in " ".join((found.cause, *found.done, street.state("f39").reason))
        assert theirs.poll() is None, "it is somebody else's"
    finally:
        theirs.kill()
        theirs.wait()
    street.city.runners["f39"].start()
    street.up("f39")


def test_the_healthy_neighbour_was_never_touched(street):
    assert over(street, street.gitlab.queue_job("octo/gl-well", script=["true"])) == "success"
    assert street.incidents("gl-well") == []
    assert (street.state("gl-well").phase, street.state("gl-well").incarnation) == (Phase.RUNNING, 1)
