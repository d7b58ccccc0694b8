# ruff: noqa: E501
"""Jobs that the real act runs for a real worker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qcity_nb.decide.isolate import isolate
from qcity_nb.kinds.runners.local import execute
from qcity_nb.kinds.runners.local.prepare import act_program
from qcity_nb.model.wire import JobMoved, Needed
from qcity_nb.model.work import JobPlan, Outcome

pytestmark = pytest.mark.real

CHAIN = """
name: chain
on: push
env: {TOP: "top level"}
jobs:
  first:
    runs-on: ubuntu-latest
    outputs: {text: "${{ steps.s.outputs.text }}"}
    steps:
      - uses: actions/checkout@v4
      - id: s
        run: |
          cat tricky.txt > value
          { echo 'text<<EOF_1'; cat value; echo; echo EOF_1; } >> "$GITHUB_OUTPUT"
  broken:
    runs-on: ubuntu-latest
    needs: first
    steps:
      - name: unit tests
        run: |
          echo "some talk"
          echo "E  assert 3 == 4"
          echo "test_add.py:4: AssertionError"
          exit 1
  left:
    runs-on: ubuntu-latest
    needs: broken
    steps: [{run: echo never}]
  cleanup:
    runs-on: ubuntu-latest
    needs: [first, broken, left]
    if: always()
    steps:
      - uses: actions/checkout@v4
      - env: {TEXT: "${{ needs.first.outputs.text }}"}
        run: printf %s "$TEXT" > got; cmp got tricky.txt; echo "left=${{ needs.left.result }} broken=${{ needs.broken.result }} $TOP"
  onfailure:
    runs-on: ubuntu-latest
    needs: left
    if: failure()
    steps: [{run: echo an ancestor failed}]
  legs:
    runs-on: ubuntu-latest
    needs: first
    strategy: {fail-fast: false, matrix: {v: ["3.10", "4"], n: [1]}}
    outputs: {v: "${{ matrix.v }}"}
    steps:
      - run: echo "leg ${{ matrix.v }} of ${{ matrix.n }}"; test "${{ matrix.v }}" = 3.10
      - {name: never, if: false, run: echo no}
"""
TRICKY = "line one\n\"quotes\" 'single' $HOME `id` ${{ x }} ünïcode 🎉\n%0A END  \n\n last"


def test_a_whole_workflow(once) -> None:
    """Needs, outputs with any text, always() and failure() over failed and skipped ancestors, legs, reasons: as GitHub has it."""
    driver, ends = once(CHAIN, files={"tricky.txt": TRICKY})
    assert {name: end.outcome for name, end in ends.items()} == {
        "first": Outcome.SUCCESS,
        "broken": Outcome.FAILURE,
        "left": Outcome.SKIPPED,
        "cleanup": Outcome.SUCCESS,
        "onfailure": Outcome.SUCCESS,
        "legs (3.10, 1)": Outcome.SUCCESS,
        "legs (4, 1)": Outcome.FAILURE,
    }
    assert ends["first"].outputs == {"text": TRICKY}
    assert ends["legs (3.10, 1)"].outputs == {"v": "3.10"}
    assert ends["broken"].reason == 'step 1 "unit tests": test_add.py:4  assert 3 == 4'
    assert [step.outcome for step in ends["legs (3.10, 1)"].steps] == [Outcome.SUCCESS, Outcome.SKIPPED]
    assert any("left=skipped broken=failure top level" in driver.log(end.token) for end in ends.values())
    assert all(end.leftovers == 0 for end in ends.values())
    assert list((driver.home.root / "work/runner").iterdir()) == []


def test_the_last_words_of_steps_that_fail_are_kept(once) -> None:
    """Act gives up reading a failed step's terminal at once: under load one in fifty lost its last line, which is the one that tells."""
    steps = "".join(f"    - {{run: 'seq 9; echo last words {n}; exit 1', continue-on-error: true}}\n" for n in range(15))
    driver, ends = once(f"on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n{steps}")
    said = driver.log(ends["a"].token)
    assert [n for n in range(15) if f"last words {n}\n" not in said] == []


def test_the_job_sees_its_commit(once, repo) -> None:
    repo.git("checkout", "-qb", "feature/x y".replace(" ", "-"))
    repo.git("remote", "add", "origin", "git@github.com:owner/thing.git")
    steps = "git status --porcelain; git log -1 --format=%H; git branch --show-current; git remote get-url origin; echo $GITHUB_REF $GITHUB_SHA"
    driver, ends = once(
        f"on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n    - uses: actions/checkout@v4\n    - run: {steps} ${{{{ github.repository }}}}\n"
    )
    sha = repo.git("rev-parse", "HEAD")
    lines = driver.log(ends["a"].token).splitlines()
    assert [sha, "feature/x-y", "git@github.com:owner/thing.git", f"refs/heads/feature/x-y {sha} owner/thing"] == [
        line for line in lines if line.startswith((sha, "feature", "git@", "refs"))
    ]


