"""Agents of forges from end to end: a home with the real engine and attendant, scripted agents, stateful stand-ins of GitHub and GitLab."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

import qcity_nb
from qcity_nb.client import credentials, wishes
from qcity_nb.client.incidents import tell
from qcity_nb.decide.failures import BY_CODE
from qcity_nb.errors import QCityError
from qcity_nb.io.files import is_locked
from qcity_nb.model.service import Phase, RestartPolicy, ServiceState
from qcity_nb.store.history import Incident
from qcity_nb.testing.agents import package
from qcity_nb.testing.github import FakeGitHub
from qcity_nb.testing.gitlab import FakeGitLab
from qcity_nb.testing.real_engine import until

T = TypeVar("T")
REPO = "octo/hello"
SPEED = 60
"""How many of the attendant's seconds pass in a real one."""
SCALE = 1 / 300
"""How long a second of the scripted agents is; their heartbeats come more often than anybody misses them."""
SOON = timedelta(seconds=3)
"""When the stand-in takes a runner that it does not hear for offline."""
EAGER = RestartPolicy(base=timedelta(milliseconds=300))


PATIENCE = float(os.environ.get("PATIENCE", "80"))


class Scene:
    """A home, its forges, and what happens between them."""

    def __init__(self, root: Path, github: FakeGitHub, gitlab: FakeGitLab, downloads: str) -> None:
        self.root, self.github, self.gitlab, self.downloads = root, github, gitlab, downloads
        self.script = root / "script.json"
        self.said: list[str] = []
        self.city = qcity_nb.open(root / "home", say=self.said.append)
        self.faults()

    def faults(self, *told: dict[str, object], **more: object) -> None:
        """What agents do wrong from now on; `agents` in a fault is a pattern of their names."""
        part = self.script.with_suffix(".part")
        part.write_text(json.dumps({"faults": told, "scale": SCALE, **more}))
        part.replace(self.script)

    def options(self, kind: str, **more: object) -> dict[str, Any]:
        """What every runner here is told."""
        if kind == "gitlab":
            given = {"project": REPO, "url": self.gitlab.root, "downloads": self.downloads}
        else:
            given = {"repo": REPO, "url": self.github.root}
        return {**given, "allow_root": os.geteuid() == 0, **more}

    def start(self, name: str = "gh-1", kind: str = "github", **more: object):
        """Start a runner and wait until it is up."""
        return self.city.runners.start(kind, name, policy=EAGER, grace=1.0, **self.options(kind, **more))

    def ask(self, name: str, kind: str = "github", **more: object) -> None:
        """Start a runner and do not wait; its project on its forge is made too, and bears its name if it is told none."""
        where = {"gitlab": "project", "github": "repo"}[kind]
        options = self.options(kind, **{where: f"octo/{name}", **more})
        labels = options.pop("labels", ())
        scope = str(options[where])
        if kind == "gitlab" and all(one.path != scope for one in self.gitlab.state.projects.values()):
            self.gitlab.project(scope)
        if kind == "github" and scope.lower() not in self.github.state.repos:
            self.github.repository(scope)
        link = self.city.link
        credentials.provide(link, kind, str(options["url"]))
        link.ask("runner.start", name, wishes.wish(kind, labels=labels, options=options, silent_after=None, grace=1.0, policy=EAGER))

    def state(self, name: str = "gh-1") -> ServiceState:
        return self.city.runners[name].row.state

    def job(self, repo: str = REPO, **options: object) -> int:
        return self.github.queue_job(repo, **{"payload": {"script": "echo hi"}, **options})  # type: ignore[arg-type]

    def done(self, job: int, conclusion: str = "success", seconds: float = 60) -> None:
        until(lambda: self.github.job(job).status == "completed", seconds=seconds)
        assert self.github.job(job).conclusion == conclusion

    def begun(self, job: int, name: str = "gh-1") -> None:
        """Wait until a runner works on a job, for its forge and for us."""
        until(lambda: self.github.job(job).status == "in_progress", seconds=60)
        until(lambda: self.state(name).busy == 1, seconds=60)

    def incidents(self, name: str) -> list[Incident]:
        return [row for row in self.city.incidents.rows() if row.service == name]

    def told(self, name: str, code: str, *states: str, seconds: float = PATIENCE) -> Incident:
        """The incident of a runner that names a row, once it is over."""

        def over() -> Incident | None:
            for row in self.incidents(name):
                if f"({code})" in row.title + row.cause and row.state in (states or ("healthy",)):
                    return row
            return None

        return self.seen(name, over, code, seconds=seconds)

    def seen(self, name: str, what: Callable[[], T | None], words: str, *, seconds: float = PATIENCE) -> T:
        """Wait for something of a runner; a failure tells its story."""
        try:
            return until(what, seconds=seconds)
        except AssertionError:
            log = self.city.home / "services" / name / "log"
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-25:] if log.exists() else []
            row, known = self.city.runners[name].row, [tell(one) for one in self.incidents(name)][-5:]
            counts = Counter(one.service for one in self.city.incidents.rows(limit=5000))
            story = "\n".join([f"{words}: not seen", repr(counts), *known, repr(row.state), repr(row.trouble), *lines])
            raise AssertionError(story) from None

    def incident(self, code: str, *states: str, seconds: float = PATIENCE) -> str:
        """The sentence of an incident of the first runner."""
        row = self.told("gh-1", code, *states, seconds=seconds)
        return self.city.incidents[row.id].sentence()

    def held(self, name: str, code: str, *states: str, done: str = "", said: str = "", others: tuple[str, ...] = ()) -> Incident:
        """The incident of a row, over: cause, evidence, acts and proof, all in its sentence; the runner has no other one, but for these rows."""
        row, found = BY_CODE[code], self.told(name, code, *states)
        assert row.cause in found.cause, found.cause
        assert found.evidence, "a cause without evidence is a guess"
        assert found.proof or found.state == "quarantined", "closed as healthy without a proof"
        assert done in "; ".join(found.done), found.done
        assert said in "; ".join(found.evidence), found.evidence
        sentence = tell(found)
        for part in (row.cause, found.evidence[0][:40], *found.proof[:1]):
            assert " ".join(part.split()).rstrip(".") in sentence, sentence
        codes = {other for other in BY_CODE for one in self.incidents(name) if f"({other})" in one.title + one.cause}
        assert codes <= {code, *others}, codes
        return found

    def up(self, name: str = "gh-1", *, after: int = 0) -> None:
        def is_up() -> bool:
            state = self.state(name)  # read once: between two reads a life may end
            return state.phase is Phase.RUNNING and state.incarnation > after

        self.seen(name, is_up, "running")

    def down(self, name: str, *phases: Phase) -> None:
        self.seen(name, lambda: self.state(name).phase in phases, repr(phases))

    def folder(self, name: str = "gh-1") -> Path:
        """The agent's own."""
        return self.city.home / "services" / name / "agent"

    def end(self) -> None:
        """Nothing of it is left running."""
        with contextlib.suppress(QCityError):  # there never was an engine, or its runner takes its time
            self.city.stop()
        until(lambda: not is_locked(self.city.link.store.home.lock), seconds=90)
        self.city.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def published(folder: Path) -> Iterator[str]:
    """Where GitLab publishes gitlab-runner."""
    for name, content in package.gitlab_release().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def scene_at(root: Path, monkeypatch: pytest.MonkeyPatch, *, speed: float = SPEED) -> Iterator[Scene]:
    """A scene in a folder, all ended afterwards."""
    monkeypatch.setenv("SCRIPTED_AGENT", str(root / "script.json"))
    for name, value in {"SPEED": str(speed), "LOOK": "0.2", "POLL": "0.5"}.items():
        monkeypatch.setenv(f"QCITY_ATTENDANT_{name}", value)
    with FakeGitHub(base="/api/v3", lenient=True) as github, FakeGitLab() as gitlab, published(root / "downloads") as downloads:
        github.rules.offline_after, github.rules.session_life = SOON, SOON / 5
        github.repository(REPO)
        gitlab.project(REPO)
        github.offer(package.archive("2.336.0"), version="2.336.0")
        monkeypatch.setenv("QCITY_GITHUB_TOKEN", github.token())
        monkeypatch.setenv("QCITY_GITLAB_TOKEN", gitlab.token())
        made = Scene(root, github, gitlab, downloads)
        try:
            yield made
        finally:
            made.end()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with scene_at(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture(scope="module")
def street_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Scene]]:
    """Makes the scene that a module's tests share: many runners on one engine, each with a trouble of its own."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        yield lambda speed=SPEED: stack.enter_context(scene_at(tmp_path_factory.mktemp("street"), patch, speed=speed))
