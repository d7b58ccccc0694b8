"""Places of the kind `huggingface`, against the stand-in of Hugging Face Jobs; the real service was never tried."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from qcity_nb.decide import huggingface as decide
from qcity_nb.decide.remote import SAYS
from qcity_nb.errors import BadInput, PlaceError, PlatformError, Refused
from qcity_nb.io import secrets
from qcity_nb.kinds.forges.http import Caller
from qcity_nb.kinds.places import exchange, open_place, parcel, sending
from qcity_nb.kinds.places.exchange import RESULT, Exchange, packed, unpacked
from qcity_nb.kinds.places.huggingface import KIND
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.model.place import Parcel, Running
from qcity_nb.testing import faults
from qcity_nb.testing.huggingface import FakeHuggingFace
from qcity_nb.testing.place_contract import PlaceContract

_spec = importlib.util.spec_from_file_location("places_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)

PARCEL = Parcel(wheel="", version="1.2", tag="1", config="[runner.a]\n", store="postgresql://u:hush@h/d", credentials={"github": "ghp_hush"})


@pytest.fixture
def hub():
    with FakeHuggingFace() as fake:
        yield fake


@pytest.fixture
def config(hub, home):
    secrets.keep(home, "huggingface", hub.token)
    return PlaceConfig(name="job", kind="huggingface", options={"url": hub.root, "hours": "2"})


class TestHuggingFace(PlaceContract):
    @pytest.fixture(autouse=True)
    def _given(self, hub, config, home):
        self._hub, self._config, self._home = hub, config, home

    def good(self):
        return self._config

    def unreachable(self):
        self._hub.down()
        return self._config

    def parcel(self):
        return PARCEL

    def home(self):
        return self._home

    def engines(self):
        return sum(job["status"]["stage"] in ("RUNNING", "SCHEDULING") for job in self._hub.jobs)


def test_what_is_asked_for_is_bounded_and_its_secrets_are_apart(hub, config, home):
    place = open_place(config, home=home)
    state = place.start(PARCEL)
    (job,) = hub.jobs
    assert job["timeoutSeconds"] == 7200
    assert job["flavor"] == "cpu-basic"
    assert job["labels"] == {"qcity": "job"}
    assert job["environment"]["QCITY_PACKAGE"] == "qcity-nb[postgres]==1.2"
    assert job["environment"]["QCITY_CONFIG"] == "[runner.a]\n"
    assert hub.secrets[job["id"]] == {"QCITY_STORE": PARCEL.store, "QCITY_CREDENTIALS": json.dumps({"github": "ghp_hush"})}
    assert "hush" not in json.dumps(job)
    assert state.running is Running.STARTING
    assert state.link.endswith(f"/jobs/octo/{job['id']}")
    hub.set_stage(job["id"], "RUNNING")
    assert place.status().running is Running.UP
    hub.set_stage(job["id"], "ERROR", "Job timeout")
    assert "Job timeout" in place.status().sentence


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_command_of_the_job_runs_an_engine(hub, config, home, tmp_path, dependencies, python):
    """Run here as the platform would run it: in a fresh Python, with the job's environment and secrets and nothing else."""
    room, there = tmp_path / "room", tmp_path / "there"
    there.mkdir()
    subprocess.run([python, "-m", "venv", str(room)], check=True)
    wheel = parcel.pack(config, home=home).wheel
    toml = '[runner.sleeper]\nkind = "command"\ncommand = ["/bin/sleep", "600"]\n'
    asked = replace(config, options={**config.options, "package": wheel})
    open_place(asked, home=home).start(replace(PARCEL, store="", config=toml))
    (job,) = hub.jobs
    path = f"{room / 'bin'}:{os.defpath}"
    env = {"HOME": str(there), "PATH": path, "PYTHONPATH": str(dependencies), **job["environment"], **hub.secrets[job["id"]]}

    def qcity(*argv):
        command, place = [str(room / "bin" / "qcity"), *argv], {**env, "QCITY_HOME": str(there / ".qcity" / "home")}
        return subprocess.run(command, env=place, capture_output=True, text=True, check=False).stdout

    running = subprocess.Popen(job["command"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=there, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not _conftest.engines_below(there) or "sleeper" not in qcity("runner", "list"):
            assert running.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        token = there / ".qcity" / "home" / "secrets" / "github"
        assert token.read_text() == "ghp_hush"
        assert token.stat().st_mode & 0o777 == 0o600
        (engine,) = _conftest.engines_below(there)
        assert "hush" not in json.dumps(engine.environ())
        assert running.poll() is None  # the job lasts as long as its engine
    finally:
        qcity("engine", "stop", "--runners")
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def test_a_job_whose_answer_was_lost_is_found_and_not_asked_for_twice(hub, config, home):
    hub.fault(faults.lost_reply(), method="POST", path="/api/jobs/octo")
    with pytest.raises(PlatformError):
        open_place(config, home=home).start(PARCEL)
    assert open_place(config, home=home).start(PARCEL).running is Running.STARTING
    assert len(hub.jobs) == 1


def test_a_job_that_ended_is_replaced_by_a_new_one(hub, config, home):
    place = open_place(config, home=home)
    place.start(PARCEL)
    hub.set_stage(hub.jobs[0]["id"], "COMPLETED")
    assert place.start(PARCEL).running is Running.STARTING
    assert len(hub.jobs) == 2


def test_jobs_of_other_places_are_never_touched(hub, config, home):
    open_place(replace(config, name="other"), home=home).start(PARCEL)
    assert open_place(config, home=home).status().running is Running.ABSENT
    open_place(config, home=home).stop()
    assert hub.jobs[0]["status"]["stage"] == "SCHEDULING"


def test_a_look_says_the_price_and_the_bound(config, home):
    report = open_place(config, home=home).check()
    assert "0.000167 USD a minute" in report.why
    assert report.hours == 2


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda hub, home: secrets.keep(home, "huggingface", "hf_wrong"), "does not accept the token"),
        (lambda hub, home: secrets.forget(home, "huggingface"), "there is no token for Hugging Face"),
        (lambda hub, home: hub.down(), "cannot be reached"),
        (lambda hub, home: hub.fault(faults.malformed(), times=None), "cannot be read"),
    ],
)
def test_what_keeps_it_from_being_used_is_reported(hub, config, home, break_it, words):
    break_it(hub, home)
    report = open_place(config, home=home).check()
    assert not report.reachable
    assert words in report.why
    assert report.todo


