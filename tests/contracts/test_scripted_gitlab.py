"""The scripted gitlab-runner behaves as the real one: commands, log lines, exit codes, signals and health, against the stand-in of GitLab."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time

import psutil
import pytest

from qcity_nb.decide import agentlog
from qcity_nb.testing.agents import gitlab_release, gitlab_runner
from qcity_nb.testing.agents.gllog import FORMATS, _lines
from qcity_nb.testing.agents.script import SCALE, VARIABLE
from qcity_nb.testing.gitlab import FakeGitLab

pytestmark = [pytest.mark.real]

PROJECT = "octo/hello"
SECONDS = 15.0


class Runner:
    """A folder with a gitlab-runner and its configuration."""

    def __init__(self, gitlab, folder):
        self.gitlab, self.folder = gitlab, folder
        gitlab.project(PROJECT)
        self.made = gitlab.add_runner(PROJECT, "one", tags=["gpu"])
        self.program, self.config, self.log = folder / "gitlab-runner", folder / "config.toml", folder / "said"
        self.program.write_bytes(gitlab_runner())
        self.program.chmod(0o755)
        self.log.touch()
        self.started = []
        self.configure()

    def configure(self, *, concurrent=1, more="request_concurrency = 2", runners=1):
        table = f'[[runners]]\n  name = "one"\n  url = "{self.gitlab.root}"\n  token = "{self.made.token}"\n  executor = "shell"\n  {more}\n'
        self.config.write_text(f"concurrent = {concurrent}\ncheck_interval = 3\nshutdown_timeout = 30\n{table * runners}")

    def faults(self, *faults, **more):
        (self.folder / "script.json").write_text(json.dumps({"faults": list(faults), **more}))

    def env(self, **more):
        return {key: text for key, text in os.environ.items() if not key.startswith("SCRIPTED_")} | {SCALE: "0.01", **more}

    def start(self, *argv, **env):
        with self.log.open("a") as said:
            command = [str(self.program), *(argv or ("run", "--config", str(self.config), "--working-directory", str(self.folder)))]
            process = subprocess.Popen(command, env=self.env(**env), cwd=self.folder, stdout=said, stderr=said)
        self.started.append(process)
        return process

    def single(self, **env):
        return self.start("run-single", "--config", str(self.config), "--runner", "one", "--max-builds", "1", **env)

    def said(self):
        return self.log.read_text()

    def clues(self):
        return [one.name for one in filter(None, map(agentlog.clue, self.said().splitlines()))]

    def until(self, true, what, seconds=SECONDS):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"waited in vain until {what}; it said {self.said()}"
            time.sleep(0.01)  # between two looks

    def says(self, text, times=1):
        self.until(lambda: self.said().count(text) >= times, f"it says {text}")

    def over(self, job):
        self.until(lambda: self.gitlab.job(job).status not in ("pending", "running", "canceling"), "the job is over")
        return self.gitlab.job(job).status

    def working(self, job):
        self.until(lambda: b"begun" in self.gitlab.job(job).trace, "the job works")

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait(SECONDS)
        for one in processes(self.folder):
            one.kill()  # a script outlives a gitlab-runner that is killed outright, as with the real one
        self.until(lambda: not processes(self.folder), "no process is left")


def processes(folder):
    """The living processes that work in a folder."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if one.cwd().startswith(str(folder)) and one.status() != psutil.STATUS_ZOMBIE and one.pid != os.getpid():
                found.append(one)
    return found


@pytest.fixture
def runner(tmp_path):
    with FakeGitLab() as gitlab:
        made = Runner(gitlab, tmp_path)
        try:
            yield made
        finally:
            made.close()


def test_run_takes_jobs_until_it_is_asked_to_finish(runner):
    process = runner.start()
    good = runner.gitlab.queue_job(PROJECT, script=["echo hello", "echo $CI_JOB_NAME"], tags=["gpu"], name="build")
    assert runner.over(good) == "success"
    assert b"hello\nbuild\n" in runner.gitlab.job(good).trace
    bad = runner.gitlab.queue_job(PROJECT, script=["exit 3", "echo never"], tags=["gpu"])
    assert runner.over(bad) == "failed"
    assert (runner.gitlab.job(bad).failure_reason, runner.gitlab.job(bad).exit_code) == ("script_failure", 3)
    assert b"never" not in runner.gitlab.job(bad).trace
    process.send_signal(signal.SIGQUIT)
    assert process.wait(SECONDS) == 0
    assert runner.clues()[0] == "gl_ready"
    assert [one for one in runner.clues() if one != "gl_ready"] == ["gl_received", "gl_over", "gl_received", "gl_over"]
    assert runner.gitlab.flags == []
    assert "Requested quit, waiting for builds to finish" in runner.said()


def test_run_single_does_its_job_and_leaves(runner):
    process = runner.single()
    assert runner.over(runner.gitlab.queue_job(PROJECT, tags=["gpu"])) == "success"
    assert process.wait(SECONDS) == 0
    assert runner.clues() == ["gl_ready", "gl_received", "gl_over", "gl_limit"]


