"""Ways to shut a job in, the strongest first, and the choice of the best one that this machine proves."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import time
from pathlib import Path

from ...errors import Refused
from ...model.service import Sandbox
from ...ports import SandboxKind
from .. import load

ORDER = ("bubblewrap", "ownuid", "bare")
PATIENCE = 2.0  # seconds for killed processes to be gone from their control group
CGROUPS = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup")


@functools.lru_cache(maxsize=1)
def _proved() -> tuple[SandboxKind, Sandbox, str]:
    missing: list[str] = []
    for name in ORDER:
        kind: SandboxKind = load("sandboxes", name)
        level, lack = kind.probe()
        missing += [lack] if lack else []
        if level is not Sandbox.NONE:
            break
    return kind, level, "; ".join(missing)


def best(minimum: Sandbox = Sandbox.NONE) -> tuple[SandboxKind, Sandbox, str]:
    """The strongest sandbox of this machine: the kind, the level it proved, and what is missing for more.

    Raises:
        Refused: it is below `minimum`.
    """
    kind, level, missing = _proved()
    if level.rank < minimum.rank:
        raise Refused(
            f'jobs are to run under sandbox "{minimum.value}" and this machine allows "{level.value}" at most: {missing}',
            f'Set sandbox = "{level.value}" to accept that, or use another machine',
        )
    return kind, level, missing


def cgroup_name(work: Path) -> str:
    """The control group of the job that works in `work`."""
    return "qcity-" + hashlib.sha256(os.fsencode(work)).hexdigest()[:16]


def release(work: Path) -> bool:
    """Remove the control group of a job that has ended, if it has one; whether its memory limit ever ended a process."""
    short = False
    for root in CGROUPS:
        folder = Path(root) / cgroup_name(work)
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                short |= any(line.startswith("oom_kill ") and int(line.split()[1]) > 0 for line in (folder / name).read_text().splitlines())
        with contextlib.suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                os.kill(int(pid), 9)
        _remove(folder)
    return short


def _remove(folder: Path) -> None:
    """Remove a control group; what was killed in it a moment ago may still hold it for some milliseconds."""
    deadline = time.monotonic() + PATIENCE
    while folder.is_dir():
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.005)
