"""Watching a repository: each new commit of the watched branches becomes the builds its workflow files ask for. Runs in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence

from ....decide import globs, triggers, workflow
from ....errors import QCityError
from ....model.wire import BuildFound, Fact, Trouble
from ....model.work import BuildPlan
from . import actions, gitlab
from .prepare import Setting
from .repository import GitError, fetch, is_url

FOLDER = ".github/workflows/"
MOST_COMMITS = 10
WAIT_FOR_SEEN = 5.0
MOST_BACKOFF = 600.0
ABOUT = "repository"


class Watcher:
    """Looks at the repository again and again.

    Args:
        setting: the repository and what to watch of it.
        report: takes the facts.
    """

    def __init__(self, setting: Setting, report: Callable[[Fact], None]) -> None:
        self.setting, self._report = setting, report
        self.known: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._signature: object = None
        self._failures = 0
        self._seen, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def forewarn(self) -> None:
        """Say that a folder has nothing to build yet before the runner counts as up, so that whoever starts it reads it."""
        with contextlib.suppress(GitError):  # the first look will say it
            if not is_url(self.setting.options.repo) and not self.setting.repository.refs("refs/heads"):
                self._say(ABOUT, self._nothing())

    def _nothing(self) -> str:
        return f"{self.setting.options.repo} has no commits yet; the runner waits for the first one"

    def start(self) -> None:
        """Begin, as soon as the known commits are told."""
        self._thread.start()

    def stop(self) -> None:
        """End; a fetch that runs is not waited for."""
        self._stopped.set()
        self._seen.set()

    def seen(self, heads: Mapping[str, str]) -> None:
        """Take in the commits that builds exist for already."""
        self.known.update(heads)
        self._seen.set()

    def _run(self) -> None:
        self._seen.wait(WAIT_FOR_SEEN)
        while not self._stopped.is_set():
            every = self.setting.options.every
            try:
                self.look()
                self._failures = 0
            except (GitError, QCityError, OSError) as error:
                self._failures += 1
                self._signature = None
                self._say(ABOUT, f"{self.setting.options.repo} cannot be read: {error.what if isinstance(error, QCityError) else error}")
            self._stopped.wait(min(every * 2 ** min(self._failures, 10), max(MOST_BACKOFF, every)) if self._failures else every)

    def _say(self, about: str, text: str) -> None:
        """Report a trouble once, and its end once."""
        if self._told.get(about, "") != text:
            self._told[about] = text
            self._report(Trouble(about=about, text=text))

    def look(self) -> None:
        """One look: report what is new. Raises `GitError` when the repository cannot be read."""
        repository = self.setting.repository
        if is_url(self.setting.options.repo):
            fetch(repository)
        else:
            if not repository.folder.is_dir():
                raise GitError("it is gone")
            signature = repository.signature()
            if signature == self._signature:
                return
            self._signature = signature
        heads = repository.refs("refs/heads")
        if not heads:
            self._say(ABOUT, self._nothing())
            return
        self._say(ABOUT, "")
        patterns = self.setting.options.branches
        for ref, sha in heads.items():
            if patterns and not globs.selects(patterns, ref.removeprefix("refs/heads/")):
                continue
            if self.known.get(ref) != sha:
                self._moved(ref, self.known.get(ref), sha)
                self.known[ref] = sha
        for ref in [one for one in self.known if one not in heads]:
            del self.known[ref]

    def _moved(self, ref: str, old: str | None, new: str) -> None:
        repository = self.setting.repository
        commits, left_out = [new], 0
        if old is not None and repository.has(old):
            commits, left_out = repository.between(old, new, most=MOST_COMMITS)
            if not commits:  # moved back to an older commit: that is a push too
                commits = [new]
        if left_out:
            name = ref.removeprefix("refs/heads/")
            self._say(f"{ABOUT}:{name}", f'{left_out} commits of "{name}" are left out; of each push the newest {MOST_COMMITS} are built')
        for sha in commits:
            for plan in builds(self.setting, sha, ref):
                self._report(BuildFound(plan=plan))


def builds(setting: Setting, sha: str, ref: str) -> Sequence[BuildPlan]:
    """The builds that one commit asks for on one ref."""
    repository = setting.repository
    commit = repository.commit(sha)
    if triggers.skipped(commit.message):
        return []
    changed = repository.changed(sha)
    found: list[BuildPlan] = []
    for path, size in repository.listing(sha, FOLDER).items():
        if not path.endswith((".yml", ".yaml")):
            continue
        source = workflow.Source(
            sha=sha, ref=ref, path=path, repository=repository.slug, subject=commit.subject, author=commit.author, changed=changed
        )
        if size > 1 << 20:
            found.append(workflow.too_large(size, source))
            continue
        plan = _read(repository.blob(sha, path), source, setting)
        if plan is not None:
            found.append(plan)
    if gitlab.FILE in repository.listing(sha, gitlab.FILE):
        found.append(gitlab.build(setting, sha, ref, commit))
    return found


def _read(raw: bytes, source: workflow.Source, setting: Setting) -> BuildPlan | None:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return workflow.unusable(source, f"{source.path}:{line}: the file is not UTF-8 text")
    return workflow.read(text, source, available=lambda uses: actions.available(uses, setting.stored))
