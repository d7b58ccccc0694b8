"""The master is told of schedules by a real engine over a real webhook: once when one begins to fail, once when it is well again."""

from __future__ import annotations

import pytest

from qcity_nb.client import notify
from qcity_nb.model.schedule import RunState
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real]


def test_a_schedule_that_fails_again_and_again_is_told_once_and_once_when_it_is_well(own_desk, hook, monkeypatch):
    address, got = hook
    monkeypatch.setenv("QCITY_WEBHOOK", address)
    notify.set_up(own_desk.city, "webhook")
    notebooks = own_desk.city.notebooks
    switch = own_desk.folder / "switch"
    path = own_desk.write(f"import os\nassert os.path.exists({str(switch)!r})")
    notebooks.schedule(path, "* * * * * *", name="nightly", park=60)

    def count(state: RunState) -> int:
        return sum(row.state is state for row in notebooks.rows(schedule="nightly"))

    until(lambda: count(RunState.FAILED) >= 3 and got, seconds=60)
    failed = next(row for row in notebooks.rows(schedule="nightly") if row.state is RunState.FAILED)
    switch.touch()
    until(lambda: len(got) >= 2, seconds=60)
    notebooks.schedules.pause("nightly")
    notebooks.wait(60)
    told = f"qcity notebook show {failed.id}; qcity notebook resume {failed.id} goes on from cell 1"
    assert [(one["title"], one["next"]) for one in got] == [("nightly failed", told), ("nightly is well again", "")]
