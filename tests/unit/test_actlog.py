"""act's lines, taken in; and the isolated file, read back as YAML."""

from __future__ import annotations

import base64
import json

import pytest
import yaml

from qcity_nb.decide.actlog import ActLog, clean, telling
from qcity_nb.decide.isolate import LINGER, StepPlan, isolate
from qcity_nb.decide.nodes import Fault
from qcity_nb.model.wire import Needed
from qcity_nb.model.work import Outcome

STEPS = (StepPlan(key="0", name="first"), StepPlan(key="named", name="second"), StepPlan(key="2", name="third"))


def log() -> ActLog:
    return ActLog(job="j", observer="o", steps=STEPS)


def line(**fields: object) -> str:
    return json.dumps({"jobID": "j", "level": "info", "msg": "", **fields})


def test_steps_results_and_the_observer() -> None:
    act = log()
    act.feed(json.dumps({"jobID": "stub", "stepID": ["0"], "stage": "Main", "stepResult": "failure", "msg": "x"}))
    assert act.feed(line(stepID=["0"], stage="Main", msg="⭐ Run")) == ["▶ step 1: first"]
    assert [step.outcome for step in act.steps] == [None]
    act.feed(line(stepID=["0"], stage="Main", raw_output=True, msg="\x1b[31mred\x1b[0m\r\n50%\r100%\n"))
    act.feed(line(stepID=["0"], stage="Main", stepResult="success", executionTime=1_500_000_000))
    act.feed(line(stepID=["named", "inner"], stage="Main", stepResult="failure"))
    act.feed(line(jobResult="success"))
    assert [(step.number, step.outcome, step.seconds) for step in act.steps] == [
        (1, Outcome.SUCCESS, 1.5),
        (2, Outcome.SKIPPED, None),
        (3, Outcome.SKIPPED, None),
    ]
    needs = {"j": {"result": "failure", "outputs": {"a": "1\n2", "none": ""}}}
    act.feed(json.dumps({"jobID": "o", "raw_output": True, "msg": base64.b64encode(json.dumps(needs).encode()).decode() + "\n"}))
    assert (act.outcome, act.outputs) == (Outcome.FAILURE, {"a": "1\n2"})


def test_set_up_that_fails_is_a_step_and_the_reason() -> None:
    act = log()
    act.feed(line(stepid=["--setup-job"], step="Set up job", level="error", msg="no such shell"))
    act.feed(line(stepid=["--setup-job"], step="Set up job", stepResult="failure"))
    act.feed(line(jobResult="failure"))
    assert act.steps[-1].name == "Set up job"
    assert act.reason() == "no such shell"


def test_a_job_that_is_cut_off() -> None:
    act = log()
    act.feed(line(stepID=["named"], stage="Main"))
    assert act.close(Outcome.CANCELLED) == 'step 2 "second"'
    assert [step.outcome for step in act.steps] == [Outcome.SKIPPED, Outcome.CANCELLED, Outcome.SKIPPED]


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", '"x"', '{"jobID": "o", "raw_output": true, "msg": "not base64!"}', '{"jobID": "j", "jobResult": "odd"}']
)
def test_odd_lines_do_no_harm(text: str) -> None:
    act = log()
    act.feed(text)
    assert act.outcome is None


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["a", "E   assert 3 == 4", "test_add.py:4: AssertionError", "exit status 1"], "test_add.py:4  assert 3 == 4"),
        (["compiling", "main.c:3: error: no", "make: *** stop", "exit status 2"], "main.c:3: error: no"),
        (["Traceback (most recent call last):", "ValueError: bad", "done"], "ValueError: bad"),
        (["only this"], "only this"),
        ([], ""),
    ],
)
def test_the_telling_line(lines: list[str], wanted: str) -> None:
    assert telling(tuple(lines), []) == wanted


def test_lines_are_cleaned() -> None:
    assert clean("\x1b]0;title\x07\x1b[1mbold\x1b[m \x00x\n") == "bold x"


WORKFLOW = """
name: 'Quoted'
on: {push: {branches: [x]}}
env: &env {A: 'yes', B: 0x10}
jobs:
  other: {runs-on: x, steps: [{run: x}]}
  up: {runs-on: x, steps: [{run: x}]}
  job:
    needs: up
    env: *env
    runs-on: ${{ matrix.os }}
    timeout-minutes: 3
    strategy: {fail-fast: false, max-parallel: 1, matrix: {v: [1, 2]}}
    steps:
      - run: >-
          folded
          text
      - {name: forgiven, continue-on-error: true, run: "a: b # c"}
"""


def test_only_what_is_needed_stays() -> None:
    made = isolate(
        WORKFLOW, job="job", leg={"v": "3.10", "deep": {"x": [1, None, True]}}, needs={"up": Needed(outcome=Outcome.TIMED_OUT)}, last="echo last"
    )
    root = yaml.load(made.text, Loader=yaml.BaseLoader)
    assert root["on"] == "push"
    assert root["env"] == {"A": "yes", "B": "0x10"}
    assert list(root["jobs"]) == ["up", "job", made.observer]
    assert "exit 1" in root["jobs"]["up"]["steps"][0]["run"]
    job = root["jobs"]["job"]
    assert job["env"] == {"A": "yes", "B": "0x10"}
    assert job["strategy"] == {"matrix": {"include": [{"v": "3.10", "deep": {"x": ["1", "null", "true"]}}]}, "fail-fast": "false"}
    assert "timeout-minutes" not in job
    assert [step["run"] for step in job["steps"]] == ["folded text", "a: b # c", "echo last"]
    assert [(step.key, step.name, step.forgiven) for step in made.steps] == [("0", "Run folded text", False), ("1", "forgiven", True)]
    typed = yaml.safe_load(made.text)["jobs"]["job"]["strategy"]["matrix"]["include"][0]
    assert typed == {"v": "3.10", "deep": {"x": [1, None, True]}}


@pytest.mark.parametrize(
    ("workflow", "job", "step", "shell"),
    [
        ("", "", "", "bash -e {0}"),
        ("", "", "bash", "bash --noprofile --norc -e -o pipefail {0}"),
        ("sh", "", "", "sh -e {0}"),
        ("sh", "python", "", "python {0}"),
        ("sh", "python", "perl {0}", "perl {0}"),
    ],
)
def test_a_step_that_fails_stays_until_its_last_words_are_read(workflow: str, job: str, step: str, shell: str) -> None:
    made = yaml.safe_load(isolate(_shelled(workflow, job, step), job="a", leg={}, needs={}).text)
    assert made["jobs"]["a"]["steps"][0]["shell"] == LINGER + shell


@pytest.mark.parametrize("shell", ["pwsh", "${{ env.SHELL }}", "${{ matrix.shell }} {0}"])
def test_a_shell_that_act_prepares_or_that_is_not_known_yet_stays_as_it_is(shell: str) -> None:
    made = yaml.safe_load(isolate(_shelled("", "", shell), job="a", leg={}, needs={}).text)
    assert made["jobs"]["a"]["steps"][0]["shell"] == shell


def _shelled(workflow: str, job: str, step: str) -> str:
    def chosen(shell: str) -> dict[str, object]:
        return {"defaults": {"run": {"shell": shell}}} if shell else {}

    steps = [{"run": "x", **({"shell": step} if step else {})}]
    return yaml.safe_dump({"on": "push", **chosen(workflow), "jobs": {"a": {"runs-on": "x", **chosen(job), "steps": steps}}})


def test_a_job_that_is_not_there() -> None:
    with pytest.raises(Fault, match="no job"):
        isolate(WORKFLOW, job="nope", leg={}, needs={})
