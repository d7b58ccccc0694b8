"""The bench of notebooks: ours beside papermill (its command, and warm), nbclient, nbconvert and jupyter-scheduler. `--quick` runs fewer.

Each contestant runs in a process of its own. It prints a table with ratios from this one run and asserts nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import nbformat
import psutil
import sqlalchemy as sa
from nbformat import v4

import qcity_nb
from qcity_nb.client.city import QCity
from qcity_nb.decide import runs as decide
from qcity_nb.decide import schedule as times
from qcity_nb.model.schedule import RunPlan, RunState, Schedule
from qcity_nb.store import runs, services
from qcity_nb.store.database import prepare, prepare_home
from qcity_nb.store.schema import flips

TINY = ("a = 1", "print('a is', a)", "a + 1")
HEAVY = ("a = 1", "import pandas as pd, plotly.graph_objects as go", "go.Figure(go.Bar(y=pd.Series(range(a + 3)).tolist())).to_json()[:20]")

WARM = """
import json, logging, sys, time
from concurrent.futures import ThreadPoolExecutor
asked = json.loads(sys.argv[1])
begin, cpu = time.monotonic(), time.process_time()
if asked["tool"] == "nbclient":
    import nbformat
    from nbclient import NotebookClient
    def run(number):
        nb = nbformat.read(asked["source"], as_version=4)
        NotebookClient(nb, kernel_name="python3").execute()
        nbformat.write(nb, asked["targets"][number])
else:
    import papermill
    logging.getLogger("papermill").setLevel(logging.ERROR)
    engine = "qcity" if asked["tool"] == "qcity" else None
    def run(number):
        papermill.execute_notebook(
            asked["source"], asked["targets"][number], parameters={"a": number}, engine_name=engine, progress_bar=False, **asked["more"]
        )
if asked["warm"]:
    run(0)
    begin = time.monotonic()
with ThreadPoolExecutor(asked["at_once"]) as pool:
    list(pool.map(run, range(len(asked["targets"]))))
import psutil
print(json.dumps({"seconds": time.monotonic() - begin, "written": psutil.Process().io_counters().write_chars}))
"""


SCHEDULER = """
import json, sys, time
from jupyter_scheduler.environments import StaticEnvironmentManager
from jupyter_scheduler.models import CreateJob
from jupyter_scheduler.orm import create_tables
from jupyter_scheduler.scheduler import Scheduler
def main():
    asked = json.loads(sys.argv[1])
    url = f"sqlite:///{asked['folder']}/jobs.db"
    create_tables(url)
    scheduler = Scheduler(root_dir=asked["folder"], environments_manager=StaticEnvironmentManager(), db_url=url)
    begin, how = time.monotonic(), {"input_uri": "in.ipynb", "runtime_environment_name": "python3", "output_formats": ["ipynb"]}
    left = {scheduler.create_job(CreateJob(name=f"j{one}", parameters={"a": one}, **how)) for one in range(asked["number"])}
    while left:
        states = {one: str(scheduler.get_job(one, False).status) for one in left}
        assert not [one for one in states.values() if "FAILED" in one]
        left = {one for one, state in states.items() if "COMPLETED" not in state}
        time.sleep(0.02)
    print(json.dumps({"seconds": time.monotonic() - begin}))
if __name__ == "__main__":
    main()
