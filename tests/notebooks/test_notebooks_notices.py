"""The master is told of schedules by a real engine over a real webhook: once when one begins to fail, once when it is well again."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from qcity_nb.client import notify
from qcity_nb.model.schedule import RunState
from qcity_nb.testing.real_engine import until

pytestmark = [pytest.mark.real]


@pytest.fixture
def hook():
    """A webhook: its address and the titles and next steps that it was told."""
    got: list[tuple[str, str]] = []

    class Posts(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((body["title"], body["next"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Posts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/x", got
    server.shutdown()
    server.server_close()


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
    assert got == [("nightly failed", told), ("nightly is well again", "")]
