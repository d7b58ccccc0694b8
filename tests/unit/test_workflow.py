# ruff: noqa: E501
"""Workflow files, good and bad: what they ask for, and the one sentence for whatever is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qcity_nb.decide import expression, globs, matrix, nodes, triggers, workflow
from qcity_nb.model.work import BuildPlan

JOB = "jobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make\n"


def read(text: str, *, ref: str = "refs/heads/main", changed: list[str] | None = None, have: str = "actions/") -> BuildPlan | None:
    source = workflow.Source(sha="a" * 40, ref=ref, path="ci.yml", changed=changed, author="Ada", repository="o/r")
    return workflow.read(text, source, available=lambda uses: uses.startswith(have))


def found(text: str, **more: object) -> BuildPlan:
    plan = read(text, **more)  # type: ignore[arg-type]
    assert plan is not None
    assert plan.problem == ""
    return plan


@pytest.mark.parametrize(
    ("on", "ref", "changed", "wanted"),
    [
        ("push", "refs/heads/x", None, True),
        ("pull_request", "refs/heads/x", None, False),
        ("[push, pull_request]", "refs/heads/x", None, True),
        ("{push: }", "refs/heads/x", None, True),
        ("{push: {}}", "refs/tags/v1", None, True),
        ("{pull_request: {branches: [x]}}", "refs/heads/x", None, False),
        ("{push: {branches: main}}", "refs/heads/main", None, True),
        ("{push: {branches: [main]}}", "refs/heads/mainx", None, False),
        ("{push: {branches: [main]}}", "refs/tags/main", None, False),
        ("{push: {tags: ['v*']}}", "refs/tags/v1.2", None, True),
        ("{push: {tags: ['v*']}}", "refs/heads/v1", None, False),
        ("{push: {branches: [main], tags: ['v*']}}", "refs/tags/v1", None, True),
        ("{push: {branches: ['releases/**', '!releases/**-alpha']}}", "refs/heads/releases/10/x", None, True),
        ("{push: {branches: ['releases/**', '!releases/**-alpha']}}", "refs/heads/releases/10-alpha", None, False),
        ("{push: {branches-ignore: ['wip/*']}}", "refs/heads/wip/a", None, False),
        ("{push: {branches-ignore: ['wip/*']}}", "refs/heads/wip/a/b", None, True),
        ("{push: {paths: ['**.js']}}", "refs/heads/x", ["src/deep/a.js"], True),
        ("{push: {paths: ['*.js']}}", "refs/heads/x", ["src/a.js"], False),
        ("{push: {paths: ['docs/**', '!docs/private/**']}}", "refs/heads/x", ["docs/private/a"], False),
        ("{push: {paths: ['docs/**', '!docs/private/**']}}", "refs/heads/x", ["docs/private/a", "docs/b"], True),
        ("{push: {paths-ignore: ['docs/**']}}", "refs/heads/x", ["docs/a"], False),
        ("{push: {paths-ignore: ['docs/**']}}", "refs/heads/x", ["docs/a", "b"], True),
        ("{push: {paths: ['docs/**'], tags: ['v*'], branches: ['**']}}", "refs/tags/v1", ["b"], True),
    ],
)
def test_what_answers_to_a_push(on: str, ref: str, changed: list[str] | None, wanted: bool) -> None:
    assert (read(f"on: {on}\n{JOB}", ref=ref, changed=changed) is not None) is wanted


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("feature/*", ["feature/a"], ["feature/a/b", "feature"]),
        ("feature/**", ["feature/a", "feature/a/b"], ["features"]),
        ("**/docs/**", ["docs/a", "x/docs/a", "x/y/docs/a/b"], ["xdocs/a"]),
        ("**", ["a", "a/b"], []),
        ("*", ["a"], ["a/b"]),
        ("v[12].[0-9]+", ["v1.10", "v2.0"], ["v3.1", "v1."]),
        ("*.jsx?", ["a.js", "a.jsx"], ["a.jsxx"]),
        ("a.b+c", ["a.bc", "a.bbc"], ["a.c", "axbc"]),
        (r"a\*", ["a*"], ["ab"]),
    ],
)
def test_patterns_are_githubs(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes + no if globs.selects([pattern], text)] == yes


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("fix [skip ci]", True),
        ("[ci skip] x", True),
        ("[no ci]", True),
        ("[skip actions]", True),
        ("a\n\nskip-checks: true", True),
        ("skip ci", False),
    ],
)
def test_skip_ci(message: str, asked: bool) -> None:
    assert triggers.skipped(message) is asked


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "ci.yml is empty"),
        ("- a", "ci.yml:1: the top level has to be a mapping of keys"),
        ("on: push\njobs:\n\ta: 1\n", "ci.yml:3: a tab indents this line; YAML allows spaces only"),
        ("on: push\njobs: [1, 2\n", "ci.yml:3: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("on: push\non: pull\n" + JOB, "ci.yml:2: `on` is already given on line 1"),
        (JOB, "ci.yml:1: has no `on:`, so nothing starts it"),
        ("on: push\n", "ci.yml has no jobs"),
        ("on: push\njobs: {}\n", "ci.yml:2: has no jobs"),
        ("on: push\njobs:\n  a:\n    steps: [{run: x}]\n", 'ci.yml:3: job "a" does not say what it `runs-on`'),
        ("on: push\njobs:\n  a:\n    runs-on: x\n", 'ci.yml:3: job "a" has no steps'),
        ("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - name: n\n", 'ci.yml:6: step 1 of job "a" has neither `run` nor `uses`'),
        ("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - {run: x, uses: y}\n", 'ci.yml:6: step 1 of job "a" has both `run` and `uses`'),
        (
            "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - {id: i, run: x}\n    - {id: i, run: x}\n",
            'ci.yml:7: step 2 of job "a" has the id "i" of the step on line 6',
        ),
        (JOB.replace("jobs", "on: push\njobs") + "    needs: b\n", 'ci.yml:3: job "a" needs "b", and there is no such job'),
        (
            "on: push\njobs:\n  a: {runs-on: x, needs: b, steps: [{run: x}]}\n  b: {runs-on: x, needs: [a], steps: [{run: x}]}\n",
            "ci.yml:3: the jobs need each other in a circle: a -> b -> a",
        ),
        ("on: push\n" + JOB + "    timeout-minutes: soon\n", 'ci.yml:7: job "a": timeout-minutes is "soon", which is not a number of minutes'),
        ("on: push\n" + JOB + "    strategy: {matrix: {v: 3}}\n", 'ci.yml:7: job "a": "v" of the matrix has to be a list that is not empty'),
        ("on: {push: {branch: [x]}}\n" + JOB, "ci.yml:1: `push` has no filter `branch`"),
        ("on: {push: {paths: [x], paths-ignore: [y]}}\n" + JOB, "ci.yml:1: `paths` and `paths-ignore` cannot stand together; use `!` in `paths`"),
        ("on: push\njobs:\n  'a b': {runs-on: x, steps: [{run: x}]}\n", 'ci.yml:3: "a b" is not a name for a job; use letters, digits, - and _'),
        ("# " + "x" * 2_000_000, "ci.yml is 2.0 MB long; a workflow may have 1 MB"),
        ("a: &a [*a]\nb: \x00", "ci.yml:2: not valid YAML: unacceptable character #x0000: special characters are not allowed"),
        ("[" * 5000, "ci.yml is nested too deeply"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_line(text: str, problem: str) -> None:
    plan = read(text)
    assert plan is not None
    assert plan.problem == problem


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (
            "runs-on: x\n    services:\n      db: {image: p}\n    steps: [{run: x}]",
            '4: job "a" uses `services:`, which needs containers; this machine has none',
        ),
        ("runs-on: x\n    container: node\n    steps: [{run: x}]", '4: job "a" uses `container:`, which needs containers; this machine has none'),
        ("runs-on: x\n    steps:\n    - uses: docker://a", '5: job "a" uses `docker://a`, which needs containers; this machine has none'),
        ("runs-on: x\n    steps:\n    - uses: me/x@v1", '5: job "a" uses the action `me/x@v1`, which is neither bundled nor stored on this machine'),
        ("uses: ./.github/workflows/x.yml", '3: job "a" calls a reusable workflow, which this runner cannot do'),
        ("runs-on: [windows-latest]\n    steps: [{run: x}]", '3: job "a" runs on "windows-latest"; this machine is Linux'),
        ("runs-on: macos-14\n    steps: [{run: x}]", '3: job "a" runs on "macos-14"; this machine is Linux'),
        (
            "runs-on: x\n    strategy: {matrix: '${{ fromJSON(vars.M) }}'}\n    steps: [{run: x}]",
            '4: the matrix of job "a" cannot be made: `vars` is not known before the job runs',
        ),
    ],
)
def test_what_this_machine_cannot_do_is_left_out_with_all_that_needs_it(body: str, refusal: str) -> None:
    more = "\n  b: {runs-on: x, needs: a, steps: [{run: x}]}\n  c: {runs-on: x, needs: [b], if: always(), steps: [{run: x}]}\n  d: {runs-on: x, steps: [{uses: ./own}]}\n"
    plan = found(f"on: push\njobs:\n  a:\n    {body}{more}".replace("a:\n    ", "a:\n    ", 1))
    first, b, c, d = plan.jobs
    line, _, words = refusal.partition(":")
    assert first.refusal == f"ci.yml:{int(line) + 1}:{words}"
    assert 'job "b" needs "a", which was left out' in b.refusal
    assert 'job "c" needs "b", which was left out' in c.refusal
    assert d.refusal == ""


def test_a_bom_anchors_and_words_like_on() -> None:
    plan = found(
        "\ufeffname: 'N'\non:\n  push:\nx: &steps [{run: x}]\njobs:\n  a:\n    runs-on: [self-hosted, gpu]\n    timeout-minutes: 2.5\n    steps: *steps\n"
        "  b:\n    runs-on: {group: g, labels: [l]}\n    name: on\n    steps: *steps\n"
    )
    assert plan.name == "N"
    assert [(job.key, job.name, job.labels) for job in plan.jobs] == [("a", "a", ("self-hosted", "gpu")), ("b", "on", ("l",))]
    assert plan.jobs[0].timeout == timedelta(minutes=2.5)
    assert plan.jobs[1].timeout == timedelta(hours=6)


@pytest.mark.parametrize(
    ("group", "wanted"),
    [
        ("deploy", "deploy"),
        ("${{ github.workflow }}-${{ github.ref }}", "ci.yml-refs/heads/main"),
        ("${{ github.event.pull_request.number || github.ref_name }}", "main"),
        ("${{ github.head_ref || github.run_id }}", "aaaaaaaaaaaa:ci.yml"),
        ("{group: x, cancel-in-progress: true}", "x"),
        ("{group: x, cancel-in-progress: \"${{ github.ref != 'refs/heads/main' }}\"}", "x"),
        ("g-${{ secrets.X }}", "g-${{ secrets.X }}"),
    ],
)
def test_concurrency(group: str, wanted: str) -> None:
    plan = found(f"on: push\nconcurrency: {group}\n{JOB}")
    assert plan.group == wanted
    assert plan.cancel_in_progress is ("true" in group)
    assert bool(plan.warnings) is ("secrets" in group)


MATRIX = """on: push
jobs:
  a: {runs-on: x, outputs: {m: x}, steps: [{run: x}]}
  b:
    runs-on: ${{ matrix.os }}
    name: test ${{ matrix.py }} on ${{ matrix.os }}
    concurrency: g-${{ matrix.py }}
    strategy:
      fail-fast: false
      max-parallel: 2
      matrix: {py: [3.10, "3.10"], os: [ubuntu-latest]}
    steps: [{run: x}]
  c:
    needs: a
    runs-on: x
    strategy: {matrix: {k: "${{ fromJSON(needs.a.outputs.m) }}", n: [1, 2]}}
    steps: [{run: x}]
  d:
    needs: a
    runs-on: ${{ matrix.on }}
    name: d ${{ matrix.k }}
    strategy: {matrix: "${{ fromJSON(needs.a.outputs.m) }}"}
    steps: [{run: x}]
