"""A simulation that plays in real time: `python -m qcity_nb.demo.theatre --home H` in an engine's place.

The engine, its decisions and its store are the real ones; the machine, its processes, commits and jobs are those of `testing.World`. Some minutes
are played at once, so that there is something to see; from then on a second is a second. What a person asks for in it is done in it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec

from ..errors import QCityError
from ..model.schedule import RunPlan, Schedule
from ..model.work import BuildPlan, JobPlan, Outcome
from ..store import services
from ..testing.machine import Program
from ..testing.world import World
from .simulate import BEFORE, HOST

RUNNERS = {"linux-1": "local", "linux-2": "local", "linux-3": "local", "gpu-1": "local", "docs": "local", "agent-7": "command"}
LIFE = timedelta(hours=2)
"""So long it plays at most: nobody has to end it."""
STEP = 2.0
"""Seconds between two rounds while what was before is played."""
FRAME = 0.25
"""Real seconds between two rounds: what a person asks for is answered within them."""
REPORT = Schedule(name="health report", plan=RunPlan(notebook="/simulated/health_report.ipynb"), cron="*/10 * * * *")
SUBJECTS = ("Parse dates with a zone", "Retry on 503", "Drop Python 3.9", "Faster start", "Fix a typo", "Cache the wheel", "Say what is missing")
SECONDS = {"build": 9.0, "lint": 4.0, "test": 21.0, "package": 6.0}


class Play:
    """What happens on the stage, by the world's own dice.

    Args:
        world: with its engine.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._due: list[tuple[datetime, Callable[[], None]]] = []

    def open(self) -> None:
        """Everybody in their place."""
        world = self.world
        world.boot()
        with world.client.read() as connection:
            known = {row.name for row in services.all_of(connection, world.client.place)}
        for name in RUNNERS:
            if name not in known:
                world.start_runner(name)
        world.ask("schedule.put", REPORT.name, {**msgspec.to_builtins(REPORT), "fresh": False})
        for seconds, act in ((5, self.push), (140, self.kill), (260, self.crash), (400, self.freeze), (700, self.flaw)):
            self._again(act, seconds)

    def until(self, moment: datetime) -> None:
        """Play until then (steady clock)."""
        clock = self.world.clock
        while (left := (moment - clock.now()).total_seconds()) > 0:
            clock.advance(min(left, STEP))
            for at, act in sorted(self._due, key=lambda one: one[0]):
                if at <= clock.now():
                    self._due.remove((at, act))
                    act()
            self.world.tick()

    def push(self) -> None:
        """Somebody pushes: a build whose jobs take seconds, one of which fails at times."""
        chance, world = self.world.random, self.world
        name = chance.choice([one for one, kind in RUNNERS.items() if kind == "local"])
        legs = [JobPlan(key="test", name=f"test (py {version})", needs=("build",), leg={"py": version}) for version in ("3.10", "3.11", "3.12")]
        jobs = (JobPlan(key="lint", name="lint"), JobPlan(key="build", name="build"), *legs, JobPlan(key="package", name="package", needs=("test",)))
        sha, ref = f"{chance.getrandbits(160):040x}", chance.choice(("refs/heads/main", "refs/heads/main", "refs/heads/next"))
        repository = world.wire.repositories[name]
        repository.seconds = {key: seconds * chance.uniform(0.7, 1.6) for key, seconds in SECONDS.items()}
        repository.outcomes = {"test": Outcome.FAILURE} if chance.random() < 0.12 else {"lint": Outcome.FAILURE} if chance.random() < 0.06 else {}
        subject = chance.choice(SUBJECTS)
        repository.commit(BuildPlan(sha=sha, ref=ref, workflow=".github/workflows/ci.yml", name="ci", subject=subject, author="Ada", jobs=jobs))
        self._again(self.push, chance.uniform(15, 70))

    def kill(self) -> None:
        """Kill -9 from outside."""
        self.world.machine.kill(self.world.random.choice(list(RUNNERS)), 9)
        self._again(self.kill, self.world.random.uniform(200, 500))

    def freeze(self) -> None:
        """SIGSTOP: alive and silent."""
        self.world.machine.freeze("linux-3")
        self._again(self.freeze, self.world.random.uniform(600, 1500))

    def crash(self) -> None:
        """A program that ends by itself for some minutes, until it is in quarantine; then somebody has mended it."""
        self.world.machine.programs["agent-7"] = Program(lives=timedelta(seconds=8), code=1, says="Error: connection to the scheduler was refused")
        self.world.machine.kill("agent-7", 15)
        self._again(self.mend, 420)

    def mend(self) -> None:
        """It is well again, and a person starts it."""
        self.world.machine.programs["agent-7"] = Program()
        self.world.ask("runner.start", "agent-7", {"kind": RUNNERS["agent-7"], "options": {"slots": 2}})
        self._again(self.crash, self.world.random.uniform(900, 1800))

    def flaw(self) -> None:
        """The worker of one runner says that its repository cannot be read, and after a while that it can."""
        self.world.wire.complain("docs", "the repository cannot be read: the host is not reachable")
        self._again(lambda: self.world.wire.complain("docs", ""), 90)
        self._again(self.flaw, self.world.random.uniform(1200, 2400))

    def _again(self, act: Callable[[], None], seconds: float) -> None:
        self._due.append((self.world.clock.now() + timedelta(seconds=seconds), act))


def serve(home: Path, stop: threading.Event) -> int:
    """Play at a home until somebody stops it; the exit code."""
    begin = datetime.now(timezone.utc)
    given: dict[str, Any] = {"runners": RUNNERS, "host": HOST, "holder": f"{os.uname().nodename}:{os.getpid()}"}
    world = World(home, int(begin.timestamp()), begin=begin - BEFORE, **given)
    try:
        with world.client.read() as connection:
            if services.all_of(connection, world.client.place):  # it played here before: no past is played again
                world.clock.advance_to(begin)
        play = Play(world)
        play.open()
        while not stop.wait(FRAME) and world.engine is not None and not world.engine.over:
            now = datetime.now(timezone.utc)
            if now - begin > LIFE or not home.is_dir():
                break
            play.until(now)  # both clocks of the world show real time by now
    finally:
        world.leave()
    return 0


def main() -> int:
    """Run the simulation of a home; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m qcity_nb.demo.theatre", description="Play a simulation at a home.")
    parser.add_argument("--home", required=True, type=Path)
    asked = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        return serve(asked.home, stop)
    except QCityError as error:
        sys.stderr.write(f"qcity: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
