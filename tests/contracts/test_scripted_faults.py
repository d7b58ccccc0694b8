"""Every fault that a scripted listener can be told: its lines as our parser reads them, its exit code, and what the platform sees."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta

import psutil
import pytest

from qcity_nb.testing.agents import Evil, archive
from qcity_nb.testing.agents.script import FAULTS, SCALE, VARIABLE

pytestmark = [pytest.mark.real]

REPO = "octo/hello"
SECONDS = 15.0
DEPRECATION = {"ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE": "1"}


def lives(process):
    return process.poll() is None and psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE


def connected(process):
    return [one for one in psutil.Process(process.pid).net_connections("inet") if one.status == psutil.CONN_ESTABLISHED]


@pytest.mark.parametrize("socket", ["keep", "close"])
def test_silent(bench, socket):
    """F1: alive, says nothing, asks nothing; its socket stays or not. SIGINT ends it."""
    root = bench.configured()
    process = bench.listening(root)
    bench.github.push(REPO, "one", "Fault", {"fault": "silent", "socket": socket})
    bench.until(lambda: len(bench.github.runner(REPO, "one").messages) == 0, "it was told")
    job = bench.github.queue_job(REPO)
    before = bench.diag(root)
    bench.until(lambda: bool(connected(process)) == (socket == "keep"), "its socket is as it was told")
    asked = len(bench.github.seen(path="/_agent/message"))
    time.sleep(0.5)  # that nothing happens shows only in time
    assert len(bench.github.seen(path="/_agent/message")) == asked
    assert (bench.diag(root), lives(process), bench.github.job(job).status) == (before, True, "queued")
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("name", ["ghost", "unacknowledged"])
def test_ghost(bench, name):
    """F2, F1: the platform believes that it works; there is no worker and no socket, and its log does not speak of a job."""
    root = bench.configured(script=[{"fault": name}])
    process = bench.listening(root)
    bench.github.queue_job(REPO)
    bench.until(lambda: bench.github.runner(REPO, "one").busy, "it has the job")
    bench.until(lambda: not connected(process), "it has hung up")
    assert lives(process)
    assert not psutil.Process(process.pid).children()
    assert "running" not in bench.clues(bench.diag(root))
    assert (bench.clues(bench.diag(root))[-1] == "acknowledging") == (name == "unacknowledged")


def test_unpolled(bench):
    """F3: after its first job it says that it goes on, and does not; it stays online."""
    root = bench.configured(script=[{"fault": "unpolled"}])
    bench.github.rules.offline_after = timedelta(seconds=1)
    process = bench.listening(root)
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    job = bench.github.queue_job(REPO)
    bench.until(lambda: bench.clues(bench.diag(root))[-1] == "new_status", "its last line is the one")
    time.sleep(1.5)  # longer than a silent session would stay online
    assert bench.github.online(REPO, "one")
    assert (bench.github.job(job).status, lives(process)) == ("queued", True)


def test_broker_loop(bench):
    """F4: one line again and again, no job is taken, the platform shows it online."""
    root = bench.configured(script=[{"fault": "broker_loop"}])
    bench.listening(root)
    job = bench.github.queue_job(REPO)
    bench.until(lambda: bench.clues(bench.diag(root))[-10:] == ["broker_migration"] * 10, "it repeats itself")
    assert (bench.github.online(REPO, "one"), bench.github.job(job).status) == (True, "queued")


@pytest.mark.parametrize("real", [True, False])
def test_session_conflict(bench, real):
    """F5: eight tries of thirty seconds, then 5; a second listener on the same registration meets it for real."""
    root = bench.configured(script=None if real else [{"fault": "session_conflict"}])
    if real:
        bench.listening(root)
    process = bench.start(root)
    assert process.wait(SECONDS) == 5
    lines = bench.said(root).splitlines()
    assert lines.count("A session for this runner already exists.") == 8
    assert "Stop retry on SessionConflictException after retried for 240 seconds." in lines
    assert "session_exists" in bench.clues(bench.diag(root))


@pytest.mark.parametrize(
    ("fault", "code", "clue"), [("registration_deleted", 1, "registration_deleted"), ("no_longer_exists", 1, "no_longer_exists")]
)
def test_no_registration_at_the_start(bench, fault, code, clue):
    root = bench.configured(script=[{"fault": fault}])
    assert bench.start(root).wait(SECONDS) == code
    assert clue in bench.clues(bench.said(root))
    assert (root / ".runner").exists()


def test_a_runner_deleted_while_it_is_away_is_told_so(bench):
    root = bench.configured()
    bench.github.delete_runner(REPO, "one")
    assert bench.start(root).wait(SECONDS) == 1
    assert bench.clues(bench.said(root)) == ["connected", "registration_deleted"]


def test_a_runner_deleted_while_it_listens_removes_its_files_and_ends_well(bench):
    root = bench.configured()
    process = bench.listening(root)
    bench.github.delete_runner(REPO, "one")
    assert process.wait(SECONDS) == 0
    assert "The runner no longer exists on the server. Cleaning up local configuration." in bench.said(root)
    assert bench.clues(bench.said(root))[-1] == "no_longer_exists"
    assert not list(root.glob(".runner")) + list(root.glob(".cred*"))


def test_a_session_that_is_forgotten_is_opened_again(bench):
    root = bench.configured()
    process = bench.listening(root)
    bench.github.end_session(REPO, "one")
    bench.until(lambda: "recovered by recreate session" in bench.diag(root), "it recovers")
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    assert lives(process)


@pytest.mark.parametrize("real", [True, False])
def test_clock(bench, real):
    """F8: half an hour of tries; a skew is met for real by the platform's check of the time."""
    root = bench.configured(script={"skew": 900} if real else [{"fault": "clock"}])
    assert bench.start(root, **{SCALE: "0.0001"}).wait(SECONDS) == 1
    said = bench.said(root)
    assert bench.clues(said).count("clock") == 60
    assert "Stopped retrying OAuth token request exception after 1800 seconds." in said


