"""The queue: needs, slots, matrix limits, groups, labels, and how a build ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from qcity_nb.decide import queue
from qcity_nb.model.work import Build, BuildPlan, Job, JobPlan, Outcome, Status

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
RUNNER = queue.RunnerView(name="r", labels=frozenset({"local", "linux"}), slots=2, open=True)


def build(id_: int = 1, **plan: object) -> Build:
    asked = BuildPlan(sha="a" * 40, ref="refs/heads/main", workflow="ci.yml", name="ci", **plan)  # type: ignore[arg-type]
    return Build(id=id_, runner="r", plan=asked, attempt=1, created=NOW)


def job(id_: int, key: str = "", of: int = 1, status: Status = Status.WAITING, outcome: Outcome | None = None, **plan: object) -> Job:
    key = key or f"job{id_}"
    return Job(id=id_, build=of, plan=JobPlan(key=key, name=key, **plan), status=status, outcome=outcome, runner="r" if status in queue.LIVE else "")  # type: ignore[arg-type]


def done(id_: int, key: str = "", outcome: Outcome = Outcome.SUCCESS, **more: object) -> Job:
    return job(id_, key, status=Status.DONE, outcome=outcome, **more)  # type: ignore[arg-type]


def assigned(builds: list[Build], jobs: list[Job], runner: queue.RunnerView = RUNNER) -> list[int]:
    return [intent.job for intent in queue.step(builds, jobs, {runner.name: runner}) if isinstance(intent, queue.Assign)]


def called_off(builds: list[Build], jobs: list[Job]) -> dict[int, str]:
    return {intent.job: intent.why for intent in queue.step(builds, jobs, {"r": RUNNER}) if isinstance(intent, queue.CallOff)}


def test_first_in_first_out_up_to_the_slots() -> None:
    assert assigned([build()], [job(1), job(2), job(3)]) == [1, 2]
    assert assigned([build()], [job(1, status=Status.RUNNING), job(2), job(3)]) == [2]


def test_a_job_waits_for_its_needs_and_gets_what_all_its_ancestors_left() -> None:
    first = replace(done(1, "build"), outputs={"version": "1"})
    second = replace(done(2, "pack", needs=("build",)), outputs={"file": "a.zip"})
    third = job(3, "ship", needs=("pack",))
    assert assigned([build()], [first, replace(second, status=Status.RUNNING, outcome=None), third]) == []
    [ready, give] = queue.step([build()], [first, second, third], {"r": RUNNER})
    assert ready == queue.Ready(job=3)
    assert isinstance(give, queue.Assign)
    assert give.needs["pack"].outputs == {"file": "a.zip"}
    assert give.needs["pack"].needs == ("build",)
    assert give.needs["build"].outputs == {"version": "1"}


def test_a_job_whose_need_failed_is_still_given_away_because_its_condition_may_want_it() -> None:
    assert assigned([build()], [done(1, "a", Outcome.FAILURE), job(2, "b", needs=("a",))]) == [2]


def test_a_job_without_a_condition_is_skipped_when_its_needs_did_not_succeed() -> None:
    [skip] = queue.step([build()], [done(1, "a", Outcome.FAILURE), job(2, "b", needs=("a",), unconditional=True)], {"r": RUNNER})
    assert skip == queue.Skip(job=2, why='it needs "a", which ended: failure')
    assert assigned([build()], [done(1, "a"), job(2, "b", needs=("a",), unconditional=True)]) == [2]


def test_a_failure_that_its_file_allows_stops_nothing_and_makes_nothing_red() -> None:
    for outcome in (Outcome.FAILURE, Outcome.TIMED_OUT):
        allowed = done(1, "a", outcome, allow_failure=True)
        assert assigned([build()], [allowed, job(2, "b", needs=("a",), unconditional=True)]) == [2]
        assert queue.ancestors(job(2, needs=("a",)), [allowed])["a"].outcome is Outcome.SUCCESS
        assert queue.step([build()], [allowed], {"r": RUNNER}) == [queue.Close(build=1, outcome=Outcome.SUCCESS)]
    lost = done(1, "a", Outcome.LOST, allow_failure=True)
    assert queue.step([build()], [lost], {"r": RUNNER}) == [queue.Close(build=1, outcome=Outcome.LOST)], "its runner failed, not the job"
    legs = [done(1, "m", Outcome.FAILURE, leg={"n": 1}, allow_failure=True), job(2, "m", leg={"n": 2})]
    assert called_off([build()], legs) == {}, "nor does its matrix fail fast"


def test_a_job_of_a_stage_runs_unless_something_before_it_failed() -> None:
    later = job(3, "c", needs=("a", "b"), condition="no_failure")
    assert assigned([build()], [done(1, "a"), done(2, "b", Outcome.SKIPPED), later]) == [3], "what was skipped does not count"
    for outcome in (Outcome.FAILURE, Outcome.TIMED_OUT, Outcome.LOST, Outcome.CANCELLED, Outcome.NOT_RUN):
        [skip] = queue.step([build()], [done(1, "a", outcome), done(2, "b", Outcome.SKIPPED), later], {"r": RUNNER})
        assert skip == queue.Skip(job=3, why=f'it needs "a", which ended: {outcome.value.replace("_", " ")}')


def test_a_job_for_failures_runs_only_after_one() -> None:
    rescue = job(2, "b", needs=("a",), condition="on_failure")
    for outcome in (Outcome.FAILURE, Outcome.TIMED_OUT, Outcome.LOST):
        assert assigned([build()], [done(1, "a", outcome), rescue]) == [2]
    for before in (done(1, "a"), done(1, "a", Outcome.SKIPPED), done(1, "a", Outcome.FAILURE, allow_failure=True)):
        [skip] = queue.step([build()], [before, rescue], {"r": RUNNER})
        assert skip == queue.Skip(job=2, why="it runs only if something before it failed")


def test_legs_of_a_matrix_count_as_one_need() -> None:
    legs = [done(1, "m", leg={"py": 1}), done(2, "m", Outcome.FAILURE, leg={"py": 2})]
    assert queue.ancestors(job(3, needs=("m",)), legs)["m"].outcome is Outcome.FAILURE


def test_max_parallel_and_fail_fast() -> None:
    legs = [job(number, "m", leg={"n": number}, max_parallel=1) for number in (1, 2)]
    assert assigned([build()], legs) == [1]
    failed = [done(1, "m", Outcome.FAILURE, leg={"n": 1}), job(2, "m", status=Status.RUNNING, leg={"n": 2}), job(3, "other")]
    assert set(called_off([build()], failed)) == {2}
    patient = [done(1, "m", Outcome.FAILURE, leg={"n": 1}, fail_fast=False), job(2, "m", leg={"n": 2}, fail_fast=False)]
    assert called_off([build()], patient) == {}


def test_a_missing_label_is_said_once() -> None:
    lonely = job(1, labels=("local", "gpu"))
    assert queue.step([build()], [lonely], {"r": RUNNER}) == [queue.Ready(job=1, why="waits for a runner with the label gpu")]
    assert queue.step([build()], [replace(lonely, status=Status.QUEUED, reason="waits for a runner with the label gpu")], {"r": RUNNER}) == []


def test_a_closed_runner_gets_nothing() -> None:
    assert assigned([build()], [job(1)], replace(RUNNER, open=False)) == []


def test_a_newer_build_of_a_group_takes_the_place_of_a_waiting_one() -> None:
    builds = [build(1, group="g"), build(2, group="g"), build(3, group="g")]
    jobs = [job(1, of=1, status=Status.RUNNING), job(2, of=2), job(3, of=3)]
    assert set(called_off(builds, jobs)) == {2}
    assert assigned(builds, jobs) == [], "the running one holds the group"
    eager = [builds[0], builds[1], build(3, group="g", cancel_in_progress=True)]
    assert set(called_off(eager, jobs)) == {1, 2}


def test_a_jobs_group_lets_one_run_at_a_time() -> None:
    jobs = [job(1, of=1, group="deploy"), job(2, of=2, group="deploy")]
    assert assigned([build(1), build(2)], jobs) == [1]


def test_a_build_is_as_good_as_its_worst_job_and_left_out_work_is_never_green() -> None:
    def ends(*outcomes: Outcome) -> Outcome:
        jobs = [done(number, outcome=outcome) for number, outcome in enumerate(outcomes, 1)]
        [close] = queue.step([build()], jobs, {"r": RUNNER})
        assert isinstance(close, queue.Close)
        return close.outcome

    assert ends(Outcome.SUCCESS, Outcome.SKIPPED) is Outcome.SUCCESS
    assert ends(Outcome.SUCCESS, Outcome.NOT_RUN) is Outcome.NOT_RUN
    assert ends(Outcome.CANCELLED, Outcome.FAILURE) is Outcome.FAILURE
    assert ends(Outcome.SKIPPED) is Outcome.SKIPPED


def test_a_dynamic_matrix_is_expanded_when_its_needs_are_over() -> None:
    [intent] = queue.step([build()], [replace(done(1, "list"), outputs={"m": "[1]"}), job(2, needs=("list",), dynamic="x")], {"r": RUNNER})
    assert intent == queue.Expand(job=2, outputs={"list": {"m": "[1]"}})


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_build_comes_to_its_end_and_never_uses_more_than_its_slots(data: st.DataObject) -> None:
    """Random graphs, run by a runner that ends jobs in any order and any way."""
    count = data.draw(st.integers(1, 8))
    jobs = []
    for number in range(1, count + 1):
        needs = data.draw(st.sets(st.integers(1, number - 1), max_size=3)) if number > 1 else set()
        group = data.draw(st.sampled_from(["", "", "g"]))
        parallel = data.draw(st.sampled_from([None, 1]))
        key = f"job{data.draw(st.integers(max([0, *needs]) + 1, number))}" if data.draw(st.booleans()) else f"job{number}"
        jobs.append(job(number, f"job{number}", needs=tuple(f"job{need}" for need in needs), group=group, max_parallel=parallel, leg={"k": key}))
    for _round in range(200):
        intents = queue.step([build()], jobs, {"r": RUNNER})
        if any(isinstance(intent, queue.Close) for intent in intents):
            return
        by_id = {one.id: one for one in jobs}
        for intent in intents:
            if isinstance(intent, queue.Assign):
                assert by_id[intent.job].status in (Status.WAITING, Status.QUEUED), "nothing is given away twice"
                by_id[intent.job] = replace(by_id[intent.job], status=Status.RUNNING, runner="r")
            elif isinstance(intent, queue.Ready):
                by_id[intent.job] = replace(by_id[intent.job], status=Status.QUEUED, reason=intent.why)
            elif isinstance(intent, queue.CallOff):
                by_id[intent.job] = replace(by_id[intent.job], status=Status.DONE, outcome=Outcome.CANCELLED, cancel=intent.why)
        running = [one for one in by_id.values() if one.status is Status.RUNNING]
        assert len(running) <= RUNNER.slots
        assert sum(one.plan.group == "g" for one in running) <= 1
        if running:
            chosen = data.draw(st.sampled_from(running))
            how = data.draw(st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE, Outcome.SKIPPED, Outcome.LOST]))
            by_id[chosen.id] = replace(chosen, status=Status.DONE, outcome=how)
        jobs = list(by_id.values())
    raise AssertionError("the build never ended")