def test_timeout_runs_always_steps_and_kills_the_rest(repo, drive) -> None:
    repo.workflow(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - {name: long, run: sleep 99}\n    - {if: always(), run: echo cleaned up}\n    - run: echo not this\n"
    )
    driver = drive(repo)
    plan = driver.builds()[0]
    job = plan.jobs[0]
    begun = time.monotonic()
    short = JobPlan(key=job.key, name=job.name, labels=job.labels, timeout=job.timeout / 21600)
    end = driver.ended(driver.order(plan, short))
    assert (end.outcome, time.monotonic() - begun < 9) == (Outcome.TIMED_OUT, True)
    assert "longer than its timeout" in end.reason
    assert "cleaned up" in driver.log(end.token)
    assert "not this" not in driver.log(end.token)


def test_cancel_runs_always_steps_and_ends_what_ignores_it(repo, drive) -> None:
    repo.workflow(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - run: (trap '' INT TERM; setsid sleep 77777 & disown); sleep 99\n    - {if: cancelled(), run: echo noticed}\n"
    )
    driver = drive(repo)
    token = driver.order(driver.builds()[0], driver.builds()[0].jobs[0])
    driver.wait(lambda facts: any(isinstance(fact, JobMoved) for fact in facts))
    wait_for(lambda: running("77777"))
    driver.cancel(token, "no longer wanted")
    end = driver.ended(token)
    assert (end.outcome, end.reason) == (Outcome.CANCELLED, "no longer wanted")
    assert "noticed" in driver.log(token)
    assert not running("77777")


def test_an_executor_says_nothing_of_what_is_killed_below_it(tmp_path, monkeypatch) -> None:
    said, real = tmp_path / "said", execute._signal

    def slow(pid: int, number: int) -> bool:
        done = real(pid, number)
        time.sleep(0.2)  # a machine on which whoever is not dead yet gets to say something
        return done

    monkeypatch.setattr(execute, "_signal", slow)
    executor = f"(echo there; exec sleep 78787); echo failed > {said}"
    sandbox = subprocess.Popen(["bash", "-c", 'bash -c "$1" & wait', "bash", executor], stdout=subprocess.PIPE)
    with sandbox.stdout as words:
        assert words.readline() == b"there\n"
        execute.kill(sandbox)
    assert not said.exists()
    assert not running("78787")


def running(mark: str) -> list[str]:
    """The processes of this machine whose command line has the mark as a word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(entry.name)
            except OSError:
                continue
    return found


def wait_for(condition, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        os.sched_yield()


ORPHANS = """
on: push
jobs:
  a:
    runs-on: x
    steps:
      - run: |
          setsid sleep 76543 & disown
          (setsid sh -c 'setsid sleep 76543 & exit' &)
          cat > comet.sh <<'E'
          #!/bin/bash
          # forks and exits for ever
          sleep 0.01
          setsid bash "$0" 76543 &
          E
          setsid bash comet.sh 76543 & disown
          sleep 0.2
"""


@pytest.mark.parametrize("kind", ["bubblewrap", "ownuid", "bare"])
def test_no_process_of_a_job_survives_it(repo, drive, kind: str) -> None:
    """setsid, double fork and a chain that forks and exits: gone with the job, whatever the sandbox."""
    if kind == "ownuid" and os.geteuid() != 0:
        pytest.skip("only root has other uids")
    repo.workflow(ORPHANS)
    driver = drive(repo, sandbox="none", command=lowered(kind))
    end = driver.run(driver.builds()[0])["a"]
    assert end.outcome is Outcome.SUCCESS, end
    assert end.leftovers >= 2
    assert not running("76543")
    hello = driver.facts[0]
    assert hello.sandbox == {"bubblewrap": "full", "ownuid": "partial", "bare": "none"}[kind]


def lowered(kind: str) -> tuple[str, ...]:
    """The worker's command on a machine that has only this kind of sandbox."""
    lines = (
        "import sys; from qcity_nb.kinds import sandboxes",
        f"sandboxes.ORDER = ({kind!r},)",
        "from qcity_nb.kinds.runners.local.__main__ import main; sys.exit(main())",
    )
    return (sys.executable, "-c", "\n".join(lines))


