"""The visible cell that keeps work alive: what it says, how it ends, that buttons work meanwhile. The same on ipykernel 7 and on Colab's."""

from __future__ import annotations

import asyncio
import http.server
import json
import sys
import threading
import types
from datetime import datetime, timedelta, timezone

import pytest
from jupyter_client.manager import start_new_kernel

from qcity_nb.client import life, notify
from qcity_nb.errors import NotFound, Refused
from qcity_nb.model.fleet import PlaceConfig
from qcity_nb.testing.real_engine import until

SETUP = """
import time, qcity_nb, ipywidgets
log, city = [], qcity_nb.open({home!r})
button = ipywidgets.Button()
button.on_click(lambda _: log.append("click"))
"""

pytestmark = pytest.mark.real


class Kernel:
    """A notebook's kernel, and a front end that presses buttons."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(kernel_name="python3")
        self.shown: list[str] = []

    def ask(self, code: str, **values: str) -> str:
        return self.client.execute(code, user_expressions=values)

    def reply(self, number: str) -> dict:
        while (found := self.client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != number:
            pass
        return found["content"]

    def value(self, expression: str) -> object:
        found = self.reply(self.ask("", it=expression))["user_expressions"]["it"]
        return eval(found["data"]["text/plain"])

    def press(self, comm: str) -> None:
        content = {"comm_id": comm, "data": {"method": "custom", "content": {"event": "click"}}}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))

    def seen(self, number: str, word: str) -> str:
        """Wait until a cell shows a word; what it shows then."""
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            data = message["content"].get("data", {})
            if message["parent_header"].get("msg_id") == number and "text/plain" in data:
                self.shown.append(data["text/plain"])
                if word in data["text/plain"]:
                    assert "text/html" in data
                    return data["text/plain"]

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel():
    made = Kernel()
    yield made
    made.close()


def test_buttons_work_and_cells_wait_in_their_order(kernel, machines):
    """Callbacks run while the cell waits; cells that were asked before, between and after run when it has ended, in the order they were asked.

    The cell ends by the second press, so it would never end if it kept the presses waiting.
    """
    machines.open("a")
    kernel.reply(kernel.ask(SETUP.format(home=str(machines.home("a")))))
    kernel.reply(kernel.ask("from qcity_nb.decide import life; life.over = lambda *_, **__: 'twice pressed' if log.count('click') == 2 else ''"))
    comm = kernel.value("button.comm.comm_id")
    cell = kernel.ask("last = await city.keep_alive(hours=1); log.append('cell')")
    kernel.seen(cell, "this cell ends at")
    asked = [kernel.ask("log.append('first')")]
    kernel.press(comm)
    asked.append(kernel.ask("log.append('second')"))
    kernel.press(comm)
    asked.append(kernel.ask("log.append('third')"))
    assert kernel.reply(cell)["status"] == "ok"
    for number in asked:
        assert kernel.reply(number)["status"] == "ok"
    assert kernel.value("log") == ["click", "click", "cell", "first", "second", "third"]
    assert "twice pressed" in kernel.value("last")
    assert "twice pressed" in kernel.seen(cell, "This cell has ended")


def test_interrupt_ends_the_cell_saves_and_nothing_else(kernel, machines, tmp_path):
    city = machines.open("a")
    city.vaults.add("drive", "folder", tmp_path / "drive", every=3600)
    city.runners.start("command", "web", command=["sleep", "1000"])
    kernel.reply(kernel.ask(SETUP.format(home=str(machines.home("a")))))
    before, pid = city.vaults.copies("drive")[-1], city.status().engine.pid
    cell = kernel.ask("await city.keep_alive(hours=1)")
    assert "1 runner kept up: web." in kernel.seen(cell, "Saved")
    kernel.manager.interrupt_kernel()
    answer = kernel.reply(cell)
    assert answer["status"] == "error"
    assert "you stopped it" in kernel.seen(cell, "This cell has ended")
    assert "Traceback" not in "".join(answer["traceback"])
    assert city.vaults.copies("drive")[-1] > before
    assert city.status().engine.pid == pid
    assert city.runners["web"].phase.value == "running"
    assert kernel.reply(kernel.ask("1"))["status"] == "ok"


def alive(city, **more):
    """The same in a script."""
    return asyncio.run(city.keep_alive(**more))


@pytest.fixture
def colab(monkeypatch):
    """A paid Colab, as its environment shows it, that began eleven hours ago."""
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    monkeypatch.setenv("QCITY_TIER", "paid")
    monkeypatch.setattr(life.machine, "born", lambda: datetime.now(timezone.utc) - timedelta(hours=11))  # the test's machine is as old as it is


def test_free_colab_is_refused_with_the_clause_before_anything_begins(machines, colab, monkeypatch):
    monkeypatch.setenv("QCITY_TIER", "free")
    city = machines.open("a")
    with pytest.raises(Refused, match="forbids distributed-computing workers") as caught:
        city.keep_alive(hours=1)
    assert "Use your own machine" in caught.value.todo
    assert not city.status().engine.alive
    assert "Colab (free)" in repr(city)
    found = next(one for one in city.doctor() if one.check == "venue")
    assert found.verdict == "bad"
    assert "this is Colab (free)" in found.sentence


def test_before_the_end_the_work_goes_elsewhere_and_the_machine_is_given_back(machines, tmp_path, colab, capsys, monkeypatch):
    """Saved, the fallback started, nothing new here; then the last copy, and the machine."""
    given_back = []
    runtime = types.SimpleNamespace(unassign=lambda: given_back.append(True))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(runtime=runtime))  # only Colab has it
    city = machines.open("a")
    city.vaults.add("drive", "folder", tmp_path / "drive", every=3600)
    city.places.add(PlaceConfig(name="workstation", kind="here", options={"tier": "paid"}))
    city.runners.start("command", "web", command=["sleep", "1000"])
    before = len(city.vaults.copies("drive"))
    last = alive(city, hours=12 / 3600, limit=12, fallback="workstation", unassign=True)
    said = capsys.readouterr().out
    assert "This cell ends at" in said
    assert "the work goes to: workstation." in said
    assert "The work was handed to: workstation." in said
    assert "given back" in last
    assert given_back == [True]
    assert city.runners["web"].phase.value == "stopped"
    assert city.runners["workstation"].row.state.desired.value == "up"
    assert len(city.vaults.copies("drive")) >= before + 2


def test_where_nobody_takes_the_work_it_stays_for_the_next_machine(machines, tmp_path, colab, capsys, monkeypatch):
    """The last copy says that it runs, so the first cell of the next machine starts it."""
    a = machines.open("a")
    a.vaults.add("drive", "folder", tmp_path / "drive", every=3600)
    a.runners.start("command", "web", command=["sleep", "1000"])
    alive(a, hours=6 / 3600, limit=12)
    assert "No place takes the work over: the next machine goes on from the last copy" in capsys.readouterr().out
    assert a.runners["web"].phase.value == "running"
    machines.take_away("a")
    machines.resume("b", "folder", tmp_path / "drive")
    assert "1 runner is up: web." in machines.said["b"]


def test_a_cell_that_is_no_notebooks_prints_when_something_changes_and_not_each_second(machines, capsys):
    city = machines.open("a")
    alive(city, hours=4 / 3600)
    said = capsys.readouterr().out
    assert said.count("this cell ends at") == 1
    assert "Nothing is saved off this machine" in said


def test_a_vault_or_place_that_there_is_not_is_said(machines):
    city = machines.open("a")
    with pytest.raises(NotFound, match='no vault "drive"'):
        city.keep_alive(checkpoint="drive")
    with pytest.raises(NotFound, match='no place "box"'):
        city.keep_alive(fallback="box")


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_master_hears_once_that_another_machine_has_gone_on(machines, tmp_path, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Hook,), {"got": []}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("QCITY_WEBHOOK", f"http://127.0.0.1:{server.server_address[1]}/")
    a = machines.open("a")
    notify.set_up(a, "webhook")
    a.vaults.add("drive", "folder", tmp_path / "drive", every=1)
    monkeypatch.delenv("QCITY_WEBHOOK")
    machines.resume("b", "folder", tmp_path / "drive", name="drive")
    a.runners.start("command", "web", command=["sleep", "1000"])  # it comes back, and does as if nothing had been
    got = server.RequestHandlerClass.got
    until(lambda: got, seconds=60)
    assert got[0]["title"] == "Another machine has gone on from the vault drive"
    assert "qcity resume" in got[0]["text"]
    a.runners.stop("web")
    server.shutdown()
    server.server_close()
    assert len(got) == 1
