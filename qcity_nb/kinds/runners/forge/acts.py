"""What the attendant does about an agent when the engine says so. Each act says in a sentence what came of it; each is safe to repeat."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from ....errors import PlatformError
from ....io.files import write_atomic
from ....model.agent import Act, RemoteJob
from ....ports import Forge
from .look import Seen
from .memory import AgentMemory

NICE = 10
REAP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One agent, as an act needs it."""

    name: str
    root: Path
    pid: int | None
    seen: Seen
    memory: AgentMemory
    owned: str
    labels: tuple[str, ...] = ()
    twins: tuple[int, ...] = ()
    job: RemoteJob | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of an act.

    `busy`: the agent has a job, so it was left alone. `refused`: how its platform refused. `proof`: that it worked, where that is known at once.
    """

    text: str
    busy: bool = False
    refused: str = ""
    proof: str = ""


def leave(case: Case, forge: Forge) -> Result:
    """Have the platform forget it, before it is ended: so no job is given to one that is about to go."""
    if case.memory.id is None:
        return Result(text="it was not registered")
    try:
        forge.remove(case.memory.id)
    except PlatformError as error:
        if error.kind == "busy":
            return Result(text="its platform keeps it until its job is over", busy=True, refused="delete: busy")
        raise
    case.memory.known = {key: name for key, name in case.memory.known.items() if key != case.memory.id}
    case.memory.id = None
    return Result(text="its platform has forgotten it")


def drain(case: Case, forge: Forge) -> Result:
    """Have the platform give it no new jobs: by a pause where there is one, else by taking the labels that jobs ask for."""
    if case.memory.id is None:
        return Result(text="it was not registered")
    if forge.pause(case.memory.id, paused=True):
        return Result(text="it is paused on its platform")
    forge.set_labels(case.memory.id, [case.owned])
    return Result(text="its labels were taken, so it is given no new job")


def undrain(case: Case, forge: Forge) -> Result:
    """Give it jobs again."""
    if case.memory.id is not None and not forge.pause(case.memory.id, paused=False):
        forge.set_labels(case.memory.id, [*case.labels, case.owned])
    return Result(text="it is given jobs again")


def delete(case: Case, forge: Forge) -> Result:
    """Delete one registration that nobody uses; the others have their turn at the next look."""
    for id_ in case.twins[:1]:
        found = forge.runner(id_)
        if found is not None and (found.online or found.busy):
            return Result(text=f"registration {id_} has come to life: left alone")
        forge.remove(id_)
        case.memory.known = {key: name for key, name in case.memory.known.items() if key != id_}
        return Result(text=f"deleted registration {id_}, which nobody used")
    return Result(text="there was none left to delete")


def retry(case: Case, forge: Forge) -> Result:
    """Try the deletion that was refused again."""
    if case.memory.id is None or case.seen.alive:
        return Result(text="it is tried again later")
    result = leave(case, forge)
    return result if result.refused else replace(result, proof="its platform has let go of it")


def rerun(case: Case, forge: Forge) -> Result:
    """Run the job that the infrastructure killed again, once."""
    job = case.job
    if job is None or job.id in case.memory.rerun:
        return Result(text="there was no job to run again")
    before = case.memory.rerun
    case.memory.rerun = [*before[-50:], job.id]
    try:
        forge.rerun(job)
    except PlatformError:
        case.memory.rerun = before  # it was refused: nothing runs
        raise
    case.memory.lost = {}
    return Result(text=f'had "{job.name}" run again, once', proof=f'its platform has queued "{job.name}" again')


def cancel(case: Case, forge: Forge) -> Result:
    """Cancel the run that nothing works on any more."""
    if case.job is None:
        return Result(text="there was no run to cancel")
    forge.cancel(case.job)
    return Result(text=f'cancelled the run of "{case.job.name}"', proof="its platform took the cancellation")


def make_room(case: Case, _forge: Forge | None) -> Result:
    """Free disk space; while a job runs only what is not part of it."""
    if case.seen.worker:
        return Result(text="a job runs: what it may need was left", busy=True)
    return Result(text=f"freed {purge(case.root)} of old logs and work")


def reap(case: Case, _forge: Forge | None) -> Result:
    """End what the last job left, again and again until nothing of it is there: a process born meanwhile is no survivor."""
    ended, end = 0, time.monotonic() + REAP_SECONDS
    left = [pid for pid in case.seen.orphans if psutil.pid_exists(pid)]
    while left and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
                children = psutil.Process(pid).children(recursive=True)
                for one in [psutil.Process(pid), *children]:
                    one.kill()
                    ended += 1
        psutil.wait_procs([psutil.Process(pid) for pid in left if psutil.pid_exists(pid)], timeout=1)
        left = [pid for pid in left if _lives(pid)]
    return Result(text=f"ended {ended} processes that the last job had left" + (f"; {len(left)} would not end" if left else ""))


def own(case: Case, _forge: Forge | None) -> Result:
    """Give the work folder back to the runner, or move aside what it may not touch."""
    work, me, changed, aside = case.root / "_work", os.getuid(), 0, 0
    for top, folders, files in os.walk(work):
        for path in (Path(top, name) for name in [*folders, *files]):
            try:
                if path.lstat().st_uid == me:
                    continue
                os.chown(path, me, os.getgid(), follow_symlinks=False)
                changed += 1
            except PermissionError:
                path.rename(path.with_name(f".not-ours-{path.name}-{time.time_ns()}"))
                aside += 1
            except FileNotFoundError:
                continue
    return Result(text=f"gave {changed} files back to the runner" + (f", moved {aside} aside" if aside else ""))


def limit(case: Case, _forge: Forge | None) -> Result:
    """Let the listener come first: its job's processes get a lower priority."""
    changed = 0
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(case.pid).children(recursive=True) if case.pid else []:
            with contextlib.suppress(psutil.Error):
                child.nice(NICE)
                changed += 1
    return Result(text=f"gave its job's {changed} processes a lower priority", proof="the listener comes before its job now")


