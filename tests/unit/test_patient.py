"""What the attendant remembers of one agent's jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.decide.failures import codes, diagnose
from qcity_nb.kinds.runners.forge import memory
from qcity_nb.kinds.runners.forge.patient import Patient
from qcity_nb.model.agent import Evidence, RemoteJob
from qcity_nb.model.home import Home
from qcity_nb.model.wire import AgentCard

MINUTE = timedelta(minutes=1)


@pytest.fixture
def patient(tmp_path):
    home = Home(tmp_path)
    home.service("gh-1").mkdir(parents=True)
    made = Patient(AgentCard(name="gh-1", kind="github", options={}, incarnation=1, phase="running", desired="up"), home)
    made.seen.worker = True
    return made


def look(patient, job, minutes, cpu):
    """One look at a job that has run for so long: what is found of it, and then remembered."""
    worst = memory.longest(patient.memory, "tests")
    running = None if minutes is None else minutes * MINUTE
    found = Evidence(at=datetime.now(timezone.utc), alive=True, worker=True, cpu=cpu, running_for=running, worst=worst, job=job)
    patient.learn(found)
    return found


def test_a_job_is_no_measure_for_itself_and_one_that_was_longer_is_for_the_next(patient):
    """The first job of its name worked for three minutes and then waits for a slow server: nobody knows yet that it hangs."""
    first = RemoteJob(id=1, run=1, name="tests", status="in_progress")
    look(patient, first, 3, 0.5)
    assert "F20" not in codes(diagnose(look(patient, first, 50, 0.0)))
    look(patient, replace(first, status="completed"), None, None)
    assert memory.load(patient.home, "gh-1").worst == {"tests": 180.0}
    second = replace(first, id=2)
    assert "F20" not in codes(diagnose(look(patient, second, 5, 0.0)))
    assert "F20" in codes(diagnose(look(patient, second, 7, 0.0)))


def test_the_next_job_at_once_and_the_longest_counts(patient):
    for id_, minutes in ((1, 4), (2, 2), (3, 1)):
        look(patient, RemoteJob(id=id_, run=id_, name="tests", status="in_progress"), minutes, 0.2)
    patient.seen.worker = False
    look(patient, None, None, None)
    assert memory.load(patient.home, "gh-1").worst == {"tests": 240.0}
