"""Notebooks at a place: on this machine, on a host behind a real sshd, in a Colab as a stand-in; the package is brought there and word comes back."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from pathlib import Path

import nbformat
import pytest

from qcity_nb.errors import Refused
from qcity_nb.io import secrets
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.schedule import CellState, RunState
from qcity_nb.testing import colab_cli, sshd
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
SECONDS = 200
"""The first run of a place installs the package there."""
SHOWS = "import os; print(os.environ['HOME']); open(os.environ['QCITY_ARTIFACTS'] + '/a.txt', 'w').write('made')"
WAITS = "import os, time\nopen({marks!r}, 'a').write('x')\nprint('waits')\nwhile not os.path.exists({go!r}):\n    time.sleep(0.05)"


@pytest.fixture(scope="module")
def box(dependencies, python, desk):
    """A host behind a real sshd, noted as the place `box`."""
    if not sshd.program():
        reason = "openssh-server is not installed: apt-get install openssh-server"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    there = Path(tempfile.mkdtemp(prefix="qcity-there-"))
    with sshd.Sshd({"HOME": str(there), "PYTHONPATH": str(dependencies)}) as server:
        server.home = there
        desk.city.places.add(PlaceConfig(name="box", kind="ssh", options={**server.options, "python": python}))
        yield server
    shutil.rmtree(there)


def marked(desk, box):
    """A notebook that leaves a mark there and waits until it may go on, and where the marks are."""
    marks, go = box.home / "marks", box.home / "go"
    for path in (marks, go):
        path.unlink(missing_ok=True)
    return desk.write("1", WAITS.format(marks=str(marks), go=str(go)), SHOWS), marks, go


def begun(marks, number=1):
    until(lambda: marks.exists() and len(marks.read_text()) >= number, seconds=SECONDS)


def test_this_machine_is_a_place_too(desk, monkeypatch):
    secrets.keep(desk.city.link.store.home, "DB_PASSWORD", "Kx7-very-secret-93")
    desk.city.places.add(PlaceConfig(name="me", kind="here"))
    path = desk.write("print(n + 1)", "import os; print(len(os.environ['DB_PASSWORD']), os.environ['DB_PASSWORD'])", "1/0", parameters="n = 1")
    run = desk.city.notebooks.run(path, {"n": 41}, executor="place:me", secrets=["DB_PASSWORD"]).wait(SECONDS)
    assert (run.state, run.row.reason) == (RunState.FAILED, "cell 5: ZeroDivisionError: division by zero")
    nb = nbformat.read(run.output, as_version=4)
    assert [nb.cells[number].outputs[0].text for number in (2, 3)] == ["42\n", "18 ***\n"]
    assert not run.resumable
    with pytest.raises(Refused, match="it ran elsewhere"):
        run.resume()


def test_artifacts_come_back_also_when_a_cell_failed(desk):
    desk.city.places.add(PlaceConfig(name="me", kind="here"))
    makes = "import os, random\nopen(os.environ['QCITY_ARTIFACTS'] + '/a.bin', 'wb').write(random.Random(7).randbytes(3_000_000))"
    for cells, state in (([makes], RunState.DONE), ([makes, "1/0"], RunState.FAILED)):
        run = desk.city.notebooks.run(desk.write(*cells), executor="place:me").wait(SECONDS)
        assert run.row.state is state
        (kept,) = run.artifacts
        assert kept.read_bytes() == random.Random(7).randbytes(3_000_000)


def test_artifacts_that_are_too_many_are_a_sentence_and_the_run_is_done(desk):
    desk.city.places.add(PlaceConfig(name="me", kind="here"))
    makes = "import os\nwith open(os.environ['QCITY_ARTIFACTS'] + '/a.bin', 'wb') as file:\n    file.truncate(70 << 20)"
    run = desk.city.notebooks.run(desk.write(makes), executor="place:me").wait(SECONDS)
    assert run.row.state is RunState.DONE
    assert "its artifacts stayed where it ran: they have 73 MB, and 64 MB come back" in run.row.reason
    assert run.artifacts == ()


@pytest.mark.slow
def test_it_is_executed_behind_ssh_and_comes_back(desk, box):
    path, marks, go = marked(desk, box)
    run = desk.city.notebooks.run(path, executor="place:box")
    begun(marks)
    live = until(lambda: live if (live := run.row.live) and live.tail else None, seconds=30)
    assert (live.cell, live.cells, live.tail) == (2, 3, "waits\n")
    go.touch()
    row = run.wait(SECONDS).row
    assert (row.state, row.reason, row.attempt) == (RunState.DONE, "", 1)
    assert [cell.state for cell in row.cells] == [CellState.DONE] * 3
    assert nbformat.read(run.output, as_version=4).cells[2].outputs[0].text == f"{box.home}\n"
    assert [path.read_text() for path in run.artifacts] == ["made"]
    base = box.home / ".qcity"
    assert [one.name for one in base.iterdir()] == ["box-notebooks"]  # no engine's environment was touched
    assert base.joinpath("box-notebooks").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_a_run_behind_ssh_is_cancelled_there(desk, box):
    path, marks, _ = marked(desk, box)
    run = desk.city.notebooks.run(path, executor="place:box")
    begun(marks)
    row = run.cancel("enough").wait(60).row
    assert (row.state, row.reason) == (RunState.CANCELLED, "enough")
    assert nbformat.read(run.output, as_version=4).metadata.qcity["status"] == "cancelled"


@pytest.mark.slow
def test_a_connection_that_is_cut_loses_the_attempt_and_the_run_begins_again(desk, box):
    """What was executed there ends by itself: its standard input is over."""
    path, marks, go = marked(desk, box)
    run = desk.city.notebooks.run(path, executor="place:box")
    begun(marks)
    box.cut()
    begun(marks, 2)
    go.touch()
    row = run.wait(SECONDS).row
    assert (row.state, row.attempt, row.losses) == (RunState.DONE, 2, 1)
    assert "cannot be reached by SSH" in row.attempts[0].reason
    assert marks.read_text() == "xx"


def test_a_host_that_cannot_be_reached_is_one_sentence(desk):
    desk.city.places.add(PlaceConfig(name="gone", kind="ssh", options={"host": "127.0.0.1", "port": "9"}))
    row = desk.city.notebooks.run(desk.write("1"), executor="place:gone").wait(SECONDS).row
    assert (row.state, row.attempt) == (RunState.FAILED, 1)
    assert row.reason.startswith("127.0.0.1 port 9 cannot be reached by SSH")


def test_a_place_that_executes_nothing_for_others_says_so_at_once(desk):
    desk.city.places.add(PlaceConfig(name="other", kind="shared"))
    with pytest.raises(Refused, match="other is a place of the kind shared, which executes no notebooks for others") as caught:
        desk.city.notebooks.run(desk.write("1"), executor="place:other")
    assert "here, ssh, colab, huggingface" in caught.value.todo


@pytest.fixture
def google(tmp_path, monkeypatch, dependencies, python):
    """Google's command on PATH; machines whose Python can make virtual environments, with the dependencies at hand."""
    folder = tmp_path / "google"
    env = {"PYTHONPATH": str(dependencies), "PATH": f"{Path(python).parent}:{os.defpath}"}
    monkeypatch.setenv("PATH", f"{colab_cli.install(folder, env=env)}:{os.environ['PATH']}")
    yield folder
    colab_cli.end_all(folder)


