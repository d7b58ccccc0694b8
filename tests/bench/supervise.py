"""The bench: ours beside supervisord and circus, on the same machine, the same services, in one run. `python tests/bench/supervise.py [--quick]`.

It prints a table with ratios and asserts nothing: figures belong to the machine they were taken on. Peers are installed at first use.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from contestants import Circus, Contestant, Ours, Supervisord, alive, kill, wait_for

from qcity_nb.io.files import is_locked
from qcity_nb.io.spool import ring
from qcity_nb.store import commands
from qcity_nb.store.database import Store
from qcity_nb.testing.real_engine import COMET

ALL: tuple[type[Contestant], ...] = (Ours, Supervisord, Circus)
SERVICE = 'echo $$ >> "$1"\nexec sleep 100000\n'
TALKER = 'echo $$ >> "$1"\nwhile :; do echo well; sleep 0.3; done\n'
CRASHER = 'echo $$ >> "$1"\nexit 1\n'
Row = tuple[str, dict[str, str]]


class Stage:
    """A folder with services that write down their births."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("service", SERVICE), ("talker", TALKER), ("crasher", CRASHER)):
            (folder / f"{name}.sh").write_text(text)
        (folder / "comet.py").write_text(COMET)

    def command(self, name: str, script: str = "service") -> list[str]:
        """A service that does nothing, noisily or not, or crashes."""
        return ["/bin/sh", str(self.folder / f"{script}.sh"), str(self.folder / name)]

    def births(self, name: str) -> list[int]:
        """The pids that a service has had."""
        with contextlib.suppress(FileNotFoundError):
            return [int(line) for line in (self.folder / name).read_text().split()]
        return []

    def copies(self, name: str) -> list[int]:
        """Those of them that live."""
        return [pid for pid in self.births(name) if alive(pid)]