def test_a_wrong_clock_may_be_taken_for_a_deleted_registration(bench):
    """F7: the same words as F6."""
    root = bench.configured(script=[{"fault": "clock", "as": "deleted"}])
    assert bench.start(root).wait(SECONDS) == 1
    assert "registration_deleted" in bench.clues(bench.said(root))


@pytest.mark.parametrize(("env", "code"), [({}, 1), (DEPRECATION, 7)])
@pytest.mark.parametrize("real", [True, False])
def test_deprecated(bench, env, code, real):
    """F10: it connects, listens, and is refused."""
    root = bench.configured(script=None if real else [{"fault": "deprecated"}])
    if real:
        bench.github.minimum_version = "2.999.0"
    assert bench.start(root, **env).wait(SECONDS) == code
    assert bench.said(root).splitlines()[-1] == "An error occurred: Runner version v2.336.0 is deprecated and cannot receive messages."


def test_an_update_replaces_bin_by_a_link_once_it_has_ended(bench):
    root = bench.configured()
    bench.github.offer(archive("2.337.0"), version="2.337.0")
    process = bench.listening(root)
    bench.github.push(REPO, "one", "AgentRefresh", {"TargetVersion": "2.337.0"})
    assert process.wait(SECONDS) == 3
    assert bench.clues(bench.said(root))[-4:] == ["updating", "updating", "update_exit", "update_finished"]
    bench.until((root / "update.finished").exists, "the update is applied")
    bench.until(lambda: list(root.glob("_diag/SelfUpdate-*.log.succeed")), "its log is named so")
    assert (root / "bin").readlink().name == "bin.2.337.0"
    bench.listening(root)
    bench.says(root, "Current runner version: '2.337.0'")


def test_an_update_waits_for_the_job(bench):
    root = bench.configured()
    bench.github.offer(archive("2.337.0"), version="2.337.0")
    process = bench.listening(root)
    job = bench.github.queue_job(REPO, payload={"script": f"until [ -e {root}/go ]; do sleep 0.05; done"})
    bench.says(root, "Running job")
    bench.github.push(REPO, "one", "AgentRefresh", {"TargetVersion": "2.337.0"})
    bench.says(root, "Waiting for current job finish running.")
    assert lives(process)
    (root / "go").touch()
    assert process.wait(SECONDS) == 3
    assert bench.over(job) == "success"
    bench.until((root / "update.finished").exists, "the update is applied")


def test_an_ephemeral_runner_that_updates_ends_with_four(bench):
    root = bench.configured("one", "--ephemeral", script=[{"fault": "update_loops"}])
    assert bench.start(root).wait(SECONDS) == 4


