"""Troubles of listeners that live, each on a runner and a repository of its own, all on one engine; beside them a healthy one.

A test waits for its runner's incident and holds it to its row: cause, evidence, what was done, how it was proved, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal

import psutil
import pytest

from qcity_nb.model.service import Phase
from qcity_nb.testing.agents import package
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
BUSY = "for _ in 1 2 3 4 5 6; do timeout {seconds} sh -c 'while :; do :; done' & done; wait; true"
FAULTS = (
    {"fault": "silent", "agents": "f1-kept", "times": 1, "after": 3},
    {"fault": "silent", "socket": "close", "agents": "f1-closed", "times": 1, "after": 3},
    {"fault": "ghost", "agents": "f2", "times": 1},
    {"fault": "silent", "agents": "f2-kept", "times": 1, "after": 3},
    {"fault": "unpolled", "agents": "f3", "times": 1},
    {"fault": "broker_loop", "agents": "f4", "times": 1},
    {"fault": "update_loops", "agents": "f9-loop", "times": 2, "after": 1},
    {"fault": "update_fails", "agents": "f9-download", "phase": "download", "times": 1},
    {"fault": "update_loops", "agents": "f11", "times": 1, "after": 1},
    {"fault": "exit", "at": "updated", "code": 0, "agents": "f11", "times": 1},
    {"fault": "leave_orphans", "agents": "f17", "times": 1},
    {"fault": "crash_worker", "completes": False, "agents": "f18", "times": 1},
    {"fault": "crash_worker", "agents": "f34", "times": 1},
    {"fault": "worker_hung", "agents": "f19", "times": 1},
    {"fault": "connect_error", "seconds": 30000, "agents": "f30b", "times": 1},
)
NAMES = (
    *("f1-kept", "f1-closed", "f1-stopped", "f2", "f2-kept", "f3", "f4", "f9-loop", "f9-download", "f11", "f12"),
    *("f16", "f17", "f18", "f19", "f20", "f30b", "f32", "f34", "well"),
)


@pytest.fixture(scope="module")
def street(street_of):
    """All runners up, or on their way into their trouble."""
    made = street_of()
    made.github.rules.lock_life = made.github.rules.lock_life / 20
    made.faults(*FAULTS)
    for name in NAMES:
        made.ask(name, ephemeral=False)
    for name in NAMES:
        made.up(name)
    made.jobs = {}
    os.kill(made.city.runners["f1-stopped"].pid, signal.SIGSTOP)
    for name in ("f1-kept", "f1-closed", "f1-stopped", "f2-kept"):
        until(lambda name=name: not made.github.online(f"octo/{name}", name), seconds=60)
    made.github.busy("octo/f2-kept", "f2-kept")
    for name in ("f1-kept", "f1-closed", "f1-stopped", "f2", "f4", "f17", "f18", "f19", "f34", "well"):
        made.jobs[name] = made.job(f"octo/{name}", name=name)
    return made


@pytest.mark.parametrize("name", ["f1-kept", "f1-closed", "f1-stopped"])
def test_a_listener_that_lives_and_is_silent_is_started_again(street, name):
    """Whether its connection is kept or closed, and one that somebody stopped (SIGSTOP): the process lives, that counts for nothing."""
    found = street.held(name, "F1", said="its platform shows it offline", done="started it again", others=("F2", "F34"))
    assert "a job that it could take has waited" in "; ".join(found.evidence)
    street.done(street.job(f"octo/{name}"))


def test_a_runner_that_is_busy_with_nothing_is_started_again_and_does_its_job(street):
    street.held("f2", "F2", said="no worker process lives below it", done="started it again")
    street.done(street.jobs["f2"])


def test_one_whose_connection_is_kept_is_busy_with_nothing_when_that_lasts(street):
    street.held("f2-kept", "F2", said="its platform shows it busy", done="started it again", others=("F28",))
    street.github.busy("octo/f2-kept", "f2-kept", busy=False)
    street.done(street.job("octo/f2-kept"))


def test_a_listener_that_does_not_ask_for_jobs_any_more(street):
    street.done(street.job("octo/f3"))
    job = street.job("octo/f3")
    street.held("f3", "F3", said="online and idle", done="started it again")
    street.done(job)


def test_a_listener_that_is_sent_in_circles(street):
    street.held("f4", "F4", said="BrokerMigration", done="started it again")
    street.done(street.jobs["f4"])


def test_an_update_that_changes_nothing_is_ended_by_a_fresh_installation(street):
    street.held("f9-loop", "F9", said="still version 2.336.0", done="installed version 2.336.0 afresh")


def test_an_ended_update_is_started_again(street):
    street.held("f11", "F11", said="ended for its update", done="started it again")


def test_a_killed_listener(street):
    os.kill(street.city.runners["f12"].pid, signal.SIGKILL)
    street.held("f12", "F12", said="signal 9", done="started it again")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_files_of_another_user_are_given_back(street):
    path = street.folder("f16") / "_work" / "app" / "made-by-a-container"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.chown(path, 4711, 4711)
    street.held("f16", "F16", said="made-by-a-container", done="gave 1 files back")
    assert path.stat().st_uid == os.geteuid()


def test_processes_that_a_job_left_are_ended(street):
    street.held("f17", "F17", said="of the last job still run", done="ended")


def test_a_worker_that_crashed_under_its_job(street):
    """Nobody told its platform; the listener is started again, and the job, which its platform then calls lost, runs again once."""
    street.held("f18", "F18", said="its worker ended with code 134", done="started it again", others=("F34",))
    street.held("f18", "F34", done="run again, once", others=("F18",))
    until(lambda: [one.status for one in street.github.jobs("octo/f18")] == ["completed"] * 2, seconds=100)


def test_a_worker_that_never_took_its_job(street):
    street.held("f19", "F19", said="been cancelled, kill running worker", done="started it again", others=("F34",))
    street.held("f19", "F34", done="run again, once", others=("F19",))


def test_a_job_that_its_crashed_worker_made_red_runs_again_once(street):
    """The same red job has two causes: a step that failed is the test's own, and is left red."""
    street.held("f34", "F34", said="no step of it failed", done="run again, once")
    until(lambda: len(street.github.jobs("octo/f34")) == 2, seconds=60)
    red = street.job("octo/f34", name="red", payload={"script": "false"})
    street.done(red, "failure")
    street.done(street.job("octo/f34", name="later"))
    assert len([one for one in street.github.jobs("octo/f34") if one.name == "red"]) == 1


