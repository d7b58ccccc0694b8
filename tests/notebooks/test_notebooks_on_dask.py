"""Notebooks in a Dask cluster, with real ones: of our own, and of a scheduler and two workers on loopback that are killed in the middle."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import nbformat
import psutil
import pytest

from qcity_nb.errors import Refused
from qcity_nb.model.schedule import CellState, RunState
from qcity_nb.testing.real_engine import kill, until

_spec = importlib.util.spec_from_file_location("notebooks_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
WAITS = """import os, time
open({marks!r}, 'a').write(os.environ.get("QCITY_TEST_WORKER", "") + chr(10))
while not os.path.exists({go!r}):
    time.sleep(0.05)
"""
ENDS = "open({ends!r}, 'a').write('x')"


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def executor(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def start(self, *, workers: int = 2) -> None:
        self.scheduler = self._begin("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        until(self._listens, seconds=60)
        self.workers = [self.add(f"{number}") for number in range(workers)]

    def add(self, name: str, **env: str) -> subprocess.Popen[bytes]:
        where = ("--host", "127.0.0.1", "--no-dashboard", "--no-nanny", "--nthreads", "1", "--local-directory", str(self.folder))
        return self._begin("worker", f"127.0.0.1:{self.port}", *where, "--death-timeout", "60", QCITY_TEST_WORKER=name, **env)

    def _begin(self, *words: str, **env: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            command = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:]]
            made = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **env})
        self.processes.append(made)
        return made

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def said(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


class Marks:
    """Notebooks that say in which worker they began, wait until they may go on, and say that they ended."""

    def __init__(self, folder: Path) -> None:
        self.marks, self.go, self.ends = (folder / name for name in ("marks", "go", "ends"))

    @property
    def cells(self) -> tuple[str, str]:
        return WAITS.format(marks=str(self.marks), go=str(self.go)), ENDS.format(ends=str(self.ends))

    def begun(self, number: int = 1) -> list[str]:
        return until(lambda: found if len(found := self._begun()) >= number else None, seconds=90)

    def _begun(self) -> list[str]:
        return self.marks.read_text().splitlines() if self.marks.exists() else []

    def ended(self) -> int:
        return len(self.ends.read_text()) if self.ends.exists() else 0


@contextlib.contextmanager
def cluster_in(folder):
    (folder / "cluster").mkdir()
    made = Cluster(folder / "cluster")
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A cluster for all tests that leave it as it was."""
    with cluster_in(tmp_path_factory.mktemp("standing")) as made:
        yield made


@pytest.fixture
def cluster(tmp_path):
    """A cluster for a test that kills it."""
    with cluster_in(tmp_path) as made:
        yield made


