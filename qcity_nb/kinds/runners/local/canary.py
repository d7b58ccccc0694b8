"""The canary: a small job of our own that a local runner runs now and then the way it runs everybody's, so that it meets a fault before they do.

It clones, builds, keeps a cache, gives an artifact away, and reaches the network and the GPU where jobs may. A runner that fails it twice takes no
more jobs and ends; its next life empties its cache and takes jobs only when the canary has passed.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ....decide import workflow
from ....decide.wording import line
from ....errors import QCityError
from ....io.files import write_atomic
from ....model.wire import Checked, Fact, JobEnded, RunJob
from ....model.work import Outcome
from ...sandboxes.folders import remove
from . import actions
from .execute import Attempt, now
from .prepare import Setting
from .repository import GitError, Repository, git, is_url, open_folder

FAILURES = 2
"""So many in a row, and it is the runner."""
ATTEMPT = "canary"
FILE = ".github/workflows/canary.yml"
HEAD = """\
name: canary
on: push
jobs:
  canary:
    runs-on: self-hosted
    timeout-minutes: 5
    steps:
      - name: clone
        uses: actions/checkout@v4
      - name: build
        run: test "$(sh build.sh 6 7)" = 42
      - name: cache
        uses: actions/cache@v4
        with: {path: kept, key: canary}
      - name: artifact
        run: mkdir -p kept && date > kept/made && cp kept/made made.txt
      - name: give the artifact away
        uses: actions/upload-artifact@v4
        with: {name: canary, path: made.txt}
      - name: GPU
        run: "[ ! -e /dev/nvidiactl ] || nvidia-smi -L"
"""
NETWORK = """\
      - name: network
        shell: bash
        run: timeout 20 bash -c 'exec 3<>/dev/tcp/HOST/PORT'
"""
BUILD = "expr $1 '*' $2\n"


class Canary:
    """One runner's canary.

    Args:
        setting: what all attempts of the runner share.
        report: takes the fact of each look.
        every: seconds between two of them; 0 means never.
    """

    def __init__(self, setting: Setting, report: Callable[[Fact], None], *, every: float) -> None:
        self._setting, self._report, self._every = setting, report, every
        self._folder = setting.home.service(setting.runner) / "canary"
        self._memory = setting.home.service(setting.runner) / "canary.failures"
        self._began, self._last = time.monotonic(), time.monotonic()
        self._number = -1 - zlib.crc32(setting.runner.encode())  # no build and no job has such a number
        self.failures = self._remembered()
        self.wrong = ""
        self.over = threading.Event()

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self._every > 0 and time.monotonic() - self._last >= self._every

    @property
    def failed(self) -> bool:
        """Whether it has failed so often that the runner must not take jobs."""
        return self.failures >= FAILURES

    def attempt(self, uid: int | None, *, done: Callable[[], None] = lambda: None) -> Attempt | None:
        """The next one, to be started; None when it could not even be made, which is a failure too."""
        self._began = self._last = time.monotonic()
        self.over.clear()
        try:
            repository = self._repository()
            sha = repository.refs("refs/heads")["refs/heads/main"]
            source = workflow.Source(sha=sha, ref="refs/heads/main", path=FILE, repository=repository.slug, subject="canary", author="qcity")
            text = repository.blob(sha, FILE).decode()
            plan = workflow.read(text, source, available=lambda uses: actions.available(uses, self._setting.stored))
            assert plan is not None
        except (GitError, QCityError, OSError, KeyError) as error:
            self._ended(ok=False, text=f"it could not be made: {error}", details={})
            return None
        order = RunJob(
            token=ATTEMPT, job=self._number, attempt=1, build=self._number, sha=sha, ref="refs/heads/main", workflow=FILE, executor="act",
            plan=plan.jobs[0],
        )  # fmt: skip
        return Attempt(order, replace(self._setting, repository=repository), uid=uid, report=self._heard, done=done)

    def repair(self) -> None:
        """What a start does after failures: the cache is emptied, because it is all that jobs leave to each other."""
        remove(self._setting.cache)
        with contextlib.suppress(OSError):
            self._setting.cache.unlink()

    def _heard(self, fact: Fact) -> None:
        if not isinstance(fact, JobEnded):
            return
        shutil.rmtree(self._setting.home.artifacts / str(self._number), ignore_errors=True)
        if fact.outcome is Outcome.LOST:  # the runner is being stopped: that says nothing
            self.over.set()
            return
        details = {step.name: "well" if step.outcome is Outcome.SUCCESS else step.outcome.value for step in fact.steps if step.outcome is not None}
        ok = fact.outcome is Outcome.SUCCESS and any(artifact.name == "canary" for artifact in fact.artifacts)
        why = fact.reason or ("its artifact is not there" if fact.outcome is Outcome.SUCCESS else fact.outcome.value)
        self._ended(ok=ok, text="all is well" if ok else line(why, limit=300), details=details)

    def _ended(self, *, ok: bool, text: str, details: dict[str, str]) -> None:
        self.failures = 0 if ok else self.failures + 1
        self.wrong = "" if ok else text
        with contextlib.suppress(OSError):  # a full disk: it is counted in memory
            write_atomic(self._memory, str(self.failures))
        took = round(time.monotonic() - self._began, 3)
        self._report(Checked(service=self._setting.runner, what="canary", ok=ok, text=text, at=now(), took=took, details=details))
        self.over.set()

    def _remembered(self) -> int:
        try:
            return int(self._memory.read_text())
        except (OSError, ValueError):
            return 0

    def _repository(self) -> Repository:
        """The repository that it clones, made anew when what it holds has changed."""
        text = HEAD + self._network()
        where, files = self._folder / "canary", {FILE: text, "build.sh": BUILD}
        if not (where / ".git").exists() or any(_read(where / name) != content for name, content in files.items()):
            shutil.rmtree(where, ignore_errors=True)
            for name, content in files.items():
                (where / name).parent.mkdir(parents=True, exist_ok=True)
                (where / name).write_text(content)
            who = ("-c", "user.name=qcity", "-c", "user.email=qcity@localhost", "-c", "commit.gpgsign=false")
            git("init", "--quiet", "--initial-branch=main", str(where))
            git(*who, "add", "-A", cwd=where)
            git(*who, "commit", "--quiet", "--message=canary", cwd=where)
        return open_folder(where)

    def _network(self) -> str:
        options = self._setting.options
        parts = urlsplit(options.repo) if options.network and is_url(options.repo) else None
        if parts is None or not parts.hostname or parts.scheme not in ("http", "https", "git", "ssh"):
            return ""
        port = parts.port or {"http": 80, "https": 443, "git": 9418, "ssh": 22}[parts.scheme]
        return NETWORK.replace("HOST", parts.hostname).replace("PORT", str(port))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
