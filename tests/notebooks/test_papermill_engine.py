"""The engine `qcity` of papermill with real kernels: what a run's end is called, what its output keeps, what is on disk, what is left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest
from nbformat import v4
from papermill.exceptions import PapermillExecutionError
from papermill.execute import prepare_notebook_metadata
from papermill.iorw import load_notebook_node

from qcity_nb.errors import BadInput, NotFound
from qcity_nb.kinds.notebooks import outputs, record
from qcity_nb.kinds.notebooks.control import Control
from qcity_nb.kinds.notebooks.execution import RunEnded, execute
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real]
ZYGOTE = "qcity_nb.kinds.notebooks.zygote"


class Desk:
    """A folder with a notebook in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.target = folder, folder / "in.ipynb", folder / "out.ipynb"

    def write(self, *cells: str, kernel: str = "python3") -> None:
        made = v4.new_notebook(metadata={"kernelspec": {"name": kernel, "display_name": "x", "language": "python"}})
        made.cells = [v4.new_code_cell(cell) for cell in cells]
        made.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(made, self.source)

    def run(self, *cells: str, parameters: dict[str, object] | None = None, kernel: str = "python3", **options: object) -> nbformat.NotebookNode:
        self.write(*cells, kernel=kernel)
        return papermill.execute_notebook(
            str(self.source), str(self.target), parameters=parameters, engine_name="qcity", progress_bar=False, **options
        )

    @property
    def saved(self) -> nbformat.NotebookNode:
        return nbformat.read(self.target, as_version=4)

    @property
    def states(self) -> list[str]:
        return [cell.metadata.papermill["status"] for cell in self.saved.cells if "papermill" in cell.metadata]

    def text(self, number: int) -> str:
        return "".join(out.text for out in self.saved.cells[number].outputs if out.output_type == "stream")


@pytest.fixture
def desk(tmp_path):
    before = {child.pid for child in psutil.Process().children()}
    yield Desk(tmp_path)

    def calm() -> bool:
        """No kernel of ours lives; at most the one zygote does."""
        words = {child: _words(child) for child in psutil.Process().children() if child.pid not in before}  # none of a zombie, nor of what is gone
        zygotes = [child for child in psutil.Process().children() if ZYGOTE in _words(child)]
        return not [child for child in words if words[child] and child not in zygotes] and len(zygotes) <= 1 and not any(map(_children, zygotes))

    until(calm)
    assert not list(tmp_path.glob(".*.part"))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []


def test_parameters_go_in_and_results_come_out(desk):
    made = desk.run("a = 1", "print('a is', a)", "a + 1", parameters={"a": 41})
    assert desk.text(2) == "a is 41\n"
    assert made.cells[3].outputs[0].data["text/plain"] == "42"
    assert desk.states == ["completed"] * 4
    assert desk.saved.metadata["qcity"] == {"status": "done"}
    assert desk.saved.metadata.papermill["exception"] is None
    nbformat.validate(desk.saved)


def test_a_cell_that_fails_is_failed_and_those_after_it_never_ran(desk):
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        desk.run("a = 1", "print('before'); 1/0", "print('after')")
    assert desk.states == ["completed", "failed", "pending"]
    assert desk.saved.metadata["qcity"] == {"status": "failed", "reason": "cell 2: ZeroDivisionError: division by zero", "cell": 1}


@pytest.mark.parametrize(
    ("ends", "status", "says", "state"),
    [
        ("import os; os._exit(3)", "kernel died", "the kernel died in cell 2 of 3", "failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kernel died", "the kernel died in cell 2 of 3", "failed"),
        ("import sys; sys.exit(3)", "failed", "cell 2: SystemExit: 3", "failed"),
    ],
)
def test_an_end_that_papermill_calls_completed(desk, ends, status, says, state):
    with pytest.raises((RunEnded, PapermillExecutionError)):
        desk.run("a = 1", ends, "print('after')")
    assert desk.states == ["completed", state, "pending"]
    found = desk.saved.metadata
    assert (found["qcity"]["status"], found["qcity"]["reason"], found.papermill["exception"]) == (status, says, True)


@pytest.mark.parametrize("leaves", ["import sys; sys.exit()", "import sys; sys.exit(0)", "exit()", "quit()"])
def test_a_notebook_may_end_itself_well(desk, leaves):
    desk.run("a = 1", leaves, "print('after')")
    assert desk.states[2] == "pending"
    assert desk.saved.metadata["qcity"]["status"] == "done"
    assert "it ended itself" in desk.saved.metadata["qcity"]["reason"]


