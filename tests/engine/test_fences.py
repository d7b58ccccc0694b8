"""Fenced services, as real processes: their keeper ends them in time, whatever became of the engine, and lets them be while they are renewed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from qcity_nb.io import fence
from qcity_nb.io.clock import instant
from qcity_nb.io.fence import Fence
from qcity_nb.io.processes import LinuxProcesses
from qcity_nb.model.fleet import Epoch
from qcity_nb.model.home import Home
from qcity_nb.model.service import ServiceSpec
from qcity_nb.ports import Launch
from qcity_nb.testing.real_engine import COMET, alive, until

pytestmark = pytest.mark.real


@pytest.fixture
def processes(home: Home):
    own = LinuxProcesses(home, "p")
    yield own
    for name in ("web",):
        own.end(name, stop_signal=9, grace=0.0)
    until(lambda: not list(own.fds()) or own.ended())
    own.close()


def put(home: Home, *, stop: float, kill: float) -> None:
    now = instant().total
    home.service("web").mkdir(parents=True, exist_ok=True)
    fence.raise_(home.service("web"), Fence(epoch=Epoch(1), stop=now + stop, kill=now + kill))


def start(processes, home: Home, *argv: str) -> int:
    launch = Launch(argv=argv, env=dict(os.environ), cwd=home.root, fenced=True)
    return processes.start(ServiceSpec(name="web", kind="command"), launch, incarnation=1, generation=1)


def test_a_service_is_asked_to_end_when_its_fence_is_over(processes, home):
    put(home, stop=0.6, kill=30.0)
    pid = start(processes, home, "sh", "-c", "trap 'exit 7' TERM; while true; do sleep 0.05; done")
    assert alive(pid)
    (ended,) = until(processes.ended)
    assert (ended.how.code, ended.how.signal) == (7, None)


def test_what_ignores_that_is_killed_at_the_second_limit_with_all_it_started(processes, home, tmp_path):
    path, count = tmp_path / "comet.py", tmp_path / "count"
    path.write_text(COMET)
    put(home, stop=1.0, kill=1.5)
    comet = f"{sys.executable} -I -S {path} {count}"
    pid = start(processes, home, "sh", "-c", f"trap '' TERM; setsid {comet} & wait")
    (ended,) = until(processes.ended)
    assert ended.how.signal == signal.SIGKILL
    assert not alive(pid)
    last = count.read_text()
    assert all(count.read_text() == last for _ in range(100)), "something of it lives"


def test_a_stopped_service_is_ended_too(processes, home):
    put(home, stop=0.5, kill=1.0)
    pid = start(processes, home, "sleep", "1000")
    os.kill(pid, signal.SIGSTOP)
    until(processes.ended)
    assert not alive(pid)


def test_a_whole_tree_that_was_frozen_past_its_time_is_killed_when_it_wakes(processes, home):
    """Its keeper stood still too. What it does in that moment carries an old epoch; the moment is short."""
    put(home, stop=0.5, kill=0.8)
    pid = start(processes, home, "sh", "-c", "trap '' TERM; while true; do sleep 0.05; done")
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    for one in (keeper, pid):
        os.kill(one, signal.SIGSTOP)
    end = instant().total + 1.2
    until(lambda: instant().total > end)
    assert alive(pid)
    for one in (pid, keeper):
        os.kill(one, signal.SIGCONT)
    until(processes.ended)
    assert not alive(pid)


def test_renewals_keep_it_alive(processes, home):
    put(home, stop=1.0, kill=1.4)
    pid = start(processes, home, "sleep", "1000")
    end = instant().total + 3.0
    while instant().total < end:
        put(home, stop=1.0, kill=1.4)
        assert alive(pid)
    assert processes.ended() == []
    until(processes.ended)


@pytest.mark.parametrize("text", [None, "{", '{"stop": "soon"}'])
def test_without_a_fence_that_can_be_read_it_is_not_even_started(processes, home, text):
    put(home, stop=30.0, kill=40.0)
    path = home.service("web") / "fence.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(OSError, match="its claim"):
        start(processes, home, "sleep", "1000")


def test_a_fenced_service_does_not_outlive_its_keeper(processes, home):
    put(home, stop=60.0, kill=80.0)
    pid = start(processes, home, "sleep", "1000")
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGKILL)
    until(processes.ended)
    assert not alive(pid)