@pytest.fixture
def marks(tmp_path):
    return Marks(tmp_path)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    """A desk whose worker waits for no cluster longer than it has to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QCITY_CLUSTER_PATIENCE", "5")
        patch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "5s")
        with _conftest.desk_at(tmp_path_factory.mktemp("impatient")) as made:
            made.city.link.ensure()
            yield made


def test_a_cluster_of_our_own_runs_it_as_this_machine_would(desk):
    makes = "import os; print(os.getcwd()); open(os.environ['QCITY_ARTIFACTS'] + '/a.txt', 'w').write('made')"
    path = desk.write("print(n + 1, run_id)", makes, parameters="n = 1\nrun_id = 0")
    run = desk.city.notebooks.run(path, {"n": 41}, executor="dask").wait(90)
    assert (run.state, run.row.reason, run.row.attempt) == (RunState.DONE, "", 1)
    assert [cell.state for cell in run.cells] == [CellState.DONE] * 4
    assert all(cell.seconds is not None for cell in run.cells)
    nb = nbformat.read(run.output, as_version=4)
    assert nb.cells[2].outputs[0].text == f"42 {run.id}\n"
    assert nb.cells[3].outputs[0].text == f"{desk.folder}\n"
    assert [one.read_text() for one in run.artifacts] == ["made"]


@pytest.mark.parametrize(
    ("cells", "how", "state", "reason"),
    [
        (["1", "1/0"], {}, RunState.FAILED, "cell 2: ZeroDivisionError: division by zero"),
        (["import time; time.sleep(60)"], {"timeout": "1 s"}, RunState.FAILED, "the run took longer than its 1 s"),
        (["1", "import time; time.sleep(60)"], {"cell_timeout": 1}, RunState.FAILED, "cell 2 of 2 took longer than its 1 s"),
        (["import os; os._exit(3)"], {}, RunState.FAILED, "the kernel died in cell 1 of 1"),
        (["1"], {"kernel": "python4"}, RunState.FAILED, 'no kernel "python4" is installed'),
        (["exit()", "1/0"], {}, RunState.DONE, ""),
    ],
)
def test_it_ends_there_as_it_would_here(desk, cells, how, state, reason):
    run = desk.city.notebooks.run(desk.write(*cells), executor="dask", **how).wait(90)
    assert run.state is state
    assert run.row.reason.startswith(reason)
    assert (run.output is None) == ("kernel" in how)
    assert not run.resumable


def test_what_ran_elsewhere_cannot_go_on_and_says_why(desk):
    failed = desk.city.notebooks.run(desk.write("1/0"), executor="dask").wait(90)
    with pytest.raises(Refused, match=r"it ran elsewhere \(dask\), where no kernel is kept"):
        failed.resume()


def test_a_run_that_fails_there_is_tried_again(desk):
    count = desk.folder / "count"
    code = f"open({str(count)!r}, 'a').write('x')\nassert len(open({str(count)!r}).read()) == 3"
    run = desk.city.notebooks.run(desk.write(code), executor="dask", retries=5, backoff=0.01).wait(90)
    assert (run.state, run.row.attempt, count.read_text()) == (RunState.DONE, 3, "xxx")


def test_secrets_are_in_the_kernel_there_and_in_no_log(desk, standing, monkeypatch):
    value = "Kx7-very-secret-93"
    monkeypatch.setenv("DB_PASSWORD", value)
    code = "import os\np = os.environ['DB_PASSWORD']\nprint(len(p), p)\nimport time; time.sleep(0.5); print('end', p)"
    run = desk.city.notebooks.run(desk.write(code, "raise ValueError(p)"), secrets=["DB_PASSWORD"], executor=standing.executor).wait(90)
    assert (run.state, run.row.reason) == (RunState.FAILED, "cell 2: ValueError: ***")
    assert "18 ***" in nbformat.read(run.output, as_version=4).cells[0].outputs[0].text
    assert value not in standing.said()
    with client_of(standing) as client:
        assert value not in str(client.get_events())
    # a process of its own: whoever closes a file of SQLite's takes this process's locks on it along
    grep = ["grep", "-rlF", "--devices=skip", "--exclude-dir=secrets", value, str(desk.city.home)]
    found = subprocess.run(grep, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")


def client_of(cluster):
    from distributed import Client

    return contextlib.closing(Client(cluster.executor.removeprefix("dask://"), set_as_default=False))


def test_where_it_is_can_be_seen_and_it_can_be_cancelled(desk, standing):
    step = "    sys.stderr.write(f'\\r{i % 100:3d}%|#  | {i}/2000')\n    sys.stderr.flush()\n    time.sleep(0.05)"
    bar = f"import sys, time\nfor i in range(2000):\n{step}"
    run = desk.city.notebooks.run(desk.write("# quick\n1", "# load the data\n" + bar), executor=standing.executor)
    live = until(lambda: live if (live := run.row.live) and live.share else None, seconds=90)
    assert (live.cell, live.cells, live.title) == (2, 2, "load the data")
    row = run.cancel("enough").wait(60).row
    assert (row.state, row.reason, row.live) == (RunState.CANCELLED, "enough", None)
    nb = nbformat.read(run.output, as_version=4)
    assert nb.metadata.qcity["status"] == "cancelled"
    assert nb.cells[1].metadata.papermill["status"] == "failed"
    assert [cell.state for cell in row.cells] == [CellState.DONE, CellState.FAILED]


def test_a_cluster_takes_twice_its_threads_and_one_that_waits_there_is_cancelled_at_once(desk, standing, marks):
    """Two threads take four runs, more than this machine's two cores would; the others wait here."""
    path = desk.write(*marks.cells)
    runs = [desk.city.notebooks.run(path, executor=standing.executor) for _ in range(6)]
    assert sorted(marks.begun(2)) == ["0", "1"]
    until(lambda: sum(run.row.started is not None for run in runs) == 4, seconds=30)
    assert all(run.row.state is RunState.RUNNING for run in runs)
    assert sum(run.row.started is not None for run in runs) == 4
    for run in runs:
        run.cancel()
    for run in runs:
        assert run.wait(60).state is RunState.CANCELLED
    assert (len(marks.begun(2)), marks.ended()) == (2, 0)