def test_update_fails(bench):
    """F9: in the script that comes after it: 3, a .failed file, the old version; in the download: it says so and goes on."""
    root = bench.configured(script=[{"fault": "update_fails", "times": 1}, {"fault": "update_fails", "phase": "download"}])
    bench.github.offer(archive("2.337.0"), version="2.337.0")
    process = bench.listening(root)
    bench.github.push(REPO, "one", "AgentRefresh", {"TargetVersion": "2.337.0"})
    assert process.wait(SECONDS) == 3
    bench.until(lambda: list(root.glob("_diag/SelfUpdate-*.failed")), "its log is named so")
    assert not (root / "bin").is_symlink()
    again = bench.start(root)
    bench.until(lambda: bench.said(root).count("Listening for Jobs") == 2, "it listens again")
    bench.github.push(REPO, "one", "AgentRefresh", {"TargetVersion": "2.337.0"})
    bench.says(root, "Runner update failed: ")
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    assert lives(again)


def test_update_loops(bench):
    """F9: ends with 3 each time, and is what it was."""
    root = bench.configured(script=[{"fault": "update_loops"}])
    for _ in range(3):
        assert bench.start(root).wait(SECONDS) == 3
    assert bench.said(root).count("Current runner version: '2.336.0'") == 3
    assert not list(root.glob("_diag/SelfUpdate-*"))


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, -9, -6])
def test_exit(bench, code):
    root = bench.configured(script=[{"fault": "exit", "code": code, "after": 1}])
    assert bench.start(root).wait(SECONDS) == code


def test_a_fault_may_come_on_some_lives_only(bench):
    root = bench.configured(script=[{"fault": "exit", "at": "start", "code": 2, "times": 2}])
    assert [bench.start(root).wait(SECONDS) for _ in range(2)] == [2, 2]
    bench.listening(root)


def test_a_script_is_named_by_the_environment_and_read_anew(bench):
    root, told = bench.configured(), bench.folder / "told.json"
    told.write_text(json.dumps([{"fault": "exit", "code": 6, "agents": "two*"}]))
    process = bench.listening(root, **{VARIABLE: str(told)})
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    told.write_text(json.dumps([{"fault": "exit", "code": 6, "agents": "on*"}]))
    assert process.wait(SECONDS) == 6


@pytest.mark.parametrize("completes", [True, False])
def test_crash_worker(bench, completes):
    """F18: the worker's code is none of 100 to 105; at the worst nobody is told that the job is over."""
    root = bench.configured(script=[{"fault": "crash_worker", "code": 139, "completes": completes, "times": 1}])
    process = bench.listening(root)
    job = bench.github.queue_job(REPO)
    bench.until(lambda: "worker_exit" in bench.clues(bench.diag(root)), "its worker has ended")
    assert "Code: 139" in bench.diag(root)
    if completes:
        assert bench.over(job) == "failure"
        assert "NullReferenceException" in bench.github.job(job).log
    else:
        assert bench.github.job(job).status == "in_progress"
        assert "completed" not in bench.clues(bench.said(root))
    assert lives(process)


def test_worker_hung(bench):
    """F19: after thirty seconds the worker is killed, the listener of one job ends well, and the platform was told nothing."""
    root = bench.configured("one", "--ephemeral", script=[{"fault": "worker_hung"}])
    process = bench.start(root, **{SCALE: "0.01"})
    job = bench.github.queue_job(REPO)
    bench.until(lambda: [one for one in psutil.Process(process.pid).children() if "Runner.Worker" in one.cmdline()], "it has a worker")
    assert process.wait(SECONDS) == 0
    assert "worker_hung" in bench.clues(bench.diag(root))
    assert bench.github.job(job).status == "in_progress"


def test_disk_full(bench):
    """F14, where the worker's log has no space, and where the listener's own has none."""
    root = bench.configured(script=[{"fault": "disk_full"}])
    process = bench.listening(root)
    assert bench.over(bench.github.queue_job(REPO)) == "failure"
    bench.until(lambda: "disk_full" in bench.clues(bench.diag(root)), "the log says it")
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0
    (root / "bin/script.json").write_text(json.dumps([{"fault": "disk_full", "at": "start"}]))
    assert bench.start(root).wait(SECONDS) == 2
    assert bench.clues(bench.said(root))[-1] == "disk_full"


