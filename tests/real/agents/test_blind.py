"""What blinds us or befalls the machine: the clock, the network path, the token, limits, the disk, a runtime that was recycled. A home for each."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

import qcity_nb
from qcity_nb.io.files import is_locked
from qcity_nb.model.service import Phase
from qcity_nb.testing import faults
from qcity_nb.testing.agents.messages import DELETED
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.slow]
REPO = "octo/hello"
DAY, SPEED = 86400.0, 60.0


def test_a_wrong_clock_is_waited_for_and_registers_nothing(scene):
    """`registration has been deleted` is also what a wrong clock looks like, and so is `clock may be out of sync`; who listens is left alone.

    Whoever was killed may meet its own old session first (F5).
    """
    scene.faults({"fault": "clock", "agents": "f8", "times": 2, "after": 1})
    for name in ("f7", "f8", "well"):
        scene.start(name, ephemeral=False)
    before = {one.name: one.id for one in scene.github.runners(REPO)}
    scene.github.clock_offset = timedelta(minutes=-10)
    until(lambda: "clock differs" in scene.city.runners["well"].view().condition.text, seconds=40)
    with (scene.city.home / "services" / "f7" / "log").open("a") as log:  # the last that it said
        log.write(f"{DELETED}\n")
    os.kill(scene.city.runners["f7"].pid, signal.SIGKILL)
    os.kill(scene.city.runners["f8"].pid, signal.SIGKILL)
    for name in ("f7", "f8"):
        scene.seen(name, lambda name=name: "timedatectl" in scene.city.runners[name].row.trouble.get("platform", ""), "waits for the clock")
    scene.github.clock_offset = timedelta(0)
    found = scene.held("f8", "F8", said="clock differs by 10 min", done="nothing was registered again", others=("F12", "F7", "F5"))
    assert found.proof
    scene.held("f7", "F7", said="has been deleted", done="nothing was registered again", others=("F12", "F8", "F5"))
    assert {one.name: one.id for one in scene.github.runners(REPO)} == before
    assert scene.incidents("well") == []
    assert scene.state("well").incarnation == 1


def test_a_broken_path_is_named_by_its_layer_and_nothing_is_restarted(scene):
    pid = scene.start(ephemeral=False).pid
    scene.github.down()
    until(lambda: scene.incidents("gh-1"), seconds=40)
    scene.github.up()
    scene.held("gh-1", "F30", said="the path fails at tcp")
    assert scene.city.runners["gh-1"].pid == pid
    scene.done(scene.job())


def test_a_limit_is_honoured_by_asking_seldom(scene):
    pid = scene.start(ephemeral=False).pid
    asked = scene.github.fault(faults.secondary_limit(retry_after=60), path="/repos/*", times=None)
    until(lambda: scene.incidents("gh-1"), seconds=40)
    hits, begun = asked.hits, time.monotonic()
    until(lambda: "asks us to wait" in scene.city.runners["gh-1"].view().condition.text, seconds=40)
    time_passed = time.monotonic() - begun
    assert asked.hits - hits <= 2 + time_passed / 2, "no retry storm"
    scene.github.heal()
    scene.held("gh-1", "F23", said="asks us to wait", done="asked every 5 minutes")
    assert scene.city.runners["gh-1"].pid == pid


def test_a_token_that_may_not_do_it_names_the_permission_and_the_command(scene):
    pid = scene.start(ephemeral=False).pid
    scene.github.fault(faults.forbidden("administration=write"), path="/repos/*", times=None)
    scene.seen("gh-1", lambda: "F22" in scene.city.runners["gh-1"].row.trouble, "F22")
    assert "QCITY_GITHUB_TOKEN, then qcity runner start gh-1" in scene.city.runners["gh-1"].row.trouble["F22"]
    scene.github.heal()
    scene.held("gh-1", "F22", said="administration=write")
    assert scene.city.runners["gh-1"].pid == pid


def recycled(scene) -> None:
    """All processes of the home end at once, as when a runtime is recycled; its files stay."""
    home = str(scene.city.home)
    mine = [one for one in psutil.process_iter(["pid", "cmdline", "environ"]) if home in " ".join(one.info["cmdline"] or ())]
    keepers = []
    for record in Path(home).glob("services/*/proc.json"):
        told = json.loads(record.read_text())
        keepers += [told["keeper"], told["pid"]]
    for pid in [*keepers, *(one.pid for one in mine)]:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not is_locked(scene.city.link.store.home.lock), seconds=40)


def test_what_a_recycled_runtime_left_is_found_and_goes_on(scene):
    scene.start(ephemeral=False)
    [old] = [one.id for one in scene.github.runners(REPO)]
    recycled(scene)
    scene.city.close()
    scene.city = qcity_nb.open(scene.city.home, say=scene.said.append)
    scene.start("other", ephemeral=False)  # whoever asks for something starts the engine
    scene.held("gh-1", "F40", said="nobody saw it end", done="started it again")
    assert [one.id for one in scene.github.runners(REPO) if one.name == "gh-1"] == [old]
    assert scene.incidents("other") == []


def test_a_parked_runner_is_started_once_before_it_is_forgotten_and_stays_parked(scene):
    runner = scene.start(ephemeral=False)
    runner.drain(wait=60)
    scene.down("gh-1", Phase.STOPPED)
    scene.city.stop()
    until(lambda: not is_locked(scene.city.link.store.home.lock), seconds=60)
    path = scene.city.home / "services" / "gh-1" / "agent.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "last_online": time.time() - 8 * DAY / SPEED}))
    scene.start("other", ephemeral=False)
    found = scene.held("gh-1", "F29", said="it was last online 8 days ago")
    assert found.state == "healthy"
    scene.down("gh-1", Phase.STOPPED)
    assert scene.incidents("other") == []


def test_a_starved_listener_comes_before_its_job(scene):
    """The job goes on with a lower priority and is not ended."""
    scene.faults({"fault": "starved", "times": 1})
    scene.start(ephemeral=False)
    job = scene.job(payload={"script": "for _ in 1 2 3; do timeout 8 sh -c 'while :; do :; done' & done; wait; true"})
    scene.held("gh-1", "F13", said="% of the processor", done="lower priority")
    scene.done(job)