@pytest.mark.slow
def test_a_worker_is_killed_and_its_run_begins_again(desk, cluster, marks):
    """Dask would start its task again by itself; the ledger does, and each run ends once."""
    path = desk.write(*marks.cells)
    runs = [desk.city.notebooks.run(path, executor=cluster.executor) for _ in range(4)]
    marks.begun(2)
    cluster.kill(cluster.workers[0])
    assert marks.begun(2)[:2] in (["0", "1"], ["1", "0"])
    marks.go.touch()
    rows = [run.wait(90).row for run in runs]
    assert [row.state for row in rows] == [RunState.DONE] * 4
    assert sum(row.losses for row in rows) == 1
    [again] = [row for row in rows if row.losses]
    assert (again.attempt, [one.reason for one in again.attempts]) == (2, ["the Dask worker that ran it died"])
    assert marks.ended() == 4
    assert len(marks.begun(5)) == 5
    with client_of(cluster) as client:
        assert not client.futures
        assert not client.list_datasets()
        until(lambda: not any(client.processing().values()) and not any(client.has_what().values()), seconds=30)


@pytest.mark.slow
def test_a_worker_of_our_own_cluster_is_killed_and_its_run_begins_again(desk, marks):
    run = desk.city.notebooks.run(desk.write(*marks.cells), executor="dask")
    marks.begun()
    running = [one for one in psutil.Process(desk.worker).children(recursive=True) if "qcity_nb.kinds.notebooks.zygote" in one.cmdline()]
    [zygote] = [one for one in running if one.children()]
    kill(zygote.ppid())
    marks.begun(2)
    marks.go.touch()
    row = run.wait(90).row
    assert (row.state, row.attempt, row.losses, marks.ended()) == (RunState.DONE, 2, 1, 1)
    assert row.attempts[0].reason == "the Dask worker that ran it died"


@pytest.mark.slow
def test_workers_without_this_package_get_no_run_and_live_on(desk, tmp_path):
    """Dask ends a worker that cannot read a task."""
    hides = "lambda name: (_ for _ in ()).throw(importlib.metadata.PackageNotFoundError(name)) if name == 'qcity-nb' else real(name)"
    begin = "import importlib.metadata, sys\nsys.modules['qcity_nb'] = None\nreal = importlib.metadata.version\n"
    hidden = f"{begin}importlib.metadata.version = {hides}\n"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(hidden)
    (tmp_path / "cluster").mkdir()
    mixed = Cluster(tmp_path / "cluster")
    try:
        mixed.start(workers=0)
        bare = mixed.add("0", PYTHONPATH=str(tmp_path / "site"))
        with client_of(mixed) as client:
            client.wait_for_workers(1, timeout=60)
        row = desk.city.notebooks.run(desk.write("1"), executor=mixed.executor).wait(90).row
        assert (row.state, row.reason) == (RunState.FAILED, f"no worker of the Dask cluster at 127.0.0.1:{mixed.port} has qcity-nb installed")
        mixed.add("1")
        with client_of(mixed) as client:
            client.wait_for_workers(2, timeout=60)
        path = desk.write("import os; print(os.environ['QCITY_TEST_WORKER'])")
        runs = [desk.city.notebooks.run(path, executor=mixed.executor) for _ in range(3)]
        texts = [nbformat.read(run.wait(90).output, as_version=4).cells[0].outputs[0].text for run in runs]
        assert texts == ["1\n"] * 3
        assert bare.poll() is None
    finally:
        mixed.end()


