"""What many jobs tell together: who is flaky, who waits, and the figures and the page made of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.decide import past
from qcity_nb.errors import BadInput, NotFound
from qcity_nb.model.work import BuildPlan, JobPlan, Outcome, Ran, Status
from qcity_nb.store import work

from .conftest import NASTY, put_incident, put_runner, put_tunnel

NOW = datetime(2027, 1, 31, 3, 0, tzinfo=timezone.utc)


def ran(name: str = "test", sha: str = "a", outcome: str = "success", *, ref: str = "refs/heads/main", wait: float = 1, took: float = 10) -> Ran:
    queued = NOW - timedelta(hours=1)
    started = queued + timedelta(seconds=wait)
    over = started + timedelta(seconds=took)
    return Ran(id=1, name=name, workflow="ci.yml", ref=ref, sha=sha, runner="r", outcome=outcome, queued=queued, started=started, finished=over)


@pytest.mark.parametrize(
    ("rows", "flaky", "share"),
    [
        ([ran(outcome="success"), ran(outcome="failure")], 1, 0.5),
        ([ran(outcome="success"), ran(sha="b", outcome="failure")], 0, 0.5),  # another commit: the code may be why
        ([ran(outcome="lost"), ran(outcome="success")], 0, 1.0),  # its runner died: that says nothing of it
        ([ran(outcome="timed_out"), ran(outcome="success"), ran(outcome="success")], 1, 2 / 3),
        ([ran(outcome="cancelled"), ran(outcome="skipped")], 0, None),
    ],
)
def test_flaky_is_both_ends_at_one_commit(rows, flaky, share):
    (line,) = past.lines(rows)
    assert (line.flaky, line.share, line.runs) == (flaky, share, len(rows))


def test_one_line_for_each_branch_what_fails_first():
    found = past.lines([ran("a"), ran("b", outcome="failure"), ran("a", ref="refs/heads/next"), ran("c", outcome="cancelled")])
    assert [(one.name, past.branch(one.ref)) for one in found] == [("b", "main"), ("a", "main"), ("a", "next"), ("c", "main")]


def test_its_figures_are_percentiles_and_sums():
    (line,) = past.lines([ran(wait=seconds, took=seconds * 2) for seconds in range(1, 101)])
    assert line.wait(0.5) == timedelta(seconds=50)
    assert line.took(0.95) == timedelta(seconds=190)
    assert line.busy == timedelta(seconds=sum(range(2, 201, 2)))


def put(store, name: str, outcome: Outcome, *, sha: str, number: int, reused: bool = False) -> None:
    at = datetime.now(timezone.utc) - timedelta(minutes=number)
    plan = BuildPlan(sha=sha * 40, ref="refs/heads/main", workflow="ci.yml", name="ci")
    with store.write() as connection:
        build = work.add_build(connection, store.place, "local-1", plan, attempt=number, at=at)
        (id_,) = work.add_jobs(connection, build, [JobPlan(key=name, name=name)], at=at)
        times = {"queued": at, "started": at + timedelta(seconds=2), "finished": at + timedelta(seconds=number)}
        work.update_job(connection, id_, status=Status.DONE, outcome=outcome, reused=reused, runner="local-1", **times)


def test_nothing_yet_is_a_sentence(city, tmp_path):
    past_ = city.history()
    for draw in (past_.waits, past_.durations, past_.outcomes, past_.flaky, past_.cost, past_.tunnels, past_.health):
        with pytest.raises(NotFound):
            draw()
    with pytest.raises(NotFound, match="no page to write"):
        past_.report(tmp_path / "page.html")
    assert not list(tmp_path.glob("page*"))
    assert "0 jobs" in repr(past_)
    assert "No job ended" in past_._repr_html_()
    for days in (0, -1, float("nan"), 1e9):
        with pytest.raises(BadInput, match="cannot be had"):
            city.history(days)


def test_what_a_store_holds_becomes_a_table_figures_and_a_page(city, sqlite, tmp_path):
    for number, outcome in enumerate((Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS), 3):
        put(sqlite, NASTY, outcome, sha="a", number=number)
    put(sqlite, "lint", Outcome.SUCCESS, sha="b", number=9)
    put(sqlite, "lint", Outcome.FAILURE, sha="b", number=10, reused=True)  # that run is counted where it ran
    put_runner(sqlite, "local-1", beats=30)
    put_incident(sqlite)
    put_tunnel(sqlite)
    past_ = city.history(1)
    summary = past_.summary()
    assert [(row["runs"], row["flaky"], row["commits"]) for _, row in summary.iterrows()] == [(3, 1, 1), (1, 0, 1)]
    assert repr(past_) == "<History of 24 h · 4 jobs · 75.0 % succeeded · 1 flaky>"
    assert len(past_.frame()) == 4
    assert past_.waits().data[0].x[0] == 2
    assert {trace.name: sum(trace.x) for trace in past_.outcomes().data} == {"success": 3, "failure": 1}
    assert list(past_.flaky().data[0].x) == [1]
    assert sum(sum(trace.y) for trace in past_.cost().data) * 60 == pytest.approx(3 + 4 + 5 + 9 - 4 * 2)
    assert [list(trace.text) for trace in past_.tunnels().data] == [["1", "2"]]
    assert past_.health().data[1].mode == "markers"
    for draw in (past_.waits, past_.durations, past_.outcomes, past_.flaky, past_.cost, past_.tunnels, past_.health):
        shown = draw()._repr_mimebundle_()  # nobody looks here
        assert set(shown) == {"application/vnd.plotly.v1+json", "text/html", "text/plain"}
        assert "<table" in shown["text/html"]
        for never in ("<script", "<style", "\u202e"):
            assert never not in shown["text/html"]
    text = past_.report(tmp_path / "new" / "page.html").read_text()
    assert "Plotly.newPlot" in text
    assert text.count("Plotly.newPlot(") >= 7
    assert "<script>alert" not in text
    assert "\u202e" not in text


def test_the_same_query_on_both_databases(store):
    put(store, "one", Outcome.SUCCESS, sha="a", number=2)
    put(store, "two", Outcome.SUCCESS, sha="a", number=60 * 24 * 3)
    from qcity_nb.store import sums

    with store.read() as connection:
        found = sums.ran(connection, store.place, since=datetime.now(timezone.utc) - timedelta(days=1), limit=10)
    assert [(row.name, row.wait, row.outcome) for row in found] == [("one", timedelta(seconds=2), "success")]
