"""PostgreSQL crashes under a running engine: services live on, are restarted from memory, and the rows go on where they were."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qcity_nb.errors import StoreError
from qcity_nb.model.home import Home
from qcity_nb.store.database import prepare
from qcity_nb.testing.real_engine import RealEngine, alive, engine_of, kill, until

pytestmark = [pytest.mark.real, pytest.mark.slow]

STATUS = [sys.executable, "-c", "import sys; from qcity_nb.cli import main; sys.exit(main(['status']))"]


def status(engine: RealEngine, url: str) -> subprocess.CompletedProcess[str]:
    """What a person sees."""
    env = {**os.environ, "QCITY_STORE": url, "QCITY_HOME": str(engine.home.root)}
    return subprocess.run(STATUS, env=env, capture_output=True, text=True, check=False, timeout=60)


def pid_of(home: Home, name: str) -> int:
    """As the service itself wrote it down."""
    return int(json.loads((home.service(name) / "proc.json").read_text())["pid"])


def again(engine: RealEngine, name: str, pid: int) -> bool:
    with contextlib.suppress(StoreError):
        return engine.row(name).pid == pid and engine.row(name).state.phase.value == "running"
    return False


def test_services_outlive_a_database_that_crashes_and_nothing_is_doubled(cluster, home: Home, tmp_path: Path) -> None:
    store, _ = prepare(home, cluster.url)
    with contextlib.closing(store), engine_of(store, cluster.url) as engine:
        births = tmp_path / "births"
        script = f"echo $$ >> {births}; exec sleep 1000"
        calm, killed = engine.run("calm", "sleep", "1000").pid, engine.run("killed", "sh", "-c", script).pid
        assert calm
        assert killed
        cluster.stop()
        try:
            kill(killed)
            fresh = until(lambda: (pid := pid_of(home, "killed")) != killed and alive(pid) and pid)
            said = status(engine, cluster.url)
            assert said.returncode == 1
            assert "the store does not answer" in said.stderr
            assert "Start the database" in said.stderr
            assert "Traceback" not in said.stderr
            assert alive(calm)
            assert engine.started[0].poll() is None, "the engine waits for its store"
        finally:
            cluster.start()
        until(lambda: again(engine, "killed", fresh), seconds=40)
        assert engine.row("calm").pid == calm
        assert births.read_text().split() == [str(killed), str(fresh)]
        assert engine.row("killed").state.incarnation == 2
        assert engine.generation() == 1
        until(lambda: "is well" in status(engine, cluster.url).stdout or "are well" in status(engine, cluster.url).stdout)
        assert engine.ask("runner.stop", "killed").status == "done"
        engine.phase("killed", "stopped")
        assert not alive(fresh)
    assert not alive(calm)