def test_leave_orphans(bench):
    """F17: what the job left is in no session and no tree of the agent's, and bears no mark."""
    seconds = float(f"61.{os.getpid()}")  # so that another run of these tests is not taken for this one
    root = bench.configured(script=[{"fault": "leave_orphans", "seconds": seconds}])
    bench.listening(root)
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    left = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", str(seconds)]]
    assert len(left) == 1
    assert os.getsid(left[0].pid) == left[0].pid
    assert "RUNNER_TRACKING_ID" not in left[0].environ()
    left[0].kill()


@pytest.mark.parametrize(
    ("fault", "code", "clue"), [("sudo", 1, "sudo"), ("libicu", -signal.SIGABRT, "dependencies"), ("work_folder", 1, "")]
)
def test_what_ends_it_before_it_begins(bench, fault, code, clue):
    """F31."""
    root = bench.configured(script=[{"fault": fault}])
    assert bench.start(root).wait(SECONDS) == code
    assert clue in [*bench.clues(bench.said(root)), ""]
    assert "Fail to create" in bench.said(root) or clue


def test_not_found(bench):
    """F21: a registration is refused although its token is good."""
    root = bench.install("one", script=[{"fault": "not_found", "times": 1}]).parents[1]
    assert bench.configure(root, "one").returncode == 1
    assert bench.configure(root, "one").returncode == 0


def test_already_configured(bench):
    """F24: it says so although nothing is there."""
    root = bench.install("one", script=[{"fault": "already_configured", "times": 1}]).parents[1]
    refused = bench.configure(root, "one")
    assert refused.returncode == 1
    assert "already_configured" in bench.clues(refused.stdout + refused.stderr)
    assert bench.configure(root, "one").returncode == 0


def test_starved(bench):
    """F13: the job runs to its end, and the log says that the listener was not heard beside it."""
    root = bench.configured(script=[{"fault": "starved", "times": 1}])
    bench.listening(root)
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    bench.until(lambda: "lost_communication" in bench.clues(bench.diag(root)), "the log says it")


def test_connect_error(bench):
    """F30: told, for a time, and for real, at the start and later."""
    root = bench.configured(script=[{"fault": "connect_error", "seconds": 300, "times": 1}])
    process = bench.start(root)
    bench.says(root, "Runner reconnected.")
    said = bench.clues(bench.said(root))  # one thread says that it listens, another one already asks
    assert (said[0], said[-1], sorted(said[1:-1])) == ("connected", "reconnected", ["connect_error", "listening"])
    with bench.github.outage():
        bench.until(lambda: bench.said(root).count("Runner connect error") == 2, "it notices")
    bench.until(lambda: bench.said(root).count("Runner reconnected") == 2, "it is back")
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0
    with bench.github.outage():
        bench.start(root)
        bench.until(lambda: bench.said(root).count("Runner connect error") == 3, "it cannot start")
    bench.until(lambda: bench.said(root).count("Listening for Jobs") == 2, "it listens")


@pytest.mark.parametrize("fault", ["ignore_int", "ignore_term"])
def test_signals_that_are_ignored(bench, fault):
    root = bench.configured(script=[{"fault": fault}])
    process = bench.listening(root)
    process.send_signal(signal.SIGTERM)
    if fault == "ignore_int":
        process.send_signal(signal.SIGINT)
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    assert lives(process)
    if fault == "ignore_term":
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0


def test_the_newer_protocol_has_lines_of_its_own(bench):
    root = bench.configured(script={"flow": "v2"})
    bench.listening(root)
    assert bench.over(bench.github.queue_job(REPO)) == "success"
    assert "acknowledging" in bench.clues(bench.diag(root))
    bench.until(lambda: "No message retrieved within last 30 minutes." in bench.diag(root), "it says that it lives")


@pytest.mark.parametrize("evil", Evil)
def test_evil_archives_are_refused(tmp_path, evil):
    """By our own unpacking, which is what they are for."""
    from qcity_nb.errors import Refused
    from qcity_nb.kinds.runners.forge import packages

    (tmp_path / "a.tar.gz").write_bytes(archive(evil=evil))
    with pytest.raises(Refused):
        packages.unpack(tmp_path / "a.tar.gz", tmp_path / "deep/er/in")
    assert not list(tmp_path.rglob("evil"))


def test_every_fault_is_tried_here():
    from pathlib import Path

    tried = Path(__file__).read_text() + Path(__file__).with_name("test_scripted_gitlab.py").read_text()
    assert [name for name in FAULTS if f'"{name}"' not in tried] == []
