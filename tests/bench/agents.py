"""The bench of agents: ours beside `run.sh` and the shipped service loop, one fault script for all. `python tests/bench/agents.py [--quick]`.

Time is played faster for all of them alike (`--speed`): what waits for minutes waits for a part of them, what costs a processor costs what it costs.
It prints a table and asserts nothing: figures belong to the machine they were taken on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import requests

import qcity_nb
from qcity_nb.decide import symptoms
from qcity_nb.errors import QCityError
from qcity_nb.io.files import is_locked
from qcity_nb.model.service import RestartPolicy
from qcity_nb.testing.agents import package
from qcity_nb.testing.github import FakeGitHub

REPO, NAME = "octo/bench", "bench"
LIMIT = 14.0
"""Real seconds that a contestant gets to come back."""


class Contestant:
    """One runner under one loop, on a GitHub of its own."""

    label = ""

    def __init__(self, folder: Path, github: FakeGitHub, token: str, speed: float) -> None:
        self.folder, self.github, self.token, self.speed = folder, github, token, speed
        self.born = time.time()

    def start(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def pid(self) -> int | None:
        """The listener that lives."""
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or ())
            if str(self.folder) in words and "Runner.Listener" in words and " run" in words:
                return process.pid
        return None

    def noticed(self, before: int | None) -> bool:
        """Whether it has begun to act."""
        return self.pid() not in (None, before)

    def session(self) -> str:
        """The session by which the platform hears a runner of it; empty when it hears none."""
        for one in self.github.runners(REPO):
            if one.session and self.github.online(REPO, one.name):
                return str(one.session)
        return ""

    def fault(self, **told: object) -> None:
        """Have the listener do something wrong now."""
        self.github.push(REPO, NAME, "Fault", told)


class Loop(Contestant):
    """A loop that GitHub ships."""

    script = ""

    def start(self) -> None:
        root = self.folder / "agent"
        package.install(root)
        url = f"{self.github.url}/repos/{REPO}/actions/runners/registration-token"
        given = requests.post(url, headers={"Authorization": f"Bearer {self.token}"}, timeout=10).json()["token"]
        argv = ["bin/Runner.Listener", "configure", "--unattended", "--url", f"{self.github.root}/{REPO}", "--name", NAME, "--work", "_work"]
        env = {**os.environ, "SCRIPTED_AGENT_SCALE": str(1 / self.speed), "RUNNER_ALLOW_RUNASROOT": "1"}
        configured = {**env, "ACTIONS_RUNNER_INPUT_TOKEN": given}
        subprocess.run([str(root / argv[0]), *argv[1:]], cwd=root, env=configured, check=True, capture_output=True)
        null = subprocess.DEVNULL
        self.loop = subprocess.Popen([str(root / self.script)], cwd=root, env=env, stdout=null, stderr=null, start_new_session=True)

    def end(self) -> None:
        tree = [self.loop.pid, *(one.pid for one in psutil.Process(self.loop.pid).children(recursive=True))]
        for pid in filter(None, [*tree, self.pid()]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.loop.wait()


class RunSh(Loop):
    """`run.sh`."""

    label, script = "run.sh", "run.sh"


class Shipped(Loop):
    """The loop of the service that `svc.sh install` makes."""

    label, script = "service loop", "runsvc.sh"


class Ours(Contestant):
    """What this project does."""

    label = "ours"

    def start(self) -> None:
        tempo = {"SPEED": self.speed, "LOOK": max(0.1, 5 / self.speed), "POLL": max(0.5, 60 / self.speed)}
        os.environ |= {f"QCITY_ATTENDANT_{key}": str(value) for key, value in tempo.items()}
        os.environ |= {"QCITY_GITHUB_TOKEN": self.token, "SCRIPTED_AGENT_SCALE": str(1 / self.speed)}
        self.city = qcity_nb.open(self.folder / "home", say=lambda _: None)
        policy = RestartPolicy(base=timedelta(seconds=5 / self.speed))
        options = {"repo": REPO, "url": self.github.root, "allow_root": os.geteuid() == 0, "ephemeral": False}
        self.city.runners.start("github", NAME, policy=policy, grace=1.0, **options)

    def end(self) -> None:
        with contextlib.suppress(QCityError):
            self.city.stop()
        end = time.monotonic() + 60
        while is_locked(self.city.link.store.home.lock) and time.monotonic() < end:
            time.sleep(0.05)
        self.city.close()

    def noticed(self, before: int | None) -> bool:
        return len(self.city.incidents) > 0 or super().noticed(before)


ALL: tuple[type[Contestant], ...] = (RunSh, Shipped, Ours)


@dataclass(frozen=True)
class Outcome:
    """What came of one fault: seconds until it was acted on and until it ran again; None where that did not happen. Then a job was done, or not."""

    noticed: float | None
    again: float | None
    worked: bool


@contextlib.contextmanager
def stage(kind: type[Contestant], speed: float) -> Iterator[Contestant]:
    """A contestant that is up."""
    with tempfile.TemporaryDirectory(prefix="qcity-bench-") as folder, FakeGitHub(base="/api/v3", lenient=True, validate=False) as github:
        github.repository(REPO)
        github.offer(package.archive())
        github.rules.offline_after, github.rules.session_life = timedelta(seconds=1.5), timedelta(seconds=0.6)
        made = kind(Path(folder), github, github.token(), speed)
        try:
            made.start()
            wait(made.session, LIMIT)
            yield made
        finally:
            made.end()


def wait(what: Callable[[], object], seconds: float) -> float | None:
    """Seconds until something was true; None if it was not in time."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if what():
            return time.monotonic() - begun
        time.sleep(0.01)
    return None