def test_stop_ends_jobs_as_lost_and_a_next_life_cleans_up(repo, drive) -> None:
    repo.workflow("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - run: sleep 75757\n")
    driver = drive(repo)
    token = driver.order(driver.builds()[0], driver.builds()[0].jobs[0])
    again = driver.order(driver.builds()[0], driver.builds()[0].jobs[0], token=token)
    assert again == token  # told twice, run once
    wait_for(lambda: running("75757"))
    assert len(running("75757")) == 1
    assert driver.stop() == 0
    driver.offset, driver.facts = 0, []
    end = driver.ended(token)
    assert (end.outcome, end.reason) == (Outcome.LOST, "the runner was stopped")
    assert sum(type(fact).__name__ == "JobBegan" for fact in driver.facts) == 1
    assert not running("75757")


def test_kill_of_the_worker_takes_its_jobs_along(repo, drive) -> None:
    sha = repo.workflow("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - run: sleep 74747\n")
    driver = drive(repo)
    driver.order(driver.builds()[0], driver.builds()[0].jobs[0])
    wait_for(lambda: running("74747"))
    driver.process.kill()
    wait_for(lambda: not running("74747"))
    left = list((driver.home.root / "work/runner").iterdir())
    assert left
    second = drive(repo, incarnation=2, seen={"refs/heads/main": sha})
    second.wait(lambda facts: facts)
    assert not left[0].exists()
    assert second.of(JobMoved) == []


def test_annotations_masks_and_bad_steps(once) -> None:
    text = """
on: push
jobs:
  a:
    runs-on: x
    steps:
      - name: secrets
        run: |
          echo "::add-mask::hunter2"
          echo "::warning file=a.py,line=3::careful with hunter2"
          echo "password hunter2"
      - run: echo "::error file=b.py::bad %0A thing"
      - {name: forgiven, continue-on-error: true, run: exit 9}
      - {name: ends it, run: "echo 'fatal: no such thing'; exit 3"}
"""
    driver, ends = once(text)
    end = ends["a"]
    assert end.reason == 'step 4 "ends it": fatal: no such thing'
    assert [(note.level, note.message, note.file, note.line) for note in end.annotations] == [
        ("warning", "careful with ***", "a.py", 3),
        ("error", "bad \n thing", "b.py", None),
    ]
    log = driver.log(end.token)
    assert "hunter2" not in log
    assert "password ***" in log
    assert [step.outcome.value for step in end.steps] == ["success", "success", "failure", "failure"]


def test_stubs_pass_any_text_through_act(tmp_path: Path) -> None:
    """The isolated file alone, run by act: recorded outputs and results come out as they went in."""
    outputs = {"one": TRICKY, "two two": "x" * 200_000, "empty": ""}
    text = "on: push\njobs:\n  a: {runs-on: x, steps: [{run: x}]}\n  b:\n    needs: a\n    runs-on: x\n    outputs: {got: '${{ needs.a.outputs.one }}'}\n    steps: [{run: 'true'}]\n"
    made = isolate(text, job="b", leg={}, needs={"a": Needed(outcome=Outcome.SUCCESS, outputs=outputs)})
    (tmp_path / "w.yml").write_text(made.text)
    argv = [str(act_program()), "push", "--json", "-W", "w.yml", "-P", "qcity-here=-self-hosted", "--no-cache-server"]
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    from qcity_nb.decide.actlog import ActLog

    log = ActLog(job="b", observer=made.observer, steps=made.steps)
    for line in done.stdout.splitlines():
        log.feed(line)
    assert log.outputs == {"got": TRICKY}


def test_a_job_that_may_fail_fails_and_is_forgiven(once) -> None:
    text = """
on: push
jobs:
  shaky:
    runs-on: ubuntu-latest
    continue-on-error: ${{ matrix.new }}
    strategy: {matrix: {new: [true, false]}}
    steps: [{run: "test ${{ matrix.new }} = false"}]
  after:
    runs-on: ubuntu-latest
    needs: shaky
    steps: [{run: "echo ${{ needs.shaky.result }}"}]
"""
    driver, ends = once(text)
    [plan] = driver.builds()
    assert {job.name: job.allow_failure for job in plan.jobs} == {"shaky (true)": True, "shaky (false)": False, "after": False}
    assert {name: end.outcome for name, end in ends.items()} == {
        "shaky (true)": Outcome.FAILURE,
        "shaky (false)": Outcome.SUCCESS,
        "after": Outcome.SUCCESS,
    }