def test_hardware_that_there_is_not_is_named(config, home):
    report = open_place(replace(config, options={**config.options, "flavor": "h900"}), home=home).check()
    assert report.missing
    assert "cpu-basic" in report.todo


@pytest.mark.parametrize("options", [{"hours": "many"}, {"hours": "-1"}, {"url": "http://example.org"}, {"exchange": "runs"}])
def test_options_that_cannot_work_are_sentences(home, options):
    with pytest.raises(BadInput) as caught:
        KIND.open(PlaceConfig(name="job", kind="huggingface", options=options), home=home)
    assert caught.value.todo


@pytest.fixture
def errand(hub, config, home):
    """Has a notebook executed in a thread of its own: no job is run, the test moves it on. What was heard, how to end it, and the answer."""
    heard, over = [], threading.Event()
    data = json.dumps({"token": "a1", "notebook": "{}", "kernel": "python3", "env": {"PASSWORD": "hush"}, "secrets": ["hush"]}).encode() + b"\n"
    with ThreadPoolExecutor(1) as pool:

        def begin(**options):
            place = open_place(replace(config, options={**config.options, **options}), home=home)
            return pool.submit(place.execute, parcel.pack(config, home=home), data, heard.append, over)

        yield begin, heard, over
        over.set()


def left(hub):
    """Leave a result, as the newest job does."""
    caller, where = Caller(hub.root, {"Authorization": f"Bearer {hub.token}"}, who="Hugging Face"), hub.jobs[-1]["environment"]
    Exchange(caller, where["QCITY_EXCHANGE"], where["QCITY_BRANCH"]).put({RESULT: packed('{"type":"result"}')})


def test_an_errand_is_a_job_beside_the_engines_and_its_files_go_away(hub, config, home, errand):
    open_place(config, home=home).start(PARCEL)
    begin, heard, _ = errand
    said = begin(exchange="octo/mine")
    hub.wait(lambda: len(hub.jobs) == 2)
    engine, job = hub.jobs
    assert job["labels"] == {"qcity-run": "a1", "qcity-place": "job"}
    assert job["timeoutSeconds"] == 7200
    branch = f"qcity-run-{sending.owner(home)}-a1"
    assert (job["environment"]["QCITY_EXCHANGE"], job["environment"]["QCITY_BRANCH"]) == ("octo/mine", branch)
    assert hub.secrets[job["id"]] == {"QCITY_TOKEN": hub.token, "QCITY_PRIVATE": json.dumps({"env": {"PASSWORD": "hush"}, "secrets": ["hush"]})}
    dataset = hub.datasets["octo/mine"]
    files = dataset.commits[dataset.branches[branch]]
    assert json.loads(unpacked(files["bundle"].decode())) == {"token": "a1", "notebook": "{}", "kernel": "python3", "timeout": 7200 - 900}
    assert base64.b64decode(files["wheel"]).startswith(b"PK")
    assert engine["id"] in open_place(config, home=home).status().sentence
    left(hub)
    hub.set_stage(job["id"], "COMPLETED")
    said.result(30)
    assert [json.loads(line.removeprefix(SAYS)) for line in heard] == [{"type": "said", "tail": ""}, {"type": "result"}]
    assert list(dataset.branches) == ["main"]
    assert engine["status"]["stage"] == "SCHEDULING"