@contextlib.contextmanager
def on_stage(kind: type[Contestant], count: int, *, scripts: dict[str, str] | None = None, **more: object) -> Iterator[tuple[Contestant, Stage]]:
    """A contestant that is up with `count` services, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="qb-"))
    stage = Stage(folder)
    wanted = {f"s{number}": stage.command(f"s{number}") for number in range(count)}
    wanted |= {name: ["/nonexistent/agent"] if script == "bad" else stage.command(name, script) for name, script in (scripts or {}).items()}
    if kind is Ours:
        more["careful"] = frozenset(scripts or {})
    contestant = kind(folder / "contestant", wanted, **more)  # type: ignore[call-arg]  # only ours has options
    try:
        contestant.start()
        for number in range(count):
            assert wait_for(lambda name=f"s{number}": stage.copies(name)) < float("inf"), f"{kind.name} did not start s{number}"
        time.sleep(2.5)  # supervisord takes a service for started after a second
        yield contestant, stage
    finally:
        contestant.end()
        shutil.rmtree(folder, ignore_errors=True)


def ms(values: Sequence[float]) -> str:
    """Median and 95th percentile, in milliseconds."""
    ordered = sorted(values)
    if not ordered or ordered[-1] == float("inf"):
        return "never" if not ordered or ordered[0] == float("inf") else f"{statistics.median(ordered) * 1000:.0f} / never"
    return f"{statistics.median(ordered) * 1000:.0f} / {ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))] * 1000:.0f}"


def killed_to_running(contestant: Contestant, stage: Stage, names: Sequence[str], rounds: int) -> list[float]:
    """From kill -9 of a service to its new process."""
    took = []
    for number in range(rounds):
        name = names[number % len(names)]
        wait_for(lambda name=name: stage.copies(name))
        old = stage.births(name)
        kill(old[-1])
        took.append(wait_for(lambda name=name, old=old: len(stage.births(name)) > len(old), seconds=15))
        time.sleep(random.random() * 0.05 + (1.2 if contestant.name == "supervisord" else 0.05))  # else it is killed before it counts as started
    return took


def measure_kills(kind: type[Contestant], *, quick: bool) -> str:
    """One row."""
    with on_stage(kind, 5) as (contestant, stage):
        return ms(killed_to_running(contestant, stage, [f"s{n}" for n in range(5)], (50 if quick else 200) if kind is Ours else 10 if quick else 30))


def measure_freeze(kind: type[Contestant], *, quick: bool) -> str:
    """From SIGSTOP of a service that had been talking to its new process. Ours is told that three seconds of silence are too many."""
    with on_stage(kind, 0, scripts={"talker": "talker"}, **({"silent_after": 3.0} if kind is Ours else {})) as (_contestant, stage):
        took = []
        for _ in range(2 if quick else 5):
            wait_for(lambda: stage.copies("talker"))
            time.sleep(2)
            before = stage.births("talker")
            kill(before[-1], signal.SIGSTOP)
            took.append(wait_for(lambda before=before: len(stage.births("talker")) > len(before), seconds=12 if kind is not Ours else 40))
            kill(before[-1])
            if took[-1] == float("inf"):
                break
        return "never (12 s)" if took[-1] == float("inf") else ms(took)


def usage(pids: Sequence[int]) -> tuple[float, float, float]:
    """CPU seconds so far, PSS and RSS in MB."""
    cpu = pss = rss = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                pss += int(line.split()[1]) / 1024 if line.startswith("Pss:") else 0
                rss += int(line.split()[1]) / 1024 if line.startswith("Rss:") else 0
    return cpu, pss, rss


def measure_idle(kind: type[Contestant], count: int, *, quick: bool) -> str:
    """CPU % of one core, PSS and RSS in MB, of the supervisor and its helpers."""
    with on_stage(kind, count) as (contestant, _stage):
        time.sleep(3)
        pids, seconds = contestant.own(), 10 if quick else 30
        before = usage(pids)[0]
        time.sleep(seconds)
        cpu, pss, rss = usage(pids)
        return f"{(cpu - before) / seconds * 100:.2f} % {pss:.0f} / {rss:.0f} MB"


def measure_comets(kind: type[Contestant], *, quick: bool) -> str:
    """Stops of trees that fork and exit for ever: how many go on (a counter that moves is the proof)."""
    count = (20 if quick else 100) if kind is Ours else 5
    folder = Path(tempfile.mkdtemp(prefix="qb-"))
    Stage(folder)
    survivors = 0
    wanted = {f"c{n}": [sys.executable, "-I", "-S", str(folder / "comet.py"), str(folder / f"c{n}.count")] for n in range(count)}
    batch = 2  # more of them at once leave no processor for anybody
    for first in range(0, count, batch):
        some = dict(list(wanted.items())[first : first + batch])
        contestant = kind(folder / f"contestant-{first}", some)
        try:
            contestant.start()
            counters = {name: folder / f"{name}.count" for name in some}
            for path in counters.values():
                wait_for(lambda path=path: path.exists() and path.stat().st_size)
            for name in some:
                contestant.stop(name)
            time.sleep(3.0)
            before = {name: path.read_bytes() for name, path in counters.items()}
            time.sleep(0.5)
            survivors += sum(path.read_bytes() != before[name] for name, path in counters.items())
        finally:
            contestant.end()
    shutil.rmtree(folder, ignore_errors=True)
    return f"{survivors} of {count}"


def measure_supervisor_killed(kind: type[Contestant], *, quick: bool) -> str:
    """Kill -9 of the supervisor, half of the times right after it had to start something, then two are started at once (peers: one)."""
    rounds = (20 if quick else 300) if kind is Ours else 3
    doubled = lost = 0
    settled: list[float] = []
    names = [f"s{n}" for n in range(5)]
    with on_stage(kind, 5) as (contestant, stage):
        for number in range(rounds):
            if number % 2:
                kill(stage.copies(random.choice(names))[-1])
                time.sleep(random.random() * 0.05)
            begin = time.perf_counter()
            bring_back(contestant, twice=kind is Ours)
            wait_for(lambda: all(stage.copies(name) for name in names), seconds=20)
            settled.append(time.perf_counter() - begin)
            time.sleep(1.5 if kind is not Ours else 0.05)
            doubled += sum(len(stage.copies(name)) > 1 for name in names)
            lost += sum(not stage.copies(name) for name in names)
    return f"{doubled} doubled, {lost} lost of {rounds * 5}; settled {ms(settled)}"


def bring_back(contestant: Contestant, *, twice: bool) -> None:
    """Kill a supervisor, start it again; ours twice at once, and wait until one of the two is the engine."""
    if not isinstance(contestant, Ours):
        contestant.kill()
        contestant.again()
        time.sleep(2.5)
        return
    home, before = contestant.engine.home, contestant.engine.generation()
    kill(int(home.lock.read_text()))
    wait_for(lambda: not is_locked(home.lock) or contestant.engine.generation() > before)  # or one that was late for the last race is it already
    for _ in range(2 if twice else 1):
        contestant.engine.spawn()
    wait_for(lambda: contestant.engine.generation() > before)
    pid = int(home.lock.read_text())
    contestant.main = next(one for one in contestant.engine.started if one.pid == pid)  # it may be one that was late for an earlier race


def measure_commands(kind: type[Contestant], *, quick: bool) -> str:
    """From a client's request that a service end to its death."""
    count = 8 if quick else 40
    with on_stage(kind, count) as (contestant, stage):
        took = []
        for number in range(count):
            (pid,) = stage.copies(f"s{number}")
            begin = time.perf_counter()
            thread = threading.Thread(target=contestant.stop, args=(f"s{number}",))
            thread.start()
            wait_for(lambda pid=pid: not alive(pid), seconds=10)
            took.append(time.perf_counter() - begin)
            thread.join()
        return ms(took)


