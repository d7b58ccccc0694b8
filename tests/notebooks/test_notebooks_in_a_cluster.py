"""Notebooks in a Dask cluster, with real ones: of our own, and of a scheduler and two workers on loopback that are killed in the middle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from qcity_nb.model.schedule import CellState, RunState
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real]
BEGUN = "import os, time\nopen({marks!r}, 'a').write(f'{{os.getppid()}} {{os.getpid()}}\\n')\n"
WAITS = BEGUN + "while not os.path.exists({go!r}):\n    time.sleep(0.05)\n"
ENDED = "open({ends!r}, 'a').write('x')"


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def executor(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def start(self, *, workers: int = 2) -> None:
        self.scheduler = self._begin("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        until(lambda: self._listens(), seconds=60)
        self.workers = [self.add() for _ in range(workers)]

    def add(self) -> subprocess.Popen[bytes]:
        where = ("--host", "127.0.0.1", "--no-dashboard", "--no-nanny", "--nthreads", "1", "--local-directory", str(self.folder))
        return self._begin("worker", f"127.0.0.1:{self.port}", *where, "--death-timeout", "60")

    def _begin(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            made = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]], stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(made)
        return made

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def said(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    made.start()
    yield made
    made.end()


def test_a_cluster_of_our_own_runs_it_as_this_machine_would(desk):
    path = desk.write("print(n + 1, run_id)", "import os; print(os.getcwd())", parameters="n = 1\nrun_id = 0")
    run = desk.city.notebooks.run(path, {"n": 41}, executor="dask").wait(90)
    assert (run.state, run.row.reason, run.row.attempt) == (RunState.DONE, "", 1)
    assert [cell.state for cell in run.cells] == [CellState.DONE] * 4
    assert all(cell.seconds is not None for cell in run.cells)
    nb = nbformat.read(run.output, as_version=4)
    assert nb.cells[2].outputs[0].text == f"42 {run.id}\n"
    assert nb.cells[3].outputs[0].text == f"{desk.folder}\n"
