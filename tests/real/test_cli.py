"""The command with the real engine: runners start, die, are mended, stop; a dead engine is replaced and said."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qcity_nb.io.files import is_locked

pytestmark = pytest.mark.real

MAIN = [sys.executable, "-c", "import sys; from qcity_nb.cli import main; sys.exit(main())"]


class Qcity:
    """Runs commands on one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("QCITY_")} | {"QCITY_HOME": str(home)}

    def __call__(self, *argv, code=0):
        done = subprocess.run([*MAIN, *argv], env=self.env, capture_output=True, text=True, timeout=60, check=False, cwd=self.home.parent)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def json(self, *argv, code=0):
        return json.loads(self(*argv, "--json", code=code))

    def until(self, what, probe, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (found := probe()) is not None:
                return found
        pytest.fail(f"not seen in {seconds} s: {what}")


@pytest.fixture
def qcity(tmp_path):
    command = Qcity(tmp_path / "a home with spaces ü")
    yield command
    if is_locked(command.home / "engine.lock"):
        command("engine", "stop", "--runners")


def test_a_command_runner_lives_dies_is_mended_and_stops(qcity):
    said = qcity("runner", "start", "command", "--name", "agent", "--", "sleep", "1000")
    assert said.startswith("● agent is up (pid ")
    pid = qcity.json("runner", "show", "agent")["pid"]
    os.kill(pid, signal.SIGKILL)

    def other():
        shown = qcity.json("runner", "show", "agent")
        return shown if shown["pid"] not in (pid, None) and shown["phase"] == "running" else None

    qcity.until("another process", other)
    incident = qcity.json("incident", "list")["incidents"][0]
    assert "killed from outside (signal 9)" in incident["cause"]
    assert "cause" in qcity("incident", "show", "1")
    assert qcity("runner", "stop", "agent") == "○ agent is stopped\n"
    assert "forgotten" in qcity("runner", "remove", "agent")
    assert qcity.json("runner", "list") == {"runners": []}


def test_a_runner_that_cannot_come_up_says_its_own_last_words(qcity):
    err = qcity("runner", "start", "command", "--name", "crash", "--", "sh", "-c", "echo no licence; exit 3", code=1)
    assert "crash does not come up" in err
    assert "no licence" in err
    assert qcity("runner", "logs", "crash").startswith("no licence")


def test_a_killed_engine_is_replaced_by_the_next_command_and_its_runner_is_adopted(qcity):
    qcity("runner", "start", "command", "--name", "agent", "--", "sleep", "1000")
    before = qcity.json("status")
    os.kill(before["engine"]["pid"], signal.SIGKILL)
    qcity.until("the lock is free", lambda: None if is_locked(qcity.home / "engine.lock") else True)
    assert json.loads(subprocess.run([*MAIN, "status", "--json"], env=qcity.env, capture_output=True, check=False).stdout)["level"] == "stale"
    watching = subprocess.run([*MAIN, "status", "--watch", "--for", "3"], env=qcity.env, capture_output=True, text=True, timeout=60, check=False)
    assert "The engine had died" in watching.stdout
    assert "\x1b" not in watching.stdout
    after = qcity.json("status")
    assert after["engine"]["generation"] == before["engine"]["generation"] + 1
    assert after["runners"][0]["pid"] == before["runners"][0]["pid"]


def test_the_engine_stops_and_is_adopted_again_without_touching_its_runner(qcity):
    qcity("runner", "start", "command", "--name", "agent", "--", "sleep", "1000")
    pid = qcity.json("runner", "show", "agent")["pid"]
    assert "1 runner goes on" in qcity("engine", "stop")
    qcity("engine", "status", code=1)
    os.kill(pid, 0)
    assert "looks after 1 runner" in qcity("engine", "adopt")
    assert qcity.json("runner", "show", "agent")["pid"] == pid
    assert "everything it kept running have ended" in qcity("engine", "stop", "--runners")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "not a"),
        (lambda path: subprocess.run(["git", "init", "-q", "--bare", path], check=True), ""),
        (lambda path: None, "no"),
    ],
    ids=["not a repository", "bare", "not there"],
)
def test_a_repository_that_cannot_be_used_is_one_sentence_or_works(qcity, tmp_path, make, words):
    make(tmp_path / "repo")
    command = [*MAIN, "runner", "start", "local", str(tmp_path / "repo")]
    done = subprocess.run(command, env=qcity.env, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode in ((0, 1, 2) if not words else (1, 2))
    if done.returncode:
        assert done.stderr.startswith("qcity: ")
        assert words in done.stderr


def test_up_starts_what_the_file_asks_for_and_twice_is_once(qcity, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
    (repo / "qcity.toml").write_text('[runner.agent]\nkind = "command"\ncommand = ["sleep", "1000"]\n[policy]\nrestart = { burst = 3 }\n')
    assert "agent is well" in qcity("up", "--repo", str(repo))
    pid = qcity.json("runner", "show", "agent")["pid"]
    qcity("up", "--repo", str(repo))
    assert qcity.json("runner", "show", "agent")["pid"] == pid


def test_up_says_what_it_leaves_out_and_strict_refuses(qcity, tmp_path):
    workflow = tmp_path / "repo" / ".github" / "workflows" / "ci.yml"
    workflow.parent.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path / "repo")], check=True)
    workflow.write_text(
        "on: push\njobs:\n  db:\n    runs-on: ubuntu-latest\n    services:\n      pg: {image: postgres}\n    steps: [{run: 'true'}]\n"
        "  other:\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n"
    )
    (tmp_path / "repo" / "qcity.toml").write_text('[runner.agent]\nkind = "command"\ncommand = ["sleep", "1000"]\n')
    err = qcity("up", "--strict", "--repo", str(tmp_path / "repo"), code=1)
    assert '.github/workflows/ci.yml:5: job "db" uses `services:`' in err
    assert not (qcity.home / "engine.lock").exists()
    done = subprocess.run([*MAIN, "up", "--repo", str(tmp_path / "repo")], env=qcity.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "Left out. The other job runs." in done.stderr


def test_watching_ends_cleanly_on_ctrl_c_and_on_a_reader_that_left(qcity):
    qcity("runner", "start", "command", "--name", "agent", "--", "sleep", "1000")
    with subprocess.Popen([*MAIN, "status", "--watch"], env=qcity.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 130
        assert "Traceback" not in watching.stderr.read()
    with subprocess.Popen([*MAIN, "status", "--watch"], env=qcity.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        watching.stdout.readline()
        watching.stdout.close()
        qcity("runner", "stop", "agent")  # a change, so that it prints
        assert watching.wait(20) == 0
        assert watching.stderr.read() == ""


def test_help_is_quick():
    """In time of a processor: what else the machine does is not measured."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*MAIN, "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3
