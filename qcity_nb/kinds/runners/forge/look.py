"""What this machine shows of an agent: its processes, its log's growth and meaning, its disk. Looking only; nothing is changed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psutil

from ....decide import agentlog
from ....io.files import tail
from ....model.agent import Clue
from ....model.home import Home
from ....model.service import Exit

MARKER = "qcity: life "
"""Our opener's first line in the service's log: what follows belongs to this life."""
OURS = "qcity: "
"""What our opener says begins so: it speaks of the agent, and is no word of its own."""
LOOKED_AT = 300
"""How many entries of a work folder are looked at for files of another user."""
DIAG_LINES = 400
TRACKING = "RUNNER_TRACKING_ID"


@dataclass
class Seen:
    """The processes of one agent."""

    alive: bool = False
    worker: bool | None = None
    connected: bool | None = None
    cpu_seconds: float = 0.0
    orphans: list[int] = field(default_factory=list)


def processes(pid: int | None, *, keeper: int | None = None) -> Seen:
    """What lives of an agent. A worker is what runs a job: `Runner.Worker` for GitHub, any child for gitlab-runner.

    Args:
        pid: the agent's own process.
        keeper: the parent of it and of what its jobs left behind; None when it is not ours.
    """
    seen = Seen()
    try:
        main = psutil.Process(pid) if pid else None
        if main is None or main.status() == psutil.STATUS_ZOMBIE:
            return seen
        seen.alive = True
        below = main.children(recursive=True)
    except psutil.Error:
        return seen
    words = {child.pid: _words(child) for child in below}
    gitlab = "gitlab-runner" in _words(main)
    workers = [child for child in below if gitlab or "Runner.Worker" in words[child.pid]]
    seen.worker = bool(workers)
    for child in below if workers else ():  # the job's processes too: what they used counts before they end
        with contextlib.suppress(psutil.Error):
            times = child.cpu_times()
            seen.cpu_seconds += times.user + times.system + times.children_user + times.children_system
    with contextlib.suppress(psutil.Error):
        connections = getattr(main, "net_connections", None) or main.connections  # the name before psutil 6, which Colab has
        seen.connected = any(one.status == psutil.CONN_ESTABLISHED for one in connections("inet"))
    if keeper and not workers:
        with contextlib.suppress(psutil.Error):
            # what was handed to the keeper when its parent ended; what is born below the agent meanwhile is not among it
            adrift = [one for one in psutil.Process(keeper).children() if one.pid != main.pid]
            left = [one for top in adrift for one in (top, *top.children(recursive=True))]
            seen.orphans = [one.pid for one in left if one.status() != psutil.STATUS_ZOMBIE]
    return seen


def twin(root: Path, pid: int | None) -> int | None:
    """Another process that works in the same folder."""
    for process in psutil.process_iter(["pid"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in (pid, os.getpid()) or Path(process.cwd()) != root:
                continue
            if "Runner.Listener" in _words(process) or "gitlab-runner" in _words(process):
                return process.pid
    return None


def log_of(folder: Path, root: Path, *, now: datetime, life: int | None = None) -> tuple[tuple[Clue, ...], timedelta]:
    """The clues of this life, and for how long its log has been silent.

    Args:
        folder: the service's, with the log of its console; need not be there for an agent that is not ours.
        root: the agent's own, with its `_diag`.
        life: the number of the life; None means the last one that the log knows.
    """
    lines = tail(folder / "log", lines=2000, limit=512 << 10)
    starts = [index for index, line in enumerate(lines) if line.startswith(MARKER) and (life is None or line == f"{MARKER}{life}")]
    if life is not None and not starts:
        return (), timedelta(0)  # it has not begun to speak
    lines = [one for one in (lines[starts[-1] + 1 :] if starts else lines) if not one.startswith(OURS)]
    grown = [_grown(folder / "log")]
    newest = max(_diags(root), key=_grown, default=None)
    clues = agentlog.clues(lines)
    begun = next((clue.at for clue in clues if clue.at is not None), None)
    if newest is not None:
        grown.append(_grown(newest))
    if newest is not None and (begun is not None or not starts):  # what stands there before this life spoke is an earlier life's
        told = [one for one in agentlog.clues(tail(newest, lines=DIAG_LINES, limit=512 << 10)) if begun is None or one.at is None or one.at >= begun]
        clues = _merged(told, clues)
    return clues, max(timedelta(0), now - datetime.fromtimestamp(max(grown), timezone.utc)) if max(grown) else timedelta(0)


def ended(home: Home, name: str, incarnation: int) -> Exit | None:
    """How the last life ended, as the keeper wrote it down; unknown when nobody did."""
    if incarnation < 1:
        return None
    try:
        record = json.loads((home.service(name) / "exit.json").read_text())
    except (OSError, ValueError):
        return Exit()
    if record.get("incarnation") != incarnation:
        return Exit()
    return Exit(code=record.get("code"), signal=record.get("signal"), leftovers=int(record.get("leftovers", 0)))


def disk(root: Path) -> tuple[int | None, float | None, float | None]:
    """Free bytes, their share, and the free share of inodes; None where the file system does not say."""
    try:
        found = os.statvfs(root)
    except OSError:
        return None, None, None
    inodes = found.f_favail / found.f_files if found.f_files else None
    return found.f_bavail * found.f_frsize, found.f_bavail / found.f_blocks if found.f_blocks else None, inodes


def not_ours(work: Path) -> tuple[str, ...]:
    """Entries of the work folder that belong to another user, the first few hundred looked at."""
    found: list[str] = []
    looked, me = 0, os.getuid()
    for top, folders, files in os.walk(work):
        for name in [*folders, *files]:
            looked += 1
            if looked > LOOKED_AT:
                return tuple(found)
            with contextlib.suppress(OSError):
                path = Path(top, name)
                if path.lstat().st_uid != me:
                    found.append(str(path.relative_to(work.parent)))
    return tuple(found)


def _merged(told: Iterable[Clue], console: Iterable[Clue]) -> tuple[Clue, ...]:
    """Both logs in one. The agent's own has nearly all of the console in the right order; what it has not comes by its time."""
    plain = {(clue.name, clue.at): clue for clue in console}
    there = {(clue.name, clue.at) for clue in told}
    names = {name for name, _ in there}
    alone = [clue for clue in console if (clue.name, clue.at) not in there and (clue.at is not None or clue.name not in names)]
    stamped: list[tuple[datetime, int, Clue]] = []
    for clues in (told, alone):
        last = datetime.min.replace(tzinfo=timezone.utc)
        for clue in clues:
            last = clue.at or last
            stamped.append((last, len(stamped), plain.get((clue.name, clue.at), clue)))
    return tuple(clue for _, _, clue in sorted(stamped, key=lambda one: one[:2]))


def _diags(root: Path) -> list[Path]:
    return [*root.glob("_diag/Runner_*.log"), *root.glob("_diag/Worker_*.log")]


def _grown(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