def measure_writers(kind: type[Contestant], *, quick: bool) -> str:
    """Twenty clients that insert commands at once, while the engine works: errors, and how long one waited."""
    if kind is not Ours:
        return "-"
    with on_stage(kind, 2) as (contestant, _stage):
        assert isinstance(contestant, Ours)
        took, failed, each = [], [], 10 if quick else 50

        def write() -> None:
            store = Store(contestant.store.home)
            for _ in range(each):
                begin = time.perf_counter()
                try:
                    with store.write() as connection:
                        commands.ask(connection, store.place, "runner.stop", "nobody", at=datetime.now(timezone.utc))
                    ring(store.home.doorbell)
                except Exception as error:  # noqa: BLE001  # whatever it is, it counts
                    failed.append(error)
                took.append(time.perf_counter() - begin)
            store.close()

        threads = [threading.Thread(target=write) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return f"{len(failed)} errors of {len(took)}; {ms(took)}"


def measure_neighbours(kind: type[Contestant], *, quick: bool) -> str:
    """A command that does not exist and a crash loop among twenty: what it does to the restarts of the others."""
    rounds = 10 if quick else 30
    with on_stage(kind, 18, scripts={"bad": "bad", "loop": "crasher"}) as (contestant, stage):
        return ms(killed_to_running(contestant, stage, [f"s{n}" for n in range(18)], rounds))


MEASURES: dict[str, Callable[..., str]] = {
    "kill -9 to running, ms p50 / p95": measure_kills,
    "freeze to replaced, ms p50 / p95": measure_freeze,
    "idle with 20: CPU, PSS / RSS": lambda kind, quick: measure_idle(kind, 20, quick=quick),
    "idle with 100: CPU, PSS / RSS": lambda kind, quick: measure_idle(kind, 100, quick=quick),
    "survivors of fork-and-exit trees": measure_comets,
    "supervisor killed -9": measure_supervisor_killed,
    "request to effect, ms p50 / p95": measure_commands,
    "20 clients writing, ms p50 / p95": measure_writers,
    "beside bad + crash loop, ms p50 / p95": measure_neighbours,
}


def ratio(ours: str, theirs: str) -> str:
    """How many times ours the other's first figure is; empty when one of them is no figure."""
    try:
        mine, other = float(ours.split(maxsplit=1)[0]), float(theirs.split(maxsplit=1)[0])
    except ValueError:
        return ""
    return f" ({other / mine:.1f}x)" if mine else ""


def main() -> int:
    """Run the chosen measures and print them as they come."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: some minutes")
    parser.add_argument("--only", default="", help="measures whose name contains this")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    asked = parser.parse_args()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # subreaper: orphans of the peers' services come here, to be ended
    random.seed(1)
    kinds = ALL[:1] if asked.ours else ALL
    print(f"{'':40}" + "".join(f"{kind.name:>44}" for kind in kinds), flush=True)
    for name, measure in MEASURES.items():
        if asked.only not in name:
            continue
        print(f"{name:40}", end="", flush=True)
        ours = ""
        for kind in kinds:
            try:
                found = measure(kind, quick=asked.quick)
            except Exception as error:  # noqa: BLE001  # a contestant that breaks is a result
                found = f"broke: {error!r:.40}"
            ours = ours or found
            print(f"{found + ('' if kind is Ours else ratio(ours, found)):>44}", end="", flush=True)
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
