"""The rules of `run.sh` and of the shipped service, with the scripted listener under them: what is started again, what is given up, what is told."""

from __future__ import annotations

import os
import signal
import subprocess
from datetime import timedelta

import psutil
import pytest

from qcity_nb.testing.agents import archive
from qcity_nb.testing.agents.script import SCALE

pytestmark = [pytest.mark.real]

REPO = "octo/hello"
SECONDS = 15.0


def loop(bench, root, name, **env):
    """Start `run.sh` or `runsvc.sh`."""
    with (root / "said").open("a") as said:
        more = {"RUNNER_ALLOW_RUNASROOT": "1", SCALE: "0.002", **env}
        process = subprocess.Popen([str(root / name)], env=bench.env(**more), cwd=root, stdout=said, stderr=said)
    bench.started.append(process)
    return process


def listeners(process):
    return [one for one in psutil.Process(process.pid).children() if "Runner.Listener" in " ".join(one.cmdline())]



@pytest.mark.parametrize(
    ("code", "line"),
    [
        (0, "stop the service, no retry needed."),
        (1, "Runner listener exit with terminated error"),
        (5, "Session Conflict error"),
        (6, "Exiting with unknown error code: 6"),
        (7, "Exiting with unknown error code: 7"),
        (-9, "Exiting with unknown error code: 137"),
    ],
)
def test_run_sh_turns_nearly_everything_into_success(bench, code, line):
    root = bench.configured(script=[{"fault": "exit", "code": code}])
    assert loop(bench, root, "run.sh").wait(SECONDS) == 0
    assert line in bench.said(root)
    assert bench.said(root).splitlines()[-1] == "Exiting runner..."


def test_run_sh_tells_of_a_deprecated_version_when_it_is_asked_to(bench):
    root = bench.configured(script=[{"fault": "deprecated"}])
    assert loop(bench, root, "run.sh", ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE="1").wait(SECONDS) == 7


def test_run_sh_refuses_root(bench):
    if os.getuid() != 0:
        pytest.skip("this is not root")
    root = bench.configured()
    assert loop(bench, root, "run.sh", RUNNER_ALLOW_RUNASROOT="").wait(SECONDS) == 0
    assert bench.clues(bench.said(root)) == ["sudo"]


def test_run_sh_tries_again_without_end(bench):
    root = bench.configured(script=[{"fault": "exit", "at": "start", "code": 2, "times": 15}])
    process = loop(bench, root, "run.sh")
    bench.says(root, "Listening for Jobs")
    assert bench.said(root).count("Restarting runner...") == 15
    process.kill()
    process.wait(SECONDS)
    orphans = bench.left()
    assert [one for one in orphans if "Runner.Listener" in " ".join(one.cmdline())], "the listener lives on without it"
    for one in orphans:
        one.kill()


def test_run_sh_waits_for_an_update(bench):
    root = bench.configured()
    bench.github.offer(archive("2.337.0"), version="2.337.0")
    process = loop(bench, root, "run.sh", **{SCALE: "0.02"})
    bench.says(root, "Listening for Jobs")
    bench.github.push(REPO, "one", "AgentRefresh", {"TargetVersion": "2.337.0"})
    bench.says(root, "Current runner version: '2.337.0'")
    assert "Update finished successfully." in bench.said(root)
    bench.until(lambda: bench.said(root).count("Listening for Jobs") == 2, "it listens")
    listeners(process)[0].send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("trapped", [True, False])
def test_run_sh_and_sigterm(bench, trapped):
    """Its end is not the listener's, unless it is told to pass signals on."""
    root = bench.configured()
    process = loop(bench, root, "run.sh", **({"RUNNER_MANUALLY_TRAP_SIG": "1"} if trapped else {}))
    bench.says(root, "Listening for Jobs")
    listener = listeners(process)[0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == (0 if trapped else -signal.SIGTERM)
    assert psutil.pid_exists(listener.pid) == (not trapped)
    if not trapped:
        listener.kill()


@pytest.mark.parametrize("code", [0, 1, 5])
def test_the_service_stops(bench, code):
    root = bench.configured(script=[{"fault": "exit", "at": "start", "code": code}])
    assert loop(bench, root, "runsvc.sh").wait(SECONDS) == 0
    assert bench.said(root).count("Started listener process") == 1


@pytest.mark.parametrize("code", [2, 3, 4])
def test_the_service_gives_up_after_ten_in_a_row(bench, code):
    root = bench.configured(script=[{"fault": "exit", "at": "start", "code": code}])
    assert loop(bench, root, "runsvc.sh").wait(SECONDS) == 0
    assert bench.said(root).count("Started listener process") == 10
    assert "Stopping the runner after 10 consecutive re-tryable failures" in bench.said(root)


def test_the_service_forgets_its_count_when_it_listens(bench):
    root = bench.configured(script=[{"fault": "exit", "code": 2}])
    bench.github.rules.session_life = timedelta(0)  # what crashes leaves its session, and the next life would meet it
    process = loop(bench, root, "runsvc.sh")
    bench.until(lambda: bench.said(root).count("Started listener process") > 14, "it starts more than ten times")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    assert "consecutive" not in bench.said(root)


@pytest.mark.parametrize(("limit", "starts"), [("3", 3), ("", 12)])
def test_the_service_starts_again_what_was_killed(bench, limit, starts):
    root = bench.configured(script=[{"fault": "exit", "at": "start", "code": -9, "times": 11}])
    process = loop(bench, root, "runsvc.sh", GITHUB_ACTIONS_SERVICE_EXIT_AFTER_N_FAILURES=limit)
    if limit:
        assert process.wait(SECONDS) == 0
    else:
        bench.says(root, "Listening for Jobs")
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert bench.said(root).count("Started listener process") == starts
    assert "exited with error code null" in bench.said(root)


def test_the_service_kills_what_does_not_heed_it(bench):
    root = bench.configured(script=[{"fault": "ignore_int"}])
    process = loop(bench, root, "runsvc.sh")
    bench.says(root, "Listening for Jobs")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    assert "Sending SIGINT to runner listener to stop" in bench.said(root)
