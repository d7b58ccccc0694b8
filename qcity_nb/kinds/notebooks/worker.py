"""The worker that runs notebooks: one loop that beats and reads orders; each attempt has a thread, and its kernel is forked in milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import replace

import msgspec

from ...decide.runs import stricter
from ...io.post import Post
from ...model.home import Home
from ...model.schedule import RunState
from ...model.service import Sandbox
from ...model.wire import CancelRun, Hello, RunEnded, RunNotebook
from ..sandboxes.folders import roomy, swept
from . import kernels
from .attempt import STOPPED, Attempt, Parked, now
from .executors import Executors
from .shut import EVERYBODYS

KEPT = 3
"""Kernels that are kept at most."""


class Worker:
    """At work.

    Args:
        home: where everything lies.
        name: its service.
        incarnation: which life of the service this is.
        slots: how many notebooks run at once.
        sandbox: the weakest that any of them gets, whatever its plan says.
    """

    def __init__(self, home: Home, name: str, incarnation: int, *, slots: int, sandbox: Sandbox) -> None:
        self.home, self.name, self.incarnation, self.slots, self.sandbox = home, name, incarnation, slots, sandbox
        self.post = Post(home, name, incarnation)
        self.queue: deque[RunNotebook] = deque()
        self.running: dict[str, Attempt] = {}
        self.parked: dict[int, Parked] = {}
        self.known: set[str] = set()
        self.executors = Executors(home)

    def run(self) -> None:
        """Work until SIGTERM."""
        for place in (roomy(), EVERYBODYS):
            swept(place)
        self.post.listen()
        self.post.facts.send(Hello(sandbox="none"))
        while not self.post.stopping:
            self._turn()
            self.post.wait()
        self._finish()

    def _turn(self) -> None:
        self.post.beat()
        self.post.facts.flush()
        for order in self.post.orders():
            if isinstance(order, RunNotebook) and order.token not in self.known:
                self.known.add(order.token)
                plan = replace(order.plan, sandbox=stricter(order.plan.sandbox, self.sandbox))
                self.queue.append(msgspec.structs.replace(order, plan=plan))
            elif isinstance(order, CancelRun):
                self._cancel(order)
        for token in [token for token, attempt in self.running.items() if attempt.finished]:
            self._bury(self.running.pop(token))
        for number in [number for number, one in self.parked.items() if one.until <= time.monotonic()]:
            self._let_go(self.parked.pop(number))
        for order in list(self.queue):
            if self._has_room(order.plan.executor):
                self.queue.remove(order)
                self._begin(order)

    def _has_room(self, executor: str) -> bool:
        """Whether one more may begin here, or where this executor is: those runs cost this machine a thread only."""
        busy = sum(attempt.order.plan.executor == executor for attempt in self.running.values())
        return busy < (self.executors.room(executor) if executor else self.slots)

    def _begin(self, order: RunNotebook) -> None:
        parked = self.parked.pop(order.resumes, None) if order.resumes is not None else None
        report, done = self.post.facts.send, self.post.wake
        attempt = Attempt(order, self.home, parked=parked, report=report, done=done, executors=self.executors)
        self.running[order.token] = attempt
        attempt.thread.start()

    def _bury(self, attempt: Attempt) -> None:
        attempt.thread.join()
        if attempt.unused is not None:
            self._let_go(attempt.unused)
        if attempt.parks is not None:
            self.parked[attempt.order.run] = attempt.parks
            while len(self.parked) > KEPT:
                self._let_go(self.parked.pop(next(iter(self.parked))))

    def _let_go(self, parked: Parked) -> None:
        """End a kernel that nobody will go on with."""
        with contextlib.suppress(Exception):  # whatever is wrong with it, it dies with us at the latest
            asyncio.run(kernels.end(parked.kernel.km, None))
        parked.kernel.close.close()

    def _cancel(self, order: CancelRun) -> None:
        if order.token in self.running:
            self.running[order.token].end(order.reason)
            return
        waiting = [one for one in self.queue if one.token == order.token]
        for one in waiting:
            self.queue.remove(one)
        if waiting or order.token not in self.known:
            self.known.add(order.token)  # an order that comes after its own cancellation is not obeyed
            self.post.facts.send(RunEnded(token=order.token, at=now(), state=RunState.CANCELLED, reason=order.reason))

    def _finish(self) -> None:
        """Give every run its end, then go."""
        for order in self.queue:
            self.post.facts.send(RunEnded(token=order.token, at=now(), state=RunState.LOST, reason=STOPPED))
        for attempt in self.running.values():
            attempt.end(STOPPED)
        while any(attempt.thread.is_alive() for attempt in self.running.values()):
            self.post.beat()
            for attempt in self.running.values():
                attempt.thread.join(0.1)
        for parked in self.parked.values():
            self._let_go(parked)
        self.executors.close()
        self.post.close()