@pytest.mark.slow
def test_the_scheduler_is_killed_and_another_one_takes_its_place(desk, cluster, marks):
    path = desk.write(*marks.cells)
    runs = [desk.city.notebooks.run(path, executor=cluster.executor) for _ in range(3)]
    marks.begun(2)
    cluster.kill(cluster.scheduler)
    for worker in cluster.workers:
        worker.wait(90)
    cluster.start()
    marks.begun(4)
    marks.go.touch()
    rows = [run.wait(120).row for run in runs]
    assert [row.state for row in rows] == [RunState.DONE] * 3
    assert {one.reason for row in rows for one in row.attempts} == {f"the Dask cluster at 127.0.0.1:{cluster.port} lost its scheduler"}
    assert marks.ended() == 3


@pytest.mark.slow
def test_a_run_whose_workers_all_die_is_lost_in_words(impatient, cluster, marks):
    run = impatient.city.notebooks.run(impatient.write(*marks.cells), executor=cluster.executor)
    marks.begun()
    for worker in cluster.workers:
        cluster.kill(worker)
    row = run.wait(100).row
    assert (row.state, row.losses) == (RunState.LOST, 3)
    assert row.reason == f"no worker of the Dask cluster at 127.0.0.1:{cluster.port} was to be seen for 5 s; that was the third time"


@pytest.mark.slow
def test_our_own_worker_is_killed_and_nothing_is_left_running_there(desk, standing, marks):
    """The old task ends by itself, because nobody wants it; the run begins again and ends once."""
    run = desk.city.notebooks.run(desk.write(*marks.cells), executor=standing.executor)
    marks.begun()
    kill(desk.worker)
    marks.begun(2)
    with client_of(standing) as client:
        until(lambda: client.run(len_running) and sum(client.run(len_running).values()) == 1, seconds=60)
    marks.go.touch()
    row = run.wait(90).row
    assert (row.state, row.attempt, marks.ended()) == (RunState.DONE, 2, 1)


def len_running():
    from qcity_nb.kinds.notebooks import far

    return len(far._running)


def test_where_no_scheduler_answers_the_runs_fail_in_one_sentence(impatient):
    """Those that wait for the same answer do not ask again, one after the other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # nobody listens
        port = probe.getsockname()[1]
        path = impatient.write("1")
        runs = [impatient.city.notebooks.run(path, executor=f"dask://127.0.0.1:{port}") for _ in range(3)]
        rows = [run.wait(60).row for run in runs]
    assert {(row.state, row.reason) for row in rows} == {(RunState.FAILED, f"the Dask cluster at 127.0.0.1:{port}: no Dask scheduler answers")}
    assert max(row.finished for row in rows) - min(row.finished for row in rows) < timedelta(seconds=4)


def test_the_engine_may_stop_and_the_run_begins_again(desk, standing, marks):
    run = desk.city.notebooks.run(desk.write(*marks.cells), executor=standing.executor)
    marks.begun()
    desk.city.stop()
    row = run.row
    assert (row.state, row.losses) == (RunState.PLANNED, 0)
    desk.city.link.ensure()
    marks.go.touch()
    assert run.wait(90).state is RunState.DONE
    assert marks.ended() == 1
