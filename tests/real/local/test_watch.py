"""What the worker finds in repositories, good and bad."""

from __future__ import annotations

import functools
import http.server
import os
import threading
import time
from pathlib import Path

import pytest

from qcity_nb.errors import BadInput, MissingTool
from qcity_nb.kinds.runners.local import KIND
from qcity_nb.model.service import ServiceSpec
from qcity_nb.model.wire import BuildFound, Trouble
from qcity_nb.model.work import Outcome

pytestmark = pytest.mark.real
OK = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n    - uses: actions/checkout@v4\n    - run: test -f .github/workflows/ci.yml\n"


def spec(**options: object) -> ServiceSpec:
    return ServiceSpec(name="r", kind="local", options=options)


def test_each_new_commit_once_and_the_newest_of_many(repo, drive) -> None:
    first = repo.workflow(OK)
    driver = drive(repo, seen={"refs/heads/main": first})
    second, third = repo.commit(message="two"), repo.commit(message="three")
    repo.commit(message="no [skip ci] please")
    fourth = repo.commit(message="four")
    driver.wait(lambda facts: any(isinstance(fact, BuildFound) and fact.plan.sha == fourth for fact in facts))
    assert [fact.plan.sha for fact in driver.of(BuildFound)] == [second, third, fourth]
    many = [repo.commit(message=f"{number}") for number in range(13)]
    # How many looks it takes is up to the clock; each commit comes at most once and the last one always.
    driver.wait(lambda facts: any(isinstance(fact, BuildFound) and fact.plan.sha == many[-1] for fact in facts))
    shas = [fact.plan.sha for fact in driver.of(BuildFound)]
    assert len(shas) == len(set(shas))


def test_more_commits_than_are_built_are_said(repo, drive) -> None:
    first = repo.workflow(OK)
    many = [repo.commit(message=f"{number}") for number in range(13)]
    driver = drive(repo, seen={"refs/heads/main": first})
    driver.wait(lambda facts: any(isinstance(fact, BuildFound) and fact.plan.sha == many[-1] for fact in facts))
    assert [fact.plan.sha for fact in driver.of(BuildFound)] == many[3:]
    assert [fact.text for fact in driver.of(Trouble)] == ['3 commits of "main" are left out; of each push the newest 10 are built']


def test_branches_by_pattern(repo, drive) -> None:
    repo.workflow(OK)
    repo.git("branch", "release/1.0")
    repo.git("branch", "wip")
    driver = drive(repo, branches=["release/**", "main"])
    assert {plan.ref for plan in driver.builds(2)} == {"refs/heads/main", "refs/heads/release/1.0"}
    repo.git("branch", "release/2.0/x")
    driver.builds(3)
    assert {fact.plan.ref for fact in driver.of(BuildFound)} == {"refs/heads/main", "refs/heads/release/1.0", "refs/heads/release/2.0/x"}


def test_bad_workflows_are_said_and_the_good_one_still_runs(repo, drive, monkeypatch) -> None:
    monkeypatch.setenv("QCITY_GITLAB_CI_LOCAL", "nowhere-to-be-found")
    files = {
        ".github/workflows/good.yml": OK.replace("ci.yml", "good.yml"),
        ".github/workflows/bom.yml": "\ufeff" + OK.replace("ci.yml", "bom.yml"),
        ".github/workflows/tabs.yml": "on: push\njobs:\n\ta: 1\n",
        ".github/workflows/big.yml": "# " + "x" * 2_000_000,
        ".github/workflows/latin.yml": "on: push\n# caf\xe9\n".encode("latin-1"),
        ".github/workflows/other.yaml": "on: pull_request\njobs: {a: {runs-on: x, steps: [{run: x}]}}\n",
        ".github/workflows/services.yml": "on: push\njobs:\n  db:\n    runs-on: x\n    services: {p: {image: postgres}}\n    steps: [{run: x}]\n",
        ".github/workflows/notes.txt": "not a workflow",
        ".gitlab-ci.yml": "stages: [a]\n.hidden: {script: x}\ntest:\n  script: [echo]\n",
    }
    repo.commit(files)
    driver = drive(repo)
    plans = {Path(plan.workflow).name: plan for plan in driver.builds(7)}
    assert plans["tabs.yml"].problem == ".github/workflows/tabs.yml:3: a tab indents this line; YAML allows spaces only"
    assert plans["big.yml"].problem == ".github/workflows/big.yml is 2.0 MB long; a workflow may have 1 MB"
    assert plans["latin.yml"].problem == ".github/workflows/latin.yml:2: the file is not UTF-8 text"
    assert plans["services.yml"].jobs[0].refusal == (
        '.github/workflows/services.yml:5: job "db" uses `services:`, which needs containers; this machine has none'
    )
    assert [(job.key, job.refusal) for job in plans[".gitlab-ci.yml"].jobs] == [
        ("test", "not run: gitlab-ci-local is not installed (npm install -g gitlab-ci-local)")
    ]
    assert "other.yaml" not in plans
    for name in ("good.yml", "bom.yml"):
        assert driver.run(plans[name])["a"].outcome is Outcome.SUCCESS


