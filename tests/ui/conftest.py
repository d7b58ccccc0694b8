"""A place with twenty runners and a believable past, an engine that only answers, a comm that only records, and Chromium."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from qcity_nb.client.city import QCity
from qcity_nb.client.hosts import ProcessHost
from qcity_nb.io.files import try_lock
from qcity_nb.io.spool import Doorbell
from qcity_nb.model.schedule import Cell, CellState, Live, Run, RunPlan, RunState, Schedule
from qcity_nb.model.service import Desired, Phase, ServiceSpec, ServiceState
from qcity_nb.model.tunnel import Reach, TunnelState, TunnelView
from qcity_nb.model.work import BuildPlan, JobPlan, Outcome, Status
from qcity_nb.store import commands, history, lease, runs, services, tunnels, work
from qcity_nb.store.commands import Command
from qcity_nb.store.database import Store, prepare
from qcity_nb.store.schema import beats
from qcity_nb.ui import board as board_module
from qcity_nb.ui.painter import PAINTER

NASTY = '<script>document.title="hacked"</script>\x1b[31m\u202e'
STATIC = Path(board_module.__file__).parent / "static"


class Place:
    """What tests write into a store, with the store's own functions, as an engine would."""

    def __init__(self, store: Store) -> None:
        self.store, self.at = store, datetime.now(timezone.utc)

    def runner(self, name: str, *, kind: str = "local", phase: Phase = Phase.RUNNING, minutes: int = 70, down=None, **state: object) -> None:
        """A runner with a beat every five seconds; `down` says of which minutes before now."""
        down = down or (lambda _: False)
        desired = Desired.DOWN if phase is Phase.STOPPED else Desired.UP
        spec = ServiceSpec(name=name, kind=kind, labels=("linux",))
        with self.store.write() as connection:
            made = ServiceState(name=name, phase=phase, desired=desired, since=self.at, **state)
            row = services.add(connection, self.store.place, spec, made, at=self.at)
            services.note(connection, row, sandbox="full")
            now = int(self.at.timestamp())
            ages = range(0, minutes * 60, 5)
            rows = [{"service": row.id, "at": now - age, "up": int(not down(age // 60)), "busy": 0} for age in ages]
            if rows:
                connection.execute(beats.insert(), rows)

    def change(self, name: str, **state: object) -> None:
        """Another state for a runner that is there."""
        with self.store.write() as connection:
            row = next(row for row in services.all_of(connection, self.store.place) if row.name == name)
            services.save(connection, row, replace(row.state, **state), at=datetime.now(timezone.utc), generation=1)

    def beat(self, name: str, *, up: bool = True, at: datetime | None = None) -> None:
        with self.store.write() as connection:
            row = next(row for row in services.all_of(connection, self.store.place) if row.name == name)
            history.beat(connection, [(row.id, up, 0)], at=at or datetime.now(timezone.utc))

    def job(self, name: str, runner: str, *, ago: float, took: float | None, outcome: Outcome = Outcome.SUCCESS, wait: float = 4) -> int:
        """A job that began `ago` seconds ago; without `took` it runs."""
        begun = self.at - timedelta(seconds=ago)
        over = None if took is None else begun + timedelta(seconds=took)
        with self.store.write() as connection:
            number = len(work.latest_builds(connection, self.store.place, limit=1000))
            plan = BuildPlan(sha=f"{number:040x}", ref="refs/heads/main", workflow="ci.yml", name="ci")
            build = work.add_build(connection, self.store.place, runner, plan, attempt=1, at=begun)
            [id_] = work.add_jobs(connection, build, [JobPlan(key="test", name=name)], at=begun)
            status = {"status": Status.RUNNING if took is None else Status.DONE, "outcome": None if took is None else outcome}
            work.update_job(connection, id_, runner=runner, queued=begun - timedelta(seconds=wait), started=begun, finished=over, **status)
        return id_

    def incident(self, service: str, *, state: str, cause: str, title: str) -> None:
        with self.store.write() as connection:
            opened = self.at - timedelta(minutes=4)
            known = {"title": title, "cause": cause, "evidence": (NASTY,), "awaits": (), "at": opened}
            id_ = history.open_incident(connection, self.store.place, service, **known)
            done = {"done": ("started it again after 0.09 s",), "proof": () if state == "open" else ("it gave a sign of life",)}
            history.update_incident(connection, id_, state=state, closed=None if state == "open" else self.at, **done)

    def tunnel(self) -> None:
        view = TunnelView(name="app", state=TunnelState.UP, since=self.at, port=8888, url="https://app.example", provider="ssh", generation=2)
        with self.store.write() as connection:
            tunnels.put(connection, self.store.place, replace(view, reach=Reach.PUBLIC, proved=self.at), at=self.at)

    def notebook(self) -> None:
        plan, begun = RunPlan(notebook="/n/nightly.ipynb"), self.at - timedelta(seconds=42)
        states = (CellState.DONE, CellState.DONE, CellState.RUNNING, CellState.PENDING)
        cells = tuple(Cell(number=number, title=f"part {number}", state=state) for number, state in enumerate(states, 1))
        live = Live(cell=3, cells=4, title="learn", since=begun, share=0.4, tail="epoch 1\nepoch 2 <b>loss 0.3</b>")
        run = Run(id=0, schedule="nightly", key="k", plan=plan, at=begun, start=begun, planned=begun, state=RunState.RUNNING, started=begun)
        schedule = Schedule(name="nightly", plan=plan, cron="0 3 * * *")
        with self.store.write() as connection:
            runs.put_schedule(connection, self.store.place, schedule, dealt=begun, upcoming=self.at + timedelta(hours=6), at=begun)
            runs.add_run(connection, self.store.place, replace(run, live=live, cells=cells))

    def fleet(self, number: int = 20) -> None:
        """One quarantined, one in backoff, one flaps, two work, one is stopped, one has a bad name; the rest is well."""
        self.runner("gh-07", phase=Phase.QUARANTINED, down=lambda minute: minute < 12, reason="its token expired")
        self.runner("gl-03", phase=Phase.BACKOFF, failures=3, reason="killed by signal 9", down=lambda minute: minute < 3)
        self.runner("gh-04", down=lambda minute: minute % 6 < 2)
        self.runner(NASTY)
        self.runner("spare", phase=Phase.STOPPED, minutes=0)
        for count in range(5, number):
            self.runner(f"linux-{count:02}", busy=int(count < 7))
        self.job("build (py 3.11)", "linux-05", ago=192, took=None)
        self.job("test", "linux-06", ago=20, took=None, wait=31)
        for count in range(5, min(number, 12)):
            for turn in range(6):
                how = Outcome.FAILURE if (count + turn) % 9 == 0 else Outcome.SUCCESS
                self.job(f"unit tests {turn}", f"linux-{count:02}", ago=1500 + turn * 3300 + count * 60, took=240 + 60 * turn, outcome=how)
        killed = "its process was killed from outside (signal 9)"
        self.incident("linux-09", state="healthy", title="linux-09 died in the middle of test", cause=killed)
        self.incident("gl-03", state="open", title="gl-03 keeps ending", cause=NASTY)
        self.tunnel()
        self.notebook()
        with self.store.write() as connection:
            history.roll_up(connection, now=self.at)


class Engine:
    """Holds the home's lock, keeps its lease fresh, and answers commands by a table: verb -> what it does."""

    def __init__(self, store: Store) -> None:
        self.store, self.seen, self._over = store, [], threading.Event()
        self.answers: dict[str, Callable[[Command], tuple[str, dict[str, object]]]] = {}
        self._lock, self._bell = try_lock(store.home.lock), Doorbell(store.home.doorbell)
        with store.write() as connection:
            lease.take(connection, store.place, holder=f"here:{os.getpid()}", host="kernel", now=datetime.now(timezone.utc))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def die(self) -> None:
        """As if killed: the lock is free, the lease was never given back."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join(5)
            os.close(self._lock)
            self._bell.close()

    def _run(self) -> None:
        while not self._over.wait(0.005):
            with self.store.read() as connection:
                new = commands.new(connection, self.store.place)
            for command in new:
                self.seen.append(command)
                status, result = self.answers.get(command.verb, lambda command: ("done", {}))(command)
                with self.store.write() as connection:
                    commands.answer(connection, command.id, status=status, result=result, at=datetime.now(timezone.utc))


@pytest.fixture
def sqlite(home) -> Iterator[Store]:
    opened, _ = prepare(home)
    with closing(opened):
        yield opened


@pytest.fixture
def place(sqlite) -> Place:
    return Place(sqlite)


@pytest.fixture
def engine(sqlite) -> Iterator[Engine]:
    fake = Engine(sqlite)
    yield fake
    fake.die()


@pytest.fixture
def city(sqlite, engine) -> QCity:
    """A place whose engine runs."""
    return QCity(sqlite, ProcessHost(sqlite), say=lambda _: None, painter=PAINTER)


def _without(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")  # playwright keeps an event loop in this thread for as long as it lives, and others want one of theirs
def chromium():
    """The system's Chromium, headless. Never playwright's own download."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        _without("there is no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=[*quiet, "--disable-sync"])
        yield browser
        browser.close()


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Where pictures are put: QCITY_PICTURES, else beside the test's other files."""
    folder = Path(os.environ.get("QCITY_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


MODEL = """
window.model = {
  data: {}, sent: [], subs: [],
  get(name) { return this.data[name]; },
  on(name, f) { this.subs.push([name, f]); },
  off(name, f) { this.subs = this.subs.filter(([n, g]) => n !== name || g !== f); },
  send(message) { this.sent.push(message); },
  say(message, numbers = []) {
    const buffers = numbers.map((one) => new DataView(Uint8Array.from(one).buffer));
    for (const [name, f] of this.subs) if (name === "msg:custom") f(message, buffers);
  },
  set(snapshot) { this.data.snapshot = snapshot; for (const [name, f] of this.subs) if (name === "change:snapshot") f(); },
};
"""


@pytest.fixture
def shown(chromium):
    """Opens the board alone in a page, over a model that only remembers; gives the page."""
    contexts = []

    def open_(snapshot: object, *, width: int = 1100, height: int = 900, dark: bool = False, host: str = "data-jp-theme-light"):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark and not host else "light")
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        theme = f'{host}="{"false" if dark else "true"}"' if host else ""
        script = f'import board from "./board.js"; model.data.snapshot = {json.dumps(snapshot).replace("<", chr(92) + "u003c")};'
        html = (
            f'<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="board.css">'
            f'<style>body{{margin:8px;background:{"#111" if dark else "#fff"}}}</style><body {theme}><div id="host"></div><script>{MODEL}</script>'
            f'<script type="module">{script} window.stop = board.render({{ model, el: document.getElementById("host") }});</script>'
        )
        files = {"/": (html, "text/html")} | {f"/board.{kind}": ((STATIC / f"board.{kind}").read_text(), mime) for kind, mime in TYPES.items()}

        def answer(route):
            body, mime = files.get("/" + route.request.url.split("/", 3)[3], ("", "text/plain"))
            route.fulfill(body=body, content_type=mime)

        page.route("**/*", answer)
        page.goto("http://board.test/")
        page.wait_for_selector(".qcity-board .row, .qcity-board footer")
        return page

    yield open_
    for context in contexts:
        context.close()


TYPES = {"js": "text/javascript", "css": "text/css"}


class Wire:
    """What went over the comms, in order, and a front end's answers. Sizes are those of the raw frames that a kernel would send."""

    def __init__(self) -> None:
        from jupyter_client.session import Session

        self.messages: list[tuple[str, dict, list]] = []
        self.comms: dict[str, object] = {}
        self.displays: list[tuple[object, dict]] = []
        self._session, self._more = Session(key=b"k"), threading.Condition()
        self._parent = self._session.msg("execute_request", {})["header"]

    def took(self, comm, kind: str, data: dict, buffers: list | None) -> None:
        with self._more:
            self.comms[comm.comm_id] = comm
            self.messages.append((kind, data or {}, [bytes(one) for one in buffers or []]))
            self._more.notify_all()

    def size(self, message: tuple[str, dict, list]) -> int:
        kind, data, buffers = message
        whole = self._session.msg(kind, {"comm_id": "0" * 32, "data": data}, parent=self._parent)
        return sum(map(len, self._session.serialize(whole))) + sum(map(len, buffers))

    def custom(self, kind: str = "") -> list[tuple[dict, list]]:
        """The custom messages of one kind, with their numbers."""
        with self._more:
            found = [(data["content"], buffers) for _, data, buffers in self.messages if data.get("method") == "custom"]
        return [one for one in found if not kind or one[0]["kind"] == kind]

    def snapshots(self) -> list[dict]:
        with self._more:
            return [data["state"]["snapshot"] for _, data, _ in self.messages if "snapshot" in data.get("state", {})]

    def until(self, holds, seconds: float = 30.0):
        """Wait for a message after which this holds; what it gives."""
        with self._more:
            assert self._more.wait_for(lambda: holds(self), seconds), [data for _, data, _ in self.messages][-3:]
        return holds(self)

    def answer(self, content: object) -> None:
        """As if the front end of the newest widget had sent this."""
        comm = list(self.comms.values())[-1]
        comm.heard({"content": {"comm_id": comm.comm_id, "data": {"method": "custom", "content": content}}, "buffers": []})


@pytest.fixture
def wire(monkeypatch) -> Wire:
    """Comms that record instead of sending, and a front end that somebody looks at.

    They are put in place where ipywidgets takes them from, because it offers no other way: comm.create_comm since 8, ipykernel's own class before.
    """
    import IPython.display
    import ipywidgets

    made = Wire()
    if not ipywidgets.__version__.startswith("7."):
        import comm
        from comm.base_comm import BaseComm

        class Recorded(BaseComm):
            def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
                made.took(self, msg_type, data, buffers)

            heard = BaseComm.handle_msg

        monkeypatch.setattr(comm, "create_comm", Recorded)
    else:
        import traitlets
        from ipykernel.comm import Comm

        class Recorded(Comm):
            kernel = traitlets.Any(True)

            def open(self, data=None, metadata=None, buffers=None):
                made.took(self, "comm_open", data, buffers)
                self._closed = False

            def close(self, data=None, metadata=None, buffers=None, deleting=False):
                if not self._closed:
                    made.took(self, "comm_close", data, buffers)
                self._closed = True

            def send(self, data=None, metadata=None, buffers=None):
                made.took(self, "comm_msg", data, buffers)

            def heard(self, message):
                self._msg_callback(message)

        monkeypatch.setattr("ipywidgets.widgets.widget.Comm", Recorded)
    monkeypatch.setattr(board_module, "is_watched", lambda: True)  # pytest is no kernel

    class Handle:
        def __init__(self, at: int) -> None:
            self.at = at

        def update(self, bundle: dict, **_: object) -> None:
            made.displays[self.at] = (bundle, {})

    def display(what: object, **how: object) -> Handle:
        made.displays.append((what, how))
        return Handle(len(made.displays) - 1)

    monkeypatch.setattr(IPython.display, "display", display)  # what a cell would show
    return made


@pytest.fixture
def live_board(city, wire):
    """Dashboards as cells show them; closed at the end."""
    made = []

    def show(**how):
        made.append(city.dashboard(**{"every": 0.25, **how}))
        made[-1]._ipython_display_()
        return made[-1]

    yield show
    for one in made:
        one.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("board-")]
    assert not board_module._shown