"""


def test_matrices_now_and_later() -> None:
    _, one, other, axis, whole = found(MATRIX).jobs
    assert (one.name, one.leg, one.labels, one.group) == (
        "test 3.1 on ubuntu-latest",
        {"py": 3.1, "os": "ubuntu-latest"},
        ("ubuntu-latest",),
        "g-3.1",
    )
    assert (other.name, other.max_parallel, other.fail_fast) == ("test 3.10 on ubuntu-latest", 2, False)
    assert axis.dynamic
    assert [leg.name for leg in matrix.expand(axis, {"a": {"m": '["x", "y"]'}})] == ["c (x, 1)", "c (x, 2)", "c (y, 1)", "c (y, 2)"]
    legs = matrix.expand(whole, {"a": {"m": '{"include": [{"k": 1, "on": "here"}, {"k": 2, "on": "there"}]}'}})
    assert [(leg.name, leg.labels, leg.dynamic) for leg in legs] == [("d 1", ("here",), ""), ("d 2", ("there",), "")]
    (bad,) = matrix.expand(whole, {"a": {"m": "nothing"}})
    assert bad.refusal == "ci.yml:22: the matrix of job \"d\" cannot be made: fromJSON() was given a text that is not JSON: 'nothing'"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ 1 }}", 1),
        ("${{ 'it''s' }}", "it's"),
        ("${{ null || false || 'x' }}", "x"),
        ("${{ 'a' == 'A' && 'same' || 'other' }}", "same"),
        ("${{ !(1 < 2) }}", False),
        ("${{ github['ref'] }}", "R"),
        ("${{ github.nothing.at.all }}", None),
        ("a ${{ github.ref }} b ${{ 0x10 }}", "a R b 16"),
        ("${{ format('{0}-{1}', github.ref, 3.0) }}", "R-3"),
        ("${{ fromJSON('[1, {\"a\": 2}]')[1].a }}", 2),
        ("${{ contains(fromJSON('[\"a\"]'), 'A') }}", True),
        ("${{ startsWith(github.ref, 'r') }}", True),
        ("${{ '}}' }}", "}}"),
        ("plain", "plain"),
    ],
)
def test_expressions(text: str, value: object) -> None:
    assert expression.evaluate(text, {"github": {"ref": "R"}}) == value


@pytest.mark.parametrize(
    "text", ["${{ secrets.X }}", "${{ hashFiles('x') }}", "${{ 1 + }}", "${{ github. }}", "${{ 'open }}", "${{", "${{ a b }}", "${{ github.token }}"]
)
def test_what_is_not_known_is_never_guessed(text: str) -> None:
    with pytest.raises(expression.Unknown):
        expression.evaluate(text, {"github": {"ref": "R"}})


def test_scalars_are_those_of_yaml_1_2() -> None:
    root = nodes.parse("a: [yes, on, 0o17, 010, 1e3, ~, True, 'true', 1_000, 12:30, 2020-01-01, !!str 5]\n")
    assert nodes.plain(nodes.get(root, "a")) == ["yes", "on", 15, 10, 1000.0, None, True, "true", "1_000", "12:30", "2020-01-01", 5]
