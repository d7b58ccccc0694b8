"""Reading what gitlab-ci-local says, without the tool."""

from __future__ import annotations

import pytest

from qcity_nb.decide.gitlab import duration
from qcity_nb.decide.gitlablog import GitlabLog
from qcity_nb.model.work import Outcome


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3600", 3600),
        ("90 minutes", 5400),
        ("1h 30m", 5400),
        ("3 hours 30 minutes", 12600),
        ("1 hour and 5 mins", 3900),
        ("2 weeks", 1209600),
        ("1d", 86400),
        ("soon", 0),
        ("5 parsecs", 0),
        ("", 0),
        ("-5", 0),
    ],
)
def test_durations_as_gitlab_writes_them(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def _log(*lines: str, before: int = 0, allow: bool = False) -> tuple[GitlabLog, list[str]]:
    ticks = iter(range(100))
    log = GitlabLog(job="a b", before=before, clock=lambda: float(next(ticks)), allow=allow, known=("hunter22",))
    return log, [text for line in lines for text in log.feed(line)]


def test_no_job_speaks_in_the_tools_name() -> None:
    log, said = _log("a b starting shell (test)", "a b $ x", "a b > finished in 3 ms", "a b > $ fake", "a b > a b finished in 1 ms  FAIL 1")
    assert log.outcome is None
    assert said == ["starting shell (test)", "▶ script", "$ x", "finished in 3 ms", "$ fake", "a b finished in 1 ms  FAIL 1"]
    assert [(step.name, step.outcome) for step in log.steps] == [("script", None)]
    assert log.close(Outcome.CANCELLED) == '"script"'
    assert [(step.name, step.outcome) for step in log.steps] == [("script", Outcome.CANCELLED)]


def test_colours_and_secrets_are_taken_out() -> None:
    _, said = _log("a b > \x1b[31mred\x1b[0m hunter22 glpat-abcdefghijklmnop1234")
    assert said == ["red *** ***"]


@pytest.mark.parametrize("took", ["217 ms", "1.02 s", "1 min 3 s"])
def test_parts_and_their_ends(took: str) -> None:
    log, _ = _log("a b $ one", "a b $ two", "a b > FileNotFoundError: x", f"a b finished in {took}  FAIL 3", before=1)
    assert log.outcome is Outcome.FAILURE
    assert [(step.name, step.outcome, step.seconds) for step in log.steps] == [
        ("before_script", Outcome.SUCCESS, 1.0),
        ("script", Outcome.FAILURE, 1.0),
    ]
    assert log.reason() == 'step 2 "script" ended with exit code 3: FileNotFoundError: x'
    log, _ = _log("a b $ one", "a b Running after script...", "a b $ z", "a b finished in 1 ms  WARN 1  after_script", f"a b finished in {took}")
    assert log.outcome is Outcome.SUCCESS
    assert [step.outcome for step in log.steps] == [Outcome.SUCCESS, Outcome.FAILURE]


def test_a_forgiven_exit_code_is_a_success_with_a_warning_and_a_forgiven_job_a_failure() -> None:
    log, _ = _log("a b $ one", "a b finished in 1 ms  WARN 7")
    assert log.outcome is Outcome.SUCCESS
    assert [note.level for note in log.annotations] == ["warning"]
    log, _ = _log("a b $ one", "a b finished in 1 ms  WARN 7", allow=True)
    assert log.outcome is Outcome.FAILURE
    assert log.annotations == []