def test_a_job_without_a_result_says_how_it_ended(hub, errand):
    begin, heard, _ = errand
    said = begin()
    hub.wait(lambda: hub.jobs)
    hub.set_stage(hub.jobs[0]["id"], "ERROR", "Job timeout")
    assert "is error: Job timeout" in said.result(30).last
    assert len(heard) == 1
    assert list(hub.datasets["octo/qcity-runs"].branches) == ["main"]


def test_nobody_wants_it_any_more(hub, errand):
    begin, heard, over = errand
    said = begin()
    hub.wait(lambda: hub.jobs)
    over.set()
    said.result(30)
    assert hub.jobs[0]["status"]["stage"] == "CANCELED"
    assert len(heard) == 1


def test_a_job_for_an_errand_whose_answer_was_lost_is_found_by_its_label(hub, errand):
    hub.fault(faults.lost_reply(), method="POST", path="/api/jobs/octo")
    begin, heard, _ = errand
    said = begin()
    hub.wait(lambda: hub.jobs)
    left(hub)
    hub.set_stage(hub.jobs[0]["id"], "COMPLETED")
    said.result(30)
    assert len(heard) == 2
    assert len(hub.jobs) == 1


def test_an_outage_of_hugging_face_ends_no_errand(hub, errand):
    begin, heard, _ = errand
    said = begin()
    hub.wait(lambda: hub.jobs)
    planted = hub.fault(faults.status(503), method="GET", path="/api/jobs/octo/*", times=4)
    hub.wait(lambda: planted.left == 0, 30)
    left(hub)
    hub.set_stage(hub.jobs[0]["id"], "COMPLETED")
    said.result(30)
    assert len(heard) == 2


def test_what_a_killed_worker_left_is_ended_by_the_next_attempt_and_nobody_elses_is_touched(hub, home, errand):
    dataset, ours = hub.dataset("octo/qcity-runs"), f"qcity-run-{sending.owner(home)}"
    others = "qcity-run-00000000-b2"
    for branch in (f"{ours}-dead", others):
        dataset.put(branch, {"bundle": b"x"}, "sent")
        body = {"command": ["true"], "environment": {}, "dockerImage": "x", "labels": {"qcity-run": branch.rpartition("-")[2]}}
        requests.post(f"{hub.root}/api/jobs/octo", json=body, headers={"Authorization": f"Bearer {hub.token}"}, timeout=10).raise_for_status()
    begin, _, over = errand
    said = begin()
    hub.wait(lambda: len(hub.jobs) == 3)
    over.set()
    said.result(30)
    assert [job["status"]["stage"] for job in hub.jobs] == ["CANCELED", "SCHEDULING", "CANCELED"]
    assert list(dataset.branches) == ["main", others]


def test_a_result_that_cannot_be_read_is_a_sentence(hub, errand):
    begin, _, _ = errand
    said = begin()
    hub.wait(lambda: hub.jobs)
    hub.datasets["octo/qcity-runs"].put(hub.jobs[0]["environment"]["QCITY_BRANCH"], {RESULT: packed(os.urandom(99).hex())[:60].encode()}, "cut")
    hub.set_stage(hub.jobs[0]["id"], "COMPLETED")
    with pytest.raises(PlaceError, match="the result in the dataset octo/qcity-runs cannot be read"):
        said.result(30)


def test_what_is_too_large_for_the_exchange_is_refused_and_nothing_is_asked_for(hub, config, home, monkeypatch):
    monkeypatch.setattr(exchange, "LARGEST", 1000)
    data = json.dumps({"token": "a1", "notebook": os.urandom(2000).hex()}).encode()
    with pytest.raises(Refused, match="the bundle has 3"):
        open_place(config, home=home).execute(parcel.pack(config, home=home), data, print, threading.Event())
    assert not hub.jobs
    assert list(hub.datasets["octo/qcity-runs"].branches) == ["main"]


@pytest.mark.parametrize(
    ("hours", "wanted", "notebook", "job"), [(6, None, 20700, 21600), (6, 60, 60, 960), (0.5, None, 1350, 1800), (1, 9999, 2700, 3600)]
)
def test_a_notebooks_time_is_over_before_its_jobs(hours, wanted, notebook, job):
    made = decide.errand(json.dumps({"token": "a", "timeout": wanted}).encode(), seconds=hours * 3600)
    assert (json.loads(made.bundle)["timeout"], made.seconds) == (notebook, job)