@pytest.mark.parametrize("way", ["run", "single"])
def test_quit_waits_for_the_job(runner, way):
    process = runner.start() if way == "run" else runner.single()
    job = runner.gitlab.queue_job(PROJECT, script=["echo begun", f"until [ -e {runner.folder}/go ]; do sleep 0.05; done"], tags=["gpu"])
    runner.working(job)
    process.send_signal(signal.SIGQUIT)
    runner.says("Requested quit, waiting for builds to finish")
    (runner.folder / "go").touch()
    assert (process.wait(SECONDS), runner.over(job)) == (0, "success")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", ["run", "single"])
def test_a_signal_aborts_the_job(runner, number, way):
    process = runner.start() if way == "run" else runner.single()
    job = runner.gitlab.queue_job(PROJECT, script=["echo begun", "sleep 63.5"], tags=["gpu"])
    runner.working(job)
    process.send_signal(number)
    assert (process.wait(SECONDS), runner.over(job)) == (0, "failed")
    assert runner.gitlab.job(job).failure_reason == "runner_system_failure"
    assert ("Requested service stop" if way == "run" else "Requested exit") in runner.said()


def test_a_second_signal_does_not_wait(runner):
    process = runner.start(**{SCALE: "1"})
    job = runner.gitlab.queue_job(PROJECT, script=["trap '' TERM", "echo begun", "sleep 63.5", "sleep 63.5"], tags=["gpu"])
    runner.working(job)
    process.send_signal(signal.SIGTERM)
    runner.says("Requested service stop")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 1
    assert "level=fatal" in runner.said()


def test_a_job_is_cancelled_by_its_platform(runner):
    runner.start()
    job = runner.gitlab.queue_job(PROJECT, script=["echo begun", "sleep 63.5"], tags=["gpu"])
    runner.working(job)
    runner.gitlab.cancel_job(job)
    assert runner.over(job) == "canceled"
    assert runner.over(runner.gitlab.queue_job(PROJECT, tags=["gpu"])) == "success"


@pytest.mark.parametrize("real", [True, False])
def test_forbidden(runner, real):
    """F35: three refusals and it is disabled for an hour; reading its configuration again forgets that."""
    if real:
        old, runner.made.token = runner.made.token, runner.gitlab.reset_token("one")
        assert old != runner.made.token
    else:
        runner.faults({"fault": "forbidden", "times": 3})
    process = runner.start()
    runner.says("is unhealthy and will be disabled for 1h0m0s")
    asked = len(runner.gitlab.seen(path="*/jobs/request"))
    job = runner.gitlab.queue_job(PROJECT, tags=["gpu"])
    time.sleep(0.3)  # ten intervals: that nothing is asked shows only in time
    assert (len(runner.gitlab.seen(path="*/jobs/request")), runner.clues().count("gl_forbidden"), process.poll()) == (asked, 3, None)
    if real:
        runner.configure()
    process.send_signal(signal.SIGHUP)
    assert runner.over(job) == "success"
    assert "gl_unhealthy" in runner.clues()


def test_the_hour_passes(runner):
    runner.faults({"fault": "forbidden", "times": 3})
    runner.start(**{SCALE: "0.0001"})
    runner.says("is not healthy, but check for a new job will be forced!")
    assert runner.over(runner.gitlab.queue_job(PROJECT, tags=["gpu"])) == "success"


def test_forbidden_once_only_in_a_single_run(runner):
    runner.faults({"fault": "forbidden", "times": 1})
    runner.single(**{SCALE: "0.001"})
    assert runner.over(runner.gitlab.queue_job(PROJECT, tags=["gpu"])) == "success"
    assert runner.clues()[1:3] == ["gl_forbidden", "gl_unhealthy"]


def test_unhealthy(runner):
    runner.faults({"fault": "unhealthy", "times": 1})
    runner.single(**{SCALE: "0.001"})
    runner.says("Runner is not healthy!")
    assert runner.over(runner.gitlab.queue_job(PROJECT, tags=["gpu"])) == "success"


def test_an_instance_that_is_down_is_no_reason_to_be_disabled(runner):
    runner.gitlab.rules.down_for_runners = True
    runner.start()
    runner.says("GitLab instance currently unavailable", 5)
    runner.gitlab.rules.down_for_runners = False
    assert runner.over(runner.gitlab.queue_job(PROJECT, tags=["gpu"])) == "success"
    assert "gl_unhealthy" not in runner.clues()


def test_a_platform_out_of_reach_is(runner):
    with runner.gitlab.outage():
        runner.start()
        runner.says("is unhealthy and will be disabled")
        assert runner.said().count("client error") == 3


