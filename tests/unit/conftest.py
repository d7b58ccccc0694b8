"""A place with a believable past, written with the store's own functions, and an engine that only answers commands."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from qcity_nb.client.city import QCity
from qcity_nb.client.hosts import ProcessHost
from qcity_nb.decide.platforms import FEEDS
from qcity_nb.io.files import try_lock
from qcity_nb.io.spool import Doorbell
from qcity_nb.model.home import Home
from qcity_nb.model.platform import PlatformView, Says
from qcity_nb.model.service import Desired, Phase, ServiceSpec, ServiceState
from qcity_nb.model.tunnel import Binding, Fault, Followed, Issued, Reach, Tried, TunnelState, TunnelView
from qcity_nb.model.work import Annotation, Artifact, BuildPlan, JobPlan, Outcome, Status, Step
from qcity_nb.store import commands, history, lease, platforms, services, tunnels, work
from qcity_nb.store.commands import Command
from qcity_nb.store.database import Store, prepare
from qcity_nb.ui.painter import PAINTER

NASTY = '<script>alert("x")</script>\x1b[31m\u202e'


class FakeEngine:
    """Holds the home's lock and answers commands by a table of functions: verb -> (status, result)."""

    def __init__(self, store: Store) -> None:
        self.store, self.seen = store, []
        self.answers: dict[str, Callable[[Command], tuple[str, dict[str, object]]]] = {}
        self._over, self._thread, self._lock = threading.Event(), None, None

    def start(self) -> None:
        self._lock = try_lock(self.store.home.lock)
        assert self._lock is not None
        self._bell = Doorbell(self.store.home.doorbell)
        with self.store.write() as connection:
            lease.take(connection, self.store.place, holder=f"{os.uname().nodename}:{os.getpid()}", host="kernel", now=datetime.now(timezone.utc))
        self._over.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def die(self) -> None:
        """As if killed: the lock is free, the lease was never given back."""
        self._over.set()
        if self._thread:
            self._thread.join(5)
        if self._lock is not None:
            os.close(self._lock)
            self._bell.close()
        self._lock = self._thread = None

    close = die

    def _run(self) -> None:
        while not self._over.wait(0.005):
            with self.store.read() as connection:
                new = commands.new(connection, self.store.place)
            for command in new:
                self.seen.append(command)
                answer = self.answers.get(command.verb, lambda command: ("done", {}))
                status, result = answer(command)
                with self.store.write() as connection:
                    commands.answer(connection, command.id, status=status, result=result, at=datetime.now(timezone.utc))


@pytest.fixture
def sqlite(home: Home) -> Iterator[Store]:
    """An empty store in the home's own file."""
    opened, _ = prepare(home)
    with closing(opened):
        yield opened


@pytest.fixture
def engine(sqlite: Store) -> Iterator[FakeEngine]:
    fake = FakeEngine(sqlite)
    yield fake
    fake.die()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def city(sqlite: Store, engine: FakeEngine, said: list[str]) -> QCity:
    """A place whose engine runs."""
    engine.start()
    return QCity(sqlite, ProcessHost(sqlite), say=said.append, painter=PAINTER)


def put_runner(store: Store, name: str, *, phase: Phase = Phase.RUNNING, kind: str = "local", beats: int = 0, **state: object) -> None:
    """A runner's row, as the engine would write it."""
    at = datetime.now(timezone.utc)
    spec = ServiceSpec(name=name, kind=kind, labels=("linux",), options={"repo": "/r", "env": {"TOKEN": "hush"}})
    desired = Desired.DOWN if phase is Phase.STOPPED else Desired.UP
    with store.write() as connection:
        row = services.add(connection, store.place, spec, replace(ServiceState(name=name, phase=phase, desired=desired, since=at), **state), at=at)
        row = services.note(connection, row, pid=4242, sandbox="full")
        for second in range(beats):
            history.beat(connection, [(row.id, second % 10 != 0, 1)], at=at - timedelta(seconds=beats - second))


@contextmanager
def writing(store: Store) -> Iterator[tuple[object, datetime]]:
    with store.write() as connection:
        yield connection, datetime.now(timezone.utc)


def put_build(store: Store, *, outcome: Outcome = Outcome.SUCCESS, name: str = "unit tests", runner: str = "local-1") -> int:
    """A build with one job that ran, its log beside it; the job's id."""
    with store.read() as connection:
        number = len(work.latest_builds(connection, store.place))
    plan = BuildPlan(sha=f"{number + 10:040x}", ref="refs/heads/main", workflow=".github/workflows/ci.yml", name="ci", subject=f"first {NASTY}")
    job = JobPlan(key="test", name=name, labels=("linux",))
    log = "logs/1.log"
    path = store.home.root / log
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"one\ntwo {NASTY}\nassert 3 == 4\n")
    steps = (Step(number=1, name="checkout", outcome=Outcome.SUCCESS, seconds=0.1), Step(number=2, name="run", outcome=outcome, seconds=2.0))
    with writing(store) as (connection, at):
        build = work.add_build(connection, store.place, runner, plan, attempt=1, at=at)
        id_ = work.add_jobs(connection, build, [job], at=at)[0]
        work.update_job(
            connection,
            id_,
            status=Status.DONE,
            outcome=outcome,
            runner=runner,
            queued=at - timedelta(seconds=5),
            started=at - timedelta(seconds=4),
            finished=at - timedelta(seconds=1),
            steps=steps,
            sandbox="full",
            annotations=(Annotation(level="error", message=NASTY, file="test_add.py", line=4),),
            outputs={"version": "1"},
            artifacts=(Artifact(name="wheel", path="artifacts/1/wheel", size=1234, files=1),),
            log=log,
        )
        work.close_build(connection, build, outcome, at=at)
    return id_


def put_tunnel(store: Store, name: str = "app", *, state: TunnelState = TunnelState.UP) -> None:
    with writing(store) as (connection, at):
        tried = Tried(provider="ngrok", fault=Fault.MISSING, text=NASTY, todo="get one", again=None)
        view = TunnelView(name=name, state=state, since=at, port=8888, url="https://x.example", provider="ssh", generation=2, reach=Reach.PUBLIC)
        view = replace(view, latency=0.0123, proved=at, binary="/bin/ssh", tried=(tried,), reason=NASTY)
        tunnels.put(connection, store.place, view, at=at)
        for generation in (1, 2):
            issued = Issued(tunnel=name, generation=generation, provider="ssh", origin=f"https://{generation}.example", since=at)
            tunnels.issue(connection, store.place, issued)
        key = tunnels.follow(connection, store.place, name, Binding(root="/nowhere", patterns=("README.md",)))
        tunnels.told(connection, store.place, name, key, Followed(ok=False, text=NASTY, generation=2), at=at)


def put_platform(store: Store, name: str = "github") -> None:
    with writing(store) as (connection, at):
        view = PlatformView(says=Says.MINOR, text=NASTY, heard=at, asked=at, trouble=NASTY)
        platforms.put(connection, store.place, name, replace(FEEDS["github"], title=NASTY), view)


def put_incident(store: Store, service: str = "local-1", *, state: str = "healthy") -> int:
    with writing(store) as (connection, at):
        id_ = history.open_incident(
            connection, store.place, service, title=f"{service} died", cause="its process was killed from outside (signal 9)",
            evidence=(NASTY,), awaits=(), at=at - timedelta(seconds=3),
        )
        done = {"done": ("started it again after 0.09 s",), "proof": ("it gave a sign of life",)}
        history.update_incident(connection, id_, state=state, closed=None if state == "open" else at, **done)
    return id_
