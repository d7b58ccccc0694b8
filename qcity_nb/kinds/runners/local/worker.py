"""The worker: one loop that beats, reads orders and starts attempts; each attempt and the watch over the repository have a thread of their own."""

from __future__ import annotations

import hashlib
import os
import socket
from collections import deque
from pathlib import Path

from ....errors import HomeError, Refused
from ....io.files import write_atomic
from ....io.post import BEAT, Post
from ....model.home import Home
from ....model.wire import CancelJob, Hello, JobEnded, Order, RunJob, Seen
from ....model.work import Outcome
from ... import sandboxes
from ...sandboxes import uids
from ...sandboxes.folders import remove
from .canary import FAILURES, Canary
from .execute import Attempt, now
from .options import Options
from .prepare import MARKER, MOVED, Setting, remove_orphans
from .repository import Repository, is_url, mirror, open_folder
from .watch import Watcher

STOP_GRACE = 5.0
STOPPED = "the runner was stopped"


class Worker:
    """A local runner at work.

    Args:
        home: where everything lies.
        name: its service.
        incarnation: which life of the service this is.
        options: what it was told.
    """

    def __init__(self, home: Home, name: str, incarnation: int, options: Options) -> None:
        self.home, self.name, self.incarnation, self.options = home, name, incarnation, options
        self.post = Post(home, name, incarnation)
        self.queue: deque[RunJob] = deque()
        self.running: dict[str, Attempt] = {}
        self.known: set[str] = set()
        self._holds: list[socket.socket] = []
        self._uids: list[int | None] = []

    def run(self) -> None:
        """Work until SIGTERM. Raises `QCityError` when it cannot work at all."""
        self.post.listen()
        self.post.beat()
        setting = self._set_up()
        watcher = Watcher(setting, self.post.facts.send)
        watcher.forewarn()
        canary = Canary(setting, self.post.facts.send, every=self.options.canary)
        if canary.failed:
            self._prove(canary)
        self.post.facts.send(Hello(sandbox=setting.level.value, missing=setting.missing))
        watcher.start()
        while not self.post.stopping:
            self._turn(setting, watcher, canary)
            if canary.failed and not self.running:
                break
            self.post.wait()
        watcher.stop()
        if canary.failed and not self.post.stopping:
            self.queue.clear()  # nothing of it has begun: the engine gives it to the next life
        self._finish()
        if canary.failed and not self.post.stopping:
            raise _unfit(canary)

    def _prove(self, canary: Canary) -> None:
        """After failures: mend what a start can mend, and take jobs only when the canary has passed. Raises `Refused` when it has not."""
        canary.repair()
        attempt = canary.attempt(self._uids[0])
        if attempt is not None:
            attempt.thread.start()
        while not canary.over.wait(BEAT):
            self.post.beat()
            if self.post.stopping and attempt is not None:
                attempt.grace = STOP_GRACE
                attempt.end(STOPPED, Outcome.LOST)
        if attempt is not None:
            attempt.thread.join()
        if canary.failed and not self.post.stopping:
            raise _unfit(canary)

    def _set_up(self) -> Setting:
        kind, level, missing = sandboxes.best(self.options.sandbox)
        setting = Setting(
            home=self.home, runner=self.name, options=self.options, repository=self._repository(), sandbox=kind, level=level, missing=missing
        )
        self._sweep(setting.work)
        if setting.own_uids:
            leased, self._holds = uids.lease(self.options.slots)
            self._uids = [*leased]
        else:
            self._uids = [None] * self.options.slots
        return setting

    def _repository(self) -> Repository:
        if is_url(self.options.repo):
            return mirror(self.options.repo, self.home.root / "repos" / _short(self.options.repo))
        return open_folder(Path(self.options.repo))

    def _sweep(self, work: Path) -> None:
        """Remove what earlier lives left behind."""
        for path in (work.parent, work):
            path.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                raise HomeError(f"{path} belongs to somebody else", "Remove it, or set QCITY_HOME to another folder")
            path.chmod(0o711)  # a job's uid walks through and sees no names
        for folder in work.iterdir():
            sandboxes.release(folder)
            remove(folder)
        if work.is_relative_to(MOVED):
            write_atomic(work.parent / MARKER, os.fsencode(self.home.root))
        remove_orphans(MOVED)

    def _turn(self, setting: Setting, watcher: Watcher, canary: Canary) -> None:
        self.post.beat()
        self.post.facts.flush()
        for order in self.post.orders():
            self._obey(order, watcher)
        for token in [token for token, attempt in self.running.items() if attempt.over]:
            attempt = self.running.pop(token)
            attempt.thread.join()
            self._uids.append(attempt.uid)
        while self.queue and self._uids and not canary.failed:
            order = self.queue.popleft()
            self._begin(Attempt(order, setting, uid=self._uids.pop(0), report=self.post.facts.send, done=self.post.wake))
        if canary.due and not self.running and not self.post.stopping and (song := canary.attempt(self._uids[0], done=self.post.wake)) is not None:
            del self._uids[0]
            self._begin(song)

    def _begin(self, attempt: Attempt) -> None:
        self.running[attempt.order.token] = attempt
        attempt.thread.start()

    def _obey(self, order: Order, watcher: Watcher) -> None:
        if isinstance(order, Seen):
            watcher.seen(order.heads)
        elif isinstance(order, RunJob):
            if order.token not in self.known:
                self.known.add(order.token)
                self.queue.append(order)
        elif isinstance(order, CancelJob):
            self._cancel(order)

    def _cancel(self, order: CancelJob) -> None:
        if order.token in self.running:
            self.running[order.token].end(order.reason, order.outcome)
            return
        for waiting in [one for one in self.queue if one.token == order.token]:
            self.queue.remove(waiting)
            self.post.facts.send(JobEnded(token=order.token, at=now(), outcome=order.outcome, reason=order.reason))
        if order.token not in self.known:
            self.known.add(order.token)  # a run order that comes after its own cancellation is not obeyed
            self.post.facts.send(JobEnded(token=order.token, at=now(), outcome=order.outcome, reason=order.reason))

    def _finish(self) -> None:
        """Give every job its end, then go."""
        for order in self.queue:
            self.post.facts.send(JobEnded(token=order.token, at=now(), outcome=Outcome.LOST, reason=STOPPED))
        for attempt in self.running.values():
            attempt.grace = STOP_GRACE
            attempt.end(STOPPED, Outcome.LOST)
        while any(attempt.thread.is_alive() for attempt in self.running.values()):
            self.post.beat()
            for attempt in self.running.values():
                attempt.thread.join(0.1)
        self.post.close()


def _unfit(canary: Canary) -> Refused:
    return Refused(f"its canary failed {FAILURES} times in a row: {canary.wrong}", "It takes no jobs until the canary passes", permanent=False)


def _short(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]
