"""A runner of GitLab from end to end: the real engine and attendant, the scripted gitlab-runner, a stateful stand-in of GitLab."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import signal
import threading

import pytest

import qcity_nb
from qcity_nb.errors import QCityError
from qcity_nb.io.files import is_locked
from qcity_nb.model.service import Phase
from qcity_nb.testing.agents import package
from qcity_nb.testing.gitlab import FakeGitLab
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def downloads(tmp_path):
    """Where GitLab publishes gitlab-runner."""
    for name, content in package.gitlab_release().items():
        path = tmp_path / "downloads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    handler = functools.partial(Quiet, directory=str(tmp_path / "downloads"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_it_registers_does_a_job_survives_a_kill_and_leaves(tmp_path, downloads, monkeypatch):
    for name, value in {"LOOK": "0.3", "POLL": "1"}.items():
        monkeypatch.setenv(f"QCITY_ATTENDANT_{name}", value)
    with FakeGitLab() as gitlab:
        gitlab.project("octo/hello")
        monkeypatch.setenv("QCITY_GITLAB_TOKEN", gitlab.token())
        city = qcity_nb.open(tmp_path / "home")
        try:
            options = {"project": "octo/hello", "url": gitlab.root, "downloads": downloads, "allow_root": os.geteuid() == 0}
            runner = city.runners.start("gitlab", "gl-1", **options)
            job = gitlab.queue_job("octo/hello", script=["echo hi"])
            until(lambda: gitlab.job(job).status in ("success", "failed"), seconds=60)
            assert gitlab.job(job).status == "success"
            until(lambda: runner.phase is Phase.RUNNING and runner.row.state.incarnation > 1, seconds=40)
            assert len(city.incidents) == 0, "a single run that is over is no incident"
            before = runner.row.state.incarnation
            os.kill(runner.pid, signal.SIGKILL)
            until(lambda: runner.phase is Phase.RUNNING and runner.row.state.incarnation > before, seconds=40)
            assert [row.state for row in city.incidents.rows()] == ["healthy"]
            assert len(gitlab.runners()) == 1, "its registration goes on"
            config = city.home / "services" / "gl-1" / "agent" / "config.toml"
            assert config.stat().st_mode & 0o077 == 0
            runner.stop()
            assert gitlab.runners() == []
        finally:
            with contextlib.suppress(QCityError):
                city.stop()
            until(lambda: not is_locked(city.link.store.home.lock), seconds=90)
            city.close()
