"""The canary of an agent: what a small job does, in the agent's folder and environment, while it is idle. It asks nothing of the forge.

Steps: clone, build, network, cache, artifact, GPU. `python -m qcity_nb.kinds.runners.forge.canary ROOT URL` prints what it found as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ....decide.symptoms import CANARIES
from ....model.wire import Checked
from ...forges.http import path_fails_at
from . import hook, tempo
from .memory import AgentMemory
from .options import clean

SECONDS = 120.0
STEP_SECONDS = 60.0
WELL = "well"
GIT = ("git", "-c", "user.name=qcity", "-c", "user.email=qcity@localhost", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null")


class Canary:
    """One agent's, as a child process that is looked at now and then.

    Args:
        name, root, url: whose it is.
        every: between two of them; nothing means never.
    """

    def __init__(self, name: str, root: Path, url: str, *, every: timedelta) -> None:
        self._name, self._root, self._url, self._every = name, root, url, every
        self._child: subprocess.Popen[str] | None = None
        self._began = 0.0

    def step(self, memory: AgentMemory, *, idle: bool) -> Checked | None:
        """Begin one when it is time and the agent is idle; what one found, when it is over. After its last failure the next is its next life's."""
        if self._child is not None:
            return self._look(memory)
        wall = time.time()
        if memory.canary_at is None:
            memory.canary_at = wall
        fails = memory.canary_failures >= CANARIES
        if self._every and idle and not fails and wall - memory.canary_at >= tempo.real(self._every):
            memory.canary_at, self._began = wall, time.monotonic()
            argv = [sys.executable, "-m", __name__, str(self._root), self._url]
            pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
            self._child = subprocess.Popen(
                argv, stdin=nothing, stdout=pipe, stderr=nothing, text=True, env=clean(os.environ), start_new_session=True
            )
        return None

    def close(self) -> None:
        """End one that runs."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _look(self, memory: AgentMemory) -> Checked | None:
        child = self._child
        assert child is not None
        took = time.monotonic() - self._began
        if child.poll() is None:
            if took < SECONDS:
                return None
            child.kill()
        said, _ = child.communicate()
        self._child = None
        try:
            details = {str(key): str(value) for key, value in json.loads(said).items()}
        except (ValueError, AttributeError):
            details = {"canary": f"it took longer than {SECONDS:.0f} s" if took >= SECONDS else f"it ended with code {child.returncode}"}
        return judge(self._name, details, memory, took=took)


def judge(name: str, details: dict[str, str], memory: AgentMemory, *, took: float) -> Checked:
    """What was found, counted."""
    wrong = [f"{what}: {how}" for what, how in details.items() if how != WELL]
    memory.canary_failures = memory.canary_failures + 1 if wrong else 0
    memory.canary = "; ".join(wrong)
    text = memory.canary or "all is well"
    return Checked(service=name, what="canary", ok=not wrong, text=text, at=datetime.now(timezone.utc), took=round(took, 3), details=details)


def run(root: Path, url: str) -> dict[str, str]:
    """What a small job would do, step by step: `well`, or in words what is wrong. What depends on a step that failed is left out."""
    work = root / "_work" / "_qcity_canary"
    found: dict[str, str] = {}
    steps: dict[str, Callable[[], str]] = {
        "clone": lambda: _clone(work),
        "build": lambda: _build(work / "clone"),
        "network": lambda: f"{url} cannot be reached: {layer} fails" if url and (layer := path_fails_at(url)) else "",
        "cache": lambda: _cache(root / "_work" / "_tool"),
        "artifact": lambda: _artifact(work),
        "GPU": lambda: hook.gpus()[1],
    }
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    except OSError as error:
        return {"clone": f"no folder can be made in {work.parent} ({error.strerror})"}
    for name, step in steps.items():
        if name == "build" and found["clone"] != WELL:
            continue
        try:
            found[name] = step() or WELL
        except OSError as error:
            found[name] = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        except subprocess.TimeoutExpired:
            found[name] = f"it took longer than {STEP_SECONDS:.0f} s"
    shutil.rmtree(work, ignore_errors=True)
    return found


def _clone(work: Path) -> str:
    origin = work / "origin"
    origin.mkdir()
    (origin / "build.sh").write_text("expr $1 '*' $2\n")
    for argv, where in (
        (("init", "--quiet", "."), origin),
        (("add", "-A"), origin),
        (("commit", "--quiet", "--message=canary"), origin),
        (("clone", "--quiet", "--no-local", str(origin), "clone"), work),
    ):
        if wrong := _run(*GIT, *argv, cwd=where)[1]:
            return f"git {argv[0]}: {wrong}"
    return ""


def _build(clone: Path) -> str:
    out, wrong = _run("sh", "build.sh", "6", "7", cwd=clone)
    return wrong or ("" if out.strip() == "42" else f"it gave {out.strip()[:40] or 'nothing'} and not 42")


def _cache(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path, content = folder / ".qcity-canary", os.urandom(1 << 16)
    path.write_bytes(content)
    same = path.read_bytes() == content
    path.unlink()
    return "" if same else "what was kept came back changed"


def _artifact(work: Path) -> str:
    path = work / "artifact.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("made.txt", "made by the canary\n" * 1000)
    with zipfile.ZipFile(path) as archive:
        bad = archive.testzip()
    return "what was packed cannot be read" if bad else ""


def _run(*argv: str, cwd: Path) -> tuple[str, str]:
    """What a program printed, and why it failed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ended = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=STEP_SECONDS, check=False, stdin=subprocess.DEVNULL)
    said = [text for text in ended.stderr.splitlines() if text.strip()]
    return ended.stdout, "" if ended.returncode == 0 else (said[-1][:200] if said else f"exit code {ended.returncode}")


def main() -> int:
    """Sing once."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(run(Path(sys.argv[1]), sys.argv[2])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