def reload(case: Case, _forge: Forge | None) -> Result:
    """Let gitlab-runner poll for all its runners at once, and have it read that."""
    path = case.root / "config.toml"
    text = path.read_text()
    runners = max(2, text.count("[[runners]]") + 1)
    lines = [f"concurrent = {runners}" if line.startswith("concurrent = ") else line for line in text.splitlines()]
    write_atomic(path, "\n".join(lines) + "\n")
    if case.pid:
        os.kill(case.pid, signal.SIGHUP)
    return Result(text=f"set concurrent to {runners} and had the configuration read again", proof="its configuration was read again")


REMOTE: dict[str, Callable[[Case, Forge], Result]] = {
    "leave": leave,
    "drain": drain,
    "undrain": undrain,
    Act.DELETE.value: delete,
    Act.RETRY.value: retry,
    Act.RERUN.value: rerun,
    Act.CANCEL.value: cancel,
}
"""What needs the platform; done by its thread."""

LOCAL: dict[str, Callable[[Case, Forge | None], Result]] = {
    Act.PURGE.value: make_room,
    Act.REAP.value: reap,
    Act.OWN.value: own,
    Act.LIMIT.value: limit,
    Act.RELOAD.value: reload,
}
"""What only this machine needs."""


def purge(root: Path) -> str:
    """Free space in the order of what is missed least: temporary files, old logs, updates, caches, idle work. What was freed, for people."""
    before = shutil.disk_usage(root).free if root.exists() else 0
    for pattern in ("_work/_temp/*", "_diag/*.log", "_work/_update/*", "bin.*", "_work/_actions/*", "_work/_tool/*", "_work/[!_]*"):
        for path in root.glob(pattern):
            if path.name.startswith("bin.") and (root / "bin").resolve() == path.resolve():
                continue  # the version in use
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return f"{max(0, (shutil.disk_usage(root).free if root.exists() else 0) - before) / 1e6:.0f} MB"


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