def test_a_job_that_hangs_is_shown_with_the_command_and_not_ended(street):
    street.done(street.job("octo/f20", name="tests", payload={"script": BUSY.format(seconds=1.5)}))
    job = street.job("octo/f20", name="tests", payload={"script": "sleep 30"})
    until(lambda: "F20" in street.city.runners["f20"].row.trouble, seconds=60)
    assert f"gh run cancel {street.github.job(job).run} --repo octo/f20" in street.city.runners["f20"].row.trouble["F20"]
    street.done(job)
    street.held("f20", "F20", said="uses no processor")


def test_a_listener_that_keeps_reconnecting_although_the_path_works(street):
    street.held("f30b", "F30b", said="Runner connect error", done="started it again")


def test_a_job_whose_labels_nobody_has_is_shown_with_the_command(street):
    job = street.job("octo/f32", labels=["self-hosted", "gpu"])
    until(lambda: "F32" in street.city.runners["f32"].row.trouble, seconds=60)
    assert "qcity runner labels f32 gpu" in street.city.runners["f32"].row.trouble["F32"]
    street.github.finish_job(job, "cancelled")
    street.held("f32", "F32", said="gpu")


def test_an_update_whose_download_fails_is_installed_by_us(street):
    street.github.offer(package.archive("2.340.0"), version="2.340.0")
    street.github.push("octo/f9-download", "f9-download", "AgentRefresh", {"TargetVersion": "2.340.0"})
    street.held("f9-download", "F9", said="Runner update failed", done="installed version 2.340.0")


def test_the_healthy_neighbour_was_never_touched(street):
    street.done(street.jobs["well"])
    assert street.incidents("well") == []
    state = street.state("well")
    assert (state.phase, state.incarnation) == (Phase.RUNNING, 1)
    assert street.github.violations == []
    left = [one for one in psutil.process_iter() if _is_orphan(one, street)]
    assert left == []


def _is_orphan(process, street):
    with contextlib.suppress(psutil.Error):
        return process.ppid() == 1 and str(street.root) in " ".join(process.cmdline())
    return False