@pytest.mark.slow
def test_it_is_executed_in_a_colab_of_its_own_which_is_given_back(google, own_desk):
    own_desk.city.places.add(PlaceConfig(name="paid", kind="colab"))
    run = own_desk.city.notebooks.run(own_desk.write(SHOWS), executor="place:paid").wait(SECONDS)
    assert (run.state, run.row.reason) == (RunState.DONE, "")
    text = nbformat.read(run.output, as_version=4).cells[0].outputs[0].text
    assert text.startswith(str(google / "vm-qcity-paid-"))
    assert [path.read_text() for path in run.artifacts] == ["made"]
    assert not list(google.glob("vm-*"))


@pytest.mark.slow
def test_a_run_in_a_colab_is_cancelled_by_giving_the_machine_back(google, own_desk):
    own_desk.city.places.add(PlaceConfig(name="paid", kind="colab"))
    marks = own_desk.folder / "marks"
    run = own_desk.city.notebooks.run(own_desk.write(WAITS.format(marks=str(marks), go="/nowhere")), executor="place:paid")
    begun(marks)
    until(lambda: run.row.live, seconds=30)
    assert run.cancel("enough").wait(60).row.state is RunState.CANCELLED
    until(lambda: not list(google.glob("vm-*")), seconds=30)


def test_a_free_colab_is_refused_with_the_clause(google, own_desk):
    (google / "account.json").write_text(json.dumps({"balance": 0.0, "env": {}}))
    own_desk.city.places.add(PlaceConfig(name="free", kind="colab"))
    row = own_desk.city.notebooks.run(own_desk.write("1"), executor="place:free").wait(SECONDS).row
    assert row.state is RunState.FAILED
    assert "free Colab forbids distributed-computing workers" in row.reason
    assert not list(google.glob("vm-*"))
