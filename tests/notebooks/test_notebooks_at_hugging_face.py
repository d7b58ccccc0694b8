"""Notebooks in a Hugging Face job: a stand-in of Hugging Face that really runs its jobs here; the real service was never tried."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import nbformat
import psutil
import pytest

from qcity_nb.io import secrets
from qcity_nb.kinds.places.exchange import BUNDLE, RESULT, unpacked
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.schedule import CellState, RunState
from qcity_nb.testing.huggingface import FakeHuggingFace
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
SECONDS = 200
WAITS = "import os, time\nopen({marks!r}, 'a').write('x')\nwhile not os.path.exists({go!r}):\n    time.sleep(0.05)"
HUSH = "Kx7-very-secret-93"


@pytest.fixture(scope="module")
def container(tmp_path_factory, dependencies, python):
    """What is in the environment of a container: a Python of its own, with the dependencies at hand."""
    room = tmp_path_factory.mktemp("container") / "python"
    subprocess.run([python, "-m", "venv", str(room)], check=True)
    return {"PATH": f"{room / 'bin'}:{os.defpath}", "PYTHONPATH": str(dependencies)}


@pytest.fixture
def face(tmp_path, container):
    with FakeHuggingFace(room=tmp_path / "jobs", env=container) as fake:
        fake.cache = "/"
        yield fake


@pytest.fixture
def at(own_desk, face):
    """A desk with the place `face`."""
    secrets.keep(own_desk.city.link.store.home, "huggingface", face.token)
    own_desk.city.places.add(PlaceConfig(name="face", kind="huggingface", options={"url": face.root, "hours": "2"}))
    return own_desk


def written(face):
    """All that was ever in the dataset, read as whoever has its files reads it."""
    for files in face.datasets["octo/qcity-runs"].commits.values():
        for name, content in files.items():
            yield name, unpacked(content.decode()) if name in (BUNDLE, RESULT) else content.decode()


def begun(marks, number=1):
    until(lambda: marks.exists() and len(marks.read_text()) >= number, seconds=SECONDS)


@pytest.mark.slow
def test_it_is_executed_in_a_job_and_its_secrets_are_in_no_file_and_no_log(at, face):
    secrets.keep(at.city.link.store.home, "DB_PASSWORD", HUSH)
    shows = "import os\nprint(len(os.environ['DB_PASSWORD']), os.environ['DB_PASSWORD'])\nos.system('echo outside $DB_PASSWORD >/proc/$PPID/fd/2')"
    where = "print(os.environ['HOME'], [name for name in os.environ if name in ('QCITY_TOKEN', 'QCITY_PRIVATE')])"
    makes = "open(os.environ['QCITY_ARTIFACTS'] + '/a.txt', 'w').write('made')"
    path = at.write("print(n + 1)", shows, where, makes, parameters="n = 1")
    run = at.city.notebooks.run(path, {"n": 41}, executor="place:face", secrets=["DB_PASSWORD"], timeout=600).wait(SECONDS)
    assert (run.state, run.row.reason) == (RunState.DONE, "")
    assert [cell.state for cell in run.row.cells] == [CellState.DONE] * len(run.row.cells)
    (job,) = face.jobs
    cells = nbformat.read(run.output, as_version=4).cells
    assert [cells[number].outputs[0].text for number in (2, 3)] == ["42\n", "18 ***\n"]
    assert cells[4].outputs[0].text == f"{face.room / job['id']} []\n"
    assert job["timeoutSeconds"] == 600 + 900
    assert [path.read_text() for path in run.artifacts] == ["made"]
    told = dict(written(face))
    assert {BUNDLE, RESULT} <= told.keys()
    log = (face.room / f"{job['id']}.log").read_text()
    assert "cell 3 began\n" in log
    for secret in (HUSH, face.token):
        assert not any(secret in text for _, text in written(face))
        assert secret not in log + json.dumps(job)
    dataset = face.datasets["octo/qcity-runs"]
    assert (dataset.private, list(dataset.branches)) == (True, ["main"])


@pytest.mark.slow
def test_a_run_in_a_job_is_cancelled_with_its_job(at, face):
    marks = at.folder / "marks"
    run = at.city.notebooks.run(at.write(WAITS.format(marks=str(marks), go="/nowhere")), executor="place:face")
    begun(marks)
    assert run.cancel("enough").wait(60).row.state is RunState.CANCELLED
    assert [job["status"]["stage"] for job in face.jobs] == ["CANCELED"]
    assert list(face.datasets["octo/qcity-runs"].branches) == ["main"]


@pytest.mark.slow
def test_a_job_that_dies_loses_the_attempt_and_the_run_begins_again(at, face):
    marks, go = at.folder / "marks", at.folder / "go"
    run = at.city.notebooks.run(at.write(WAITS.format(marks=str(marks), go=str(go))), executor="place:face")
    begun(marks)
    (process,) = face.running.values()
    (far,) = [one for one in psutil.Process(process.pid).children() if "qcity_nb.kinds.notebooks.far" in one.cmdline()]
    far.kill()
    begun(marks, 2)
    go.touch()
    row = run.wait(SECONDS).row
    assert (row.state, row.attempt, row.losses) == (RunState.DONE, 2, 1)
    assert "ended without a result" in row.attempts[0].reason
    assert "exit code: 1" in row.attempts[0].reason
    assert "ended with SIGKILL" in (face.room / f"{face.jobs[0]['id']}.log").read_text()
    assert list(face.datasets["octo/qcity-runs"].branches) == ["main"]


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_a_job_which_the_next_attempt_ends(at, face):
    marks, go = at.folder / "marks", at.folder / "go"
    run = at.city.notebooks.run(at.write(WAITS.format(marks=str(marks), go=str(go))), executor="place:face")
    begun(marks)
    os.kill(at.worker, signal.SIGKILL)
    begun(marks, 2)
    assert [job["status"]["stage"] for job in face.jobs] == ["CANCELED", "RUNNING"]
    go.touch()
    row = run.wait(SECONDS).row
    assert (row.state, row.attempt, row.losses) == (RunState.DONE, 2, 1)
    assert list(face.datasets["octo/qcity-runs"].branches) == ["main"]


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda face, home: secrets.forget(home, "huggingface"), "there is no token for Hugging Face"),
        (lambda face, home: setattr(face.dataset("octo/qcity-runs"), "private", False), "everybody can read the dataset octo/qcity-runs"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence_and_no_job(desk, tmp_path, break_it, words):
    with FakeHuggingFace(room=tmp_path / "jobs") as face:
        home = desk.city.link.store.home
        secrets.keep(home, "huggingface", face.token)
        desk.city.places.add(PlaceConfig(name="face", kind="huggingface", options={"url": face.root}))
        break_it(face, home)
        row = desk.city.notebooks.run(desk.write("1"), executor="place:face").wait(SECONDS).row
        assert (row.state, row.attempt) == (RunState.FAILED, 1)
        assert words in row.reason
        assert not face.jobs