def test_a_cell_and_a_run_have_their_time(desk):
    with pytest.raises(RunEnded, match="cell 2 of 3 took longer than its 1 s"):
        desk.run("a = 1", "import time; print('on'); time.sleep(60)", "print('after')", execution_timeout=1)
    assert desk.states == ["completed", "failed", "pending"]
    assert desk.saved.metadata["qcity"]["status"] == "timed out"
    begin = time.monotonic()
    with pytest.raises(RunEnded, match=r"the run took longer than its 1\.5 s"):
        desk.run("a = 1", "import time\nfor n in range(600):\n    print(n, flush=True)\n    time.sleep(0.1)", "print('after')", run_timeout=1.5)
    assert time.monotonic() - begin < 10
    assert desk.states == ["completed", "failed", "pending"]
    assert desk.text(1).startswith("0\n1\n")
    assert any(out.output_type == "error" and out.ename == "KeyboardInterrupt" for out in desk.saved.cells[1].outputs), "it was asked to end first"


def test_a_cell_that_cannot_be_interrupted_is_killed_with_all_it_started(desk):
    stubborn = "import signal, subprocess, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    stubborn += "child = subprocess.Popen(['sleep', '1000'])\nopen('child', 'w').write(str(child.pid))\nwhile True: time.sleep(1)"
    with pytest.raises(RunEnded, match="took longer"):
        desk.run("a = 1", stubborn, run_timeout=2, cwd=str(desk.folder))
    child = int((desk.folder / "child").read_text())
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_it_and_it_says_so(desk, number):
    desk.write("a = 1", f"open({str(desk.folder / 'on')!r}, 'w').close()\nimport time; time.sleep(100)", "1")
    command = [sys.executable, "-m", "papermill", "--engine", "qcity", "--no-progress-bar", str(desk.source), str(desk.target)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        until((desk.folder / "on").exists)
        process.send_signal(number)
        said = process.communicate(timeout=30)[1]
    assert process.returncode not in (0, None)
    assert "the run was cancelled in cell 2 of 3" in said
    assert desk.states == ["completed", "failed", "pending"]
    assert desk.saved.metadata["qcity"]["status"] == "cancelled"


def test_killed_itself_it_leaves_no_kernel_and_a_whole_file(desk):
    desk.write("a = 1", f"import os, time\nopen({str(desk.folder / 'on')!r}, 'w').write(str(os.getpid()))\ntime.sleep(100)")
    command = [sys.executable, "-m", "papermill", "--engine", "qcity", "--no-progress-bar", str(desk.source), str(desk.target)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: (desk.folder / "on").exists() and (desk.folder / "on").read_text())
        process.kill()
    kernel = int((desk.folder / "on").read_text())
    until(lambda: not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE)
    assert desk.saved.metadata["qcity"]["status"] == "running"


def test_no_line_of_many_is_lost_and_they_are_one_output(desk):
    desk.run("n = 1", "for i in range(n):\n    print(i, flush=i % 7 == 0)", parameters={"n": 100_000})
    assert desk.text(2) == "".join(f"{i}\n" for i in range(100_000))
    assert len(desk.saved.cells[2].outputs) == 1


def test_output_that_is_read_long_after_its_cell_ended_is_kept(desk):
    """The stock client gives up four seconds after the cell: a busy machine, or a lot to read, and the run would have failed."""

    class Slow(Control):
        def said(self, text: str) -> None:
            time.sleep(0.5)

    desk.write("import time\nfor i in range(12):\n    print(i, flush=True)\n    time.sleep(0.01)")
    source = prepare_notebook_metadata(load_notebook_node(str(desk.source)), str(desk.source), str(desk.target))
    nb = execute(source, "python3", str(desk.target), progress_bar=False, control=Slow())
    assert nb.metadata.qcity["status"] == "done"
    assert "".join(out.text for out in nb.cells[0].outputs) == "".join(f"{i}\n" for i in range(12))


def test_fifty_megabytes_are_kept_and_what_is_more_than_the_limit_is_said(desk):
    desk.run("size = 1", "print('x' * size)", parameters={"size": 50_000_000})
    assert len(desk.text(2)) == 50_000_001
    desk.run("a = 1", "for n in range(100): print('y' * 99)", "1", max_output=1050)
    assert desk.text(1).startswith(("y" * 99 + "\n") * 10 + "y" * 50 + "[qcity: ")
    assert "may print 1050 characters; 8950 characters more came and are not kept" in desk.text(1)
    assert desk.states == ["completed"] * 3


def test_the_order_of_streams_stays_and_progress_bars_are_what_a_terminal_shows(desk):
    mixed = "import sys\nfor n in range(3):\n    print('out', n, flush=True)\n    print('err', n, file=sys.stderr, flush=True)"
    bar = "import sys\nfor n in range(2000):\n    sys.stderr.write(f'\\r{n} of 2000')\nsys.stderr.write('\\n')"
    desk.run("a = 1", mixed, bar)
    assert desk.text(1) == "out 0\nerr 0\nout 1\nerr 1\nout 2\nerr 2\n"
    assert desk.text(2) == "1999 of 2000\n"


def test_a_reader_finds_a_whole_file_at_any_time(desk):
    torn, over = [], threading.Event()

    def read() -> None:
        while not over.is_set():
            if desk.target.exists():
                try:
                    json.loads(desk.target.read_text())
                except ValueError:
                    torn.append(time.monotonic())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        desk.run("a = 1", *["import time; print('z' * 200_000); time.sleep(0.02)"] * 60)
    finally:
        over.set()
        reader.join()
    assert torn == []
    assert desk.states == ["completed"] * 61


def test_a_relative_output_is_where_papermill_puts_it_whatever_folder_the_kernel_has(desk, monkeypatch):
    (desk.folder / "elsewhere").mkdir()
    desk.write("a = 1", "import os; print(os.getcwd())")
    monkeypatch.chdir(desk.folder)
    papermill.execute_notebook("in.ipynb", "out.ipynb", engine_name="qcity", progress_bar=False, cwd="elsewhere")
    assert desk.text(1) == f"{desk.folder / 'elsewhere'}\n"
    assert desk.states == ["completed"] * 2
    assert not list((desk.folder / "elsewhere").iterdir())


def test_the_same_name_in_another_folder_is_another_file_and_one_that_begins_another_is_itself(desk, monkeypatch):
    """One process, many runs: what papermill is told may be the same words for different files."""
    desk.write("a = 1", "print(a)")
    for number, name in enumerate(("one", "two")):
        (desk.folder / name).mkdir()
        monkeypatch.chdir(desk.folder / name)
        papermill.execute_notebook("../in.ipynb", "out.ipynb", parameters={"a": number}, engine_name="qcity", progress_bar=False)
    papermill.execute_notebook("../in.ipynb", "out.ipynb.ipynb", parameters={"a": 2}, progress_bar=False)
    found = [desk.folder / "one/out.ipynb", desk.folder / "two/out.ipynb", desk.folder / "two/out.ipynb.ipynb"]
    assert [nbformat.read(path, as_version=4).cells[2].outputs[0].text for path in found] == ["0\n", "1\n", "2\n"]


def test_an_option_that_there_is_not_is_a_sentence(desk):
    with pytest.raises(BadInput, match='has no option "run_timout"') as caught:
        desk.run("a = 1", run_timout=3)
    assert "run_timeout" in caught.value.todo
    assert not desk.target.exists()


def test_what_a_file_still_held_is_written(desk):
    desk.run("a = 1", f"file = open({str(desk.folder / 'kept')!r}, 'w')\nfile.write('all of it')")
    assert (desk.folder / "kept").read_text() == "all of it"


def test_forked_kernels_share_nothing(desk):
    probe = "import os, random, tempfile, uuid\nimport numpy\nprint(random.random(), numpy.random.random(), uuid.uuid4(), os.environ.get('MARK'))"
    said = []
    for number in range(3):
        desk.run("a = 1", f"import os\nos.environ['MARK'] = '{number}'\nleak = 1", "print('leak' in globals())")
        assert desk.text(2) == "True\n"
        desk.run("a = 1", probe, "print('leak' in globals())")
        said.append(desk.text(1).split())
        assert desk.text(2) == "False\n"
    assert {words[3] for words in said} == {"None"}
    assert all(len({words[at] for words in said}) == 3 for at in range(3))


def test_what_a_notebook_imports_is_there_already_and_works_after_a_fork(desk):
    used = "import sys\nprint('numpy' in sys.modules)"
    numbers = "import numpy\nprint(int((numpy.ones((400, 400)) @ numpy.ones((400, 400))).sum()), len(numpy.linalg.eigvals(numpy.eye(50))))"
    for _ in range(2):
        desk.run("a = 1", used, numbers)
        assert desk.text(1) == "True\n"
        assert desk.text(2) == "64000000 50\n"


def test_what_a_first_figure_imports_is_there_already(desk):
    figure = "import sys\nbefore = set(sys.modules)\nimport plotly.graph_objects as go\ngo.Figure(go.Bar(y=[1])).to_json()"
    for _ in range(2):
        desk.run("a = 1", figure, "print(sorted(one for one in set(sys.modules) - before if one.partition('.')[0] in ('narwhals', 'nbformat')))")
        assert desk.text(2) == "[]\n"


def test_a_library_that_starts_threads_is_not_kept_ready(desk, monkeypatch):
    """Nothing is forked from a process with threads: such a library is imported by the notebook itself, as ever."""
    site = Path(sysconfig.get_path("purelib"))
    module = site / "qcity_threaded_for_a_test.py"
    module.write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n")
    try:
        desk.run("a = 1", "import os, sys\nprint('qcity_threaded_for_a_test' in sys.modules, os.getppid())", "import qcity_threaded_for_a_test")
        known, parent = desk.text(1).split()
        assert known == "False"
        assert int(parent) != os.getpid(), "it was forked all the same"
    finally:
        module.unlink()


def test_a_kernel_that_cannot_be_forked_is_started(desk, monkeypatch):
    monkeypatch.setenv("QCITY_KERNELS", "spawn")
    desk.run("a = 1", "import os\nprint(os.getppid())")
    assert int(desk.text(1)) == os.getpid()
    monkeypatch.delenv("QCITY_KERNELS")
    desk.run("a = 1", "import os\nprint(os.getppid())")
    assert int(desk.text(1)) != os.getpid()


@pytest.mark.parametrize("tool", [["pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "-o", "addopts=", "--nbval-lax"], ["papermill"]])
def test_nbval_and_plain_papermill_fork_too_when_they_are_told(desk, tool):
    told = f"import os\nwords = open(f'/proc/{{os.getppid()}}/cmdline').read()\nopen({str(desk.folder / 'parent')!r}, 'w').write(words)\nprint('x')"
    desk.write("a = 1", told)
    target = [str(desk.target)] if tool[0] == "papermill" else []
    env = {**os.environ, "JUPYTER_DEFAULT_PROVISIONER_NAME": "qcity-fork"}
    argv = [sys.executable, "-m", *tool, str(desk.source), *target]
    done = subprocess.run(argv, env=env, cwd=desk.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ZYGOTE in (desk.folder / "parent").read_text()


def test_a_kernel_that_is_not_installed_is_a_sentence(desk):
    with pytest.raises(NotFound, match='no kernel "pyhton3" is installed') as caught:
        desk.run("a = 1", kernel="pyhton3")
    assert "python3" in caught.value.todo
    assert desk.states == ["pending"]


def test_input_is_refused_at_once(desk):
    with pytest.raises(PapermillExecutionError, match="StdinNotImplementedError"):
        desk.run("a = 1", "input('name? ')")


def test_an_output_path_that_cannot_be_written_is_known_before_anything_runs(desk):
    desk.target.mkdir()
    with pytest.raises(OSError, match=r"out\.ipynb"):
        desk.run("a = 1", f"open({str(desk.folder / 'ran')!r}, 'w')")
    assert not (desk.folder / "ran").exists()


def test_runs_in_threads_do_not_meet(desk):
    names = [desk.folder / f"{number}.ipynb" for number in range(6)]
    desk.write("a = 1", "import time; time.sleep(0.2); print(a)")

    def run(number: int) -> None:
        papermill.execute_notebook(str(desk.source), str(names[number]), parameters={"a": number}, engine_name="qcity", progress_bar=False)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [nbformat.read(name, as_version=4).cells[2].outputs[0].text for name in names] == [f"{number}\n" for number in range(6)]


def test_settled_text() -> None:
    assert outputs.settled("a\rb\rc\n") == "c\n"
    assert outputs.settled("a\r\nb") == "a\r\nb"
    assert outputs.settled("1\r2\n3\r4") == "2\n4"


def test_threads_that_write_the_same_file_leave_a_whole_one(tmp_path):
    path, texts = tmp_path / "same.ipynb", [letter * 300_000 for letter in "abcd"]
    with ThreadPoolExecutor(len(texts)) as threads:
        for done in [threads.submit(record.write_whole, text, path) for _ in range(40) for text in texts]:
            done.result()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]