def play(kind: type[Contestant], speed: float, fault: Callable[[Contestant], None]) -> Outcome:
    """One fault, from its blow to a job done afterwards."""
    with stage(kind, speed) as one:
        session, pid = one.session(), one.pid()
        begun = time.monotonic()
        fault(one)
        noticed: float | None = None

        def again() -> bool:
            nonlocal noticed
            if noticed is None and one.noticed(pid):
                noticed = time.monotonic() - begun
            return one.session() not in ("", session)

        came = None if wait(again, LIMIT) is None else time.monotonic() - begun
        job = one.github.queue_job(REPO, payload={"script": "true"})
        worked = wait(lambda: one.github.job(job).conclusion == "success", 6.0) is not None
        return Outcome(noticed, came, worked)


def killed(one: Contestant) -> None:
    """Kill -9, as the kernel does when memory is out."""
    os.kill(one.pid() or 0, signal.SIGKILL)


def stopped(one: Contestant) -> None:
    """SIGSTOP; then a job waits."""
    os.kill(one.pid() or 0, signal.SIGSTOP)
    wait(lambda: not one.session(), LIMIT)
    one.github.queue_job(REPO, payload={"script": "true"})


def silent(*, job: bool) -> Callable[[Contestant], None]:
    """The listener asks and says nothing any more, with or without a job that waits for it."""

    def strike(one: Contestant) -> None:
        one.fault(fault="silent")
        wait(lambda: not one.session(), LIMIT)
        if job:
            one.github.queue_job(REPO, payload={"script": "true"})

    return strike


def exits(code: int) -> Callable[[Contestant], None]:
    """The listener ends by itself."""
    return lambda one: one.fault(fault="exit", code=code)


def conflict(one: Contestant) -> None:
    """Killed, and its platform holds the old session for long."""
    one.github.rules.session_life = timedelta(seconds=300 / one.speed)
    killed(one)


def skewed(one: Contestant) -> None:
    """The clock is ten minutes off for a while, which looks like a deleted registration."""
    one.github.clock_offset = timedelta(minutes=10)
    one.github.rules.max_skew = timedelta(minutes=-1)
    killed(one)
    time.sleep(2.0)
    one.github.clock_offset = timedelta(0)
    one.github.rules.max_skew = timedelta(minutes=5)


FAULTS: dict[str, Callable[[Contestant], None]] = {
    "kill -9": killed,
    **{f"exit {code}": exits(code) for code in range(8)},
    "SIGSTOP, a job waits": stopped,
    "silent, a job waits": silent(job=True),
    "silent, no job": silent(job=False),
    "update that loops": lambda one: one.fault(fault="update_loops"),
    "registration deleted": lambda one: one.github.delete_runner(REPO, NAME),
    "session conflict": conflict,
    "clock off": skewed,
}


def healthy(kind: type[Contestant], speed: float, seconds: float) -> str:
    """False repairs while nothing is wrong: jobs come and go."""
    with stage(kind, speed) as one:
        session, false, end = one.session(), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            job = one.github.queue_job(REPO, payload={"script": "sleep 0.1"})
            wait(lambda job=job: one.github.job(job).status == "completed", 10)
            now = one.session()
            false, session = false + (now not in ("", session)), now or session
        return f"{false} in {seconds * speed / 3600:.1f} h"


def shown(found: list[Outcome]) -> str:
    """One cell: acted on, running again (median and 95th), how many did a job afterwards."""
    noticed = [one.noticed for one in found if one.noticed is not None]
    again = sorted(one.again for one in found if one.again is not None)
    high = again[min(len(again) - 1, round(0.95 * (len(again) - 1)))] if again else 0.0
    seen = f"{statistics.median(noticed):.2f} s" if noticed else "never"
    back = f"{statistics.median(again):.2f}/{high:.2f} s" if again else "never"
    return f"{seen:>8}, {back:>13}, {sum(one.worked for one in found)}/{len(found)}"


def main() -> int:
    """Play the script and print each line as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of each fault: some minutes")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--speed", type=float, default=240.0, help="how much faster time passes")
    asked = parser.parse_args()
    rounds = 1 if asked.quick else 3
    print(f"time is played {asked.speed:.0f} times faster; seconds are real: acted on, running again p50/p95, did a job afterwards")
    print(f"a zombie is found after {symptoms.WAITING_SILENCE} with a job that waits, {symptoms.IDLE_SILENCE} without (counted time)")
    print(f"{'':24}" + "".join(f"{kind.label:>36}" for kind in ALL), flush=True)
    mended = dict.fromkeys(ALL, 0)
    names = [name for name in FAULTS if asked.only in name]
    for name in names:
        print(f"{name:24}", end="", flush=True)
        for kind in ALL:
            found = [play(kind, asked.speed, FAULTS[name]) for _ in range(rounds * (4 if name == "kill -9" and not asked.quick else 1))]
            mended[kind] += all(one.worked for one in found)
            print(f"{shown(found):>36}", end="", flush=True)
        print(flush=True)
    print(f"{'repaired':24}" + "".join(f"{f'{mended[kind]} of {len(names)}':>36}" for kind in ALL), flush=True)
    if not asked.only:
        print(f"{'false repairs':24}" + "".join(f"{healthy(kind, asked.speed, 10 if asked.quick else 30):>36}" for kind in ALL), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