@pytest.mark.parametrize(
    ("concurrent", "more", "runners", "issue"),
    [
        (1, "", 1, "Request bottleneck"),
        (1, "request_concurrency = 2", 2, "Worker starvation"),
        (2, "limit = 1", 1, "Build limit"),
        (1, "request_concurrency = 2", 1, ""),
    ],
)
def test_its_own_configuration_is_judged_as_by_the_real_one(runner, concurrent, more, runners, issue):
    """F36: said at every loading, also when only `request_concurrency` is left at 1."""
    runner.configure(concurrent=concurrent, more=more, runners=runners)
    process = runner.start()
    runner.says("Initializing executor providers")
    assert ("gl_long_polling" in runner.clues()) == bool(issue)
    assert issue in runner.said()
    process.send_signal(signal.SIGHUP)
    runner.says("Configuration loaded", 2)
    runner.configure(concurrent=1)
    runner.says("Configuration loaded", 3)


def test_long_polling(runner):
    runner.faults({"fault": "long_polling", "times": 1})
    process = runner.start()
    runner.says("Initializing executor providers")
    assert runner.clues().count("gl_long_polling") == 1
    process.send_signal(signal.SIGHUP)
    runner.says("Configuration loaded", 2)
    assert runner.clues().count("gl_long_polling") == 1


def test_prepare_environment(runner):
    """F38."""
    runner.faults({"fault": "prepare_environment"})
    runner.start()
    job = runner.gitlab.queue_job(PROJECT, tags=["gpu"])
    assert runner.over(job) == "failed"
    assert runner.gitlab.job(job).failure_reason == "runner_system_failure"
    runner.says("Job failed (system failure): prepare environment:")
    assert "gl_prepare" in runner.clues()


def test_silent(runner):
    runner.faults({"fault": "silent", "after": 3})
    process = runner.start()
    runner.until(lambda: len(runner.gitlab.seen(path="*/jobs/request")) == 3, "it has asked three times")
    job = runner.gitlab.queue_job(PROJECT, tags=["gpu"])
    before = runner.said()
    time.sleep(0.3)  # that nothing happens shows only in time
    assert (runner.said(), runner.gitlab.job(job).status, process.poll()) == (before, "pending", None)
    process.send_signal(signal.SIGQUIT)
    assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("code", [0, 1, 2, 137, -9])
@pytest.mark.parametrize("way", ["run", "single"])
def test_exit(runner, code, way):
    runner.faults({"fault": "exit", "code": code, "after": 1})
    process = runner.start() if way == "run" else runner.single()
    assert process.wait(SECONDS) == code


def test_signals_that_are_ignored(runner):
    (runner.folder / "told.json").write_text(json.dumps([{"fault": "ignore_int"}]))
    process = runner.start(**{VARIABLE: str(runner.folder / "told.json")})
    runner.says("Initializing")
    for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    assert runner.over(runner.gitlab.queue_job(PROJECT, tags=["gpu"])) == "success"
    assert process.poll() is None


@pytest.mark.parametrize("wrong", ["concurrent", "toml", "missing", "name"])
def test_what_ends_it_at_once(runner, wrong):
    if wrong == "concurrent":
        runner.configure(concurrent=0)
    elif wrong == "toml":
        runner.config.write_text("concurrent = [")
    elif wrong == "missing":
        runner.config.unlink()
    process = runner.start("run-single", "--config", str(runner.config), "--runner", "two") if wrong == "name" else runner.start()
    assert process.wait(SECONDS) == 1
    expected = {"concurrent": "Concurrent is less than 1 - no jobs will be processed", "name": "could not find a runner with the name 'two'"}
    assert "level=fatal" in runner.said().splitlines()[-1]
    assert expected.get(wrong, "") in runner.said()


def test_verify_and_unregister(runner):
    assert runner.start("verify", "--config", str(runner.config)).wait(SECONDS) == 0
    assert "Verifying runner... is valid" in runner.said()
    assert runner.start("unregister", "--config", str(runner.config), "--name", "one").wait(SECONDS) == 0
    assert "[[runners]]" not in runner.config.read_text()
    runner.configure()
    runner.gitlab.reset_token("one")
    assert runner.start("verify", "--config", str(runner.config)).wait(SECONDS) == 1
    assert "Verifying runner... is not valid" in runner.said()


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_understood(runner, form):
    runner.faults(log_format=form)
    process = runner.single()
    assert runner.over(runner.gitlab.queue_job(PROJECT, tags=["gpu"])) == "success"
    assert process.wait(SECONDS) == 0
    assert runner.clues() == ["gl_ready", "gl_received", "gl_over", "gl_limit"]


def test_an_old_python_reads_the_same_configuration(runner):
    tomllib = pytest.importorskip("tomllib")
    runner.configure(runners=2, more='pre_build_script = ". \\"a\\""\n  [runners.custom]\n  x = 1')
    assert _lines(runner.config.read_text()) == tomllib.loads(runner.config.read_text())


def test_what_is_published_has_its_checksum():
    import hashlib

    release = gitlab_release()
    name, digest = "binaries/gitlab-runner-linux-amd64", hashlib.sha256(gitlab_runner()).hexdigest()
    assert release["release.sha256"] == f"{digest} *{name}\n".encode()
    assert release[name] == gitlab_runner()
