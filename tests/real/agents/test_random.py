"""Random troubles of several runners on one engine, beside an agent of somebody else: budgets are kept, and each ends healthy or with a person."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import subprocess
import tarfile

import pytest
import requests

from qcity_nb.decide.repair import REGISTRATIONS_AN_HOUR
from qcity_nb.model.service import Phase, RestartPolicy
from qcity_nb.testing.agents import package
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
REPO = "octo/hello"
NAMES = ("r-1", "r-2", "r-3")


def kill(scene, name):
    with contextlib.suppress(ProcessLookupError, TypeError):
        os.kill(scene.city.runners[name].pid, signal.SIGKILL)


def push(scene, name, **fault):
    with contextlib.suppress(LookupError):
        scene.github.push(REPO, name, "Fault", fault)


TROUBLES = (
    kill,
    *(lambda scene, name, code=code: push(scene, name, fault="exit", code=code) for code in range(8)),
    lambda scene, name: push(scene, name, fault="update_loops"),
    lambda scene, name: scene.github.delete_runner(REPO, name),
)


@pytest.fixture
def stranger(scene, tmp_path):
    """A listener that somebody started by hand."""
    root = tmp_path / "theirs"
    with tarfile.open(fileobj=io.BytesIO(package.archive())) as file:
        file.extractall(root, filter="data")
    url = f"{scene.github.url}/repos/{REPO}/actions/runners/registration-token"
    token = requests.post(url, headers={"Authorization": f"Bearer {os.environ['QCITY_GITHUB_TOKEN']}"}, timeout=10).json()["token"]
    argv = [str(root / "bin/Runner.Listener"), "configure", "--unattended", "--url", f"{scene.github.root}/{REPO}", "--name", "theirs"]
    subprocess.run(argv, cwd=root, env={**os.environ, "ACTIONS_RUNNER_INPUT_TOKEN": token}, check=True, capture_output=True)
    process = subprocess.Popen([argv[0], "run"], cwd=root, stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("seed", [1, 2])
def test_random_troubles_keep_to_budgets_and_touch_nobody_else(scene, stranger, seed):
    draw = random.Random(seed)
    for name in NAMES:
        scene.start(name, ephemeral=False)
    for _ in range(4):
        for name in NAMES:
            with contextlib.suppress(LookupError):
                draw.choice(TROUBLES)(scene, name)
        for name in NAMES:
            scene.seen(name, lambda name=name: scene.state(name).phase in (Phase.RUNNING, Phase.QUARANTINED), "settled")
    for name in NAMES:
        scene.down(name, Phase.RUNNING, Phase.QUARANTINED)
        state = scene.state(name)
        assert len(state.starts) <= RestartPolicy().burst
        registered = [one for one in scene.github.log if one.path == "/_agent/register" and f'"{name}' in one.body.decode() and one.status == 201]
        assert len(registered) <= 1 + REGISTRATIONS_AN_HOUR
        until(lambda name=name: all(one.state != "open" for one in scene.incidents(name)) or scene.state(name).phase is Phase.QUARANTINED, seconds=60)
    assert stranger.poll() is None
    assert "theirs" in [one.name for one in scene.github.runners(REPO)]
