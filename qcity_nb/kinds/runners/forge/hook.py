"""The look at the machine before and after every job: `python -m qcity_nb.kinds.runners.forge.hook started|completed --home H --name N --root R`.

GitHub's runner calls it by its own hooks (ACTIONS_RUNNER_HOOK_JOB_STARTED, _COMPLETED), gitlab-runner by its pre_build_script. It mends what
is safe, refuses the job with the reason otherwise (exit code 1), and says what it found to the engine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import psutil

from ....decide import preflight
from ....decide.preflight import Measured
from ....io import spool
from ....io.files import write_atomic
from ....model.agent import Act
from ....model.home import Home
from ....model.wire import Checked
from ...forges.http import path_fails_at, skew_at
from . import acts, look
from . import memory as memories
from .look import Seen

TOOLS = ("git", "bash")
TOOL_SECONDS = 5.0
GPU_SECONDS = 10.0
FOLDER = ".qcity"


def write(root: Path, *, home: Home, name: str, url: str) -> None:
    """Put the hooks' scripts into an agent's folder. They hold no secret."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    for what in ("started", "completed"):
        words = [sys.executable, "-m", __name__, what, "--home", str(home.root), "--name", name, "--root", str(root), "--url", url]
        line = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
        write_atomic(folder / f"{what}.sh", f"#!/bin/sh\nexec {line}\n", mode=0o700)


def measure(root: Path, *, url: str, worker: int | None) -> Measured:
    """Look at the machine.

    Args:
        worker: a process whose descendants belong to the job that begins; what else carries a job's mark was left by another.
    """
    free, share, inodes = look.disk(root)
    gpu_count, gpu_error = gpus()
    path = path_fails_at(url) if url else ""
    return Measured(
        free_disk=free,
        free_disk_share=share,
        free_inodes_share=inodes,
        free_memory=psutil.virtual_memory().available,
        path=path,
        skew=skew_at(url) if url and not path else None,
        forge=url,
        credentials=_credentials(root),
        missing_tools=tuple(tool for tool in TOOLS if shutil.which(tool) is None),
        tools={tool: version for tool in TOOLS if (version := _version(tool))},
        gpus=gpu_count,
        gpu_error=gpu_error,
        leftovers=len(leftovers(root, worker)),
        not_ours=look.not_ours(root / "_work"),
    )


def leftovers(root: Path, worker: int | None) -> list[int]:
    """Processes with a job's mark, in this agent's work folder, that are no descendants of the worker that begins now."""
    mine: set[int] = {os.getpid(), os.getppid()}
    with contextlib.suppress(psutil.Error):
        parents = psutil.Process().parents()
        mine |= {one.pid for one in parents}
        if worker:
            mine |= {worker, *(one.pid for one in psutil.Process(worker).children(recursive=True))}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in mine or process.status() == psutil.STATUS_ZOMBIE:
                continue
            env = process.environ()
            if look.TRACKING in env and Path(env.get("RUNNER_TEMP") or process.cwd()).is_relative_to(root):
                found.append(process.pid)
    return found


def run(what: str, home: Home, name: str, root: Path, url: str) -> int:
    """Look, mend, look again, say; 1 when no job may run."""
    begun = time.monotonic()
    worker = os.getppid()
    first = preflight.examine(measure(root, url=url, worker=worker))
    wanted = preflight.to_mend(first)
    if wanted:
        case = acts.Case(
            name=name, root=root, pid=None, seen=Seen(orphans=leftovers(root, worker)), memory=memories.load(home, name), owned=""
        )
        for act in wanted:
            _mend(act, case)
    after = preflight.examine(measure(root, url=url, worker=worker)) if wanted else first
    text, refused = preflight.told(first, after), bool(preflight.refusal(after))
    fact = Checked(
        service=name,
        what=what,
        ok=not refused,
        text=text,
        at=datetime.now(timezone.utc),
        took=round(time.monotonic() - begun, 3),
        details={check.name: check.wrong or "well" for check in after},
    )
    incarnation = int(os.environ.get("QCITY_INCARNATION", "0"))
    with contextlib.suppress(OSError):
        spool.append(home.facts(name, incarnation), fact)
        spool.ring(home.doorbell)
    sys.stdout.write(f"QCity looked at this machine: {text}\n")
    if refused and what == "started":
        sys.stdout.write("::error::QCity refuses this job: the machine is not fit for it. It is not your code.\n")
        return 1
    return 0


def _mend(act: Act, case: acts.Case) -> None:
    with contextlib.suppress(OSError):
        result = acts.LOCAL[act.value](case, None)
        sys.stdout.write(f"QCity: {result.text}\n")


def _credentials(root: Path) -> bool:
    """Whether the registration's files can be read as what they are; where there are none there is nothing to damage."""
    for name in (".runner", ".credentials"):
        path = root / name
        if path.exists():
            try:
                json.loads(path.read_text("utf-8-sig"))
            except (OSError, ValueError):
                return False
    return True


def _version(tool: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        ended = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
        return ended.stdout.strip().splitlines()[0] if ended.stdout.strip() else ""
    return ""


def gpus() -> tuple[int | None, str]:
    """How many GPUs answer, where there should be any; and what is wrong with them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None, ""
    try:
        ended = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=GPU_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return 0, "the GPU's driver does not answer"
    except OSError as error:
        return 0, f"the GPU's driver cannot be asked ({error.strerror})"
    if ended.returncode != 0:
        return 0, f"the GPU does not answer ({(ended.stderr or ended.stdout).strip()[:120]})"
    return len(ended.stdout.strip().splitlines()), ""


def main() -> int:
    """Run one hook."""
    parser = argparse.ArgumentParser(prog="qcity look")
    parser.add_argument("what", choices=("started", "completed"))
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--url", default="")
    given = parser.parse_args()
    return run(given.what, Home(given.home), given.name, given.root, given.url)


if __name__ == "__main__":
    sys.exit(main())
