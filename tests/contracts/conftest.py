"""What the tests of scripted agents share: a stand-in of GitHub, agents' folders, and a look for processes that are left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from qcity_nb.decide import agentlog
from qcity_nb.testing.agents import install
from qcity_nb.testing.github import FakeGitHub

REPO = "octo/hello"
SECONDS = 15.0


class Bench:
    """A stand-in of GitHub and agents' folders below one folder; every process it started is gone at the end."""

    def __init__(self, github: FakeGitHub, folder: Path) -> None:
        self.github, self.folder = github, folder
        self.token = github.token()
        self.started: list[subprocess.Popen[str]] = []
        github.repository(REPO)

    def api(self, path: str, **body: object) -> dict[str, object]:
        url = f"{self.github.url}/repos/{REPO}/actions/runners/{path}"
        reply = requests.post(url, headers={"Authorization": f"Bearer {self.token}"}, json=body or None, timeout=5)
        reply.raise_for_status()
        return reply.json()

    def env(self, **more: str) -> dict[str, str]:
        hidden = ("ACTIONS_", "RUNNER_", "GITHUB_", "SCRIPTED_")
        plain = {key: text for key, text in os.environ.items() if not key.startswith(hidden)}
        return {**plain, "SCRIPTED_AGENT_SCALE": "0.001", **more}

    def install(self, name: str = "one", **more: object) -> Path:
        return install(self.folder / name, **more)

    def command(self, root: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        program = str(root / "bin/Runner.Listener")
        return subprocess.run([program, *argv], env=self.env(**env), capture_output=True, text=True, timeout=SECONDS, check=False)

    def configured(self, name: str = "one", *more: str, script: object = None) -> Path:
        """A folder with a registration."""
        root = self.install(name, script=script).parents[1]
        ended = self.configure(root, name, *more)
        assert ended.returncode == 0, ended.stderr
        return root

    def configure(self, root: Path, name: str, *more: str, token: str = "") -> subprocess.CompletedProcess[str]:
        token = token or str(self.api("registration-token")["token"])
        argv = ["configure", "--unattended", "--url", f"{self.github.root}/{REPO}", "--name", name, *more]
        return self.command(root, *argv, ACTIONS_RUNNER_INPUT_TOKEN=token)

    def start(self, root: Path, **env: str) -> subprocess.Popen[str]:
        said = (root / "said").open("a")
        argv = [str(root / "bin/Runner.Listener"), "run"]
        process = subprocess.Popen(argv, env=self.env(**env), cwd=root, stdout=said, stderr=subprocess.STDOUT, text=True)
        said.close()
        self.started.append(process)
        return process

    def jit(self, root: Path, name: str, **env: str) -> subprocess.Popen[str]:
        made = self.api("generate-jitconfig", name=name, runner_group_id=1, labels=["self-hosted"])
        return self.start(root, ACTIONS_RUNNER_INPUT_JITCONFIG=str(made["encoded_jit_config"]), **env)

    def close(self) -> None:
        """End what still lives, and see that nothing is left."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait(SECONDS)
        self.until(lambda: not self.left(), "no process is left")

    def left(self) -> list[psutil.Process]:
        """Living processes that work below the folder or were started from it."""
        found = []
        for process in psutil.process_iter():
            try:
                words = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if str(self.folder) in words and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(process)
        return found

    def until(self, true: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
        """Wait for a condition."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"waited in vain until {what}"
            time.sleep(0.01)  # between two looks

    def said(self, root: Path) -> str:
        """The console so far."""
        return (root / "said").read_text()

    def says(self, root: Path, text: str) -> None:
        """Wait until the console has said something."""
        self.until(lambda: text in self.said(root), f"it says {text}")

    def diag(self, root: Path, prefix: str = "Runner") -> str:
        """The logs of `_diag`."""
        return "".join(path.read_text() for path in sorted(root.glob(f"_diag/{prefix}_*.log")))

    def clues(self, text: str) -> list[str]:
        """What our parser makes of the lines."""
        return [clue.name for clue in filter(None, map(agentlog.clue, text.splitlines()))]

    def listening(self, root: Path, **env: str) -> subprocess.Popen[str]:
        """Start it and wait until it listens."""
        process = self.start(root, **env)
        self.says(root, "Listening for Jobs")
        return process

    def over(self, job: int) -> str | None:
        """Wait for the end of a job; its conclusion."""
        self.until(lambda: self.github.job(job).status == "completed", "the job is over")
        return self.github.job(job).conclusion


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A place for scripted agents; at its end every process of it is gone."""
    with FakeGitHub() as github:
        made = Bench(github, tmp_path)
        try:
            yield made
        finally:
            made.close()
