"""A real Buildbot worker, which nobody wrote for us, is kept running: killed, frozen, cut off from its master. It still builds afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import venv
from pathlib import Path

import pytest
import requests

import qcity_nb
from qcity_nb.io.files import is_locked
from qcity_nb.model.service import Phase
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(300)]
PACKAGES = ["buildbot==4.3.0", "buildbot-worker==4.3.0", "buildbot-www==4.3.0"]
MASTER = """
from buildbot.plugins import schedulers, steps, util, worker
c = BuildmasterConfig = {}
c["workers"] = [worker.Worker("w1", "pass")]
c["protocols"] = {"pb": {"port": "tcp:PORT:interface=127.0.0.1"}}
c["schedulers"] = [schedulers.ForceScheduler(name="force", builderNames=["hello"])]
c["builders"] = [util.BuilderConfig(name="hello", workernames=["w1"], factory=util.BuildFactory([steps.ShellCommand(command=["echo", "hello"])]))]
c["www"] = {"port": "tcp:WEB:interface=127.0.0.1", "plugins": {}}
c["buildbotURL"] = "http://127.0.0.1:WEB/"
c["buildbotNetUsageData"] = None
"""
WORKER = """
from buildbot_worker.bot import Worker
from twisted.application import service
application = service.Application("buildbot-worker")
Worker("127.0.0.1", PORT, "w1", "pass", BASE, 1, maxdelay=2).setServiceParent(application)
"""
"""Its log is what it prints, and it says every second that it lives."""


@pytest.fixture(scope="module")
def python():
    """The Python of an environment with Buildbot, made once and kept in the temporary folder of this user."""
    base = Path(tempfile.gettempdir()) / f"qcity-tests-{os.geteuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    assert base.stat().st_uid == os.geteuid(), f"{base} is somebody else's"
    kept = base / f"buildbot-4.3.0-python{sys.version_info.major}.{sys.version_info.minor}"
    if not kept.exists():
        made = Path(tempfile.mkdtemp(dir=base))
        venv.create(made, with_pip=True)
        done = subprocess.run([str(made / "bin/python"), "-m", "pip", "install", "-q", *PACKAGES], capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(made)
            reason = f"Buildbot cannot be installed here: {done.stderr.strip().splitlines()[-1]}"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
        made.rename(kept)  # used by its python alone, which does not mind
    return str(kept / "bin/python")


class Door:
    """A TCP door between worker and master, which can be shut."""

    def __init__(self, port: int) -> None:
        self._to, self._open, self._ends, self._threads = port, True, [], []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._begin(self._serve)

    def _begin(self, target, *args):
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def shut(self):
        self._open = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def unlock(self):
        self._open = True

    def close(self):
        self.shut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in (*self._ends, self._listener):
            end.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._open:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    self._begin(self._pass, one, other)

    def _pass(self, one, other):
        with contextlib.suppress(OSError):
            while raw := one.recv(1 << 16):
                other.sendall(raw)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class Master:
    """A real master with one builder."""

    def __init__(self, python: str, folder: Path) -> None:
        self.port, self._web = free_port(), free_port()
        run = [python, "-c", "import sys; from buildbot.scripts.runner import run; sys.exit(run())"]
        subprocess.run([*run, "create-master", "-q", str(folder)], check=True, capture_output=True)
        (folder / "master.cfg").write_text(MASTER.replace("PORT", str(self.port)).replace("WEB", str(self._web)))
        self._said = (folder / "said").open("wb")
        self.process = subprocess.Popen([*run, "start", "--nodaemon", str(folder)], stdout=self._said, stderr=self._said)
        until(self._answers, seconds=90)

    def builds(self) -> list:
        return requests.get(f"http://127.0.0.1:{self._web}/api/v2/builds", timeout=10).json()["builds"]

    def build(self) -> None:
        """Force a build, and see it succeed."""
        before = len(self.builds())
        body = {"jsonrpc": "2.0", "id": 1, "method": "force", "params": {"builderNames": ["hello"]}}
        requests.post(f"http://127.0.0.1:{self._web}/api/v2/forceschedulers/force", json=body, timeout=10).raise_for_status()
        built = until(lambda: [one for one in self.builds()[before:] if one["complete"]], seconds=60)
        assert [one["state_string"] for one in built] == ["build successful"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._said.close()

    def _answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return self.builds() == []
        assert self.process.poll() is None, "the master has ended"
        return False


@pytest.fixture
def scene(python, tmp_path):
    """A master, a door to it, and a worker that QCity keeps running as any command."""
    master = Master(python, tmp_path / "master")
    door = Door(master.port)
    base = tmp_path / "worker"
    base.mkdir()
    (base / "worker.tac").write_text(WORKER.replace("PORT", str(door.port)).replace("BASE", repr(str(base))))
    city = qcity_nb.open(tmp_path / "home")
    command = [python, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile=", "--no_save", "-y", str(base / "worker.tac")]
    try:
        runner = city.runners.start("command", "buildbot", command=command, cwd=str(base), silent_after=4)
        yield master, door, city, runner
    finally:
        city.stop()
        until(lambda: not is_locked(city.link.store.home.lock), seconds=60)
        city.close()
        door.close()
        master.close()


def test_a_worker_of_buildbot_is_kept_running_through_a_kill_a_freeze_and_a_cut(scene):
    master, door, city, runner = scene
    master.build()
    assert len(city.incidents) == 0

    killed = runner.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: runner.phase is Phase.RUNNING and runner.pid != killed, seconds=60)
    master.build()

    frozen = runner.pid
    os.kill(frozen, signal.SIGSTOP)
    until(lambda: runner.phase is Phase.RUNNING and runner.pid != frozen, seconds=60)
    master.build()
    told = until(lambda: [row for row in city.incidents.rows() if row.state == "healthy"] if len(city.incidents) == 2 else None, seconds=60)
    assert {row.title for row in city.incidents.rows()} == {"buildbot died", "buildbot went silent"}, told

    alive = runner.pid
    door.shut()
    until(lambda: "Scheduling retry" in runner.logs(5), seconds=60)
    door.unlock()
    master.build()
    assert runner.pid == alive, "a worker that mends itself is left alone"
    assert len(city.incidents) == 2
