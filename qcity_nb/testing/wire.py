"""The wire of a simulated machine, and the workers at its other end: they beat, find commits, run jobs and report, and die with their process.

Like the real ones they may be told a thing twice and may say a thing twice.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ..model.wire import BuildFound, CancelJob, Fact, Hello, JobBegan, JobEnded, JobMoved, Order, RunJob, Seen, Trouble
from ..model.work import BuildPlan, Outcome, Step
from . import pilots
from .desk import NAME, Execution, FakeDesk
from .machine import Machine, Tree
from .pilots import FakePilots

OWN = frozenset({NAME, pilots.NAME})
"""Services of our own that speak, and take no jobs."""
BEAT = timedelta(seconds=5)


@dataclass
class Attempt:
    """One run of a job by a worker: what the oracles look at. `outcome` is None when it died with its worker."""

    service: str
    incarnation: int
    job: int
    attempt: int
    token: str
    key: str
    began: datetime
    due: datetime
    over: datetime | None = None
    outcome: Outcome | None = None


@dataclass
class Repository:
    """The commits that workers of one runner see, newest last, and how their jobs go: by job key, else success after three seconds."""

    commits: list[BuildPlan] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    def commit(self, plan: BuildPlan) -> None:
        """Push a commit."""
        self.commits.append(plan)


class FakeWire:
    """The `Wire` of a simulated machine. It outlives the engines, as the files of the real one do.

    Args:
        machine: where the workers' processes live.
        works: the services whose processes are workers.
    """

    def __init__(self, machine: Machine, works: set[str] | None = None) -> None:
        self.machine = machine
        self.works = works if works is not None else set()
        self.repositories: dict[str, Repository] = defaultdict(Repository)
        self.attempts: list[Attempt] = []
        self.orders: dict[tuple[str, int], list[Order]] = defaultdict(list)
        self.facts: dict[tuple[str, int], list[Fact]] = defaultdict(list)
        self.repeat_facts = False  # say everything twice, as after a crash
        self.lose_orders = False  # a worker that never gets what it is told
        self.remembers = True  # a planted bug sets this to False: workers run what they have run already
        self.desk = FakeDesk(machine, self._say)
        self.pilots = FakePilots(machine, self._say)
        self._tokens: dict[tuple[str, int], set[str]] = defaultdict(set)
        self._running: dict[tuple[str, int], dict[str, Attempt]] = defaultdict(dict)
        self._found: dict[tuple[str, int], int] = {}
        self._read: dict[tuple[str, int], int] = defaultdict(int)
        machine.on_birth.append(self._born)
        machine.on_death.append(self._dead)

    def send(self, name: str, incarnation: int, order: Order) -> None:
        """Tell a worker something."""
        self.machine.fuse.at(f"before order to {name}")
        self.orders[name, incarnation].append(order)
        self.work()
        self.machine.fuse.at(f"after order to {name}")

    def receive(self, name: str, incarnation: int, offset: int) -> tuple[list[Fact], int]:
        """What a worker said after `offset`, and the new offset."""
        self.work()
        facts = self.facts[name, incarnation][offset:]
        return facts, offset + len(facts)

    def sign(self, name: str, *, beats: bool) -> int:
        """A number that changes with each sign of life: every five seconds of a process that is alive, awake and not silent."""
        tree = self.machine.last(name)
        if tree is None:
            return 0
        until = tree.frozen or tree.died or self.machine.clock.now()
        steps = 0 if tree.program.silent else (until - tree.born) // BEAT + 1
        return tree.incarnation * 1_000_000_000 + steps

    def words(self, name: str) -> list[str]:
        """The last line of the service's log, if there is one."""
        tree = self.machine.last(name)
        return [tree.program.says] if tree and tree.program.says else []

    def work(self) -> None:
        """Let the workers do what is due until now."""
        self.machine.settle()
        now = self.machine.clock.now()
        for tree in self.machine.running():
            if not self._is_worker(tree) or tree.frozen:
                continue
            self._read_orders((tree.service, tree.incarnation))
            if tree.service == NAME:
                self.desk.work((tree.service, tree.incarnation))
            if tree.service in OWN:
                continue
            for attempt in list(self._running[tree.service, tree.incarnation].values()):
                if attempt.due <= now:
                    self._finish(attempt, self.repositories[tree.service].outcomes.get(attempt.key, Outcome.SUCCESS))
            self._look_for_commits(tree)

    def next_event(self) -> datetime | None:
        """When a job will be done."""
        trees = [tree for tree in self.machine.running() if not tree.frozen]
        jobs = [attempt.due for tree in trees for attempt in self._running[tree.service, tree.incarnation].values()]
        return min([*jobs, *(due for tree in trees if tree.service == NAME for due in self.desk.due((NAME, tree.incarnation)))], default=None)

    def running(self) -> list[Attempt | Execution]:
        """The attempts and the notebooks that run now."""
        return [*self.desk.running(), *(attempt for attempt in self.attempts if attempt.over is None)]

    def _say(self, key: tuple[str, int], fact: Fact) -> None:
        self.facts[key].extend([fact, fact] if self.repeat_facts else [fact])

    def _born(self, tree: Tree) -> None:
        if self._is_worker(tree):
            self._say((tree.service, tree.incarnation), Hello(sandbox="full"))

    def _dead(self, tree: Tree) -> None:
        self.desk.die((tree.service, tree.incarnation))
        self.pilots.die((tree.service, tree.incarnation))
        for attempt in self._running.pop((tree.service, tree.incarnation), {}).values():
            attempt.over = self.machine.clock.now()

    def _is_worker(self, tree: Tree) -> bool:
        return tree.service in self.works or tree.service in OWN

    def _read_orders(self, key: tuple[str, int]) -> None:
        """What the worker was told since it last looked, or before it was born; an order to a dead one lies in its file unread."""
        unread = [] if self.lose_orders else self.orders[key][self._read[key] :]
        self._read[key] += len(unread)
        for order in unread:
            self._obey(key, order)

    def _obey(self, key: tuple[str, int], order: Order) -> None:
        if isinstance(order, Seen):
            commits = self.repositories[key[0]].commits
            seen = {(ref, sha) for ref, sha in order.heads.items()}
            self._found[key] = max((i + 1 for i, plan in enumerate(commits) if (plan.ref, plan.sha) in seen), default=0)
        elif isinstance(order, RunJob):
            self._begin(key, order)
        elif isinstance(order, CancelJob):
            running = self._running[key].get(order.token)
            if running is not None:
                self._finish(running, order.outcome)
        elif key[0] == pilots.NAME:
            self.pilots.obey(key, order)
        else:
            self.desk.obey(key, order)

    def _begin(self, key: tuple[str, int], order: RunJob) -> None:
        if self.remembers and order.token in self._tokens[key]:
            return
        self._tokens[key].add(order.token)
        now, repository = self.machine.clock.now(), self.repositories[key[0]]
        due = now + timedelta(seconds=repository.seconds.get(order.plan.key, 3.0))
        attempt = Attempt(key[0], key[1], order.job, order.attempt, order.token, order.plan.key, began=now, due=due)
        self.attempts.append(attempt)
        self._running[key][order.token] = attempt
        self._say(key, JobBegan(token=order.token, at=self.machine.clock.wall(), sandbox="full", log=f"logs/{order.job}-{order.attempt}.log"))
        self._say(key, JobMoved(token=order.token, steps=(Step(number=1, name="work"),)))

    def _finish(self, attempt: Attempt, outcome: Outcome) -> None:
        key = (attempt.service, attempt.incarnation)
        del self._running[key][attempt.token]
        attempt.over, attempt.outcome = self.machine.clock.now(), outcome
        steps = (replace(Step(number=1, name="work"), outcome=outcome, seconds=(attempt.over - attempt.began).total_seconds()),)
        outputs = self.repositories[attempt.service].outputs.get(attempt.key, {})
        self._say(key, JobEnded(token=attempt.token, at=self.machine.clock.wall(), outcome=outcome, steps=steps, outputs=outputs))

    def _look_for_commits(self, tree: Tree) -> None:
        key = (tree.service, tree.incarnation)
        if key not in self._found:
            return  # it waits for `Seen`
        commits = self.repositories[tree.service].commits
        for plan in commits[self._found[key] :]:
            self._say(key, BuildFound(plan=plan))
        self._found[key] = len(commits)

    def complain(self, name: str, text: str) -> None:
        """Let a worker say that something outside its jobs is wrong; empty text: that it is well again."""
        tree = self.machine.last(name)
        if tree is not None and tree.alive:
            self._say((name, tree.incarnation), Trouble(about="repository", text=text))