"""


class Room:
    """A folder with a notebook in it."""

    def __init__(self, folder: Path, *cells: str) -> None:
        self.folder, self.source = folder, folder / "in.ipynb"
        made = v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}})
        made.cells = [v4.new_code_cell(cell) for cell in cells]
        made.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(made, self.source)

    def targets(self, number: int) -> list[str]:
        return [str(self.folder / f"out-{one}.ipynb") for one in range(number)]

    def warm(self, tool: str, number: int, *, at_once: int = 1, warm: bool = True, **more: object) -> dict[str, float]:
        """Runs in one process that has imported what it needs."""
        asked = {"tool": tool, "source": str(self.source), "targets": self.targets(number), "at_once": at_once, "warm": warm, "more": more}
        return dict(spoken(WARM, asked))

    def command(self, number: int, *options: str) -> float:
        """Runs by papermill's command, one process each."""
        begin = time.monotonic()
        for one, target in enumerate(self.targets(number)):
            command = [sys.executable, "-m", "papermill", *options, "--no-progress-bar", "-p", "a", str(one), str(self.source), target]
            subprocess.run(command, check=True, capture_output=True)
        return time.monotonic() - begin

    def nbconvert(self, number: int) -> float:
        """Runs by `jupyter nbconvert --execute`."""
        begin = time.monotonic()
        for target in self.targets(number):
            command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", str(self.source), "--output", target]
            subprocess.run(command, check=True, capture_output=True)
        return time.monotonic() - begin


    def scheduler(self, number: int) -> float | None:
        """Jobs of jupyter-scheduler, all at once as it has them; None where it cannot be installed."""
        place = Path(os.environ.get("QCITY_BENCH_PEERS") or tempfile.gettempdir()) / "qcity-bench-scheduler"
        python = place / "bin/python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            done = subprocess.run([str(place / "bin/pip"), "install", "-q", "jupyter-scheduler", "ipykernel"], capture_output=True, check=False)
            if done.returncode:
                return None
        (self.folder / "scheduler.py").write_text(SCHEDULER)  # it starts its jobs by importing the program again
        command = [str(python), str(self.folder / "scheduler.py"), json.dumps({"folder": str(self.folder), "number": number})]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def spoken(code: str, asked: dict[str, object]) -> Any:
    """What a process said last."""
    done = subprocess.run([sys.executable, "-c", code, json.dumps(asked)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def shown(title: str, ours: float, others: dict[str, float], unit: str = "s") -> None:
    """One line: ours, and each other one with how many times ours it took."""
    cells = "  ".join(f"{name} {value:.2f} {unit} ({value / ours:.1f}x)" for name, value in others.items())
    print(f"{title:44} ours {ours:.2f} {unit}  {cells}", flush=True)


def tiny(folder: Path, number: int) -> None:
    room = Room(folder, *TINY)
    command, few = room.command(number), max(1, number // 5)
    others = {"papermill command": command, "papermill warm": room.warm("papermill", number)["seconds"]}
    others["nbclient warm"] = room.warm("nbclient", number)["seconds"]
    others |= {"nbconvert": room.nbconvert(few) * number / few} if importlib.util.find_spec("nbconvert") else {}
    scheduled = room.scheduler(number)
    others |= {} if scheduled is None else {"jupyter-scheduler": scheduled}
    shown(f"{number} tiny notebooks, one after another", room.warm("qcity", number)["seconds"], others)
    shown(f"{number} tiny notebooks, each by the command", room.command(number, "--engine", "qcity"), {"papermill command": command})


def heavy(folder: Path, number: int) -> None:
    room = Room(folder, *HEAVY)
    ours = room.warm("qcity", number, at_once=2)["seconds"]
    shown(f"{number} with pandas and plotly, two at a time", ours, {"papermill warm": room.warm("papermill", number, at_once=2)["seconds"]})


def many_cells(folder: Path, number: int) -> None:
    room = Room(folder, "a = 1", *["a += 1"] * (number - 1))
    plain = room.warm("nbclient", 1)["seconds"]
    ours, theirs = room.warm("qcity", 1)["seconds"], room.warm("papermill", 1)["seconds"]
    shown(f"a notebook of {number} cells", ours, {"papermill warm": theirs, "nbclient (plain execution)": plain})


def much_output(folder: Path, size: int) -> None:
    room = Room(folder, "a = 1", f"print('x' * {size})")
    written = {tool: room.warm(tool, 1, warm=False)["written"] / size for tool in ("qcity", "papermill")}
    shown(f"an output of {size / 1e6:.0f} MB: times written", written["qcity"], {"papermill": written["papermill"]}, "times")


def memory(folder: Path, number: int) -> None:
    wait = f"import pandas, plotly.graph_objects, time, os\nopen({str(folder)!r} + f'/up-{{os.getpid()}}', 'w').close()\n"
    wait += f"while os.path.exists({str(folder / 'go')!r}): time.sleep(0.05)"
    found: dict[str, float] = {}
    for tool in ("qcity", "papermill"):
        room = Room(folder, "a = 1", wait)
        (folder / "go").touch()
        asked = {"tool": tool, "source": str(room.source), "targets": room.targets(number), "at_once": number, "warm": False, "more": {}}
        with subprocess.Popen([sys.executable, "-c", WARM, json.dumps(asked)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while len(list(folder.glob("up-*"))) < number:
                time.sleep(0.05)
            tree = psutil.Process(process.pid).children(recursive=True)
            found[tool] = sum(one.memory_full_info().pss for one in tree) / (1 << 20)
            (folder / "go").unlink()
        for mark in folder.glob("up-*"):
            mark.unlink()
    shown(f"{number} live kernels with pandas and plotly", found["qcity"], {"papermill": found["papermill"]}, "MB")


def first_cell(folder: Path, rounds: int) -> None:
    found = {}
    for tool in ("qcity", "papermill"):
        room = Room(folder, f"import time; open({str(folder / 'began')!r}, 'a').write(f'{{time.time()}}\\n')")
        (folder / "began").unlink(missing_ok=True)
        code = WARM.replace("def run(number):\n        papermill", "def run(number):\n        asked['at'].append(time.time())\n        papermill")
        code = code.replace("begin, cpu =", "asked['at'] = []\nbegin, cpu =") + "\nprint(json.dumps(asked['at']))"
        asked = {"tool": tool, "source": str(room.source), "targets": room.targets(rounds), "at_once": 1, "warm": True, "more": {}}
        asked_at, began = spoken(code, asked), [float(line) for line in (folder / "began").read_text().split()]
        found[tool] = sorted(later - earlier for earlier, later in zip(asked_at, began, strict=True))[len(began) // 2] * 1000
    shown("from being asked to the first cell", found["qcity"], {"papermill warm": found["papermill"]}, "ms")


def by_the_worker(folder: Path, rounds: int) -> None:
    """From `city.notebooks.run` to the first line of the first cell: client, store, engine, worker, kernel."""
    began = folder / "began"
    room = Room(folder, f"import time; open({str(began)!r}, 'a').write(f'{{time.time()}}\\n')")
    waits = []
    with qcity_nb.open(folder / "home", say=lambda _: None) as city:
        city.notebooks.run(room.source).wait(60)
        for number in range(rounds):
            asked = time.time()
            city.notebooks.run(room.source).wait(60)
            waits.append(float(began.read_text().splitlines()[number + 1]) - asked)
        city.stop()
    waits.sort()
    middle, late = waits[rounds // 2] * 1000, waits[int(rounds * 0.95)] * 1000
    print(f"{'from a run being asked for to its first cell':44} p50 {middle:.0f} ms  p95 {late:.0f} ms")


def ten_thousand(folder: Path, number: int) -> None:
    """What deciding costs that has so many schedules: the next moment of all, and planning those of one minute."""
    store, _ = prepare(prepare_home(folder / "home"))
    now, plan = datetime.now(timezone.utc), RunPlan(notebook=str(folder / "in.ipynb"))
    with store.write() as connection:
        for one in range(number):
            schedule = Schedule(name=f"s{one}", plan=plan, cron=f"{one % 60} {one % 24} * * *")
            runs.put_schedule(connection, store.place, schedule, dealt=now, upcoming=times.upcoming(schedule, after=now), at=now)
    with store.read() as connection:
        soon = runs.next_moment(connection, store.place)
    assert soon is not None
    for title, at in (("what is next, none due", now), ("planning those of the next moment", soon)):
        spent = []
        for _ in range(50):
            begin = time.perf_counter()
            with store.read() as connection:
                runs.next_moment(connection, store.place)
                rows = runs.due(connection, store.place, now=at)
            for row in rows:
                decide.plan(row.schedule, dealt=row.dealt, now=at)
            spent.append((time.perf_counter() - begin) * 1000)
        spent.sort()
        print(f"{f'{number} schedules: {title}':60} p50 {spent[25]:.2f} ms  p95 {spent[47]:.2f} ms  ({len(rows)} due)")


LIVELY = """
import os, time
open(os.path.join(folder, "began"), "a").write(f"{run_id}\\n")
"""
WORKS = "time.sleep(0.2)"
ENDS = "open(os.path.join(folder, 'ended'), 'a').write(f'{run_id}\\n')"


def killed(folder: Path, kills: int, wanted: int) -> None:
    """Schedules of every second while the engine, the worker and kernels are killed: what became of each run."""
    room = Room(folder, f"folder = {str(folder)!r}\nrun_id = 0", LIVELY, WORKS, ENDS)
    dice, done = random.Random(1), {"engine": 0, "worker": 0, "kernel": 0}
    with qcity_nb.open(folder / "home", say=lambda _: None) as city:
        for number in range(4):
            city.notebooks.schedule(room.source, "* * * * * *", name=f"s{number}", catch_up="all", max_parallel=2, retries=2, backoff=0.1)
        while sum(done.values()) < kills or _planned(city) < wanted:
            time.sleep(dice.uniform(0.2, 1.0))
            city.link.ensure()
            victim = dice.choice(list(done)) if sum(done.values()) < kills else ""
            pid = {"engine": _engine, "worker": _worker, "kernel": _a_kernel}[victim](city) if victim else None
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    done[victim] += 1
        for number in range(4):
            city.notebooks.schedules.pause(f"s{number}")
        city.notebooks.wait(600)
        rows = city.notebooks.rows(limit=10 * wanted)
        ends = _ends(city)
        city.stop()
    states = Counter(row.state.value for row in rows)
    moments = {name: sorted(row.at for row in rows if row.schedule == name) for name in sorted({row.schedule for row in rows})}
    gaps = sum((last - first).total_seconds() + 1 - len(set(found)) for found in moments.values() for first, last in [(found[0], found[-1])])
    executed = Counter((folder / "ended").read_text().split())
    print(f"{len(rows)} runs of 4 schedules, killed: {done}")
    print(f"  ended: {dict(states)}; moments that vanished: {gaps:.0f}; runs that are not over: {sum(not row.state.over for row in rows)}")
    twice, again = (sum(count > 1 for count in counts.values()) for counts in (ends, executed))
    print(f"  finished twice: {twice}; their last cell ran again: {again}")
    lasts = [row for row in rows if row.state.value == "lost"]
    print(f"  lost, each with its reason: {sorted({row.reason for row in lasts})}")


def _planned(city: QCity) -> int:
    return len(city.notebooks.rows(limit=100_000))


def _engine(city: QCity) -> int | None:
    return city.status().engine.pid


def _worker(city: QCity) -> int | None:
    with city.link.read() as connection:
        return next((row.pid for row in services.all_of(connection, city.link.place) if row.name == "notebooks"), None)


def _a_kernel(city: QCity) -> int | None:
    """The pid of one that runs, or that begins to within a second."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        worker = _worker(city)
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(worker).children(recursive=True) if worker else []
            if kernels := [one.pid for one in below if one.ppid() != worker]:  # children of the zygote
                return random.choice(kernels)
        time.sleep(0.02)
    return None


def _ends(city: QCity) -> Counter[str]:
    """How often the audit saw each run come to an end."""
    over = {state.value for state in RunState if state.over}
    with city.link.read() as connection:
        query = sa.select(flips.c.reason).where(flips.c.about == "run", flips.c.new.in_(over))
        return Counter(reason.partition(":")[0] for reason in connection.execute(query).scalars() if reason.startswith("run "))


def main() -> int:
    """Print each line as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer notebooks")
    parser.add_argument("--only", default="", help="the scene of this name")
    asked = parser.parse_args()
    small = asked.quick
    scenes: dict[str, Callable[[Path], None]] = {
        "tiny": lambda folder: tiny(folder, 5 if small else 20),
        "heavy": lambda folder: heavy(folder, 6 if small else 20),
        "cells": lambda folder: many_cells(folder, 100 if small else 500),
        "output": lambda folder: much_output(folder, 5_000_000 if small else 50_000_000),
        "memory": lambda folder: memory(folder, 3 if small else 8),
        "first": lambda folder: first_cell(folder, 5 if small else 20),
        "worker": lambda folder: by_the_worker(folder, 5 if small else 40),
        "schedules": lambda folder: ten_thousand(folder, 1000 if small else 10_000),
        "killed": lambda folder: killed(folder, 10 if small else 100, 40 if small else 400),
    }
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    for name, scene in scenes.items():
        if asked.only in name:
            folder = Path(tempfile.mkdtemp(prefix="qcity-bench-"))
            try:
                scene(folder)
            finally:
                shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