@pytest.mark.parametrize("name", ["with space", "ünïcode-é🎉", 'quote\'d "x"'])
def test_awkward_paths(tmp_path: Path, make_repo, drive, name: str) -> None:
    repo = make_repo(tmp_path / name)
    repo.workflow(OK)
    driver = drive(repo)
    assert driver.run(driver.builds()[0])["a"].outcome is Outcome.SUCCESS


def test_bare_worktree_and_url(repo, drive, tmp_path: Path) -> None:
    repo.workflow(OK)
    bare = tmp_path / "bare.git"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    tree = tmp_path / "tree"
    repo.git("worktree", "add", "-q", "-b", "side", str(tree))
    for number, place in enumerate([bare, tree, f"file://{bare}"]):
        driver = drive(place, incarnation=number + 1)
        assert driver.run(driver.builds()[0])["a"].outcome is Outcome.SUCCESS
        driver.stop()


def test_over_http_a_push_is_built(repo, drive, tmp_path: Path) -> None:
    """A plain web server, as any git host can be read without an account."""
    repo.workflow(OK)
    bare = tmp_path / "bare.git"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    repo.git("--git-dir", str(bare), "update-server-info")
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        driver = drive(f"http://127.0.0.1:{server.server_port}/bare.git")
        assert driver.run(driver.builds()[0])["a"].outcome is Outcome.SUCCESS
        repo.commit({"more": "1"}, "a push")
        repo.git("push", "-q", str(bare), "main")
        repo.git("--git-dir", str(bare), "update-server-info")
        assert driver.builds(2)[1].subject == "a push"
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_an_empty_repository_waits_for_its_first_commit(repo, drive) -> None:
    driver = drive(repo)
    driver.wait(lambda facts: any(isinstance(fact, Trouble) and "no commits yet" in fact.text for fact in facts))
    repo.workflow(OK)
    driver.builds()
    assert [bool(fact.text) for fact in driver.of(Trouble)] == [True, False]


def test_a_lost_remote_is_said_once_and_comes_back(repo, drive, tmp_path: Path) -> None:
    repo.workflow(OK)
    bare = tmp_path / "bare.git"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    bare.rename(tmp_path / "away")
    driver = drive(f"file://{bare}")
    driver.wait(lambda facts: any(isinstance(fact, Trouble) and "cannot be read" in fact.text for fact in facts))
    (tmp_path / "away").rename(bare)
    driver.builds()
    assert [bool(fact.text) for fact in driver.of(Trouble)] == [True, False]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "no repository is given"),
        ({"repo": "/nowhere/at all"}, "/nowhere/at all does not exist"),
        ({"repo": "/etc/hostname"}, "is not a folder"),
        ({"repo": "/etc"}, "/etc is not a git repository"),
        ({"repo": "/etc", "slot": 3}, 'there is no option "slot". Did you mean "slots"?'),
        ({"repo": "/etc", "slots": 0}, "slots is 0"),
        ({"repo": "/etc", "slots": "two"}, "slots: expected `int`, got `str`"),
        ({"repo": "/etc", "sandbox": "strong"}, "sandbox"),
        ({"repo": "https://me:secret@host/x.git"}, "contains a password"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence: str) -> None:
    with pytest.raises(BadInput) as told:
        KIND.check(spec(**options))
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


def test_a_folder_inside_of_a_repository(repo) -> None:
    (repo.folder / "sub").mkdir()
    with pytest.raises(BadInput, match="is inside of the git repository"):
        KIND.check(spec(repo=str(repo.folder / "sub")))


def test_without_git(repo, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(repo.folder))
    with pytest.raises(MissingTool, match="git is not installed"):
        KIND.check(spec(repo=str(repo.folder)))


def test_an_idle_worker_costs_nearly_nothing(repo, drive) -> None:
    repo.workflow(OK)
    driver = drive(repo)
    driver.builds()
    spent, woken = used(driver.process.pid), wakes(driver.process.pid)
    beats = set()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        beats.add(driver.home.beat("runner").stat().st_mtime_ns)
        driver.wait(lambda facts: True)
        time.sleep(0.05)
    assert wakes(driver.process.pid) - woken < 100  # ten looks and a beat a second; no loop that waits for nothing
    assert used(driver.process.pid) - spent < 1  # seconds of 3: it does not spin
    assert len(beats) >= 3


def used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wakes(pid: int) -> int:
    """How often its threads have woken from a wait of their own."""
    found = (task.joinpath("status").read_text() for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in found)
