"""The canary of a local runner, with the real act: well on a well runner; two failures end the runner, and the next life proves itself first."""

from __future__ import annotations

import pytest

from qcity_nb.io import spool
from qcity_nb.model.home import Home
from qcity_nb.model.wire import Checked, Fact, Hello

pytestmark = [pytest.mark.real]


def said(home: Home, incarnation: int) -> list:
    return spool.read(home.facts("runner", incarnation), 0, Fact)[0]  # type: ignore[arg-type]


def looks(facts) -> list:
    return [fact for fact in facts if isinstance(fact, Checked)]


def test_a_canary_clones_builds_caches_and_gives_an_artifact_away(drive, repo):
    repo.commit({"a": "b"})
    worker = drive(repo, canary=0.5)
    worker.wait(lambda facts: len(looks(facts)) > 1)
    for look in looks(worker.facts):
        assert (look.what, look.ok, look.text) == ("canary", True, "all is well")
        assert {"clone", "build", "cache", "artifact", "GPU"} <= set(look.details)
        assert set(look.details.values()) == {"well"}
    assert not list(worker.home.artifacts.glob("-*")), "what it gave away is no build's"


def test_two_failures_end_the_runner_and_the_next_life_mends_and_proves_itself_before_it_takes_jobs(drive, repo, home):
    repo.commit({"a": "b"})
    home.cache.mkdir(parents=True)
    (home.cache / "runner").write_text("not a folder")
    sick = drive(repo, canary=0.5)
    assert sick.process.wait(60) == 1
    assert [look.ok for look in looks(said(home, 1))] == [False, False]
    assert "its canary failed 2 times in a row: could not be started" in (home.service("runner") / "log").read_text()
    mended = drive(repo, canary=0.5, incarnation=2)
    mended.wait(lambda facts: any(isinstance(fact, Hello) for fact in facts))
    kinds = [type(fact) for fact in mended.facts]
    assert kinds.index(Checked) < kinds.index(Hello)
    assert looks(mended.facts)[0].ok


def test_a_life_whose_canary_still_fails_takes_no_job(drive, repo, home):
    repo.commit({"a": "b"})
    options = {"canary": 0.5, "limits": {"file_size": 1}}
    assert drive(repo, **options).process.wait(60) == 1
    assert drive(repo, incarnation=2, **options).process.wait(60) == 1
    assert not any(isinstance(fact, Hello) for fact in said(home, 2))
